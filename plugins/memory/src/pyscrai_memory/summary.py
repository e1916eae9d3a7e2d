"""The memory `summary`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import field, frozen, validators

from pyscrai_core import Event, Memory, Message, Prompt, Turn, estimate_tokens

from .asking import ask
from .newest import Newest, check_keep, check_tokens

PROMPT = Prompt.packaged(
    "pyscrai_memory", "prompts/summary.j2", ("name", "persona", "words", "summary", "events")
)
HEAD = "(What happened before, in short:)\n"
#: Tokens that are set aside for each word of a summary, as the kernel estimates them: generous, so that it
#: only ends what rambles.
PER_WORD = 4


@frozen
class SummaryConfig:
    """The options of `summary`. Raises `ValueError` for a mistake.

    tokens: the most that is remembered, as the kernel estimates tokens, the summary included
    keep: the share of `tokens` that is left after summarising, above 0 and up to 1
    words: how many words the summary may have; told to the model, and four times as many tokens are its bound
    prompt: the template of what the model is asked
    provider: the name of the provider that writes the summaries; empty: the agent's own
    """

    tokens: int = field(default=3000, validator=check_tokens)
    keep: float = field(default=0.5, validator=check_keep)
    words: int = field(default=150, validator=validators.ge(1))
    prompt: Prompt = PROMPT
    provider: str = ""

    @property
    def reserved(self) -> int:
        """The tokens that are set aside for the summary, from the start."""
        return estimate_tokens(Message.user(HEAD)) + self.words * PER_WORD

    def __attrs_post_init__(self) -> None:
        if self.reserved >= self.tokens * self.keep:
            raise ValueError(
                f"words: a summary of {self.words} needs {self.reserved} tokens; expected less than tokens × "
                f"keep, which is {int(self.tokens * self.keep)}, so that room is left for the newest events"
            )


class SummaryMemory(Memory):
    """Keeps the newest messages (see `Newest`), and one summary of all before them, as the first message.

    When old messages are dropped, a model writes the summary anew from the old one and what was dropped;
    nothing is ever summarised twice.
    """

    Config: ClassVar[type] = SummaryConfig
    config: SummaryConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._newest = Newest()
        self._summary = ""
        self._shown: list[Message] = []
        #: What was dropped and is not in the summary yet: a call may fail, and the turn with it.
        self._waiting: list[Event] = []

    async def observe(self, events: Sequence[Event], turn: Turn) -> None:
        config = self.config
        room, target = config.tokens - config.reserved, int(config.tokens * config.keep) - config.reserved
        self._waiting += self._newest.add(events, turn.agent.name, room, target)
        # A fork may leave the summary fewer words than it has.
        self._keep(self._summary)
        while self._waiting:
            lines = _fitting(self._waiting, config.tokens)
            answer = await ask(
                turn, config.provider, config.prompt, words=config.words, summary=self._summary, events=lines
            )
            self._keep(answer.text.strip())
            del self._waiting[: len(lines)]

    def _keep(self, summary: str) -> None:
        """Show a summary, cut to its bound."""
        summary = _shortened(summary, self.config.words * PER_WORD)
        if summary != self._summary:
            self._summary, self._shown = summary, [Message.user(HEAD + summary)]

    async def recall(self, turn: Turn) -> list[Message]:
        return [*self._shown, *self._newest.messages]


def _fitting(events: Sequence[Event], tokens: int) -> list[str]:
    """The first events in words, as many as `tokens` hold and at least one."""
    lines: list[str] = []
    for event in events:
        line = event.describe()
        tokens -= estimate_tokens(line + "\n")
        if lines and tokens < 0:
            break
        lines.append(line)
    return lines


def _shortened(text: str, tokens: int) -> str:
    if estimate_tokens(text) <= tokens:
        return text
    cut = text.encode()[: tokens * 4 - len(" …".encode())].decode(errors="ignore")
    return (cut.rsplit(None, 1)[0] if " " in cut else cut) + " …"
