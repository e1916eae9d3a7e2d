"""What it costs to come back to a long run: replay, resume and fork of ten thousand turns, in seconds.

The scripted provider answers at once, so that running live costs what PyScrAI itself does. The last column is
the ratio to that: a replay asks nobody and writes nothing, a resume writes only what is new, a fork executes
what it keeps twice, to compare it and to continue. Each figure is the best of several, because these machines
are noisy.

Run it with `nox -s bench`, or `python tests/bench/replay.py [--turns N] [--repeat N]`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pyscrai_core import RunResult, api

AGENTS = 10
#: How many turns before its end a run is stopped, or forked.
LEFT = 20
REPLY = "I would rather wait and see what the others have to say about that."


def write(path: Path, turns: int, schedule: str) -> None:
    agents = {f"Agent-{n:02}": {"persona": "Somebody who talks.", "memory": "window"} for n in range(AGENTS)}
    rounds = turns // AGENTS
    scenario = {
        "scenario": "replay",
        "providers": {"default": {"use": "scripted", "replies": [REPLY], "usage": False}},
        "agents": agents,
        "schedule": {"use": schedule, "rounds": rounds},
    }
    path.write_text(json.dumps(scenario))


def took(work: Callable[[], RunResult], status: str, turns: int) -> float:
    """Seconds that a piece of work needs; its result is checked."""
    began = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - began
    assert result.status == status, result.error
    assert len(result.events) == turns
    return seconds


def measured(turns: int, schedule: str, folder: Path) -> dict[str, float]:
    """Seconds of each way, once."""
    path, store = folder / "scenario.json", folder / f"{time.time_ns()}.db"
    write(path, turns, schedule)
    kept = turns - LEFT
    limits = {"limits.calls": kept}
    return {
        "live": took(lambda: api.run(path, store=store), "completed", turns),
        "replay": took(lambda: api.replay(store=store), "completed", turns),
        "fork near the end": took(lambda: api.fork(at=kept, store=store, reuse="none"), "completed", turns),
        "live, stopped near the end": took(lambda: api.run(path, store=store, set=limits), "stopped", kept),
        "resume": took(lambda: api.resume(store=store, set={"limits.calls": turns}), "completed", turns),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3, help="of each figure; the best counts")
    given = parser.parse_args()
    print(f"schedule      {given.turns:,} turns                  seconds   ms/turn   of live")
    with tempfile.TemporaryDirectory() as name:
        measured(100, "simultaneous", Path(name))  # imports what the first run would otherwise pay for
        for schedule in ("simultaneous", "round-robin"):
            found = [measured(given.turns, schedule, Path(name)) for _ in range(given.repeat)]
            best = {way: min(one[way] for one in found) for way in found[0]}
            for way, seconds in best.items():
                each = seconds / given.turns * 1000
                print(f"{schedule:13} {way:28} {seconds:9.2f} {each:9.3f} {seconds / best['live']:9.2f}")


if __name__ == "__main__":
    main()
