"""A stand-in for the turn: memories look at the agent's name alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pyscrai_core import Event, Memory, Message

ME = "Mara"


class Diary:
    """A memory with an agent around it."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.turn: Any = SimpleNamespace(agent=SimpleNamespace(name=ME))

    def observe(self, *events: Event) -> list[Message]:
        """Hand over events as one observation; what is recalled then."""

        async def both() -> list[Message]:
            await self.memory.observe(events, self.turn)
            return await self.memory.recall(self.turn)

        return asyncio.run(both())


@pytest.fixture
def diary() -> Callable[[type[Memory]], Diary]:
    """Makes a diary from a memory's class and options."""

    def make(kind: type[Memory], **options: Any) -> Diary:
        return Diary(kind(kind.Config(**options)))

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
