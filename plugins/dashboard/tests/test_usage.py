"""The sums of a run with many steps are grouped, and stay exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyscrai_records.store.store import CALL_COLUMNS, Store

EMPTY = {"cost": None, "base": None}
TEXTS = (
    "run",
    "agent",
    "path",
    "kind",
    "target",
    "request",
    "messages",
    "frame",
    "status",
    "answer",
    "error",
)
MORE = ("detail", "model", "provider", "attempts", "reused", "key", "finish_reason", "checksum")


def add(store: Store, run: str, first: int, count: int) -> None:
    rows = []
    for number in range(first, first + count):
        row: dict[str, Any] = {name: "" if name in (*TEXTS, *MORE) else 0 for name in CALL_COLUMNS} | EMPTY
        agent = ("Mara", "Jon")[number % 2]
        row |= {
            "run": run, "number": number, "agent": agent, "step": number, "path": "1/think.1",
            "kind": "complete", "target": "default", "status": "answered", "input_tokens": number,
            "output_tokens": 2, "attempts": "[]", "messages": "[]", "seconds": 0.5,
            "cost": 0.25 if agent == "Jon" else None, "model": "made",
        }  # fmt: skip
        rows.append([row[name] for name in CALL_COLUMNS])
    marks = ",".join("?" * len(CALL_COLUMNS))
    names = ",".join(f'"{name}"' for name in CALL_COLUMNS)
    with store.transaction():
        store.connection.executemany(f'INSERT INTO "calls" ({names}) VALUES ({marks})', rows)


def test_many_steps_are_grouped_and_the_sums_stay_exact(server: Any, folder: Path) -> None:
    with Store.open(folder / ".pyscrai/runs.db") as store:
        run = store.create_run(
            "made", 0, {"format": 0, "kernel": "", "scenario": {"scenario": "made", "agents": {}}}
        )
        for first in (1, 2001):  # what is new is added to what was counted
            add(store, run, first, 2000)
            usage = server.get(f"/runs/{run}/usage")
            last = first + 1999
            assert len(usage["steps"]) <= 500
            assert usage["width"] == (8 if first == 1 else 16)
            assert usage["steps"] == list(range(0, last + 1, usage["width"]))
            for agent, odd in (("Mara", 0), ("Jon", 1)):
                numbers = [number for number in range(1, last + 1) if number % 2 == odd]
                sums = usage["sums"][agent]
                assert sums["input"] == sum(numbers) == sum(filter(None, usage["agents"][agent]["input"]))
                assert sums["calls"] == len(numbers)
                assert sums["latency"] == 0.5
            assert usage["sums"]["Jon"]["dollars"] == len(range(1, last + 1)) / 2 * 0.25
            assert usage["sums"]["Mara"]["dollars"] is None
        (found,) = server.get("/runs")["runs"]
        assert found["usage"]["input"] == sum(range(1, 4001))
        assert found["cost"] == {"dollars": 500.0, "unpriced": 2000}
        assert found["calls"] == 4000
        store.release(run)
