"""Two proportions: their difference, and exact tests."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import special

from .checks import Numbers, binary, direction_of, fraction, same_length
from .intervals import few
from .results import Estimate, Interval, StatisticsError, Test

#: The smallest sizes for which the intervals were measured to cover (see `calibration`).
LEAST = 12


def proportion_difference(
    first: Iterable[Any], second: Iterable[Any], *, paired: bool, level: float = 0.95
) -> Estimate:
    """The difference of two proportions, first minus second.

    Both intervals add a few imaginary observations, so that they cover at small n. Unpaired, it is Agresti &
    Caffo's (2000). Paired, half an observation is added to the pairs in which only the first is 1, and half
    to those in which only the second is: less than Agresti & Min (2005) and Bonett & Price (2012) add, whose
    intervals were measured to be wider than needed.

    Args:
        first, second: values that are 0 or 1 (or false and true); paired: element i of both is a pair.
        paired: whether they are pairs.
        level: the confidence level.

    Raises:
        StatisticsError: other values, no values, pairs of unequal length, a level outside of (0, 1).
    """
    where = "proportion_difference"
    one, other = binary(f"{where}, first", first, 1), binary(f"{where}, second", second, 1)
    fraction(f"{where}, level", level)
    if paired:
        same_length(where, one, other)
        signs = one - other
        center, low, high = sign_interval(signs, level, 0.5)
        interval, n = Interval(low, high, level, "adjusted Wald"), len(signs)
        return Estimate("paired difference of proportions", center, interval, n, few(n, LEAST, "pairs"))
    score = float(special.ndtri((1 + level) / 2))
    sizes = [len(one), len(other)]
    shares = [(values.sum() + 1) / (len(values) + 2) for values in (one, other)]
    error = math.sqrt(sum(share * (1 - share) / (n + 2) for share, n in zip(shares, sizes, strict=True)))
    middle = float(shares[0] - shares[1])
    interval = Interval(
        max(-1.0, middle - score * error), min(1.0, middle + score * error), level, "Agresti-Caffo"
    )
    estimate = float(one.mean() - other.mean())
    return Estimate(
        "difference of proportions", estimate, interval, sum(sizes), few(min(sizes), LEAST, "values")
    )


def sign_interval(signs: Numbers, level: float, extra: float) -> tuple[float, float, float]:
    """The mean of values -1, 0 and 1, and its interval after `extra` values of -1 and of 1 were added."""
    n, score = len(signs), float(special.ndtri((1 + level) / 2))
    up, down = ((float(np.sum(signs == sign)) + extra) / (n + 2 * extra) for sign in (1, -1))
    middle = up - down
    half = score * math.sqrt((up + down - middle**2) / (n + 2 * extra))
    return float(signs.mean()), max(-1.0, middle - half), min(1.0, middle + half)


def mcnemar_test(first: Iterable[Any], second: Iterable[Any], *, direction: str = "two-sided") -> Test:
    """McNemar's exact test of paired proportions (1947), with its mid-p value (Fagerland et al. 2013).

    Of the pairs that differ, the number in which the first is 1 is binomial with probability 1/2.

    Args:
        first, second: values that are 0 or 1; element i of both belongs to pair i.
        direction: `greater` if the claim is that the first proportion is greater.

    Raises:
        StatisticsError: other values, lists of unequal length, no pair that differs.
    """
    where = "mcnemar_test"
    one, other = binary(f"{where}, first", first), binary(f"{where}, second", second)
    same_length(where, one, other)
    return sign_test(where, one - other, direction, "McNemar")


def sign_test(where: str, signs: Numbers, direction: str, name: str) -> Test:
    """The exact test that 1 and -1 are equally likely, given their number."""
    direction_of(where, direction)
    up, down = int((signs > 0).sum()), int((signs < 0).sum())
    if up + down == 0:
        raise StatisticsError(
            where,
            f"none of {len(signs)} pairs differs",
            "pairs that differ",
            "report that the arms are identical",
        )
    p_value, p_mid = (float(each) for each in exact_binomial(up, down, direction))
    method = f"exact binomial test of {up + down} pairs that differ"
    return Test(name, float(up - down) / len(signs), p_value, p_mid, direction, len(signs), method)


def exact_binomial(up: Any, down: Any, direction: str) -> tuple[Any, Any]:
    """P-value and mid-p value of `up` against `down` successes of equal probability; also of arrays."""
    if direction == "two-sided":
        most, factor = np.maximum(up, down), 2.0
    else:
        most, factor = (up if direction == "greater" else down), 1.0
    total = np.asarray(up) + down
    at_least = np.where(
        np.asarray(most) > 0, special.bdtrc(np.maximum(np.asarray(most) - 1, 0), total, 0.5), 1.0
    )
    more = special.bdtrc(most, total, 0.5)
    return np.minimum(1.0, factor * at_least), np.minimum(1.0, factor * (at_least + more) / 2)


def fisher_test(first: Iterable[Any], second: Iterable[Any], *, direction: str = "two-sided") -> Test:
    """The exact permutation test of two unpaired proportions (Fisher 1935), with its mid-p value.

    All assignments are counted by the hypergeometric distribution. Two-sided, those count whose difference of
    proportions is at least as large as the observed one.

    Args:
        first, second: values that are 0 or 1.
        direction: `greater` if the claim is that the first proportion is greater.

    Raises:
        StatisticsError: other values, no values, values that are all equal.
    """
    where = "fisher_test"
    one, other = binary(f"{where}, first", first), binary(f"{where}, second", second)
    direction_of(where, direction)
    size, rest, ones = len(one), len(other), int(one.sum() + other.sum())
    if ones in (0, size + rest):
        raise StatisticsError(
            where,
            f"all {size + rest} values are {one[0]:g}",
            "values that differ",
            "report that the arms are identical",
        )
    differences, weights = _hypergeometric(size, rest, ones)
    observed = float(one.mean() - other.mean())
    p_value, p_mid = weighted_tails(differences, weights, observed, direction)
    method = "exact hypergeometric test of the difference"
    return Test("Fisher", observed, p_value, p_mid, direction, size + rest, method)


def _hypergeometric(size: int, rest: int, ones: int) -> tuple[Numbers, Numbers]:
    """The possible differences of proportions, given the ones of both samples, and their probabilities."""
    possible = np.arange(max(0, ones - rest), min(size, ones) + 1)
    logs = _log_choose(size, possible) + _log_choose(rest, ones - possible)
    weights = np.exp(logs - logs.max())
    return possible / size - (ones - possible) / rest, weights / weights.sum()


def exact_hypergeometric(size: int, rest: int, ones: int, direction: str) -> Numbers:
    """The p-values of all outcomes that are possible given the ones of both samples."""
    differences, weights = _hypergeometric(size, rest, ones)
    sign = {"two-sided": 0, "greater": 1, "less": -1}[direction]
    extreme = np.abs(differences) if sign == 0 else sign * differences
    order = np.argsort(-extreme, kind="stable")
    ranked, reached = extreme[order], np.cumsum(weights[order])
    # Outcomes that are equally extreme belong together: the last of them has the sum.
    last = np.searchsorted(-ranked, -ranked + 1e-9, side="right") - 1
    found = np.empty_like(weights)
    found[order] = np.minimum(1.0, reached[last])
    return found


def _log_choose(total: Any, chosen: Any) -> Any:
    return special.gammaln(total + 1) - special.gammaln(chosen + 1) - special.gammaln(total - chosen + 1)


def weighted_tails(null: Numbers, weights: Numbers, observed: float, direction: str) -> tuple[float, float]:
    """As `tails`, for outcomes with probabilities."""
    if direction == "less":
        null, observed = -null, -observed
    elif direction == "two-sided":
        null, observed = np.abs(null), abs(observed)
    above = float(weights[null > observed + 1e-9].sum())
    equal = float(weights[np.abs(null - observed) <= 1e-9].sum())
    return min(1.0, above + equal), min(1.0, above + equal / 2)
