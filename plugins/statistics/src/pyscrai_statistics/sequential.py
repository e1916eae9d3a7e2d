"""Confidence sequences: intervals that stay valid however often one looks, and whenever one stops."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .checks import Numbers, count, fraction, number_list
from .results import Interval, Result, StatisticsError

#: The first look for which the asymptotic sequence was measured to keep its level (see `calibration`).
LEAST_START = 100


@dataclass(frozen=True)
class ConfidenceSequence(Result):
    """An interval for the mean after each value.

    `low[t]`, `high[t]` and `means[t]` belong to the first t + 1 values. `estimate` and `interval` are the
    last ones. With a probability of at least `level`, the mean lies in all of the intervals at once. Where a
    sequence has not begun, `low` and `high` are infinite (null in JSON).
    """

    name: str
    estimate: float
    interval: Interval | None
    n: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    means: tuple[float, ...]
    warnings: tuple[str, ...] = ()


def betting_sequence(
    values: Iterable[Any], *, bounds: tuple[float, float] = (0.0, 1.0), level: float = 0.95, grid: int = 1000
) -> ConfidenceSequence:
    """A confidence sequence for the mean of bounded values, by betting.

    The hedged capital of Waudby-Smith & Ramdas (2023, "Estimating means of bounded random variables by
    betting", section 4), with predictable plug-in bets that are at most half of what may be lost. It needs no
    assumption but the bounds, and holds at every n.

    Args:
        values: numbers within the bounds, in the order in which they came.
        bounds: the lowest and the highest possible value (not of these data). Differences of two arms with
            values between 0 and 1 lie between -1 and 1.
        level: the confidence level.
        grid: means that are tried. Ends of intervals are rounded outward to a part of 1/grid of the bounds.

    Raises:
        StatisticsError: values that are missing, no numbers, not finite or out of bounds; bounds that are not
            two finite numbers in order; a level outside of (0, 1).
    """
    where = "betting_sequence"
    found = number_list(where, values, 1)
    limits = number_list(f"{where}, bounds", bounds, 2)
    fraction(f"{where}, level", level)
    count(f"{where}, grid", grid, 10)
    if len(limits) != 2 or limits[0] >= limits[1]:
        raise StatisticsError(
            f"{where}, bounds",
            f"they are {bounds!r}",
            "the lowest and the highest possible value",
            "mend them",
        )
    low, width = float(limits[0]), float(limits[1] - limits[0])
    scaled = (found - low) / width
    if scaled.min() < 0 or scaled.max() > 1:
        odd = found[(scaled < 0) | (scaled > 1)][0]
        raise StatisticsError(
            where,
            f"{odd:g} is a value",
            f"values from {limits[0]:g} to {limits[1]:g}",
            "give the true bounds",
        )
    n = len(scaled)
    lows, highs = _kept(scaled, 1 - level, grid)
    lows, highs = low + width * lows, low + width * highs
    running = np.cumsum(found) / np.arange(1, n + 1)
    interval = Interval(float(lows[-1]), float(highs[-1]), level, "betting, hedged capital")
    return ConfidenceSequence(
        "mean",
        float(running[-1]),
        interval,
        n,
        tuple(lows.tolist()),
        tuple(highs.tolist()),
        tuple(running.tolist()),
    )


def _kept(scaled: Numbers, alpha: float, grid: int) -> tuple[Numbers, Numbers]:
    """The lowest and the highest mean that was not excluded yet, after each value."""
    means = np.linspace(0, 1, grid + 1)
    bets = _bets(scaled, alpha)
    with np.errstate(divide="ignore"):
        most_up, most_down = 0.5 / means, 0.5 / (1 - means)
    capitals = np.zeros(grid + 1), np.zeros(grid + 1)
    lefts, rights = [np.zeros(0, dtype=int)], [np.zeros(0, dtype=int)]
    for start in range(0, len(scaled), 256):
        bet, gains = bets[start : start + 256, None], scaled[start : start + 256, None] - means
        up = capitals[0] + np.cumsum(np.log1p(np.minimum(bet, most_up) * gains), axis=0)
        down = capitals[1] + np.cumsum(np.log1p(-np.minimum(bet, most_down) * gains), axis=0)
        capitals = up[-1], down[-1]
        # Both capitals are hedged with one half each; a mean is excluded when one of them reaches 1 / alpha.
        kept = np.maximum(up, down) < math.log(2 / alpha)
        found = kept.any(axis=1)
        lefts.append(np.where(found, kept.argmax(axis=1) - 1, 0))
        rights.append(np.where(found, grid + 1 - kept[:, ::-1].argmax(axis=1), grid))
    left = np.maximum.accumulate(np.clip(np.concatenate(lefts), 0, grid))
    right = np.minimum.accumulate(np.clip(np.concatenate(rights), 0, grid))
    # An empty intersection: the sequence has erred, or the mean moves. The interval shrinks to a point.
    middle = (left + right) // 2
    return means[np.where(left > right, middle, left)], means[np.where(left > right, middle, right)]


def _bets(scaled: Numbers, alpha: float) -> Numbers:
    """The bet before each value, from the variance of the values before it (section 4.2 of the paper)."""
    n = len(scaled)
    times = np.arange(1, n + 1)
    averages = (0.5 + np.cumsum(scaled)) / (times + 1)
    variances = (0.25 + np.cumsum((scaled - averages) ** 2)) / (times + 1)
    before = np.concatenate(([0.25], variances[:-1]))
    found: Numbers = np.sqrt(2 * math.log(2 / alpha) / (before * times * np.log1p(times)))
    return found


def asymptotic_sequence(
    values: Iterable[Any], *, level: float = 0.95, start: int = LEAST_START, tightest: int | None = None
) -> ConfidenceSequence:
    """A confidence sequence for the mean of values without bounds; its level holds for large n.

    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024, "Time-uniform central limit theory and asymptotic
    confidence sequences", theorem 2.2). The end on the side to which the values are skewed is moved outward
    by Johnson's correction (1978), without which it errs too often for skewed values. Before `start` values
    there is no interval: with few values the approximation fails. Prefer `betting_sequence` where the values
    have bounds.

    Args:
        values: numbers, in the order in which they came; at least 2.
        level: the confidence level.
        start: the first look.
        tightest: the n at which the interval is to be tightest (default: `start`).

    Raises:
        StatisticsError: values that are missing, no numbers or not finite; a level outside of (0, 1).
    """
    where = "asymptotic_sequence"
    found = number_list(where, values, 2)
    fraction(f"{where}, level", level)
    count(f"{where}, start", start, 2)
    target = start if tightest is None else count(f"{where}, tightest", tightest, 2)
    alpha, n = 1 - level, len(found)
    times = np.arange(1, n + 1)
    scale = float(np.abs(found - found[0]).max()) or 1.0  # so that no power overflows
    centered = (found - found[0]) / scale
    running, squares, cubes = (np.cumsum(centered**power) / times for power in (1, 2, 3))
    variances = np.maximum(squares - running**2, 0) * times / np.maximum(times - 1, 1)
    # The parameter that makes the interval tightest at `target` (appendix B.2 of the paper).
    rho = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / target
    scores = np.sqrt(2 * (times * rho + 1) / (times * rho) * np.log(np.sqrt(times * rho + 1) / alpha))
    half = scores * np.sqrt(variances / times)
    # Johnson (1978): how far skewness moves the t statistic, in the unit of the values.
    third = cubes - 3 * running * squares + 2 * running**3
    skew = (
        np.divide(third, variances, out=np.zeros(n), where=variances > 0) * (1 + 2 * scores**2) / (6 * times)
    )
    half[: start - 1] = np.inf
    lows, highs = running - half + np.minimum(skew, 0), running + half + np.maximum(skew, 0)
    running, lows, highs = (found[0] + scale * each for each in (running, lows, highs))
    warnings = []
    if start < LEAST_START:
        warnings.append(
            f"a start before {LEAST_START} values was measured to err too often for skewed values"
        )
    interval = None
    if n >= start:
        interval = Interval(float(lows[-1]), float(highs[-1]), level, "asymptotic confidence sequence")
    else:
        warnings.append(f"there are {n} values, and the sequence begins with {start}")
    return ConfidenceSequence(
        "mean",
        float(running[-1]),
        interval,
        n,
        tuple(lows.tolist()),
        tuple(highs.tolist()),
        tuple(running.tolist()),
        tuple(warnings),
    )
