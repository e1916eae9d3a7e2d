"""`pyscrai prompt`: what would be sent is what is sent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import pyscrai_core
from pyscrai_cli.main import cli
from pyscrai_core import api

SCENARIO = {
    "scenario": "talk",
    "seed": 3,
    "providers": {
        "default": {"use": "scripted", "replies": {"Mara": ["Well."]}, "generate": True, "max_tokens": 50}
    },
    "world": {"premise": "It rains.", "state": {"price": None}},
    "agents": {
        "Mara": {"persona": "A farmer.", "tools": ["calculator"]},
        "Jon": {"persona": "A buyer.", "actions": {"offer": {"price": {"type": "integer", "minimum": 3}}}},
    },
    "schedule": {"use": "round-robin", "rounds": 2},
}


def prompt(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["prompt", *arguments])


@pytest.fixture(autouse=True)
def file(tmp_path: Path) -> Path:
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(SCENARIO))
    return path


def parts(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    (told,) = json.loads(result.stdout)
    assert told["tokens"] == sum(part["tokens"] for part in told["parts"])
    found: list[dict[str, Any]] = told["parts"]
    return found


def test_the_first_request_is_the_one_that_a_run_sends() -> None:
    foreseen = parts(prompt("talk.json", "--agent", "Mara", "--json"))
    assert pyscrai_core.run("talk.json").status == "completed"
    with api.Store.open(".pyscrai/runs.db") as store:
        run = store.run("last")
        first = next(call for call in run.calls() if call["agent"] == "Mara")
        sent = run.messages(first["number"])
    told = [(part["part"], part["text"]) for part in foreseen if part["part"] in ("system", "user")]
    assert told == [(message.role, message.text) for message in sent]
    assert [part["part"] for part in foreseen][-2:] == ["tool calculator", "sampling"]
    assert (
        parts(prompt("last", "--agent", "Mara", "--step", "1", "--json"))[: len(told)]
        == foreseen[: len(told)]
    )


def test_nobody_is_asked_and_what_stands_in_is_marked() -> None:
    result = prompt("talk.json", "--agent", "Mara", "--step", "3")
    assert result.exit_code == 0, result.output
    assert "no model was asked" in result.stderr
    assert "<Mara's words>" in result.stdout
    assert "[Jon: offer price: 3]" in result.stdout
    assert "tokens in all" in result.stdout
    assert not Path(".pyscrai").exists()


def test_what_stands_in_for_words_has_no_name_in_front_either() -> None:
    foreseen = prompt("talk.json", "--agent", "Jon", "--step", "4").stdout
    assert "\n<Mara's words>" in foreseen, "of two, the other one needs no name"


def test_a_recorded_run_shows_what_was_sent() -> None:
    pyscrai_core.run("talk.json")
    result = prompt("last", "--agent", "Jon", "--step", "4")
    assert result.exit_code == 0, result.output
    assert "\nWell." in result.stdout, "of two, the other one needs no name"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["talk.json", "--agent", "Nobody"],
            "--agent Nobody: there is no such agent; the scenario's: Mara, Jon",
        ),
        (["talk.json", "--agent", "Jon", "--step", "3"], "it asks nothing in step 3; it asks in steps 2, 4"),
        (["talk.json"], "Missing option '--agent'"),
        (["other.json", "--agent", "Jon"], "does not exist"),
    ],
)
def test_bad_input_is_said_and_status_2(arguments: list[str], said: str) -> None:
    result = prompt(*arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


HANG = """
import asyncio, signal

from pyscrai_core import Memory

class Hangs(Memory):
    async def {method}(self, *_):
        signal.raise_signal(signal.{number})
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass
{others}
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(("method", "status"), [("aopen", 130), ("recall", 130), ("aclose", 0)])
def test_a_plugin_that_catches_its_end_is_left(file: Path, method: str, status: int, number: str) -> None:
    needed = {"observe": "pass", "recall": "return []"}
    others = "".join(
        f"    async def {name}(self, *_): {body}\n" for name, body in needed.items() if name != method
    )
    (file.parent / "hang.py").write_text(HANG.format(method=method, number=number, others=others))
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "import pyscrai_records.base.time_limit as t; t.AGAIN, t.GRACE = 0.1, 0.5; "
        "from pyscrai_cli.main import main; main()"
    )
    given = [
        "prompt",
        "talk.json",
        "--agent",
        "Mara",
        "--set",
        "agents.Mara.memory=./hang.py:Hangs",
        "--trust",
    ]
    command = [sys.executable, "-c", code, *given]
    done = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == status, done.stderr
    if status:
        assert done.stderr == "interrupted: before the run began; nothing was written\n"
    else:  # only what follows on the prompt was interrupted
        assert "It rains." in done.stdout
        assert "could not be closed: it does not end" in done.stderr
