"""Reading the store: in threads, each with its own connection, while other processes write.

The store may be missing, appear later, vanish, or be replaced by another one. A connection that belongs to a
file which is not there any more is closed, and never read as if it were the store.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from pyscrai_core import StoreError
from pyscrai_records.store.models import RunRow
from pyscrai_records.store.opening import path_of, translate_errors
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store

from .replies import Refused

P = ParamSpec("P")
Result = TypeVar("Result")

#: Threads that read. SQLite reads in parallel; more than the processor has would slow runs down.
THREADS = 3


class NoStore(Refused):
    """There is no store yet, or none any more."""


class Reader:
    """Gives connections to the store of a URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.path = path_of(url)
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(THREADS, "reader")
        self._opened: list[sqlite3.Connection] = []
        #: Whether there was a store at any time.
        self.seen = False
        #: Reads what all clients follow. It never waits for a search.
        self._follower = ThreadPoolExecutor(1, "follower")
        #: Carries out orders that wait for another process, while the page goes on.
        self._orders = ThreadPoolExecutor(1, "orders")

    @property
    def not_yet(self) -> bool:
        """Whether nothing was run yet. A store that vanished is something else, and an error."""
        return not self.seen and not self.path.exists()

    async def read(
        self, work: Callable[Concatenate[Store, P], Result], *args: P.args, **more: P.kwargs
    ) -> Result:
        """Call `work` with an open store, in a thread. Raises `NoStore`, or `StoreError`."""
        return await self._in(self._pool, work, *args, **more)

    async def follow(
        self, work: Callable[Concatenate[Store, P], Result], *args: P.args, **more: P.kwargs
    ) -> Result:
        """The same in the one thread that follows live runs."""
        return await self._in(self._follower, work, *args, **more)

    async def order(
        self, work: Callable[Concatenate[Store, P], Result], *args: P.args, **more: P.kwargs
    ) -> Result:
        """The same for an order that may have to wait."""
        return await self._in(self._orders, work, *args, **more)

    async def run(self, work: Callable[[], Result]) -> Result:
        """Call `work` in a thread; it needs no store."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _in(
        self,
        pool: ThreadPoolExecutor,
        work: Callable[Concatenate[Store, P], Result],
        *args: P.args,
        **more: P.kwargs,
    ) -> Result:
        def call() -> Result:
            store = self.store()
            with translate_errors(self.path):
                return work(store, *args, **more)

        return await asyncio.get_running_loop().run_in_executor(pool, call)

    def store(self) -> Store:
        """This thread's open store. Raises `NoStore` if there is none."""
        now = identity(self.path)
        if now is None:
            self._forget()
            raise NoStore(f"store {self.path}: {self._missing()}", 404)
        if getattr(self._local, "identity", None) != now:
            self._forget()
            try:
                store = Store.open(self.url, create=False)
            except StoreError as error:
                raise NoStore(str(error), 404) from None
            self._local.store, self._local.identity, self.seen = store, now, True
            self._opened.append(store.connection)
        opened: Store = self._local.store
        return opened

    def _missing(self) -> str:
        if self.seen:
            return "it was removed or moved while it was shown; put it back, and the page goes on"
        return "it does not exist; run a scenario first, or name another with --store"

    def _forget(self) -> None:
        store: Store | None = getattr(self._local, "store", None)
        self._local.store = self._local.identity = None
        if store is not None:
            self._opened.remove(store.connection)
            store.database.close()

    def close(self) -> None:
        """End what is being read, and close all connections."""
        for connection in self._opened:
            connection.interrupt()
        for pool in (self._pool, self._follower, self._orders):
            pool.shutdown(cancel_futures=True)
        for connection in self._opened:
            connection.close()


def identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one at the same path; None: there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def find(store: Store, run: str) -> RecordedRun:
    """The run with this id, and no other. Raises `Refused` if there is none."""
    row = RunRow.select().where(RunRow.id == run).get_or_none(store.database)
    if row is None:
        raise Refused(f"run {run[:40]}: the store has no such run; it may have been removed", 404)
    return RecordedRun(store.database, row, store.locks)
