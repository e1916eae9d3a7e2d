"""What the commands print and write."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import orjson

from pyscrai_core import ConfigError
from pyscrai_records.base.atomic_files import replace_file
from pyscrai_records.secret import redact


def as_json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n"


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same keys as CSV. What a spreadsheet would take for a formula gets an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows[0] if rows else [])
    for row in rows:
        writer.writerow([_cell(value) for value in row.values()])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def as_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as aligned text; None is a dash."""
    shown = [list(head), *([visible(format_cell(value)) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = ("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) for row in shown)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def format_cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def visible(text: str) -> str:
    """A text without what a terminal would obey: it may come from a model."""
    return "".join(one if one.isprintable() else " " for one in text)


def write(text: str, out: Path | None) -> None:
    """Print a text, or write it to a file: whole, or not at all. Raises `ConfigError`."""
    if out is None:
        click.echo(redact(text), nl=False)
        return
    if out.is_dir():
        raise ConfigError(f"--out {out}: it is a folder, where a file was expected; name the file in it")
    try:
        replace_file(out, redact(text).encode())
    except OSError as error:
        what = f"it cannot be written ({error.strerror})"
        raise ConfigError(f"--out {out}: {what}; choose another place") from None


def warn(text: str) -> None:
    click.echo(redact(f"warning: {visible(text)}"), err=True)
