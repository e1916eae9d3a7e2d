"""The schedules in whole runs, played by agents that say who they are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
import pyscrai_schedules.plugin
from pyscrai_core import Engine, Extension, RunResult, ScenarioError, Turn, hookimpl
from pyscrai_core.api import replay
from pyscrai_core.plugins import Host


class Caller(Engine):
    """Says its name and who was heard."""

    async def run(self, turn: Turn) -> None:
        heard = [event.source for event in turn.observed if event.source != turn.agent.name]
        turn.say(f"{turn.agent.name} heard {', '.join(heard) or 'nobody'}")


class CallerPlugin:
    pyscrai_api = 1
    __name__ = "caller"

    @hookimpl
    def pyscrai_engines(self) -> list[Extension]:
        return [Extension("caller", f"{__name__}:Caller")]


HOST = Host(extra=[CallerPlugin(), pyscrai_schedules.plugin])

#: Agents that act by schedule.
THREE: dict[str, Any] = {"Ann": {}, "Ben": {}, "Cem": {}}
#: What makes an agent react to what it hears.
REACTS = {"acts": {"on": "say"}}


def run(folder: Path, schedule: str, agents: dict[str, Any] = THREE, seed: int = 1) -> RunResult:
    """Run a scenario, replay it, and hold both against each other."""
    played = {name: {"engine": "caller", "memory": None, **agent} for name, agent in agents.items()}
    file = folder / "scenario.yaml"
    file.write_text(f"scenario: calls\nagents: {json.dumps(played)}\nschedule: {schedule}\n")
    store = folder / "runs.db"
    result = pyscrai_core.run(file, seed=seed, store=store, host=HOST)
    again = replay("last", store=store, host=HOST)
    assert (again.fingerprint, again.status) == (result.fingerprint, result.status)
    return result


def said(result: RunResult) -> list[tuple[int, str]]:
    return [(event.step, event.payload["text"]) for event in result.events]


def test_round_robin_everybody_hears_those_before(tmp_path: Path) -> None:
    result = run(tmp_path, "{use: round-robin, rounds: 2}")
    assert (result.status, result.steps) == ("completed", 6)
    assert said(result) == [
        (1, "Ann heard nobody"),
        (2, "Ben heard Ann"),
        (3, "Cem heard Ann, Ben"),
        (4, "Ann heard Ben, Cem"),
        (5, "Ben heard Cem, Ann"),
        (6, "Cem heard Ann, Ben"),
    ]


def test_simultaneous_nobody_hears_those_of_the_same_step(tmp_path: Path) -> None:
    result = run(tmp_path, "{use: simultaneous, rounds: 2}")
    assert said(result) == [
        (1, "Ann heard nobody"),
        (1, "Ben heard nobody"),
        (1, "Cem heard nobody"),
        (2, "Ann heard Ben, Cem"),
        (2, "Ben heard Ann, Cem"),
        (2, "Cem heard Ann, Ben"),
    ]


def test_random_draws_the_same_for_a_seed_and_others_for_another(tmp_path: Path) -> None:
    schedule = "{use: random, steps: 20, group: 2}"
    one, same, other = (run(tmp_path, schedule, seed=seed) for seed in (1, 1, 2))
    assert one.steps == 20
    assert len(one.events) == 40
    assert one.fingerprint == same.fingerprint
    assert one.fingerprint != other.fingerprint


def test_reactive_passes_the_word_on(tmp_path: Path) -> None:
    agents = {"Ann": REACTS, "Ben": REACTS}
    result = run(tmp_path, "{use: reactive, opening: [Ann], max_steps: 4}", agents)
    assert said(result) == [
        (1, "Ann heard nobody"),
        (2, "Ben heard Ann"),
        (3, "Ann heard Ben"),
        (4, "Ben heard Ann"),
    ]


def test_reactive_ends_when_all_is_quiet(tmp_path: Path) -> None:
    # Ann acts by schedule, so she opens; nobody waits for what Ben says.
    result = run(tmp_path, "{use: reactive}", {"Ann": {}, "Ben": REACTS})
    assert said(result) == [(1, "Ann heard nobody"), (2, "Ben heard Ann")]
    assert result.status == "completed"


def test_reactive_keeps_to_the_turns_of_each_agent(tmp_path: Path) -> None:
    agents = {"Ann": REACTS, "Ben": REACTS, "Cem": REACTS}
    result = run(tmp_path, "{use: reactive, opening: [Ann], per_agent: 2}", agents)
    sources = [event.source for event in result.events]
    assert sorted(sources) == ["Ann", "Ann", "Ben", "Ben", "Cem", "Cem"]


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("{use: round-robin, order: [Ann, Bne]}", "schedule.order[1]: there is no agent 'Bne'"),
        ("{use: reactive, opening: [Bne]}", "schedule.opening[0]: there is no agent 'Bne'"),
    ],
)
def test_a_mistake_that_only_the_agents_show_is_bad_input(tmp_path: Path, schedule: str, words: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(f"{words} (did you mean 'Ben'?)")):
        run(tmp_path, schedule)
