"""A run of a million events, exported: seconds, megabytes of memory, and megabytes of files.

    python tests/bench/exports.py [EVENTS] [FORMAT…]

Exits with status 1 if an export needs more memory than `MOST`.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pyscrai_core import Completion, Event
from pyscrai_core.plugins import Host
from pyscrai_core.runtime import exporting
from pyscrai_core.scenario.trust import Gate
from pyscrai_records.store.store import CALL_COLUMNS, Store

EVENTS = 1_000_000
FORMATS = ("csv", "jsonl", "parquet", "duckdb", "html", "graphml", "inspect")
#: What the run was made of, as far as exports look at it.
MANIFEST: dict[str, Any] = {
    "format": 3, "kernel": "0", "scenario": {"agents": {}}, "files": {}, "plugins": [], "extensions": [],
    "prompts": {}, "folder": ".",
}  # fmt: skip
#: Megabytes of memory that an export may need.
MOST = 300


def make(path: Path, count: int) -> None:
    """A store with one run of so many events, and a call for each tenth of them."""
    with Store.open(path) as store:
        run = store.create_run("long", 1, MANIFEST)
        texts = ("request", "frame", "error", "detail", "reused", "key", "checksum")
        blank = dict.fromkeys(CALL_COLUMNS, 0) | dict.fromkeys(texts, "")
        answer = json.dumps(Completion("word " * 30).to_dict())

        async def write() -> None:
            for seq in range(1, count + 1):
                agent = f"agent-{seq % 50}"
                kind, payload = _payload(seq)
                store.put_event(run, Event(seq, 1 + seq // 50, kind, agent, ("*",), payload))
                if seq % 10 == 0:
                    call: dict[str, Any] = blank | {
                        "run": run, "number": seq // 10, "agent": agent, "step": seq // 50, "path": str(seq),
                        "kind": "complete", "target": "default", "provider": "default", "model": "m",
                        "base": None, "messages": "[]", "attempts": "[]", "status": "answered",
                        "answer": answer, "input_tokens": 100, "output_tokens": 30, "cost": 0.001,
                        "finish_reason": "stop", "started": 1.7e9 + seq, "seconds": 1.5,
                    }  # fmt: skip
                    store.put_call([call[name] for name in CALL_COLUMNS])
                if seq % 5_000 == 0:
                    await store.writer.committed()
            await store.writer.committed()

        asyncio.run(write())


def _payload(seq: int) -> tuple[str, dict[str, Any]]:
    if seq % 3 == 0:
        return "offer", {"price": seq % 97, "to": f"agent-{seq % 7}", "share": seq / 3}
    if seq % 7 == 0:
        return "change", {"path": f"stock.agent-{seq % 50}", "op": "add", "value": seq % 11}
    return "say", {"text": f"I offer {seq} of them, at three coins each. " * 3}


def export(path: Path, name: str, out: Path) -> None:
    """Export in this process, and print what it took."""
    began = time.perf_counter()
    exporter = exporting.make_exporter(name, {}, Host(), Gate())
    with Store.open(path, create=False) as store, store.snapshot():
        files = exporting.write(exporter, [store.run("last")], out)
    size = sum(file.stat().st_size for file in files)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([time.perf_counter() - began, peak, size / 1e6]))


def main(count: int, names: tuple[str, ...]) -> int:
    too_much = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        began = time.perf_counter()
        make(path, count)
        took, size = time.perf_counter() - began, path.stat().st_size / 1e6
        print(f"{count:,} events written in {took:.0f} s, {size:.0f} MB")
        print(f"{'format':10} {'seconds':>8} {'memory MB':>10} {'files MB':>9}")
        for name in names:
            ended = subprocess.run(
                [sys.executable, __file__, "--export", str(path), name, str(Path(folder) / name)],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if ended.returncode:
                print(f"{name:10} {ended.stderr.strip().splitlines()[-1]}")
                too_much = 1
                continue
            seconds, peak, size = json.loads(ended.stdout)
            too_much |= peak > MOST
            note = "  too much" if peak > MOST else ""
            print(f"{name:10} {seconds:8.1f} {peak:10.0f} {size:9.1f}{note}", flush=True)
    return too_much


if __name__ == "__main__":
    if sys.argv[1:2] == ["--export"]:
        export(Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
    else:
        numbers = [int(one) for one in sys.argv[1:] if one.isdigit()]
        chosen = tuple(one for one in sys.argv[1:] if not one.isdigit())
        sys.exit(main(*(numbers or [EVENTS]), chosen or FORMATS))
