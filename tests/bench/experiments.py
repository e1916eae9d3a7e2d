"""What an experiment adds to its trials: beside the ideal time, in several processes, and for tiny trials.

    python tests/bench/experiments.py [--trials 400]

All figures are ratios within one run, but for the time that a tiny trial takes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCENARIO = """
scenario: talk
seed: 1
providers: {default: {use: scripted, latency: LATENCY, choice: [One., Two., Three words here.]}}
agents: {A: {persona: First.}, B: {persona: Second.}}
schedule: {use: round-robin, rounds: ROUNDS}
outcomes: {n: len(events)}
"""
TURNS, LATENCY = 10, 0.02


def run(
    folder: Path, replicates: int, concurrency: int, executor: str, latency: float, rounds: int
) -> tuple[float, float]:
    """The seconds of the clock and of the processors that an experiment takes."""
    name = f"x{len(list(folder.iterdir()))}"
    text = SCENARIO.replace("LATENCY", str(latency)).replace("ROUNDS", str(rounds))
    (folder / f"{name}.scenario.yaml").write_text(text)
    (folder / f"{name}.yaml").write_text(
        f"experiment: {name}\nscenario: {name}.scenario.yaml\nreplicates: {replicates}\n"
        f"concurrency: {concurrency}\nexecutor: {executor}\n"
    )
    began, used = time.monotonic(), sum(os.times()[2:4])
    command = [sys.executable, "-m", "pyscrai_cli.main", "experiment", "run", f"{name}.yaml", "-q"]
    subprocess.run([*command, "--store", f"{name}.db"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began, sum(os.times()[2:4]) - used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400, help="of each experiment (default: 400)")
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        start, start_cpu = run(folder, 1, 1, "local", 0, 1)
        print(f"an experiment of one turn: {start:.2f} s, most of it imports\n")
        _, cpu = run(folder, trials, 1, "local", 0, 1)
        print(f"a trial of two turns: {1000 * (cpu - start_cpu) / trials:.1f} ms of a processor")
        print(f"\n{trials} trials of {TURNS} turns with {LATENCY * 1000:.0f} ms each, over the ideal time:")
        for concurrency in (4, 8):
            ideal = trials * TURNS * LATENCY / concurrency
            for executor in ("local", "{use: processes, processes: 2}"):
                wall, _ = run(folder, trials, concurrency, executor, LATENCY, TURNS // 2)
                print(f"  {concurrency} at the same time, {executor}: {(wall - start) / ideal:.2f}")
        rounds = 30
        one, _ = run(folder, trials // 4, 16, "{use: processes, processes: 1}", 0, rounds)
        two, _ = run(folder, trials // 4, 16, "{use: processes, processes: 2}", 0, rounds)
        print(f"\n{trials // 4} trials of {2 * rounds} turns without latency:")
        print(f"  two processes are {one / two:.2f} times as fast as one")


if __name__ == "__main__":
    main()
