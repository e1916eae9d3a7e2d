"""The exporter `csv`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

from attrs import field, frozen, validators

from pyscrai_core import Exporter, StoredRun
from pyscrai_records.base.atomic_files import replace_files
from pyscrai_tabular.fill import PAYLOAD_COLUMNS, Filled, fill
from pyscrai_tabular.rows import batches, json_text
from pyscrai_tabular.schema import Type

#: Spreadsheets evaluate a text that begins with one of these as a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t"}
#: So many rows are written at once.
_BATCH = 500
_Encode = Callable[[Any], str]


class Csv(Exporter):
    """Writes all tables of the runs, in UTF-8, each with a header.

    Texts are quoted, numbers, times, true and false are not, and null is an empty cell. Lists and objects are
    JSON. A text that a spreadsheet would evaluate gets a leading apostrophe, which marks it as text.
    """

    @frozen
    class Config:
        """
        separator
            what stands between cells: `comma`, `semicolon` or `tab`
        formulas
            `neutralize` texts that a spreadsheet would evaluate, or `keep` them as they are
        byte_order_mark
            begin each file with the mark by which Excel knows UTF-8
        payload_columns
            how many columns the events' payloads get at most
        """

        separator: Literal["comma", "semicolon", "tab"] = "comma"
        formulas: Literal["neutralize", "keep"] = "neutralize"
        byte_order_mark: bool = False
        payload_columns: int = field(default=PAYLOAD_COLUMNS, validator=validators.ge(0))

    def export(self, runs: Sequence[StoredRun], destination: Path) -> list[Path]:
        tables = fill(runs, self.config.payload_columns)
        paths = [destination / f"{one.table.name}.csv" for one in tables]
        with replace_files(paths) as files:
            for file, one in zip(files, tables, strict=True):
                self._write(file, one)
        return paths

    def _write(self, file: BinaryIO, filled: Filled) -> None:
        separator = _SEPARATORS[self.config.separator]
        text = _safe if self.config.formulas == "neutralize" else _quoted
        encoders = [{**_ENCODERS, "text": text}[column.type] for column in filled.table.columns]
        if self.config.byte_order_mark:
            file.write(b"\xef\xbb\xbf")
        file.write(f"{separator.join(map(text, filled.table.names))}\n".encode())
        for batch in batches(filled.rows(), _BATCH):
            lines = [
                separator.join(
                    [
                        "" if value is None else encode(value)
                        for encode, value in zip(encoders, row, strict=True)
                    ]
                )
                for row in batch
            ]
            file.write(("\n".join(lines) + "\n").encode())


def time_text(seconds: float) -> str:
    """A moment as ISO 8601 has it, in UTC, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _safe(text: str) -> str:
    return _quoted(f"'{text}" if text.startswith(FORMULA) else text)


def _json(value: Any) -> str:
    """JSON begins with a quote or a bracket; a number, true and false stay what they are."""
    text = json_text(value)
    return text if isinstance(value, (int, float)) else _quoted(text)


_ENCODERS: dict[Type, _Encode] = {
    "integer": str,
    "number": repr,
    "boolean": lambda value: "true" if value else "false",
    "time": time_text,
    "texts": _json,
    "json": _json,
}
