"""Standardized effect sizes of two samples."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import special

from .checks import fraction, is_constant, number_list, paired_numbers, subtract
from .intervals import few
from .results import Estimate, Interval, StatisticsError

#: The smallest sizes for which the intervals were measured to cover (see `calibration`).
LEAST = 12


def cohens_dz(first: Iterable[Any], second: Iterable[Any], *, level: float = 0.95) -> Estimate:
    """The mean difference of pairs in units of its standard deviation (Cohen 1988).

    The interval inverts the noncentral t distribution (Steiger & Fouladi 1997), so it is exact for normal
    differences.

    Args:
        first, second: numbers; element i of both belongs to pair i. At least 3 pairs.
        level: the confidence level.

    Raises:
        StatisticsError: as `paired_difference`; differences that are all equal.
    """
    where = "cohens_dz"
    one, other = paired_numbers(where, first, second, 3)
    fraction(f"{where}, level", level)
    values = subtract(one, other)
    n = len(values)
    if is_constant(values):
        raise StatisticsError(
            where, "all differences are equal", "differences that vary", "leave the effect size out"
        )
    size = float(values.mean() / values.std(ddof=1))
    low, high = (bound / math.sqrt(n) for bound in _noncentrality(size * math.sqrt(n), n - 1, level))
    return Estimate("d_z", size, Interval(low, high, level, "noncentral t"), n, few(n, LEAST, "pairs"))


def cohens_dav(first: Iterable[Any], second: Iterable[Any], *, level: float = 0.95) -> Estimate:
    """The mean difference of pairs in units of the arms' own standard deviation (Cumming 2012).

    The unit is the root of the mean of both variances, so that the size can be compared with those of
    unpaired experiments; d_z, whose unit is the standard deviation of the differences, grows with what
    pairing buys. The interval is that of Algina & Keselman (2003), by the noncentral t distribution.

    Args:
        first, second: numbers; element i of both belongs to pair i. At least 3 pairs.
        level: the confidence level.

    Raises:
        StatisticsError: as `paired_difference`; arms in which all values are equal. If only the differences
            are equal, there is no interval.
    """
    where = "cohens_dav"
    one, other = paired_numbers(where, first, second, 3)
    fraction(f"{where}, level", level)
    n, values = len(one), subtract(one, other)
    if is_constant(one) and is_constant(other):
        raise StatisticsError(
            where, "the values of each arm are equal", "values that vary", "leave the effect size out"
        )
    unit = math.sqrt(float(one.var(ddof=1) + other.var(ddof=1)) / 2)
    size = float(values.mean()) / unit
    if is_constant(values):
        return Estimate("d_av", size, None, n, ("all differences are equal, so there is no interval",))
    scale = float(values.std(ddof=1)) / math.sqrt(n) / unit
    low, high = (scale * bound for bound in _noncentrality(size / scale, n - 1, level))
    return Estimate("d_av", size, Interval(low, high, level, "noncentral t"), n, few(n, LEAST, "pairs"))


def hedges_g(first: Iterable[Any], second: Iterable[Any], *, level: float = 0.95) -> Estimate:
    """The difference of means in units of the pooled standard deviation without bias (Hedges 1981).

    The interval inverts the noncentral t distribution, so it is exact for normal values of equal variance.

    Args:
        first, second: numbers, at least 2 of each.
        level: the confidence level.

    Raises:
        StatisticsError: as `unpaired_difference`; samples in which all values are equal.
    """
    where = "hedges_g"
    one, other = number_list(f"{where}, first", first, 2), number_list(f"{where}, second", second, 2)
    fraction(f"{where}, level", level)
    freedom = len(one) + len(other) - 2
    pooled = math.sqrt(float(((one - one.mean()) ** 2).sum() + ((other - other.mean()) ** 2).sum()) / freedom)
    if pooled <= 1e-12 * float(np.abs(np.concatenate((one, other))).max()):
        raise StatisticsError(
            where, "the values of each sample are equal", "values that vary", "leave the effect size out"
        )
    scale = math.sqrt(1 / len(one) + 1 / len(other))
    size = float(one.mean() - other.mean()) / pooled
    correction = math.exp(
        special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2) - math.log(freedom / 2) / 2
    )
    low, high = (correction * scale * bound for bound in _noncentrality(size / scale, freedom, level))
    interval = Interval(low, high, level, "noncentral t")
    n = len(one) + len(other)
    return Estimate(
        "Hedges' g", correction * size, interval, n, few(min(len(one), len(other)), LEAST, "values")
    )


def _noncentrality(statistic: float, freedom: int, level: float) -> tuple[float, float]:
    """The noncentralities for which the statistic is at the upper and lower end of what is expected."""
    # The function fails for large negative statistics, and the distribution is symmetric.
    if statistic < 0:
        low, high = _noncentrality(-statistic, freedom, level)
        return -high, -low
    low, high = (float(special.nctdtrinc(freedom, (1 + sign * level) / 2, statistic)) for sign in (1, -1))
    return low, high
