"""Following a run that another process executes: what that writes to the store is told to an observer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from pyscrai_core import CallRecord, Event, Position, RunStatus, StoreError, Usage
from pyscrai_core.contracts import NoConfig, Observer
from pyscrai_records.store.opening import translate_errors
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store

#: Seconds between two looks whether anybody wrote to the store, and between two looks whether the process
#: that executes the run is still there.
PERIOD, ALIVE = 0.1, 2.0
#: The statuses of a run that goes on.
GOING = ("running", "paused")


class Removed(StoreError):
    """The run, or its store, was removed while the run was followed."""


class Follower:
    """Tells an observer what is written of a run, in order: events, calls, and how its status changes.

    Of a call, only what is recorded is known: that it was answered or failed, and the attempts before.
    """

    def __init__(self, store: Store, run: RecordedRun, observer: Observer, after: int = 0) -> None:
        self.status: RunStatus | None = None
        self._store = store
        self._run = run
        self._observer = observer
        self._event, self._call = after, 0
        self._version = -1
        self._looked = 0.0

    async def until_the_end(self) -> RecordedRun:
        """Follow the run to its end; what is recorded of it then.

        Raises `Removed` if the run is removed, or its store.
        """
        while True:
            if self.look():
                return self._run
            await asyncio.sleep(PERIOD)

    def look(self) -> bool:
        """Tell what is new; whether the run has ended. Raises `Removed`."""
        if self.status is None:
            self.status = "running"
            self._observer.on_run(self._run.id, "running", None)
        try:
            with translate_errors(self._store.path):
                return self._look()
        except Removed:
            raise
        except StoreError as error:
            if "locked" in str(error):
                return False  # another program has the whole store for a moment
            raise

    def _look(self) -> bool:
        (version,) = self._store.connection.execute("PRAGMA data_version").fetchone()
        now = time.monotonic()
        # The end of a process writes nothing.
        late = now - self._looked > ALIVE
        if version == self._version and not late:
            return False
        status = self._status(late)
        # What is read after the status is all that was written before it.
        for event in self._run.events(self._event):
            self._event = event.seq
            self._observer.on_event(event)
        for call in self._calls():
            self._observer.on_call(call)
        self._version = version
        if late:
            self._looked = now
        if status != self.status:
            self.status = status
            self._observer.on_run(self._run.id, status, None)
        return status not in GOING

    def _status(self, late: bool) -> RunStatus:
        """The status as it is now. Whether the process lives is only looked at from time to time."""
        query = 'SELECT "status" FROM "runs" WHERE "id"=?'
        row = self._store.connection.execute(query, (self._run.id,)).fetchone()
        if not self._store.path.exists():
            raise Removed(
                f"store {self._store.path}: it was removed or moved while run {self._run.id} was followed; "
                "put it back, or name another with --store"
            )
        if row is None:
            raise Removed(f"run {self._run.id}: it was removed from the store while it was followed")
        if late or row[0] not in GOING:
            self._run = self._store.run(self._run.id)
            return self._run.status
        status: RunStatus = row[0]
        return status

    def _calls(self) -> Iterator[CallRecord]:
        for row in self._run.call_facts(self._call):
            self._call = row["number"]
            if row["status"] == "intent":
                continue
            position = Position(row["agent"], row["step"], row["path"])
            for attempt in row["attempts"]:
                if attempt["wait"] is not None:
                    error = f"{attempt['error']}: {attempt['detail']}"
                    yield CallRecord(
                        position, row["kind"], "retrying", row["target"], error=error, journaled=True
                    )
            yield CallRecord(
                position, row["kind"], "answered" if row["status"] == "answered" else "failed", row["target"],
                error=row["detail"], usage=usage_of(row), model=row["model"], journaled=True,
                seconds=row["seconds"], cost=row["cost"],
            )  # fmt: skip


def usage_of(row: dict[str, object]) -> Usage:
    """The tokens of a call, from its row."""
    names = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "estimated")
    return Usage(*(row[name] for name in names))  # type: ignore[arg-type]


class Taken(Observer):
    """Keeps the events that it is told of until they are taken."""

    def __init__(self) -> None:
        super().__init__(NoConfig())
        self._events: list[Event] = []

    def on_event(self, event: Event) -> None:
        self._events.append(event)

    def take(self) -> list[Event]:
        """The events since the last such call."""
        events, self._events = self._events, []
        return events
