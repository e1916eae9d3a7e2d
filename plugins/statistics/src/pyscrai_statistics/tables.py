"""Tables: what counts as one, and reading them from files."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .results import StatisticsError

Columns = dict[str, list[Any]]


def columns(table: Any) -> Columns:
    """A table as a mapping of columns.

    Args:
        table: a list of mappings (rows; a key that a row lacks is None), a mapping of columns of equal
            length, or anything with `to_dict("list")` or `to_dict(as_series=False)`, such as a frame of
            pandas or polars.

    Raises:
        StatisticsError: something else, no rows, or columns of unequal length.
    """
    if hasattr(table, "to_dict") and not isinstance(table, Mapping):
        try:
            table = table.to_dict("list")
        except (TypeError, ValueError):
            table = table.to_dict(as_series=False)
    if isinstance(table, Mapping):
        found = {str(name): list(values) for name, values in table.items()}
        if len({len(values) for values in found.values()}) > 1:
            sizes = ", ".join(f"{name} {len(values)}" for name, values in found.items())
            raise StatisticsError(
                "table", f"its columns have unequal lengths ({sizes})", "equal ones", "fill the gaps"
            )
    elif isinstance(table, Iterable) and not isinstance(table, str | bytes):
        rows = list(table)
        for number, row in enumerate(rows, 1):
            if not isinstance(row, Mapping):
                raise StatisticsError(
                    "table", f"data row {number} is {row!r}", "mappings", "give rows as mappings"
                )
        names = list(dict.fromkeys(str(name) for row in rows for name in row))
        found = {name: [row.get(name) for row in rows] for name in names}
    else:
        raise StatisticsError(
            "table",
            f"it is of type {type(table).__name__}",
            "a list of mappings, a mapping of columns, or a data frame",
            "convert it",
        )
    if not found or not next(iter(found.values())):
        raise StatisticsError("table", "it has no rows", "at least one", "check where it came from")
    return found


def column(found: Columns, name: str, role: str) -> list[Any]:
    """One column, with a guess for a typing error."""
    if name in found:
        return found[name]
    near = get_close_matches(str(name), found, 1)
    remedy = f"did you mean {near[0]!r}?" if near else "name one of them"
    raise StatisticsError(
        f"table, {role}", f"there is no column {name!r}", "one of " + ", ".join(found), remedy
    )


def optional_module(name: str, extra: str) -> Any:
    """A module of an optional extra; without it, an error that says what to install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise StatisticsError(
            name, "it is not installed", f"the extra {extra!r}", f"pip install 'pyscrai-statistics[{extra}]'"
        ) from error


def read_table(path: str | Path) -> Columns:
    """A table from a file, by its suffix.

    `.csv`: with a header; a column whose cells are all numbers (or empty) becomes numbers, empty cells become
    None. `.jsonl`: an object per line. `.json`: a list of objects or an object of columns. `.parquet`: with
    the extra `parquet`.

    Raises:
        StatisticsError: a suffix that is not known, a file that cannot be read or is not of its format.
    """
    source = Path(path)
    where = f"read_table, {source.name}"
    if source.suffix not in (".csv", ".jsonl", ".ndjson", ".json", ".parquet"):
        expected = ".csv, .jsonl, .json or .parquet"
        raise StatisticsError(where, f"its suffix is {source.suffix!r}", expected, "convert it, or rename it")
    try:
        if source.suffix == ".parquet":
            return columns(optional_module("pyarrow.parquet", "parquet").read_table(source).to_pydict())
        text = source.read_text(encoding="utf-8-sig")
        if source.suffix == ".csv":
            return _csv(where, text)
        if source.suffix == ".json":
            content = json.loads(text)
            if isinstance(content, dict) and {"eval", "status"} <= set(content):
                raise StatisticsError(where, "it is a log of Inspect", "a table", "use read_inspect")
            return columns(content)
        return columns([json.loads(line) for line in text.splitlines() if line.strip()])
    except StatisticsError:
        raise
    except (OSError, ValueError) as error:
        raise StatisticsError(
            where, f"it cannot be read ({error})", f"a {source.suffix} file", "check it"
        ) from error


def _csv(where: str, text: str) -> Columns:
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    lines = [(reader.line_num, row) for row in reader if row]
    rows = [row for _, row in lines]
    if not rows:
        raise StatisticsError(where, "it is empty", "a header and rows", "check where it came from")
    header = rows[0]
    if len(set(header)) != len(header):
        raise StatisticsError(where, "a name is twice in its header", "different names", "rename a column")
    for number, row in lines[1:]:
        if len(row) != len(header):
            raise StatisticsError(
                where,
                f"line {number} has {len(row)} cells",
                f"{len(header)}, as the header",
                "check its commas and quotes",
            )
    return columns({name: _typed([row[place] for row in rows[1:]]) for place, name in enumerate(header)})


def _typed(cells: list[str]) -> list[Any]:
    """Cells as whole numbers, else as numbers, else as texts; empty ones are None."""
    for convert in (int, float):
        try:
            # "007" and "1_000" are names, not numbers.
            if all(_is_number(cell) for cell in cells if cell):
                return [convert(cell) if cell else None for cell in cells]
        except ValueError:
            continue
    return [cell or None for cell in cells]


def _is_number(cell: str) -> bool:
    digits = cell.lstrip("+-")
    return "_" not in cell and not (len(digits) > 1 and digits[0] == "0" and digits[1].isdigit())
