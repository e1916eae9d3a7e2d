"""The store of runs: opening it, and everything that is written to it."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import orjson
from attrs import frozen
from filelock import FileLock
from peewee import Model, SqliteDatabase

from ..base.log import logger
from ..canonical import canonical
from ..errors import StoreError
from ..records import Event, RunResult, RunStatus
from .checksums import OF_RUN, checksum, checksum_of_run, clean_body
from .listing import run_rows
from .locks import Locks, Owner
from .models import (
    PREFIXES,
    CallRow,
    ClaimRow,
    EventRow,
    InputRow,
    ManifestRow,
    MessageRow,
    OutcomeRow,
    RunRow,
)
from .opening import as_store_error, check_file, connection_of, migrate, parse_url, translate_errors
from .runs import RecordedRun, find_run
from .writer import Writer, retry_while_locked
from .written import check_written

CALL_COLUMNS: list[str] = list(CallRow._meta.sorted_field_names)


def _insert(table: type[Model], verb: str = "INSERT") -> str:
    """The statement that inserts a row, with all columns in the order of the model."""
    names = table._meta.sorted_field_names
    listed, marks = ",".join(f'"{name}"' for name in names), ",".join("?" * len(names))
    return f'{verb} INTO "{table._meta.table_name}" ({listed}) VALUES ({marks})'


def _copy(table: type[Model], **changed: str) -> str:
    """The statement that copies the rows of a run up to a step; `changed` has SQL for the new values."""
    name, names = table._meta.table_name, table._meta.sorted_field_names
    listed = ",".join(f'"{name}"' for name in names)
    values = ",".join(changed.get(name, f'"{name}"') for name in names)
    return f'INSERT INTO "{name}" ({listed}) SELECT {values} FROM "{name}" WHERE "run"=? AND "step"<=?'


SELECT_RUN = f'SELECT {",".join(OF_RUN)} FROM "runs" WHERE "id"=?'
INSERT_EVENT = _insert(EventRow)
INSERT_MESSAGE = _insert(MessageRow, "INSERT OR IGNORE")
#: A failed call that is made again has the same number, and replaces the failure.
INSERT_CALL = _insert(CallRow, "INSERT OR REPLACE")
REOPEN_CALL = """UPDATE "calls" SET "status"='open'
    WHERE "run"=? AND "number"=? AND "status" IN ('failed', 'answered')"""
COPY_EVENTS = _copy(EventRow, run="?")
#: A fork did not pay for the calls of its parent.
COPY_CALLS = _copy(
    CallRow,
    run="?",
    reused="""CASE "reused" WHEN '' THEN ? ELSE "reused" END""",
    **dict.fromkeys(
        ("cost", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "estimated"), "0"
    ),
)
#: Inputs that the parent took in behind the prefix wait in the fork for the same step,
COPY_INPUTS = """INSERT INTO "inputs" ("run","kind","body","author","created")
    SELECT ?,'event',json_set("answer",'$.step',"step"),json_extract("answer",'$.author'),"started"
    FROM "calls" WHERE "run"=? AND "step">? AND "kind"='input' ORDER BY "number"
"""
#: and so do those that wait in the parent, for the step that is given at least.
COPY_WAITING = """INSERT INTO "inputs" ("run","kind","body","author","created")
    SELECT ?,"kind",json_set("body",'$.step',max(?,coalesce(json_extract("body",'$.step'),0))),"author",
           "created"
    FROM "inputs" WHERE "run"=? AND "kind"='event' ORDER BY "id"
"""


@frozen
class Prefix:
    """The part of a run that a fork begins with: all up to the end of `step`.

    Inputs that wait for the run wait in the fork for the step `waits`.
    """

    run: str
    step: int
    waits: int


class Store:
    """An open store. Use it as a context manager, or call `close`.

    The methods `put_*`, `remove_input`, `remove_claim` and `reopen_call` queue what they write (but for
    `put_input`); `writer.committed()` waits until it is on disk. The others have written it when they return.
    """

    #: The class of the runs that it gives.
    run_class: type[RecordedRun] = RecordedRun

    def __init__(self, path: Path, database: SqliteDatabase) -> None:
        self.path = path
        self.database = database
        self.writer = Writer(database, path)
        self.locks = Locks(path)
        self.known_messages: set[str] = set()
        self._owned: dict[str, FileLock] = {}
        self._since: dict[str, float] = {}

    @classmethod
    def open(cls, url: str | Path, *, create: bool = True) -> Self:
        """Open the store at `url`, and migrate its tables if an older version wrote it.

        Raises `StoreError` if it is missing (and not `create`), not a database, read-only (and `create`),
        locked, or written by a newer version.
        """
        path, synchronous = parse_url(str(url))
        writable = check_file(path, create)
        if writable:
            database = SqliteDatabase(
                str(path),
                pragmas={"journal_mode": "wal", "synchronous": synchronous, "foreign_keys": 0},
                timeout=5,
                check_same_thread=False,
            )
        else:
            # With `immutable`, SQLite needs no write-ahead log and no lock files beside the database.
            address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
            database = SqliteDatabase(address, uri=True, check_same_thread=False)
        try:
            with translate_errors(path):
                migrate(path, database, writable)
                # From here on, SQLite does not wait for locks: the writer does, without blocking the loop.
                connection_of(database).execute("PRAGMA busy_timeout=0")
        except BaseException:
            database.close()
            raise
        return cls(path, database)

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection below peewee, for queries that have to be fast or are specific to SQLite."""
        return connection_of(self.database)

    def close(self) -> None:
        """Write what is queued, close the database and release all runs. Raises `StoreError`."""
        try:
            retry_while_locked(self.writer.close, self.path)
        finally:
            self.database.close()
            for run in list(self._owned):
                self.release(run)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        try:
            self.close()
        except StoreError as error:
            if kind is None:
                raise
            if not self.writer.failed:  # else the exception that is raised says so already
                logger.error("{}", error)

    # -- reading --

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Read a consistent state while other processes write. Nothing must be written inside."""
        self.connection.execute("BEGIN")
        try:
            with translate_errors(self.path):
                yield self.connection
        finally:
            self.connection.execute("ROLLBACK")

    def runs(
        self,
        *,
        labels: Mapping[str, str] | None = None,
        scenario: str | None = None,
        status: str | None = None,
        since: float | None = None,
    ) -> list[RecordedRun]:
        """The runs that have all these `labels`, this `scenario` and `status`, newest first.

        since
            only those that began then or later, in seconds since 1970
        """
        rows = run_rows(self.database, labels or {}, scenario, status, since)
        found = [self.run_class(self.database, row, self.locks) for row in rows]
        return [run for run in found if status in (None, run.status)]

    def run(self, ref: str) -> RecordedRun:
        """The run with the id `ref`, a unique prefix of it, or `last`. Raises `StoreError`."""
        return self.run_class(self.database, find_run(self.database, ref, str(self.path)), self.locks)

    def ids(self, refs: Sequence[str]) -> list[str]:
        """The ids of some runs, as `run` finds them. Raises `StoreError`."""
        marks = ",".join("?" * len(refs))
        query = f'SELECT "id" FROM "runs" WHERE "id" IN ({marks})'
        exact = {run for (run,) in self.connection.execute(query, list(refs))}
        return [ref if ref in exact else self.run(ref).id for ref in refs]

    # -- the process that executes a run --

    def own(self, run: str) -> None:
        """Let this process alone execute the run, until `release`.

        Raises `StoreError` if another process executes it. A process that has ended does not.
        """
        lock = self.locks.acquire(run)
        if lock is None:
            row = RunRow.select().where(RunRow.id == run).get_or_none(self.database)
            # A process that has only just taken the lock has not written its name yet: the row's is older.
            written = row is not None and row.status in ("running", "paused")
            who = Owner.from_json(row.owner) if row is not None and written else None
            raise StoreError(
                f"run {run}: it is executed by {who or 'another process'}; wait for it, look at it with "
                f"pyscrai show {run}, or stop it there with Ctrl-C"
            )
        self._owned[run], self._since[run] = lock, time.time()

    def release(self, run: str) -> None:
        """Let other processes execute the run again."""
        if (lock := self._owned.pop(run, None)) is not None:
            self.locks.remove(run)  # first: whoever waits for it makes another, and locks that
            lock.release()

    # -- runs --

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction that writes. Waits for locks; raises the database's errors as `StoreError`."""
        with translate_errors(self.path), ExitStack() as stack:
            retry_while_locked(lambda: stack.enter_context(self.database.atomic("IMMEDIATE")), self.path)
            yield

    def create_run(
        self,
        scenario: str,
        seed: int,
        manifest: dict[str, Any],
        *,
        labels: Mapping[str, str] | None = None,
        prefix: Prefix | None = None,
    ) -> str:
        """Write a new run; return its id. This process owns the run.

        With a `prefix` it is a fork, which begins with the events and calls of that prefix.
        """
        run = secrets.token_hex(4)
        while RunRow.select().where(RunRow.id == run).exists(self.database):
            run = secrets.token_hex(4)
        self.own(run)
        self.known_messages.clear()  # unused messages may have been removed meanwhile
        try:
            with self.transaction():
                if prefix is not None:
                    self.run(prefix.run)  # raises if the run was removed meanwhile
                RunRow.insert(
                    id=run, scenario=scenario, seed=seed, status="running", created=time.time(),
                    owner=Owner.current().to_json(), parent=prefix.run if prefix else "",
                    labels=canonical(dict(labels or {})).decode(),
                ).execute(self.database)  # fmt: skip
                self._update_run(run, status="running")
                body = _manifest_body(manifest)
                ManifestRow.insert(run=run, body=body, checksum=checksum(body)).execute(self.database)
                if prefix is not None:
                    self.connection.execute(COPY_EVENTS, (run, prefix.run, prefix.step))
                    self.connection.execute(COPY_CALLS, (run, prefix.run, prefix.run, prefix.step))
                    self.connection.execute(COPY_INPUTS, (run, prefix.run, prefix.step))
                    self.connection.execute(COPY_WAITING, (run, prefix.waits, prefix.run))
        except BaseException:
            self.release(run)
            raise
        return run

    def reopen_run(self, run: str, manifest: dict[str, Any]) -> None:
        """Mark a run as running again, with a new manifest."""
        with self.transaction():
            self._update_manifest(run, manifest)
            self._update_run(run, status="running", error="", ended=None, owner=Owner.current().to_json())
            # Inputs such as `pause` were meant for the process that executed the run before.
            before = (InputRow.kind != "event") & (InputRow.created < self._since[run])
            InputRow.delete().where((InputRow.run == run) & before).execute(self.database)
        self.known_messages.clear()

    def restore_run(self, recorded: RecordedRun) -> None:
        """Undo `reopen_run`: write the run as `recorded` has it."""
        with self.transaction():
            self._update_run(
                recorded.id, status=recorded.status, error=recorded.error, ended=recorded.ended,
                owner=recorded.last_owner,
            )  # fmt: skip
            self._update_manifest(recorded.id, recorded.manifest)

    def set_status(self, run: str, status: RunStatus) -> None:
        """Write that the run is `paused`, or `running` again."""
        with self.transaction():
            self._update_run(run, status=status)

    def end_run(self, result: RunResult, last: int | None = None) -> None:
        """Write how a run ended, after everything that is queued.

        With the number of its `last` call, a completed run is looked at first: raises `StoreError` if
        something of it is not there as it was written.
        """
        run = result.run
        retry_while_locked(self.writer.finish, self.path)
        if last is not None and result.status == "completed":
            check_written(self.connection, self.path, run, result.fingerprint, last, result.calls)
        with self.transaction():
            self._update_run(
                run, status=result.status, error=result.error, steps=result.steps,
                fingerprint=result.fingerprint, ended=time.time(),
            )  # fmt: skip
            self.connection.execute('DELETE FROM "claims" WHERE "run"=?', (run,))
            self.connection.execute('DELETE FROM "outcomes" WHERE "run"=?', (run,))
            found = {"outcome": result.outcomes, "measure": result.measures, "table": result.tables}
            for kind, values in found.items():
                for name, value in values.items():
                    # The columns of a table keep their order.
                    written = orjson.dumps(value) if kind == "table" else canonical(value)
                    name, text = PREFIXES[kind] + name, written.decode()
                    OutcomeRow.insert(
                        run=run, name=name, value=text, checksum=checksum(name, text), kind=kind
                    ).execute(self.database)

    def remove_answers(self, run: str, last: int) -> None:
        """Remove the calls behind number `last`: those of an execution that differs from the run.

        Answers of tools and people are kept, since tools have acted and people have answered.
        """
        retry_while_locked(self.writer.flush, self.path)  # or queued calls would be written afterwards
        later = (CallRow.run == run) & (CallRow.number > last)
        with self.transaction():
            CallRow.delete().where(later & CallRow.kind.not_in(("tool", "ask", "input"))).execute(
                self.database
            )

    def _update_run(self, run: str, **values: Any) -> None:
        """Write these values, and the checksum of all."""
        for row in self.connection.execute(SELECT_RUN, (run,)).fetchall():
            values["checksum"] = checksum_of_run(dict(zip(OF_RUN, row, strict=True)) | values)
            new = ",".join(f'"{name}"=?' for name in values)
            self.connection.execute(f'UPDATE "runs" SET {new} WHERE "id"=?', (*values.values(), run))

    def _update_manifest(self, run: str, manifest: dict[str, Any]) -> None:
        body = _manifest_body(manifest)
        changed = ManifestRow.update(body=body, checksum=checksum(body))
        changed.where(ManifestRow.run == run).execute(self.database)

    # -- events and calls --

    def put_event(self, run: str, event: Event) -> None:
        """Queue an event."""
        self.writer.put(
            INSERT_EVENT,
            (
                run,
                event.seq,
                event.step,
                event.kind,
                event.source,
                orjson.dumps(event.audience).decode(),
                canonical(event.payload).decode(),
                event.cause,
            ),
        )

    def put_message(self, digest: str, body: bytes) -> None:
        """Queue a message, unless this process has stored it already."""
        if digest not in self.known_messages:
            self.known_messages.add(digest)
            self.writer.put(INSERT_MESSAGE, (digest, clean_body(body)))

    def put_call(self, row: Sequence[Any]) -> None:
        """Queue a call: the values of `CALL_COLUMNS`, in their order."""
        self.writer.put(INSERT_CALL, row)

    def reopen_call(self, run: str, number: int) -> None:
        """Queue that a call which ended the run is made again when the run is resumed."""
        self.writer.put(REOPEN_CALL, (run, number))

    # -- inputs from outside --

    def put_input(self, run: str, kind: str, body: dict[str, Any], author: str) -> None:
        """Write an input of the kind `pause`, `continue` or `event`."""
        with self.transaction():
            InputRow.insert(
                run=run, kind=kind, body=orjson.dumps(body).decode(), author=author, created=time.time()
            ).execute(self.database)

    def inputs(self, run: str) -> list[tuple[int, str, str, str]]:
        """Number, kind, body and author of the inputs that wait for a run, oldest first."""
        query = 'SELECT "id","kind","body","author" FROM "inputs" WHERE "run"=? ORDER BY "id"'
        with translate_errors(self.path):
            return self.connection.execute(query, (run,)).fetchall()

    def remove_input(self, number: int) -> None:
        """Queue that an input was taken in, and waits no more."""
        self.writer.put('DELETE FROM "inputs" WHERE "id"=?', (number,))

    def drop_inputs(self, run: str) -> int:
        """Remove the events that wait for a run; return how many there were."""
        with self.transaction():
            waiting = (InputRow.run == run) & (InputRow.kind == "event")
            return int(InputRow.delete().where(waiting).execute(self.database))

    # -- answers that several runs want --

    def claim(self, key: str, run: str) -> bool:
        """Whether `run` may ask for the answer `key`. It may not while another live run asks for it.

        Returns False at once while another program has locked the database.
        """
        row = ClaimRow.select().where(ClaimRow.key == key).get_or_none(self.database)
        holder = row.run if row is not None else run
        if holder != run and self.locks.held(holder):
            return False
        # `WHERE`: of several runs that take over from the same holder, one gets the claim.
        claim = """INSERT INTO "claims" ("key","run") VALUES (?,?)
            ON CONFLICT ("key") DO UPDATE SET "run"=excluded."run" WHERE "run"=?"""
        try:
            return self.connection.execute(claim, (key, run, holder)).rowcount == 1
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                return False
            raise as_store_error(self.path, error) from None

    def remove_claim(self, key: str) -> None:
        """Queue that no run asks for the answer `key` any more."""
        self.writer.put('DELETE FROM "claims" WHERE "key"=?', (key,))


def _manifest_body(manifest: dict[str, Any]) -> str:
    """The manifest as JSON. Its keys are not sorted: agents act in the scenario's order."""
    return orjson.dumps(manifest).decode()
