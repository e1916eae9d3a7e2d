"""A distribution of categories against a reference, such as a survey of people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from .checks import Numbers, category_list, count, fraction, known_categories, number_list
from .intervals import few
from .permutation import tails
from .resampling import RESAMPLES, generator
from .results import Estimate, Interval, Result, StatisticsError, Test

#: The smallest n for which the intervals were measured to cover (see `calibration`).
LEAST = 100


@dataclass(frozen=True)
class ReferenceComparison(Result):
    """How far values are from a reference.

    `shares` and `reference` are proportions by category. `total_variation` and `jensen_shannon` lie between 0
    and 1; `wasserstein` is in places of the order, or in the unit of the categories if they are numbers.
    """

    shares: Mapping[str, float]
    reference: Mapping[str, float]
    n: int
    test: Test
    total_variation: Estimate
    jensen_shannon: Estimate
    wasserstein: Estimate | None
    warnings: tuple[str, ...]


def compare_to_reference(
    values: Iterable[Any],
    reference: Mapping[Any, float],
    *,
    order: Sequence[Any] | None = None,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> ReferenceComparison:
    """Compare the distribution of values with a reference that is known exactly.

    The test is Pearson's chi-squared (1900), with samples drawn from the reference instead of large-sample
    theory. The distances are total variation, Jensen-Shannon (Lin 1991; in bits) and, with an order,
    Wasserstein-1. The distance of a sample is larger than that of its population; estimates are corrected by
    the bias that the bootstrap shows. Intervals take the outer ends of the corrected percentile and the basic
    bootstrap (Efron & Tibshirani 1993; Jensen-Shannon: corrected percentile); their lower end is 0 if the
    sample is no farther than samples of the reference itself.

    Args:
        values: categories, independent of each other; at least 2.
        reference: the weight of each category: proportions, per cents or counts of a large survey.
        order: the categories from the lowest to the highest, for the Wasserstein distance. Numbers keep their
            distances; names are one place apart.
        level: the confidence level.
        seed: of the resamples, a whole number from 0.
        resamples: bootstrap resamples, and samples of the reference.

    Raises:
        StatisticsError: missing values, categories that the reference does not have (they are listed),
            weights that are negative or all 0, a value of a category of weight 0, an order of other
            categories.
    """
    where = "compare_to_reference"
    found = category_list(f"{where}, values", values, 2)
    fraction(f"{where}, level", level)
    count(f"{where}, resamples", resamples)
    names = known_categories(f"{where}, values", found, reference)
    weights = number_list(f"{where}, reference", list(reference.values()))
    if weights.min() < 0 or weights.sum() <= 0:
        raise StatisticsError(
            f"{where}, reference",
            f"the weights are {weights.tolist()}",
            "numbers from 0, not all 0",
            "mend them",
        )
    target = weights / weights.sum()
    counts = np.array([found.count(name) for name in names])
    impossible = [
        str(name) for name, share, seen in zip(names, target, counts, strict=True) if not share and seen
    ]
    if impossible:
        raise StatisticsError(
            f"{where}, values",
            f"{', '.join(impossible)} occurs, and has the weight 0",
            "values that the reference allows",
            "give it a weight, or join it with another category",
        )
    n = len(found)
    random = generator(seed, where)
    samples = random.multinomial(n, target, resamples)
    shares = counts / n
    again = random.multinomial(n, shares, resamples) / n

    def chi_squared(rows: Any) -> Numbers:
        kept = target > 0
        result: Numbers = ((rows[..., kept] - n * target[kept]) ** 2 / (n * target[kept])).sum(axis=-1)
        return result

    observed = float(chi_squared(counts))
    p_value, p_mid = tails(chi_squared(samples), observed, "greater", True)
    method = f"chi-squared, {resamples} samples of the reference"
    test = Test("goodness of fit", observed, p_value, p_mid, "any difference", n, method)
    warnings = few(n, LEAST, "values")

    def estimate(name: str, distance: Callable[[Any], Numbers], wide: bool = True) -> Estimate:
        return _estimate(name, distance, shares, again, samples / n, n, level, wide)

    moved = None
    if order is not None:
        place = _places(f"{where}, order", order, names)
        sort = np.argsort(place)
        gaps = np.diff(place[sort])

        def wasserstein(rows: Any) -> Numbers:
            result: Numbers = (np.abs(np.cumsum((rows - target)[..., sort], axis=-1))[..., :-1] * gaps).sum(
                axis=-1
            )
            return result

        moved = estimate("Wasserstein distance", wasserstein)
    return ReferenceComparison(
        {str(name): float(share) for name, share in zip(names, shares, strict=True)},
        {str(name): float(share) for name, share in zip(names, target, strict=True)},
        n,
        test,
        estimate("total variation", lambda rows: np.abs(rows - target).sum(axis=-1) / 2),
        estimate("Jensen-Shannon divergence", lambda rows: _jensen_shannon(rows, target), False),
        moved,
        warnings,
    )


def _jensen_shannon(rows: Any, target: Numbers) -> Numbers:
    middle = (rows + target) / 2
    found: Numbers = (
        (special.rel_entr(rows, middle) + special.rel_entr(target, middle)).sum(axis=-1) / 2 / np.log(2)
    )
    return np.maximum(found, 0.0)


def _places(where: str, order: Sequence[Any], names: list[Any]) -> Numbers:
    listed = list(order)
    if len(listed) != len(names) or set(listed) != set(names):
        raise StatisticsError(
            where, f"it is {listed}", f"all of {names}, once each", "list the reference's categories"
        )
    if all(isinstance(name, int | float) and not isinstance(name, bool) for name in names):
        return np.array(names, dtype=np.float64)
    return np.array([listed.index(name) for name in names], dtype=np.float64)


def _estimate(
    name: str,
    distance: Callable[[Any], Numbers],
    shares: Numbers,
    again: Any,
    null: Any,
    n: int,
    level: float,
    wide: bool,
) -> Estimate:
    plain = float(distance(shares))
    draws = distance(again)
    bias = float(draws.mean()) - plain
    low, high = (float(each) for each in np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]))
    if wide:
        low, high = min(low - 2 * bias, 2 * plain - high), high
    else:
        low, high = low - bias, high - bias
    if plain <= float(np.quantile(distance(null), level)):
        low = 0.0
    interval = Interval(max(0.0, low), max(0.0, high), level, "bootstrap, corrected for bias")
    return Estimate(
        name, max(0.0, plain - bias), interval, n, few(n, LEAST, "values"), {"uncorrected": plain}
    )
