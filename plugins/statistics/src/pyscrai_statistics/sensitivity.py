"""Sobol and Morris indices of numeric factors, through SALib (extra `sensitivity`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from .checks import Numbers, count, fraction, number_list
from .results import Estimate, Interval, Result, StatisticsError
from .tables import optional_module

Bounds = Mapping[str, tuple[float, float]]
#: Resamples of the bootstrap.
DRAWS = 1000
_SMALL = (
    "the mean size is estimated below the size of the mean, which cannot be: effects are small beside the "
    "noise of runs, so that their signs are hardly known, and the size is too low; add replicates"
)
_EQUAL = "all values are equal, so no interval can be estimated"
_ONE_RUN = (
    "each point has one run: the noise of runs, which no factor explains, is part of {}; run points twice or "
    "more to take it out"
)


@dataclass(frozen=True)
class Sobol(Result):
    """Shares of the variance of the outcome's mean (Sobol 2001).

    `first`: due to each factor alone; `total`: with all its interactions (Saltelli et al. 2010). `noise` is
    the share of the variance between points that runs of one point explain, which was taken out; None with
    one run of each point, whose noise is part of the variance and of the total indices.
    """

    first: Mapping[str, Estimate]
    total: Mapping[str, Estimate]
    n: int
    replicates: int
    noise: float | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Morris(Result):
    """Elementary effects (Morris 1991), in the unit of the outcome per range of a factor.

    `importance`: the mean of their sizes (mu*, Campolongo et al. 2007); `mean`: with signs; `sd`: a large one
    tells that the effect is not linear, or depends on other factors. With one run of each point
    (`replicates`), the noise of runs is part of importance and sd.
    """

    importance: Mapping[str, Estimate]
    mean: Mapping[str, float]
    sd: Mapping[str, float]
    n: int
    replicates: int
    warnings: tuple[str, ...]


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

    With replicates, these are indices of the outcome's mean (Hart, Alexanderian & Gremaud 2017): products are
    those of different replicates alone, so that the noise of runs, which would count as effects, has the mean
    0 in every part of them, also where replicates share a seed.

    Args:
        bounds: as for `sobol_design`.
        outcomes: the outcome of each setting of that design, in its order: a number, or the numbers of its
            replicates (as many for each setting, in the order of their seeds).
        level: the confidence level.
        seed: of the bootstrap, a whole number from 0.

    Raises:
        StatisticsError: outcomes of another number, not finite, or all equal; replicates whose spread is all
            that makes points differ.
    """
    where = "sobol_indices"
    _problem(where, bounds)
    values = _outcomes(where, outcomes, len(bounds) + 2)
    fraction(f"{where}, level", level)
    random = np.random.default_rng(count("seed", seed, 0))
    values = values - values.mean(axis=0)
    blocks = values.reshape(-1, len(bounds) + 2, values.shape[1])
    one, other = blocks[:, 0], blocks[:, -1]
    squares = (_product(one, one) + _product(other, other)) / 2
    means = (one.mean(axis=1) + other.mean(axis=1)) / 2
    first = [_product(other, blocks[:, place] - one) for place in range(1, len(bounds) + 1)]
    steps = [one - blocks[:, place] for place in range(1, len(bounds) + 1)]
    total = [_product(step, step) / 2 for step in steps]
    rows = np.stack([squares, means, *first, *total])

    def indices(of_rows: Numbers) -> Numbers:
        found: Numbers = of_rows[2:] / (of_rows[0] - of_rows[1] ** 2)
        return found

    whole = rows.mean(axis=1)
    raw = float(np.var(np.concatenate((one.mean(axis=1), other.mean(axis=1)))))
    clean = float(whole[0] - whole[1] ** 2)
    replicates = values.shape[1]
    if clean <= 1e-9 * raw:
        raise StatisticsError(
            where, "points differ by no more than runs of one point", "points that differ by more",
            "add replicates, or report that no effect can be seen",
        )  # fmt: skip
    draws = random.integers(len(means), size=(DRAWS, len(means)))
    drawn = np.array([indices(rows[:, draw].mean(axis=1)) for draw in draws])
    found, spread = indices(whole), drawn.std(axis=0, ddof=1)
    half = float(special.ndtri((1 + level) / 2)) * spread
    size = len(bounds)
    return Sobol(
        _estimates("first-order index", bounds, found[:size], half[:size], level, len(values)),
        _estimates("total index", bounds, found[size:], half[size:], level, len(values)),
        len(values), replicates, None if replicates == 1 else max(0.0, 1 - clean / raw),
        () if replicates > 1 else (_ONE_RUN.format("the total indices"),),
    )  # fmt: skip


def _product(one: Numbers, other: Numbers) -> Numbers:
    """Row by row, the product of two means over replicates, without that of their common noise."""
    found: Numbers = one.mean(axis=1) * other.mean(axis=1)
    replicates = one.shape[1]
    if replicates > 1:
        apart = (one - one.mean(axis=1, keepdims=True)) * (other - other.mean(axis=1, keepdims=True))
        found = found - apart.sum(axis=1) / (replicates - 1) / replicates
    return found


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
    level: float = 0.95,
    seed: int = 0,
) -> Morris:
    """The elementary effects of each factor, with bootstrap intervals of their mean sizes.

    With replicates, the sign that makes an effect positive comes from the other replicates (data splitting,
    Cox 1975): the noise of runs has the mean 0 then, and a factor without an effect the importance 0, while
    effects that are small beside the noise come out smaller than they are. `sd` is without the noise of runs.

    Args:
        bounds: as for `morris_design`.
        design: the settings that it gave.
        outcomes: the outcome of each setting, in the same order: a number, or those of its replicates (as
            many for each setting, in the order of their seeds).
        level: the confidence level.
        seed: of the bootstrap, a whole number from 0.

    Raises:
        StatisticsError: the extra is missing; outcomes of another number, not finite, or all equal.
    """
    where = "morris_indices"
    _problem(where, bounds)
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
    random = np.random.default_rng(count("seed", seed, 0))
    scale = np.array([high - low for low, high in bounds.values()])
    effects = _elementary(where, settings / scale, values, len(bounds))
    sizes, averages = _sizes(effects), effects.mean(axis=2)
    draws = random.integers(len(sizes), size=(DRAWS, len(sizes)))
    half = float(special.ndtri((1 + level) / 2)) * sizes[draws].mean(axis=1).std(axis=0, ddof=1)
    variances, replicates = averages.var(axis=0, ddof=1), values.shape[1]
    if replicates > 1:
        variances = variances - effects.var(axis=2, ddof=1).mean(axis=0) / replicates
    size, average = sizes.mean(axis=0), averages.mean(axis=0)
    importance = _estimates("mean size of elementary effects", bounds, size, half, level, len(values))
    for name, one, mean in zip(bounds, size, average, strict=True):
        if one < abs(mean) - 1e-9:
            importance[name] = replace(importance[name], warnings=(*importance[name].warnings, _SMALL))
    return Morris(
        importance,
        dict(zip(bounds, average.tolist(), strict=True)),
        dict(zip(bounds, np.sqrt(np.maximum(variances, 0.0)).tolist(), strict=True)),
        len(values), replicates, () if replicates > 1 else (_ONE_RUN.format("importance and sd"),),
    )  # fmt: skip


def _elementary(where: str, settings: Numbers, values: Numbers, factors: int) -> Numbers:
    """The elementary effects: trajectories x factors x replicates."""
    found = np.zeros((len(values) // (factors + 1), factors, values.shape[1]))
    for start in range(0, len(values), factors + 1):
        for row in range(start, start + factors):
            step = settings[row + 1] - settings[row]
            (moved,) = np.nonzero(np.abs(step) > 1e-12)
            if len(moved) != 1:
                raise StatisticsError(
                    f"{where}, design", f"{len(moved)} factors differ between settings {row} and {row + 1}",
                    "one in each step of a trajectory", "give the settings in the order of morris_design",
                )  # fmt: skip
            place = int(moved[0])
            found[start // (factors + 1), place] = (values[row + 1] - values[row]) / step[place]
    return found


def _sizes(effects: Numbers) -> Numbers:
    """The size of each effect, by trajectory and factor; with replicates, by the sign of the others."""
    replicates = effects.shape[2]
    if replicates == 1:
        alone: Numbers = np.abs(effects[:, :, 0])
        return alone
    others = (effects.sum(axis=2, keepdims=True) - effects) / (replicates - 1)
    found: Numbers = (effects * np.sign(others)).mean(axis=2)
    return found


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
    """The outcomes: settings x replicates."""
    given = [list(each) if isinstance(each, list | tuple | np.ndarray) else [each] for each in outcomes]
    sizes = {len(each) for each in given}
    if len(sizes) > 1:
        raise StatisticsError(
            f"{where}, outcomes", f"settings have {min(sizes)} to {max(sizes)} replicates", "as many each",
            "leave out the replicates that some settings lack",
        )  # fmt: skip
    flat = number_list(f"{where}, outcomes", [value for each in given for value in each], 2 * block)
    values = flat.reshape(len(given), -1)
    if len(values) % block:
        raise StatisticsError(
            where,
            f"there are {len(values)} outcomes",
            f"a multiple of {block}: one per setting",
            "run the whole design",
        )
    if np.ptp(values.mean(axis=1)) == 0:
        raise StatisticsError(
            where, "all outcomes are equal", "outcomes that vary", "report that nothing matters"
        )
    return values


def _estimates(
    name: str, bounds: Bounds, values: Any, halves: Any, level: float, n: int
) -> dict[str, Estimate]:
    found = {}
    for factor, value, half in zip(bounds, values, halves, strict=True):
        interval = Interval(float(value - half), float(value + half), level, "bootstrap, normal")
        known = bool(half > 0)
        found[factor] = Estimate(
            f"{name} of {factor}", float(value), interval if known else None, n, () if known else (_EQUAL,)
        )
    return found
