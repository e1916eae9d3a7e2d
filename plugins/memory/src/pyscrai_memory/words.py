"""From events to the words of messages: what all memories share."""

from __future__ import annotations

from collections.abc import Sequence

from pyscrai_core import Event, Message, Text

#: What does not go into a history: states are shown by engines, as they are now; and why a turn failed
#: is a matter of the machinery, not of the world.
LEFT_OUT = frozenset({"change", "turn.failed"})
#: What an agent tried or used, with what came of it: the world's answer, though the agent is the source.
ANSWERS = frozenset({"rejected", "tool"})

#: What an agent or the world says without a break: whether it was the agent, the lines, and their events.
Block = tuple[bool, list[str], list[Event]]


def blocks(events: Sequence[Event], me: str) -> list[Block]:
    """The events as blocks of lines, in their order; the blocks of the agent `me` and of others alternate.

    What an agent says stands without its name: it becomes the assistant's message. What its tools answered
    and why an attempt of its own was rejected is the world's answer, and so belongs to the others. Its own
    thoughts are left out.
    """
    found: list[Block] = []
    lines: list[str] = []
    behind: list[Event] = []
    last: bool | None = None
    for event in events:
        kind = event.kind
        if kind in LEFT_OUT:
            continue
        own = event.source == me and kind not in ANSWERS
        if not own:
            line = event.describe()
        elif kind == "say":
            # Vendors refuse messages without a word in them.
            line = event.payload["text"]
            line = line if line.strip() else event.describe()
        elif kind.startswith("thought"):
            continue
        else:
            line = event.describe()
        if own is not last:
            last = own
            lines, behind = [], []
            found.append((own, lines, behind))
        lines.append(line)
        behind.append(event)
    return found


def message(own: bool, lines: Sequence[str]) -> Message:
    """One message with all of the lines."""
    return Message("assistant" if own else "user", (Text("\n".join(lines)),))
