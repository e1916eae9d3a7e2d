"""One call of a run: where it is made, what it asks of whom, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import orjson
from attrs import define, field, frozen

from pyscrai_records.canonical import canonical, check_json, digest
from pyscrai_records.errors import FAILURES, AnswerRejected, CallFailed
from pyscrai_records.messages import Message
from pyscrai_records.records import NO_USAGE, Position, Usage
from pyscrai_records.secret import redact, redact_bytes
from pyscrai_records.store.checksums import damaged, is_damaged

#: Stands for the agent where something comes from outside of the run.
OUTSIDE = "@outside"

#: `new`: nothing came of it yet. `open`: it failed and ended the run, so a resume makes it again. `intent`: a
#: tool that must not be called twice was about to be called.
CallStatus: TypeAlias = Literal["new", "answered", "failed", "open", "intent"]


@frozen
class Attempt:
    """An attempt that failed: whom it asked, when (seconds since 1970), how long, and the wait after it."""

    provider: str
    error: str
    detail: str
    started: float
    seconds: float
    wait: float | None


@frozen
class Chain:
    """The messages of a request: with their `digests`, and the running hash at each of them (`links`)."""

    messages: tuple[Message, ...]
    digests: list[str]
    links: list[bytes]


@frozen
class ChainedRequest:
    """A completion's request as the journal keeps it: its `hash`, and what is stored to know it again.

    `options` is the request without its messages (provider, schema, tools, sampling), as JSON.
    """

    hash: str
    chain: Chain
    options: bytes
    options_digest: str


@define
class Call:
    """What is asked of `target` at a position, and what came of it.

    position, kind, target
        where; `complete`, `embed`, `ask`, `now`, `tool`, `tools` or `input`; who is to answer
    request
        the hash of what is asked; `chained` of a completion, `body` (JSON) of another kind
    seed, key
        the completion's seed; what an answer is found by when another run may take it (empty: none may)
    number, status
        the call's number in the journal, from 1, and what became of it
    answer, answer_json
        the decoded answer, and its JSON
    failure
        what it failed with
    model, usage, cost, finish_reason
        the model as served, the tokens of all attempts, US dollars (None: unknown), why a completion ended
    provider, attempts
        who answered, a fallback perhaps; the attempts that failed
    started, seconds, queued
        seconds since 1970; those of the last attempt, of all parts; those that it waited for the limits
    held
        whether it waits for the limits or for another attempt: nobody has been asked who may still answer
    made
        False if the call was given up before anybody was asked
    reused
        the run that the answer was taken from; then nothing was paid for it
    """

    position: Position
    kind: str
    target: str
    request: str
    chained: ChainedRequest | None = None
    body: bytes = b""
    seed: int = 0
    key: str = ""
    number: int = 0
    status: CallStatus = "new"
    answer: Any = None
    answer_json: bytes = b""
    failure: CallFailed | None = None
    model: str = ""
    usage: Usage = NO_USAGE
    cost: float | None = None
    finish_reason: str = ""
    provider: str = ""
    attempts: list[Attempt] = field(factory=list)
    started: float = 0.0
    seconds: float = 0.0
    queued: float = 0.0
    held: bool = False
    made: bool = True
    reused: str = ""

    @classmethod
    def of(cls, position: Position, kind: str, target: str, what: Any) -> Call:
        """A call other than a completion; `what` is asked, as JSON."""
        body = canonical(what)
        return cls(position, kind, target, digest(body), body=body)

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Call:
        """A journaled call, from the columns `STORED`. Raises `StoreError` if it is damaged."""
        if is_damaged(dict(zip(STORED, row, strict=True))):
            raise damaged(f"call {row[STORED.index('number')]}")
        (
            agent, step, path, number, kind, target, request, status, answer, error, detail, model, sent,
            received, cached, cache_writes, estimated, cost, provider, seconds, reused,
            key, _,
        ) = row  # fmt: skip
        call = cls(Position(agent, step, path), kind, target, request)
        call.number, call.status, call.model = number, status, model
        call.usage, call.cost = Usage(sent, received, cached, cache_writes, estimated), cost
        call.provider, call.seconds, call.reused, call.key = provider, seconds, reused, key
        try:
            call.answer = orjson.loads(answer) if answer else None
        except ValueError:
            raise damaged(f"call {number}") from None
        if error:
            call.failure = FAILURES.get(error, CallFailed)(detail)
            call.failure.calls = (number,)
        call.made = status == "answered" or kind != "complete" or bool(provider)
        if isinstance(call.failure, AnswerRejected):
            call.failure.given_up = not call.made
        return call

    @property
    def paid(self) -> bool:
        """Whether a completion cost something: it was answered, or what came of it was no answer."""
        return self.failure is None or self.usage != NO_USAGE

    def redact(self) -> None:
        """Take secrets out of all that is written."""
        self.answer_json, self.model = redact_bytes(self.answer_json), redact(self.model)
        if self.failure is not None:
            self.failure.args = (redact(str(self.failure)),)


#: The columns that `Call.from_row` takes.
STORED = (
    "agent", "step", "path", "number", "kind", "target", "request", "status", "answer", "error", "detail",
    "model", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "estimated", "cost",
    "provider", "seconds", "reused", "key", "checksum",
)  # fmt: skip


def encode_answer(value: Any, who: str) -> bytes:
    """An answer as JSON. Raises `CallFailed` in the name of `who` if it is none."""
    try:
        return canonical(check_json(value, "answer"))
    except ValueError as error:
        raise CallFailed(f"{who}: {error}; expected plain JSON") from None
