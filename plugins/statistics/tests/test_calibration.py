"""A short form of the calibration: figures within bounds that chance alone passes once in a million runs.

`nox -s calibration` measures all cases with more experiments; the README has its figures.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from scipy import stats

from pyscrai_statistics.calibration.cases import Case, coverage_cases, level_cases, sequence_cases
from pyscrai_statistics.calibration.measure import measure

EXPERIMENTS = 60
CHANCE = 1e-6


def bounds(share: float) -> tuple[float, float]:
    """Shares of the experiments between which a binomial number lies but for the chance."""
    low, high = (stats.binom.ppf(tail, EXPERIMENTS, share) for tail in (CHANCE, 1 - CHANCE))
    return low / EXPERIMENTS, high / EXPERIMENTS


def chosen(cases: Iterable[Case]) -> list[Case]:
    """Not those of one function that differ little, to be quick."""
    left_out = ("exponential", "lognormal", "normal, 0.5", "same")
    return [
        each
        for each in cases
        if each.data not in left_out
        and ("curved" not in each.data or each.data == "curved, random points, 10 replicates")
    ]


def named(case: Case) -> str:
    return f"{case.name}: {case.data}"


@pytest.mark.parametrize("case", chosen(level_cases()), ids=named)
def test_tests_keep_their_level(case: Case) -> None:
    figure = measure(case, 12, EXPERIMENTS)
    assert figure.rejects is not None
    assert figure.rejects_mid is not None
    assert figure.rejects_randomized is not None
    assert figure.rejects <= figure.rejects_mid <= bounds(0.06)[1]
    low, high = bounds(0.05)
    assert low <= figure.rejects_randomized <= high


@pytest.mark.parametrize("case", chosen(coverage_cases()), ids=named)
def test_intervals_cover(case: Case) -> None:
    n = next(size for size in case.sizes if size >= case.recommended)
    figure = measure(case, n, EXPERIMENTS)
    assert figure.covers is not None
    assert figure.covers >= bounds(0.94)[0]
    assert figure.absent < 0.1


@pytest.mark.parametrize("case", list(sequence_cases())[2:5], ids=named)
def test_sequences_hold_under_peeking(case: Case) -> None:
    figure = measure(case, 300, EXPERIMENTS)
    assert figure.covers is not None
    assert figure.covers >= bounds(0.95)[0]


def test_a_wrong_test_would_be_caught() -> None:
    """Counting each value twice rejects in about 17 % of the experiments, and is seen."""
    case = next(each for each in level_cases() if each.name == "permutation_test" and each.data == "normal")
    double = Case("twice", "normal", case.draw, lambda a, b, seed: case.measure([*a, *a], [*b, *b], seed))
    figure = measure(double, 20, 100)
    assert figure.rejects is not None
    assert figure.rejects > 0.1
