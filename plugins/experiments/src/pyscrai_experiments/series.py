"""Outcomes made of a run's measures and tables: `measure.NAME.last`, `table.NAME.COLUMN.mean`.

An experiment compares one value of each run, so a series or a column is summarised: by its `first` or `last`
value, its `mean`, `median`, `min`, `max` or `sum` of numbers (true is 1), or its number of values, `count`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyscrai_core.scenario.model import Scenario
from pyscrai_records.base.suggest import did_you_mean, there_is_no

_SUMMARIES: dict[str, Callable[[list[Any]], Any]] = {
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "mean": statistics.fmean,
    "median": statistics.median,
    "min": min,
    "max": max,
    "sum": sum,
    "count": len,
}
_OF_ANY = ("first", "last", "count")
#: The kinds of rows in the store, by how the path of an outcome begins.
KINDS = {"measure": "measure", "table": "table"}


def is_series(path: str) -> bool:
    """Whether the outcome at a path is made of a measure or a table."""
    return path.partition(".")[0] in KINDS and "." in path


def check_series(path: str, scenario: Scenario) -> None:
    """Raise `ValueError` if there is no such measure, table, column or summary."""
    what, *rest = path.split(".")
    if what == "measure":
        form, known = "measure.NAME.SUMMARY", list(scenario.measures)
    else:
        form, known = "table.NAME.COLUMN.SUMMARY", list(scenario.tables)
    if len(rest) != form.count("."):
        raise ValueError(f"{path!r}: expected {form}; SUMMARY is one of {', '.join(_SUMMARIES)}")
    if rest[0] not in known:
        raise ValueError(f"{path!r}: {there_is_no(what, rest[0], known)}")
    if what == "table" and rest[1] not in scenario.tables[rest[0]].columns:
        columns = list(scenario.tables[rest[0]].columns)
        raise ValueError(f"{path!r}: {there_is_no('column', rest[1], columns)}")
    if rest[-1] not in _SUMMARIES:
        what = f"there is no summary {rest[-1]!r}{did_you_mean(rest[-1], _SUMMARIES)}"
        raise ValueError(f"{path!r}: {what}; expected one of {', '.join(_SUMMARIES)}")


def why_none(path: str) -> str:
    """What may be the reason if no run has a value at a path: words that follow those."""
    summary = path.rpartition(".")[2]
    if not is_series(path) or summary in _OF_ANY:
        return f"; look at what `{path}` is in a run: pyscrai show RUN"
    return f": `{summary}` needs numbers, and there are none; `count`, `first` and `last` take any values"


def summary_at(path: str, stored: Mapping[tuple[str, str], Any]) -> Any:
    """The value of an outcome. `stored` has a run's measures and tables, by kind and name.

    None if the series or the column is empty, or if numbers were expected and something else is there.
    """
    what, name, *rest = path.split(".")
    rows: Sequence[Any] = stored.get((KINDS[what], name), ())
    values = [row[1] if what == "measure" else row.get(rest[0]) for row in rows]
    values = [value for value in values if value is not None]
    summary = rest[-1]
    if summary == "count":
        return len(values)
    if not values:
        return None
    if summary not in _OF_ANY and not all(isinstance(value, int | float) for value in values):
        return None
    return _SUMMARIES[summary](values)
