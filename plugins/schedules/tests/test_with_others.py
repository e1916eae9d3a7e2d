"""With the plugins that a scenario usually has beside this one: skipped where those are not installed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import pytest

import pyscrai_core
from pyscrai_core import Schedule
from pyscrai_schedules.interrupt import Interrupt
from pyscrai_schedules.moderated import Moderated
from pyscrai_schedules.random_choice import RandomChoice
from pyscrai_schedules.reactive import Reactive
from pyscrai_schedules.rounds import RoundRobin, Simultaneous
from pyscrai_testing.resume import check_resume

for _name in ("cast", "memory", "schedules", "scripted"):
    pytest.importorskip(f"pyscrai_{_name}.plugin", reason=f"needs pyscrai-{_name}")

README = Path(__file__).parents[1] / "README.md"
CONFIGS = [RoundRobin, Simultaneous, RandomChoice, Reactive, Moderated, Interrupt]
EXAMPLES = re.findall(r"```yaml\n(scenario:.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
REACTS = {"acts": {"on": "say"}}


@pytest.mark.parametrize("kind", CONFIGS)
def test_each_option_is_in_the_readme(kind: type[Schedule]) -> None:
    for option in attrs.fields(kind.Config):
        assert f"| `{option.name}` |" in README.read_text(encoding="utf-8")


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
        ({"use": "moderated", "turns": 5, "provider": "chair"}, {}),
        ({"use": "interrupt", "claim": "say", "in_a_row": 2, "inner": {"use": "random", "steps": 3}}, {}),
    ],
    ids=lambda value: value.get("use", ""),
)
@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_run(
    schedule: dict[str, Any], agent: dict[str, Any], tmp_path: Path
) -> None:
    scenario = {
        "scenario": "talk",
        "providers": {
            "default": {"use": "scripted", "choice": ["One.", "Two.", "Three."]},
            "chair": {"use": "scripted", "generate": True},
        },
        "agents": {name: {"persona": "A person.", **agent} for name in ("Ann", "Ben", "Cem", "Dag")},
        "schedule": schedule,
    }
    check_resume(scenario, tmp_path, kills=[5])
