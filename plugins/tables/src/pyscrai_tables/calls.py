"""The columns of calls, which are the same in both formats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyscrai_core import StoredRun

#: In order. A stored call has more columns, for the storage of its messages.
CALL_COLUMNS = (
    "number",
    "agent",
    "step",
    "path",
    "kind",
    "target",
    "provider",
    "model",
    "status",
    "answer",
    "finish_reason",
    "error",
    "detail",
    "request",
    "seed",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "estimated",
    "cost",
    "started",
    "seconds",
    "queued",
    "attempts",
)


def call_rows(run: StoredRun) -> Iterator[dict[str, Any]]:
    """The run's calls with these columns."""
    for call in run.calls():
        yield {column: call[column] for column in CALL_COLUMNS}
