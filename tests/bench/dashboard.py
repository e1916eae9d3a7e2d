"""The dashboard with long runs, and what its clients cost a run.

    python tests/bench/dashboard.py [EVENTS]

Prints how long a run of 20,000 events takes to open, and the overview with a run of so many `EVENTS` (a
million); then the processor time that a run of about 100 events a second needs for an event, in turns without
and with 20 clients of its stream: a clock would also measure other programs. Ends with status 1 if opening
takes a second or more, or if clients cost 3 % or more.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from exports import make

from pyscrai_records.store.store import Store

OPENED, EVENTS = 20_000, 1_000_000
#: Seconds in which something must be open, and what clients may cost.
MOST_SECONDS, MOST_COST = 1.0, 0.03
CLIENTS, TURNS, SECONDS = 20, 16, 5
SCENARIO = """\
scenario: long
providers:
  default: {use: scripted, replies: [One., Two., Three.], latency: 0.01}
agents:
  Mara: {persona: You sell apples., memory: none}
  Jon: {persona: You buy apples., memory: none}
schedule: {use: round-robin, rounds: 100000}
"""


@contextmanager
def pyscrai(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, which is ended at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pyscrai_cli.main", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "XDG_STATE_HOME": str(folder / "state")},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def dashboard(folder: Path) -> Iterator[httpx.Client]:
    """A client of a dashboard on the store of a folder."""
    with pyscrai(folder, "dashboard", "--port", "0") as process:
        assert process.stdout is not None
        found = next(match for line in process.stdout if (match := re.search(r"http://[^/\s]+", line)))
        with httpx.Client(base_url=f"{found[0]}/api", timeout=60) as client:
            until(lambda: answers(client))
            yield client


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/runs").status_code == 200
    except httpx.TransportError:
        return False


def until(condition: object) -> None:
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise SystemExit("bench: nothing came within 60 seconds")
        time.sleep(0.02)


def opened(folder: Path, events: int) -> tuple[float, float]:
    """Seconds until the overview is there, and until a run of so many events is open."""
    make(folder / ".pyscrai/runs.db", events)
    with dashboard(folder) as client:
        began = time.perf_counter()
        (run,) = client.get("/runs").json()["runs"]
        overview = time.perf_counter() - began
        assert run["events"] == events
        began = time.perf_counter()
        for path in ("", "/index", "/events?from=1&to=100"):
            client.get(f"/runs/{run['id']}{path}").raise_for_status()
        return overview, time.perf_counter() - began


def stream(client: httpx.Client, run: str, last: int, ended: threading.Event) -> None:
    """A client of a run's stream, until it is ended."""
    with client.stream("GET", f"/runs/{run}/stream", headers={"Last-Event-ID": str(last)}) as answer:
        for _ in answer.iter_lines():
            if ended.is_set():
                return


def cost(folder: Path) -> float:
    """What clients add to the processor time that a run needs for an event, as a share of it."""
    (folder / "long.yaml").write_text(SCENARIO)
    times: dict[bool, list[float]] = {False: [], True: []}
    with ExitStack() as stack:
        process = stack.enter_context(pyscrai(folder, "run", "long.yaml", "-q"))
        path = folder / ".pyscrai/runs.db"
        until(lambda: path.exists() and path.stat().st_size > 0)
        client = stack.enter_context(dashboard(folder))
        until(lambda: client.get("/runs").json()["runs"])
        (run,) = client.get("/runs").json()["runs"]
        store = stack.enter_context(Store.open(path, create=False))

        def look() -> tuple[float, int]:
            used = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            query = 'SELECT COALESCE(MAX("seq"), 0) FROM "events" WHERE "run"=?'
            (last,) = store.connection.execute(query, (run["id"],)).fetchone()
            return int(used[11]) + int(used[12]), last

        for turn in range(TURNS):
            watched, ended = turn % 4 in (1, 2), threading.Event()
            given = (client, run["id"], look()[1], ended)
            threads = [threading.Thread(target=stream, args=given) for _ in range(CLIENTS if watched else 0)]
            for thread in threads:
                thread.start()
            time.sleep(1)
            used, before = look()
            time.sleep(SECONDS)
            later, after = look()
            times[watched].append((later - used) / (after - before))
            ended.set()
            for thread in threads:
                thread.join()
    return statistics.median(times[True]) / statistics.median(times[False]) - 1


def main() -> int:
    events = int(sys.argv[1]) if sys.argv[1:] else EVENTS
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / part for part in ("opened", "many", "watched")]
        for folder in folders:
            folder.mkdir()
        _, run = opened(folders[0], OPENED)
        print(f"a run of {OPENED:,} events is open after {run:.2f} s")
        overview, _ = opened(folders[1], events)
        print(f"the overview with a run of {events:,} events is there after {overview:.2f} s", flush=True)
        more = cost(folders[2])
        print(f"processor time of a run for an event: {more:+.1%} with {CLIENTS} clients")
    return int(max(run, overview) >= MOST_SECONDS or more >= MOST_COST)


if __name__ == "__main__":
    sys.exit(main())
