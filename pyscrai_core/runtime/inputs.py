"""What comes from outside into a run that is being executed: events, and the wish to pause or to go on.

It is written into the store by another process and looked for at the beginning of each step. SQLite tells in
a few microseconds whether anybody else has written since.
"""

from __future__ import annotations

import math
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
        self._later = False

    def arrived(self) -> bool:
        """Whether there may be something for the next step."""
        (version,) = self._store.connection.execute("PRAGMA data_version").fetchone()
        before, self._version = self._version, version
        return self._later or bool(version != before)

    def events(self, step: float = math.inf) -> list[tuple[int, dict[str, Any]]]:
        """The events that wait for a step up to `step`, each with its number in the table, oldest first.

        What was added to a run waits in its forks for the step at which the run took it in.
        """
        found, self._later = [], False
        for number, kind, body, author in self._store.inputs(self._run):
            if kind != "event":
                continue
            event = {**orjson.loads(body), "author": author}
            if event.pop("step", 0) <= step:
                found.append((number, event))
            else:
                self._later = True
        return found

    def pausing(self) -> bool:
        """Whether the run is to pause, or to stay paused."""
        kinds = [kind for _, kind, _, _ in self._store.inputs(self._run) if kind != "event"]
        return bool(kinds) and kinds[-1] == "pause"
