"""The memory `full`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import frozen

from pyscrai_core import Event, Memory, Message, Turn

from .messages import Names
from .recent import RecentMessages


@frozen
class FullConfig:
    """The option of `full`.

    names
        Whether others' names are always in front of what they say, or only if several others speak (`auto`).
    """

    names: Names = "auto"


class FullMemory(Memory):
    """Keeps all messages. The history is only appended to."""

    Config: ClassVar[type] = FullConfig
    config: FullConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._recent = RecentMessages()

    async def observe(self, events: Sequence[Event], turn: Turn) -> None:
        self._recent.add(events, turn, self.config.names)

    async def recall(self, turn: Turn) -> list[Message]:
        return self._recent.messages.copy()
