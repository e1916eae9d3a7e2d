"""What the observer `telemetry` adds to a run: with a collector that answers, is down, or hangs.

Runs without and with it alternate in this process; the collector is a process of its own. The figures are
medians of the pairs: the ratio of the times of a run, and a turn's time of the processor, without and with
it, threads included. The first table is the worst case: a model that answers at once, and turns one after the
other. In the second, the model answers after 20 ms.

Run it with `nox -s bench`, or `python tests/bench/telemetry.py [--pairs N]`.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loguru import logger

import pyscrai_core
from pyscrai_core import Observer
from pyscrai_telemetry.observer import Telemetry

AGENTS = 4
#: Reads what is sent, and answers, or does not.
COLLECTOR = """
import sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if sys.argv[1] == "hangs":
            time.sleep(3600)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def collector(how: str) -> Iterator[str]:
    """The address of a collector that `answers`, `hangs` or is `down`."""
    if how == "down":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{free.getsockname()[1]}"  # bound, but nothing listens
        return
    process = subprocess.Popen([sys.executable, "-c", COLLECTOR, how], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


class Clock(Observer):
    """The time between a run's start and its end, without loading and importing."""

    def __init__(self) -> None:
        self.began = self.took = self.used = 0.0

    def on_run(self, run: str, status: str, result: object) -> None:
        if status == "running":
            self.began, self.used = time.perf_counter(), time.process_time()
        else:
            self.took = time.perf_counter() - self.began
            self.used = time.process_time() - self.used


def run(folder: Path, rounds: int, latency: float, *others: Observer) -> tuple[float, float]:
    """Seconds of the clock, and of the processor, of one run."""
    path = folder / "scenario.json"
    scenario: dict[str, Any] = {
        "scenario": "overhead",
        "providers": {
            "default": {"use": "scripted", "replies": ["I would rather wait."], "latency": latency}
        },
        "agents": {f"Agent-{n}": {"persona": "Somebody.", "memory": "window"} for n in range(AGENTS)},
        "schedule": {"use": "round-robin", "rounds": rounds},
    }
    path.write_text(json.dumps(scenario))
    clock = Clock()
    store = folder / f"{time.time_ns()}.db"
    result = pyscrai_core.run(path, store=store, observers=[*others, clock])
    assert result.status == "completed", result.error
    store.unlink()
    return clock.took, clock.used


def compare(folder: Path, how: str, pairs: int, rounds: int, latency: float) -> str:
    """A line of the table."""
    with collector(how) as url:
        observer = Telemetry(Telemetry.Config(endpoint=url))
        ratios, plain_work, work = [], [], []
        for _ in range(pairs):
            plain, plain_used = run(folder, rounds, latency)
            took, used = run(folder, rounds, latency, observer)
            ratios.append(took / plain)
            plain_work.append(plain_used / (rounds * AGENTS))
            work.append(used / (rounds * AGENTS))
        lost = observer.lost
        began = time.perf_counter()
        observer.close()
        ended = time.perf_counter() - began
    ratio, before, after = [statistics.median(one) for one in (ratios, plain_work, work)]
    return f"{how:9} {ratio:7.2f} {before * 1e6:12.0f} {after * 1e6:10.0f} {lost:12,} {ended:13.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=15, help="pairs of runs for each figure (default: 15)")
    pairs = parser.parse_args().pairs
    logger.remove()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(folder, 5, 0)
        for latency, rounds in ((0.0, 50), (0.02, 10)):
            print(f"\n{rounds * AGENTS} turns, each answer after {latency * 1000:.0f} ms")
            print("collector   ratio   µs without    µs with   spans lost  s at the end")
            for how in ("answers", "down", "hangs"):
                print(compare(folder, how, pairs, rounds, latency), flush=True)


if __name__ == "__main__":
    main()
