"""Who executes a run: one process at a time, known by a lock that the system takes back when it ends.

The lock is a file beside the store, `runs.db-owners/RUN`. Who holds it stands in the run's row, for people.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
from attrs import asdict, frozen
from filelock import FileLock, Timeout

from ..errors import StoreError


@frozen
class Owner:
    """A process that executes a run, since a moment in seconds since 1970."""

    pid: int
    host: str
    since: float

    @classmethod
    def current(cls) -> Owner:
        return cls(os.getpid(), socket.gethostname(), time.time())

    @classmethod
    def from_json(cls, text: str) -> Owner | None:
        """The inverse of `to_json`; None for a run that nobody ever executed here."""
        return cls(**orjson.loads(text)) if text else None

    def to_json(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} since {since}"


class Locks:
    """The locks of a store's runs."""

    def __init__(self, store: Path) -> None:
        self._folder = store.with_name(store.name + "-owners")

    def acquire(self, run: str) -> FileLock | None:
        """The lock of a run, held until it is released or the process ends; None: somebody else has it."""
        try:
            self._folder.mkdir(exist_ok=True)
            lock = FileLock(self._folder / run)
            # Whoever only looks holds it for an instant.
            lock.acquire(timeout=0.5, poll_interval=0.02)
        except Timeout:
            return None
        except OSError as error:
            raise StoreError(
                f"store: the lock {self._folder / run} cannot be made ({error.strerror}); "
                "make room or change its permissions"
            ) from None
        return lock

    def held(self, run: str, patience: float = 0.05) -> bool:
        """Whether some process executes the run, or (within `patience` seconds) looks whether one does."""
        path = self._folder / run
        if not path.exists():
            return False
        lock = FileLock(path)
        try:
            # Longer than an instant: somebody else may just be looking too.
            lock.acquire(timeout=patience, poll_interval=0.01)
        except Timeout:
            return True
        except OSError:  # the store is somebody else's, who may only be read: nobody executes it from here
            return False
        lock.release()
        return False

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other processes from bringing the store's tables up to date at the same time."""
        self._folder.mkdir(exist_ok=True)
        with FileLock(self._folder / "tables", timeout=60):
            yield
            self.remove("tables")

    def remove(self, run: str) -> None:
        """Remove what is left of a lock that is needed no more. Its holder may still hold it."""
        with contextlib.suppress(OSError):  # on Windows what is open cannot be removed; it does no harm
            (self._folder / run).unlink(missing_ok=True)
