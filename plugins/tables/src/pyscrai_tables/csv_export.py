"""The exporter `csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from pyscrai_core import Event, Exporter, StoredRun

from .atomic_files import replace_files
from .calls import CALL_COLUMNS, call_rows

EVENT_COLUMNS = ("seq", "step", "kind", "source", "audience", "text", "payload", "cause")
OUTCOME_COLUMNS = ("name", "value")
MEASURE_COLUMNS = ("name", "step", "value")

#: Spreadsheets evaluate a text that begins with one of these as a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class Csv(Exporter):
    """Writes `events`, `calls`, `outcomes`, `measures` and each table of the scenario, in UTF-8.

    Texts are quoted, numbers are not, and None is an empty cell. Lists and mappings are JSON. A text that a
    spreadsheet would evaluate gets a leading apostrophe, which marks it as text.
    """

    def export(self, run: StoredRun, destination: Path) -> list[Path]:
        measures, tables = run.measures, run.tables
        names = [
            "events",
            "calls",
            "outcomes",
            *(["measures"] if measures else []),
            *map("table-{}".format, tables),
        ]
        paths = [destination / f"{name}.csv" for name in names]
        with replace_files(paths) as (events, calls, outcomes, *more):
            _write(events, EVENT_COLUMNS, map(_event, run.events()))
            _write(calls, CALL_COLUMNS, map(_call, call_rows(run)))
            _write(
                outcomes,
                OUTCOME_COLUMNS,
                ((_cell(name), _json(value)) for name, value in run.outcomes.items()),
            )
            if measures:
                values = ((_cell(name), *one) for name, series in measures.items() for one in series)
                _write(
                    more.pop(0), MEASURE_COLUMNS, ((name, step, _value(one)) for name, step, one in values)
                )
            for file, rows in zip(more, tables.values(), strict=True):
                columns = list(rows[0]) if rows else []
                _write(file, columns, ([_value(row[column]) for column in columns] for row in rows))
        return paths


def _write(file: BinaryIO, heading: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(heading)
    writer.writerows(rows)
    # Otherwise the wrapper would close the file.
    text.detach()


def _event(event: Event) -> Sequence[Any]:
    text = event.payload.get("text")
    return (
        event.seq,
        event.step,
        _cell(event.kind),
        _cell(event.source),
        _json(list(event.audience)),
        _cell(text) if isinstance(text, str) else None,
        _json(event.payload),
        event.cause,
    )


def _call(call: dict[str, Any]) -> Sequence[Any]:
    structured = ("answer", "attempts")
    return [_json(value) if column in structured else _cell(value) for column, value in call.items()]


def _cell(value: str | float | None) -> str | float | None:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _value(value: Any) -> str | float | None:
    """Texts and numbers as they are, everything else as JSON."""
    return _cell(value) if isinstance(value, str) else _json(value)


def _json(value: Any) -> str | float | None:
    """Numbers stay numbers. Everything else is JSON, which begins with a quote or a bracket."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
