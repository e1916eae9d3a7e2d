"""The memory `recall`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal

from attrs import field, frozen, validators

from pyscrai_core import EVERYONE, Event, Memory, Message, Prompt, ScenarioNames, Turn, estimate_tokens

from .archive import Archive, Weights
from .messages import Names
from .model_calls import Unanswered, ask_model, tell
from .recent import RecentMessages, check_keep, check_tokens

PROMPT = Prompt.packaged(
    "pyscrai_memory", "prompts/importance.j2", {"name": "", "persona": "", "events": [""]}
)
HEAD = "You remember:"
#: How many events one call rates, and how many one call embeds.
RATED_AT_ONCE, EMBEDDED_AT_ONCE = 20, 64
#: How many characters of an event are rated.
RATED_CHARACTERS = 400
#: How many characters of the new events, the last ones, are the query.
QUERY_CHARACTERS = 600
#: A text of at least this many characters is slightly more important.
LONG = 200


@frozen
class RecallConfig:
    """The options of `recall`. Raises `ValueError` for a mistake.

    tokens: the maximum for recent and recalled events together, as estimated by the kernel
    keep: the share of `tokens` that is left after old messages were archived, above 0 and at most 1
    recalled: how many of `tokens` are reserved for recalled events
    count: the maximum number of recalled events
    decay: the factor by which recency shrinks with each step, above 0 and at most 1
    weights: the weights of recency, importance and relevance
    importance: `rule`: by an event's kind, audience and length; `model`: a model rates it
    embeddings: the provider whose embeddings determine relevance; empty: the words do
    prompt: the template of the request that rates importance
    provider: the provider that rates importance; empty: the agent's own
    names: whether others' names are always in front of what they say in recent events, or only if several
        others speak (`auto`)
    """

    tokens: int = field(default=2000, validator=check_tokens)
    keep: float = field(default=0.6, validator=check_keep)
    recalled: int = field(default=600, validator=validators.ge(20))
    count: int = field(default=10, validator=validators.ge(1))
    decay: float = field(default=0.99, validator=[validators.gt(0), validators.le(1)])
    weights: Weights = field(factory=Weights)
    importance: Literal["rule", "model"] = "rule"
    embeddings: str = ""
    prompt: Prompt = PROMPT
    provider: str = ""
    names: Names = "auto"

    def __attrs_post_init__(self) -> None:
        if self.recalled >= self.tokens * self.keep:
            least = int(self.tokens * self.keep)
            raise ValueError(
                f"recalled: expected less than tokens × keep, which is {least}, to leave room for recent "
                f"events; got {self.recalled}"
            )


class RecallMemory(Memory):
    """Keeps recent messages (see `RecentMessages`), and recalls relevant older events (see `Archive`).

    Recalled events come directly before this turn's new messages. All messages before them are the same as in
    the previous turn.
    """

    Config: ClassVar[type] = RecallConfig
    config: RecallConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._recent = RecentMessages()
        self._archive = Archive()
        self._recalled: list[Message] = []
        #: Dropped events that are not in the archive yet, because a call, and with it the turn, may fail.
        self._waiting: list[Event] = []
        #: The provider of the embeddings in the archive.
        self._embedded = config.embeddings
        self._named: re.Pattern[str] | None = None

    @classmethod
    def check_names(cls, config: RecallConfig, names: ScenarioNames) -> None:
        for option in ("embeddings", "provider"):
            if provider := getattr(config, option):
                names.name("provider", provider, option)

    async def observe(self, events: Sequence[Event], turn: Turn) -> None:
        config, recent = self.config, self._recent
        limit, target = config.tokens - config.recalled, int(config.tokens * config.keep) - config.recalled
        self._waiting += recent.add(events, turn, config.names, limit, target)
        if config.embeddings != self._embedded:  # after a fork
            await self._embed_again(turn)
        while self._waiting:
            await self._archive_some(turn)
        if recent.fresh and len(self._archive):
            query = "\n".join(message.text for message in recent.messages[-recent.fresh :])[
                -QUERY_CHARACTERS:
            ]
            vector = (await turn.embed([query], config.embeddings))[0] if config.embeddings else []
            self._recalled = _recalled_message(
                self._archive.best(query, vector, turn.step, config.decay, config.weights, config.count),
                config.recalled,
            )

    async def recall(self, turn: Turn) -> list[Message]:
        messages = self._recent.messages
        before = len(messages) - self._recent.fresh
        return [*messages[:before], *self._recalled, *messages[before:]]

    async def _archive_some(self, turn: Turn) -> None:
        """Move some of the waiting events to the archive."""
        config = self.config
        rated = config.importance == "model"
        events = self._waiting[: RATED_AT_ONCE if rated else EMBEDDED_AT_ONCE if config.embeddings else None]
        importance = (
            await self._ratings_by_model(events, turn)
            if rated
            else self._ratings_by_rule(events, turn.agent.name)
        )
        vectors = (
            await turn.embed([event.describe() for event in events], config.embeddings)
            if config.embeddings
            else []
        )
        self._archive.add(events, importance, vectors)
        del self._waiting[: len(events)]

    async def _embed_again(self, turn: Turn) -> None:
        """Replace the archive's embeddings by those of another provider, or remove them."""
        provider, events = self.config.embeddings, self._archive.events
        vectors: list[list[float]] = []
        for start in range(0, len(events) if provider else 0, EMBEDDED_AT_ONCE):
            lines = [event.describe() for event in events[start : start + EMBEDDED_AT_ONCE]]
            vectors += await turn.embed(lines, provider)
        self._archive.embed(vectors)
        self._embedded = provider

    async def _ratings_by_model(self, events: Sequence[Event], turn: Turn) -> list[int]:
        config = self.config
        lines = [event.describe()[:RATED_CHARACTERS] for event in events]
        try:
            answer = await ask_model(
                turn, config.provider, config.prompt, _ratings_schema(len(lines)), events=lines
            )
        except Unanswered as why:
            tell(turn, f"The importance of {len(lines)} events is rated by rule: {why}", "recall")
            return self._ratings_by_rule(events, turn.agent.name)
        return [answer.parsed[str(number + 1)] for number in range(len(lines))]

    def _ratings_by_rule(self, events: Sequence[Event], me: str) -> list[int]:
        """Actions count more than speech, and events that address or mention `me` count more than others."""
        if self._named is None:
            self._named = re.compile(rf"\b{re.escape(me)}\b")
        ratings = []
        for event in events:
            line, strange = event.describe(), event.source != me
            meant = strange and (EVERYONE not in event.audience or self._named.search(line) is not None)
            ratings.append(2 + 2 * (event.kind != "say") + 4 * meant + (len(line) >= LONG))
        return ratings


@lru_cache(maxsize=RATED_AT_ONCE)
def _ratings_schema(count: int) -> dict[str, Any]:
    """The schema of the answer: a rating for each event, by the event's number."""
    names = [str(number + 1) for number in range(count)]
    return {
        "type": "object",
        "properties": {name: {"type": "integer", "minimum": 1, "maximum": 10} for name in names},
        "required": names,
        "additionalProperties": False,
    }


def _recalled_message(events: Sequence[Event], tokens: int) -> list[Message]:
    """A message with the best of `events` that fit into `tokens`, in chronological order."""
    left = tokens - estimate_tokens(Message.user(HEAD))
    chosen: list[tuple[int, str]] = []
    for event in events:
        line = f"\n- {event.describe()}"
        cost = estimate_tokens(line)
        if cost <= left:
            left -= cost
            chosen.append((event.seq, line))
    return [Message.user(HEAD + "".join(line for _, line in sorted(chosen)))] if chosen else []
