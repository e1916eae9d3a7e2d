"""The one writer of a process: rows in order, committed in groups.

Rows are queued and flushed together, in one short transaction, by the event loop itself: everything that
was queued in one pass of the loop shares a commit, and whoever needs to know waits for that commit. (On
SQLite a commit in the loop's thread takes less time than waking a writer thread and being woken by it;
`nox -s bench` shows both.) What is on disk is always a prefix of what was queued. A database that another
process has locked is tried again without blocking the loop.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import peewee
from loguru import logger
from peewee import SqliteDatabase

from ..errors import StoreError

#: Seconds for which a locked database is tried again before the run fails.
LOCK_PATIENCE = 60.0
#: Seconds after which a person is told what a run waits for.
TELL = 3.0
LOCKED = "{}: another program has locked it; waiting for it"
#: Rows that wait for nobody are written after this many seconds, or when so many have gathered.
LINGER = 0.05
MANY = 2000

Row = Sequence[Any]


Result = TypeVar("Result")


def patiently(action: Callable[[], Result], shown: str) -> Result:
    """What `action` returns, tried again while another program has locked the database `shown`.

    It sleeps in Python and not in SQLite, so that a person can still end the process.
    """
    began, told = time.monotonic(), False
    while True:
        try:
            return action()
        except (sqlite3.OperationalError, peewee.OperationalError) as error:
            waited = time.monotonic() - began
            if "locked" not in str(error) or waited >= LOCK_PATIENCE:
                raise
            if waited >= TELL and not told:
                told = True
                logger.warning(LOCKED, shown)
            time.sleep(0.02)


class Writer:
    """Queues rows by SQL statement and commits them in groups."""

    def __init__(self, database: SqliteDatabase, shown: str) -> None:
        self._database = database
        self._shown = shown
        self._queue: dict[str, list[Row]] = {}
        self._count = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._handle: asyncio.Handle | None = None
        self._soon = False
        self._locked_since: float | None = None
        #: Whether the last try failed, and whoever waited for it was told.
        self.failed = False
        self._told = False

    def put(self, statement: str, row: Row) -> None:
        """Queue a row. Nobody waits for it, and it will not reach the disk before those queued earlier."""
        rows = self._queue.get(statement)
        if rows is None:
            rows = self._queue[statement] = []
        rows.append(row)
        self._count += 1
        if self._handle is None or (self._count >= MANY and not self._soon):
            self._schedule(soon=self._count >= MANY)

    async def committed(self) -> None:
        """Return when all that was queued so far is on disk. Raises `StoreError` if it cannot be."""
        if not self._count:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        if not self._soon:
            self._schedule(soon=True)
        await waiter

    def _schedule(self, soon: bool) -> None:
        loop = asyncio.get_running_loop()
        if self._handle is not None:
            self._handle.cancel()
        self._soon = soon
        self._handle = loop.call_soon(self._flush) if soon else loop.call_later(LINGER, self._flush)

    def _flush(self) -> None:
        self._handle, self._soon = None, False
        try:
            self.flush()
        except sqlite3.Error as error:
            if "locked" in str(error) and self._wait():
                return
            self.failed = True
            self._settle(f"{self._shown}: {error}; nothing that was committed is lost: mend it and resume")
        else:
            self.failed = False
            self._settle("")

    def _wait(self) -> bool:
        """Try again soon, since another program has locked the database; False: it has for too long."""
        now = time.monotonic()
        if self._locked_since is None:
            self._locked_since, self._told = now, False
        waited = now - self._locked_since
        if waited >= LOCK_PATIENCE:
            return False
        if waited >= TELL and not self._told:
            self._told = True
            logger.warning(LOCKED, self._shown)
        self._soon = True
        self._handle = asyncio.get_running_loop().call_later(0.02, self._flush)
        return True

    def flush(self) -> None:
        """Write all that is queued, now, in one transaction."""
        if not self._count:
            return
        connection: sqlite3.Connection = self._database.connection()  # type: ignore[no-untyped-call]
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement, rows in self._queue.items():
                if rows:
                    connection.executemany(statement, rows)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        for rows in self._queue.values():
            rows.clear()
        self._count = 0
        self._locked_since = None

    def _settle(self, error: str) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if error:
                waiter.set_exception(StoreError(error))  # one for each: what it runs through adds to it
            else:
                waiter.set_result(None)

    def close(self) -> None:
        """Write what is left. Call it when no loop runs any more, or at the end of the last run."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self.flush()
