"""What PyScrAI adds to a turn: milliseconds per turn, beside a bare asyncio loop in the same process.

The scripted provider answers at once; every event and every call is durably stored; everyone hears
everyone. Each figure is the best of several runs, because these machines are noisy; the last column is the
ratio to a bare loop that keeps the same histories in memory and stores nothing.

Run it with `nox -s bench`, or `python tests/bench/overhead.py [--repeat N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import tempfile
import threading
import time
from pathlib import Path
from queue import SimpleQueue

import pyscrai_core
from pyscrai_core import Message, Observer

SIZES = ((2, 10), (10, 10), (50, 20))
MEMORIES = ("full", "window")
REPLY = "I would rather wait and see what the others have to say about that."


def scenario(agents: int, rounds: int, schedule: str, memory: str) -> dict[str, object]:
    return {
        "scenario": "overhead",
        "providers": {"default": {"use": "scripted", "replies": [REPLY], "usage": False}},
        "world": {"premise": "A room in which people talk."},
        "agents": {
            f"Agent-{n:02}": {"persona": "Somebody who talks.", "memory": memory} for n in range(agents)
        },
        "schedule": {"use": schedule, "rounds": rounds},
    }


class Clock(Observer):
    """The time between a run's start and its end, without loading and importing."""

    def __init__(self) -> None:
        self.began = self.took = 0.0

    def on_run(self, run: str, status: str, result: object) -> None:
        if status == "running":
            self.began = time.perf_counter()
        else:
            self.took = time.perf_counter() - self.began


def measured(
    agents: int, rounds: int, schedule: str, memory: str, folder: Path, synchronous: str = "normal"
) -> float:
    """Seconds per turn of one run."""
    path = folder / "scenario.json"
    path.write_text(json.dumps(scenario(agents, rounds, schedule, memory)))
    clock = Clock()
    store = f"sqlite:///{folder / str(time.time_ns())}.db?synchronous={synchronous}"
    result = pyscrai_core.run(path, store=store, observers=[clock])
    assert result.status == "completed", result.error
    assert len(result.events) == agents * rounds
    return clock.took / (agents * rounds)


async def bare(agents: int, rounds: int, together: bool) -> float:
    """Seconds per turn of a loop that only keeps histories and awaits an answer."""
    histories: list[list[str]] = [[] for _ in range(agents)]

    async def turn(number: int) -> str:
        prompt = "\n".join(histories[number])
        await asyncio.sleep(0)
        return f"Agent-{number:02}: {REPLY}" if prompt is not None else ""

    began = time.perf_counter()
    for _ in range(rounds):
        groups = [range(agents)] if together else [[number] for number in range(agents)]
        for group in groups:
            said = await asyncio.gather(*(turn(number) for number in group))
            for history in histories:
                history.extend(said)
    return (time.perf_counter() - began) / (agents * rounds)


def commit_in_loop(folder: Path, count: int) -> float:
    """Seconds per commit that the loop makes in its own thread."""
    database = _database(folder / "inline.db")
    began = time.perf_counter()
    for number in range(count):
        _commit(database, number)
    return (time.perf_counter() - began) / count


def commit_in_thread(folder: Path, count: int) -> float:
    """Seconds per commit that a writer thread makes while the loop waits to be woken."""
    jobs: SimpleQueue[tuple[int, asyncio.Future[None]] | None] = SimpleQueue()

    async def main() -> float:
        loop = asyncio.get_running_loop()

        def work() -> None:
            database = _database(folder / "thread.db")
            while (job := jobs.get()) is not None:
                _commit(database, job[0])
                loop.call_soon_threadsafe(job[1].set_result, None)

        thread = threading.Thread(target=work)
        thread.start()
        began = time.perf_counter()
        for number in range(count):
            done: asyncio.Future[None] = loop.create_future()
            jobs.put((number, done))
            await done
        took = time.perf_counter() - began
        jobs.put(None)
        thread.join()
        return took / count

    return asyncio.run(main())


def _database(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=wal")
    database.execute("PRAGMA synchronous=normal")
    database.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, body TEXT)")
    return database


def _commit(database: sqlite3.Connection, number: int) -> None:
    database.execute("BEGIN IMMEDIATE")
    database.executemany("INSERT INTO rows VALUES (?, ?)", [(number, "x" * 500)])
    database.execute("COMMIT")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=5, help="runs of each figure; the best counts")
    repeat = parser.parse_args().repeat
    Message.user("warm").digest  # noqa: B018  imports what the first run would otherwise pay for
    figures: dict[tuple[str, str, int, int], float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured(2, 2, "simultaneous", "full", folder)
        print("schedule       memory    agents×rounds   ms/turn   bare ms   ratio")
        for schedule in ("simultaneous", "round-robin"):
            for memory in MEMORIES:
                for agents, rounds in SIZES:
                    took = min(measured(agents, rounds, schedule, memory, folder) for _ in range(repeat))
                    base = min(
                        asyncio.run(bare(agents, rounds, schedule == "simultaneous")) for _ in range(repeat)
                    )
                    figures[schedule, memory, agents, rounds] = took
                    print(
                        f"{schedule:14} {memory:8} {f'{agents}×{rounds}':>14} {took * 1000:9.3f} "
                        f"{base * 1000:9.4f} {took / base:7.0f}"
                    )
        print()
        for schedule in ("simultaneous", "round-robin"):
            ratio = figures[schedule, "window", 50, 20] / figures[schedule, "window", 10, 10]
            print(f"{schedule:14} window: a turn at 50×20 costs {ratio:.2f} of one at 10×10")
        print("\nschedule       window, 10×10    normal ms   full ms   ratio   (of the store's synchronous)")
        for schedule in ("simultaneous", "round-robin"):
            normal, full = (
                min(measured(10, 10, schedule, "window", folder, kind) for _ in range(repeat))
                for kind in ("normal", "full")
            )
            print(f"{schedule:28} {normal * 1000:11.3f} {full * 1000:9.3f} {full / normal:7.1f}")
        inline = commit_in_loop(folder, 500) * 1e6
        thread = commit_in_thread(folder, 500) * 1e6
        print(f"\na commit in the loop's thread {inline:.0f} µs, through a writer thread {thread:.0f} µs")


if __name__ == "__main__":
    main()
