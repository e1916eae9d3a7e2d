"""A DuckDB database that tables are written to, row by row, with little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import orjson
from pyscrai_tabular.fill import Filled
from pyscrai_tabular.rows import batches
from pyscrai_tabular.schema import Column, Table, Type

from pyscrai_core import ConfigError

#: The types of columns.
TYPES: dict[Type, str] = {
    "integer": "BIGINT",
    "number": "DOUBLE",
    "text": "VARCHAR",
    "boolean": "BOOLEAN",
    "time": "TIMESTAMP WITH TIME ZONE",
    "texts": "VARCHAR[]",
    "json": "JSON",
}
#: So many rows are inserted at once, and so many are committed at once.
BATCH, COMMIT = 2_000, 40_000
#: DuckDB's memory, and its threads: a run is read by one thread.
SETTINGS: dict[str, Any] = {
    "memory_limit": "128MB",
    "threads": 1,
    # Nothing is downloaded: what is needed is part of the package.
    "autoinstall_known_extensions": False,
}


@contextmanager
def open_database(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new database in the file `path`. What DuckDB cannot write is told as `ConfigError`."""
    try:
        connection = duckdb.connect(str(path), config=SETTINGS)
        try:
            yield connection
        finally:
            connection.close()
    except (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.FatalException) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"--out {path.parent}: {reason}; make room, change its permissions, or choose another place"
        ) from None
    finally:
        for rest in (path.with_name(f"{path.name}.wal"), path.with_name(f"{path.name}.tmp")):
            if rest.is_dir():
                for file in rest.iterdir():
                    file.unlink()
                rest.rmdir()
            else:
                rest.unlink(missing_ok=True)


def create(connection: duckdb.DuckDBPyConnection, filled: Filled) -> None:
    """Make a table and insert its rows."""
    table = filled.table
    columns = ", ".join(f"{quoted(column.name)} {TYPES[column.type]}" for column in table.columns)
    connection.execute(f"CREATE TABLE {quoted(table.name)} ({columns})")
    insert = f"INSERT INTO {quoted(table.name)} SELECT {', '.join(map(_values, table.columns))}"
    converters = [_CONVERTERS.get(column.type) for column in table.columns]
    connection.begin()
    pending = 0
    for batch in batches(filled.rows(), BATCH):
        columns_of_values = zip(*batch, strict=True)
        connection.execute(
            insert,
            [
                _converted(values, convert)
                for values, convert in zip(columns_of_values, converters, strict=True)
            ],
        )
        pending += len(batch)
        if pending >= COMMIT:
            connection.commit()
            connection.begin()
            pending = 0
    connection.commit()


def describe(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Write what the table and its columns mean into the database, as comments."""
    name = quoted(table.name)
    connection.execute(f"COMMENT ON TABLE {name} IS {_text(table.meaning)}")
    for column in table.columns:
        unit = f" ({column.unit})" if column.unit else ""
        said = _text(column.meaning + unit)
        connection.execute(f"COMMENT ON COLUMN {name}.{quoted(column.name)} IS {said}")


def quoted(name: str) -> str:
    """A name of a table or column as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''").replace("\0", " ") + "'"


def _values(column: Column) -> str:
    """The values of a column, which are given as one list."""
    if column.type == "time":
        return "to_timestamp(unnest(?::DOUBLE[]))"
    return f"unnest(?::{TYPES[column.type]}[])"


def _converted(values: Iterable[Any], convert: Callable[[Any], Any] | None) -> list[Any]:
    if convert is None:
        return list(values)
    return [None if value is None else convert(value) for value in values]


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


_CONVERTERS: dict[Type, Callable[[Any], Any]] = {"number": float, "texts": list, "json": _json}
