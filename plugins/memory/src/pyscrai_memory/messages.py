"""Converts events to messages. All memories use this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from pyscrai_core import Event, Message, Text, Turn

#: The option `names`: whether the names of others are in front of what they say. With `auto`, they are if
#: several others speak.
Names: TypeAlias = Literal["auto", "always"]

#: Kinds that are not part of the history. Engines show the current state themselves, and a failed turn is a
#: technical event, not one of the scenario's world.
OMITTED = frozenset({"change", "turn.failed"})
#: Kinds whose source is the agent, but which contain the world's answer to what the agent tried.
ANSWERS = frozenset({"rejected", "tool"})

#: Consecutive events of the agent or of others: whether they are the agent's own, and the events.
Block = tuple[bool, list[Event]]


def blocks(events: Sequence[Event], me: str) -> list[Block]:
    """The events as blocks, in order. Blocks of the agent `me` and of others alternate.

    The answers of its tools and the rejections of its actions belong to the others. Its own thoughts are
    omitted.
    """
    found: list[Block] = []
    last, block = None, list[Event]()
    for event in events:
        kind = event.kind
        own = event.source == me and kind not in ANSWERS
        if kind in OMITTED or (own and kind.startswith("thought")):
            continue
        if own is not last:
            last, block = own, []
            found.append((own, block))
        block.append(event)
    return found


def lines_of(block: Block, turn: Turn, *, named: bool) -> list[str]:
    """A line for each event of a block, in the prompt of the turn's agent.

    What the agent itself says has no name in front: it becomes the assistant's message. Without `named`,
    neither has what others say, unless it then looks like an action or like somebody else's words.
    """
    own, events = block
    if own:
        # Vendors reject empty messages.
        return [
            event.payload["text"]
            if event.kind == "say" and event.payload["text"].strip()
            else event.describe()
            for event in events
        ]
    if named:
        return [event.describe() for event in events]
    marks = ("[", "(", *(f"{name}:" for name in (turn.agent.name, *turn.others)))
    lines = []
    for event in events:
        line = event.describe(named=False)
        lines.append(event.describe() if event.kind == "say" and line.lstrip().startswith(marks) else line)
    return lines


def message(own: bool, lines: Sequence[str]) -> Message:
    """A message with all lines."""
    return Message("assistant" if own else "user", (Text("\n".join(lines)),))
