"""What observers are told of executions, turns and uses of tools."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from pyscrai_core import CallFailed, Engine, NoConfig, Observer, Tool, ToolFailed, api

CURRENT: ContextVar[str] = ContextVar("current")


class Notes(Observer):
    def __init__(self) -> None:
        super().__init__(NoConfig())
        self.told: list[tuple[str, Any]] = []
        self.runs: set[str] = set()

    def on_begin(self, execution: Any) -> None:
        CURRENT.set(execution.run)
        self.told.append((execution.run, execution))

    def _note(self, record: Any) -> None:
        self.told.append((CURRENT.get(), record))

    on_turn = on_tool = on_call = _note

    def of(self, kind: str) -> list[Any]:
        return [record for _, record in self.told if type(record).__name__ == kind]


class Adds(Tool):
    name = "adds"
    external = False
    parameters = {"type": "object", "properties": {"a": {"type": "integer"}}}

    async def call(self, arguments: dict[str, Any], turn: Any) -> Any:
        if arguments["a"] < 0:
            raise ValueError("below zero")
        return arguments["a"] + 1


class Acts(Engine):
    async def run(self, turn: Any) -> None:
        if turn.agent.name == "Bad":
            raise CallFailed("no")
        await turn.call_tool("adds", {"a": 1})
        with pytest.raises(ToolFailed):
            await turn.call_tool("adds", {"a": -1})
        await turn.gather(*[lambda one: one.think("?")] * 2)
        turn.say("done")


SCENARIO = {
    "scenario": "acting",
    "providers": {"default": {"use": "scripted", "replies": ["x"]}},
    "agents": {
        "Good": {"engine": "acts", "tools": ["adds"]},
        "Bad": {"engine": "acts", "on_error": "skip"},
    },
    "schedule": {"use": "simultaneous", "rounds": 1},
}


def test_turns_tools_and_calls_are_told_with_positions(play: Any) -> None:
    notes = Notes()
    result = play(SCENARIO, engine__acts=Acts, tool__adds=Adds, observers=[notes], labels={"arm": "x"})
    assert result.status == "completed", result.error
    (begun,) = notes.of("Execution")
    assert (begun.run, begun.scenario, begun.kind, begun.labels) == (
        result.run,
        "acting",
        "new",
        {"arm": "x"},
    )
    assert (begun.recorded_events, begun.recorded_steps) == (0, -1)
    assert begun.models["default"].use == "scripted"
    turns = [(one.position.agent, one.position.path, one.status) for one in notes.of("TurnRecord")]
    assert sorted(turns) == [
        ("Bad", "1", "skipped"), ("Bad", "1", "started"), ("Good", "1", "ended"), ("Good", "1", "started"),
    ]  # fmt: skip
    tools = [(one.position.path, one.status, one.answer, one.error_type) for one in notes.of("ToolRecord")]
    assert tools == [
        ("1/tool.1", "started", None, ""),
        ("1/tool.1", "answered", 2, ""),
        ("1/tool.2", "started", None, ""),
        ("1/tool.2", "failed", None, "ToolFailed"),
    ]
    calls = notes.of("CallRecord")
    assert {one.position.path for one in calls} == {"1/part.1/think.1#1", "1/part.2/think.1#1"}
    asked = [one for one in calls if one.status == "started"]
    assert [one.request.messages[-1].text for one in asked] == ["?", "?"]
    assert all(one.provider == "default" and one.started > 0 for one in calls if one.status == "answered")


def test_one_observer_of_two_runs_can_tell_them_apart(play: Any, host_with: Any, tmp_path: Any) -> None:
    notes = Notes()
    play(SCENARIO, engine__acts=Acts, tool__adds=Adds)  # writes the file
    path = tmp_path / "scenario.json"
    given = {"host": host_with(engine__acts=Acts, tool__adds=Adds), "observers": [notes]}

    async def both() -> list[Any]:
        runs = [api.arun(path, seed=n, store=tmp_path / f"{n}.db", **given) for n in (1, 2)]
        return await asyncio.gather(*runs)

    first, second = asyncio.run(both())
    counts = {run: sum(1 for told, _ in notes.told if told == run) for run in (first.run, second.run)}
    assert counts[first.run] == counts[second.run] == len(notes.told) / 2


def test_an_observer_may_be_given_a_method_by_itself(play: Any) -> None:
    """As one that a test watches."""
    told: list[Any] = []
    observer = Observer(NoConfig())
    observer.on_call = told.append  # type: ignore[method-assign]
    play(SCENARIO, engine__acts=Acts, tool__adds=Adds, observers=[observer])
    assert {one.status for one in told} == {"started", "answered"}
