"""One good engine and what is none."""

from collections.abc import Sequence
from typing import Any

from pyscrai_core import Engine, Event, Memory, Message

LIMIT = 3


class Wrong(Memory):
    async def observe(self, events: Sequence[Event], turn: Any) -> None:
        return

    async def recall(self, turn: Any) -> list[Message]:
        return []


class Unfinished(Engine):
    """Lacks `run`."""


class Fine(Engine):
    async def run(self, turn: Any) -> None:
        turn.say("fine")
