"""Effects of factors: main effects and two-way interactions, for grids and for space-filling designs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .checks import Numbers, fraction, number_list
from .intervals import t_quantile
from .results import Estimate, Interval, Result, StatisticsError
from .tables import Columns, column, columns

#: Degrees of freedom from which the intervals were measured to cover (see `calibration`).
LEAST_FREEDOM = 20


@dataclass(frozen=True)
class FactorEffects(Result):
    """Effects on the mean of the outcome, in its unit.

    `main`: for a factor with levels, the difference of each level from the first one, averaged over the other
    factors; for a numeric factor, the change from its lowest to its highest value along a line.
    `interactions`: how much one factor's effect differs between two levels (or ends) of another. `details` of
    each estimate has the factors and levels.
    """

    main: tuple[Estimate, ...]
    interactions: tuple[Estimate, ...]
    n: int
    residual_sd: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Factor:
    """A factor's columns in the model. `codes` are the columns of each level (numeric: of its two ends)."""

    name: str
    levels: tuple[Any, ...]
    codes: Numbers
    rows: Numbers


def factor_effects(
    table: Any,
    *,
    outcome: str,
    factors: Sequence[str],
    interactions: bool = True,
    categorical: Sequence[str] = (),
    block: str | None = None,
    level: float = 0.95,
) -> FactorEffects:
    """Main effects and two-way interactions of factors, by least squares.

    The standard errors allow for unequal variances (HC2, Horn, Horn & Duncan 1975), with Student's quantile.

    Args:
        table: a tidy table with a row per run.
        outcome: the column of the outcome: numbers.
        factors: the columns of the factors. Numbers are numeric (a line), all else levels.
        interactions: whether to estimate two-way interactions.
        categorical: numeric columns that are levels.
        block: a column whose levels shift the outcome without being of interest, such as the seed.
        level: the confidence level.

    Raises:
        StatisticsError: no such column; a missing outcome or factor; a factor with one level; too few runs,
            or factors whose effects cannot be told apart in this design.
    """
    where = "factor_effects"
    fraction(f"{where}, level", level)
    found = columns(table)
    values = number_list(f"{where}, outcome", column(found, outcome, "outcome"), 3)
    if not factors or len(set(factors)) != len(factors):
        raise StatisticsError(
            f"{where}, factors", f"they are {list(factors)}", "different columns", "name them"
        )
    coded = [_coded(found, name, name in categorical) for name in factors]
    blocks = [] if block is None else [_coded(found, block, True)]
    pairs = list(itertools.combinations(range(len(coded)), 2)) if interactions else []
    parts = [np.ones((len(values), 1)), *(each.rows for each in coded)]
    parts += [_products(coded[one].rows, coded[other].rows) for one, other in pairs]
    design = np.hstack([*parts, *(each.rows for each in blocks)])
    coefficients, covariance, freedom, sd = _least_squares(where, design, values)
    starts = np.cumsum([0, *(part.shape[1] for part in parts)])

    def estimate(name: str, contrast: Numbers, details: dict[str, Any]) -> Estimate:
        value = float(contrast @ coefficients)
        half = t_quantile(level, freedom) * math.sqrt(max(0.0, float(contrast @ covariance @ contrast)))
        interval = Interval(value - half, value + half, level, "least squares, HC2")
        return Estimate(name, value, interval, len(values), (), details)

    main, crossed = [], []
    for place, each in enumerate(coded):
        for number in range(1, len(each.levels)):
            contrast = np.zeros(design.shape[1])
            contrast[starts[place + 1] : starts[place + 2]] = each.codes[number] - each.codes[0]
            name = f"{each.name}: {each.levels[number]} - {each.levels[0]}"
            levels = [str(each.levels[number]), str(each.levels[0])]
            main.append(estimate(name, contrast, {"factor": each.name, "levels": levels}))
    for place, (one, other) in enumerate(pairs, len(coded) + 1):
        first, second = coded[one], coded[other]
        for a, b in itertools.product(range(1, len(first.levels)), range(1, len(second.levels))):
            contrast = np.zeros(design.shape[1])
            contrast[starts[place] : starts[place + 1]] = np.outer(
                first.codes[a] - first.codes[0], second.codes[b] - second.codes[0]
            ).ravel()
            name = f"({first.name}: {first.levels[a]} - {first.levels[0]}) x "
            name += f"({second.name}: {second.levels[b]} - {second.levels[0]})"
            details = {
                "factors": [first.name, second.name],
                "levels": [str(first.levels[a]), str(second.levels[b])],
            }
            crossed.append(estimate(name, contrast, details))
    warnings: tuple[str, ...] = ()
    if freedom < LEAST_FREEDOM:
        warnings = (f"{freedom} degrees of freedom are left for the error: intervals may be too narrow",)
    return FactorEffects(tuple(main), tuple(crossed), len(values), sd, warnings)


def _coded(found: Columns, name: str, categorical: bool) -> _Factor:
    """The columns of a factor: numeric ones run from -1/2 to 1/2; levels sum to 0."""
    cells = column(found, name, "factors")
    where = f"factor_effects, {name}"
    for number, cell in enumerate(cells):
        if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
            raise StatisticsError(
                where, f"row {number} is {cell!r}", "a level or a finite number", "drop the row"
            )
    levels = tuple(dict.fromkeys(cells))
    numeric = all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells)
    if len(levels) < 2:
        raise StatisticsError(
            where, f"its only level is {levels[0]!r}", "at least two", "leave the factor out"
        )
    if numeric and not categorical:
        values = np.array(cells, dtype=np.float64)
        low, high = float(values.min()), float(values.max())
        rows = ((values - low) / (high - low) - 0.5)[:, None]
        return _Factor(name, (f"{low:g}", f"{high:g}"), np.array([[-0.5], [0.5]]), rows)
    codes = np.vstack([np.eye(len(levels) - 1), -np.ones(len(levels) - 1)])
    return _Factor(name, levels, codes, codes[[levels.index(cell) for cell in cells]])


def _products(one: Numbers, other: Numbers) -> Numbers:
    found: Numbers = (one[:, :, None] * other[:, None, :]).reshape(len(one), -1)
    return found


def _least_squares(where: str, design: Numbers, values: Numbers) -> tuple[Numbers, Numbers, int, float]:
    """Coefficients, their HC2 covariance, degrees of freedom, and the residuals' standard deviation."""
    n, width = design.shape
    freedom = n - width
    if freedom < 1:
        raise StatisticsError(
            where, f"there are {n} runs for {width} coefficients", f"at least {width + 1} runs",
            "add runs, or leave out interactions or factors",
        )  # fmt: skip
    if np.linalg.matrix_rank(design) < width:
        raise StatisticsError(
            where, "some effects cannot be told apart in this design", "factors that vary independently",
            "leave out interactions, or a factor that follows from others",
        )  # fmt: skip
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ values
    residuals = values - design @ coefficients
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    if leverage.max() > 1 - 1e-9:
        raise StatisticsError(
            where,
            "some level or combination has a single run",
            "at least two runs for each",
            "add runs, or join levels",
        )
    weights = residuals**2 / (1 - leverage)
    covariance = inverse @ (design.T * weights) @ design @ inverse
    return coefficients, covariance, freedom, math.sqrt(float(residuals @ residuals) / freedom)
