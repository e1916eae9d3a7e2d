"""The journal of a run: every effect's answer, under its position, with the hash of what was asked."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import orjson
from attrs import define, field, frozen

from ..errors import FAILURES, CallFailed, Divergence
from ..records import Message, Position, Request, Usage, canonical, digest
from ..store.runs import StoredRun
from ..store.store import CALL_COLUMNS, Store
from .divergence import asked_in_words, body_in_words, completion_in_words, difference

#: The agent's place in the positions of what comes from outside.
OUTSIDE = "@outside"
PAGE = 500
SELECT_ENTRIES = (
    'SELECT "agent","step","path","number","kind","request","status","answer","error","detail","model",'
    '"input_tokens","output_tokens","cached_tokens","cache_write_tokens","cost","provider","seconds","reused"'
    ' FROM "calls" WHERE "run"=? AND "number">? AND "number"<=? ORDER BY "number" LIMIT ?'
)
Row = list[Any]


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
    usage: Usage = field(factory=Usage)
    cost: float | None = None
    provider: str = ""
    seconds: float = 0.0
    #: The run that the answer was taken from; then nothing was paid for it here.
    reused: str = ""

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
    was not `made`, nobody was asked; where it was `reused`, it is another run's answer.
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
    reused: str = ""


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


@define
class Effect:
    """What is asked of whom: its `position`, its `kind`, who answers (`target`), the hash of the `request`.

    For a completion also what it comes to (`asked`) and its `seed`; for others the request's `body`. `key`
    finds an answer that another run may take (empty: none may).
    """

    position: Position
    kind: str
    target: str
    request: str
    asked: Asked | None = None
    seed: int = 0
    body: bytes = b""
    key: str = ""

    @classmethod
    def of(cls, position: Position, kind: str, target: str, what: Any) -> Effect:
        """An effect other than a completion: `what` is asked, as JSON."""
        body = canonical(what)
        return cls(position, kind, target, digest(body), body=body)

    def in_words(self) -> list[str]:
        """What is asked, in lines."""
        if self.asked is not None:
            return completion_in_words(self.asked.messages, orjson.loads(self.asked.frame))
        return body_in_words(orjson.loads(self.body)) if self.body else []


def answer_key(effect: Effect, turn: int, identity: str) -> str:
    """What an answer is found by when another run may take it.

    The same request, at the same position, in the agent's same `turn`, under the same seed, of the model that
    is `identity`.
    """
    position = effect.position
    where = [position.agent, position.step, position.path, turn]
    return digest(canonical([effect.kind, *where, effect.request, effect.seed, identity]))[:32]


class Journal:
    """Looks effects up and writes them. Positions are asked for once each, in any order.

    An execution asks in about the order in which the effects were journaled, so that the journal is read in
    that order, a page at a time, and only what was passed over is kept.
    """

    def __init__(self, store: Store, run: str, recorded: StoredRun | None) -> None:
        self._store = store
        self._run = run
        self._recorded = recorded
        self.number = self._last = recorded.last_call() if recorded else 0
        self._read = 0
        self._waiting: dict[tuple[str, int, str], Row] = {}
        self._chains: dict[str, _Chain] = {}
        self._frames: dict[tuple[Any, ...], tuple[bytes, str, Any]] = {}

    @property
    def failed(self) -> bool:
        """Whether the recorded run failed: its open calls ended it, else they were to be made again."""
        return self._recorded is not None and self._recorded.status == "failed"

    def undecided(self, position: Position) -> list[str]:
        """The other calls of tools, in words, of which nobody knows whether they acted."""
        return [
            f"agents.{one['agent']}, step {one['step']}: {one['tool']} {canonical(one['arguments']).decode()}"
            for one in (self._recorded.intents() if self._recorded else [])
            if (one["agent"], one["step"], one["path"]) != (position.agent, position.step, position.path)
        ]

    def find(self, position: Position) -> Entry | None:
        """The entry at `position`, if there is one."""
        place = (position.agent, position.step, position.path)
        while (row := self._waiting.pop(place, None)) is None:
            if self._read >= self._last:
                return None
            self._next_page()
        (
            number,
            kind,
            request,
            status,
            answer,
            error,
            detail,
            model,
            *tokens,
            cost,
            provider,
            seconds,
            reused,
        ) = row
        return Entry(
            number, kind, request, status, orjson.loads(answer) if answer else None, error, detail, model,
            Usage(*tokens), cost, provider, seconds, reused,
        )  # fmt: skip

    def _next_page(self) -> None:
        bounds = (self._run, self._read, self._last, PAGE)
        rows = self._store.connection.execute(SELECT_ENTRIES, bounds).fetchall()
        for agent, step, path, *row in rows:
            self._waiting[agent, step, path] = row
        self._read = rows[-1][3] if len(rows) == PAGE else self._last

    def outside(self) -> dict[int, list[Any]]:
        """What came from outside, by the step at whose beginning it was taken in."""
        found: dict[int, list[Any]] = {}
        where = 'FROM "calls" WHERE "run"=? AND "agent"=? ORDER BY "number"'
        rows = self._store.connection.execute(f'SELECT "step","answer" {where}', (self._run, OUTSIDE))
        for step, answer in rows:
            found.setdefault(step, []).append(orjson.loads(answer))
        return found

    def differs(self, effect: Effect, entry: Entry, turn: int) -> Divergence:
        """The error for an execution that asks something else, in an agent's turn with this number from 0."""
        if entry.kind != effect.kind:
            what = f"it is of the kind {effect.kind}, and {entry.kind} was recorded"
        elif self._recorded is None:
            what = "it is not what was asked"
        else:
            what = "it is not what was asked:\n" + difference(
                asked_in_words(self._recorded, entry.number, entry.kind), effect.in_words()
            )
        position = effect.position
        where = f"turn {turn + 1}" if position.agent[0] != "@" else f"{position.agent}, step {position.step}"
        return Divergence(
            f"{where}, call {position.path} ({effect.kind}): this execution asks something else than the "
            f"recorded one; a prompt, a plugin or the scenario has changed since; {what}",
            position.step,
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

    async def write(self, effect: Effect, outcome: Outcome) -> int:
        """Journal an answer, or a final failure; its number, on disk when this returns."""
        self.put(effect, outcome)
        number = self.number
        await self._store.writer.committed()
        return number

    async def intend(self, effect: Effect) -> None:
        """Journal that something is about to happen that must not happen twice; on disk when this returns."""
        self._put(effect, Outcome(started=time.time()), "intent")
        await self._store.writer.committed()

    async def taken(self, number: int) -> None:
        """The input with this number waits no more; on disk, with what was put before, when this returns."""
        self._store.put_taken(number)
        await self._store.writer.committed()

    def put(self, effect: Effect, outcome: Outcome) -> None:
        """Queue an entry without waiting for the disk."""
        self._put(effect, outcome, "failed" if outcome.error else "answered")

    def _put(self, effect: Effect, outcome: Outcome, status: str) -> None:
        usage, error = outcome.usage, outcome.error
        position, asked = effect.position, effect.asked
        self.number += 1
        base, kept, new, frame = None, 0, "[]", ""
        # A fallback's answer is not what the request's own provider would say.
        key = effect.key if outcome.provider in ("", effect.target) and error is None else ""
        if asked is not None:
            base, kept = self._store_messages(position.agent, asked)
            new = orjson.dumps(asked.digests[kept:]).decode()
            frame = asked.frame_digest
            if error is None:  # a failure may be replaced when the run is resumed: nothing builds on it
                self.follow(position.agent, self.number, asked)
        elif effect.body:
            self._store.put_message(effect.request, effect.body)
        if error is not None:
            error.calls = (self.number,)
        self._store.put_call(
            (
                self._run, self.number, position.agent, position.step, position.path, effect.kind,
                effect.target, effect.request, base, kept, new, frame, effect.seed,
                status, outcome.body.decode(),
                type(error).__name__ if error else "", str(error) if error else "", outcome.model,
                usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens,
                outcome.started, outcome.seconds, outcome.provider, outcome.cost, outcome.queued,
                orjson.dumps(outcome.attempts).decode() if outcome.attempts else "[]",
                outcome.reused, key,
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


# `Journal.put` gives its row in the order of the columns.
assert CALL_COLUMNS[:7] == ["run", "number", "agent", "step", "path", "kind", "target"]
