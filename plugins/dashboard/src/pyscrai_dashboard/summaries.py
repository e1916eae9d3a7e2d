"""Summaries of runs: what the overview shows of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from attrs import frozen

from pyscrai_records.store.models import ACTIVE
from pyscrai_records.store.runs import read_json
from pyscrai_records.store.store import Store

from .replies import Refused
from .totals import Counted

#: Seconds that an answer waits for sums which are not counted yet, for all of its runs together.
PATIENCE = 0.25
MOST = 500
COLUMNS = (
    "id", "scenario", "seed", "status", "error", "created", "ended", "steps", "fingerprint", "owner",
    "parent", "labels",
)  # fmt: skip
SELECT = "SELECT " + ",".join(f'"{name}"' for name in COLUMNS) + ' FROM "runs"'
LAST_STEP = 'SELECT "step" FROM "events" WHERE "run"=? ORDER BY "seq" DESC LIMIT 1'
#: The limits that a run began with, and those that its resumes changed.
LIMITS = """SELECT json_extract("body",'$.scenario.limits'), json_extract("body",'$.changes') FROM "manifests"
    WHERE "run"=?"""
DRAWS = """SELECT json_extract("body",'$.draws') FROM "manifests" WHERE "run"=?"""

Row = dict[str, Any]


@frozen
class Filters:
    """What runs have to have. `search` is part of the id, scenario, a label, or the error."""

    status: str = ""
    scenario: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    search: str = ""
    parent: str = ""

    @classmethod
    def from_query(cls, query: Iterable[tuple[str, str]]) -> Filters:
        """The filters of a query. Raises `Refused`."""
        given: dict[str, str] = {}
        labels = []
        for key, value in query:
            if key == "label" and value:
                name, mark, text = value.partition("=")
                if not mark or '"' in name:
                    raise Refused(f"label: expected NAME=TEXT, not {value!r:.60}")
                labels.append((name, text))
            elif key in ("status", "scenario", "search", "parent"):
                given[key] = value
        return cls(**given, labels=tuple(labels))

    def where(self) -> tuple[str, list[Any]]:
        """The condition in SQL, with its values. It lets a run that is active pass as interrupted."""
        conditions: list[str] = ["1"]
        values: list[Any] = []
        if self.status:
            wanted = [self.status, *(ACTIVE if self.status == "interrupted" else ())]
            conditions.append(f'"status" IN ({",".join("?" * len(wanted))})')
            values += wanted
        for column in ("scenario", "parent"):
            if text := getattr(self, column):
                conditions.append(f'"{column}"=?')
                values.append(text)
        for name, text in self.labels:
            conditions.append('json_extract("labels", ?)=?')
            values += [f'$."{name}"', text]
        if self.search:
            pattern = like(self.search)
            columns = ("id", "scenario", "labels", "error")
            conditions.append("(" + " OR ".join(f"\"{name}\" LIKE ? ESCAPE '\\'" for name in columns) + ")")
            values += [pattern] * len(columns)
        return " AND ".join(conditions), values


def like(text: str) -> str:
    """The pattern of SQL for texts that have `text` in them."""
    escaped = "".join(f"\\{char}" if char in "\\%_" else char for char in text)
    return f"%{escaped}%"


class Summaries:
    """Makes summaries.

    waiting
        tells the question that a run asks a person, if it does
    most_steps
        tells how many steps a run makes at most, if its schedule knows
    """

    def __init__(
        self,
        counted: Counted,
        waiting: Callable[[str], Any],
        most_steps: Callable[[Store, str], int | None],
    ) -> None:
        self.counted = counted
        self._waiting = waiting
        self._most_steps = most_steps
        self._limits: dict[tuple[str, str], dict[str, Any]] = {}
        self._steps: dict[tuple[str, str], int | None] = {}
        self._draws: dict[str, dict[str, str]] = {}

    def page(self, store: Store, filters: Filters, limit: int, before: str) -> dict[str, Any]:
        """A page of runs, newest first. Raises `Refused` for a cursor that is none."""
        where, values = filters.where()
        passing = [row for row in _rows(store, where, values) if filters.status in ("", row["status"])]
        total = len(passing)
        if before:
            created, _, run = before.partition(":")
            try:
                mark = (-float(created), run)
            except ValueError:
                raise Refused(
                    f"before: {before!r:.60} is no cursor; take `next` of an earlier answer"
                ) from None
            passing = [row for row in passing if (-row["created"], row["id"]) > mark]
        page = passing[:limit]
        following = f"{page[-1]['created']!r}:{page[-1]['id']}" if len(passing) > limit else None
        return {"runs": self.of_rows(store, page), "total": total, "next": following}

    def of_rows(self, store: Store, rows: Iterable[Row], patience: float = PATIENCE) -> list[dict[str, Any]]:
        deadline = time.monotonic() + patience
        return [self._of(store, row, deadline) for row in rows]

    def of(self, store: Store, run: str, patience: float = PATIENCE) -> dict[str, Any]:
        """The summary of one run. Raises `Refused` if there is none."""
        rows = list(_rows(store, '"id"=?', [run]))
        if not rows:
            raise Refused(f"run {run[:40]}: the store has no such run; it may have been removed", 404)
        found: dict[str, Any] = self.of_rows(store, rows, patience)[0]
        return found

    def _of(self, store: Store, row: Row, deadline: float) -> dict[str, Any]:
        run, connection = row["id"], store.connection
        found = self.counted.of(connection, run, row["owner"], max(0.0, deadline - time.monotonic()))
        (events,) = connection.execute(
            'SELECT COALESCE(MAX("seq"),0) FROM "events" WHERE "run"=?', (run,)
        ).fetchone()
        steps = row["steps"]
        if row["ended"] is None and (last := connection.execute(LAST_STEP, (run,)).fetchone()):
            steps = max(steps, last[0])
        sums: dict[str, Any] = {
            name: round(value, 9) if name == "dollars" else int(value) for name, value in found.sums.items()
        }
        labels, limits = dict(read_json(row["labels"])), self._limits_of(store, row)
        status = row["status"]
        return {
            **{
                key: row[key]
                for key in ("id", "scenario", "seed", "error", "created", "ended", "parent", "fingerprint")
            },
            "status": status,
            "steps": steps,
            "events": events,
            "calls": sums["calls"],
            "usage": {key: sums[key] for key in ("input", "output", "cached", "estimated", "unknown")},
            "cost": {"dollars": sums["dollars"], "unpriced": sums["unpriced"]},
            **{key: sums[key] for key in ("truncated", "refused", "failed_calls")},
            "rejected": found.kinds["rejected"],
            "failed_turns": found.kinds["turn.failed"],
            "kinds": dict(found.kinds),
            # Whether all of the sums above are final as of now: in a large run, counting takes a while.
            "counted": found.complete,
            "labels": labels,
            "experiment": labels.get("experiment"),
            "live": status in ACTIVE,
            "waiting": self._waiting(run),
            "limits": limits,
            "draws": self._draws_of(store, run),
            "progress": self._progress(store, row, status, steps, sums),
            "owner": _owner(row["owner"]) if status in ACTIVE else None,
        }

    def _progress(
        self, store: Store, row: Row, status: str, steps: int, sums: Mapping[str, Any]
    ) -> float | None:
        """How far a run is, from 0 to 1, by its limits and its schedule; None: that cannot be known."""
        if status == "completed":
            return 1.0
        limits = dict(self._limits_of(store, row))
        if status in ACTIVE:
            key = (row["id"], row["owner"])
            if key not in self._steps:
                if len(self._steps) > 5000:
                    self._steps.clear()
                self._steps[key] = self._most_steps(store, row["id"])
            known = (limits.get("steps"), self._steps[key])
            limits["steps"] = min((most for most in known if most), default=None)
        tokens = sums["input"] + sums["output"]
        used = {"steps": steps, "calls": sums["calls"], "tokens": tokens, "money": sums["dollars"]}
        return _share(limits, used)

    def _draws_of(self, store: Store, run: str) -> dict[str, str]:
        """Who draws the closed choices of each provider: `kernel` or `provider`."""
        if run not in self._draws:
            if len(self._draws) > 5000:
                self._draws.clear()
            found = store.connection.execute(DRAWS, (run,)).fetchone()
            self._draws[run] = orjson.loads(found[0]) if found and found[0] else {}
        return self._draws[run]

    def _limits_of(self, store: Store, row: Row) -> dict[str, Any]:
        key = (row["id"], row["owner"])
        if key not in self._limits:
            if len(self._limits) > 5000:
                self._limits.clear()
            found = store.connection.execute(LIMITS, (row["id"],)).fetchone() or (None, None)
            limits = orjson.loads(found[0]) if found[0] else {}
            for path, value in (orjson.loads(found[1]) if found[1] else {}).items():
                if path.startswith("limits."):
                    limits[path[len("limits.") :]] = value
            self._limits[key] = {name: value for name, value in limits.items() if value is not None}
        return self._limits[key]


def _rows(store: Store, where: str, values: list[Any]) -> Iterable[Row]:
    query = f'{SELECT} WHERE {where} ORDER BY "created" DESC, "id"'
    for row in store.connection.execute(query, values):
        yield settled(store, dict(zip(COLUMNS, row, strict=True)), SELECT)


def rows_of(store: Store, runs: Iterable[str]) -> list[Row]:
    """The rows of some runs, those that there are."""
    wanted = list(runs)
    found: list[Row] = []
    for start in range(0, len(wanted), MOST):
        part = wanted[start : start + MOST]
        found += _rows(store, f'"id" IN ({",".join("?" * len(part))})', part)
    return found


def settled(store: Store, row: Row, select: str) -> Row:
    """The row of a run as it is: an active run that no process executes was interrupted.

    It may have ended between the two looks, so it is read once more, with `select`.
    """
    if row["status"] not in ACTIVE or store.locks.held(row["id"]):
        return row
    again = store.connection.execute(f'{select} WHERE "id"=?', (row["id"],)).fetchone()
    row = dict(zip(row, again, strict=True)) if again else row
    return row if row["status"] not in ACTIVE else {**row, "status": "interrupted"}


def _share(limits: Mapping[str, Any], used: Mapping[str, float]) -> float | None:
    """The largest share of a limit that is used, from 0 to 1; None: there is no limit."""
    shares = [
        min(1.0, amount / limits[name])
        for name, amount in used.items()
        if isinstance(limits.get(name), (int, float)) and limits[name] > 0
    ]
    return max(shares, default=None)


def _owner(written: str) -> dict[str, Any] | None:
    return orjson.loads(written) if written else None
