"""Mixed models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from .checks import Numbers, category_list, fraction, number_list
from .reml import fit
from .results import Estimate, Interval, Result, StatisticsError
from .tables import column, columns

#: The most cells of a matrix that tells why a search did not converge.
MOST_CELLS = 10_000_000


@dataclass(frozen=True)
class MixedModel(Result):
    """A linear mixed model.

    `effects`: of each fixed term, in the unit of the outcome (a level against the first one). `variances`: of
    each random effect, and `residual`, in the squared unit.
    """

    effects: Mapping[str, Estimate]
    variances: Mapping[str, float]
    n: int
    converged: bool
    warnings: tuple[str, ...]


def _explained(fixed: Numbers, random: Sequence[Any], values: Numbers) -> bool:
    """Whether nothing is left of the values if every level of the random effects has a mean of its own."""
    if sum(int(one.max()) for one in random) * len(values) > MOST_CELLS:
        return False  # not told: it would need too much memory
    levels = [(one[:, None] == np.arange(one.max() + 1)).astype(float) for one in random]
    design = np.hstack([fixed, *levels])
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return bool(left @ left <= 1e-18 * max(1.0, float(values @ values)))


def mixed_model(
    table: Any,
    *,
    outcome: str,
    fixed: Sequence[str],
    random: Sequence[str],
    categorical: Sequence[str] = (),
    level: float = 0.95,
) -> MixedModel:
    """A linear mixed model with random intercepts, crossed or nested, by restricted likelihood.

    The model is that of Laird & Ware (1982), the method that of Bates et al. (2015). Thousands of values take
    seconds. Use it for several values per run or per agent, such as an arm's effect with seed and agent as
    random effects. The intervals are Wald's; with fewer than about 20 levels of a random effect they are too
    narrow.

    Args:
        table: a tidy table with a row per value.
        outcome: the column of the outcome: numbers.
        fixed: columns of fixed effects: numbers are a line, all else is levels, against the first in the
            table.
        categorical: numeric columns among the fixed ones that are levels.
        random: columns whose levels are a random sample, such as the seed and the agent.
        level: the confidence level.

    Raises:
        StatisticsError: no such column; missing values; a model that cannot be estimated, or whose search for
            the variances did not converge.
    """
    where = "mixed_model"
    fraction(f"{where}, level", level)
    found = columns(table)
    values = number_list(f"{where}, outcome", column(found, outcome, "outcome"), 4)
    if not random:
        raise StatisticsError(
            f"{where}, random", "it is empty", "a column or more", "use factor_effects without one"
        )
    terms: dict[str, list[float]] = {"intercept": [1.0] * len(values)}
    for name in fixed:
        cells = category_list(f"{where}, {name}", column(found, name, "fixed"))
        numeric = all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells)
        if numeric and name not in categorical:
            terms[name] = [float(cell) for cell in cells]
            continue
        levels = list(dict.fromkeys(cells))
        for label in levels[1:]:
            terms[f"{name}: {label} - {levels[0]}"] = [float(cell == label) for cell in cells]
    numbers = []
    for name in random:
        known: dict[Any, int] = {}
        cells = category_list(f"{where}, {name}", column(found, name, "random"))
        numbers.append(np.array([known.setdefault(cell, len(known)) for cell in cells]))
    try:
        fitted = fit(np.array(list(terms.values())).T, numbers, values)
    except (
        ValueError,
        RuntimeError,
    ) as error:  # LinAlgError is a ValueError; of sparse systems, RuntimeError
        raise StatisticsError(
            where,
            f"the model cannot be estimated ({error})",
            "terms that the data can tell apart",
            "leave some out",
        ) from error
    if not fitted.converged and _explained(np.array(list(terms.values())).T, numbers, values):
        raise StatisticsError(
            where, f"the fixed effects and {' and '.join(random)} explain every value: no variance is left",
            "values that differ within them", "compare the values by paired differences",
        )  # fmt: skip
    if not fitted.converged:
        raise StatisticsError(
            where, "the search for the variances did not converge", "more values, or fewer random effects",
            "leave random effects out",
        )  # fmt: skip
    score = float(special.ndtri((1 + level) / 2))
    effects = {}
    for place, label in enumerate(terms):
        value, half = float(fitted.coefficients[place]), score * math.sqrt(fitted.covariance[place, place])
        interval = Interval(value - half, value + half, level, "Wald")
        effects[label] = Estimate(label, value, interval, len(values))
    variances = dict(zip((*random, "residual"), fitted.variances.tolist(), strict=True))
    said = [
        f"the variance of {name} is estimated as 0: nothing of it is seen beside the other terms"
        for name in random
        if variances[name] == 0
    ]
    few = [name for name in random if len(set(column(found, name, "random"))) < 20]
    said += [f"{name} has fewer than 20 levels: intervals may be too narrow" for name in few]
    return MixedModel(effects, variances, len(values), True, tuple(said))
