"""Sums over a run's events and calls, counted once.

A run may have a million events. What was counted stays counted: only newer rows are read, in parts, and a
request waits for a short time at most. Until all rows are counted, `complete` is false.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from typing import Any

from attrs import define, field

#: Rows that are counted at once.
EVENTS, CALLS = 20_000, 4_000
#: Runs whose sums are kept.
KEPT = 5_000

#: As the kernel counts: what was given up before it was sent is no call.
MADE = """("status"='answered' OR ("kind"!='complete' AND "status"!='intent') OR "provider"!='')"""
PAID = """("kind"='complete' AND ("status"='answered' OR "input_tokens">0))"""
ANSWERED = """("kind"='complete' AND "status"='answered')"""
REFUSED = """SUM("error"='Refused'
    OR ("error"='' AND "finish_reason" IN ('refusal','content_filter')))"""
#: The sums by name. What a fork took over from its parent has no tokens, and is not unknown.
SUMS = {
    "calls": f"SUM({MADE})",
    "input": 'SUM("input_tokens")',
    "output": 'SUM("output_tokens")',
    "cached": 'SUM("cached_tokens")',
    "estimated": 'SUM("estimated")',
    "unknown": f"""SUM({ANSWERED} AND "input_tokens"=0 AND "output_tokens"=0 AND "reused"='')""",
    "dollars": f'SUM(CASE WHEN {PAID} THEN "cost" END)',
    "unpriced": f'SUM({PAID} AND "cost" IS NULL)',
    "truncated": f"SUM({ANSWERED} AND \"finish_reason\"='length')",
    "refused": REFUSED,
    "failed_calls": "SUM(\"error\"!='')",
}
_SUMMED = ", ".join(f"COALESCE({sql}, 0)" for sql in SUMS.values())
_IN_PART = '"run"=? AND "number">? AND "number"<=?'
COUNT_CALLS = f"""SELECT {_SUMMED} FROM "calls" WHERE {_IN_PART} AND "status"!='intent'"""
COUNT_ONE = f"""SELECT {_SUMMED} FROM "calls" WHERE "run"=? AND "number"=? AND "status"!='intent'"""
INTENTS = f"""SELECT "number" FROM "calls" WHERE {_IN_PART} AND "status"='intent'"""
CUT_OFF = f"""SELECT "agent", "step" FROM "calls" WHERE {_IN_PART} AND "finish_reason"='length'"""
KINDS = """SELECT "kind", COUNT(*) FROM "events" WHERE "run"=? AND "seq">? AND "seq"<=? GROUP BY "kind" """


@define
class Totals:
    """The sums of one run. `owner` is the process that executed it when they were counted."""

    owner: str
    seq: int = 0
    number: int = 0
    complete: bool = False
    kinds: Counter[str] = field(factory=Counter)
    sums: dict[str, float] = field(factory=lambda: dict.fromkeys(SUMS, 0))
    #: Calls that had been begun and not ended.
    begun: list[int] = field(factory=list)
    #: The turns in which an answer was cut off.
    cut: set[tuple[str, int]] = field(factory=set)

    def count(self, connection: sqlite3.Connection, run: str, deadline: float) -> None:
        """Count what is new, until a moment of `time.monotonic` at the latest."""
        events = _last(connection, "events", "seq", run)
        calls = _last(connection, "calls", "number", run)
        while self.seq < events:
            until = min(events, self.seq + EVENTS)
            self.kinds.update(dict(connection.execute(KINDS, (run, self.seq, until))))
            self.seq = until
            if time.monotonic() > deadline:
                break
        while self.number < calls:
            part = (run, self.number, min(calls, self.number + CALLS))
            self._add(connection.execute(COUNT_CALLS, part).fetchone())
            self.begun += [number for (number,) in connection.execute(INTENTS, part)]
            self.cut.update(connection.execute(CUT_OFF, part))
            self.number = part[2]
            if time.monotonic() > deadline:
                break
        for number in list(self.begun):
            (found,) = connection.execute(
                """SELECT COUNT(*) FROM "calls" WHERE "run"=? AND "number"=? AND "status"='intent'""",
                (run, number),
            ).fetchone()
            if not found:
                self.begun.remove(number)
                self._add(connection.execute(COUNT_ONE, (run, number)).fetchone())
        self.complete = self.seq >= events and self.number >= calls

    def _add(self, row: tuple[Any, ...]) -> None:
        for name, value in zip(SUMS, row, strict=True):
            self.sums[name] += value


class Counted:
    """The totals of the runs of a store, shared by all threads."""

    def __init__(self) -> None:
        self._known: dict[str, Totals] = {}
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def of(self, connection: sqlite3.Connection, run: str, owner: str, seconds: float = 0.0) -> Totals:
        """The totals of a run, counted for up to `seconds`, and one part at least.

        A run that was resumed by another process is counted anew: failed calls may have been replaced.
        """
        with self._guard:
            if len(self._known) > KEPT:
                self._known.clear()
                self._locks.clear()
            found = self._known.get(run)
            if found is None or found.owner != owner:
                found = self._known[run] = Totals(owner)
            lock = self._locks.setdefault(run, threading.Lock())
        with lock:
            found.count(connection, run, time.monotonic() + seconds)
        return found

    def forget(self, run: str | None = None) -> None:
        """Forget a run that was removed; None: all, since the store is another one."""
        with self._guard:
            if run is None:
                self._known.clear()
            else:
                self._known.pop(run, None)


def _last(connection: sqlite3.Connection, table: str, column: str, run: str) -> int:
    query = f'SELECT COALESCE(MAX("{column}"), 0) FROM "{table}" WHERE "run"=?'
    return int(connection.execute(query, (run,)).fetchone()[0])
