"""Runs the experiments of a case, and counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import power_paired, power_proportions
from ..permutation import sign_flip_test
from ..proportions import fisher_test, mcnemar_test
from ..results import StatisticsError, Test
from .cases import DRAWS, Case
from .data import DATA, Random


@dataclass(frozen=True)
class Figure:
    """What was counted, as shares of the experiments.

    Of tests: how many reject at 5 % by the p-value, by mid-p and by the randomized p-value. Of intervals: how
    many hold the truth, of those that exist. `absent`: without variation there is no test and no interval.
    """

    name: str
    data: str
    n: int
    experiments: int
    rejects: float | None = None
    rejects_mid: float | None = None
    rejects_randomized: float | None = None
    covers: float | None = None
    absent: float = 0.0


def measure(case: Case, n: int, experiments: int, seed: int = 1) -> Figure:
    """The figure of a case at a size."""
    random = np.random.default_rng([seed, n, *case.name.encode(), *case.data.encode()])
    p_values: list[tuple[float, float]] = []
    held: list[bool | None] = []
    absent = 0
    for number in range(experiments):
        one, other, truth = case.draw(random, n)
        try:
            found = case.measure(one, other, number)
        except StatisticsError:  # values without any variation
            absent += 1
            continue
        if isinstance(found, Test):
            p_values.append((found.p_value, found.p_mid))
        else:
            held.append(case.holds(found, truth))
    if not p_values:
        kept = [each for each in held if each is not None]
        absent += len(held) - len(kept)
        covers = sum(kept) / len(kept)
        return Figure(case.name, case.data, n, experiments, covers=covers, absent=absent / experiments)
    exact, middle = np.array(p_values).T
    randomized = exact - 2 * random.random(len(exact)) * (exact - middle)
    # Where there is nothing to test, the exact test never rejects, and the randomized one at its level.
    by_chance = 0.05 * absent
    rates = [float((each <= 0.05).sum()) / experiments for each in (exact, middle)]
    more = (float((randomized <= 0.05).sum()) + by_chance) / experiments
    return Figure(
        case.name, case.data, n, experiments, rejects=rates[0], rejects_mid=rates[1], rejects_randomized=more,
        absent=absent / experiments,
    )  # fmt: skip


@dataclass(frozen=True)
class PowerFigure:
    """The power that was predicted, and the share of experiments that rejected."""

    name: str
    data: str
    n: int
    experiments: int
    predicted: float
    analytic: float
    measured: float


def measure_power(experiments: int, seed: int = 1) -> list[PowerFigure]:
    """Predictions from a very large pilot and from known proportions, and what experiments then show."""
    figures = []
    random = np.random.default_rng([seed, 7])
    for name, effect in (("normal", 0.9), ("exponential", 0.9), ("lognormal", 1.2), ("5 points", 0.9)):
        shares = np.array([0.1, 0.2, 0.3, 0.25, 0.15])

        def differences(random: Random, n: int, name: str = name, shares: Any = shares) -> Any:
            if name == "5 points":
                return random.choice(5, n, p=shares) - random.choice(5, n, p=shares).astype(float)
            one, other, _ = DATA[name](random, n)
            return one - other

        for n in (12, 20, 40):
            found = power_paired(differences(random, 20_000), difference=effect, n=n, seed=seed)
            hits = [
                sign_flip_test(differences(random, n) + effect, seed=number, resamples=DRAWS).p_value <= 0.05
                for number in range(experiments)
            ]
            figures.append(_power_figure("power_paired", name, n, found, hits))
    for name, test, both in (("unpaired", fisher_test, None), ("paired", mcnemar_test, 0.35)):
        for n in (20, 40):
            found = power_proportions(0.7, 0.4, n=n, both=both)
            hits = [_rejects(test, *_shares(random, n, both is not None)) for _ in range(experiments)]
            figures.append(_power_figure("power_proportions", name, n, found, hits))
    return figures


def _power_figure(name: str, data: str, n: int, found: Any, hits: list[bool]) -> PowerFigure:
    analytic = float(found.details["analytic"])
    return PowerFigure(name, data, n, len(hits), found.estimate, analytic, sum(hits) / len(hits))


def _shares(random: Random, n: int, paired: bool) -> tuple[Any, Any]:
    if not paired:
        return random.random(n) < 0.7, random.random(n) < 0.4
    cells = random.choice(4, n, p=[0.35, 0.35, 0.05, 0.25])  # both, only the first, only the second, neither
    return cells < 2, cells % 2 == 0


def _rejects(test: Callable[..., Test], one: Any, other: Any) -> bool:
    try:
        return test(one, other).p_value <= 0.05
    except StatisticsError:
        return False
