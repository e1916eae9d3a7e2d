"""Categories without an order: a permutation test and the strength of the association."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .checks import Numbers, category_list, count, fraction, same_length
from .intervals import few
from .permutation import tails
from .resampling import RESAMPLES, chunks, generator
from .results import Estimate, Interval, StatisticsError, Test

#: The smallest number of values per arm for which the interval was measured to cover (see `calibration`).
LEAST = 40


def _codes(where: str, first: Iterable[Any], second: Iterable[Any]) -> tuple[Any, Any, list[Any]]:
    """Both samples as numbers of categories, and the categories in the order of their appearance."""
    one, other = category_list(f"{where}, first", first), category_list(f"{where}, second", second)
    names = list(dict.fromkeys([*one, *other]))
    place = {name: number for number, name in enumerate(names)}
    if len(names) < 2:
        raise StatisticsError(
            where,
            f"all values are {names[0]!r}",
            "at least two categories",
            "report that the arms are identical",
        )
    return np.array([place[name] for name in one]), np.array([place[name] for name in other]), names


def categories_test(
    first: Iterable[Any],
    second: Iterable[Any],
    *,
    paired: bool = False,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Test:
    """The permutation chi-squared test that two samples have the same distribution of categories.

    Unpaired, values are assigned to the samples at random, and the statistic is Pearson's (1900). Paired, the
    two values of each pair are exchanged at random, and the statistic is the sum over categories of the
    squared difference of the counts over their sum. Neither needs large expected counts.

    Args:
        first, second: categories (texts, whole numbers or booleans); paired: element i of both is a pair.
        paired: whether they are pairs.
        seed: of the draws, a whole number from 0.
        resamples: random assignments.

    Raises:
        StatisticsError: missing values, only one category, pairs of unequal length, no pair that differs.
    """
    where = "categories_test"
    one, other, names = _codes(where, first, second)
    count(f"{where}, resamples", resamples)
    random = generator(seed, where)
    totals = np.bincount(np.concatenate((one, other)), minlength=len(names)).astype(float)
    if paired:
        same_length(where, one, other)
        differs = one != other
        if not differs.any():
            raise StatisticsError(
                where, "no pair differs", "pairs that differ", "report that the arms are identical"
            )
        columns = np.eye(len(names))[one[differs]] - np.eye(len(names))[other[differs]]
        observed = float((columns.sum(axis=0) ** 2 / totals).sum())
        null = np.concatenate(
            [
                ((random.choice((-1.0, 1.0), (rows, len(columns))) @ columns) ** 2 / totals).sum(axis=1)
                for rows in chunks(resamples, len(columns))
            ]
        )
        n = len(one)
    else:
        n = len(one) + len(other)
        observed = float(_pearson(np.bincount(one, minlength=len(names))[None], totals, len(one))[0])
        counts = random.multivariate_hypergeometric(totals.astype(int), len(one), resamples)
        null = _pearson(counts, totals, len(one))
    p_value, p_mid = tails(null, observed, "greater", True)
    method = f"chi-squared, {resamples} random {'exchanges within pairs' if paired else 'assignments'}"
    return Test("categories", observed, p_value, p_mid, "any difference", n, method)


def _pearson(counts: Any, totals: Numbers, size: int) -> Numbers:
    """Pearson's statistic of rows of counts of the first sample."""
    expected = totals * size / totals.sum()
    rest = totals - expected
    found: Numbers = ((counts - expected) ** 2 * (1 / expected + 1 / rest)).sum(axis=1)
    return found


def cramers_v(
    first: Iterable[Any],
    second: Iterable[Any],
    *,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Cramér's V (1946) of the table of samples and categories: 0, no association, to 1; unpaired.

    The estimate is corrected for its bias (Bergsma 2013); `details` has the uncorrected one. The interval is
    the percentile bootstrap of V squared within the samples, corrected for the bias that it shows, twice at
    the lower end; the lower end is 0 if the permutation test does not reject. So it holds 0 more often than
    its level.

    Args:
        first, second: categories (texts, whole numbers or booleans).
        level: the confidence level.
        seed: of the resamples, a whole number from 0.
        resamples: bootstrap resamples, and permutations.

    Raises:
        StatisticsError: missing values, only one category, a level outside of (0, 1).
    """
    where = "cramers_v"
    one, other, names = _codes(where, first, second)
    fraction(f"{where}, level", level)
    count(f"{where}, resamples", resamples)
    samples = [np.bincount(each, minlength=len(names)) for each in (one, other)]
    n, freedom = len(one) + len(other), len(names) - 1
    plain = float(_squared(samples[0], samples[1]))
    # Of two samples, the smaller dimension is 2; Bergsma's correction makes it 2 - 1/(n - 1).
    estimate = min(1.0, math.sqrt(max(0.0, plain - freedom / (n - 1)) / (1 - 1 / (n - 1))))
    random = generator(seed, where)
    again = _squared(*(random.multinomial(each.sum(), each / each.sum(), resamples) for each in samples))
    swapped = random.multivariate_hypergeometric(samples[0] + samples[1], len(one), resamples)
    null = _squared(swapped, samples[0] + samples[1] - swapped)
    low, high = (float(each) for each in np.quantile(again, [(1 - level) / 2, (1 + level) / 2]))
    bias = float(again.mean()) - plain
    low = 0.0 if plain <= float(np.quantile(null, level)) else low - 2 * bias
    low, high = (math.sqrt(min(1.0, max(0.0, each))) for each in (low, high - bias))
    interval = Interval(low, high, level, "bootstrap, corrected for bias")
    warnings = few(min(len(one), len(other)), LEAST, "values")
    details = {"uncorrected": math.sqrt(plain), "chi_squared": n * plain}
    return Estimate("Cramér's V", estimate, interval, n, warnings, details)


def _squared(first: Any, second: Any) -> Any:
    """Pearson's statistic over n, of (rows of) counts of two samples: V squared."""
    sizes = first.sum(axis=-1, keepdims=True), second.sum(axis=-1, keepdims=True)
    expected = (first + second) / (sizes[0] + sizes[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = (first / sizes[0] - second / sizes[1]) ** 2 / expected
    return (
        np.nan_to_num(terms).sum(axis=-1) * (sizes[0] * sizes[1])[..., 0] / (sizes[0] + sizes[1])[..., 0] ** 2
    )
