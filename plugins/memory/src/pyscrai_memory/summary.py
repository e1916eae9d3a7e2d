"""The memory `summary`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import field, frozen, validators

from pyscrai_core import Event, Memory, Message, Prompt, ScenarioNames, Turn, estimate_tokens

from .messages import Names
from .model_calls import Unanswered, ask_model, tell
from .recent import RecentMessages, check_keep, check_tokens

PROMPT = Prompt.packaged(
    "pyscrai_memory",
    "prompts/summary.j2",
    {"name": "", "persona": "", "words": 0, "summary": "", "events": [""]},
)
HEAD = "(Summary of earlier events:)\n"
WAITING = "(Earlier events:)\n"
#: Tokens that are reserved for each word of a summary. This is generous: only summaries that are much too
#: long are truncated.
TOKENS_PER_WORD = 4


@frozen
class SummaryConfig:
    """The options of `summary`. Raises `ValueError` for a mistake.

    tokens: the maximum for recent messages and summary together, as estimated by the kernel
    keep: the share of `tokens` that is left after summarizing, above 0 and at most 1
    words: the maximum length of a summary. The model is told this number, and a summary with more than four
        times as many tokens is truncated
    prompt: the template of the request for a summary
    provider: the provider that writes the summaries; empty: the agent's own
    names: whether others' names are always in front of what they say, or only if several others speak
        (`auto`)
    """

    tokens: int = field(default=3000, validator=check_tokens)
    keep: float = field(default=0.5, validator=check_keep)
    words: int = field(default=150, validator=validators.ge(1))
    prompt: Prompt = PROMPT
    provider: str = ""
    names: Names = "auto"

    @property
    def reserved(self) -> int:
        """The tokens that are reserved for the summary."""
        return estimate_tokens(Message.user(HEAD)) + self.words * TOKENS_PER_WORD

    def __attrs_post_init__(self) -> None:
        if self.reserved >= self.tokens * self.keep:
            raise ValueError(
                f"words: a summary of {self.words} needs {self.reserved} tokens; expected less than tokens × "
                f"keep, which is {int(self.tokens * self.keep)}, to leave room for recent events"
            )


class SummaryMemory(Memory):
    """Keeps recent messages (see `RecentMessages`), and a summary of all older ones as the first message.

    When messages are dropped, a model writes a new summary from the old summary and the dropped messages. No
    event is summarized twice.

    If the model refuses, or its answer is cut off or empty, the summary stays as it was, and the dropped
    events are shown as far as `tokens` allows. An event `thought` tells the researcher. The next time that
    messages are dropped, the model is asked again.
    """

    Config: ClassVar[type] = SummaryConfig
    config: SummaryConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._recent = RecentMessages()
        self._summary = ""
        self._shown: list[Message] = []
        #: Dropped events that are not in the summary yet: a call, and with it the turn, may fail, or the
        #: model gave no summary (`_given_up`).
        self._waiting: list[Event] = []
        self._given_up = False

    @classmethod
    def check_names(cls, config: SummaryConfig, names: ScenarioNames) -> None:
        if config.provider:
            names.name("provider", config.provider, "provider")

    async def observe(self, events: Sequence[Event], turn: Turn) -> None:
        config = self.config
        limit, target = config.tokens - config.reserved, int(config.tokens * config.keep) - config.reserved
        dropped = self._recent.add(events, turn, config.names, limit, target)
        self._waiting += dropped
        self._given_up = self._given_up and not dropped
        # After a fork, the limit may be lower.
        self._set_summary(self._summary)
        while self._waiting and not self._given_up:
            lines = _fitting(self._waiting, config.tokens)
            try:
                answer = await ask_model(
                    turn,
                    config.provider,
                    config.prompt,
                    words=config.words,
                    summary=self._summary,
                    events=lines,
                )
            except Unanswered as why:
                self._given_up = True
                tell(turn, f"My summary of earlier events stays as it was: {why}", "summary")
            else:
                self._set_summary(answer.text.strip())
                del self._waiting[: len(lines)]

    def _set_summary(self, summary: str) -> None:
        """Keep a summary, truncated to its limit."""
        summary = _truncated(summary, self.config.words * TOKENS_PER_WORD)
        if summary != self._summary:
            self._summary, self._shown = summary, [Message.user(HEAD + summary)]

    async def recall(self, turn: Turn) -> list[Message]:
        return [*self._shown, *self._unsummarized(), *self._recent.messages]

    def _unsummarized(self) -> list[Message]:
        """The newest of the events that wait for a summary, as far as there is room for them."""
        left = self.config.tokens - self.config.reserved - self._recent.total
        left -= estimate_tokens(Message.user(WAITING))
        lines: list[str] = []
        for event in reversed(self._waiting):
            line = event.describe()
            left -= estimate_tokens(line + "\n")
            if left < 0:
                break
            lines.insert(0, line)
        return [Message.user(WAITING + "\n".join(lines))] if lines else []


def _fitting(events: Sequence[Event], tokens: int) -> list[str]:
    """The lines of the first events that fit into `tokens`, at least one."""
    lines: list[str] = []
    for event in events:
        line = event.describe()
        tokens -= estimate_tokens(line + "\n")
        if lines and tokens < 0:
            break
        lines.append(line)
    return lines


def _truncated(text: str, tokens: int) -> str:
    if estimate_tokens(text) <= tokens:
        return text
    cut = text.encode()[: tokens * 4 - len(" …".encode())].decode(errors="ignore")
    return (cut.rsplit(None, 1)[0] if " " in cut else cut) + " …"
