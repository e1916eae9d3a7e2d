"""Effects of factors: main effects and two-way interactions, for grids and for space-filling designs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from .checks import Numbers, choice, fraction, number_list
from .intervals import t_quantile
from .results import Estimate, Interval, Result, StatisticsError, Test
from .tables import Columns, column, columns

#: Degrees of freedom from which the intervals were measured to cover (see `calibration`).
LEAST_FREEDOM = 20
#: The error rate of the test for lack of fit, below which there is a warning.
LACK = 0.05
POINTS = ("auto", "sampled", "fixed")


@dataclass(frozen=True)
class FactorEffects(Result):
    """Effects on the mean of the outcome, in its unit.

    `main`: for a factor with levels, the difference of each level from the first one, averaged over the other
    factors; for a numeric factor, the change from its lowest to its highest value along a line.
    `interactions`: how much one factor's effect differs between two levels (or ends) of another. `details` of
    each estimate has the factors and levels. `points` are the different settings of the factors;
    `lack_of_fit` tests whether the model explains their means (None without replicates of points).
    """

    main: tuple[Estimate, ...]
    interactions: tuple[Estimate, ...]
    n: int
    residual_sd: float
    warnings: tuple[str, ...]
    points: int
    lack_of_fit: Test | None


@dataclass(frozen=True)
class _Factor:
    """A factor's columns in the model. `codes` are the columns of each level (numeric: of its two ends)."""

    name: str
    levels: tuple[Any, ...]
    codes: Numbers
    rows: Numbers
    different: int
    line: bool


def factor_effects(
    table: Any,
    *,
    outcome: str,
    factors: Sequence[str],
    interactions: bool = True,
    categorical: Sequence[str] = (),
    block: str | None = None,
    level: float = 0.95,
    points: str = "auto",
) -> FactorEffects:
    """Main effects and two-way interactions of factors, by least squares.

    What the model leaves unexplained at a point (a setting of the factors) is common to all runs of it. If
    points were sampled, they are therefore the unit: the standard errors are robust, clustered by point, and
    corrected for small samples (CR3, Bell & McCaffrey 2002; with one run of each point HC3, MacKinnon & White
    1985), with Student's quantile for the number of points less that of coefficients. Of a grid, whose points
    are all that there are, the runs are the unit (HC2, Horn, Horn & Duncan 1975).

    Where points have replicates, a test for lack of fit compares what the model leaves unexplained with the
    spread of replicates (pure error; Box & Draper 1987). There is a warning if it rejects at 5 %.

    Args:
        table: a tidy table with a row per run.
        outcome: the column of the outcome: numbers.
        factors: the columns of the factors. Numbers are numeric (a line), all else levels.
        interactions: whether to estimate two-way interactions.
        categorical: numeric columns that are levels.
        block: a column whose levels shift the outcome without being of interest, such as the seed.
        level: the confidence level.
        points: `sampled` (from ranges), `fixed` (a grid), or `auto`: fixed if two factors or more (or levels
            alone) have every combination of their values in the table.

    Raises:
        StatisticsError: no such column; a missing outcome or factor; a factor with one level; too few runs or
            points, or factors whose effects cannot be told apart in this design.
    """
    where = "factor_effects"
    fraction(f"{where}, level", level)
    choice(f"{where}, points", points, POINTS)
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
    groups = _points([column(found, name, "factors") for name in factors])
    width = sum(part.shape[1] for part in parts)
    if points == "fixed" or (points == "auto" and _is_grid(coded, groups)):
        of_points, unit, method = None, len(values), "least squares, HC2"
    else:
        unit = int(groups.max()) + 1
        of_points, method = groups, f"least squares, {'HC3' if unit == len(values) else 'CR3 by point'}"
    fit = _least_squares(where, design, values, width, of_points)
    coefficients, covariance, freedom = fit.coefficients, fit.covariance, fit.freedom
    starts = np.cumsum([0, *(part.shape[1] for part in parts)])

    def estimate(name: str, contrast: Numbers, details: dict[str, Any]) -> Estimate:
        value = float(contrast @ coefficients)
        half = t_quantile(level, freedom) * math.sqrt(max(0.0, float(contrast @ covariance @ contrast)))
        return Estimate(name, value, Interval(value - half, value + half, level, method), unit, (), details)

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
    lack = _lack_of_fit(groups, np.hstack([each.rows for each in blocks]) if blocks else None, values, fit)
    return FactorEffects(
        tuple(main), tuple(crossed), len(values), fit.sd, tuple(_warnings(freedom, lack, bool(pairs))),
        int(groups.max()) + 1, lack,
    )  # fmt: skip


def _warnings(freedom: int, lack: Test | None, crossed: bool) -> Iterator[str]:
    if freedom < LEAST_FREEDOM:
        yield f"{freedom} degrees of freedom are left for the error: intervals may be too narrow"
    if lack is not None and lack.p_value <= LACK:
        p = "p < 0.0001" if lack.p_value < 0.0001 else f"p = {lack.p_value:.2g}"
        model = "main effects and interactions of pairs" if crossed else "main effects"
        yield (
            f"the model does not fit: the means of points are further from it than the spread of replicates "
            f"explains ({lack.method}, {p}); effects are not on a straight line, or more than {model} "
            "matter, so that the estimates are averages over the points and do not predict any one of them"
        )


def _points(cells: Sequence[Sequence[Any]]) -> Any:
    """The number of each row's point: rows with equal values of all factors are one point."""
    known: dict[tuple[Any, ...], int] = {}
    return np.array([known.setdefault(point, len(known)) for point in zip(*cells, strict=True)])


def _is_grid(coded: Sequence[_Factor], groups: Any) -> bool:
    if len(coded) == 1:
        return not coded[0].line
    return int(groups.max()) + 1 == math.prod(each.different for each in coded)


def _coded(found: Columns, name: str, categorical: bool) -> _Factor:
    """The columns of a factor: numeric ones run from -1/2 to 1/2; levels sum to 0."""
    cells = column(found, name, "factors")
    where = f"factor_effects, {name}"
    for number, cell in enumerate(cells, 1):
        if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
            raise StatisticsError(
                where, f"data row {number} is {cell!r}", "a level or a finite number", "drop the row"
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
        return _Factor(name, (f"{low:g}", f"{high:g}"), np.array([[-0.5], [0.5]]), rows, len(levels), True)
    codes = np.vstack([np.eye(len(levels) - 1), -np.ones(len(levels) - 1)])
    rows = codes[[levels.index(cell) for cell in cells]]
    return _Factor(name, levels, codes, rows, len(levels), False)


def _products(one: Numbers, other: Numbers) -> Numbers:
    found: Numbers = (one[:, :, None] * other[:, None, :]).reshape(len(one), -1)
    return found


@dataclass(frozen=True)
class _Fit:
    """`squares`: the sum of squared residuals, with `left` degrees of freedom; `freedom`: of the errors."""

    coefficients: Numbers
    covariance: Numbers
    freedom: int
    sd: float
    squares: float
    left: int


def _least_squares(where: str, design: Numbers, values: Numbers, width: int, groups: Any) -> _Fit:
    """The fit, with a covariance by HC2, or by CR3 if `groups` has each row's cluster.

    The first `width` columns are not those of blocks, which cost clusters with several rows no degree.
    """
    n, total = design.shape
    clusters = n if groups is None else int(groups.max()) + 1
    _check_enough(where, n, total, "runs", "add runs, or leave out interactions or factors")
    if np.linalg.matrix_rank(design) < total:
        raise StatisticsError(
            where, "some effects cannot be told apart in this design", "factors that vary independently",
            "leave out interactions, or a factor that follows from others",
        )  # fmt: skip
    if clusters < n:
        remedy = "add points, leave out interactions or factors, or, of a grid, say points='fixed'"
        _check_enough(where, clusters, width, "points", remedy)
    left = n - total
    freedom = left if clusters == n else min(left, clusters - width)
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ values
    residuals = values - design @ coefficients
    if groups is None:
        leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
        alone = leverage.max() > 1 - 1e-9
        scores = design * (residuals / np.sqrt(np.maximum(1 - leverage, 1e-12)))[:, None]
    else:
        scores, alone = _cluster_scores(design, inverse, residuals, groups)
    if alone:
        what = "run" if groups is None else "point"
        raise StatisticsError(
            where,
            f"some level or combination has a single {what}",
            f"at least two {what}s for each",
            f"add {what}s, or join levels",
        )
    covariance = inverse @ scores.T @ scores @ inverse
    squares = float(residuals @ residuals)
    return _Fit(coefficients, covariance, freedom, math.sqrt(squares / left), squares, left)


def _check_enough(where: str, there: int, coefficients: int, what: str, remedy: str) -> None:
    if there <= coefficients:
        raise StatisticsError(
            where, f"there are {there} {what} for {coefficients} coefficients",
            f"at least {coefficients + 1} {what}", remedy,
        )  # fmt: skip


def _cluster_scores(design: Numbers, inverse: Any, residuals: Numbers, groups: Any) -> tuple[Numbers, bool]:
    """Of each cluster, its rows times its residuals without its own pull on the fit; whether one has all."""
    order = np.argsort(groups, kind="stable")
    scores, alone = [], False
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        part = design[rows]
        without = np.eye(len(rows)) - part @ inverse @ part.T
        if np.linalg.eigvalsh(without)[0] < 1e-9:
            alone = True
            continue
        scores.append(part.T @ np.linalg.solve(without, residuals[rows]))
    return np.array(scores), alone


def _lack_of_fit(groups: Any, blocks: Numbers | None, values: Numbers, fit: _Fit) -> Test | None:
    """Whether the means of points are further from the model than replicates are from their mean."""
    n, points = len(values), int(groups.max()) + 1
    within = _without_means(values[:, None], groups)[:, 0]
    freedom = n - points
    if blocks is not None and freedom > 0:
        beside = _without_means(blocks, groups)
        solution, _, rank, _ = np.linalg.lstsq(beside, within, rcond=None)
        within, freedom = within - beside @ solution, freedom - int(rank)
    lacking = fit.left - freedom
    if freedom < 1 or lacking < 1:
        return None
    pure = float(within @ within)
    lack = max(0.0, fit.squares - pure)
    least = 1e-18 * float(values @ values)
    if pure <= least:  # replicates are equal: any lack is more than their spread
        statistic, p_value = (math.inf, 0.0) if lack > least else (0.0, 1.0)
    else:
        statistic = (lack / lacking) / (pure / freedom)
        p_value = float(special.fdtrc(lacking, freedom, statistic))
    method = f"F({lacking}, {freedom}) = {statistic:.3g}"
    if math.isinf(statistic):
        method = "replicates of a point are equal"
    return Test("lack of fit", statistic, p_value, p_value, "any", n, method)


def _without_means(columns_of: Numbers, groups: Any) -> Numbers:
    """Columns less the mean of each row's group."""
    sizes = np.bincount(groups)
    means = np.array([np.bincount(groups, weights=one) / sizes for one in columns_of.T]).T
    found: Numbers = columns_of - means[groups]
    return found
