"""Converts events to messages. All memories use this."""

from __future__ import annotations

from collections.abc import Sequence

from pyscrai_core import Event, Message, Text

#: Kinds that are not part of the history. Engines show the current state themselves, and a failed turn is a
#: technical event, not one of the scenario's world.
OMITTED = frozenset({"change", "turn.failed"})
#: Kinds whose source is the agent, but which contain the world's answer to what the agent tried.
ANSWERS = frozenset({"rejected", "tool"})

#: Consecutive events of the agent or of others: whether they are the agent's own, their lines, the events.
Block = tuple[bool, list[str], list[Event]]


def blocks(events: Sequence[Event], me: str) -> list[Block]:
    """The events as blocks of lines, in order. Blocks of the agent `me` and of others alternate.

    What the agent itself says has no name in front: it becomes the assistant's message. The answers of its
    tools and the rejections of its actions belong to the others. Its own thoughts are omitted.
    """
    found: list[Block] = []
    lines: list[str] = []
    sources: list[Event] = []
    last: bool | None = None
    for event in events:
        kind = event.kind
        if kind in OMITTED:
            continue
        own = event.source == me and kind not in ANSWERS
        if not own:
            line = event.describe()
        elif kind == "say":
            # Vendors reject empty messages.
            line = event.payload["text"]
            line = line if line.strip() else event.describe()
        elif kind.startswith("thought"):
            continue
        else:
            line = event.describe()
        if own is not last:
            last = own
            lines, sources = [], []
            found.append((own, lines, sources))
        lines.append(line)
        sources.append(event)
    return found


def message(own: bool, lines: Sequence[str]) -> Message:
    """A message with all lines."""
    return Message("assistant" if own else "user", (Text("\n".join(lines)),))
