"""Tests by permutation: paired (sign flips), unpaired, and of equivalence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .checks import Numbers, count, direction_of, is_constant, number_list, paired_numbers, subtract
from .resampling import EXACT, LISTED, RESAMPLES, chunks, generator
from .results import StatisticsError, Test


def tails(null: Numbers, observed: float, direction: str, drawn: bool) -> tuple[float, float]:
    """The p-value and the mid-p value of an observed statistic among those of assignments.

    Drawn assignments are joined by the observed one, so that p = (b + 1) / (m + 1) (Phipson & Smyth 2010).
    """
    if direction == "less":
        null, observed = -null, -observed
    elif direction == "two-sided":
        null, observed = np.abs(null), abs(observed)
    null, observed = np.nan_to_num(null), float(np.nan_to_num(observed))
    slack = 1e-9 * max(abs(observed), float(np.abs(null[np.abs(null) < 1e300]).max(initial=0.0)))
    equal = int((np.abs(null - observed) <= slack).sum()) + drawn
    above = int((null > observed + slack).sum())
    total = len(null) + drawn
    return (above + equal) / total, (above + equal / 2) / total


def sign_flip_test(
    first: Iterable[Any],
    second: Iterable[Any] | None = None,
    *,
    direction: str = "two-sided",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Test:
    """The paired permutation test of the mean difference (Fisher 1935).

    Under the hypothesis of no effect, the two values of each pair could be exchanged. All assignments are
    counted up to 2**20 of them (20 pairs that differ), else `resamples` are drawn.

    Args:
        first: numbers; or, without `second`, the differences of the pairs.
        second: the pairs' other values.
        direction: `greater` if the claim is that the first is greater than the second.
        seed: of the draws, a whole number from 0.
        resamples: how many assignments are drawn if there are too many.

    Raises:
        StatisticsError: lists of unequal length, values that are missing, no numbers or not finite, no pair
            that differs (nothing can be tested).
    """
    where = "sign_flip_test"
    if second is None:
        values = number_list(where, first, 1)
    else:
        one, other = paired_numbers(where, first, second, 1)
        values = subtract(one, other)
    direction_of(where, direction)
    count(f"{where}, resamples", resamples)
    moved = values[values != 0]
    if not moved.size:
        raise StatisticsError(
            where,
            f"all {len(values)} differences are 0",
            "pairs that differ",
            "report that the arms are identical",
        )
    if 2 ** len(moved) <= EXACT:
        p_value, p_mid = exact_flips(moved, direction)
        method = f"sign flips, all {2 ** len(moved)} assignments"
    else:
        p_value, p_mid = tails(
            _flipped(moved, resamples, generator(seed, where)), moved.sum(), direction, True
        )
        method = f"sign flips, {resamples} random assignments"
    return Test("sign-flip", float(values.mean()), p_value, p_mid, direction, len(values), method)


def exact_flips(values: Numbers, direction: str) -> tuple[float, float]:
    """Counts all assignments by the sums of two halves (Horowitz & Sahni 1974): fast, and small in memory."""
    halves = []
    for part in (values[: len(values) // 2], values[len(values) // 2 :]):
        sums = np.zeros(1)
        for value in part:
            sums = np.concatenate((sums - value, sums + value))
        halves.append(np.sort(sums))
    observed, slack = float(values.sum()), 1e-9 * float(np.abs(values).sum())
    observed = {"less": -observed, "greater": observed, "two-sided": abs(observed)}[direction]
    total = len(halves[0]) * len(halves[1])
    # How many sums are at least, and more than, the observed one; the distribution is symmetric around 0.
    least, more = (
        total - int(np.searchsorted(halves[1], observed + sign * slack - halves[0]).sum()) for sign in (-1, 1)
    )
    if direction == "two-sided":
        if observed <= slack:
            return 1.0, 1.0 - (least - more) / total / 2
        least, more = 2 * least, 2 * more
    return least / total, (least + more) / 2 / total


def _flipped(values: Numbers, draws: int, random: np.random.Generator) -> Numbers:
    """Sums of the values with random signs: eight signs are one random byte, which is looked up."""
    groups = np.pad(values, (0, -len(values) % 8)).reshape(-1, 8)
    signs = 1.0 - 2.0 * ((np.arange(256)[:, None] >> np.arange(8)) & 1)
    sums = groups @ signs.T
    places = np.arange(len(groups))
    return np.concatenate(
        [
            sums[places, random.integers(0, 256, (rows, len(groups)), dtype=np.uint8)].sum(axis=1)
            for rows in chunks(draws, len(groups))
        ]
    )


def permutation_test(
    first: Iterable[Any],
    second: Iterable[Any],
    *,
    direction: str = "two-sided",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Test:
    """The unpaired permutation test of the difference of means, studentized.

    Exact if both samples have the same distribution, and right for large samples if only the means are equal,
    because the statistic is Welch's t (Janssen 1997; Chung & Romano 2013). All assignments are
    listed up to 20,000 of them (8 values in each sample), else `resamples` are drawn.

    Args:
        first, second: numbers, at least 2 of each.
        direction: `greater` if the claim is that the first is greater than the second.
        seed: of the draws, a whole number from 0.
        resamples: how many assignments are drawn if there are too many.

    Raises:
        StatisticsError: values that are missing, no numbers, not finite, fewer than 2, or all equal.
    """
    where = "permutation_test"
    one, other = number_list(f"{where}, first", first, 2), number_list(f"{where}, second", second, 2)
    direction_of(where, direction)
    count(f"{where}, resamples", resamples)
    everything = np.concatenate((one, other))
    if is_constant(everything):
        raise StatisticsError(
            where,
            f"all {len(everything)} values are equal",
            "values that differ",
            "report that the arms are identical",
        )
    everything = everything - everything.mean()
    size, total = len(one), len(everything)
    assignments = math.comb(total, size)
    exact = assignments <= LISTED
    groups = (
        _all_groups(total, size) if exact else _random_groups(total, size, resamples, generator(seed, where))
    )
    null = np.concatenate([_welch(everything, each) for each in groups])
    observed = float(_welch(everything, np.arange(size)[None])[0])
    p_value, p_mid = tails(null, observed, direction, not exact)
    method = f"studentized permutations, {'all ' if exact else ''}{assignments if exact else resamples}"
    method += " assignments" if exact else " random assignments"
    return Test("permutation", observed, p_value, p_mid, direction, total, method)


def _welch(values: Numbers, groups: Any) -> Numbers:
    """Welch's t for each row of places that are the first sample."""
    size, rest = groups.shape[1], len(values) - groups.shape[1]
    chosen = values[groups]
    sums, squares = chosen.sum(axis=1), (chosen**2).sum(axis=1)
    others, other_squares = values.sum() - sums, (values**2).sum() - squares
    slack = 1e-12 * float((values**2).sum())
    within = [
        np.where(part < slack, 0.0, part) / (number - 1) / number
        for part, number in ((squares - sums**2 / size, size), (other_squares - others**2 / rest, rest))
    ]
    difference = sums / size - others / rest
    difference[np.abs(difference) < 1e-12 * np.abs(values).max()] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(difference == 0, 0.0, difference / np.sqrt(within[0] + within[1]))


def _all_groups(total: int, size: int) -> Iterator[Any]:
    listed = itertools.combinations(range(total), size)
    while chunk := list(itertools.islice(listed, 100_000)):
        yield np.array(chunk)


def _random_groups(total: int, size: int, draws: int, random: np.random.Generator) -> Iterator[Any]:
    for rows in chunks(draws, total):
        yield random.random((rows, total)).argpartition(size, axis=1)[:, :size]


def equivalence_test(
    first: Iterable[Any],
    second: Iterable[Any],
    smallest: float | tuple[float, float],
    *,
    paired: bool,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Test:
    """Two one-sided tests that the difference of means is smaller than the smallest one of interest.

    A small p-value says that the difference lies between the bounds (Schuirmann 1987). The one-sided tests
    are `sign_flip_test` or `permutation_test`, after the bound was taken from the first sample. They are
    right if the arms differ by a shift; for proportions near 0 or 1 they were measured to reject in up to 7 %
    instead of 5 %.

    Args:
        first, second: numbers, paired or not.
        smallest: the smallest difference of interest, above 0, in the unit of the values; or a lower bound
            below 0 and an upper one above it.
        paired: whether element i of both belongs to one pair.
        seed, resamples: as in the one-sided tests.

    Raises:
        StatisticsError: as the one-sided tests; bounds that do not enclose 0.
    """
    where = "equivalence_test"
    low, high = bounds_of(where, smallest)
    one = number_list(f"{where}, first", first, 2)
    other = number_list(f"{where}, second", second, 2)
    test = sign_flip_test if paired else permutation_test
    found = [
        test(one - bound, other, direction=direction, seed=seed, resamples=resamples)
        for bound, direction in ((low, "greater"), (high, "less"))
    ]
    return Test(
        "equivalence",
        float(one.mean() - other.mean()),
        max(each.p_value for each in found),
        max(each.p_mid for each in found),
        f"between {low:g} and {high:g}",
        found[0].n,
        f"two one-sided tests: {found[0].method}",
    )


def bounds_of(where: str, smallest: float | tuple[float, float]) -> tuple[float, float]:
    """The bounds of equivalence as a pair."""
    given = list(smallest) if isinstance(smallest, tuple | list) else [smallest]
    found = number_list(f"{where}, smallest", given, 1)
    low, high = (-found[0], found[0]) if len(found) == 1 else found[:2]
    if not low < 0 < high or len(found) > 2:
        raise StatisticsError(
            f"{where}, smallest",
            f"it is {smallest!r}",
            "a number above 0, or bounds around 0",
            "give such a number",
        )
    return float(low), float(high)
