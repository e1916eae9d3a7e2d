"""A fault names the component whose code it is, with its package, and a wrong return value as such."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import frozen
from loguru import logger

from pyscrai_core import (
    Completion,
    ContractError,
    Engine,
    Memory,
    Observer,
    Provider,
    Reasoning,
    Schedule,
    Tool,
    Toolset,
)


class Recalls(Engine):
    async def run(self, turn: Any) -> None:
        await turn.recall()
        turn.say((await turn.think("x")).text)


class Calls(Engine):
    async def run(self, turn: Any) -> None:
        turn.say(str(await turn.call_tool("t", {})))


class Kept(Memory):
    async def observe(self, events: Any, turn: Any) -> None: ...

    async def recall(self, turn: Any) -> Any:
        return []


class Fine(Reasoning):
    async def reason(self, request: Any, turn: Any) -> Any:
        return await turn.complete(request)


class Says(Provider):
    async def complete(self, request: Any, sink: Any = None) -> Any:
        return Completion("x")


class Each(Schedule):
    async def next(self, stage: Any) -> Any:
        return [] if stage.log else ["A"]


class Uses(Tool):
    name = "t"

    async def call(self, arguments: Any, turn: Any) -> Any:
        return 1


class Offers(Toolset):
    async def list(self) -> Any:
        return []


BASES = {
    "engine": Recalls, "memory": Kept, "reasoning": Fine, "provider": Says, "schedule": Each, "tool": Uses,
}  # fmt: skip


def played(play: Any, kind: str, cls: type, engine: type = Recalls, **agent: Any) -> Any:
    bases = {**BASES, "engine": engine, kind: cls}
    components = {f"{name}__part": base for name, base in bases.items()}
    part = {"engine": "part", "memory": "part", "reasoning": "part", "tools": ["part"], **agent}
    scenario = {"providers": {"default": {"use": "part"}}, "agents": {"A": part}, "schedule": "part"}
    return play(scenario, **components)


def broken(base: type, method: str) -> type:
    async def breaks(self: Any, *_: Any) -> None:
        raise KeyError("gone")

    return type("Broken", (base,), {method: breaks})


@pytest.mark.parametrize(
    ("kind", "base", "method"),
    [
        ("engine", Recalls, "run"),
        ("memory", Kept, "recall"),
        ("reasoning", Fine, "reason"),
        ("provider", Says, "complete"),
        ("schedule", Each, "next"),
        ("tool", Offers, "list"),
        ("memory", Kept, "aopen"),
        ("tool", Uses, "aopen"),
    ],
)
def test_who_raised_is_named(play: Any, kind: str, base: type, method: str) -> None:
    try:
        error = played(play, kind, broken(base, method)).error
    except ContractError as failure:
        error = str(failure)
    assert f"{kind} 'part' (components_of_a_test" in error or f"{kind} 'part' (given)" in error
    assert "KeyError: 'gone'" in error
    assert "--debug" in error


class Odd(BaseException):
    """What some libraries cancel with."""


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    ("kind", "base", "method"),
    [
        ("engine", Recalls, "run"),
        ("memory", Kept, "recall"),
        ("provider", Says, "complete"),
        ("schedule", Each, "next"),
        ("tool", Offers, "list"),
        ("memory", Kept, "aopen"),
    ],
)
def test_who_raised_what_is_no_exception_is_named(
    play: Any, kind: str, base: type, method: str, several: bool
) -> None:
    async def breaks(self: Any, *_: Any) -> None:
        raise BaseExceptionGroup("several", [Odd("gone")]) if several else Odd("gone")

    cls = type("Broken", (base,), {method: breaks})
    try:
        found = played(play, kind, cls).error
    except ContractError as failure:
        found = str(failure)
    assert f"{kind} 'part' (" in found
    assert f"raised {'BaseExceptionGroup: several' if several else 'Odd: gone'}" in found
    assert "--debug" in found


def test_the_tool_that_raised_is_named_where_its_failure_ends_the_run(play: Any) -> None:
    error = played(play, "tool", broken(Uses, "call"), Calls).error
    assert "tool t: KeyError: 'gone' (tool 'part' (" in error
    assert "--debug" in error


@pytest.mark.parametrize("answer", [{1, 2}, [float("nan")], {1: "a"}, b"x"])
def test_the_tool_that_answers_no_json_is_named(play: Any, answer: Any) -> None:
    async def call(self: Any, arguments: Any, turn: Any) -> Any:
        return answer

    error = played(play, "tool", type("Odd", (Uses,), {"call": call}), Calls).error
    assert "tool t: its answer" in error
    assert "expected plain JSON (tool 'part' (" in error
    assert "tell its author" in error


@pytest.mark.parametrize(("kind", "base", "method"), [("memory", Kept, "recall"), ("tool", Uses, "call")])
def test_who_drafted_what_is_no_event_is_named(play: Any, kind: str, base: type, method: str) -> None:
    async def drafts(self: Any, *given: Any) -> None:
        given[-1].emit("odd", {"x": {1, 2}})

    cls = type("Drafts", (base,), {method: drafts})
    error = played(play, kind, cls, Calls if kind == "tool" else Recalls).error
    assert f"set is not JSON; give plain data; expected plain JSON ({kind} 'part' (" in error


@pytest.mark.parametrize("wrong", [{"parameters": None}, {"description": 5}, {"name": 5}])
def test_a_tool_that_does_not_say_what_it_is_is_named(play: Any, wrong: dict[str, Any]) -> None:
    error = played(play, "tool", type("Wrong", (Uses,), wrong)).error
    ((name, value),) = wrong.items()
    assert f": its `{name}` is {type(value).__name__}, expected " in error
    assert "tool " in error


@pytest.mark.parametrize(
    ("kind", "base", "method", "returned", "said"),
    [
        ("memory", Kept, "recall", None, "recall returned NoneType, expected a list of messages"),
        (
            "memory",
            Kept,
            "recall",
            ["hello"],
            "recall returned str, expected a list of messages, each",
        ),
        ("reasoning", Fine, "reason", "hello", "reason returned str, expected a Completion"),
        ("provider", Says, "complete", "hello", "complete returned str, expected a Completion"),
        ("engine", Recalls, "run", "hello", "run returned str, expected nothing: call `turn.say`"),
        ("schedule", Each, "next", None, "next returned NoneType, expected a list of agents' names"),
        ("schedule", Each, "next", "A", "next returned str, expected a list of agents' names"),
        ("tool", Offers, "list", [1], "list returned int, expected a list of tools, each a Tool"),
    ],
)
@pytest.mark.parametrize("sync", [False, True])
def test_a_wrong_return_value_is_said_as_such(
    play: Any, kind: str, base: type, method: str, returned: Any, said: str, sync: bool
) -> None:
    async def later(self: Any, *_: Any) -> Any:
        return returned

    def at_once(self: Any, *_: Any) -> Any:
        return returned

    error = played(play, kind, type("Odd", (base,), {method: at_once if sync else later})).error
    assert f"{kind} 'part' (" in error
    assert (f"expected to be awaited: write `async def {method}`" if sync else said) in error
    assert "tell its author" in error
    assert "--debug" not in error  # there is no traceback


@pytest.mark.parametrize("annotation", ["Nope", complex])
def test_who_has_an_option_that_no_scenario_can_give_is_named(play: Any, annotation: Any) -> None:
    config = frozen(type("Config", (), {"__annotations__": {"odd": annotation}, "odd": 1}))
    with pytest.raises(ContractError, match=r"^reasoning 'part' \(") as caught:
        played(play, "reasoning", type("Odd", (Fine,), {"Config": config}))
    assert "odd: " in str(caught.value) or "'Nope' is not defined" in str(caught.value)


def test_a_nested_reasoning_is_named_instead_of_the_one_around_it(play: Any) -> None:
    class Around(Reasoning):
        @frozen
        class Config:
            inner: Reasoning

        async def reason(self, request: Any, turn: Any) -> Any:
            return await self.config.inner.reason(request, turn)

    result = play(
        {
            "providers": {"default": {"use": "part"}},
            "agents": {
                "A": {"engine": "part", "memory": None, "reasoning": {"use": "around", "inner": "part"}}
            },
            "schedule": "part",
        },
        engine__part=Recalls,
        provider__part=Says,
        schedule__part=Each,
        reasoning__around=Around,
        reasoning__part=broken(Fine, "reason"),
    )
    assert "reasoning 'part' (" in result.error


def test_the_traceback_of_a_tool_and_of_an_observer_is_logged(play: Any) -> None:
    class Odd(Observer):
        def on_event(self, event: Any) -> None:
            raise KeyError("seen")

    logged: list[Any] = []
    sink = logger.add(lambda message: logged.append(message.record), level=0)
    try:
        components = {f"{name}__part": base for name, base in BASES.items()}
        components |= {"engine__part": Calls, "tool__part": broken(Uses, "call"), "observers": [Odd(None)]}
        play(
            {
                "providers": {"default": {"use": "part"}},
                "agents": {"A": {"engine": "part", "memory": None, "tools": ["part"], "on_error": "skip"}},
                "schedule": {"use": "round-robin", "rounds": 1},
            },
            **components,
        )
    finally:
        logger.remove(sink)
    told = {record["message"]: record["extra"].get("traceback", "") for record in logged}
    assert any("tool 'part'" in message for message in told), told
    assert any("Odd" in message for message in told), told
    assert all("Traceback" in traceback for traceback in told.values())


def test_each_call_in_a_queue_is_told_of_until_it_is_sent(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyscrai_core.calls.providers.SHORT_WAIT", 0.0)
    told: dict[str, list[tuple[str, str]]] = {}

    class Busy(Says):
        concurrency = 1

        async def complete(self, request: Any, sink: Any = None) -> Any:
            await asyncio.sleep(0.01)
            return Completion("x")

    class Hears(Observer):
        def on_call(self, call: Any) -> None:
            told.setdefault(call.position.agent, []).append((call.status, call.error))

    result = play(
        {
            "providers": {"default": {"use": "busy"}},
            "agents": {name: {"engine": "part", "memory": None} for name in "ABCDEF"},
            "schedule": {"use": "simultaneous", "rounds": 2},
        },
        provider__busy=Busy,
        engine__part=Recalls,
        observers=[Hears(None)],
    )
    assert result.status == "completed", result.error
    waited = [("waiting", "waiting for the limits of provider 'default'"), ("sent", "")]
    at_once, in_the_queue = [("started", ""), ("answered", "")], [("started", ""), *waited, ("answered", "")]
    # In each of the two steps, one call finds the provider free, and the other five wait for it.
    assert sorted(told) == [*"ABCDEF"]
    assert sum(told[name][:2] == at_once for name in told) == 1
    assert sum(told[name][:4] == in_the_queue for name in told) == 5
