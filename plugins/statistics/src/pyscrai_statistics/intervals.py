"""One sample: means, medians and proportions, each with an interval."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import special

from .checks import Numbers, binary, choice, count, fraction, is_constant, number_list
from .resampling import RESAMPLES, bootstrap_moments, generator, middle_quantile, share_below
from .results import Estimate, Interval, StatisticsError

METHODS = ("auto", "bca", "percentile", "bootstrap-t", "t")
#: The smallest n for which the default intervals of means were measured to cover (see `calibration`).
LEAST_MEAN = 20
#: From so many values on, resampling gives what Student's t gives, and the default is the latter.
MANY = 2_000


#: The sample's skewness from which the default interval of a mean was measured to cover less than 94 %.
STRONG = 2.0


def few(n: int, least: int, what: str) -> tuple[str, ...]:
    """The warning for fewer values than those for which the interval was calibrated."""
    if n >= least:
        return ()
    return (
        f"{n} {what} are fewer than the {least} for which this interval was calibrated: it may be too narrow",
    )


def t_quantile(level: float, freedom: float) -> float:
    """The two-sided quantile of Student's distribution."""
    return float(special.stdtrit(freedom, (1 + level) / 2))


def is_discrete(values: Numbers) -> bool:
    """Whether values repeat so often that draws of them do: fewer than three quarters are different."""
    return len(np.unique(values)) * 4 < len(values) * 3


def mean(
    values: Iterable[Any],
    *,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
    method: str = "auto",
) -> Estimate:
    """The mean of independent values, with an interval.

    Args:
        values: numbers (in any unit; the result has the same), at least 2.
        level: the confidence level.
        seed: of the bootstrap, a whole number from 0.
        resamples: bootstrap resamples.
        method: `bootstrap-t` (Efron 1981), `bca` and `percentile` (Efron 1987, both with the levels expanded
            for small samples, Hesterberg 2015), or `t` (Student 1908). `auto` chooses by measured coverage:
            `bootstrap-t`, and `percentile` if fewer than three quarters of the values are different; from
            2,000 values on `t`, as they then agree.

    Raises:
        StatisticsError: values that are missing, no numbers, not finite or fewer than 2; a level outside of
            (0, 1); `bca` for values that are all equal.
    """
    where = "mean"
    found = number_list(where, values, 2)
    fraction(f"{where}, level", level)
    choice(f"{where}, method", method, METHODS)
    count(f"{where}, resamples", resamples)
    interval, warnings = mean_interval(where, found, level, seed, resamples, method)
    if interval and abs(skewness(found)) > STRONG:
        warnings += ("the values are strongly skewed, for which the interval was measured to be too narrow",)
    return Estimate(
        "mean", float(found.mean()), interval, len(found), warnings + few(len(found), LEAST_MEAN, "values")
    )


def skewness(values: Numbers) -> float:
    """The sample's skewness; 0 without variation."""
    if is_constant(values):
        return 0.0
    deviations = values - values.mean()
    return float((deviations**3).mean() / (deviations**2).mean() ** 1.5)


def mean_interval(
    where: str, values: Numbers, level: float, seed: int, resamples: int, method: str
) -> tuple[Interval | None, tuple[str, ...]]:
    """The interval of a mean, by one of `METHODS`, and warnings."""
    n, center = len(values), float(values.mean())
    if is_constant(values):
        if method == "bca":
            raise StatisticsError(
                where,
                f"all {n} values are {center:g}",
                "different values for bca",
                "report the value without an interval",
            )
        return None, (f"all {n} values are equal, so no interval can be estimated",)
    if method == "auto":
        method = "t" if n >= MANY else "percentile" if is_discrete(values) else "bootstrap-t"
    error = float(values.std(ddof=1)) / math.sqrt(n)
    if method == "t":
        half = t_quantile(level, n - 1) * error
        return Interval(center - half, center + half, level, "Student t"), ()
    means, variances = bootstrap_moments(values, resamples, generator(seed, where))
    if method == "bootstrap-t":
        low, high = studentized(means - center, variances / n, level)
        if math.isfinite(low) and math.isfinite(high):
            return Interval(center - high * error, center - low * error, level, "bootstrap-t"), ()
        method = "percentile"
    # Hesterberg (2015): Student's quantile, and the factor that the bootstrap's variance lacks.
    score = math.sqrt(n / (n - 1)) * t_quantile(level, n - 1)
    name, below, above = "expanded percentile", special.ndtr(-score), special.ndtr(score)
    if method == "bca":
        deviations = values - center
        acceleration = float((deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5))
        shift = float(special.ndtri(share_below(means, center)))
        corrected = [shift + sign * score for sign in (-1, 1)]
        scales = [1 - acceleration * one for one in corrected]
        if math.isfinite(shift) and min(scales) > 0:
            name = "expanded BCa"
            below, above = (
                special.ndtr(shift + one / scale) for one, scale in zip(corrected, scales, strict=True)
            )
    return Interval(
        middle_quantile(means, float(below)), middle_quantile(means, float(above)), level, name
    ), ()


def studentized(deviations: Numbers, variances: Numbers, level: float) -> tuple[float, float]:
    """Two-sided quantiles of a bootstrap's t values. A resample of equal values has an infinite one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(deviations == 0, 0.0, deviations / np.sqrt(variances))
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2], method="nearest")
    return float(low), float(high)


def median(values: Iterable[Any], *, level: float = 0.95) -> Estimate:
    """The median of independent values, with an interval of binomial order statistics.

    The interval's ends are interpolated between order statistics (Hettmansperger & Sheather 1986). It needs
    no assumption on the distribution. Below 6 values (for 95 %) no two order statistics reach the level.

    Args:
        values: numbers, at least 1.
        level: the confidence level.

    Raises:
        StatisticsError: values that are missing, no numbers or not finite; a level outside of (0, 1).
    """
    found = np.sort(number_list("median", values, 1))
    fraction("median, level", level)
    n = len(found)
    center = float(np.median(found))
    # cover(k): the level of the interval from the k-th smallest to the k-th largest value.
    cover = [1 - 2 * float(special.bdtr(k - 1, n, 0.5)) for k in range(1, n // 2 + 1)]
    enough = [k for k, reached in enumerate(cover, 1) if reached >= level]
    if not enough:
        return Estimate(
            "median", center, None, n, (f"no interval of {n} values reaches the level {level:g}",)
        )
    k = enough[-1]
    low, high = float(found[k - 1]), float(found[n - k])
    if k < len(cover):
        wide, narrow = cover[k - 1], cover[k]
        part = (wide - level) / (wide - narrow)
        weight = (n - k) * part / (k + (n - 2 * k) * part)
        low = (1 - weight) * low + weight * float(found[k])
        high = (1 - weight) * high + weight * float(found[n - k - 1])
    return Estimate("median", center, Interval(low, high, level, "binomial order statistics"), n)


def wilson(successes: int, n: int, *, level: float = 0.95) -> Estimate:
    """A proportion with Wilson's interval (Wilson 1927).

    Args:
        successes: how many of the trials succeeded.
        n: independent trials, at least 1.
        level: the confidence level.

    Raises:
        StatisticsError: numbers that are not whole, more successes than trials, a level outside of (0, 1).
    """
    count("wilson, n", n, 1)
    count("wilson, successes", successes, 0)
    fraction("wilson, level", level)
    if successes > n:
        raise StatisticsError(
            "wilson", f"{successes} of {n} succeeded", f"at most {n} successes", "mend the counts"
        )
    low, high = wilson_bounds(successes / n, n, level)
    return Estimate(
        "proportion", successes / n, Interval(low, high, level, "Wilson"), n, details={"successes": successes}
    )


def wilson_bounds(share: float, n: float, level: float) -> tuple[float, float]:
    score = float(special.ndtri((1 + level) / 2))
    scale = 1 + score**2 / n
    center = (share + score**2 / (2 * n)) / scale
    half = score * math.sqrt(share * (1 - share) / n + score**2 / (4 * n**2)) / scale
    return max(0.0, center - half) if share > 0 else 0.0, min(1.0, center + half) if share < 1 else 1.0


def proportion(values: Iterable[Any], *, level: float = 0.95) -> Estimate:
    """The proportion of ones (or of true) in independent values, with Wilson's interval (Wilson 1927).

    Raises:
        StatisticsError: a value that is not 0, 1, false or true; no values; a level outside of (0, 1).
    """
    found = binary("proportion", values, 1)
    return wilson(int(found.sum()), len(found), level=level)
