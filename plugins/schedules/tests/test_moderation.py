"""`moderated` and `interrupt`, in whole runs that are then replayed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
import pyscrai_schedules.plugin
from pyscrai_core import Completion, Engine, Extension, Provider, Request, RunResult, Schedule, Turn, hookimpl
from pyscrai_core.api import replay
from pyscrai_core.plugins import Host
from pyscrai_schedules.interrupt import Interrupt
from pyscrai_schedules.moderated import Moderated

ASKED: list[Request] = []


class Chair(Provider):
    """Gives the word to the last of those that it may choose from, or to nobody."""

    capabilities = frozenset({"schema"})

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        ASKED.append(request)
        assert request.schema
        name = request.schema["properties"]["next"]["enum"][-1]
        return Completion(
            text=json.dumps({"next": name if "NOBODY" not in request.messages[0].text else "Zoe"})
        )


class Talker(Engine):
    """Says its name; in its turns `self.claims` (from 0) it claims the next one, too."""

    async def run(self, turn: Turn) -> None:
        turn.say(f"I am {turn.agent.name}")
        if turn.number in turn.own.get("claims", ()):
            turn.emit("interrupt")


class PartsPlugin:
    pyscrai_api = 1
    __name__ = "parts"

    @hookimpl
    def pyscrai_engines(self) -> list[Extension]:
        return [Extension("talker", f"{__name__}:Talker")]

    @hookimpl
    def pyscrai_providers(self) -> list[Extension]:
        return [Extension("chair", f"{__name__}:Chair")]


HOST = Host(extra=[PartsPlugin(), pyscrai_schedules.plugin])
THREE: dict[str, Any] = {"Ann": {}, "Ben": {}, "Cem": {}}


def run(folder: Path, schedule: dict[str, Any], agents: dict[str, Any] = THREE) -> RunResult:
    ASKED.clear()
    file = folder / "scenario.json"
    scenario = {
        "scenario": "talk",
        "providers": {"default": {"use": "chair"}},
        "world": {"state": {"topic": "apples"}},
        "agents": {name: {"engine": "talker", "memory": None, **agent} for name, agent in agents.items()},
        "schedule": schedule,
    }
    file.write_text(json.dumps(scenario))
    result = pyscrai_core.run(file, store=folder / "runs.db", host=HOST)
    asked = len(ASKED)
    again = replay("last", store=folder / "runs.db", host=HOST)
    assert (again.fingerprint, again.status, len(ASKED)) == (result.fingerprint, result.status, asked)
    return result


def spoke(result: RunResult) -> list[str]:
    return [event.source for event in result.events if event.kind == "say"]


def test_a_rule_chooses(tmp_path: Path) -> None:
    rule = "names[len(events) % len(names)]"
    result = run(tmp_path, {"use": "moderated", "turns": 5, "rule": rule})
    # Of those that may be next: the first of three, the second of Ben and Cem, the first of Ann and Ben, …
    assert spoke(result) == ["Ann", "Cem", "Ann", "Cem", "Ann"]
    assert not ASKED


def test_a_rule_may_choose_the_same_again_if_it_is_allowed(tmp_path: Path) -> None:
    result = run(tmp_path, {"use": "moderated", "turns": 3, "rule": "last or 'Ben'", "repeat": True})
    assert spoke(result) == ["Ben"] * 3


@pytest.mark.parametrize(
    "rule, says",
    [
        ("names[0][:1] + 'oe'", "its value 'Aoe' is not an agent that may be next, expected one of Ann, Ben"),
        ("last", "its value None is not an agent"),
        ("'Ben'", "step 2: its value 'Ben' had the previous turn (see `repeat`), expected one of Ann, Cem"),
        ("names[step + 5]", "has no item 6"),
    ],
)
def test_a_rule_that_names_nobody_ends_the_run(rule: str, says: str, tmp_path: Path) -> None:
    result = run(tmp_path, {"use": "moderated", "rule": rule})
    assert result.status == "failed"
    assert says in result.error


def test_a_model_chooses_and_is_journaled(tmp_path: Path) -> None:
    schedule = {"use": "moderated", "turns": 4, "window": 1, "instructions": "Hear everyone."}
    result = run(tmp_path, schedule)
    assert spoke(result) == ["Cem", "Ben", "Cem", "Ben"]
    assert [request.schema["properties"]["next"]["enum"] for request in ASKED if request.schema] == [
        ["Ann", "Ben", "Cem"], ["Ann", "Ben"], ["Ann", "Cem"], ["Ann", "Ben"],
    ]  # fmt: skip
    first, *_, last = (request.messages[0].text for request in ASKED)
    assert "Hear everyone." in first
    assert "Nothing has been said yet." in first
    assert "topic: apples" in first
    assert "Cem: I am Cem" in last
    assert "Ben: I am Ben" not in last
    with pyscrai_core.api.Store.open(tmp_path / "runs.db") as store:
        calls = list(store.run("last").calls())
    assert [(call["agent"], call["step"]) for call in calls] == [("@schedule", step) for step in (1, 2, 3, 4)]


def test_where_there_is_no_choice_nobody_is_asked(tmp_path: Path) -> None:
    result = run(tmp_path, {"use": "moderated", "turns": 4}, {"Ann": {}, "Ben": {}})
    assert spoke(result) == ["Ben", "Ann", "Ben", "Ann"]
    assert len(ASKED) == 1


def test_a_model_that_names_nobody_ends_the_run(tmp_path: Path) -> None:
    result = run(tmp_path, {"use": "moderated", "instructions": "NOBODY"})
    assert (result.status, len(result.events)) == ("failed", 0)
    assert "does not fit its schema" in result.error


def test_a_single_agent_cannot_take_turns_with_itself(tmp_path: Path) -> None:
    with pytest.raises(pyscrai_core.ScenarioError, match=re.escape("schedule.repeat: Ann is the only agent")):
        run(tmp_path, {"use": "moderated", "turns": 2}, {"Ann": {}})


def test_a_claimed_turn_goes_before_the_inner_schedule(tmp_path: Path) -> None:
    # Cem listens to all, and claims the next turn when it first hears somebody.
    agents = {"Ann": {}, "Ben": {}, "Cem": {"acts": {"on": "say"}, "state": {"claims": [0]}}}
    result = run(tmp_path, {"use": "interrupt", "inner": {"use": "round-robin", "rounds": 2}}, agents)
    assert [f"{event.step} {event.source}" for event in result.events if event.kind == "say"] == [
        "1 Ann", "1 Cem", "2 Cem", "3 Ben", "3 Cem", "4 Ann", "4 Cem", "5 Ben", "5 Cem",
    ]  # fmt: skip


def test_of_several_claims_the_last_counts(tmp_path: Path) -> None:
    agents = {name: {"state": {"claims": [0]}} for name in THREE}
    result = run(tmp_path, {"use": "interrupt", "inner": {"use": "simultaneous", "rounds": 2}}, agents)
    assert spoke(result) == ["Ann", "Ben", "Cem", "Cem", "Ann", "Ben", "Cem"]


def test_who_always_claims_does_not_keep_the_run_going(tmp_path: Path) -> None:
    agents = {"Ann": {"state": {"claims": list(range(100))}}, "Ben": {}}
    result = run(
        tmp_path, {"use": "interrupt", "in_a_row": 2, "inner": {"use": "round-robin", "rounds": 2}}, agents
    )
    assert "".join(name[0] for name in spoke(result)) == "AAABAAAB"


def test_the_inner_schedule_may_be_one_that_schedules_reactions(tmp_path: Path) -> None:
    hears = {"acts": {"on": "say"}}
    agents = {"Ann": hears, "Ben": {**hears, "state": {"claims": [0]}}}
    inner = {"use": "reactive", "opening": ["Ann"], "max_steps": 3}
    result = run(tmp_path, {"use": "interrupt", "inner": inner}, agents)
    assert spoke(result) == ["Ann", "Ben", "Ben", "Ann"]


def test_without_an_inner_schedule_it_goes_round(tmp_path: Path) -> None:
    assert spoke(run(tmp_path, {"use": "interrupt"})) == ["Ann", "Ben", "Cem"] * 10


@pytest.mark.parametrize(
    "kind, options, says",
    [
        (Moderated, {"turns": 0}, "turns: expected 1 or more, got 0"),
        (Moderated, {"window": 0}, "window: expected"),
        (Moderated, {"rule": "nmaes[0]"}, "rule: 'nmaes[0]': the name 'nmaes' is not known"),
        (Interrupt, {"in_a_row": 0}, "in_a_row: expected"),
    ],
)
def test_wrong_options_are_refused(kind: type[Schedule], options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        kind.Config(**options)
