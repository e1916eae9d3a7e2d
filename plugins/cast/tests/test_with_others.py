"""With the plugins that a scenario usually has beside this one: skipped where those are not installed."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_testing.resume import check_resume

for _name in ("cast", "memory", "schedules", "scripted"):
    pytest.importorskip(f"pyscrai_{_name}.plugin", reason=f"needs pyscrai-{_name}")

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```yaml\n(scenario:.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)

TRADERS: dict[str, Any] = {
    "world": {"premise": "A market at dawn.", "state": {"price": None, "sold": 0}},
    "agents": {
        "Voice": {"engine": "narrator", "acts": ["start", {"every": 2}], "words": 12},
        "Mara": {
            "persona": "You sell apples.",
            "words": 8,
            "actions": {"offer": {"price": {"type": "integer", "minimum": 3, "maximum": 9}}},
        },
        "Jon": {
            "persona": "You buy apples.",
            "words": 8,
            "actions": {
                "ask": {"for": {"type": "string"}, "soon": {"type": "boolean"}},
                "accept": {"when": "state.price != null"},
            },
        },
        "Judge": {"engine": "analyst", "acts": "end", "words": 8},
    },
    "rules": [
        {"on": "offer", "set": {"price": "event.payload.price"}},
        {"on": "accept", "set": {"sold": "state.sold + 1"}},
    ],
    "schedule": {"use": "round-robin", "rounds": 2},
    "outcomes": {"price": "state.price", "sold": "state.sold"},
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_readmes_example_runs(text: str, tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    result = pyscrai_core.run(file, store=tmp_path / "runs.db")
    assert (result.status, result.outcomes) == ("completed", {"price": 7}), result.error
    assert [event.kind for event in result.events] == [
        "narration", "say", "offer", "say", "say", "offer", "say", "accept", "finding",
    ]  # fmt: skip


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_run(tmp_path: Path) -> None:
    provider = {"use": "scripted", "replies": {"Voice": ["Fog.", "Rain."]}, "generate": True}
    whole = check_resume(
        {"scenario": "trade", "providers": {"default": provider}, **TRADERS}, tmp_path, kills=[4]
    )
    kinds = {json.loads(line)["kind"] for line in whole.log}
    assert {"narration", "say", "finding"} <= kinds
    assert kinds & {"offer", "ask", "accept"}


@pytest.mark.slow
def test_a_real_model_keeps_to_the_form(tmp_path: Path) -> None:
    pytest.importorskip("pyscrai_llamacpp.plugin", reason="needs pyscrai-llamacpp")
    pytest.importorskip("xllamacpp", reason="needs xllamacpp")
    models = pytest.importorskip("pyscrai_llamacpp.models")
    try:
        models.find_weights("smollm2")
    except pyscrai_core.ConfigError as error:
        pytest.skip(str(error))
    provider = {
        "use": "llamacpp",
        "model": "smollm2",
        "exact": True,
        "threads": 1,
        "temperature": 0.8,
        "draw": "provider",
    }
    scenario = {
        **copy.deepcopy(TRADERS),
        "scenario": "trade",
        "providers": {"default": {**provider, "max_tokens": 200}, "short": {**provider, "max_tokens": 20}},
        "schedule": {"use": "round-robin", "rounds": 1},
    }
    scenario["agents"]["Voice"] |= {"provider": "short", "acts": "start"}
    file = tmp_path / "scenario.yaml"
    file.write_text(json.dumps(scenario))
    one, again, other = (pyscrai_core.run(file, seed=seed, store=tmp_path / "runs.db") for seed in (1, 1, 2))
    assert [run.status for run in (one, again, other)] == ["completed"] * 3, one.error + other.error
    assert one.fingerprint == again.fingerprint
    assert one.fingerprint != other.fingerprint
    for run in (one, other):
        # One call for each turn: the form was right at once, without a repair.
        assert run.calls == 4
        kinds = [event.kind for event in run.events]
        assert (kinds[0], kinds[-1]) == ("narration", "finding")
        assert set(kinds) <= {"narration", "say", "offer", "ask", "accept", "finding"}
        said = [event.payload["text"] for event in run.events if event.kind == "say"]
        assert all(0 < len(text) <= 80 for text in said)
    assert any(event.kind in ("offer", "ask", "accept") for run in (one, other) for event in run.events)
