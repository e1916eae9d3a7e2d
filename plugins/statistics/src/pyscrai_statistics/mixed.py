"""Mixed models, through statsmodels (extra `mixed`)."""

from __future__ import annotations

import math
import warnings as python_warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import special

from .checks import category_list, fraction, number_list
from .results import Estimate, Interval, Result, StatisticsError
from .tables import column, columns, optional_module


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


def mixed_model(
    table: Any, *, outcome: str, fixed: Sequence[str], random: Sequence[str], level: float = 0.95
) -> MixedModel:
    """A linear mixed model with crossed random intercepts, by restricted likelihood (Laird & Ware 1982).

    Use it for several values per run or per agent, such as an arm's effect with seed and agent as random
    effects. The intervals are Wald's; with fewer than about 20 levels of a random effect they are too narrow.

    Args:
        table: a tidy table with a row per value.
        outcome: the column of the outcome: numbers.
        fixed: columns of fixed effects: numbers are a line, all else is levels, against the first in the
            table.
        random: columns whose levels are a random sample, such as the seed and the agent.
        level: the confidence level.

    Raises:
        StatisticsError: the extra is missing; no such column; missing values; a model that cannot be
            estimated.
    """
    where = "mixed_model"
    fraction(f"{where}, level", level)
    found = columns(table)
    values = number_list(f"{where}, outcome", column(found, outcome, "outcome"), 4)
    if not random:
        raise StatisticsError(
            f"{where}, random", "it is empty", "a column or more", "use factor_effects without one"
        )
    pandas = optional_module("pandas", "mixed")
    models = optional_module("statsmodels.regression.mixed_linear_model", "mixed")
    # Own names, because those of the table may not be names of a formula.
    data: dict[str, Any] = {"outcome": values, "everything": [0] * len(values)}
    names: dict[str, str] = {}
    for number, name in enumerate(fixed):
        cells = category_list(f"{where}, {name}", column(found, name, "fixed"))
        numeric = all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells)
        if numeric:
            data[f"fixed{number}"] = [float(cell) for cell in cells]
            names[f"fixed{number}"] = name
            continue
        levels = list(dict.fromkeys(map(str, cells)))
        for place, label in enumerate(levels[1:], 1):
            data[f"fixed{number}level{place}"] = [float(str(cell) == label) for cell in cells]
            names[f"fixed{number}level{place}"] = f"{name}: {label} - {levels[0]}"
    parts = {}
    for number, name in enumerate(random):
        cells = category_list(f"{where}, {name}", column(found, name, "random"))
        data[f"random{number}"] = [str(cell) for cell in cells]
        parts[f"random{number}"] = f"0 + C(random{number})"
    formula = "outcome ~ " + (" + ".join(names) or "1")
    with python_warnings.catch_warnings(record=True) as caught:
        python_warnings.simplefilter("always")
        try:
            model = models.MixedLM.from_formula(
                formula, groups="everything", re_formula="0", vc_formula=parts, data=pandas.DataFrame(data)
            )
            fitted = model.fit(reml=True, method=["powell", "lbfgs"])
            errors = fitted.bse_fe
        except (ValueError, ArithmeticError) as error:  # LinAlgError is a ValueError
            raise StatisticsError(
                where,
                f"the model cannot be estimated ({error})",
                "terms that the data can tell apart",
                "leave some out",
            ) from error
    score = float(special.ndtri((1 + level) / 2))
    effects = {}
    for term, label in {"Intercept": "intercept", **names}.items():
        value, half = float(fitted.fe_params[term]), score * float(errors[term])
        interval = Interval(value - half, value + half, level, "Wald") if math.isfinite(half) else None
        effects[label] = Estimate(label, value, interval, len(values))
    variances = dict(
        zip((random[int(each[6:])] for each in model.exog_vc.names), map(float, fitted.vcomp), strict=True)
    )
    variances["residual"] = float(fitted.scale)
    said = [f"statsmodels: {each.message}" for each in caught if issubclass(each.category, UserWarning)]
    few = [name for name in random if len(set(column(found, name, "random"))) < 20]
    said += [f"{name} has fewer than 20 levels: intervals may be too narrow" for name in few]
    return MixedModel(effects, variances, len(values), bool(fitted.converged), tuple(dict.fromkeys(said)))
