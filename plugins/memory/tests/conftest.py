"""A stand-in for the turn: what memories see of an agent, and whom they ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from pyscrai_core import Completion, Event, Memory, Message, Request

ME = "Mara"


class StandIn:
    """A turn: keeps what was asked and changed; `answer` is what a model answers, an error is raised."""

    def __init__(self, name: str = ME) -> None:
        self.agent = SimpleNamespace(name=name, persona="A farmer.")
        self.others = ("Jon", "Ann")
        self.step = 1
        self.groups: Mapping[str, Any] = {}
        self.answer: Callable[[Request], Completion] = lambda request: Completion("In short.")
        self.vector: Callable[[str], list[float]] = lambda text: [float(len(text)), 1.0]
        self.asked: list[Request] = []
        self.embedded: list[tuple[list[str], str]] = []
        self.changes: list[tuple[str, Any, str]] = []
        self.thoughts: list[str] = []

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request)
        return self.answer(request)

    async def embed(self, texts: Sequence[str], provider: str = "") -> list[list[float]]:
        self.embedded.append((list(texts), provider))
        return [self.vector(text) for text in texts]

    def emit(self, kind: str, payload: dict[str, Any], audience: Any) -> None:
        assert (kind, audience) == ("thought", ())  # what else a memory told, others would hear
        self.thoughts.append(payload["text"])

    def change(self, path: str, value: Any, op: str = "set") -> None:
        self.changes.append((path, value, op))


class Diary:
    """A memory with an agent around it."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.turn: Any = StandIn()

    def observe(self, *events: Event) -> list[Message]:
        """Hand over events as one observation; what is recalled then."""

        async def both() -> list[Message]:
            if events:
                await self.memory.observe(events, self.turn)
            return await self.memory.recall(self.turn)

        return asyncio.run(both())


@pytest.fixture
def diary() -> Callable[..., Diary]:
    """Makes a diary from a memory's class and options; names are shown unless the options say otherwise."""

    def make(kind: type[Memory], **options: Any) -> Diary:
        names = {"names": "always"} if hasattr(kind.Config, "names") else {}
        return Diary(kind(kind.Config(**{**names, **options})))

    return make


@pytest.fixture
def say() -> Callable[..., Event]:
    """Makes something said in the step `step` (default: that of its number)."""

    def make(seq: int, source: str, text: str, audience: Any = ("*",), step: int | None = None) -> Event:
        return Event(seq, seq if step is None else step, "say", source, tuple(audience), {"text": text})

    return make


@pytest.fixture
def events() -> Callable[..., list[Event]]:
    """Makes events from (source, kind, payload), numbered from 1; a bare text stands for something said."""

    def make(*given: tuple[str, str] | tuple[str, str, dict[str, Any]]) -> list[Event]:
        made = []
        for seq, one in enumerate(given, 1):
            if len(one) == 2:
                one = (one[0], "say", {"text": one[1]})
            source, kind, payload = one
            made.append(Event(seq, 1, kind, source, ("*",), payload))
        return made

    return make
