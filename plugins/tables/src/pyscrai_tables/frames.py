"""Data frames of a log or of stored runs, with the columns and types of the exports.

pandas, polars and pyarrow are imported when they are asked for, and none of them needs another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

from pyscrai_core import ConfigError, StoredRun
from pyscrai_core.display.shown import Events
from pyscrai_tabular.fill import PAYLOAD_COLUMNS, Filled, fill_log, fill_one
from pyscrai_tabular.rows import json_text
from pyscrai_tabular.schema import Column, Type

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_pandas(shown: Any, table: str = "", payload_columns: int = PAYLOAD_COLUMNS) -> Any:
    """A pandas data frame: of a log (`result.events`), a stored run, or several.

    table
        which table of the runs: `runs`, `agents`, `events`, `calls`, `measures`, `outcomes`, or one that the
        scenario declares (default: `events` of a log or of one run, `runs` of several)
    payload_columns
        how many columns the events' payloads get at most

    Whole numbers and booleans have pandas' nullable types. Raises `ConfigError` for a table that does not
    exist, and if pandas is not installed.
    """
    pandas = _library("pandas", "pandas")
    filled = _filled(shown, table, payload_columns)
    types: dict[Type, Any] = {
        "integer": "Int64", "number": "Float64", "boolean": "boolean", "text": "string", "json": "string",
        "texts": object, "time": pandas.DatetimeTZDtype("us", "UTC"),
    }  # fmt: skip
    columns = {
        column.name: pandas.Series(values, dtype=types[column.type])
        for column, values in zip(filled.table.columns, _columns(filled), strict=True)
    }
    return pandas.DataFrame(columns)


def to_polars(shown: Any, table: str = "", payload_columns: int = PAYLOAD_COLUMNS) -> Any:
    """The same as a polars data frame."""
    polars = _library("polars", "polars")
    filled = _filled(shown, table, payload_columns)
    types: dict[Type, Any] = {
        "integer": polars.Int64, "number": polars.Float64, "boolean": polars.Boolean, "text": polars.String,
        "json": polars.String, "texts": polars.List(polars.String), "time": polars.Datetime("us", "UTC"),
    }  # fmt: skip
    schema = {column.name: types[column.type] for column in filled.table.columns}
    return polars.DataFrame(dict(zip(schema, _columns(filled), strict=True)), schema=schema)


def to_arrow(shown: Any, table: str = "", payload_columns: int = PAYLOAD_COLUMNS) -> Any:
    """The same as a pyarrow table. The fields' metadata have the columns' meanings and units."""
    arrow = _library("pyarrow", "arrow")
    filled = _filled(shown, table, payload_columns)
    types: dict[Type, Any] = {
        "integer": arrow.int64(), "number": arrow.float64(), "boolean": arrow.bool_(),
        "text": arrow.string(), "json": arrow.string(), "texts": arrow.list_(arrow.string()),
        "time": arrow.timestamp("us", "UTC"),
    }  # fmt: skip
    fields = [
        arrow.field(one.name, types[one.type], metadata={"meaning": one.meaning, "unit": one.unit})
        for one in filled.table.columns
    ]
    return arrow.table(_columns(filled), schema=arrow.schema(fields))


def _library(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        if error.name != name:
            raise
        raise ConfigError(
            f'{name} is not installed; install it with: pip install "pyscrai-tables[{extra}]"'
        ) from None


def _filled(shown: Any, table: str, payload_columns: int) -> Filled:
    """The table of what is shown: of events, of a stored run, or of several."""
    try:
        if isinstance(shown, StoredRun):
            return fill_one([shown], table or "events", payload_columns)
        if not isinstance(shown, Events) and all(isinstance(one, StoredRun) for one in shown):
            return fill_one(shown, table or "runs", payload_columns)
        if table not in ("", "events"):
            raise ValueError(f"table {table!r}: a log has no other table than `events`")
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return fill_log(getattr(shown, "run", ""), shown, payload_columns)


def _columns(filled: Filled) -> list[list[Any]]:
    """The values of each column."""
    values: list[list[Any]] = [[] for _ in filled.table.columns]
    for row in filled.rows():
        for column, value in zip(values, row, strict=True):
            column.append(value)
    return [_converted(column, found) for column, found in zip(filled.table.columns, values, strict=True)]


def _converted(column: Column, values: Iterable[Any]) -> list[Any]:
    convert = _CONVERTERS.get(column.type)
    if convert is None:
        return list(values)
    return [None if value is None else convert(value) for value in values]


_CONVERTERS: dict[Type, Callable[[Any], Any]] = {
    "number": float,
    "texts": list,
    "json": json_text,
    "time": lambda seconds: _EPOCH + timedelta(seconds=seconds),
}
