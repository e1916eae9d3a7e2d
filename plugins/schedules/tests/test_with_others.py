"""With the plugins that a scenario usually has beside this one: skipped where those are not installed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_core.testing.resume import check_resume

for _name in ("cast", "memory", "schedules", "scripted"):
    pytest.importorskip(f"pyscrai_{_name}.plugin", reason=f"needs pyscrai-{_name}")

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```yaml\n(scenario:.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
REACTS = {"acts": {"on": "say"}}


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_readmes_examples_run(text: str, tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    result = pyscrai_core.run(file, store=tmp_path / "runs.db")
    assert (result.status, len(result.events)) == ("completed", 6), result.error


@pytest.mark.parametrize(
    "schedule, agent",
    [
        ({"use": "round-robin", "rounds": 2}, {}),
        ({"use": "simultaneous", "rounds": 2}, {}),
        ({"use": "random", "steps": 4, "group": 2, "repeat": False}, {}),
        ({"use": "reactive", "opening": ["Ann"], "max_steps": 3}, REACTS),
    ],
    ids=lambda value: value.get("use", ""),
)
def test_killed_and_resumed_it_is_the_same_run(
    schedule: dict[str, Any], agent: dict[str, Any], tmp_path: Path
) -> None:
    scenario = {
        "scenario": "talk",
        "providers": {"default": {"use": "scripted", "choice": ["One.", "Two.", "Three."]}},
        "agents": {name: {"persona": "A person.", **agent} for name in ("Ann", "Ben", "Cem", "Dag")},
        "schedule": schedule,
    }
    check_resume(scenario, tmp_path, kills=[5])
