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


def scenario(memory: Any) -> dict[str, Any]:
    return {
        "scenario": "talk",
        "providers": {"default": {"use": "scripted", "choice": ["One.", "Two.", "Three.", "Four."]}},
        "agents": {name: {"persona": "A person.", "memory": memory} for name in ("Ann", "Ben", "Cem")},
        "schedule": {"use": "simultaneous", "rounds": 4},
    }


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_readmes_example_runs(text: str, tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    result = pyscrai_core.run(file, store=tmp_path / "runs.db")
    assert (result.status, len(result.events)) == ("completed", 6), result.error


@pytest.mark.parametrize("memory", ["full", {"use": "window", "tokens": 50}], ids=["full", "window"])
def test_killed_and_resumed_it_is_the_same_run(memory: Any, tmp_path: Path) -> None:
    check_resume(scenario(memory), tmp_path, kills=[8])
