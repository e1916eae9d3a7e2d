"""A DuckDB database that tables are written to, row by row, with little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import orjson

from pyscrai_core import ConfigError
from pyscrai_tabular.fill import Filled
from pyscrai_tabular.rows import batches
from pyscrai_tabular.schema import Column, Table, Type

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
#: The rows of a row group of Parquet, and how often DuckDB has them in memory while it writes one.
GROUP, COPIES = 20_480, 8
#: DuckDB's memory in megabytes, and its threads: a run is read by one thread.
MEMORY = 128
SETTINGS: dict[str, Any] = {
    "memory_limit": f"{MEMORY}MB",
    "threads": 1,
    # Nothing is downloaded: what is needed is part of the package.
    "autoinstall_known_extensions": False,
}


#: What DuckDB raises if a disk is full, or a file cannot be written: a commit fails with the last one.
_UNWRITABLE = (
    duckdb.IOException, duckdb.OutOfMemoryException, duckdb.FatalException, duckdb.TransactionException,
)  # fmt: skip


@contextmanager
def open_database(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new database in the file `path`. What DuckDB cannot write is told as `ConfigError`."""
    try:
        connection = duckdb.connect(str(path), config=SETTINGS)
        try:
            yield connection
        finally:
            connection.close()
    except _UNWRITABLE as error:
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
    """Make a table and insert its rows. If texts are very long, DuckDB gets the memory that they need."""
    table = filled.table
    columns = ", ".join(f"{quoted(column.name)} {TYPES[column.type]}" for column in table.columns)
    connection.execute(f"CREATE TABLE {quoted(table.name)} ({columns})")
    insert = f"INSERT INTO {quoted(table.name)} SELECT {', '.join(map(_values, table.columns))}"
    converters = [_CONVERTERS.get(column.type) for column in table.columns]
    connection.begin()
    pending = rows = size = largest = 0
    for batch in batches(filled.rows(), BATCH):
        values = [
            _converted(column, convert)
            for column, convert in zip(zip(*batch, strict=True), converters, strict=True)
        ]
        size += sum(len(value) for column in values for value in column if isinstance(value, str))
        if size > largest:
            largest = size
            memory = max(MEMORY, COPIES * largest // 1_000_000)
            connection.execute(f"SET memory_limit = '{memory}MB'")
        connection.execute(insert, values)
        rows += len(batch)
        if rows >= GROUP:
            rows = size = 0
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
