"""The memory `none`."""

from __future__ import annotations

from collections.abc import Sequence

from pyscrai_core import Event, Memory, Message, Turn


class NoMemory(Memory):
    """Remembers nothing. The agent only knows what its engine shows it."""

    async def observe(self, events: Sequence[Event], turn: Turn) -> None:
        """Do nothing."""

    async def recall(self, turn: Turn) -> list[Message]:
        return []
