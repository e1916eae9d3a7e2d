"""Recorded runs: what exporters, the commands, and a second execution read of a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from peewee import Field, Model, SqliteDatabase, fn

from ..errors import ConfigError, StoreError
from ..messages import Message
from ..records import Cost, Event, RunStatus, Usage
from ..secret import redact_bytes
from ..stored_run import StoredRun
from .checksums import checksum, damaged, load, load_list, read_body
from .locks import Locks, Owner, check_id
from .models import ACTIVE, PREFIXES, CallRow, EventRow, InputRow, ManifestRow, MessageRow, OutcomeRow, RunRow

#: Rows that are read at a time, so that long reads need little memory and block no writer.
PAGE = 1000
TOKENS = (
    CallRow.input_tokens,
    CallRow.output_tokens,
    CallRow.cached_tokens,
    CallRow.cache_write_tokens,
    CallRow.estimated,
)
#: Which calls were made: a completion that was given up before it was sent does not count.
_MADE = (
    (CallRow.status == "answered")
    | ((CallRow.kind != "complete") & (CallRow.status != "intent"))
    | (CallRow.provider != "")
)
#: What is known of a call beside what was asked and answered.
FACTS = (
    *(CallRow.number, CallRow.agent, CallRow.step, CallRow.path, CallRow.kind, CallRow.target),
    *(CallRow.provider, CallRow.status, CallRow.error, CallRow.detail, CallRow.model, CallRow.finish_reason),
    *TOKENS,
    *(CallRow.cost, CallRow.started, CallRow.seconds, CallRow.queued, CallRow.attempts, CallRow.reused),
)


def find_run(database: SqliteDatabase, ref: str, store: str) -> RunRow:
    """Return the row of the run `ref`: an id, a unique prefix, or `last`. Raises `StoreError`."""
    query = RunRow.select().order_by(RunRow.created.desc(), RunRow.id).bind(database)
    if ref == "last":
        found = list(query.limit(1))
        if not found:
            raise StoreError(f"run 'last': the store {store} holds no runs; make one with: pyscrai run FILE")
        return found[0]
    found = list(query.where(fn.substr(RunRow.id, 1, len(ref)) == ref).limit(5)) if ref else []
    if len(found) == 1 or (found and found[0].id == ref):
        return found[0]
    if found:
        ids = ", ".join(row.id for row in found)
        raise StoreError(f"run {ref!r}: several ids begin with it: {ids}; give more characters of the id")
    raise StoreError(f"run {ref!r}: the store {store} has no such run; `pyscrai runs` lists them")


def as_labels(given: Mapping[str, str] | None) -> dict[str, str]:
    """The labels of a run: texts by name. Raises `ConfigError` for names or texts that are none."""
    for name, text in (given or {}).items():
        if not (isinstance(name, str) and re.fullmatch(r"[\w.-]{1,100}", name)):
            raise ConfigError(
                f"label {name!r:.120}: expected a name of up to 100 letters, digits, `_`, `.` and `-`"
            )
        if not (isinstance(text, str) and text.isprintable() and len(text) <= 1000):
            raise ConfigError(f"label {name}: expected a text of one line, not {text!r:.120}")
    return dict(given or {})


def read_json(written: str | bytes, kind: type = object) -> Any:
    """A JSON text of a kind, without secrets that were not known when it was written."""
    return load(redact_bytes(written.encode() if isinstance(written, str) else written), kind)


def read_outcome(run: str, name: str, value: str, known: str) -> Any:
    """What a run has under a name; `known` is the checksum. Raises `StoreError` for damage."""
    is_path = name.startswith(PREFIXES["table"]) and "/" in name  # files are named after tables
    if is_path or known not in ("", checksum(name, value)):
        raise damaged(f"run {run}: its outcome {name}")
    return read_json(value)


def _column(name: str) -> Any:
    """A property with the value of a column of the run's row."""
    return property(attrgetter(f"_row.{name}"))


class RecordedRun(StoredRun):
    """A run in a store, with what the kernel and the commands need in addition to `StoredRun`.

    The run's row is read when the object is made, its manifest when it is first asked for (and kept from
    then on), everything else each time.
    """

    def __init__(self, database: SqliteDatabase, row: RunRow, locks: Locks) -> None:
        check_id(row.id)
        self._database = database
        self._manifest: str | None = None
        self._live = row.status in ACTIVE and locks.held(row.id)
        if row.status in ACTIVE and not self._live:
            # It may have ended between the two looks; then the store says by now how.
            row = RunRow.select().where(RunRow.id == row.id).get_or_none(database) or row
        self._row: Any = row

    # -- queries --

    def _select(self, table: Any, *columns: Any) -> Any:
        """A query of the rows that `table` has of this run, as tuples; without columns, of all columns."""
        return table.select(*columns).where(table.run == self.id).tuples().bind(self._database)

    def _completions(self, *columns: Any) -> Any:
        """A query of the completions that were answered, as tuples."""
        answered = (CallRow.kind == "complete") & (CallRow.status == "answered")
        return self._select(CallRow, *columns).where(answered)

    def _rows(
        self, table: type[Model], key: Field, after: int, columns: Sequence[Field] = ()
    ) -> Iterator[dict[str, Any]]:
        """The rows of this run with a `key` above `after`, in its order; without `columns`, with all."""
        query = self._select(table, *columns).order_by(key).limit(PAGE).dicts()
        page = list(query.where(key > after))
        while page:
            last = page[-1][key.name]
            yield from page
            page = list(query.where(key > last)) if len(page) == PAGE else []

    def _message(self, digest: Field, number: int) -> Any:
        """The message or other JSON to which the column `digest` of a call refers; None if it is missing."""
        query = self._select(CallRow, MessageRow.body).join(MessageRow, on=(digest == MessageRow.digest))
        body = query.where(CallRow.number == number).scalar()
        return None if body is None else read_body(bytes(body))

    # -- the run --

    id: str = _column("id")
    scenario: str = _column("scenario")
    seed: int = _column("seed")
    parent: str = _column("parent")
    error: str = _column("error")
    created: float = _column("created")
    ended: float | None = _column("ended")
    fingerprint: str = _column("fingerprint")
    #: The process that executed the run last, as the store keeps it.
    last_owner: str = _column("owner")

    @property
    def labels(self) -> dict[str, str]:
        return dict(read_json(self._row.labels, dict))

    @property
    def status(self) -> RunStatus:
        status: RunStatus = self._row.status
        return status if self._live or status not in ACTIVE else "interrupted"

    @property
    def owner(self) -> Owner | None:
        """The process that executes the run now, if one does."""
        return Owner.from_json(self._row.owner) if self._live else None

    @property
    def steps(self) -> int:
        """How many steps it has taken, so far if it has not ended."""
        if self.ended is not None:
            return int(self._row.steps)
        return max(int(self._row.steps), self._select(EventRow, fn.MAX(EventRow.step)).scalar() or 0)

    @property
    def manifest(self) -> dict[str, Any]:
        if self._manifest is None:
            row = self._select(ManifestRow, ManifestRow.body, ManifestRow.checksum).get_or_none()
            if row is None:
                raise StoreError(f"run {self.id}: its manifest is missing; the store is damaged: restore it")
            self._manifest, known = row
            if known not in ("", checksum(self._manifest)):
                raise damaged(f"run {self.id}: its manifest")
        manifest: dict[str, Any] = load(self._manifest, dict, f"run {self.id}: its manifest")
        return manifest

    @property
    def outcomes(self) -> dict[str, Any]:
        return self._found("outcome")

    @property
    def measures(self) -> dict[str, list[Any]]:
        return self._found("measure")

    @property
    def tables(self) -> dict[str, list[dict[str, Any]]]:
        return self._found("table")

    def _found(self, kind: str) -> dict[str, Any]:
        """What the run came to, of one kind."""
        query = self._select(OutcomeRow, OutcomeRow.name, OutcomeRow.value, OutcomeRow.checksum)
        rows, prefix = query.where(OutcomeRow.kind == kind).order_by(OutcomeRow.name), PREFIXES[kind]
        return {name[len(prefix) :]: read_outcome(self.id, name, *found) for name, *found in rows}

    # -- events --

    def events(self, after: int = 0) -> Iterator[Event]:
        return self._events(after, read_json)

    def raw_events(self) -> Iterator[Event]:
        """The events as they were written, with secrets that were not known then: to be compared alone."""
        return self._events(0, load)

    def _events(self, after: int, read: Callable[[str, type], Any]) -> Iterator[Event]:
        for row in self._rows(EventRow, EventRow.seq, after):
            del row["run"]
            try:
                row.update(
                    audience=tuple(load_list(row["audience"], str)), payload=read(row["payload"], dict)
                )
            except (StoreError, TypeError):
                raise damaged(f"run {self.id}: event {row['seq']}") from None
            yield Event(**row)

    def count_events(self) -> int:
        return int(self._select(EventRow).count())

    def count_events_by_kind(self) -> dict[str, int]:
        query = self._select(EventRow, EventRow.kind, fn.COUNT(EventRow.seq))
        return dict(query.group_by(EventRow.kind).order_by(EventRow.kind))

    def rejections(self) -> list[str]:
        """The reason of each attempt that was rejected."""
        query = self._select(EventRow, EventRow.payload).where(EventRow.kind == "rejected")
        return [load(payload, dict)["reason"] for (payload,) in query.order_by(EventRow.seq)]

    def rejections_by_agent(self) -> dict[str, int]:
        """How many attempts of each agent were rejected."""
        query = self._select(EventRow, EventRow.source, fn.COUNT(EventRow.seq))
        return dict(query.where(EventRow.kind == "rejected").group_by(EventRow.source))

    def events_until(self, step: int) -> int:
        """The number of the last event up to the end of a step; 0 if there is none."""
        return self._select(EventRow, fn.MAX(EventRow.seq)).where(EventRow.step <= step).scalar() or 0

    def sources(self, step: int) -> list[str]:
        """The sources of the events, and the agents of the calls, up to the end of a step."""
        events = self._select(EventRow, EventRow.source).where(EventRow.step <= step)
        calls = self._select(CallRow, CallRow.agent).where(CallRow.step <= step)
        return sorted({name for query in (events, calls) for (name,) in query.distinct()})

    def last_recorded_step(self) -> int:
        """The last step of which anything is recorded; -1 if nothing is."""
        call = self._select(CallRow, CallRow.step).order_by(CallRow.number.desc())
        event = self._select(EventRow, EventRow.step).order_by(EventRow.seq.desc())
        steps = [query.limit(1).scalar() for query in (call, event)]
        return max((step for step in steps if step is not None), default=-1)

    # -- calls --

    def calls(self) -> Iterator[dict[str, Any]]:
        for row in self._rows(CallRow, CallRow.number, 0):
            row["answer"] = read_json(row["answer"]) if row["answer"] else None
            row["messages"] = load_list(row["messages"], str)
            row["attempts"] = load_list(row["attempts"], dict)
            yield row

    def call_facts(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """The calls with numbers above `after`, in order: how long, how much, how they ended. No words."""
        for row in self._rows(CallRow, CallRow.number, after, FACTS):
            row["attempts"] = load_list(row["attempts"], dict)
            yield row

    def messages(self, number: int, last: int | None = None) -> list[Message]:
        digests: list[str] = []
        wanted: int | None = number
        needed: int | None = None  # how many messages of call `wanted` are needed; None: all
        while wanted is not None:
            query = self._select(CallRow, CallRow.base, CallRow.kept, CallRow.messages)
            row = query.where(CallRow.number == wanted).first()
            if row is None:
                raise StoreError(f"run {self.id}: call {wanted} is missing; the store is damaged: restore it")
            base, kept, own = row
            digests[:0] = load_list(own, str)[: None if needed is None else max(0, needed - kept)]
            needed = kept if needed is None else min(needed, kept)
            wanted = base if needed and (last is None or len(digests) < last) else None
        digests = digests if last is None else digests[max(0, len(digests) - last) :]
        stored = MessageRow.select().where(MessageRow.digest.in_(set(digests))).bind(self._database)
        bodies = {row.digest: bytes(row.body) for row in stored}
        return [Message.from_dict(read_body(bodies[digest])) for digest in digests]

    def frame(self, number: int) -> dict[str, Any]:
        """A completion's request without its messages: provider, schema, tools, sampling."""
        frame: dict[str, Any] | None = self._message(CallRow.frame, number)
        if frame is None:
            raise StoreError(f"run {self.id}: call {number} is no completion, or is missing")
        return frame

    def body(self, number: int) -> Any:
        """The request of a call that is no completion, as JSON."""
        body = self._message(CallRow.request, number)
        if body is None:
            raise StoreError(f"run {self.id}: the request of call {number} is not in the store")
        return body

    def last_call(self) -> int:
        """The highest number of a call, 0 if there are none. A failure that was replaced leaves a gap."""
        return self._select(CallRow, fn.MAX(CallRow.number)).scalar() or 0

    def count_calls(self) -> int:
        """How many calls were made."""
        return int(self._select(CallRow).where(_MADE).count())

    def count_reused(self) -> int:
        """How many answers were taken from other runs."""
        return int(self._select(CallRow).where(CallRow.reused != "").count())

    def inputs(self) -> list[dict[str, Any]]:
        """The events from outside that were taken in: step, kind, payload, audience, author."""
        query = self._select(CallRow, CallRow.step, CallRow.answer).where(CallRow.kind == "input")
        return [{"step": step, **load(body, dict)} for step, body in query.order_by(CallRow.number)]

    def waiting(self) -> list[dict[str, Any]]:
        """The events from outside that are not taken in yet: kind, payload, audience, author."""
        query = self._select(InputRow, InputRow.body, InputRow.author).where(InputRow.kind == "event")
        return [{**load(body, dict), "author": author} for body, author in query.order_by(InputRow.id)]

    def intents(self) -> list[dict[str, Any]]:
        """The calls of tools that may or may not have acted: agent, step, path, tool, arguments."""
        query = self._select(CallRow, CallRow.number, CallRow.agent, CallRow.step, CallRow.path)
        return [
            {"agent": agent, "step": step, "path": path, **self.body(number)}
            for number, agent, step, path in query.where(CallRow.status == "intent").order_by(CallRow.number)
        ]

    # -- sums --

    @property
    def served(self) -> dict[str, str]:
        """For each provider that answered: the models, as the vendor names them."""
        found: dict[str, set[str]] = {}
        for target, provider, model in self._completions(
            CallRow.target, CallRow.provider, CallRow.model
        ).distinct():
            found.setdefault(provider or target, set()).add(model)
        return {name: ", ".join(sorted(models)) for name, models in found.items()}

    def answered_by(self) -> dict[tuple[str, str], int]:
        """The number of completions, by the provider that was asked first and the one that answered."""
        query = self._completions(CallRow.target, CallRow.provider, fn.COUNT(CallRow.number))
        found = query.group_by(CallRow.target, CallRow.provider)
        return {(target, provider or target): count for target, provider, count in found}

    def attempts(self) -> tuple[int, int]:
        """How many calls had attempts that failed, and how many attempts those were."""
        query = self._select(CallRow, CallRow.attempts).where(CallRow.attempts != "[]")
        counts = [len(load_list(attempts, dict)) for (attempts,) in query]
        return len(counts), sum(counts)

    def cost(self) -> Cost:
        return sum(self.cost_by_agent().values(), start=Cost())

    def cost_by_agent(self) -> dict[str, Cost]:
        """The cost of each agent's completions, with those that failed and were paid for."""
        dollars = fn.COALESCE(fn.SUM(CallRow.cost), 0.0)
        unpriced = fn.COUNT(CallRow.number) - fn.COUNT(CallRow.cost)
        paid = (CallRow.status == "answered") | (CallRow.input_tokens > 0)
        query = self._select(CallRow, CallRow.agent, dollars, unpriced)
        found = (
            query.where((CallRow.kind == "complete") & paid).group_by(CallRow.agent).order_by(CallRow.agent)
        )
        return {agent: Cost(*cost) for agent, *cost in found}

    def usage(self) -> Usage:
        return sum((usage for _, usage in self.usage_by_agent().values()), start=Usage())

    def usage_by_agent(self) -> dict[str, tuple[int, Usage]]:
        """The number of each agent's calls, as `count_calls` counts them, and their tokens."""
        query = self._select(CallRow, CallRow.agent, fn.COUNT(CallRow.number), *map(fn.SUM, TOKENS))
        found = query.where(_MADE).group_by(CallRow.agent).order_by(CallRow.agent)
        return {agent: (calls, Usage(*used)) for agent, calls, *used in found}

    def finish_reasons(self) -> dict[str, int]:
        """The number of completions by the reason why they ended."""
        query = self._completions(CallRow.finish_reason, fn.COUNT(CallRow.number))
        found = query.where(CallRow.status == "answered").group_by(CallRow.finish_reason)
        return dict(found.order_by(CallRow.finish_reason))

    def failures(self) -> dict[str, int]:
        """The number of failed calls by the kind of the failure."""
        query = self._select(CallRow, CallRow.error, fn.COUNT(CallRow.number)).where(CallRow.error != "")
        return dict(query.group_by(CallRow.error).order_by(CallRow.error))
