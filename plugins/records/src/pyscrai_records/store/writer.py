"""The writer of a process: rows in order, committed in groups.

Rows are queued, and the event loop writes them in short transactions: all rows that were queued in one pass
of the loop share a commit, and whoever has to know that they are on disk waits for it. What is on disk is
always a prefix of what was queued. If another process has locked the database, the writer tries again
without blocking the loop.

There is no writer thread: with SQLite, a commit takes less time than waking a thread and being woken by it
(`nox -s bench` shows both).
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import peewee
from peewee import SqliteDatabase

from ..base.log import logger
from ..errors import StoreError
from .opening import as_store_error, connection_of

#: Seconds for which a locked database is tried again before the run fails.
LOCK_PATIENCE = 60.0
#: Seconds after which a warning says what a run waits for.
WARN_AFTER = 3.0
#: Seconds between the first two tries, as long as a commit takes; they double up to the longest.
FIRST_INTERVAL, RETRY_INTERVAL = 0.0005, 0.02
#: Up to this interval the loop waits where it is: its own clock counts in milliseconds.
SHORT_INTERVAL = 0.001
#: The files are looked at after a commit, but not more often than once in so many seconds.
CHECK_INTERVAL = 0.1
#: Rows that nobody waits for are written after so many seconds,
FLUSH_INTERVAL = 0.05
#: or as soon as there are so many of them.
FLUSH_ROWS = 2000
#: The size of the smallest database, in bytes.
SMALLEST = 512

Row = Sequence[Any]
Result = TypeVar("Result")


class LockWait:
    """Decides whether an action is tried again, while another program has locked the database `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._since: float | None = None
        self._warned = False
        #: Seconds until the next try.
        self.interval = FIRST_INTERVAL / 2

    def try_again(self, error: Exception) -> bool:
        """Whether to try again after `error`. False if the lock is not the cause, or has lasted too long."""
        if "locked" not in str(error):
            return False
        now = time.monotonic()
        if self._since is None:
            self._since = now
        waited = now - self._since
        self.interval = min(2 * self.interval, RETRY_INTERVAL)
        if waited >= LOCK_PATIENCE:
            return False
        if waited >= WARN_AFTER and not self._warned:
            self._warned = True
            logger.warning("{}: another program has locked it; waiting for it", self._path)
        return True


def retry_while_locked(action: Callable[[], Result], path: Path) -> Result:
    """Call `action`, again while another program has locked the database `path`; return its result.

    Raises the database's errors as `StoreError`. The waiting is done in Python, not in SQLite, so that Ctrl-C
    ends it.
    """
    wait = LockWait(path)
    while True:
        try:
            return action()
        except (sqlite3.Error, peewee.DatabaseError) as error:
            if not wait.try_again(error):
                raise as_store_error(path, error) from None
        time.sleep(wait.interval)


class Writer:
    """Queues rows by SQL statement and commits them in groups."""

    def __init__(self, database: SqliteDatabase, path: Path) -> None:
        self._database = database
        self._path = path
        self._log_path = path.with_name(f"{path.name}-wal")
        self._queue: dict[str, list[Row]] = {}
        self._count = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._handle: asyncio.Handle | None = None
        self._soon = False
        self._lock_wait = LockWait(path)
        #: The files of the store that this process writes to: device and inode of each.
        self._files, _, _ = self._look()
        #: The sizes of the main file and of the write-ahead log in bytes, as they were at the last commit.
        self._main_size = self._log_size = 0
        #: When the files were last looked at.
        self._checked = -math.inf
        #: Whether the last commit failed. Whoever waited for it got the error.
        self.failed = False

    def put(self, statement: str, row: Row) -> None:
        """Queue a row. It does not reach the disk before the rows that were queued earlier."""
        rows = self._queue.get(statement)
        if rows is None:
            rows = self._queue[statement] = []
        rows.append(row)
        self._count += 1
        if self._handle is None or (self._count >= FLUSH_ROWS and not self._soon):
            self._schedule(soon=self._count >= FLUSH_ROWS)

    async def committed(self) -> None:
        """Return when all rows queued so far are on disk. Raises `StoreError` if they cannot be written."""
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
        self._handle = loop.call_soon(self._flush) if soon else loop.call_later(FLUSH_INTERVAL, self._flush)

    def _flush(self) -> None:
        self._handle, self._soon = None, False
        try:
            self.flush()
        except StoreError as error:
            self.failed = True
            self._settle(str(error))
        except sqlite3.Error as error:
            if self._lock_wait.try_again(error):
                if self._lock_wait.interval <= SHORT_INTERVAL:
                    time.sleep(self._lock_wait.interval)
                    self._flush()
                    return
                self._soon = True
                self._handle = asyncio.get_running_loop().call_later(self._lock_wait.interval, self._flush)
                return
            self.failed = True
            self._settle(
                f"{self._path}: {error}; nothing that was committed is lost: remove the cause, and resume "
                "the run"
            )
        else:
            self.failed = False
            self._settle("")

    def flush(self) -> None:
        """Write all queued rows now, in one transaction. Raises `StoreError` if the files are gone."""
        if not self._count:
            return
        connection = connection_of(self._database)
        due = time.monotonic() - self._checked >= CHECK_INTERVAL
        if due:
            self._check_log(connection)
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
        self._lock_wait = LockWait(self._path)
        if due:
            self._check_files()

    def finish(self) -> None:
        """`flush`, and look at the files whenever that was last done."""
        self.flush()
        self._check_files()

    def _check_files(self) -> None:
        """Raise `StoreError` if the files that this process writes to are not those at the store's path.

        On POSIX a file that was removed can be written still, and all of it would be lost. The main file
        becomes shorter by maintenance alone, which is refused while runs are executed.
        """
        files, main_size, log_size = self._look()
        if not files or files != (self._files or files) or main_size < self._main_size:
            raise self._gone()
        self._files, self._main_size, self._log_size = files, main_size, log_size
        self._checked = time.monotonic()

    def _look(self) -> tuple[tuple[int, ...], int, int]:
        """The store's files, as `_files` has them (empty: they are no store), and both sizes."""
        try:
            main, log = self._path.stat(), self._log_path.stat()
        except FileNotFoundError:
            return (), 0, 0
        files = (main.st_dev, main.st_ino, log.st_dev, log.st_ino) if main.st_size >= SMALLEST else ()
        return files, main.st_size, log.st_size

    def _check_log(self, connection: sqlite3.Connection) -> None:
        """Raise `StoreError` if the write-ahead log was cut off, before what is written next hides that.

        It becomes shorter rightly when all of it was brought into the main file, as `runs gc` does.
        """
        try:
            shorter = self._log_path.stat().st_size < self._log_size
        except FileNotFoundError:
            return  # which is found when it is written to
        if shorter:
            ((pages,),) = connection.execute("PRAGMA page_count")
            ((size,),) = connection.execute("PRAGMA page_size")
            if self._path.stat().st_size < pages * size:
                raise self._gone()

    def _gone(self) -> StoreError:
        return StoreError(
            f"store {self._path}: it was removed, replaced or cut off while a run was executed, and what was "
            "written since is lost; restore it from a copy, or run the scenario again"
        )

    def _settle(self, error: str) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if error:
                waiter.set_exception(StoreError(error))  # one object each: raising it adds a traceback
            else:
                waiter.set_result(None)

    def close(self) -> None:
        """Write the rows that are left. Call it when no event loop runs any more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self.flush()
