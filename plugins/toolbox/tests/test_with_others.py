"""With the plugins that a scenario usually has beside this one: skipped where those are not installed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

import pyscrai_core
from pyscrai_testing import check_resume
from pyscrai_toolbox.notes import NotesConfig
from pyscrai_toolbox.world import WorldConfig

for _name in ("cast", "memory", "schedules", "scripted"):
    pytest.importorskip(f"pyscrai_{_name}.plugin", reason=f"needs pyscrai-{_name}")

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(scenario:.*?)```", README, re.DOTALL)


def uses(lines: list[str]) -> list[dict[str, Any]]:
    """What each use of a tool came to, from the lines of a log."""
    events = [json.loads(line) for line in lines]
    return [event["payload"] for event in events if event["kind"] == "tool"]


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_readmes_example_runs(text: str, tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    result = pyscrai_core.run(file, store=tmp_path / "runs.db")
    assert result.status == "completed", result.error
    assert result.outcomes == {"notes": {"toll": "3 coins a cart"}}
    used = uses([event.line().decode() for event in result.events])
    assert [use["result"] for use in used[:4]] == ["3", "36", "noted", '{"toll":"3 coins a cart"}']
    assert len(used) == 5


@pytest.mark.parametrize("config", [NotesConfig, WorldConfig])
def test_each_option_is_in_the_readme(config: type) -> None:
    for option in attrs.fields(config):
        assert f"| `{option.name}` |" in README
        assert f"`{option.default}` |" in README


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_run(tmp_path: Path) -> None:
    replies = [
        {
            "tool_calls": [
                {"name": "read_notes", "arguments": {}},
                {"name": "write_note", "arguments": {"title": f"day {day}", "text": f"it is day {day}"}},
                {"name": "dice", "arguments": {"dice": "9d1000"}},
            ],
            "then": {"tool_calls": [{"name": "read_notes", "arguments": {}}], "then": f"Day {day}."},
        }
        for day in (1, 2, 3)
    ]
    whole = check_resume(
        {
            "scenario": "days",
            "providers": {"default": {"use": "scripted", "replies": replies, "latency": 0.01}},
            "agents": {name: {"persona": "A person.", "tools": ["notes", "dice"]} for name in ("Ann", "Ben")},
            "schedule": {"use": "simultaneous", "rounds": 3},
            "outcomes": {"notes": "[len(agents.Ann.notes), len(agents.Ben.notes)]"},
        },
        tmp_path,
        kills=[1, 9, 17],
    )
    assert whole.result["outcomes"] == {"notes": [3, 3]}
    used = uses(whole.log)
    assert len(used) == 2 * 3 * 4
    assert not [use for use in used if "error" in use]
    assert len({use["result"] for use in used if use["name"] == "dice"}) == 6
