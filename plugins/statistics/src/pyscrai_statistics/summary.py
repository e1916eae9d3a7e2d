"""Arms, each by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .checks import binary, category_list, choice, count, known_categories, number_list
from .intervals import mean, median, wilson
from .ordered import ranks_of
from .resampling import RESAMPLES
from .results import Estimate, Result, StatisticsError
from .tables import columns
from .units import KINDS, values_of_arms


@dataclass(frozen=True)
class ArmSummary(Result):
    """What one arm's values are like.

    `n` is the number of values, `failures` the number of units without one, as given by the caller. `mean`,
    `median` and `sd` are those of numbers, `proportions` those of the categories (of a proportion:
    `success`).
    """

    arm: str
    n: int
    failures: int
    kind: str
    mean: Estimate | None = None
    median: Estimate | None = None
    sd: float | None = None
    proportions: Mapping[str, Estimate] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def summarize_values(
    values: Iterable[Any],
    *,
    arm: str = "all",
    kind: str = "number",
    order: Sequence[Any] | None = None,
    categories: Sequence[Any] | None = None,
    failures: int = 0,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> ArmSummary:
    """One arm's values with their intervals.

    Args:
        values: one value per unit of replication: numbers, 0 and 1 (`proportion`), or categories.
        arm: the arm's name.
        kind: `number`, `proportion`, `category` or `ordered`.
        order: for `ordered`: the categories from the lowest to the highest (not needed for numbers).
        categories: for `category`: all of them, so that those without a value are listed too.
        failures: units that gave no value. They are reported, and are not part of n.
        level, seed, resamples: of the intervals.

    Raises:
        StatisticsError: as `mean`, `median`, `proportion`; an unknown kind or category.
    """
    where = f"summarize, arm {arm}"
    choice(f"{where}, kind", kind, KINDS)
    count(f"{where}, failures", failures, 0)
    warnings: list[str] = []
    values = list(values)
    if not values and failures:
        raise StatisticsError(
            where,
            f"none of its {failures} units gave a value",
            "at least one",
            "leave the arm out, or run it again",
        )
    if failures:
        warnings.append(
            f"{failures} units gave no value: if failing depends on the outcome, results are biased"
        )
    if kind == "number":
        found = number_list(where, values, 1)
        average = mean(found, level=level, seed=seed, resamples=resamples) if len(found) > 1 else None
        spread = float(found.std(ddof=1)) if len(found) > 1 else None
        if average is None:
            warnings.append("there is one value, so nothing is known about its spread")
            average = Estimate("mean", float(found[0]), None, 1)
        middle = median(found, level=level)
        warnings.extend((*average.warnings, *middle.warnings))
        return ArmSummary(arm, len(found), failures, kind, average, middle, spread, {}, tuple(warnings))
    if kind == "proportion":
        ones = binary(where, values, 1)
        share = wilson(int(ones.sum()), len(ones), level=level)
        return ArmSummary(
            arm, len(ones), failures, kind, proportions={"success": share}, warnings=tuple(warnings)
        )
    listed = category_list(where, values, 1)
    middle_value: Estimate | None = None
    if kind == "ordered":
        ranks = ranks_of(where, listed, order, 1)
        names = list(order) if order is not None else sorted(set(listed))
        middle_value = _ordered_median(ranks, order, level)
    else:
        names = (
            known_categories(where, listed, categories)
            if categories is not None
            else sorted(set(listed), key=str)
        )
    shares = {str(name): wilson(listed.count(name), len(listed), level=level) for name in names}
    return ArmSummary(
        arm, len(listed), failures, kind, median=middle_value, proportions=shares, warnings=tuple(warnings)
    )


def _ordered_median(ranks: Any, order: Sequence[Any] | None, level: float) -> Estimate:
    """The median of ranks. With names, `details` has the category (the lower one of two)."""
    found = median(ranks, level=level)
    if order is None:
        return found
    low = int(np.sort(ranks)[(len(ranks) - 1) // 2])
    return Estimate(
        "median (place in the order, from 0)",
        found.estimate,
        found.interval,
        found.n,
        found.warnings,
        {"category": str(order[low])},
    )


def summarize(
    table: Any,
    *,
    outcome: str,
    arm: str | None = None,
    unit: str | None = None,
    kind: str = "number",
    success: Any = None,
    order: Sequence[Any] | None = None,
    failures: Mapping[str, int] | None = None,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, ArmSummary]:
    """Each arm of a table by itself.

    Args:
        table: a tidy table: a list of mappings, a mapping of columns, or a data frame.
        outcome: the column of the outcome. Rows in which it is None are counted as failures.
        arm: the column that names the arm. Without it there is one arm, `all`.
        unit: the column that names the unit of replication, such as the run. Rows of one unit are averaged
            first (numbers and proportions), since they are not independent.
        kind: `number`, `proportion`, `category` or `ordered`.
        success: for `proportion`: the value that is a success, if the outcome is not 0 and 1.
        order: for `ordered`: the categories from the lowest to the highest.
        failures: units without a row, by arm; they are added to those found.
        level, seed, resamples: of the intervals.

    Raises:
        StatisticsError: no such column, and as `summarize_values`.
    """
    found = values_of_arms(columns(table), outcome=outcome, arm=arm, unit=unit, kind=kind, success=success)
    unknown = sorted(set(failures or {}) - set(found.values))
    if unknown:
        raise StatisticsError(
            "summarize, failures",
            f"there is no arm {unknown[0]!r}",
            "one of " + ", ".join(found.values),
            "mend the name",
        )
    everything = None
    if kind == "category":
        everything = sorted({value for values in found.values.values() for value in values.values()}, key=str)
    return {
        name: summarize_values(
            list(values.values()),
            arm=name,
            kind="number" if found.averaged and kind == "proportion" else kind,
            order=order,
            categories=everything,
            failures=found.failures[name] + (failures or {}).get(name, 0),
            level=level,
            seed=seed,
            resamples=resamples,
        )
        for name, values in found.values.items()
    }
