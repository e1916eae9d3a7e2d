"""Answers that other runs have already: the same request at the same position under the same seed.

By a person's choice alone. Two runs that want the same answer at the same time ask for it once: whoever comes
first claims it in the store, the other waits. A claim of a process that was ended is taken over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

from pyscrai_records.errors import RunStopping
from pyscrai_records.store.checksums import damaged, is_damaged
from pyscrai_records.store.opening import translate_errors
from pyscrai_records.store.store import Store

from .call import Call

#: What a stranger's run has for an answer need not be one, and nor need a copy of it in a run of one's own.
OWN = """"run" NOT IN (SELECT "run" FROM "imports") AND ("reused"='' OR ("reused" IN (SELECT "id" FROM "runs")
    AND "reused" NOT IN (SELECT "run" FROM "imports")))"""
#: Seconds between two looks at a claim of somebody else.
POLL = 0.05

#: Whose answers are taken; runs by their ids, with commas between them.
Source = Literal["none", "parent", "all"] | str


class Reuse:
    """Finds answers for `run`: those of the runs that are `named`, or (empty) of all but imported ones."""

    def __init__(self, store: Store, run: str, named: Sequence[str] = ()) -> None:
        self._store = store
        self._run = run
        self._named = tuple(named)
        self._whose = f'"run" IN ({",".join("?" * len(named))})' if named else OWN

    @classmethod
    def of(cls, store: Store, run: str, source: Source, parent: str) -> Reuse | None:
        """What finds answers of a source; None if none are taken."""
        if source in ("none", ""):
            return None
        if source == "all":
            return cls(store, run)
        return cls(store, run, (parent,) if source == "parent" else source.split(","))

    async def take(self, call: Call, stopping: Callable[[], bool]) -> bool:
        """Give a call the answer that is there; False: it is to be made, and is claimed until `settle`."""
        while True:
            if self._find(call):
                return True
            if self._named:
                return False
            if self._store.claim(call.key, self._run):
                # Its answer may have come, and its claim gone, between the look and the claim.
                if self._find(call):
                    self.settle(call.key)
                    return True
                return False
            if stopping():
                raise RunStopping
            await asyncio.sleep(POLL)

    def settle(self, key: str) -> None:
        """The call was made, or was given up."""
        if not self._named:
            self._store.remove_claim(key)

    def _find(self, call: Call) -> bool:
        with translate_errors(self._store.path):
            rows = self._store.connection.execute(
                f"""SELECT * FROM "calls"
                   WHERE "key"=? AND "run"!=? AND "status"='answered' AND {self._whose} LIMIT 1""",
                (call.key, self._run, *self._named),
            )
            found = rows.fetchone()
        if found is None:
            return False
        row = {column[0]: value for column, value in zip(rows.description, found, strict=True)}
        if is_damaged(row):
            raise damaged(f"run {row['run']}: call {row['number']}")
        call.model, call.provider, call.finish_reason = (
            row[name] for name in ("model", "provider", "finish_reason")
        )
        call.answer_json, call.reused, call.cost = row["answer"].encode(), row["reused"] or row["run"], 0.0
        return True
