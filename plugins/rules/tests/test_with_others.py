"""With the plugins that a scenario usually has beside this one: skipped where those are not installed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

import pyscrai_core
from pyscrai_rules.rules import Move, RulesConfig
from pyscrai_rules.world import Ruling, WorldConfig
from pyscrai_testing import check_resume

for _name in ("memory", "schedules", "scripted"):
    pytest.importorskip(f"pyscrai_{_name}.plugin", reason=f"needs pyscrai-{_name}")

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(scenario:.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_readmes_example_runs(text: str, tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    result = pyscrai_core.run(file, store=tmp_path / "runs.db")
    assert result.status == "completed", result.error
    decisions = [event.payload["decision"] for event in result.events if event.kind == "ruling"]
    assert {"granted", "refused"} <= set(decisions)
    assert result.calls == 0


@pytest.mark.parametrize("config", [RulesConfig, Move, WorldConfig, Ruling])
def test_each_option_is_in_the_readme(config: type) -> None:
    for option in attrs.fields(config):
        assert re.search(rf"^\|[^|]*`{option.name}`[^|]*\|", README, re.MULTILINE), option.name


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_run(tmp_path: Path) -> None:
    agent: dict[str, Any] = {
        "engine": {
            "use": "rules",
            "policy": [
                {"chance": 0.5, "do": "take", "arguments": {"coins": "1 + turn"}},
                {"chance": 0.5, "do": "ask"},
                {"say": "{name} waits for {state.purse}"},
            ],
        },
        "actions": {"take": {"coins": {"type": "integer"}}, "ask": {}},
    }
    judge = {
        "engine": "world",
        "acts": "after-group",
        "decides": ["take", "ask"],
        "rulings": [{"on": "take", "chance": 0.7, "add": {"purse": "-event.payload.coins"}}],
        "ask": True,
        "changes": {"gifts.{event.source}": {"type": "integer", "minimum": 0, "maximum": 5}},
    }
    whole = check_resume(
        {
            "scenario": "purse",
            "providers": {"default": {"use": "scripted", "generate": True}},
            "world": {"state": {"purse": 50, "gifts": {}}},
            "agents": {"Ann": agent, "Ben": agent, "Judge": judge},
            "schedule": {"use": "simultaneous", "rounds": 6},
            "outcomes": {"state": "state"},
        },
        tmp_path,
        kills=[2],
    )
    events = [json.loads(line) for line in whole.log]
    assert {event["kind"] for event in events} >= {"take", "ask", "ruling", "change", "say"}


@pytest.mark.slow
def test_a_real_model_keeps_to_the_form(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="needs xllamacpp")
    models = pytest.importorskip("pyscrai_llamacpp.models", reason="needs pyscrai-llamacpp")
    try:
        models.find_weights("smollm2")
    except pyscrai_core.ConfigError as error:
        pytest.skip(str(error))
    scenario = {
        "scenario": "court",
        "providers": {
            "default": {
                "use": "llamacpp", "model": "smollm2", "exact": True, "threads": 1, "max_tokens": 150,
                "temperature": 0.7,
            }
        },
        "world": {"premise": "A small court.", "state": {"fines": 0}},
        "agents": {
            "Ann": {
                "engine": "rules",
                "policy": [{"do": "plead", "arguments": {"why": "'My horse was ill.'"}}],
                "actions": {"plead": {"why": {"type": "string"}}},
            },
            "Judge": {
                "engine": "world",
                "acts": "after-group",
                "decides": ["plead"],
                "ask": True,
                "decisions": ["pardoned", "fined"],
                "changes": {"fines": {"type": "integer", "minimum": 0, "maximum": 50}},
                "words": 12,
            },
        },
        "schedule": {"use": "round-robin", "rounds": 1},
    }  # fmt: skip
    file = tmp_path / "scenario.json"
    file.write_text(json.dumps(scenario))
    result = pyscrai_core.run(file, store=tmp_path / "runs.db")
    assert (result.status, result.calls) == ("completed", 1), result.error
    (ruling,) = [event.payload for event in result.events if event.kind == "ruling"]
    assert ruling["decision"] in ("pardoned", "fined")
    assert 0 < len(ruling["rationale"]) <= 120
