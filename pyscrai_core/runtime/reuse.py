"""Answers that other runs have already: the same request at the same position under the same seed.

By a person's choice alone. Two runs that want the same answer at the same time ask for it once: whoever comes
first claims it in the store, the other waits. A claim of a process that was ended is taken over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from attrs import frozen

from ..store.store import Store
from .turn import Stopping

#: Seconds between two looks at a claim of somebody else.
POLL = 0.05

Source = Literal["none", "parent", "all"]


@frozen
class Taken:
    """An answer of the run `run`: its JSON, and who gave it."""

    run: str
    answer: str
    model: str
    provider: str


class Reuse:
    """Finds answers for `run`: those of its `parent`, or (empty) of every run in the store."""

    def __init__(self, store: Store, run: str, parent: str) -> None:
        self._store = store
        self._run = run
        self._parent = parent

    async def take(self, key: str, stopping: Callable[[], bool]) -> Taken | None:
        """An answer that is there; None: it is to be asked for, and claimed until `settle` is called."""
        while True:
            if (found := self._find(key)) is not None:
                return found
            if self._parent:
                return None
            if self._store.claim(key, self._run):
                # Its answer may have come, and its claim gone, between the look and the claim.
                if (found := self._find(key)) is not None:
                    self.settle(key)
                return found
            if stopping():
                raise Stopping
            await asyncio.sleep(POLL)

    def settle(self, key: str) -> None:
        """The call was made, or was given up."""
        if not self._parent:
            self._store.put_settled(key)

    def _find(self, key: str) -> Taken | None:
        row = self._store.connection.execute(
            """SELECT "run","reused","answer","model","provider" FROM "calls"
               WHERE "key"=? AND "run"!=? AND "status"='answered' AND (?='' OR "run"=?) LIMIT 1""",
            (key, self._run, self._parent, self._parent),
        ).fetchone()
        if row is None:
            return None
        run, origin, answer, model, provider = row
        return Taken(origin or run, answer, model, provider)
