"""What commands tell of closed choices: who draws, the options and their probabilities."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pyscrai_cli.main import cli

SCENARIO: dict[str, Any] = {
    "scenario": "draws",
    "providers": {"default": {"use": "scripted", "odds": {"offer": 0.6, "wait": 0.2, "11": 0.5, "12": 0.25}}},
    "agents": {
        "Mara": {
            "persona": "You trade.",
            "speak": False,
            "must_act": True,
            "actions": {"offer": {"price": {"enum": [11, 12]}}, "wait": {}},
        }
    },
    "schedule": {"use": "round-robin", "rounds": 4},
}
PROVIDER = "providers.default.draw=provider"


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    Path("s.json").write_text(json.dumps(SCENARIO))

    def call(*arguments: str) -> Result:
        done: Result = CliRunner().invoke(cli, list(arguments))
        assert done.exit_code == 0, done.output
        return done

    call("run", "s.json", "-q")
    return call


def test_the_draws_of_a_run_are_printed(called: Any) -> None:
    drawn = [json.loads(line) for line in called("log", "last", "--draws").stdout.splitlines()]
    assert [one["step"] for one in drawn if one["field"] == "action"] == [1, 2, 3, 4]
    first = drawn[0]
    assert (first["agent"], first["provider"]) == ("Mara", "default")
    assert first["probabilities"] == {"offer": 0.75, "wait": 0.25}
    assert first["off"] == pytest.approx(0.2)
    text = called("log", "last", "--draws", "--text").stdout.splitlines()
    assert text[0] == f"Mara, step 1: action: {first['value']} of offer 75.0 %, wait 25.0 % (off 20.0 %)"
    shown = json.loads(called("show", "last", "--json").stdout)
    assert shown["draws"] == {"default": "kernel"}
    assert "closed choices by the kernel (default)" in called("show", "last").stdout
    found = json.loads(called("show", "last", "--stats", "--json").stdout)["draws"]["default"]
    assert (found["by"], found["draws"]) == ("kernel", len(drawn))
    assert found["off"]["max"] == pytest.approx(0.25)
    assert "draws of closed choices, by provider" in called("show", "last", "--stats").stdout


def test_a_provider_that_cannot_tell_draws_by_itself_and_all_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    provider = {"use": "scripted", "generate": True}
    Path("s.json").write_text(json.dumps({**SCENARIO, "providers": {"default": provider}}))
    said = {}
    for line in ("validate s.json", "run s.json -q", "show last", "show last --stats", "show last --json"):
        done = CliRunner().invoke(cli, line.split())
        assert done.exit_code == 0, done.output
        said[line] = done.stdout
    assert "closed choices of default by the provider" in said["validate s.json"]
    assert "closed choices by the provider (default)" in said["show last"]
    assert "draws of closed choices, by provider" in said["show last --stats"]
    assert json.loads(said["show last --json"])["draws"] == {"default": "provider"}


def test_a_prompt_tells_who_draws_and_what_was_drawn(called: Any) -> None:
    (before,) = json.loads(called("prompt", "s.json", "--agent", "Mara", "--json").stdout)
    assert (before["draw"], before["draws"]) == ("kernel", [])
    (other,) = json.loads(called("prompt", "s.json", "--agent", "Mara", "--set", PROVIDER, "--json").stdout)
    assert other["draw"] == "provider"
    (after,) = json.loads(called("prompt", "last", "--agent", "Mara", "--step", "2", "--json").stdout)
    assert after["draw"] == "kernel"
    assert after["draws"][0]["probabilities"] == {"offer": 0.75, "wait": 0.25}
    text = called("prompt", "last", "--agent", "Mara", "--step", "2").stdout
    assert "closed choices: drawn by the kernel" in text
    assert "of offer 75.0 %, wait 25.0 % (off 20.0 %)" in text


def test_validate_tells_who_draws_and_what_is_too_large(called: Any) -> None:
    assert "closed choices of default by the kernel" in called("validate", "s.json").stdout
    large = "agents.Mara.actions.offer.price={type: integer, minimum: 1, maximum: 1000000}"
    done = json.loads(called("validate", "s.json", "--set", large, "--json").stdout)
    assert done["draws"] == {"default": "kernel"}
    (remark,) = done["remarks"]
    assert remark.startswith("agents.Mara.actions.offer.price: 1,000,000 options, and at most 100 are scored")
    assert remark in called("validate", "s.json", "--set", large).stdout
    done = json.loads(called("validate", "s.json", "--set", large, "--set", PROVIDER, "--json").stdout)
    assert (done["draws"], done["remarks"]) == ({"default": "provider"}, [])


def test_draws_are_not_followed(called: Any) -> None:
    done = CliRunner().invoke(cli, ["log", "last", "--draws", "--follow"])
    assert done.exit_code == 2
    assert "expected one of them" in done.output
