"""The memory `window`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import Attribute, field, frozen

from pyscrai_core import Event, Memory, Message, Turn, estimate_tokens

from .words import blocks, message

#: What stands in the place of all that was forgotten. It never changes: a count would, and would spoil the
#: vendors' prefix caches.
NOTICE = Message.user("(Earlier events are not shown.)")
NOTICE_TOKENS = estimate_tokens(NOTICE)


@frozen
class WindowConfig:
    """The options of `window`. Raises `ValueError` for a mistake.

    tokens
        the most that is remembered, as the kernel estimates tokens, the notice included
    keep
        the share of `tokens` that is left after forgetting, above 0 and up to 1
    notice
        whether a first message says that something was forgotten
    """

    tokens: int = field(default=2000)
    keep: float = field(default=0.5)
    notice: bool = True

    @tokens.validator
    def _check_tokens(self, attribute: Attribute[int], value: int) -> None:
        if value < 1:
            raise ValueError(f"tokens: expected 1 or more, got {value}")

    @keep.validator
    def _check_keep(self, attribute: Attribute[float], value: float) -> None:
        if not 0 < value <= 1:
            raise ValueError(f"keep: expected a share above 0 and up to 1, got {value}")


class WindowMemory(Memory):
    """Keeps the newest messages and forgets the oldest in large blocks.

    Between two times of forgetting the history only grows, so that its beginning stays the same for many
    turns. Room for the notice is set aside from the start. What is kept is never empty: the newest event
    stays, whole, even if it alone is larger than the window; nothing else can exceed it.
    """

    Config: ClassVar[type] = WindowConfig

    config: WindowConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._messages: list[Message] = []
        self._costs: list[int] = []
        self._total = 0
        self._forgot = False

    async def observe(self, events: Sequence[Event], turn: Turn) -> None:
        # Read each time: a fork may give a running memory other options.
        config = self.config
        reserved = NOTICE_TOKENS if config.notice else 0
        room = config.tokens - reserved
        target = int(config.tokens * config.keep) - reserved
        for own, lines in blocks(events, turn.agent.name):
            new = message(own, lines)
            cost = estimate_tokens(new)
            if cost > room and len(lines) > 1:
                new, cost = _newest(own, lines, target)
                self._forget(len(self._messages))
                self._forgot = True
            self._messages.append(new)
            self._costs.append(cost)
            self._total += cost
        if self._total > room:
            left, count = self._total, 0
            while left > target and count < len(self._costs) - 1:
                left -= self._costs[count]
                count += 1
            self._forget(count)

    async def recall(self, turn: Turn) -> list[Message]:
        if self._forgot and self.config.notice:
            return [NOTICE, *self._messages]
        return self._messages.copy()

    def _forget(self, count: int) -> None:
        """Drop the `count` oldest messages."""
        if count:
            self._total -= sum(self._costs[:count])
            del self._costs[:count], self._messages[:count]
            self._forgot = True


def _newest(own: bool, lines: Sequence[str], target: int) -> tuple[Message, int]:
    """A message of the last lines, as many as `target` tokens hold and at least one; and its tokens."""
    start = len(lines) - 1
    cost = estimate_tokens(message(own, lines[start:]))
    while start:
        # Each line is rounded up by itself, so that together they come to no more than that.
        cost += estimate_tokens(lines[start - 1] + "\n")
        if cost > target:
            break
        start -= 1
    new = message(own, lines[start:])
    return new, estimate_tokens(new)
