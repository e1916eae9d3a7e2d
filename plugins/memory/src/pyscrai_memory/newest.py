"""The newest messages, which three of the memories keep in full."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import Attribute

from pyscrai_core import Event, Message, estimate_tokens

from .words import blocks, message


def check_tokens(config: object, attribute: Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"tokens: expected 1 or more, got {value}")


def check_keep(config: object, attribute: Attribute[float], value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"keep: expected a share above 0 and up to 1, got {value}")


class Newest:
    """Appends messages, and drops the oldest in large blocks.

    Between two times of dropping it only grows, so that its beginning stays the same for many turns. It is
    never empty again: the newest event stays, whole, even if it alone is larger than the room; nothing else
    can exceed it.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.total = 0
        #: How many of the messages, at the end, came with the last `add`.
        self.fresh = 0
        self._costs: list[int] = []
        self._events: list[list[Event]] = []

    def add(self, events: Sequence[Event], me: str, room: int, target: int) -> list[Event]:
        """Append what the agent `me` observed; if it is more than `room` tokens then, drop down to `target`.

        Returns the events that were dropped, in order.
        """
        dropped: list[Event] = []
        self.fresh = 0
        for own, lines, behind in blocks(events, me):
            new = message(own, lines)
            cost = estimate_tokens(new)
            if cost > room and len(lines) > 1:
                start = _cut(own, lines, target)
                dropped += self._drop(len(self.messages)) + behind[:start]
                new, behind = message(own, lines[start:]), behind[start:]
                cost = estimate_tokens(new)
            self.messages.append(new)
            self._costs.append(cost)
            self._events.append(behind)
            self.total += cost
            self.fresh += 1
        if self.total > room:
            left, count = self.total, 0
            while left > target and count < len(self._costs) - 1:
                left -= self._costs[count]
                count += 1
            dropped += self._drop(count)
        return dropped

    def _drop(self, count: int) -> list[Event]:
        """Drop the `count` oldest messages."""
        dropped = [event for behind in self._events[:count] for event in behind]
        self.total -= sum(self._costs[:count])
        del self._costs[:count], self.messages[:count], self._events[:count]
        self.fresh = min(self.fresh, len(self.messages))
        return dropped


def _cut(own: bool, lines: Sequence[str], target: int) -> int:
    """Where the last lines begin, as many as `target` tokens hold and at least one."""
    start = len(lines) - 1
    cost = estimate_tokens(message(own, lines[start:]))
    while start:
        # Each line is rounded up by itself, so that together they come to no more than that.
        cost += estimate_tokens(lines[start - 1] + "\n")
        if cost > target:
            break
        start -= 1
    return start
