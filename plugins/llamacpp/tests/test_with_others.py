"""The provider in a run, together with the plugins that a scenario needs beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyscrai_core.testing.resume import check_resume


def test_killed_and_resumed_it_is_the_same_run(tmp_path: Path) -> None:
    """Also at another concurrency and under another hash seed: that is what `exact` is for."""
    pytest.importorskip("pyscrai_cast.plugin", reason="needs pyscrai-cast")
    pytest.importorskip("pyscrai_schedules.plugin", reason="needs pyscrai-schedules")
    provider = {"use": "llamacpp", "model": "smollm2", "exact": True, "temperature": 0.9, "max_tokens": 16}
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
