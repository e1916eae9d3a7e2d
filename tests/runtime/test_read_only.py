"""Nobody but an engine changes a run: what others are given cannot be changed, or is a copy of their own."""

from __future__ import annotations

import copy
import json
import pickle
import sqlite3
from contextlib import closing, suppress
from typing import Any

import attrs
import jsonschema
import orjson
import pytest
from attrs import frozen

from pyscrai_core import (
    Completion,
    Engine,
    Event,
    Memory,
    Message,
    Observer,
    Position,
    Provider,
    Reasoning,
    Request,
    Schedule,
    Tool,
    ToolCall,
    ToolSpec,
    Usage,
)
from pyscrai_core.base.progress import CallRecord
from pyscrai_records.base.frozen import FrozenDict, FrozenList, freeze

ROUNDS = {"use": "round-robin", "rounds": 2}


def vandalize(value: Any, seen: list[int] | None = None) -> None:
    """Change whatever can be changed in a value, as careless or hostile code would."""
    seen = [] if seen is None else seen
    if isinstance(value, (str, int, float, type(None))) or id(value) in seen:
        return
    seen.append(id(value))
    if isinstance(value, dict):
        for part in list(value.values()):
            vandalize(part, seen)
        for change in (lambda: value.update(text="FORGED", price=99), value.clear, lambda: value.pop("text")):
            attempt(change)
    elif isinstance(value, list):
        for part in list(value):
            vandalize(part, seen)
        for change in (lambda: value.append("FORGED"), value.reverse, value.clear):
            attempt(change)
    elif isinstance(value, tuple):
        for part in value:
            vandalize(part, seen)
    else:
        for name in getattr(type(value), "__attrs_attrs__", ()):
            vandalize(getattr(value, name.name), seen)


def attempt(change: Any) -> None:
    with suppress(TypeError, KeyError):
        change()


class Answers(Provider):
    """Calls the tool once a turn, then says what the last message was."""

    capabilities = frozenset({"tools", "schema"})
    hostile = False

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        last = request.messages[-1]
        calls = () if last.role == "tool" else (ToolCall("a", "look", {"where": ["here", "there"]}),)
        answer = Completion(f"{len(request.messages)}: {request.messages[-1].text}", tool_calls=calls)
        if self.hostile:
            vandalize([*request.messages, request.tools, request.schema])
        return answer


class Look(Tool):
    name = "look"
    parameters = {"type": "object", "properties": {"where": {"type": "array"}}}
    hostile = False

    async def call(self, arguments: Any, turn: Any) -> Any:
        found = {"saw": list(arguments["where"])}
        if self.hostile:
            vandalize([arguments, turn.observed, turn.log, turn.agent])
        return found


class Notes(Memory):
    hostile = False

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.lines: list[Message] = []

    async def observe(self, events: Any, turn: Any) -> None:
        self.lines += [Message.user(event.describe()) for event in events]
        if self.hostile:
            vandalize([events, turn.observed, turn.log, turn.agent])

    async def recall(self, turn: Any) -> list[Message]:
        return self.lines


class Plain(Reasoning):
    hostile = False

    async def reason(self, request: Request, turn: Any) -> Completion:
        if self.hostile:
            vandalize([request, turn.observed, turn.log, turn.agent])
        return await turn.converse(request)


class Speaks(Engine):
    async def run(self, turn: Any) -> None:
        heard = [event.payload.get("text") for event in turn.observed]
        history = await turn.recall()
        history.append(Message.user(f"{heard}"))  # the engine's own list, whatever the memory keeps
        completion = await turn.think(history)
        turn.emit("offer", {"price": len(completion.text), "with": [{"text": completion.text}]})
        turn.say(completion.text)


class Turns(Schedule):
    hostile = False

    async def next(self, stage: Any) -> list[str]:
        if self.hostile:
            vandalize([stage.log])
        return ["A", "B"] if len(stage.log) < 12 else []


class Watches(Observer):
    hostile = False

    def on_run(self, run: str, status: Any, result: Any) -> None:
        if self.hostile:
            vandalize(result)

    def on_event(self, event: Any) -> None:
        if self.hostile:
            vandalize(event)

    def on_call(self, call: Any) -> None:
        if self.hostile:
            vandalize(call)

    def on_begin(self, execution: Any) -> None:
        if self.hostile:
            vandalize(execution)

    def on_turn(self, turn: Any) -> None:
        if self.hostile:
            vandalize(turn)

    def on_tool(self, tool: Any) -> None:
        if self.hostile:
            vandalize(tool)


WHO = {
    "provider": Answers,
    "tool": Look,
    "memory": Notes,
    "reasoning": Plain,
    "schedule": Turns,
    "observer": Watches,
}
AGENT = {
    "engine": "speaks",
    "memory": "notes",
    "reasoning": "plain",
    "tools": ["look"],
    "state": {"cards": ["ace"]},
    "actions": {"offer": {"price": {"type": "integer"}, "with": {"type": "array"}}},
}
SCENARIO = {
    "providers": {"default": {"use": "answers"}},
    "world": {"state": {"last": None}},
    "agents": {"A": AGENT, "B": AGENT},
    "rules": [{"on": "offer", "set": {"last": "event.payload"}}],
    "schedule": "turns",
    "outcomes": {"last": "state.last", "cards": "agents.A.cards"},
}


def played(play: Any, **given: Any) -> Any:
    return play(
        SCENARIO,
        provider__answers=Answers,
        tool__look=Look,
        memory__notes=Notes,
        reasoning__plain=Plain,
        engine__speaks=Speaks,
        schedule__turns=Turns,
        observers=[Watches(None)],
        **given,
    )


@pytest.mark.parametrize("who", WHO)
def test_who_writes_into_what_it_is_given_changes_nothing(
    play: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    quiet = played(play)
    assert quiet.status == "completed", quiet.error
    assert quiet.outcomes["last"]["with"], quiet.outcomes
    monkeypatch.setattr(WHO[who], "hostile", True)
    loud = played(play, store=tmp_path / "loud.db")
    assert loud.status == "completed", loud.error
    assert [event.to_dict() for event in loud.events] == [event.to_dict() for event in quiet.events]
    assert (loud.fingerprint, loud.outcomes) == (quiet.fingerprint, quiet.outcomes)


def test_agents_do_not_share_their_options(play: Any) -> None:
    class Lines(Engine):
        @frozen
        class Config:
            lines: list[str] = []

        async def run(self, turn: Any) -> None:
            attempt(lambda: self.config.lines.pop(0))
            turn.say(self.config.lines[0])

    result = play(
        {
            "agents": {name: {"engine": {"use": "lines", "lines": ["x", "y", "z"]}} for name in "AB"},
            "schedule": ROUNDS,
        },
        engine__lines=Lines,
    )
    assert [event.payload["text"] for event in result.events] == ["x"] * 4, result.error


def test_a_schema_that_is_changed_is_asked_and_journaled_as_it_is_then(play: Any, tmp_path: Any) -> None:
    sent: list[Any] = []

    class Choice(Provider):
        capabilities = frozenset({"schema"})

        async def complete(self, request: Request, sink: Any = None) -> Completion:
            assert request.schema is not None
            sent.append(request.schema["enum"])
            return Completion(json.dumps(request.schema["enum"][-1]))

    class Chooses(Engine):
        schema: Any = None

        async def run(self, turn: Any) -> None:
            schema = self.schema = self.schema or {"enum": ["one"]}
            turn.say((await turn.think("which?", schema)).parsed)
            schema["enum"].append(f"of turn {turn.number}")

    scenario = {
        "providers": {"default": {"use": "choice"}},
        "agents": {"A": {"engine": "chooses", "memory": None}},
        "schedule": ROUNDS,
    }
    store = tmp_path / "runs.db"
    result = play(scenario, provider__choice=Choice, engine__chooses=Chooses, store=store)
    assert result.status == "completed", result.error
    assert sent == [["one"], ["one", "of turn 0"]]
    with closing(sqlite3.connect(store)) as opened:
        frames = [json.loads(row[0]) for row in opened.execute("SELECT body FROM messages")]
    schemas = [frame["schema"] for frame in frames if "schema" in frame]
    assert sorted(schemas, key=str) == sorted([{"enum": one} for one in sent], key=str)


class Loose(dict):  # type: ignore[type-arg]
    __slots__ = ()


class LooseList(list):  # type: ignore[type-arg]
    __slots__ = ()


def test_a_frozen_value_is_json_for_everybody_and_says_how_to_change_it() -> None:
    plain = {"a": [1, {"b": "x"}], "c": {}}
    frozen = freeze(plain)
    assert frozen == plain
    assert isinstance(frozen, FrozenDict)
    assert isinstance(frozen["a"], FrozenList)
    assert orjson.dumps(frozen) == orjson.dumps(plain)
    assert json.dumps(frozen) == json.dumps(plain)
    jsonschema.validate(frozen, {"type": "object", "properties": {"a": {"type": "array"}}})
    assert pickle.loads(pickle.dumps(frozen)) == plain
    for free in (copy.deepcopy(frozen), dict(frozen), frozen | {}):
        free["a"] = []
    with pytest.raises(TypeError, match=r"read-only.*copy\.deepcopy"):
        frozen["a"][1]["b"] = "y"
    changes = [
        lambda d: d.update(x=1), lambda d: d.pop("a"), lambda d: d.popitem(), lambda d: d.clear(),
        lambda d: d.setdefault("x", 1), lambda d: d.__delitem__("a"), lambda d: d.__ior__({"x": 1}),
        lambda d: d["a"].append(1), lambda d: d["a"].extend([1]), lambda d: d["a"].insert(0, 1),
        lambda d: d["a"].pop(), lambda d: d["a"].remove(1), lambda d: d["a"].reverse(),
        lambda d: d["a"].sort(), lambda d: d["a"].clear(), lambda d: d["a"].__delitem__(0),
        lambda d: d["a"].__iadd__([1]), lambda d: d["a"].__imul__(2),
        lambda d: d.__init__({"x": 1}), lambda d: d.__init__(x=1), lambda d: d["a"].__init__([1]),
        lambda d: d["c"].__init__({"x": 1}), lambda d: setattr(d, "__class__", Loose),
        lambda d: setattr(d["a"], "__class__", LooseList), lambda d: d.__delattr__("a"),
        lambda d: pickle.loads(pickle.dumps(d)).__init__({}),
        lambda d: pickle.loads(pickle.dumps(d["a"])).clear(),
        lambda d: d.copy()["a"].append(1), lambda d: copy.copy(d)["a"].append(1),
        lambda d: (d | {})["a"].append(1), lambda d: d.__reduce__()[1][0]["a"].append(1),
    ]  # fmt: skip
    for change in changes:
        with pytest.raises(TypeError, match="read-only"):
            change(frozen)
    assert frozen == plain


RECORDS = [
    Event(1, 1, "say", "A", ("*",), {"text": "x"}),
    Position("A", 1, "1"),
    Usage(1, 2),
    Completion("x"),
    Message.user("x"),
    Request((Message.user("x"),)),
    ToolSpec("t", "", {"type": "object"}),
    CallRecord(Position("A", 1, "1"), "complete", "answered", "default"),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda one: type(one).__name__)
def test_no_record_is_made_anew_by_its_own_methods(record: Any) -> None:
    before = copy.deepcopy(record)
    names = [field.name for field in attrs.fields(type(record)) if field.init]
    for change in (record.__init__, lambda **more: record.__setstate__(more)):
        with pytest.raises(TypeError, match=r"read-only; attrs\.evolve makes a changed copy"):
            change(**dict.fromkeys(names))
    assert record == before == pickle.loads(pickle.dumps(record)) == attrs.evolve(record) == copy.copy(record)


def test_what_one_observer_is_told_at_the_beginning_stays_so_for_the_others(play: Any) -> None:
    class Sees(Observer):
        def on_begin(self, execution: Any) -> None:
            vandalize(execution)
            told.append(execution)

    told: list[Any] = []
    watching = [Sees(None), Sees(None)]
    document = {"providers": {"default": {"use": "answers"}}, "agents": {"A": {}}, "schedule": ROUNDS}
    play(document, observers=watching, labels={"study": "pilot"}, provider__answers=Answers)
    for one in told:
        assert set(one.models) == {"default"}
        assert dict(one.labels) == {"study": "pilot"}
    assert len(told) == 2
