"""The exporter `jsonl`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from pyscrai_core import Exporter, StoredRun

from .atomic_files import replace_files
from .calls import call_rows


class JsonLines(Exporter):
    """Writes `events`, `calls` and `outcomes`: one JSON object per line, in UTF-8, with sorted keys.

    The lines of `events.jsonl` are those of the canonical log. With the line `pyscrai log 1` before them,
    their SHA-256 is the run's fingerprint.
    """

    def export(self, run: StoredRun, destination: Path) -> list[Path]:
        paths = [destination / f"{name}.jsonl" for name in ("events", "calls", "outcomes")]
        with replace_files(paths) as (events, calls, outcomes):
            for event in run.events():
                events.write(event.line() + b"\n")
            for call in call_rows(run):
                calls.write(_line(call))
            for name, value in run.outcomes.items():
                outcomes.write(_line({"name": name, "value": value}))
        return paths


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
