"""The memory `window`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import field, frozen

from pyscrai_core import Event, Memory, Message, Turn, estimate_tokens

from .messages import Names
from .recent import RecentMessages, check_keep, check_tokens

#: The first message if older messages were dropped. It never changes, for the vendors' prefix caches; a count
#: of dropped messages would.
NOTICE = Message.user("(Earlier events are not shown.)")
NOTICE_TOKENS = estimate_tokens(NOTICE)


@frozen
class WindowConfig:
    """The options of `window`. Raises `ValueError` for a mistake.

    tokens
        The maximum for messages and notice together, as estimated by the kernel.
    keep
        The share of `tokens` that is left after forgetting, above 0 and at most 1.
    notice
        Whether a first message says that older events are not shown.
    names
        Whether others' names are always in front of what they say, or only if several others speak (`auto`).
    """

    tokens: int = field(default=2000, validator=check_tokens)
    keep: float = field(default=0.5, validator=check_keep)
    notice: bool = True
    names: Names = "auto"


class WindowMemory(Memory):
    """Keeps recent messages, and forgets the oldest in large blocks (see `RecentMessages`).

    The tokens for the notice are reserved from the start.
    """

    Config: ClassVar[type] = WindowConfig
    config: WindowConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._recent = RecentMessages()
        self._forgot = False

    async def observe(self, events: Sequence[Event], turn: Turn) -> None:
        # Read in each turn, because a fork may change the options.
        config = self.config
        reserved = NOTICE_TOKENS if config.notice else 0
        target = int(config.tokens * config.keep) - reserved
        if self._recent.add(events, turn, config.names, config.tokens - reserved, target):
            self._forgot = True

    async def recall(self, turn: Turn) -> list[Message]:
        if self._forgot and self.config.notice:
            return [NOTICE, *self._recent.messages]
        return self._recent.messages.copy()
