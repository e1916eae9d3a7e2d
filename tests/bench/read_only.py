"""What it costs that records and payloads are read-only: the share of a turn's processor time, in percent.

Runs with and without take turns in one process. Without, no record looks whether it is made already, and
payloads, arguments, schemas and lists of events stay plain. Each figure is the median of the pairs' ratios.

Run it with `nox -s bench`, or `python tests/bench/read_only.py [--pairs N]`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from overhead import Clock, scenario

import pyscrai_core
from pyscrai_core.runtime.rules import Draft
from pyscrai_records.base import frozen

AGENTS, ROUNDS = 10, 40
#: What makes something read-only, and what would stand there otherwise.
PLAIN = (
    (frozen.freeze, lambda value: value),
    (frozen.freeze_schema, lambda value: value),
    (frozen.freeze_list, list),
)


class ProcessorClock(Clock):
    """The processor's time between a run's start and its end."""

    def on_run(self, run: str, status: str, result: object) -> None:
        if status == "running":
            self.began = time.process_time()
        else:
            self.took = time.process_time() - self.began


def sealed(kind: type) -> Iterator[Any]:
    """The classes of read-only records."""
    for one in kind.__subclasses__():
        yield one
        yield from sealed(one)


def places() -> list[tuple[dict[str, Any], str, Any, Any]]:
    """Where something is made read-only: a module's or constructor's names, the name, and both values."""
    spaces = [vars(module) for name, module in list(sys.modules.items()) if name.startswith("pyscrai_")]
    spaces += [kind.__init__.__globals__ for kind in (*sealed(frozen.Sealed), Draft)]
    return [
        (space, name, value, plain)
        for space in spaces
        for name, value in space.items()
        for made, plain in PLAIN
        if value is made and space is not vars(frozen)
    ]


def turn_time(folder: Path, schedule: str) -> float:
    """The processor's seconds per turn of one run."""
    path, clock = folder / "scenario.json", ProcessorClock()
    path.write_text(json.dumps(scenario(AGENTS, ROUNDS, schedule, "window")))
    result = pyscrai_core.run(path, store=folder / f"{time.time_ns()}.db", observers=[clock])
    assert result.status == "completed", result.error
    return clock.took / (AGENTS * ROUNDS)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=60, help="runs with and without, of each schedule")
    pairs = parser.parse_args().pairs
    kinds = [kind for kind in set(sealed(frozen.Sealed)) if "__attrs_pre_init__" in vars(kind)]
    guards = {kind: vars(kind)["__attrs_pre_init__"] for kind in kinds}
    print("schedule       with µs   without µs   share %")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for schedule in ("simultaneous", "round-robin"):
            turn_time(folder, schedule)  # and loads what is to be replaced
            replaced = places()
            times: dict[bool, list[float]] = {True: [], False: []}
            for number in range(2 * pairs):
                protected = number % 4 in (0, 3)
                for kind in kinds:
                    kind.__attrs_pre_init__ = guards[kind] if protected else lambda self: None
                for space, key, value, plain in replaced:
                    space[key] = value if protected else plain
                times[protected].append(turn_time(folder, schedule))
            ratios = [a / b for a, b in zip(times[True], times[False], strict=True)]
            print(
                f"{schedule:12} {statistics.median(times[True]) * 1e6:9.1f} "
                f"{statistics.median(times[False]) * 1e6:12.1f} {(statistics.median(ratios) - 1) * 100:9.1f}"
            )


if __name__ == "__main__":
    main()
