"""The journal of a run: every call's answer, under its position, with the hash of what was asked."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from operator import is_, itemgetter
from typing import Any

import orjson
from attrs import asdict

from pyscrai_records.canonical import canonical, digest
from pyscrai_records.errors import AnswerRejected, CallFailed, Divergence, EndOfRecord
from pyscrai_records.records import Position, Request
from pyscrai_records.store.checksums import checksum_of_call
from pyscrai_records.store.opening import translate_errors
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import CALL_COLUMNS, Store

from .call import STORED, Call, CallStatus, Chain, ChainedRequest
from .divergence import diff, render_body, render_completion, render_recorded

PAGE = 500
SELECT_CALLS = (
    f"""SELECT {",".join(f'"{name}"' for name in STORED)} FROM "calls" """
    'WHERE "run"=? AND "number">? AND "number"<=? ORDER BY "number" LIMIT ?'
)
#: The place of the number among the columns that are read.
NUMBER = STORED.index("number")
_COLUMNS = itemgetter(*CALL_COLUMNS)
#: Stands for the completion before an agent's first one.
NOTHING = (0, Chain((), [], []))


def answer_key(call: Call, turn: int, identity: str) -> str:
    """What an answer is found by when another run may take it.

    The same request, at the same position, in the agent's same `turn`, under the same seed, of the model that
    is `identity`.
    """
    position = call.position
    where = [position.agent, position.step, position.path, turn]
    return digest(canonical([call.kind, *where, call.request, call.seed, identity]))[:32]


class Journal:
    """Finds calls and writes them. Each position is asked for once, in any order.

    An execution asks in about the order in which the calls were journaled, so the journal is read in
    that order, a page at a time, and only what was passed over is kept.
    """

    def __init__(self, store: Store, run: str, recorded: RecordedRun | None, replay: bool) -> None:
        self._store = store
        self._run = run
        self.recorded = recorded
        self.replay = replay
        self.number = self._last = recorded.last_call() if recorded else 0
        self._read = 0
        self._waiting: dict[tuple[str, int, str], Sequence[Any]] = {}
        #: Each agent's last journaled completion, which its next one is compared with.
        self._completions: dict[str, tuple[int, Chain]] = {}
        #: The step and the number of each agent's last completion.
        self._last_answers: dict[str, tuple[int, int]] = {}
        self._known_options: dict[tuple[Any, ...], tuple[bytes, str, Any]] = {}

    @property
    def failed(self) -> bool:
        """Whether the recorded run failed: its open calls ended it, else they were to be made again."""
        return self.recorded is not None and self.recorded.status == "failed"

    def undecided(self, position: Position) -> list[str]:
        """The other calls of tools, as text, of which nobody knows whether they acted."""
        return [
            f"agents.{one['agent']}, step {one['step']}: {one['tool']} {canonical(one['arguments']).decode()}"
            for one in (self.recorded.intents() if self.recorded else [])
            if (one["agent"], one["step"], one["path"]) != (position.agent, position.step, position.path)
        ]

    def find(self, call: Call, turns_of: Callable[[str], int]) -> Call | None:
        """The journaled call at the position of `call`, if there is one.

        Raises `EndOfRecord` if a replay finds none, `Divergence` if it is another one; that error tells which
        of the agent's turns it was, after as many as `turns_of` gives.
        """
        position = call.position
        place = (position.agent, position.step, position.path)
        while (row := self._waiting.pop(place, None)) is None:
            if self._read < self._last:
                self._next_page()
            elif self.replay:
                raise EndOfRecord(f"{position}: nothing is recorded here")
            else:
                return None
        found = Call.from_row(row)
        if (found.kind, found.request) != (call.kind, call.request):
            raise self._differs(call, found, turns_of(position.agent))
        if self.replay and found.key and call.key and found.key != call.key:
            raise Divergence(
                f"{position}: the key of the recorded answer is not that of the call; it was changed, and "
                "other runs would take it for theirs: remove the run",
                position.step,
            )
        return found

    def _next_page(self) -> None:
        bounds = (self._run, self._read, self._last, PAGE)
        with translate_errors(self._store.path):  # not for a plugin to catch, or to be blamed for
            rows = self._store.connection.execute(SELECT_CALLS, bounds).fetchall()
        for row in rows:
            self._waiting[row[:3]] = row
        self._read = rows[-1][NUMBER] if len(rows) == PAGE else self._last

    def _differs(self, call: Call, recorded: Call, turn: int) -> Divergence:
        """The error for an execution that asks something else, in an agent's turn with this number from 0."""
        if recorded.kind != call.kind:
            what = f"it is of the kind {call.kind}, and {recorded.kind} was recorded"
        elif self.recorded is None:
            what = "it is not what was asked"
        else:
            what = "it is not what was asked:\n" + diff(
                render_recorded(self.recorded, recorded.number, recorded.kind), _render(call)
            )
        position = call.position
        where = f"turn {turn + 1}" if position.agent[0] != "@" else f"{position.agent}, step {position.step}"
        return Divergence(
            f"{where}, call {position.path} ({call.kind}): this execution asks something else than the "
            f"recorded one; a prompt, a plugin or the scenario has changed since; {what}",
            position.step,
        )

    # -- what was asked --

    def chained(self, request: Request) -> ChainedRequest:
        """The hash of a completion's request, chained over its messages.

        Link i is the SHA-256 of link i-1 and the digest of message i, so a history that grew costs only
        its new messages. What was sent is covered; where it was sent is not.
        """
        _, last = self._completions.get(request.position.agent, NOTHING)
        same = len(last.messages)
        if request.messages[:same] != last.messages:
            same = sum(takewhile(bool, map(is_, last.messages, request.messages)))
        digests = last.digests[:same] + [message.digest for message in request.messages[same:]]
        kept = _common(last.digests, digests)
        links = last.links[:kept]
        link = links[-1] if links else b""
        for text in digests[kept:]:
            link = hashlib.sha256(link + text.encode()).digest()
            links.append(link)
        options, options_digest = self._options(request)
        total = hashlib.sha256(link + options_digest.encode()).hexdigest()
        return ChainedRequest(total, Chain(request.messages, digests, links), options, options_digest)

    def _options(self, request: Request) -> tuple[bytes, str]:
        # Schemas and tool lists are few and live long, so their identity finds what was computed once.
        key = (request.provider, id(request.schema), tuple(map(id, request.tools)), request.sampling)
        found = self._known_options.get(key)
        if found is None:
            body = canonical(
                {
                    "provider": request.provider,
                    "schema": request.schema,
                    "tools": [tool.to_dict() for tool in request.tools],
                    "sampling": request.sampling.to_dict(),
                }
            )
            if len(self._known_options) > 1024:
                self._known_options.clear()
            # The objects are kept beside the result: an identity is only theirs while they live.
            found = self._known_options[key] = (body, digest(body), (request.schema, request.tools))
        return found[0], found[1]

    # -- writing --

    async def write(self, call: Call) -> None:
        """Journal an answer or a final failure: on disk when this returns."""
        self.put(call)
        await self._store.writer.committed()
        if call.failure is None:
            # Plugins receive the decoded form of what was journaled, never the object that was encoded.
            call.answer = orjson.loads(call.answer_json)

    async def intend(self, call: Call) -> None:
        """Journal that something is about to happen that must not happen twice; on disk when this returns."""
        self._put(call, "intent", time.time())
        await self._store.writer.committed()

    async def taken(self, number: int) -> None:
        """The input with this number waits no more; on disk, with what was put before, when this returns."""
        self._store.remove_input(number)
        await self._store.writer.committed()

    def put(self, call: Call) -> None:
        """Queue a call without waiting for the disk."""
        call.status = "failed" if call.failure else "answered"
        self._put(call, call.status, call.started)

    def _put(self, call: Call, status: CallStatus, started: float) -> None:
        self.number = call.number = self.number + 1
        position, usage, failure = call.position, call.usage, call.failure
        row = {
            "run": self._run, "number": call.number, "kind": call.kind, "target": call.target,
            "agent": position.agent, "step": position.step, "path": position.path,
            "request": call.request, "base": None, "kept": 0, "messages": "[]", "frame": "",
            "seed": call.seed, "status": status, "answer": call.answer_json.decode(),
            "error": type(failure).__name__ if failure else "", "detail": str(failure) if failure else "",
            "model": call.model, "provider": call.provider, "cost": call.cost,
            "input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens,
            "cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens,
            "estimated": int(usage.estimated), "finish_reason": call.finish_reason,
            "started": started, "seconds": call.seconds, "queued": call.queued,
            "attempts": orjson.dumps(list(map(asdict, call.attempts))).decode() if call.attempts else "[]",
            "reused": call.reused,
            # A fallback's answer is not what the request's own provider would say.
            "key": call.key if call.provider in ("", call.target) and failure is None else "",
        }  # fmt: skip
        row["checksum"] = checksum_of_call(row)
        if call.chained is not None:
            row |= self._put_messages(position.agent, call.chained)
            if failure is None:  # a failure may be replaced when the run is resumed: nothing builds on it
                self.follow(call)
        elif call.body:
            self._store.put_message(call.request, call.body)
        if failure is not None:
            failure.calls = (call.number,)
        self._store.put_call(_COLUMNS(row))

    def reopen(self, calls: set[int], end: BaseException, agent: str, step: int) -> None:
        """Let the `calls` that ended a turn with `end` be made again when the run is resumed."""
        calls = calls | set(end.calls if isinstance(end, CallFailed) else ())
        made, number = self._last_answers.get(agent, (-1, 0))
        if isinstance(end, AnswerRejected) and not end.calls and made == step:
            # A plugin found that a journaled answer cannot be used. Nothing builds on the agent's last one.
            calls.add(number)
        for number in () if self.replay else sorted(calls):
            self._store.reopen_call(self._run, number)

    def follow(self, call: Call) -> None:
        """Make a journaled completion the one that the agent's next one is compared with."""
        if call.chained is not None:
            position = call.position
            self._completions[position.agent] = call.number, call.chained.chain
            self._last_answers[position.agent] = position.step, call.number

    def _put_messages(self, agent: str, chained: ChainedRequest) -> dict[str, Any]:
        """Queue what is new of a request; the columns that tell where its messages are."""
        # The predecessor is the agent's last *journaled* call: what is on disk is a prefix of the queue,
        # so it cannot be missing when this one is there.
        number, last = self._completions.get(agent, NOTHING)
        messages, digests = chained.chain.messages, chained.chain.digests
        kept = _common(last.digests, digests)
        known = self._store.known_messages
        for message, text in zip(messages[kept:], digests[kept:], strict=True):
            if text not in known:
                self._store.put_message(text, message.to_json())
        if chained.options_digest not in known:
            self._store.put_message(chained.options_digest, chained.options)
        return {
            "base": number if kept else None,
            "kept": kept,
            "messages": orjson.dumps(digests[kept:]).decode(),
            "frame": chained.options_digest,
        }


def _render(call: Call) -> list[str]:
    """What a call asks, in lines."""
    if call.chained is not None:
        return render_completion(call.chained.chain.messages, orjson.loads(call.chained.options))
    return render_body(orjson.loads(call.body)) if call.body else []


def _common(old: list[str], new: list[str]) -> int:
    """How many elements two lists share at their beginning."""
    bound = min(len(old), len(new))
    if old[:bound] == new[:bound]:
        return bound
    return next(index for index in range(bound) if old[index] != new[index])
