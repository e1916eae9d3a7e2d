"""Queries over all runs of a store at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from peewee import SqliteDatabase, fn

from .models import ACTIVE, EventRow, OutcomeRow, RunRow
from .runs import read_outcome


def run_rows(
    database: SqliteDatabase,
    labels: Mapping[str, str],
    scenario: str | None,
    status: str | None,
    since: float | None,
) -> Iterator[RunRow]:
    """The rows of the runs that may have all of these, newest first.

    Whether an active run is still executed is not looked at: a process that is gone leaves it as `running`.
    """
    query = RunRow.select().order_by(RunRow.created.desc(), RunRow.id).bind(database)
    written = ("interrupted", *ACTIVE) if status == "interrupted" else (status,)
    conditions = [
        *(fn.json_extract(RunRow.labels, f'$."{name}"') == text for name, text in labels.items()),
        *([RunRow.scenario == scenario] if scenario is not None else []),
        *([RunRow.status << written] if status is not None else []),
        *([RunRow.created >= since] if since is not None else []),
    ]
    rows: Iterator[RunRow] = iter(query.where(*conditions) if conditions else query)
    return rows


def count_events(database: SqliteDatabase) -> dict[str, int]:
    """How many events each run has."""
    query = EventRow.select(EventRow.run, fn.COUNT(EventRow.seq)).group_by(EventRow.run)
    counts: Any = query.tuples().bind(database)
    return dict(counts)


def outcomes_of_all(database: SqliteDatabase) -> dict[str, dict[str, Any]]:
    """The outcomes of each run by name. This is faster than asking each run."""
    columns = (OutcomeRow.run, OutcomeRow.name, OutcomeRow.value, OutcomeRow.checksum)
    query = OutcomeRow.select(*columns).where(OutcomeRow.kind == "outcome").order_by(*columns[:2])
    rows: Any = query.tuples().bind(database)
    found: dict[str, dict[str, Any]] = {}
    for run, name, *rest in rows:
        found.setdefault(run, {})[name] = read_outcome(run, name, *rest)
    return found
