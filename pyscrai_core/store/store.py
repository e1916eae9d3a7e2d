"""Opening a store, and everything that is written to it."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
from attrs import frozen
from filelock import FileLock
from loguru import logger
from peewee import DatabaseError, SqliteDatabase

from ..canonical import canonical
from ..errors import StoreError
from ..records import Event, RunStatus
from .locks import Locks, Owner
from .models import CallRow, ClaimRow, InputRow, ManifestRow, OutcomeRow, RunRow
from .opening import as_store_error, check_file, connection_of, migrate, parse_url, translate_errors
from .runs import RecordedRun, find_run
from .writer import Writer, retry_while_locked

INSERT_EVENT = (
    'INSERT INTO "events" ("run","seq","step","kind","source","audience","payload","cause")'
    " VALUES (?,?,?,?,?,?,?,?)"
)
INSERT_MESSAGE = 'INSERT OR IGNORE INTO "messages" ("digest","body") VALUES (?,?)'
#: A failure that is asked again is replaced by what comes of it.
CALL_COLUMNS = list(CallRow._meta.sorted_field_names)
INSERT_CALL = 'INSERT OR REPLACE INTO "calls" ({}) VALUES ({})'.format(
    ",".join(f'"{name}"' for name in CALL_COLUMNS), ",".join("?" * len(CALL_COLUMNS))
)
COPY_EVENTS = """INSERT INTO "events" ("run","seq","step","kind","source","audience","payload","cause")
    SELECT ?,"seq","step","kind","source","audience","payload","cause"
    FROM "events" WHERE "run"=? AND "step"<=?"""
#: What a fork has from its parent, it did not pay for.
_COPIED = {
    "run": "?",
    "reused": """CASE "reused" WHEN '' THEN ? ELSE "reused" END""",
    "cost": "0",
    **dict.fromkeys(("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens"), "0"),
}
COPY_CALLS = """INSERT INTO "calls" ({}) SELECT {} FROM "calls" WHERE "run"=? AND "step"<=?""".format(
    ",".join(f'"{name}"' for name in CALL_COLUMNS),
    ",".join(_COPIED.get(name, f'"{name}"') for name in CALL_COLUMNS),
)
#: What a person added behind the prefix waits for its step, and what waits still goes on waiting.
COPY_INPUTS = """INSERT INTO "inputs" ("run","kind","body","author","created")
    SELECT ?,'event',json_set("answer",'$.step',"step"),json_extract("answer",'$.author'),"started"
    FROM "calls" WHERE "run"=? AND "step">? AND "kind"='input' ORDER BY "number"
"""
COPY_WAITING = """INSERT INTO "inputs" ("run","kind","body","author","created")
    SELECT ?,"kind",json_set("body",'$.step',max(?,coalesce(json_extract("body",'$.step'),0))),"author",
           "created"
    FROM "inputs" WHERE "run"=? AND "kind"='event' ORDER BY "id"
"""
OPEN_CALL = """UPDATE "calls" SET "status"='open' WHERE "run"=? AND "number"=? AND "status"='failed'"""


@frozen
class Prefix:
    """The part of a run up to the end of a step, that a fork begins with.

    What waits for the run waits in the fork for the step `waits`.
    """

    run: str
    step: int
    waits: int


class Store:
    """An open store. Use it as a context manager, or call `close`."""

    def __init__(self, path: Path, database: SqliteDatabase) -> None:
        self.path = path
        self.database = database
        self.writer = Writer(database, path)
        self.locks = Locks(path)
        self.known_messages: set[str] = set()
        self._owned: dict[str, FileLock] = {}
        self._since: dict[str, float] = {}

    @classmethod
    def open(cls, url: str | Path, *, create: bool = True) -> Store:
        """Open the store at `url`, with its tables brought up to date.

        Raises `StoreError` if it is missing (and not `create`), not a database, read-only, locked, or
        made by a newer version.
        """
        path, synchronous = parse_url(str(url))
        if check_file(path, create):
            database = SqliteDatabase(
                str(path),
                pragmas={"journal_mode": "wal", "synchronous": synchronous, "foreign_keys": 0},
                timeout=5,
                check_same_thread=False,
            )
        else:
            # Nothing can change it, so that SQLite needs no files beside it.
            address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
            database = SqliteDatabase(address, uri=True, check_same_thread=False)
        try:
            migrate(path, database)
            # From here on a locked database is waited for by the writer, without blocking the loop.
            connection_of(database).execute("PRAGMA busy_timeout=0")
        except (DatabaseError, sqlite3.Error) as error:
            database.close()
            raise as_store_error(path, error) from None
        except BaseException:
            database.close()
            raise
        return cls(path, database)

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection below peewee, for what has to be fast or is SQLite's own."""
        return connection_of(self.database)

    def close(self) -> None:
        """Write what is left and close. Raises `StoreError` if that is not possible."""
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
            if not self.writer.failed:  # else it is what is being told already
                logger.error("{}", error)

    # -- reading --

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Let all that is read be of one moment, while other processes write; nothing is written in it."""
        self.connection.execute("BEGIN")
        try:
            yield self.connection
        except (DatabaseError, sqlite3.Error) as error:
            raise as_store_error(self.path, error) from None
        finally:
            self.connection.execute("ROLLBACK")

    def runs(self) -> list[RecordedRun]:
        """All runs, newest first."""
        query = RunRow.select().order_by(RunRow.created.desc(), RunRow.id)
        return [RecordedRun(self.database, row, self.locks) for row in query.execute(self.database)]

    def run(self, ref: str) -> RecordedRun:
        """The run with the id `ref`, a unique prefix of it, or `last`. Raises `StoreError`."""
        return RecordedRun(self.database, find_run(self.database, ref, str(self.path)), self.locks)

    # -- who executes a run --

    def own(self, run: str) -> None:
        """Make this process the one that executes the run, until `release`. Raises `StoreError`.

        A claim of a process that was ended is taken over.
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
        """Give up what `own` or `create_run` took."""
        if (lock := self._owned.pop(run, None)) is not None:
            lock.release()

    # -- writing --

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A short transaction. It waits for locks, and raises `StoreError` for errors of the database."""
        with translate_errors(self.path), ExitStack() as stack:
            retry_while_locked(lambda: stack.enter_context(self.database.atomic("IMMEDIATE")), self.path)
            yield

    def create_run(
        self,
        scenario: str,
        seed: int,
        manifest: dict[str, Any],
        *,
        prefix: Prefix | None = None,
    ) -> str:
        """Write a new run with its manifest; its id. On disk, and owned, when this returns.

        With a `prefix` it is a fork, which has the events and the calls of that prefix already.
        """
        run = secrets.token_hex(4)
        while RunRow.select().where(RunRow.id == run).exists(self.database):
            run = secrets.token_hex(4)
        self.own(run)
        self.known_messages.clear()  # what is not known to be needed may have been collected
        try:
            with self.transaction():
                if prefix is not None:
                    find_run(self.database, prefix.run, str(self.path))  # it may have been removed meanwhile
                RunRow.insert(
                    id=run, scenario=scenario, seed=seed, status="running", created=time.time(),
                    owner=Owner.current().to_json(), parent=prefix.run if prefix else "",
                ).execute(self.database)  # fmt: skip
                # The manifest keeps the scenario's own order: it is the order in which agents act.
                ManifestRow.insert(run=run, body=orjson.dumps(manifest).decode()).execute(self.database)
                if prefix is not None:
                    self.connection.execute(COPY_EVENTS, (run, prefix.run, prefix.step))
                    self.connection.execute(COPY_CALLS, (run, prefix.run, prefix.run, prefix.step))
                    self.connection.execute(COPY_INPUTS, (run, prefix.run, prefix.step))
                    self.connection.execute(COPY_WAITING, (run, prefix.waits, prefix.run))
        except BaseException:
            self.release(run)
            self.locks.remove(run)
            raise
        return run

    def reopen_run(self, run: str, manifest: dict[str, Any]) -> None:
        """Mark a run as running again, with its manifest as it is now."""
        with self.transaction():
            self._write_manifest(run, manifest)
            RunRow.update(status="running", error="", ended=None, owner=Owner.current().to_json()).where(
                RunRow.id == run
            ).execute(self.database)
            # They were for the process that executed it before.
            before = InputRow.created < self._since[run]
            InputRow.delete().where((InputRow.run == run) & (InputRow.kind != "event") & before).execute(
                self.database
            )
        self.known_messages.clear()

    def restore_run(self, recorded: RecordedRun) -> None:
        """Leave a run as it was before it was resumed."""
        with self.transaction():
            RunRow.update(
                status=recorded.status, error=recorded.error, ended=recorded.ended, owner=recorded.last_owner
            ).where(RunRow.id == recorded.id).execute(self.database)
            self._write_manifest(recorded.id, recorded.manifest)

    def remove_answers(self, run: str, last: int) -> None:
        """Drop what is journaled behind call `last` by an execution that is not the run's.

        What tools did and people said stays: it was done.
        """
        retry_while_locked(self.writer.flush, self.path)  # else what is queued would be written behind this
        with self.transaction():
            CallRow.delete().where(
                (CallRow.run == run) & (CallRow.number > last) & CallRow.kind.not_in(("tool", "ask", "input"))
            ).execute(self.database)

    def _write_manifest(self, run: str, manifest: dict[str, Any]) -> None:
        # It keeps the scenario's own order: it is the order in which agents act.
        body = orjson.dumps(manifest).decode()
        ManifestRow.update(body=body).where(ManifestRow.run == run).execute(self.database)

    def end_run(
        self,
        run: str,
        *,
        status: RunStatus,
        error: str,
        steps: int,
        fingerprint: str,
        outcomes: dict[str, Any],
    ) -> None:
        """Write how a run ended, with all that is still queued. On disk when this returns."""
        retry_while_locked(self.writer.flush, self.path)
        with self.transaction():
            RunRow.update(
                status=status, error=error, steps=steps, fingerprint=fingerprint, ended=time.time()
            ).where(RunRow.id == run).execute(self.database)
            ClaimRow.delete().where(ClaimRow.run == run).execute(self.database)
            OutcomeRow.delete().where(OutcomeRow.run == run).execute(self.database)
            for name, value in outcomes.items():
                OutcomeRow.insert(run=run, name=name, value=canonical(value).decode()).execute(self.database)
        if status == "completed":
            self.locks.remove(run)  # nobody has to own it any more

    def put_event(self, run: str, event: Event) -> None:
        """Queue an event; nobody waits for it."""
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
        """Queue a message, unless this process knows that it is stored."""
        if digest not in self.known_messages:
            self.known_messages.add(digest)
            self.writer.put(INSERT_MESSAGE, (digest, body))

    def put_call(self, row: Sequence[Any]) -> None:
        """Queue a call, in the order of `CALL_COLUMNS`; wait for `writer.committed()` afterwards."""
        self.writer.put(INSERT_CALL, row)

    # -- inputs from outside --

    def put_input(self, run: str, kind: str, body: dict[str, Any], author: str) -> None:
        """Write an input of the kind `pause`, `continue` or `event`; on disk when this returns."""
        with self.transaction():
            InputRow.insert(
                run=run, kind=kind, body=orjson.dumps(body).decode(), author=author, created=time.time()
            ).execute(self.database)

    def inputs(self, run: str) -> list[tuple[int, str, str, str]]:
        """Number, kind, body and author of the inputs that wait for a run, oldest first."""
        query = 'SELECT "id","kind","body","author" FROM "inputs" WHERE "run"=? ORDER BY "id"'
        return self.connection.execute(query, (run,)).fetchall()

    def drop_inputs(self, run: str) -> int:
        """Remove the events that wait for a run; how many there were."""
        with self.transaction():
            waiting = (InputRow.run == run) & (InputRow.kind == "event")
            return int(InputRow.delete().where(waiting).execute(self.database))

    def remove_input(self, number: int) -> None:
        """Queue that an input waits no more."""
        self.writer.put('DELETE FROM "inputs" WHERE "id"=?', (number,))

    def set_status(self, run: str, status: RunStatus) -> None:
        """Write that an executed run is `paused`, or `running` again."""
        with self.transaction():
            RunRow.update(status=status).where(RunRow.id == run).execute(self.database)

    # -- answers that several runs want --

    def claim(self, key: str, run: str) -> bool:
        """Whether `run` may ask for the answer `key`: nobody else that is alive does.

        False at once if that cannot be known, since another program has locked the database.
        """
        row = ClaimRow.select().where(ClaimRow.key == key).get_or_none(self.database)
        holder = row.run if row is not None else run
        # Without patience, which would hold up the loop: a claim is looked at again soon.
        if holder != run and self.locks.held(holder, patience=0):
            return False
        # Only one of those who saw the same holder go takes over.
        claim = """INSERT INTO "claims" ("key","run") VALUES (?,?)
            ON CONFLICT ("key") DO UPDATE SET "run"=excluded."run" WHERE "run"=?"""
        try:
            return self.connection.execute(claim, (key, run, holder)).rowcount == 1
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                return False
            raise as_store_error(self.path, error) from None

    def remove_claim(self, key: str) -> None:
        """Queue that nobody asks for the answer `key` any more."""
        self.writer.put('DELETE FROM "claims" WHERE "key"=?', (key,))

    def reopen_call(self, run: str, number: int) -> None:
        """Queue that a failed call may be asked again."""
        self.writer.put(OPEN_CALL, (run, number))
