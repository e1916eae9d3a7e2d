"""The tools in whole runs: an engine calls them as its options say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

import pyscrai_core
import pyscrai_toolbox.plugin
from pyscrai_core import (
    Engine,
    Extension,
    RunResult,
    ScenarioError,
    Schedule,
    Stage,
    ToolFailed,
    Turn,
    hookimpl,
)
from pyscrai_core.api import replay
from pyscrai_core.plugins import Host

NAME = __name__


@frozen
class CallerConfig:
    """`calls`: for each turn the calls, each a tool's name and its arguments."""

    calls: tuple[Any, ...]


class Caller(Engine):
    """Calls tools, and tells what they answered: `told` if they did, `failed` if not."""

    Config = CallerConfig

    async def run(self, turn: Turn) -> None:
        for name, arguments in self.config.calls[turn.number]:
            try:
                turn.emit("told", {"result": await turn.call_tool(name, arguments)})
            except ToolFailed as error:
                turn.emit("failed", {"error": str(error)})


class Branches(Engine):
    """Writes in two branches, the second first, and reads in both after that; then as a whole."""

    async def run(self, turn: Turn) -> None:
        second, first = asyncio.Event(), asyncio.Event()

        async def write(branch: Turn, title: str, after: asyncio.Event | None, done: asyncio.Event) -> Any:
            if after:
                await after.wait()
            await branch.call_tool("write_note", {"title": title, "text": "x"})
            done.set()
            await first.wait()
            return await branch.call_tool("read_notes", {})

        seen = await turn.gather(
            lambda branch: write(branch, "one", second, first),
            lambda branch: write(branch, "two", None, second),
        )
        turn.emit("told", {"result": seen})


class Steps(Schedule):
    """All agents at once, twice."""

    async def next(self, stage: Stage) -> tuple[str, ...]:
        return stage.agents if stage.step <= 2 else ()


class Parts:
    pyscrai_api = 1
    __name__ = "parts"

    @hookimpl
    def pyscrai_engines(self) -> list[Extension]:
        return [Extension("caller", f"{NAME}:Caller"), Extension("branches", f"{NAME}:Branches")]

    @hookimpl
    def pyscrai_schedules(self) -> list[Extension]:
        return [Extension("steps", f"{NAME}:Steps")]


HOST = Host(extra=[Parts(), pyscrai_toolbox.plugin])
Play = Callable[..., RunResult]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run Mara with `tools` through the `calls` of her turns, and Jon, who only stands by; and replay it."""

    def run(tools: Any, *calls: Any, seed: int = 1, mara: Any = None, **scenario: Any) -> RunResult:
        agent = {"engine": "caller", "memory": None, "tools": tools}
        own = {"calls": [*calls, [], []]} if mara is None else mara
        file = tmp_path / "scenario.json"
        agents = {"Mara": {**agent, **own}, "Jon": {**agent, "calls": [[], []]}}
        file.write_text(json.dumps({"scenario": "t", "schedule": "steps", "agents": agents, **scenario}))
        result = pyscrai_core.run(file, seed=seed, store=tmp_path / "runs.db", host=HOST)
        assert result.status == "completed", result.error
        assert replay(store=tmp_path / "runs.db", host=HOST).fingerprint == result.fingerprint
        return result

    return run


def told(result: RunResult) -> list[Any]:
    """What the tools answered or why they failed, by Mara's turns."""
    values = {"told": "result", "failed": "error"}
    return [event.payload[values[event.kind]] for event in result.events if event.kind in values]


# -- calculator and dice --


def test_arithmetic(play: Play) -> None:
    calls = [["calculator", {"expression": text}] for text in ("6 * 7", "1 / 0")]
    assert told(play(["calculator"], calls)) == [42, "calculator: divided by zero"]


def test_dice_are_the_runs_own(play: Play) -> None:
    throw = ["dice", {"dice": "20d6 + 3"}]
    result = told(play(["dice"], [throw, throw], [throw]))
    for one in result:
        assert len(one["rolls"]) == 20
        assert set(one["rolls"]) <= {1, 2, 3, 4, 5, 6}
        assert one["total"] == sum(one["rolls"]) + 3
    assert len({tuple(one["rolls"]) for one in result}) == 3
    assert told(play(["dice"], [throw, throw], [throw])) == result
    assert told(play(["dice"], [throw, throw], [throw], seed=2)) != result


@pytest.mark.parametrize(
    "dice, rolls, least, most",
    [("d6", 1, 1, 6), ("1D20-3", 1, -2, 17), ("100d1", 100, 100, 100), (" 2 d 1000 + 10 ", 2, 12, 2010)],
)
def test_throws(play: Play, dice: str, rolls: int, least: int, most: int) -> None:
    (result,) = told(play(["dice"], [["dice", {"dice": dice}]]))
    assert len(result["rolls"]) == rolls
    assert least <= result["total"] <= most


@pytest.mark.parametrize(
    "dice", ["", "six", "2d", "0d6", "101d6", "2d1001", "2d0", "2d6+", "2d6*2", "9" * 50]
)
def test_no_throws(play: Play, dice: str) -> None:
    (error,) = told(play(["dice"], [["dice", {"dice": dice}]]))
    assert error.startswith("dice: ")


# -- notes --


def write(title: str, text: str = "x") -> list[Any]:
    return ["write_note", {"title": title, "text": text}]


READ = ["read_notes", {}]


def test_notes_are_read_at_once_and_in_later_turns(play: Play) -> None:
    first = [
        READ,
        write("Jon", "owes 3 coins"),
        READ,
        write("Jon", "paid"),
        write(" the  sea ", "cold"),
        READ,
    ]
    result = play(["notes"], first, [READ, write("Jon", ""), READ], outcomes={"notes": "agents.Mara.notes"})
    both = {"Jon": "paid", "the sea": "cold"}
    assert told(result) == [
        {}, "noted", {"Jon": "owes 3 coins"}, "noted", "noted", both, both, "deleted", {"the sea": "cold"},
    ]  # fmt: skip
    assert result.outcomes["notes"] == {"Jon": None, "the sea": "cold"}
    assert {event.audience for event in result.events if event.kind == "change"} == {()}


def test_notes_can_be_given_and_belong_to_one_agent(play: Play) -> None:
    given = {"state": {"notes": {"debts": [3, {"to": "Jon"}]}}, "calls": [[READ, write("new"), READ], []]}
    jon = {"engine": "caller", "memory": None, "tools": ["notes"], "calls": [[], [READ]]}
    mara = {**jon, **given}
    result = play([], agents={"Mara": mara, "Jon": jon})
    debts = {"debts": [3, {"to": "Jon"}]}
    assert told(result) == [debts, "noted", {**debts, "new": "x"}, {}]


def test_notes_have_bounds(play: Play) -> None:
    calls = [
        write("a"),
        write("b"),
        write("c"),
        write("a", "again"),
        write("b", ""),
        write("c"),
        write("c", "12345"),
    ]
    answers = told(play([{"use": "notes", "limit": 2, "characters": 4}], [*calls[:3], *calls[4:]]))
    assert answers[:2] == ["noted", "noted"]
    assert "the limit of 2 notes is reached" in answers[2]
    assert answers[3:5] == ["deleted", "noted"]
    assert "5 characters are too many; a note has at most 4" in answers[5]


@pytest.mark.parametrize("title", ["", " ", "a.b", "x" * 61])
def test_titles_that_are_none(play: Play, title: str) -> None:
    (error,) = told(play(["notes"], [write(title)]))
    assert error.startswith("notes: a title has 1 to 60 characters")


def test_what_is_not_there_cannot_be_forgotten(play: Play) -> None:
    assert told(play(["notes"], [write("a", "")])) == ["notes: there is no note 'a' to delete"]


def test_a_state_of_another_form_is_left_alone(play: Play) -> None:
    mara = {"state": {"notes": "mine"}, "calls": [[READ, write("a")], []]}
    result = play(["notes"], mara=mara, outcomes={"notes": "agents.Mara.notes"})
    assert ["is not a mapping" in error for error in told(result)] == [True, True]
    assert result.outcomes["notes"] == "mine"


def test_branches_do_not_see_each_others_notes_before_the_turn_is_over(play: Play) -> None:
    result = play(["notes"], mara={"engine": "branches"}, outcomes={"notes": "agents.Mara.notes"})
    both = {"one": "x", "two": "x"}
    assert told(result) == [[{"one": "x"}, {"two": "x"}], [both, both]]
    assert result.outcomes["notes"] == both


# -- world --

STATE = {"price": 3, "market": {"stalls": [{"of": "Mara"}, {"of": "Jon"}], "open": True}}


def look(path: str) -> list[Any]:
    return ["world", {"path": path}]


def test_looking_around(play: Play) -> None:
    paths = ["", "price", "market", "market.stalls.1.of", "self.purse", "groups.guild.fee", "self", "groups"]
    result = play(
        ["world"],
        mara={"state": {"purse": 4}, "calls": [[look(path) for path in paths], []]},
        world={"state": STATE},
        groups={"guild": {"members": ["Mara"], "state": {"fee": 1}}, "crew": {"members": ["Jon"]}},
    )
    assert told(result) == [
        ["price", "market", "self.purse", "groups.guild.fee"],
        3,
        STATE["market"],
        "Jon",
        4,
        1,
        {"purse": 4},
        {"guild": {"fee": 1}},
    ]


@pytest.mark.parametrize(
    "path, words",
    [
        ("prise", "the state has no 'prise' (did you mean 'price'?); its keys: price, market, self, groups"),
        ("market.stalls.2", "market.stalls has no '2'; its keys: 0, 1"),
        ("price.high", "price has no parts, it is 3; look up price itself"),
        ("agents.Jon.purse", "the state has no 'agents'"),
        ("groups.crew.boat", "groups has no 'crew'; its keys: nothing"),
        ("market..open", "market has no ''"),
    ],
)
def test_what_is_not_there(play: Play, path: str, words: str) -> None:
    (error,) = told(
        play(["world"], [look(path)], world={"state": STATE}, groups={"crew": {"members": ["Jon"]}})
    )
    assert error.startswith(f"world: {words}")


def test_long_answers_are_cut_visibly(play: Play) -> None:
    tools = [{"use": "world", "characters": 10}]
    whole, cut = told(
        play(tools, [look("short"), look("long")], world={"state": {"short": "12345678", "long": "1" * 50}})
    )
    assert whole == "12345678"
    assert cut == '"111111111… (truncated: 42 more characters; look up a part of it)'


@pytest.mark.parametrize(
    "tool",
    [{"use": "notes", "limit": 0}, {"use": "notes", "characters": 0}, {"use": "world", "characters": 0}],
)
def test_wrong_options_are_refused(play: Play, tool: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match="limit|characters"):
        play([tool], [])
