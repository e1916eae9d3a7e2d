"""The memory `window`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import field, frozen

from pyscrai_core import Event, Memory, Message, Turn, estimate_tokens

from .newest import Newest, check_keep, check_tokens

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

    tokens: int = field(default=2000, validator=check_tokens)
    keep: float = field(default=0.5, validator=check_keep)
    notice: bool = True


class WindowMemory(Memory):
    """Keeps the newest messages and forgets the oldest in large blocks (see `Newest`).

    Room for the notice is set aside from the start.
    """

    Config: ClassVar[type] = WindowConfig
    config: WindowConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._newest = Newest()
        self._forgot = False

    async def observe(self, events: Sequence[Event], turn: Turn) -> None:
        # Read each time: a fork may give a running memory other options.
        config = self.config
        reserved = NOTICE_TOKENS if config.notice else 0
        target = int(config.tokens * config.keep) - reserved
        if self._newest.add(events, turn.agent.name, config.tokens - reserved, target):
            self._forgot = True

    async def recall(self, turn: Turn) -> list[Message]:
        if self._forgot and self.config.notice:
            return [NOTICE, *self._newest.messages]
        return self._newest.messages.copy()
