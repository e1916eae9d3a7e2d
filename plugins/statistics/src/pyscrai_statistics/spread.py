"""Spread: variance between and within agents, entropy, and habits of answering."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from .checks import Numbers, category_list, fraction, known_categories, name_list, number_list, same_length
from .intervals import few, mean, t_quantile, wilson
from .results import Estimate, Interval, Result, StatisticsError

#: The smallest sizes for which the intervals were measured to cover (see `calibration`).
LEAST_ENTROPY, LEAST_AGENTS, LEAST_RUNS = 200, 12, 20


@dataclass(frozen=True)
class Components(Result):
    """Variances, in the squared unit of the values: between runs, between agents of a run, and within agents.

    Each interval is for normal values. `share_between` is the share of agents in the variance without runs.
    """

    between_runs: Estimate | None
    between_agents: Estimate
    within_agents: Estimate
    share_between: float
    warnings: tuple[str, ...]


def variance_components(
    values: Iterable[Any],
    agents: Sequence[Hashable],
    runs: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
) -> Components:
    """The variance between and within agents: a random-effects model, with agents nested in runs.

    The estimates are those of the analysis of variance, by unweighted means if groups differ in size (Thomas
    & Hultquist 1978). The intervals are the modified large-sample ones for differences of mean squares (Ting,
    Burdick, Graybill, Jeyaratnam & Lu 1990). A negative estimate is reported as 0, as is a lower bound.

    Args:
        values: numbers, at least two of some agent.
        agents: the agent of each value. With runs, an agent's name counts within its run only.
        runs: the run of each value.
        level: the confidence level.

    Raises:
        StatisticsError: lists of unequal length; values that are missing, no numbers or not finite; fewer
            than two agents (in each of two runs); no agent with two values; values that do not vary.
    """
    where = "variance_components"
    found = number_list(where, values, 3)
    fraction(f"{where}, level", level)
    names = [0] * len(found) if runs is None else name_list(f"{where}, runs", runs)
    agents = name_list(f"{where}, agents", agents)
    same_length(f"{where}, agents", found, agents)
    same_length(f"{where}, runs", found, names)
    grouped: dict[Hashable, dict[Hashable, list[float]]] = {}
    for value, agent, run in zip(found.tolist(), agents, names, strict=True):
        grouped.setdefault(run, {}).setdefault(agent, []).append(value)
    cells = [np.array(cell) for run in grouped.values() for cell in run.values()]
    freedom = len(found) - len(cells)
    agents_freedom = len(cells) - len(grouped)
    if freedom < 1 or agents_freedom < 1 or (runs is not None and len(grouped) < 2):
        raise StatisticsError(
            where,
            f"there are {len(grouped)} runs, {len(cells)} agents and {len(found)} values",
            "two agents or more (and two runs, if given), and an agent with two values or more",
            "leave out the runs, or add values",
        )
    within = sum(float(((cell - cell.mean()) ** 2).sum()) for cell in cells) / freedom
    of_runs = [np.array([np.mean(cell) for cell in run.values()]) for run in grouped.values()]
    agent_square = sum(float(((each - each.mean()) ** 2).sum()) for each in of_runs) / agents_freedom
    if within + agent_square == 0:
        raise StatisticsError(
            where, "all values are equal", "values that vary", "report that there is no spread"
        )
    cell_size = 1 / float(np.mean([1 / len(cell) for cell in cells]))
    n = len(found)
    low, high = (freedom * within / float(special.chdtri(freedom, tail)) for tail in _tails(level))
    inner = Estimate("variance within agents", within, Interval(low, high, level, "chi-squared"), n)
    between = _difference(
        "variance between agents",
        agent_square,
        agents_freedom,
        within,
        freedom,
        1 / cell_size,
        level,
        len(cells),
    )
    outer = None
    if runs is not None:
        run_square = float(np.var([each.mean() for each in of_runs], ddof=1))
        share = float(np.mean([1 / len(each) for each in of_runs]))
        outer = _difference(
            "variance between runs", run_square, len(grouped) - 1, agent_square, agents_freedom, share, level,
            len(grouped),
        )  # fmt: skip
    total = (between.estimate or 0.0) + within
    warnings = (
        between.warnings
        + (outer.warnings if outer else ())
        + few(len(cells), LEAST_AGENTS, "agents")
        + (few(len(grouped), LEAST_AGENTS, "runs") if runs is not None else ())
    )
    return Components(outer, between, inner, (between.estimate or 0.0) / total, warnings)


def _tails(level: float) -> tuple[float, float]:
    """Upper tail probabilities, for the lower bound and for the upper one."""
    return (1 - level) / 2, (1 + level) / 2


def _difference(
    name: str,
    above: float,
    above_freedom: int,
    below: float,
    below_freedom: int,
    share: float,
    level: float,
    n: int,
) -> Estimate:
    """The difference `above - share * below` of two mean squares, with its modified large-sample interval."""
    small, large = _tails(level)

    def quantile(tail: float, one: float, other: float) -> float:
        return float(special.fdtri(one, other, 1 - tail))

    def ratio(tail: float, freedom: int) -> float:  # an F quantile with infinite denominator
        return float(special.chdtri(freedom, tail)) / freedom

    first, second = above, share * below
    g1, g2 = 1 - 1 / ratio(small, above_freedom), 1 - 1 / ratio(small, below_freedom)
    h1, h2 = 1 / ratio(large, above_freedom) - 1, 1 / ratio(large, below_freedom) - 1
    f_small, f_large = (
        quantile(small, above_freedom, below_freedom),
        quantile(large, above_freedom, below_freedom),
    )
    g12 = ((f_small - 1) ** 2 - g1**2 * f_small**2 - h2**2) / f_small
    h12 = ((1 - f_large) ** 2 - h1**2 * f_large**2 - g2**2) / f_large
    down = g1**2 * first**2 + h2**2 * second**2 + g12 * first * second
    up = h1**2 * first**2 + g2**2 * second**2 + h12 * first * second
    low = max(0.0, first - second - math.sqrt(max(0.0, down)))
    high = max(low, first - second + math.sqrt(max(0.0, up)))
    if high == 0:
        warning = f"the {name} is not above 0 by any bound: it is shown as 0, without an interval"
        return Estimate(name, 0.0, None, n, (warning,))
    interval = Interval(low, high, level, "modified large-sample")
    return Estimate(name, max(0.0, first - second), interval, n)


def entropy(
    values: Iterable[Any],
    *,
    categories: Sequence[Any] | None = None,
    runs: Sequence[Hashable] | None = None,
    base: float = 2.0,
    level: float = 0.95,
) -> Estimate:
    """The entropy of categories, corrected for its bias (Miller 1955, Madow): in bits, or by another base.

    The interval has the delta method's standard error, with the variance of second order that remains if the
    categories are equally frequent. Below 200 values it was measured to be too narrow if categories are rare.
    With runs, the standard error is the jackknife's, which leaves out one run at a time (Efron & Stein 1981);
    it is no smaller than what that variance of second order gives, as where all runs have equal shares.

    Args:
        values: categories (texts, whole numbers or booleans), independent of each other, or of those of other
            runs; at least 2.
        categories: all possible ones; they bound the entropy. Unknown values are then an error.
        runs: the run of each value, where values of a run depend on each other; at least 2 different ones.
        base: of the logarithm: 2 for bits, e for nats.
        level: the confidence level.

    Raises:
        StatisticsError: missing values, unknown categories, fewer than 2 values or runs, lists of unequal
            length, a base of at most 1.
    """
    where = "entropy"
    found = category_list(where, values, 2)
    fraction(f"{where}, level", level)
    if not base > 1:
        raise StatisticsError(f"{where}, base", f"it is {base!r}", "a number above 1", "give 2 for bits")
    known = None if categories is None else known_categories(where, found, categories)
    n = len(found)
    counts = np.array([found.count(each) for each in dict.fromkeys(found)], dtype=np.float64)
    plain, corrected = _entropy_of(counts)
    most = math.inf if known is None else math.log(len(known))
    scale = math.log(base)
    details = {"uncorrected": plain / scale, "categories": len(counts)}
    if len(counts) == 1:
        warning = f"all {n} values are {found[0]!r}, so no interval can be estimated"
        return Estimate("entropy", 0.0, None, n, (warning,), details)
    if runs is None:
        shares = counts / n
        variance = max(0.0, float(shares @ np.log(shares) ** 2) - plain**2) / n
        error, freedom = math.sqrt(variance + (corrected - plain) / n), n - 1
        method, warnings = "delta method", few(n, LEAST_ENTROPY, "values")
    else:
        error, freedom = _jackknife(where, found, name_list(f"{where}, runs", runs), counts)
        error = max(error, math.sqrt((corrected - plain) / n))
        method, warnings = "jackknife over runs", few(freedom + 1, LEAST_RUNS, "runs")
    half = t_quantile(level, freedom) * error
    estimate = min(corrected, most)
    low, high = max(0.0, estimate - half), min(most, estimate + half)
    interval = Interval(low / scale, high / scale, level, method)
    return Estimate("entropy", estimate / scale, interval, n, warnings, details)


def _entropy_of(counts: Numbers) -> tuple[float, float]:
    """The entropy of counts, in nats, without and with the correction for its bias."""
    seen = counts[counts > 0]
    shares = seen / seen.sum()
    plain = -float(shares @ np.log(shares))
    return plain, plain + (len(seen) - 1) / (2 * float(seen.sum()))


def _jackknife(
    where: str, values: Sequence[Any], runs: Sequence[Hashable], counts: Numbers
) -> tuple[float, int]:
    """The standard error of an entropy, from leaving out one run at a time, and its degrees of freedom."""
    same_length(f"{where}, runs", values, runs)
    place = {each: number for number, each in enumerate(dict.fromkeys(values))}
    grouped: dict[Hashable, Numbers] = {}
    for value, run in zip(values, runs, strict=True):
        grouped.setdefault(run, np.zeros(len(counts)))[place[value]] += 1
    if len(grouped) < 2:
        raise StatisticsError(
            f"{where}, runs", "there is one run", "two or more", "leave `runs` out, or add runs"
        )
    without = np.array([_entropy_of(counts - each)[1] for each in grouped.values()])
    freedom = len(grouped) - 1
    return math.sqrt(freedom * float(np.var(without))), freedom


def first_option_share(
    chosen: Iterable[Any],
    first: Iterable[Any] | Any,
    agents: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """The share of answers that are the option shown first.

    Without agents, answers count as independent, and the interval is Wilson's. With agents, each agent's
    share is one value, and the interval is that of their mean (see `mean`).

    Args:
        chosen: the options chosen.
        first: the option shown first: one for each answer, or the same for all.
        agents: who gave each answer.
        level, seed: of the interval.

    Raises:
        StatisticsError: missing values, lists of unequal length.
    """
    where = "first_option_share"
    found = category_list(where, chosen, 1)
    shown = (
        [first] * len(found)
        if isinstance(first, str | int | float)
        else category_list(f"{where}, first", first)
    )
    same_length(where, found, shown)
    hits = np.array([one == other for one, other in zip(found, shown, strict=True)], dtype=float)
    return _share_of(where, "share of the first option", hits, agents, level, seed)


def _share_of(
    where: str, name: str, hits: Numbers, agents: Sequence[Hashable] | None, level: float, seed: int
) -> Estimate:
    if agents is None:
        found = wilson(int(hits.sum()), len(hits), level=level)
    else:
        agents = name_list(f"{where}, agents", agents)
        same_length(where, hits, agents)
        grouped: dict[Hashable, list[float]] = {}
        for hit, agent in zip(hits.tolist(), agents, strict=True):
            grouped.setdefault(agent, []).append(hit)
        found = mean([sum(each) / len(each) for each in grouped.values()], level=level, seed=seed)
    return Estimate(name, found.estimate, found.interval, found.n, found.warnings)


def straight_lining_share(
    answers: Iterable[Sequence[Any]],
    runs: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """The share of respondents who gave the same answer to every item.

    Without runs, respondents count as independent, and the interval is Wilson's. With runs, each run's share
    is one value, and the interval is that of their mean (see `mean`).

    Args:
        answers: for each respondent, the answers to at least 2 items.
        runs: the run of each respondent.
        level, seed: of the interval.

    Raises:
        StatisticsError: no respondents, a respondent with fewer than 2 answers, missing answers, lists of
            unequal length.
    """
    where = "straight_lining_share"
    listed = [category_list(f"{where}, respondent {number}", each, 2) for number, each in enumerate(answers)]
    if not listed:
        raise StatisticsError(where, "there are no respondents", "at least 1", "give their answers")
    hits = np.array([len(set(each)) == 1 for each in listed], dtype=float)
    return _share_of(where, "share of straight-lining", hits, runs, level, seed)
