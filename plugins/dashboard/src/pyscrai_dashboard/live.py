"""What is new in the store, for everybody who watches.

One task looks whether any other process has committed something, which SQLite tells in microseconds. Then the
new rows of each watched run are read once, however many clients watch it. A client takes what it does not
have yet; one that is too slow reads what it missed from the store.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Any

from attrs import define, field

from pyscrai_core import PyscraiError
from pyscrai_records.base.log import logger
from pyscrai_records.store.models import ACTIVE
from pyscrai_records.store.store import Store

from . import events, experiments
from .reading import NoStore, Reader, find, identity
from .replies import Refused, encode
from .summaries import COLUMNS, Summaries, rows_of
from .worlds import Worlds

#: Seconds between two looks; between two summaries of a run; and until it is seen that a process has died.
POLL, SUMMARIES, ALIVE = 0.1, 0.3, 1.0
#: Chunks that are kept for clients; who is further behind reads the store.
CHUNKS = 100
#: Seconds that counting may take in one look.
COUNTING = 0.05


def message(name: str, value: Any, number: int | None = None) -> bytes:
    """An event of a stream."""
    head = b"" if number is None else b"id: %d\n" % number
    return b"%sevent: %s\ndata: %s\n\n" % (head, name.encode(), encode(value))


@define(eq=False)
class Channel:
    """What clients of one kind have to be told, in numbered chunks. `last` is the number of the last one."""

    last: int = 0
    chunks: deque[tuple[int, int, bytes]] = field(factory=lambda: deque(maxlen=CHUNKS))
    #: The latest summary, with a number that tells it from earlier ones.
    summary: tuple[int, bytes] = (0, b"")
    shown: dict[str, Any] = field(factory=dict)
    gone: str = ""
    clients: int = 0
    _moved: asyncio.Event = field(factory=asyncio.Event)

    def add(self, end: int, chunk: bytes) -> None:
        self.chunks.append((self.last, end, chunk))
        self.last = end

    def tell(self) -> None:
        """Wake all clients."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def moved(self) -> None:
        await self._moved.wait()

    def after(self, number: int) -> list[tuple[int, bytes]] | None:
        """The chunks behind a number, each with its own; None if some of them are not kept any more."""
        if number >= self.last:
            return []
        found = [(end, chunk) for start, end, chunk in self.chunks if start >= number]
        known = any(start == number for start, _, _ in self.chunks)
        return found if known else None


class Live:
    """Watches the store while anybody watches it through the dashboard."""

    def __init__(self, reader: Reader, summaries: Summaries, worlds: Worlds) -> None:
        self._reader = reader
        self._summaries = summaries
        self._worlds = worlds
        self._runs: dict[str, Channel] = {}
        self._overview = Channel()
        #: The runs of the overview: what each was like when it was last looked at.
        self._known: dict[str, tuple[Any, ...]] = {}
        #: The experiments that a process runs: what each was like, apart from the time. None: not known yet.
        self._under_way: dict[str, dict[str, Any]] | None = None
        self._rowid = 0
        self._first = True
        self._pending: set[str] = set()
        self._version: tuple[Any, ...] = ()
        self._identity: tuple[int, int] | None = None
        self._again = False
        self._summed = self._looked = 0.0
        self._task: asyncio.Task[None] | None = None
        self.closed = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """End all streams."""
        self.closed = True
        for channel in (self._overview, *self._runs.values()):
            channel.tell()
        if self._task is not None:
            self._task.cancel()

    def poke(self, run: str) -> None:
        """Say that something about a run has changed which is not in the store."""
        self._pending.add(run)
        self._again = True

    # -- looking --

    async def _watch(self) -> None:
        told = ""
        while True:
            await asyncio.sleep(POLL)
            if not self._runs and not self._overview.clients:
                continue
            try:
                await self._look()
                told = ""
            except NoStore as error:
                self._vanished(str(error))
            except (PyscraiError, Refused, sqlite3.Error, OSError) as error:
                # The store may be locked or damaged: it is looked at again, and said once.
                if str(error) != told:
                    logger.warning("the dashboard cannot read the store: {}", error)
                told = str(error)

    async def _look(self) -> None:
        now = identity(self._reader.path)
        if self._identity not in (None, now):
            self._vanished(f"store {self._reader.path}: it was removed or replaced")
        store = self._reader.store()
        self._identity = now
        (version,) = store.connection.execute("PRAGMA data_version").fetchone()
        moment = time.monotonic()
        moved, self._version = self._version != (now, version), (now, version)
        if not moved and not self._again and moment - self._looked < ALIVE:
            return
        self._again = False
        sum_up = moment - self._summed >= SUMMARIES
        if sum_up:
            self._summed = self._looked = moment
        else:
            self._again = True  # what is not summed up now is so soon
        for run, channel in list(self._runs.items()):
            await self._advance(run, channel, sum_up)
        if sum_up and self._overview.clients:
            await self._advance_overview()

    def _vanished(self, why: str) -> None:
        """Tell all clients that the store is gone, and forget everything that was known of it."""
        self._identity = None
        self._version = ()
        self._under_way = None
        self._summaries.counted.forget()
        self._worlds.forget()
        for channel in self._runs.values():
            channel.gone = why
            channel.tell()
        self._runs.clear()
        if self._known:
            removed, self._known, self._rowid = list(self._known), {}, 0
            self._tell_overview([], removed, [])

    # -- one run --

    async def _advance(self, run: str, channel: Channel, sum_up: bool) -> None:
        try:
            found, summary, more = await self._reader.follow(self._news, run, channel.last, sum_up)
        except Refused as gone:
            if isinstance(gone, NoStore):
                raise
            channel.gone = str(gone)
            self._runs.pop(run, None)
            self._summaries.counted.forget(run)
            channel.tell()
            return
        if found:
            end = found[-1]["seq"]
            channel.add(end, message("events", {"events": found}, end))
        self._show(channel, summary)
        if found or summary:
            channel.tell()
        if more:
            await self._advance(run, channel, False)

    def _news(
        self, store: Store, run: str, after: int, sum_up: bool
    ) -> tuple[list[dict[str, Any]], Any, bool]:
        """The events of a run behind a number, its summary, and whether there are more events."""
        row = rows_of(store, [run])
        if not row:
            find(store, run)  # raises
        found = self._summaries.counted.of(store.connection, run, row[0]["owner"], COUNTING)
        new = events.page(store, run, after + 1, 2**62, found.cut)
        summary = self._summaries.of_rows(store, row, COUNTING)[0] if sum_up else None
        return new, summary, bool(new) and new[-1]["seq"] < events.last_seq(store, run)

    def _show(self, channel: Channel, summary: dict[str, Any] | None) -> None:
        if summary and summary != channel.shown:
            channel.shown = summary
            channel.summary = (channel.summary[0] + 1, message("summary", summary))
            self._again = self._again or not summary["counted"]

    async def run(self, run: str, after: int) -> AsyncIterator[bytes]:
        """The stream of a run: its events behind number `after`, its summaries, and that it is gone."""
        channel = self._runs.get(run)
        if channel is None:
            last = await self._reader.follow(_last_of, run)
            channel = self._runs.setdefault(run, Channel(last=last))
        channel.clients += 1
        return self._run(run, channel, min(after, channel.last))

    async def _run(self, run: str, channel: Channel, place: int) -> AsyncIterator[bytes]:
        self._again = True
        shown = 0
        try:
            while not self.closed:
                waiter = asyncio.ensure_future(channel.moved())
                try:
                    while (kept := channel.after(place)) is None and not channel.gone:
                        missed = await self._reader.read(_missed, run, place, channel.last)
                        if not missed:
                            break
                        place = missed[-1]["seq"]
                        yield message("events", {"events": missed}, place)
                    for end, chunk in kept or ():
                        place = end
                        yield chunk
                    if channel.summary[0] != shown:
                        shown, chunk = channel.summary
                        yield chunk
                    if channel.gone:
                        yield message("gone", {"reason": channel.gone})
                        return
                    if place >= channel.last and channel.summary[0] == shown and not self.closed:
                        await waiter
                finally:
                    waiter.cancel()
        except Refused as gone:
            yield message("gone", {"reason": str(gone)})
        finally:
            channel.clients -= 1
            if not channel.clients and self._runs.get(run) is channel:
                del self._runs[run]

    # -- the overview --

    async def _advance_overview(self) -> None:
        pending, self._pending = self._pending, set()
        changed, removed = await self._reader.follow(self._changes, pending)
        names = {one["experiment"] for one in changed} - {None}
        of_experiments = await self._reader.follow(self._of_experiments, names)
        if changed or removed or of_experiments:
            self._tell_overview(changed, removed, of_experiments)
        if any(not one["counted"] for one in changed):
            self._again = True

    def _changes(self, store: Store, pending: set[str]) -> tuple[list[dict[str, Any]], list[str]]:
        """The summaries of the runs that are not as they were, and the runs that are gone."""
        connection = store.connection
        first, self._first = self._first, False
        # Active: also the runs that another process has resumed.
        marks = ",".join("?" * len(ACTIVE))
        query = f'SELECT "id", rowid FROM "runs" WHERE rowid>? OR "status" IN ({marks})'
        found = dict(connection.execute(query, (self._rowid, *ACTIVE)).fetchall())
        self._rowid = max([self._rowid, *found.values()])
        active = {run for run, key in self._known.items() if key[0]}
        removed: list[str] = []
        (count,) = connection.execute('SELECT COUNT(*) FROM "runs"').fetchone()
        if count < len(self._known.keys() | found.keys()):
            there = {run for (run,) in connection.execute('SELECT "id" FROM "runs"')}
            removed = [run for run in self._known if run not in there]
            for run in removed:
                del self._known[run]
                self._summaries.counted.forget(run)
        changed = []
        for row in rows_of(store, {*found, *active, *pending}):
            key = self._key(store, row)
            if self._known.get(row["id"]) != key or row["id"] in pending:
                self._known[row["id"]] = key
                # What was there when nobody watched is listed elsewhere.
                if not first or key[0]:
                    changed += self._summaries.of_rows(store, [row], COUNTING / 5)
        self._pending |= {one["id"] for one in changed if not one["counted"]}
        return changed, removed

    def _of_experiments(self, store: Store, names: set[str]) -> list[dict[str, Any]]:
        """The experiments with these names, and those whose process paused, went on or ended meanwhile."""
        before = self._under_way
        if before is None:
            before = {name: {} for name in experiments.under_way(store)}
        found, self._under_way = [], {}
        for one in experiments.briefs(store, sorted(names | before.keys())):
            lasting = {**one, "left_seconds": None}
            if one["name"] in names or lasting != before[one["name"]]:
                found.append(one)
            if one["status"] in ACTIVE:
                self._under_way[one["name"]] = lasting
        return found

    def _key(self, store: Store, row: dict[str, Any]) -> tuple[Any, ...]:
        """What tells whether the summary of a run may be another one; first of all, whether it is active."""
        active = row["status"] in ACTIVE
        rows: Iterable[Any] = ()
        if active:
            query = """SELECT (SELECT MAX("seq") FROM "events" WHERE "run"=?),
                (SELECT MAX("number") FROM "calls" WHERE "run"=?)"""
            rows = store.connection.execute(query, (row["id"], row["id"])).fetchone()
        return active, *rows, *(row[name] for name in COLUMNS)

    def _tell_overview(self, changed: list[Any], removed: list[str], of_experiments: list[Any]) -> None:
        chunk = message("runs", {"changed": changed, "removed": removed}) if changed or removed else b""
        if of_experiments:
            chunk += message("experiments", {"changed": of_experiments})
        self._overview.add(self._overview.last + 1, chunk)
        self._overview.tell()

    async def overview(self) -> AsyncIterator[bytes]:
        """The stream of all runs: those that changed, and those that were removed.

        It begins with `reset`: from then on nothing is missed, so that a client should read the list now.
        """
        channel = self._overview
        channel.clients += 1
        place = channel.last
        reset = message("runs", {"changed": [], "removed": [], "reset": True})
        try:
            yield reset
            while not self.closed:
                waiter = asyncio.ensure_future(channel.moved())
                try:
                    kept = channel.after(place)
                    if kept is None:  # too far behind
                        place = channel.last
                        yield reset
                    for end, chunk in kept or ():
                        place = end
                        yield chunk
                    if place >= channel.last and not self.closed:
                        await waiter
                finally:
                    waiter.cancel()
        finally:
            channel.clients -= 1


def _last_of(store: Store, run: str) -> int:
    find(store, run)
    return events.last_seq(store, run)


def _missed(store: Store, run: str, after: int, until: int) -> list[dict[str, Any]]:
    return events.page(store, run, after + 1, until, ())
