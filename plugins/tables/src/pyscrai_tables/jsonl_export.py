"""The exporter `jsonl`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from pyscrai_core import Exporter, StoredRun

from .calls import told_calls
from .files import replacing


class JsonLines(Exporter):
    """One JSON object a line, in UTF-8, with sorted keys: `events`, `calls` and `outcomes`.

    The lines of `events.jsonl` are those of the canonical log: after the line `pyscrai log 1`, their SHA-256
    is the run's fingerprint.
    """

    def export(self, run: StoredRun, destination: Path) -> list[Path]:
        paths = [destination / f"{name}.jsonl" for name in ("events", "calls", "outcomes")]
        with replacing(paths) as (events, calls, outcomes):
            for event in run.events():
                events.write(event.line() + b"\n")
            for call in told_calls(run):
                calls.write(_line(call))
            for name, value in run.outcomes.items():
                outcomes.write(_line({"name": name, "value": value}))
        return paths


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
