"""The memory `full`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyscrai_core import Event, Memory, Message, Turn

from .messages import blocks, message


class FullMemory(Memory):
    """Keeps all messages. The history is only appended to."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._messages: list[Message] = []

    async def observe(self, events: Sequence[Event], turn: Turn) -> None:
        for own, lines, _ in blocks(events, turn.agent.name):
            self._messages.append(message(own, lines))

    async def recall(self, turn: Turn) -> list[Message]:
        return self._messages.copy()
