"""The exporter `jsonl`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from pyscrai_core import Exporter, StoredRun
from pyscrai_records.base.atomic_files import replace_files
from pyscrai_tabular.schema import CALLS


class JsonLines(Exporter):
    """Writes `events`, `calls`, `outcomes`, `measures` and each table of the scenario, in UTF-8.

    Each line is a JSON object with sorted keys. Of several runs, each has a folder by its id.

    The lines of `events.jsonl` are those of the canonical log. With the line `pyscrai log 3` before them,
    their SHA-256 is the run's fingerprint.
    """

    def export(self, runs: Sequence[StoredRun], destination: Path) -> list[Path]:
        if len(runs) == 1:
            return self._export(runs[0], destination)
        return [path for run in runs for path in self._export(run, destination / run.id)]

    def _export(self, run: StoredRun, destination: Path) -> list[Path]:
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
            for call in _calls(run):
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


def _calls(run: StoredRun) -> Iterator[dict[str, Any]]:
    """The calls as the store has them: a stored call has more columns, for the storage of its messages."""
    for call in run.calls():
        yield {name: call[name] for name in CALLS.names if name != "run"}


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
