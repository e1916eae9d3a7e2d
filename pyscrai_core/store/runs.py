"""Reading runs: for exporters, for the command, and for executing a run again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from peewee import SqliteDatabase, fn

from ..errors import StoreError
from ..messages import Message
from ..records import Cost, Event, RunStatus, Usage
from ..stored_run import StoredRun
from .locks import Locks, Owner
from .models import CallRow, EventRow, InputRow, ManifestRow, MessageRow, OutcomeRow, RunRow

#: Rows that a long read takes at a time, so that it needs little memory and blocks no writer.
PAGE = 1000


def find_run(database: SqliteDatabase, ref: str, store: str) -> RunRow:
    """The row of the run `ref`: an id, a unique prefix, or `last`. Raises `StoreError`."""
    query = RunRow.select().order_by(RunRow.created.desc(), RunRow.id)
    if ref == "last":
        found = list(query.limit(1).execute(database))
        if not found:
            raise StoreError(f"run 'last': the store {store} holds no runs; make one with: pyscrai run FILE")
        return found[0]  # type: ignore[no-any-return]
    found = (
        list(query.where(fn.substr(RunRow.id, 1, len(ref)) == ref).limit(5).execute(database)) if ref else []
    )
    if len(found) == 1 or (found and found[0].id == ref):
        return found[0]  # type: ignore[no-any-return]
    if found:
        ids = ", ".join(row.id for row in found)
        raise StoreError(f"run {ref!r}: it is the beginning of several: {ids}; give more of it")
    raise StoreError(f"run {ref!r}: the store {store} has no such run; `pyscrai runs` lists them")


class RecordedRun(StoredRun):
    """One run in a store, with what the kernel and the command need beside `StoredRun`."""

    def __init__(self, database: SqliteDatabase, row: RunRow, locks: Locks) -> None:
        self._database = database
        self._row: Any = row
        self._manifest: Any = None
        self._live = self._row.status in ("running", "paused") and locks.held(self._row.id)

    @property
    def id(self) -> str:
        return str(self._row.id)

    @property
    def scenario(self) -> str:
        """The scenario's name."""
        return str(self._row.scenario)

    @property
    def seed(self) -> int:
        return int(self._row.seed)

    @property
    def status(self) -> RunStatus:
        """How it ended, or what it does. A run whose process was ended is `interrupted`."""
        status: RunStatus = self._row.status
        return status if self._live or status not in ("running", "paused") else "interrupted"

    @property
    def owner(self) -> Owner | None:
        """The process that executes it now, if one does."""
        return Owner.from_json(self._row.owner) if self._live else None

    @property
    def last_owner(self) -> str:
        """Who executed it last, as it is written."""
        return str(self._row.owner)

    @property
    def parent(self) -> str:
        """The run that it was forked from; empty if it is no fork."""
        return str(self._row.parent)

    @property
    def error(self) -> str:
        """Why the run did not complete; empty if it did."""
        return str(self._row.error)

    @property
    def created(self) -> float:
        """When it was started: seconds since 1970."""
        return float(self._row.created)

    @property
    def ended(self) -> float | None:
        """When it ended: seconds since 1970; None while it runs."""
        return None if self._row.ended is None else float(self._row.ended)

    @property
    def steps(self) -> int:
        """How many steps it has taken, so far if it has not ended."""
        if self._row.ended is not None:
            return int(self._row.steps)
        last = EventRow.select(fn.MAX(EventRow.step)).where(EventRow.run == self.id)
        return max(int(self._row.steps), int(last.scalar(self._database) or 0))

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the canonical log; empty until the run has ended once."""
        return str(self._row.fingerprint)

    def _manifest_row(self) -> Any:
        if self._manifest is None:
            self._manifest = (
                ManifestRow.select().where(ManifestRow.run == self.id).get_or_none(self._database)
            )
            if self._manifest is None:
                raise StoreError(f"run {self.id}: its manifest is missing; the store is damaged: restore it")
        return self._manifest

    @property
    def manifest(self) -> dict[str, Any]:
        """What an execution needs: scenario, configurations, versions, hashes."""
        body: dict[str, Any] = orjson.loads(self._manifest_row().body)
        return body

    @property
    def served(self) -> dict[str, str]:
        """For each provider of the scenario, the models that answered, as the vendor names them."""
        query = (
            CallRow.select(CallRow.target, CallRow.provider, CallRow.model)
            .where((CallRow.run == self.id) & (CallRow.kind == "complete") & (CallRow.status == "answered"))
            .distinct()
            .tuples()
        )
        found: dict[str, set[str]] = {}
        for target, by, model in query.execute(self._database):
            found.setdefault(by or target, set()).add(model)
        return {name: ", ".join(sorted(models)) for name, models in found.items()}

    @property
    def outcomes(self) -> dict[str, Any]:
        query = OutcomeRow.select().where(OutcomeRow.run == self.id).order_by(OutcomeRow.name)
        return {row.name: orjson.loads(row.value) for row in query.execute(self._database)}

    def events(self, after: int = 0) -> Iterator[Event]:
        """The log in order, from the event after number `after`."""
        while True:
            query = (
                EventRow.select()
                .where((EventRow.run == self.id) & (EventRow.seq > after))
                .order_by(EventRow.seq)
                .limit(PAGE)
                .tuples()
            )
            rows = list(query.execute(self._database))
            for _, seq, step, kind, source, audience, payload, cause in rows:
                yield Event(
                    seq, step, kind, source, tuple(orjson.loads(audience)), orjson.loads(payload), cause
                )
            if len(rows) < PAGE:
                return
            after = rows[-1][1]

    def calls(self) -> Iterator[dict[str, Any]]:
        """The journaled calls in the order in which they were journaled, one dictionary each."""
        after = 0
        while True:
            query = (
                CallRow.select()
                .where((CallRow.run == self.id) & (CallRow.number > after))
                .order_by(CallRow.number)
                .limit(PAGE)
                .dicts()
            )
            rows = list(query.execute(self._database))
            for row in rows:
                row["answer"] = orjson.loads(row["answer"]) if row["answer"] else None
                row["messages"] = orjson.loads(row["messages"])
                row["attempts"] = orjson.loads(row["attempts"])
                yield row
            if len(rows) < PAGE:
                return
            after = rows[-1]["number"]

    def messages(self, number: int) -> list[Message]:
        """What the completion with this number was asked, message by message."""
        parts: list[list[str]] = []
        wanted: int | None = number
        needed: int | None = None  # how many of the wanted call's messages; None: all
        while wanted is not None:
            row = (
                CallRow.select()
                .where((CallRow.run == self.id) & (CallRow.number == wanted))
                .get_or_none(self._database)
            )
            if row is None:
                raise StoreError(f"run {self.id}: call {wanted} is missing; the store is damaged: restore it")
            own = orjson.loads(row.messages)
            parts.append(own if needed is None else own[: max(0, needed - row.kept)])
            needed = row.kept if needed is None else min(needed, row.kept)
            wanted = row.base if needed else None
        digests = [digest for part in reversed(parts) for digest in part]
        bodies = {
            row.digest: bytes(row.body)
            for row in MessageRow.select().where(MessageRow.digest.in_(set(digests))).execute(self._database)
        }
        return [Message.from_dict(orjson.loads(bodies[digest])) for digest in digests]

    def frame(self, number: int) -> dict[str, Any]:
        """What a completion's request had beside its messages: provider, schema, tools, sampling."""
        query = (
            MessageRow.select(MessageRow.body)
            .join(CallRow, on=(CallRow.frame == MessageRow.digest))
            .where((CallRow.run == self.id) & (CallRow.number == number))
            .tuples()
        )
        found = next(iter(query.execute(self._database)), None)
        if found is None:
            raise StoreError(f"run {self.id}: call {number} is no completion, or is missing")
        frame: dict[str, Any] = orjson.loads(bytes(found[0]))
        return frame

    def body(self, number: int) -> Any:
        """What a call other than a completion asked, as JSON."""
        query = (
            MessageRow.select(MessageRow.body)
            .join(CallRow, on=(CallRow.request == MessageRow.digest))
            .where((CallRow.run == self.id) & (CallRow.number == number))
            .tuples()
        )
        found = next(iter(query.execute(self._database)), None)
        if found is None:
            raise StoreError(f"run {self.id}: what call {number} asked is not in the store")
        return orjson.loads(bytes(found[0]))

    def last_recorded_step(self) -> int:
        """The last step of which anything is recorded; -1 if nothing is."""
        last = CallRow.select(CallRow.step).where(CallRow.run == self.id).order_by(CallRow.number.desc())
        event = EventRow.select(EventRow.step).where(EventRow.run == self.id).order_by(EventRow.seq.desc())
        found = [query.limit(1).scalar(self._database) for query in (last, event)]
        return max((int(step) for step in found if step is not None), default=-1)

    def last_call(self) -> int:
        """The highest number of a call, 0 if there are none. A replaced failure leaves a gap."""
        highest = CallRow.select(fn.MAX(CallRow.number)).where(CallRow.run == self.id)
        return int(highest.scalar(self._database) or 0)

    def count_calls(self) -> int:
        """How many calls were made; a completion that was given up before anybody was asked is none."""
        made = (
            (CallRow.status == "answered")
            | ((CallRow.kind != "complete") & (CallRow.status != "intent"))
            | (CallRow.provider != "")
        )
        return int(CallRow.select().where((CallRow.run == self.id) & made).count(self._database))

    def answered_by(self) -> dict[tuple[str, str], int]:
        """For each provider that was to answer, and each that did: how many completions."""
        query = (
            CallRow.select(CallRow.target, CallRow.provider, fn.COUNT(CallRow.number))
            .where((CallRow.run == self.id) & (CallRow.kind == "complete") & (CallRow.status == "answered"))
            .group_by(CallRow.target, CallRow.provider)
            .tuples()
        )
        return {(target, by or target): count for target, by, count in query.execute(self._database)}

    def count_events(self) -> int:
        return int(EventRow.select().where(EventRow.run == self.id).count(self._database))

    def events_until(self, step: int) -> int:
        """The number of the last event up to the end of a step; 0 if there is none."""
        query = EventRow.select(fn.MAX(EventRow.seq)).where(
            (EventRow.run == self.id) & (EventRow.step <= step)
        )
        return int(query.scalar(self._database) or 0)

    def sources(self, step: int) -> list[str]:
        """Those that events or calls up to the end of a step come from."""
        names = set()
        for row, name in ((EventRow, EventRow.source), (CallRow, CallRow.agent)):
            query = row.select(name).where((row.run == self.id) & (row.step <= step)).distinct().tuples()
            names |= {one for (one,) in query.execute(self._database)}
        return sorted(names)

    def inputs(self) -> list[dict[str, Any]]:
        """What a person added: the step, and kind, payload, audience and author of each event."""
        query = (
            CallRow.select(CallRow.step, CallRow.answer)
            .where((CallRow.run == self.id) & (CallRow.kind == "input"))
            .order_by(CallRow.number)
            .tuples()
        )
        return [{"step": step, **orjson.loads(body)} for step, body in query.execute(self._database)]

    def intents(self) -> list[dict[str, Any]]:
        """The calls of tools of which nobody knows whether they acted: agent, step, path, tool, arguments."""
        query = (
            CallRow.select(CallRow.number, CallRow.agent, CallRow.step, CallRow.path)
            .where((CallRow.run == self.id) & (CallRow.status == "intent"))
            .order_by(CallRow.number)
            .tuples()
        )
        return [
            {"agent": agent, "step": step, "path": path, **self.body(number)}
            for number, agent, step, path in query.execute(self._database)
        ]

    def waiting(self) -> list[dict[str, Any]]:
        """The events that a person added and that are not taken in: kind, payload, audience, author."""
        query = (
            InputRow.select(InputRow.body, InputRow.author)
            .where((InputRow.run == self.id) & (InputRow.kind == "event"))
            .order_by(InputRow.id)
            .tuples()
        )
        return [{**orjson.loads(body), "author": author} for body, author in query.execute(self._database)]

    def count_reused(self) -> int:
        """How many answers are those of other runs."""
        found = CallRow.select().where((CallRow.run == self.id) & (CallRow.reused != ""))
        return int(found.count(self._database))

    def cost(self) -> Cost:
        """What all completions together cost."""
        return sum(self.cost_by_agent().values(), start=Cost())

    def cost_by_agent(self) -> dict[str, Cost]:
        """For each agent that asked a model: what its completions cost."""
        query = (
            CallRow.select(
                CallRow.agent,
                fn.COALESCE(fn.SUM(CallRow.cost), 0.0),
                fn.COUNT(CallRow.number) - fn.COUNT(CallRow.cost),
            )
            .where((CallRow.run == self.id) & (CallRow.kind == "complete") & (CallRow.status == "answered"))
            .group_by(CallRow.agent)
            .order_by(CallRow.agent)
            .tuples()
        )
        return {agent: Cost(dollars, unpriced) for agent, dollars, unpriced in query.execute(self._database)}

    def attempts(self) -> tuple[int, int]:
        """How many calls had attempts that failed, and how many attempts those were."""
        query = (
            CallRow.select(CallRow.attempts)
            .where((CallRow.run == self.id) & (CallRow.attempts != "[]"))
            .tuples()
        )
        counts = [len(orjson.loads(row[0])) for row in query.execute(self._database)]
        return len(counts), sum(counts)

    def usage(self) -> Usage:
        """The tokens of all completions together."""
        row = (
            CallRow.select(
                fn.COALESCE(fn.SUM(CallRow.input_tokens), 0),
                fn.COALESCE(fn.SUM(CallRow.output_tokens), 0),
                fn.COALESCE(fn.SUM(CallRow.cached_tokens), 0),
                fn.COALESCE(fn.SUM(CallRow.cache_write_tokens), 0),
            )
            .where(CallRow.run == self.id)
            .tuples()
            .execute(self._database)
        )
        return Usage(*next(iter(row)))

    def usage_by_agent(self) -> dict[str, tuple[int, Usage]]:
        """For each agent that called: how often, and the tokens."""
        query = (
            CallRow.select(
                CallRow.agent,
                fn.COUNT(CallRow.number),
                fn.SUM(CallRow.input_tokens),
                fn.SUM(CallRow.output_tokens),
                fn.SUM(CallRow.cached_tokens),
                fn.SUM(CallRow.cache_write_tokens),
            )
            .where(CallRow.run == self.id)
            .group_by(CallRow.agent)
            .order_by(CallRow.agent)
            .tuples()
        )
        return {agent: (calls, Usage(*rest)) for agent, calls, *rest in query.execute(self._database)}
