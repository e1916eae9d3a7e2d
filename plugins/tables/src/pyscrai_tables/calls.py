"""What is told of a call: the same in both formats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyscrai_core import StoredRun

#: The columns of calls, in order. A stored call has more: how the store keeps its messages.
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
    "error",
    "detail",
    "request",
    "seed",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "cost",
    "started",
    "seconds",
    "queued",
    "attempts",
)


def told_calls(run: StoredRun) -> Iterator[dict[str, Any]]:
    """The run's calls, with these columns alone."""
    for call in run.calls():
        yield {column: call[column] for column in CALL_COLUMNS}
