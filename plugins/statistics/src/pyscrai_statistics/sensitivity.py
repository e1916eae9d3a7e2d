"""Sobol and Morris indices of numeric factors, through SALib (extra `sensitivity`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .checks import Numbers, count, fraction, number_list
from .results import Estimate, Interval, Result, StatisticsError
from .tables import optional_module

Bounds = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Sobol(Result):
    """Shares of the outcome's variance (Sobol 2001).

    `first`: due to each factor alone; `total`: with all its interactions (Saltelli et al. 2010).
    """

    first: Mapping[str, Estimate]
    total: Mapping[str, Estimate]
    n: int


@dataclass(frozen=True)
class Morris(Result):
    """Elementary effects (Morris 1991), in the unit of the outcome per range of a factor.

    `importance`: the mean of their sizes (mu*, Campolongo et al. 2007); `mean`: with signs; `sd`: a large one
    tells that the effect is not linear, or depends on other factors.
    """

    importance: Mapping[str, Estimate]
    mean: Mapping[str, float]
    sd: Mapping[str, float]
    n: int


def sobol_design(bounds: Bounds, *, n: int, seed: int = 0) -> list[dict[str, float]]:
    """The settings at which to run for `sobol_indices`: n * (factors + 2) of them (Saltelli 2002).

    Args:
        bounds: the lowest and the highest value of each factor.
        n: the base size, a power of 2.
        seed: of the design, a whole number from 0.

    Raises:
        StatisticsError: the extra is missing; bounds that are not in order; an n that is no power of 2.
    """
    problem = _problem("sobol_design", bounds)
    count("sobol_design, n", n, 2)
    if n & (n - 1):
        raise StatisticsError("sobol_design, n", f"it is {n}", "a power of 2", f"give {1 << n.bit_length()}")
    sample = optional_module("SALib.sample.sobol", "sensitivity").sample
    rows = sample(problem, n, calc_second_order=False, seed=count("seed", seed, 0))
    return [dict(zip(bounds, row, strict=True)) for row in rows.tolist()]


def sobol_indices(bounds: Bounds, outcomes: Iterable[Any], *, level: float = 0.95, seed: int = 0) -> Sobol:
    """The Sobol indices of each factor, with bootstrap intervals.

    Args:
        bounds: as for `sobol_design`.
        outcomes: numbers: the outcome of each setting of that design, in its order.
        level: the confidence level.
        seed: of the bootstrap, a whole number from 0.

    Raises:
        StatisticsError: the extra is missing; outcomes of another number, not finite, or all equal.
    """
    where = "sobol_indices"
    problem = _problem(where, bounds)
    values = _outcomes(where, outcomes, len(bounds) + 2)
    fraction(f"{where}, level", level)
    analyze = optional_module("SALib.analyze.sobol", "sensitivity").analyze
    found = analyze(problem, values, calc_second_order=False, conf_level=level, seed=count("seed", seed, 0))
    return Sobol(
        _estimates("first-order index", bounds, found["S1"], found["S1_conf"], level, len(values)),
        _estimates("total index", bounds, found["ST"], found["ST_conf"], level, len(values)),
        len(values),
    )


def morris_design(bounds: Bounds, *, n: int, levels: int = 4, seed: int = 0) -> list[dict[str, float]]:
    """The settings at which to run for `morris_indices`: n * (factors + 1) of them.

    Args:
        bounds: the lowest and the highest value of each factor.
        n: trajectories.
        levels: of the grid, an even number.
        seed: of the design, a whole number from 0.

    Raises:
        StatisticsError: the extra is missing; bounds that are not in order.
    """
    problem = _problem("morris_design", bounds)
    count("morris_design, n", n, 2)
    count("morris_design, levels", levels, 2)
    sample = optional_module("SALib.sample.morris", "sensitivity").sample
    rows = sample(problem, n, num_levels=levels, seed=count("seed", seed, 0))
    return [dict(zip(bounds, row, strict=True)) for row in rows.tolist()]


def morris_indices(
    bounds: Bounds,
    design: Iterable[Mapping[str, float]],
    outcomes: Iterable[Any],
    *,
    levels: int = 4,
    level: float = 0.95,
    seed: int = 0,
) -> Morris:
    """The elementary effects of each factor, with bootstrap intervals of their mean sizes.

    Args:
        bounds, levels: as for `morris_design`.
        design: the settings that it gave.
        outcomes: numbers: the outcome of each setting, in the same order.
        level: the confidence level.
        seed: of the bootstrap, a whole number from 0.

    Raises:
        StatisticsError: the extra is missing; outcomes of another number, not finite, or all equal.
    """
    where = "morris_indices"
    problem = _problem(where, bounds)
    settings = np.array([[row[name] for name in bounds] for row in design], dtype=np.float64)
    values = _outcomes(where, outcomes, len(bounds) + 1)
    fraction(f"{where}, level", level)
    if len(settings) != len(values):
        raise StatisticsError(
            where,
            f"there are {len(settings)} settings and {len(values)} outcomes",
            "as many",
            "run each setting",
        )
    analyze = optional_module("SALib.analyze.morris", "sensitivity").analyze
    seed = count("seed", seed, 0)
    found = analyze(problem, settings, values, conf_level=level, num_levels=levels, seed=seed)
    return Morris(
        _estimates(
            "mean size of elementary effects",
            bounds,
            found["mu_star"],
            found["mu_star_conf"],
            level,
            len(values),
        ),
        dict(zip(bounds, map(float, found["mu"]), strict=True)),
        dict(zip(bounds, map(float, found["sigma"]), strict=True)),
        len(values),
    )


def _problem(where: str, bounds: Bounds) -> dict[str, Any]:
    for name, pair in bounds.items():
        low, high = number_list(f"{where}, bounds of {name}", pair, 2)[:2]
        if low >= high:
            raise StatisticsError(
                f"{where}, bounds of {name}", f"they are {pair}", "a low and a high value", "mend them"
            )
    if not bounds:
        raise StatisticsError(
            f"{where}, bounds", "there are none", "the bounds of each factor", "name the factors"
        )
    return {
        "num_vars": len(bounds),
        "names": list(bounds),
        "bounds": [list(pair) for pair in bounds.values()],
    }


def _outcomes(where: str, outcomes: Iterable[Any], block: int) -> Numbers:
    values = number_list(f"{where}, outcomes", outcomes, 2 * block)
    if len(values) % block:
        raise StatisticsError(
            where,
            f"there are {len(values)} outcomes",
            f"a multiple of {block}: one per setting",
            "run the whole design",
        )
    if np.ptp(values) == 0:
        raise StatisticsError(
            where, "all outcomes are equal", "outcomes that vary", "report that nothing matters"
        )
    return values


def _estimates(
    name: str, bounds: Bounds, values: Any, halves: Any, level: float, n: int
) -> dict[str, Estimate]:
    return {
        factor: Estimate(
            f"{name} of {factor}",
            float(value),
            Interval(float(value - half), float(value + half), level, "bootstrap, normal"),
            n,
        )
        for factor, value, half in zip(bounds, values, halves, strict=True)
    }
