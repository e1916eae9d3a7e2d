"""The journal of a run: every effect's answer, under its position, with the hash of what was asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson
from attrs import define, field, frozen

from ..errors import FAILURES, CallFailed, Divergence
from ..records import Message, Position, Request, Usage, canonical, digest
from ..store.models import CallRow
from ..store.reading import StoredRun
from ..store.store import CALL_COLUMNS, Store


@frozen
class Entry:
    """A journaled effect, the run's `number`th.

    `answer` is decoded JSON; `error` is the name of a failure, `detail` its words.
    """

    number: int
    kind: str
    request: str
    status: str
    answer: Any
    error: str
    detail: str
    model: str
    usage: Usage
    cost: float | None = None
    provider: str = ""
    seconds: float = 0.0

    @property
    def made(self) -> bool:
        """Whether somebody was asked: a completion that was given up has no provider."""
        return self.status == "answered" or self.kind != "complete" or bool(self.provider)

    def failure(self) -> CallFailed:
        """The failure that was journaled, to be raised again."""
        failure = FAILURES.get(self.error, CallFailed)(self.detail)
        failure.calls = (self.number,)
        return failure


@define
class Outcome:
    """What came of an effect: its `body` as JSON, or the `error`; for a completion also what it cost.

    `provider` is who answered, `attempts` are those that failed (as JSON), `queued` is in seconds. Where it
    was not `made`, nobody was asked.
    """

    body: bytes = b""
    error: CallFailed | None = None
    model: str = ""
    usage: Usage = field(factory=Usage)
    cost: float | None = None
    provider: str = ""
    attempts: Sequence[dict[str, Any]] = ()
    queued: float = 0.0
    started: float = 0.0
    seconds: float = 0.0
    made: bool = True


@define
class _Chain:
    """The messages of an agent's last journaled call, and the running hash at each of them."""

    number: int
    digests: list[str]
    links: list[bytes]


@frozen
class Asked:
    """What a request comes to: its hash, and what has to be stored to know it again."""

    hash: str
    messages: tuple[Message, ...]
    digests: list[str]
    links: list[bytes]
    frame: bytes
    frame_digest: str


@frozen
class Effect:
    """What is asked of whom: its `position`, its `kind`, who answers (`target`), the hash of the `request`.

    For a completion also what it comes to (`asked`) and its `seed`.
    """

    position: Position
    kind: str
    target: str
    request: str
    asked: Asked | None = None
    seed: int = 0


class Journal:
    """Looks effects up and writes them. Positions are asked for once each, in any order."""

    def __init__(self, store: Store, run: str, recorded: StoredRun | None) -> None:
        self._store = store
        self._run = run
        self._recorded = recorded
        self._left = recorded.count_entries() if recorded else 0
        self.number = recorded.last_call() if recorded else 0
        self._chains: dict[str, _Chain] = {}
        self._frames: dict[tuple[Any, ...], tuple[bytes, str, Any]] = {}

    def find(self, position: Position) -> Entry | None:
        """The entry at `position`, if there is one."""
        if not self._left:
            return None
        row = (
            CallRow.select()
            .where(
                (CallRow.run == self._run)
                & (CallRow.agent == position.agent)
                & (CallRow.step == position.step)
                & (CallRow.path == position.path)
            )
            .dicts()
            .execute(self._store.database)
        )
        found = next(iter(row), None)
        if found is None:
            return None
        self._left -= 1
        return Entry(
            found["number"],
            found["kind"],
            found["request"],
            found["status"],
            orjson.loads(found["answer"]) if found["answer"] else None,
            found["error"],
            found["detail"],
            found["model"],
            Usage(
                found["input_tokens"],
                found["output_tokens"],
                found["cached_tokens"],
                found["cache_write_tokens"],
            ),
            found["cost"],
            found["provider"],
            found["seconds"],
        )

    # -- what was asked --

    def asked(self, request: Request) -> Asked:
        """The hash of a completion's request, chained over its messages.

        Link i is the SHA-256 of link i-1 and the digest of message i, so a history that grew costs only
        its new messages. What was sent is covered; where it was sent is not.
        """
        chain = self._chains.get(request.position.agent)
        digests = [message.digest for message in request.messages]
        kept = _common(chain.digests, digests) if chain else 0
        links = chain.links[:kept] if chain else []
        link = links[-1] if links else b""
        for text in digests[kept:]:
            link = hashlib.sha256(link + text.encode()).digest()
            links.append(link)
        frame, frame_digest = self._frame(request)
        total = hashlib.sha256(link + frame_digest.encode()).hexdigest()
        return Asked(total, request.messages, digests, links, frame, frame_digest)

    def _frame(self, request: Request) -> tuple[bytes, str]:
        # Schemas and tool lists are few and live long, so their identity finds what was computed once.
        key = (request.provider, id(request.schema), tuple(map(id, request.tools)), request.sampling)
        found = self._frames.get(key)
        if found is None:
            body = canonical(
                {
                    "provider": request.provider,
                    "schema": request.schema,
                    "tools": [tool.to_dict() for tool in request.tools],
                    "sampling": request.sampling.to_dict(),
                }
            )
            if len(self._frames) > 1024:
                self._frames.clear()
            # The objects are kept beside the result: an identity is only theirs while they live.
            found = self._frames[key] = (body, digest(body), (request.schema, request.tools))
        return found[0], found[1]

    # -- writing --

    async def write(self, effect: Effect, outcome: Outcome) -> None:
        """Journal an answer, or a final failure; on disk when this returns."""
        self.put(effect, outcome)
        await self._store.writer.committed()

    def put(self, effect: Effect, outcome: Outcome) -> None:
        """Queue an entry without waiting for the disk."""
        usage, error = outcome.usage, outcome.error
        position, asked = effect.position, effect.asked
        self.number += 1
        base, kept, new, frame = None, 0, "[]", ""
        if asked is not None:
            base, kept = self._store_messages(position.agent, asked)
            new = orjson.dumps(asked.digests[kept:]).decode()
            frame = asked.frame_digest
            if error is None:  # a failure may be replaced when the run is resumed: nothing builds on it
                self.follow(position.agent, self.number, asked)
        if error is not None:
            error.calls = (self.number,)
        self._store.put_call(
            (
                self._run, self.number, position.agent, position.step, position.path, effect.kind,
                effect.target, effect.request, base, kept, new, frame, effect.seed,
                "failed" if error else "answered", outcome.body.decode(),
                type(error).__name__ if error else "", str(error) if error else "", outcome.model,
                usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens,
                outcome.started, outcome.seconds, outcome.provider, outcome.cost, outcome.queued,
                orjson.dumps(outcome.attempts).decode() if outcome.attempts else "[]", "", "",
            )
        )  # fmt: skip

    def reopen(self, numbers: Sequence[int]) -> None:
        """Let these failed calls be asked again when the run is resumed: they are what ended it."""
        for number in numbers:
            self._store.open_call(self._run, number)

    def follow(self, agent: str, number: int, asked: Asked) -> None:
        """Make a journaled completion the one that the agent's next one is compared with."""
        self._chains[agent] = _Chain(number, asked.digests, asked.links)

    def _store_messages(self, agent: str, asked: Asked) -> tuple[int | None, int]:
        # The predecessor is the agent's last *journaled* call: what is on disk is a prefix of the queue,
        # so it cannot be missing when this one is there.
        chain = self._chains.get(agent)
        kept = _common(chain.digests, asked.digests) if chain else 0
        base = chain.number if chain and kept else None
        known = self._store.known_messages
        for message, text in zip(asked.messages[kept:], asked.digests[kept:], strict=True):
            if text not in known:
                self._store.put_message(text, canonical(message.to_dict()))
        if asked.frame_digest not in known:
            self._store.put_message(asked.frame_digest, asked.frame)
        return base, kept


def _common(old: list[str], new: list[str]) -> int:
    """How many elements two lists share at their beginning."""
    bound = min(len(old), len(new))
    if old[:bound] == new[:bound]:
        return bound
    for index in range(bound):
        if old[index] != new[index]:
            return index
    return bound


def differs(position: Position, kind: str, what: str) -> Divergence:
    """The error for an execution that asks something else than the journaled one."""
    return Divergence(
        f"{position}: this execution's {kind} differs from the recorded one: {what}; "
        "a prompt, a plugin or the scenario has changed since"
    )


# `Journal.put` gives its row in the order of the columns.
assert CALL_COLUMNS[:7] == ["run", "number", "agent", "step", "path", "kind", "target"]
