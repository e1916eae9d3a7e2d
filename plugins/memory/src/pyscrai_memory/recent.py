"""The messages that memories keep in full: all of them, or recent ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

from attrs import Attribute

from pyscrai_core import Event, Message, Turn, estimate_tokens

from .messages import Names, blocks, lines_of, message


def check_tokens(config: object, attribute: Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"tokens: expected 1 or more, got {value}")


def check_keep(config: object, attribute: Attribute[float], value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"keep: expected a share above 0 and at most 1, got {value}")


class RecentMessages:
    """A list of messages that drops the oldest ones in large blocks.

    In between, messages are only appended, so the beginning stays the same for many turns. The newest event
    always stays complete, even if it alone exceeds the limit. Nothing else can exceed the limit.

    Messages are rewritten once if names become necessary: when a second one of the others speaks.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.total = 0
        #: How many messages at the end were added by the last `add`.
        self.fresh = 0
        self._costs: list[int] = []
        self._events: list[list[Event]] = []
        #: The first of the others that spoke, whether several did, and whether names are in the messages.
        self._speaker, self._several, self._named = "", False, False

    def add(
        self,
        events: Sequence[Event],
        turn: Turn,
        names: Names,
        limit: float = math.inf,
        target: float = math.inf,
    ) -> list[Event]:
        """Append what the agent observed. If that exceeds `limit` tokens, drop old messages to `target`.

        Returns the events that were dropped, in order.
        """
        me = turn.agent.name
        if not self._several:
            others = (event.source for event in events if event.kind == "say" and event.source != me)
            self._speaker = self._speaker or next(others, "")
            self._several = any(source != self._speaker for source in others)
        named = names == "always" or self._several
        if named is not self._named:
            self._named = named
            self._rewrite(turn)
        dropped: list[Event] = []
        self.fresh = 0
        for own, sources in blocks(events, me):
            lines = lines_of((own, sources), turn, named=named)
            new = message(own, lines)
            cost = estimate_tokens(new)
            if cost > limit and len(lines) > 1:
                start = _cut(own, lines, target)
                dropped += self._drop(len(self.messages)) + sources[:start]
                new, sources = message(own, lines[start:]), sources[start:]
                cost = estimate_tokens(new)
            self.messages.append(new)
            self._costs.append(cost)
            self._events.append(sources)
            self.total += cost
            self.fresh += 1
        if self.total > limit:
            left, count = self.total, 0
            while left > target and count < len(self._costs) - 1:
                left -= self._costs[count]
                count += 1
            dropped += self._drop(count)
        return dropped

    def _rewrite(self, turn: Turn) -> None:
        for number, sources in enumerate(self._events):
            own = self.messages[number].role == "assistant"
            self.messages[number] = message(own, lines_of((own, sources), turn, named=self._named))
        self._costs = [estimate_tokens(one) for one in self.messages]
        self.total = sum(self._costs)

    def _drop(self, count: int) -> list[Event]:
        """Drop the `count` oldest messages."""
        dropped = [event for sources in self._events[:count] for event in sources]
        self.total -= sum(self._costs[:count])
        del self._costs[:count], self.messages[:count], self._events[:count]
        self.fresh = min(self.fresh, len(self.messages))
        return dropped


def _cut(own: bool, lines: Sequence[str], target: float) -> int:
    """The index of the first line to keep: as many last lines as fit into `target` tokens, at least one."""
    start = len(lines) - 1
    cost = estimate_tokens(message(own, lines[start:]))
    while start:
        # Each line is rounded up separately, so this is never less than their real cost.
        cost += estimate_tokens(lines[start - 1] + "\n")
        if cost > target:
            break
        start -= 1
    return start
