"""What an experiment adds to its trials: beside the ideal time, in several processes, and for tiny trials.

    python tests/bench/experiments.py [--trials 400]

All figures are ratios within one run, but for the time that a tiny trial takes. Modules are compiled before,
as pip leaves them: compiling them would be most of a start.
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
DASK = "{use: dask, workers: 2}"


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
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder.with_name(f"{folder.name}-compiled"))
    began, used = time.monotonic(), sum(os.times()[2:4])
    command = [sys.executable, "-m", "pyscrai_cli.main", "experiment", "run", f"{name}.yaml", "-q"]
    command += ["--store", f"{name}.db", "--trust"]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began, sum(os.times()[2:4]) - used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400, help="of each experiment (default: 400)")
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "runs"
        folder.mkdir()
        for executor in ("local", "{use: processes, processes: 2}", DASK):
            run(folder, 2, 2, executor, 0, 1)
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
        one, one_cpu = run(folder, trials, 16, "{use: processes, processes: 1}", 0, rounds)
        two, two_cpu = run(folder, trials, 16, "{use: processes, processes: 2}", 0, rounds)
        dask, dask_cpu = run(folder, trials, 16, DASK, 0, rounds)
        print(f"\n{trials} trials of {2 * rounds} turns without latency:")
        print(f"  two processes are {one / two:.2f} times as fast as one")
        print(f"  Dask takes {dask / two:.2f} of the time of two processes")
        print(f"  seconds of processors: {one_cpu:.1f} one process, {two_cpu:.1f} two, {dask_cpu:.1f} Dask")


if __name__ == "__main__":
    main()
