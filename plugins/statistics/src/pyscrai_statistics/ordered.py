"""Ordered categories: Cliff's delta and tests of dominance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy import special

from .checks import Numbers, category_list, fraction, known_categories, number_list, same_length
from .intervals import few
from .permutation import permutation_test
from .proportions import sign_interval, sign_test
from .resampling import RESAMPLES
from .results import Estimate, Interval, StatisticsError, Test

#: The smallest sizes for which the intervals were measured to cover (see `calibration`).
LEAST = 12


def ranks_of(where: str, values: Iterable[Any], order: Sequence[Any] | None, least: int = 2) -> Numbers:
    """Values as numbers: their places in `order` from the lowest, or themselves if they are numbers."""
    if order is None:
        found = category_list(where, values, least)
        if any(isinstance(value, str) for value in found):
            raise StatisticsError(
                where, "the values are names, of which the order is unknown", "numbers, or an order",
                "give order=[…], from the lowest to the highest",
            )  # fmt: skip
        return number_list(where, found, least)
    names = known_categories(f"{where}, order", [], order)
    found = category_list(where, values, least)
    known_categories(where, found, names)
    return np.array([names.index(value) for value in found], dtype=np.float64)


def cliffs_delta(
    first: Iterable[Any],
    second: Iterable[Any],
    *,
    paired: bool = False,
    order: Sequence[Any] | None = None,
    level: float = 0.95,
) -> Estimate:
    """Cliff's delta (1993): how much more often the first value is greater than the second, than smaller.

    It lies between -1 and 1. Unpaired, all pairs of one value of each sample count, and the interval is that
    of Feng & Cliff (2004). Paired, the values of each pair are compared, and the interval
    is that of Bonett & Price (2012).

    Args:
        first, second: numbers, or categories of `order`; paired: element i of both is a pair.
        paired: whether they are pairs.
        order: the categories from the lowest to the highest.
        level: the confidence level.

    Raises:
        StatisticsError: missing values, categories that `order` does not name, fewer than 2 values, pairs of
            unequal length, a level outside of (0, 1).
    """
    where = "cliffs_delta"
    one, other = ranks_of(f"{where}, first", first, order), ranks_of(f"{where}, second", second, order)
    fraction(f"{where}, level", level)
    if paired:
        same_length(where, one, other)
        center, low, high = sign_interval(np.sign(one - other), level, 1.0)
        interval, n = Interval(low, high, level, "Bonett-Price"), len(one)
        return Estimate("paired Cliff's delta", center, interval, n, few(n, LEAST, "pairs"))
    # Counts instead of a matrix of all pairs, which would be large.
    rows, columns = dominance(one, other), -dominance(other, one)
    size, rest = len(one), len(other)
    delta = float(rows.mean())
    unequal = size * rest - _equal_pairs(one, other)
    total = unequal - size * rest * delta**2
    spread = (
        rest**2 * float(((rows - delta) ** 2).sum()) + size**2 * float(((columns - delta) ** 2).sum()) - total
    ) / (size * rest * (size - 1) * (rest - 1))
    variance = max(spread, (1 - delta**2) / (size * rest - 1))
    score = float(special.ndtri((1 + level) / 2))
    n, warnings = size + rest, few(min(size, rest), LEAST, "values")
    if variance == 0:
        warnings = ("every value of one sample is greater than all of the other: no interval", *warnings)
        return Estimate("Cliff's delta", delta, None, n, warnings)
    root = score * math.sqrt(variance * ((1 - delta**2) ** 2 + score**2 * variance))
    scale = 1 - delta**2 + score**2 * variance
    low, high = ((delta - delta**3 + sign * root) / scale for sign in (-1, 1))
    return Estimate("Cliff's delta", delta, Interval(low, high, level, "Feng-Cliff"), n, warnings)


def dominance(values: Numbers, others: Numbers) -> Numbers:
    """For each value, the share of others that are smaller minus the share of those that are greater."""
    ordered = np.sort(others)
    below, upto = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    found: Numbers = (below - (len(ordered) - upto)) / len(ordered)
    return found


def _equal_pairs(one: Numbers, other: Numbers) -> int:
    ordered = np.sort(other)
    return int((np.searchsorted(ordered, one, "right") - np.searchsorted(ordered, one, "left")).sum())


def ordered_test(
    first: Iterable[Any],
    second: Iterable[Any],
    *,
    paired: bool = False,
    order: Sequence[Any] | None = None,
    direction: str = "two-sided",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Test:
    """A test that neither sample dominates the other, in the sense of Cliff's delta.

    Unpaired: the studentized permutation test of mean ranks (Neubert & Brunner 2007). Paired: the exact sign
    test.

    Args:
        first, second, paired, order: as in `cliffs_delta`.
        direction: `greater` if the claim is that the first dominates.
        seed, resamples: of the permutations.

    Raises:
        StatisticsError: as `cliffs_delta`; values that are all equal.
    """
    where = "ordered_test"
    one, other = ranks_of(f"{where}, first", first, order), ranks_of(f"{where}, second", second, order)
    if paired:
        same_length(where, one, other)
        return sign_test(where, np.sign(one - other), direction, "sign")
    everything = np.concatenate((one, other))
    if np.ptp(everything) == 0:
        raise StatisticsError(
            where, "all values are equal", "values that differ", "report that the arms are identical"
        )
    ranks = dominance(everything, everything)
    found = permutation_test(
        ranks[: len(one)], ranks[len(one) :], direction=direction, seed=seed, resamples=resamples
    )
    return Test(
        "ordered", found.statistic, found.p_value, found.p_mid, direction, found.n, f"ranks: {found.method}"
    )
