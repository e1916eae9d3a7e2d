"""What comes from outside into a run that is being executed: events, and the wish to pause or to go on.

It is written into the store by another process and looked for at the beginning of each step. SQLite tells in
a few microseconds whether anybody else has written since.
"""

from __future__ import annotations

from typing import Any

import orjson

from ..store.store import Store

#: Seconds between two looks while a run is paused.
POLL = 0.2


class Inputs:
    """The inputs that wait for `run`."""

    def __init__(self, store: Store, run: str) -> None:
        self._store = store
        self._run = run
        self._version = -1

    def arrived(self) -> bool:
        """Whether there may be something new since the last time."""
        (version,) = self._store.connection.execute("PRAGMA data_version").fetchone()
        before, self._version = self._version, version
        return bool(version != before)

    def events(self) -> list[tuple[int, dict[str, Any]]]:
        """The events that wait, each with its number in the table, oldest first."""
        return [
            (number, {**orjson.loads(body), "author": author})
            for number, kind, body, author in self._store.inputs(self._run)
            if kind == "event"
        ]

    def pausing(self) -> bool:
        """Whether the run is to pause, or to stay paused."""
        kinds = [kind for _, kind, _, _ in self._store.inputs(self._run) if kind != "event"]
        return bool(kinds) and kinds[-1] == "pause"
