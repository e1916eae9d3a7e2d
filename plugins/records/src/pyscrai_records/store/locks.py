"""Locks: at most one process executes a run.

A run's lock is the file `runs.db-owners/RUN` beside the store. The operating system releases it when the
process ends, however it ends. The run's row names the process that holds the lock, to show it to people.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
from attrs import asdict, frozen
from filelock import FileLock, Timeout

from ..base.private import make_folder
from ..errors import StoreError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

#: The lock of the store's tables, in the same folder as those of the runs.
TABLES = "tables"
#: Seconds for which a process waits while another one migrates the tables.
MIGRATION_TIMEOUT = 60.0
#: What the id of a run looks like; files are named after it.
RUN_ID = re.compile(r"[0-9a-f]{1,64}")
#: What the name of a lock looks like: that of a run, or what a plugin needs locked.
_NAME = re.compile(r"[\w-]{1,100}")


def check_id(run: str, expected: re.Pattern[str] = RUN_ID) -> str:
    """The id of a run. Raises `StoreError` for anything else that a store may call a run."""
    if not expected.fullmatch(run):
        raise StoreError(
            f"run {run!r:.80}: that is no id of a run; the store is damaged, or was changed by somebody: "
            "restore it, or name another with --store"
        )
    return run


@frozen
class Owner:
    """The process that executes a run. `since` is in seconds since 1970."""

    pid: int
    host: str
    since: float

    @classmethod
    def current(cls) -> Owner:
        return cls(os.getpid(), socket.gethostname(), time.time())

    @classmethod
    def from_json(cls, text: str) -> Owner | None:
        """The inverse of `to_json`; None for a run that was never executed in this store."""
        return cls(**orjson.loads(text)) if text else None

    def to_json(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} since {since}"


if sys.platform == "win32":

    def _is_locked(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return True
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        return False

else:

    def _is_locked(descriptor: int) -> bool:
        # Shared: processes that look at the same time do not take each other for the one that executes.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


class Locks:
    """The locks of a store's runs."""

    def __init__(self, store: Path) -> None:
        self._folder = store.with_name(store.name + "-owners")

    def acquire(self, run: str) -> FileLock | None:
        """Lock a run until the lock is released or the process ends; None if another process has locked it.

        Raises `StoreError` if the lock cannot be created.
        """
        with contextlib.suppress(Timeout):
            # Not 0: `held` of another process shares the lock for a moment.
            return self._acquire(run, timeout=0.5)
        return None

    def held(self, run: str) -> bool:
        """Whether a process executes the run: this one or another. It does not wait."""
        try:
            descriptor = os.open(self._file(run), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except OSError:  # no process of this user executes a run whose lock is not there, or not readable
            return False
        try:
            return _is_locked(descriptor)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let one process at a time migrate the store's tables. Raises `StoreError`."""
        try:
            lock = self._acquire(TABLES, MIGRATION_TIMEOUT)
        except Timeout:
            raise StoreError(
                f"store: another process has been migrating its tables for more than {MIGRATION_TIMEOUT:.0f} "
                "seconds; wait for that process, or end it"
            ) from None
        try:
            yield
            self.remove(TABLES)
        finally:
            lock.release()

    def remove(self, run: str) -> None:
        """Remove the file of a lock that is not needed any more. It may still be held."""
        with contextlib.suppress(OSError):  # Windows removes no open file; that does no harm
            self._file(run).unlink(missing_ok=True)

    def _file(self, run: str) -> Path:
        """The file of a lock. Raises `StoreError` for what a store calls a run, and could be any path."""
        return self._folder / check_id(run, _NAME)

    def _acquire(self, name: str, timeout: float) -> FileLock:
        """Raises `Timeout`, or `StoreError` if the lock cannot be created."""
        lock = FileLock(self._file(name))
        try:
            make_folder(self._folder)
            lock.acquire(timeout=timeout, poll_interval=0.02)
        except Timeout:
            raise
        except OSError as error:
            raise StoreError(
                f"store: the lock {self._folder / name} cannot be created ({error.strerror}); "
                "free disk space, or change the folder's permissions"
            ) from None
        return lock
