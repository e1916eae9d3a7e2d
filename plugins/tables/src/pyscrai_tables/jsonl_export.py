"""The exporter `jsonl`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from pyscrai_core import Exporter, StoredRun

from .atomic_files import replace_files
from .calls import call_rows


class JsonLines(Exporter):
    """Writes `events`, `calls`, `outcomes`, `measures` and each table of the scenario, in UTF-8.

    Each line is a JSON object with sorted keys.

    The lines of `events.jsonl` are those of the canonical log. With the line `pyscrai log 1` before them,
    their SHA-256 is the run's fingerprint.
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
        paths = [destination / f"{name}.jsonl" for name in names]
        with replace_files(paths) as (events, calls, outcomes, *more):
            for event in run.events():
                events.write(event.line() + b"\n")
            for call in call_rows(run):
                calls.write(_line(call))
            for name, value in run.outcomes.items():
                outcomes.write(_line({"name": name, "value": value}))
            if measures:
                file = more.pop(0)
                for name, series in measures.items():
                    file.writelines(_line({"name": name, "step": step, "value": one}) for step, one in series)
            for file, rows in zip(more, tables.values(), strict=True):
                file.writelines(map(_line, rows))
        return paths


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
