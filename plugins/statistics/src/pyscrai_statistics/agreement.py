"""Agreement of raters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from .checks import Numbers, category_list, choice, count, fraction, known_categories, number_list
from .intervals import few, t_quantile
from .resampling import RESAMPLES, chunks, generator, middle_quantile
from .results import Estimate, Interval, StatisticsError
from .tables import column, columns

METRICS = ("nominal", "ordinal", "interval", "ratio")
#: The smallest number of units for which the interval was measured to cover (see `calibration`).
LEAST = 20


def ratings_of(table: Any, *, unit: str, rater: str, value: str) -> list[list[Any]]:
    """The ratings of a tidy table, as `krippendorff_alpha` takes them: a row per rater, a column per unit.

    Raises:
        StatisticsError: no such column; two values of one rater for one unit.
    """
    found = columns(table)
    units, raters, values = (
        column(found, name, role) for name, role in ((unit, "unit"), (rater, "rater"), (value, "value"))
    )
    names, places = (
        list(dict.fromkeys(raters)),
        {each: place for place, each in enumerate(dict.fromkeys(units))},
    )
    rows: dict[Any, list[Any]] = {name: [None] * len(places) for name in names}
    seen = set()
    for one, name, each in zip(units, raters, values, strict=True):
        if (one, name) in seen:
            raise StatisticsError(
                "ratings_of",
                f"rater {name!r} rated unit {one!r} twice",
                "one value each",
                "choose one of them",
            )
        seen.add((one, name))
        rows[name][places[one]] = each
    return list(rows.values())


def krippendorff_alpha(
    ratings: Sequence[Sequence[Any]],
    *,
    metric: str = "nominal",
    order: Sequence[Any] | None = None,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Krippendorff's alpha: 1 is full agreement, 0 that of chance.

    Krippendorff (2011, "Computing Krippendorff's alpha-reliability").
    The interval resamples units, with levels expanded for few units (Hesterberg 2015).

    Args:
        ratings: a row per rater, a column per unit; None where a rater did not rate a unit.
        metric: `nominal` (categories), `ordinal`, `interval` or `ratio` (numbers; ordinal: or names of
            `order`).
        order: for `ordinal`: the categories from the lowest to the highest, if they are not numbers.
        level: the confidence level.
        seed: of the bootstrap, a whole number from 0.
        resamples: bootstrap resamples of units.

    Raises:
        StatisticsError: rows of unequal length; values of the wrong type; no two units with two values or
            more; values that are all equal (agreement cannot be told from a lack of variation).
    """
    where = "krippendorff_alpha"
    choice(f"{where}, metric", metric, METRICS)
    fraction(f"{where}, level", level)
    count(f"{where}, resamples", resamples)
    counts, values = _counts(where, ratings, metric, order)
    distances = _distances(metric, values, counts.sum(axis=0))
    sizes = counts.sum(axis=1)
    # What a unit adds to the observed disagreement.
    within = ((counts @ distances) * counts).sum(axis=1) / (sizes - 1)

    def alpha(weights: Any) -> Any:
        totals, number = weights @ counts, weights @ sizes
        expected = ((totals @ distances) * totals).sum(axis=-1) / (number - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 - np.where(expected > 0, (weights @ within) / expected, 0.0)

    n = len(counts)
    estimate = float(alpha(np.ones(n)))
    random = generator(seed, where)
    draws = np.concatenate(
        [alpha(random.multinomial(n, np.full(n, 1 / n), rows).astype(float)) for rows in chunks(resamples, n)]
    )
    score = np.sqrt(n / (n - 1)) * t_quantile(level, n - 1)
    low, high = (middle_quantile(draws, float(special.ndtr(sign * score))) for sign in (-1, 1))
    interval = Interval(low, min(1.0, high), level, "bootstrap of units, expanded percentile")
    warnings = few(n, LEAST, "units")
    if np.ptp(draws) == 0:
        warnings = ("no resample differs: the interval says nothing", *warnings)
    details = {"metric": metric, "ratings": int(sizes.sum())}
    return Estimate("Krippendorff's alpha", estimate, interval, n, warnings, details)


def _counts(
    where: str, ratings: Sequence[Sequence[Any]], metric: str, order: Sequence[Any] | None
) -> tuple[Numbers, Numbers]:
    """How often each value was given to each unit that has two of them or more; and the values."""
    rows = [list(row) for row in ratings]
    if len(rows) < 2 or len({len(row) for row in rows}) > 1:
        raise StatisticsError(
            where,
            f"its rows have the lengths {[len(row) for row in rows]}",
            "a row for each of at least two raters, all with a value (or None) for each unit",
            "fill the gaps with None",
        )
    given = [value for row in rows for value in row if value is not None]
    if metric == "nominal":
        known: list[Any] = sorted(set(category_list(where, given)), key=str)
        values = np.arange(len(known), dtype=float)
    elif metric == "ordinal" and order is not None:
        known = known_categories(where, given, order)
        values = np.arange(len(known), dtype=float)
    else:
        values = np.unique(number_list(where, given))
        known = values.tolist()
        if metric == "ratio" and values[0] < 0:
            raise StatisticsError(
                where, f"{values[0]:g} is a value", "values from 0 for a ratio", "use interval"
            )
    place = {value: number for number, value in enumerate(known)}
    counts = np.zeros((len(rows[0]), len(known)))
    for row in rows:
        for unit, value in enumerate(row):
            if value is not None:
                counts[unit, place[value]] += 1
    counts = counts[counts.sum(axis=1) >= 2]
    if len(counts) < 2:
        raise StatisticsError(
            where,
            f"{len(counts)} units have two values",
            "at least 2 such units",
            "let raters rate the same units",
        )
    if (counts.sum(axis=0) > 0).sum() < 2:
        raise StatisticsError(
            where,
            "all values are equal",
            "values that vary",
            "report the agreement as it is; alpha is undefined",
        )
    return counts, values


def _distances(metric: str, values: Numbers, totals: Numbers) -> Numbers:
    """Squared differences of values, by the metric. For `ordinal` they depend on how often values occur."""
    if metric == "nominal":
        return 1 - np.eye(len(values))
    if metric == "ordinal":
        values = np.cumsum(totals) - totals / 2
    differences = values[:, None] - values[None]
    if metric == "ratio":
        sums = values[:, None] + values[None]
        differences = np.divide(differences, sums, out=np.zeros_like(differences), where=sums != 0)
    found: Numbers = differences**2
    return found
