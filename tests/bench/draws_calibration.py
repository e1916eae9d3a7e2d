"""Error rates of comparisons whose choices the kernel draws, in experiments with known probabilities.

    python tests/bench/draws_calibration.py [--experiments 2000] [--pairs 80]

Agents name a price: coins and a part of a coin, two closed choices. The scripted provider tells the
probabilities, so that each arm's mean is known. Each round of a run is another experiment: the draws of
rounds are independent. The arms `calm` and `keen` have equal means and different spreads, the arm `dear` has
a larger mean. Without a difference a test must reject in 5 % of the experiments; a 95 % interval must hold
the true difference in 95 %. Under the same seeds about three quarters of the pairs are equal here, and say
nothing of how much the others differ: the pairs that differ have to be many. Ends with status 1 if a figure
is outside of 4 to 6 %, or 94 to 96 %.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyscrai_core
from pyscrai_statistics import (
    StatisticsError,
    paired_difference,
    permutation_test,
    sign_flip_test,
    unpaired_difference,
    variance_ratio,
)

COINS = range(1, 21)
PARTS = [part / 20 for part in range(20)]
#: The mean and the spread of the coins in each arm.
ARMS = {"calm": (10.5, 2.5), "keen": (10.5, 4.0), "dear": (12.0, 3.0)}
RESAMPLES = 2000


def odds(arm: str) -> dict[str, float]:
    mean, spread = ARMS[arm]
    shares = {str(coin): math.exp(-(((coin - mean) / spread) ** 2) / 2) for coin in COINS}
    total = math.fsum(shares.values()) / 0.95  # the rest is no option
    return {key: share / total for key, share in shares.items()} | {str(part): 0.049 for part in PARTS}


def true_mean(arm: str) -> float:
    shares = odds(arm)
    coins = math.fsum(coin * shares[str(coin)] for coin in COINS) / math.fsum(shares[str(c)] for c in COINS)
    return coins + math.fsum(PARTS) / len(PARTS)


def prices(folder: Path, arm: str, seed: int, experiments: int) -> list[float]:
    """The prices of one run: one for each experiment."""
    action = {"coins": {"enum": list(COINS)}, "part": {"enum": PARTS}}
    agent = {"persona": "p", "speak": False, "must_act": True, "memory": "none", "actions": {"ask": action}}
    path = folder / f"{arm}.json"
    scenario = {
        "scenario": arm,
        "providers": {"default": {"use": "scripted", "odds": odds(arm), "usage": False}},
        "agents": {"Mara": agent},
        "schedule": {"use": "round-robin", "rounds": experiments},
        "outcomes": {"prices": "[e.payload.coins + e.payload.part for e in events]"},
    }
    path.write_text(json.dumps(scenario))
    result = pyscrai_core.run(path, store=folder / f"{arm}-{seed}.db", seed=seed, trust=True)
    assert result.status == "completed", result.error
    found: list[float] = result.outcomes["prices"]
    assert len(found) == experiments
    return found


def measure(experiments: int, pairs: int) -> list[tuple[str, float, float, float]]:
    """Figures in percent: their name, the value, and between what it must be."""
    values: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as made:
        runs = [("calm", 1), ("keen", 1), ("dear", 1), ("calm", 1_000_001), ("dear", 1_000_001)]
        for arm, first in runs:
            name = arm if first == 1 else f"{arm}, other seeds"
            values[name] = [prices(Path(made), arm, first + n, experiments) for n in range(pairs)]
            print(f"  {name}: {pairs} runs of {experiments} prices", file=sys.stderr, flush=True)
    per = {name: list(zip(*rows, strict=True)) for name, rows in values.items()}
    shift = true_mean("calm") - true_mean("dear")
    found = [
        ("A/A, other seeds: permutation test rejects", _rejects(permutation_test, per, "calm, other seeds")),
        ("A/A, the same seeds: sign-flip test rejects", _rejects(sign_flip_test, per, "keen")),
        ("A/A, other seeds: interval covers", _covers(unpaired_difference, per, "calm, other seeds", 0)),
        ("A/A, the same seeds: interval covers", _covers(paired_difference, per, "keen", 0)),
        ("A/B, the same seeds: interval covers", _covers(paired_difference, per, "dear", shift)),
        ("A/B, other seeds: interval covers", _covers(unpaired_difference, per, "dear, other seeds", shift)),
    ]
    ratio = variance_ratio(
        [one for rows in values["calm"] for one in rows], [one for rows in values["dear"] for one in rows]
    )
    print(f"A/B: variance ratio of paired to unpaired {ratio.estimate:.3f}")
    return [(name, 100 * share, *((4, 6) if "rejects" in name else (94, 96))) for name, share in found]


def _rejects(test: Any, per: dict[str, Any], other: str) -> float:
    hits = 0
    for number, (one, two) in enumerate(zip(per["calm"], per[other], strict=True)):
        try:
            hits += test(one, two, seed=number, resamples=RESAMPLES).p_value <= 0.05
        except StatisticsError:  # no pair differs, so that nothing is rejected
            continue
    return hits / len(per["calm"])


def _covers(estimate: Any, per: dict[str, Any], other: str, truth: float) -> float:
    held = []
    for number, (one, two) in enumerate(zip(per["calm"], per[other], strict=True)):
        try:
            interval = estimate(one, two, seed=number, resamples=RESAMPLES).interval
        except StatisticsError:
            continue
        if interval is not None:  # where all differences are equal, there is none
            held.append(interval.low <= truth <= interval.high)
    return sum(held) / len(held)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--experiments", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=80)
    given = parser.parse_args()
    outside = 0
    for name, value, low, high in measure(given.experiments, given.pairs):
        outside += not low <= value <= high
        print(f"{name}: {value:.1f} % (expected {low} to {high})", flush=True)
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
