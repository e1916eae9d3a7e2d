"""The provider in a run, together with the plugins that a scenario needs beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pyscrai_core
from pyscrai_testing.resume import check_resume


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_run(tmp_path: Path) -> None:
    """Also at another concurrency and under another hash seed: that is what `exact` is for."""
    pytest.importorskip("pyscrai_cast.plugin", reason="needs pyscrai-cast")
    pytest.importorskip("pyscrai_schedules.plugin", reason="needs pyscrai-schedules")
    provider = {"use": "llamacpp", "model": "smollm2", "exact": True, "temperature": 0.9, "max_tokens": 8}
    agents = {
        name: {"engine": "actor", "persona": f"{name}, who trades in apples."}
        for name in ("Mara", "Jon", "Ada")
    }
    scenario = {
        "scenario": "trade",
        "providers": {"default": provider},
        "agents": agents,
        "schedule": {"use": "simultaneous", "rounds": 2},
    }
    whole = check_resume(scenario, tmp_path, kills=[4])
    assert len(whole.answered) == 6


@pytest.mark.slow
def test_most_of_a_conversation_comes_from_the_cache(tmp_path: Path) -> None:
    """Whose turn it is, answers in the slot in which it answered before; what it said there is cached too."""
    for name in ("cast", "memory", "schedules"):
        pytest.importorskip(f"pyscrai_{name}.plugin", reason=f"needs pyscrai-{name}")
    scenario = {
        "scenario": "trade",
        "providers": {"default": {"use": "llamacpp", "model": "smollm2", "max_tokens": 12}},
        "world": {"premise": "The market of a small town, early in the morning."},
        "agents": {
            name: {"engine": "actor", "persona": f"{name}, who trades in apples.", "memory": "window"}
            for name in ("Mara", "Jon")
        },
        "schedule": {"use": "round-robin", "rounds": 10},
    }
    file = tmp_path / "scenario.yaml"
    file.write_text(json.dumps(scenario))
    result = pyscrai_core.run(file, seed=1, store=tmp_path / "runs.db")
    assert (result.status, result.calls) == ("completed", 20), result.error
    assert result.usage.cached_tokens >= 0.8 * result.usage.input_tokens
