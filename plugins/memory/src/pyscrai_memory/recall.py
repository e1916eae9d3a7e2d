"""The memory `recall`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal

from attrs import field, frozen, validators

from pyscrai_core import EVERYONE, Event, Memory, Message, Prompt, Turn, estimate_tokens

from .archive import Archive, Weights
from .asking import ask
from .newest import Newest, check_keep, check_tokens

PROMPT = Prompt.packaged("pyscrai_memory", "prompts/importance.j2", ("name", "persona", "events"))
HEAD = "You remember:"
#: The most events that are rated by one call, or embedded by one; and so many characters of each are rated.
RATED, EMBEDDED, CHARACTERS = 20, 64, 400
#: So many characters of what is new, the last ones, are looked for among the memories.
QUERY = 600
#: From this length in characters on, a text is a little more important.
LONG = 200


@frozen
class RecallConfig:
    """The options of `recall`. Raises `ValueError` for a mistake.

    tokens: the most that is remembered at a time, as the kernel estimates tokens, what is recalled included
    keep: the share of `tokens` that is left after the oldest of the newest events went to the archive
    recalled: how many of `tokens` are set aside for what is recalled from there
    count: how many memories are recalled at most
    decay: what one step leaves of the recency of a memory, above 0 and up to 1
    weights: how much recency, importance and relevance count
    importance: `rule`: by the kind of an event, whom it was for and its length; `model`: a model rates it
    embeddings: the name of the provider whose embeddings tell what is relevant; empty: the words do
    prompt: the template of what the model is asked that rates importance
    provider: the name of the provider that rates importance; empty: the agent's own
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

    def __attrs_post_init__(self) -> None:
        if self.recalled >= self.tokens * self.keep:
            least = int(self.tokens * self.keep)
            raise ValueError(
                f"recalled: expected less than tokens × keep, which is {least}, so that room is left for "
                f"the newest events; got {self.recalled}"
            )


class RecallMemory(Memory):
    """Keeps the newest messages (see `Newest`), and recalls what was dropped when it matters (see `Archive`).

    What is recalled stands right before what is new in this turn: all messages before it are the same ones
    as in the turn before.
    """

    Config: ClassVar[type] = RecallConfig
    config: RecallConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._newest = Newest()
        self._archive = Archive()
        self._recalled: list[Message] = []
        #: What was dropped and is not in the archive yet: a call may fail, and the turn with it.
        self._waiting: list[Event] = []
        #: Whose embeddings the archive has.
        self._embedded = config.embeddings
        self._named: re.Pattern[str] | None = None

    async def observe(self, events: Sequence[Event], turn: Turn) -> None:
        config, newest = self.config, self._newest
        room, target = config.tokens - config.recalled, int(config.tokens * config.keep) - config.recalled
        self._waiting += newest.add(events, turn.agent.name, room, target)
        if config.embeddings != self._embedded:  # behind a fork
            await self._embed_anew(turn)
        while self._waiting:
            await self._put_away(turn)
        if newest.fresh and len(self._archive):
            query = "\n".join(message.text for message in newest.messages[-newest.fresh :])[-QUERY:]
            vector = (await turn.embed([query], config.embeddings))[0] if config.embeddings else []
            self._recalled = _told(
                self._archive.best(query, vector, turn.step, config.decay, config.weights, config.count),
                config.recalled,
            )

    async def recall(self, turn: Turn) -> list[Message]:
        messages = self._newest.messages
        before = len(messages) - self._newest.fresh
        return [*messages[:before], *self._recalled, *messages[before:]]

    async def _put_away(self, turn: Turn) -> None:
        """Move some of what waits to the archive."""
        config = self.config
        rated = config.importance == "model"
        events = self._waiting[: RATED if rated else EMBEDDED if config.embeddings else None]
        importance = await self._rated(events, turn) if rated else self._ruled(events, turn.agent.name)
        vectors = (
            await turn.embed([event.describe() for event in events], config.embeddings)
            if config.embeddings
            else []
        )
        self._archive.add(events, importance, vectors)
        del self._waiting[: len(events)]

    async def _embed_anew(self, turn: Turn) -> None:
        """Give the archive the embeddings of another provider, or none."""
        provider, events = self.config.embeddings, self._archive.events
        vectors: list[list[float]] = []
        for start in range(0, len(events) if provider else 0, EMBEDDED):
            lines = [event.describe() for event in events[start : start + EMBEDDED]]
            vectors += await turn.embed(lines, provider)
        self._archive.embed(vectors)
        self._embedded = provider

    async def _rated(self, events: Sequence[Event], turn: Turn) -> list[int]:
        config = self.config
        lines = [event.describe()[:CHARACTERS] for event in events]
        answer = await ask(turn, config.provider, config.prompt, _ratings(len(lines)), events=lines)
        return [answer.parsed[str(number + 1)] for number in range(len(lines))]

    def _ruled(self, events: Sequence[Event], me: str) -> list[int]:
        """Deeds count for more than words, what was for `me` alone or names `me` for more than the rest."""
        if self._named is None:
            self._named = re.compile(rf"\b{re.escape(me)}\b")
        ratings = []
        for event in events:
            line, strange = event.describe(), event.source != me
            meant = strange and (EVERYONE not in event.audience or self._named.search(line) is not None)
            ratings.append(2 + 2 * (event.kind != "say") + 4 * meant + (len(line) >= LONG))
        return ratings


@lru_cache(maxsize=RATED)
def _ratings(count: int) -> dict[str, Any]:
    """The schema of an answer: a number for each event, by the event's own number."""
    names = [str(number + 1) for number in range(count)]
    return {
        "type": "object",
        "properties": {name: {"type": "integer", "minimum": 1, "maximum": 10} for name in names},
        "required": names,
        "additionalProperties": False,
    }


def _told(events: Sequence[Event], tokens: int) -> list[Message]:
    """The best of `events` that fit into `tokens`, in the order in which they happened, as one message."""
    left = tokens - estimate_tokens(Message.user(HEAD))
    chosen: list[tuple[int, str]] = []
    for event in events:
        line = f"\n- {event.describe()}"
        cost = estimate_tokens(line)
        if cost <= left:
            left -= cost
            chosen.append((event.seq, line))
    return [Message.user(HEAD + "".join(line for _, line in sorted(chosen)))] if chosen else []
