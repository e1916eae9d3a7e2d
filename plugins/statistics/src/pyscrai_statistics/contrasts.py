"""One comparison of two arms: difference, test, effect sizes, equivalence and a verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .categories import categories_test, cramers_v
from .checks import (
    binary,
    category_list,
    choice,
    direction_of,
    fraction,
    is_constant,
    number_list,
    same_length,
    subtract,
)
from .differences import paired_difference, unpaired_difference, variance_ratio
from .effects import cohens_dav, cohens_dz, hedges_g
from .multiple import benjamini_hochberg, holm
from .ordered import cliffs_delta, ordered_test, ranks_of
from .permutation import bounds_of, equivalence_test, permutation_test, sign_flip_test
from .proportions import fisher_test, mcnemar_test, proportion_difference
from .resampling import RESAMPLES
from .results import Contrast, Estimate, StatisticsError, Test
from .sentences import sentence_of, verdict_of
from .units import KINDS

CORRECTIONS = ("holm", "benjamini-hochberg", "none")


def contrast(
    first: Iterable[Any],
    second: Iterable[Any],
    *,
    paired: bool,
    names: tuple[str, str] = ("first", "second"),
    kind: str = "number",
    order: Sequence[Any] | None = None,
    direction: str = "two-sided",
    alpha: float = 0.05,
    level: float = 0.95,
    smallest: float | tuple[float, float] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Contrast:
    """Compare two arms.

    Args:
        first, second: one value per unit of replication; paired: element i of both is a pair.
        paired: whether they are pairs.
        names: the arms' names.
        kind: `number` (means; sign-flip or permutation test), `proportion` (values 0 and 1; McNemar's or
            Fisher's test), `category` (Cramér's V; permutation chi-squared) or `ordered` (Cliff's delta; sign
            or rank test).
        order: for `ordered`: the categories from the lowest to the highest (not needed for numbers).
        direction: what is claimed: `two-sided` (they differ), `greater` (first is greater) or `less`.
        alpha: the error rate of the test.
        level: the confidence level of the intervals.
        smallest: the smallest difference of interest, in the unit of `difference` (for `number` and
            `proportion`).
        seed, resamples: of the resamples and permutations.

    Raises:
        StatisticsError: as the functions that it calls. Arms without any variation are no error: the test
            then has the p-value 1 and the verdict is `undecided`.
    """
    where = f"contrast {names[0]} - {names[1]}"
    choice(f"{where}, kind", kind, KINDS)
    direction_of(where, direction)
    fraction(f"{where}, alpha", alpha)
    bounds = None if smallest is None else bounds_of(where, smallest)
    if kind == "category" and (bounds or direction != "two-sided"):
        raise StatisticsError(
            where,
            "a direction or a smallest difference was given",
            "neither of them for categories",
            "leave it out",
        )
    one, other = _values(where, first, kind, order), _values(where, second, kind, order)
    if paired:
        same_length(where, one, other)
    draws: dict[str, Any] = {"seed": seed, "resamples": resamples}
    effects: dict[str, Estimate] = {}
    equivalence = ratio = contrary = None
    if kind == "number":
        estimate = paired_difference if paired else unpaired_difference
        difference = estimate(one, other, level=level, **draws)
        test = _test(sign_flip_test if paired else permutation_test, one, other, direction, **draws)
        sizes = {"d_z": cohens_dz, "d_av": cohens_dav} if paired else {"hedges_g": hedges_g}
        for name, size in sizes.items():
            effects |= _if_possible(name, size, one, other, level=level)
    elif kind == "proportion":
        difference = proportion_difference(one, other, paired=paired, level=level)
        test = _test(mcnemar_test if paired else fisher_test, one, other, direction)
    elif kind == "ordered":
        difference = cliffs_delta(one, other, paired=paired, level=level)
        test = _test(ordered_test, one, other, direction, paired=paired, **draws)
    else:
        difference = _strength(one, other, level, paired, **draws)
        test = _test(categories_test, one, other, "any difference", paired=paired, **draws)
    warnings = difference.warnings + test.warnings
    if kind == "number" and test.name != "none" and np.isin(np.concatenate((one, other)), (0, 1)).all():
        warnings += ("all values are 0 or 1: the kind 'proportion' has better intervals for them",)
    if direction != "two-sided" and test.name != "none":
        contrary = _contrary(one, other, direction, bounds, kind, paired, draws)
    if kind in ("number", "proportion"):
        if bounds:
            equivalence = _equivalence(one, other, bounds, paired, seed, resamples)
        if paired and len(one) > 3:
            ratio = _if_possible("", variance_ratio, one, other, level=level).get("")
    found = Contrast(
        *names,
        kind=kind,
        paired=paired,
        n=(len(one), len(other)),
        difference=difference,
        test=test,
        p_adjusted=test.p_value,
        effects=effects,
        equivalence=equivalence,
        contrary=contrary,
        variance_ratio=ratio,
        direction=direction,
        alpha=alpha,
        smallest=bounds,
        verdict="undecided",
        sentence="",
        warnings=warnings,
    )
    return _judged(found, "none", 1)


def _values(where: str, values: Iterable[Any], kind: str, order: Sequence[Any] | None) -> Any:
    if kind == "number":
        return number_list(where, values, 2)
    if kind == "proportion":
        return binary(where, values, 2)
    return ranks_of(where, values, order, 2) if kind == "ordered" else category_list(where, values, 2)


def _vary(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return not is_constant(np.concatenate((one, other)))
    return len({*one, *other}) > 1


def _test(test: Any, one: Any, other: Any, direction: str, **options: Any) -> Test:
    """The test; for arms without any variation, which it refuses, the p-value 1."""
    same = not _vary(one, other)
    if test in (sign_flip_test, mcnemar_test) or options.get("paired"):
        same = _identical(one, other)
    if same:
        warning = "the arms are identical in every value, so nothing can be tested"
        return Test("none", 0.0, 1.0, 1.0, direction, len(one), "no variation", (warning,))
    found: Test = test(
        one, other, **options, **({} if direction == "any difference" else {"direction": direction})
    )
    return found


def _identical(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return not subtract(one, other).any()
    return bool(one == other)


def _if_possible(name: str, function: Any, *arguments: Any, **options: Any) -> dict[str, Estimate]:
    """An estimate, or nothing if the values do not vary enough for it. The arguments were checked before."""
    try:
        return {name: function(*arguments, **options)}
    except StatisticsError:
        return {}


def _strength(one: Any, other: Any, level: float, paired: bool, **draws: Any) -> Estimate:
    if _vary(one, other):
        found = cramers_v(one, other, level=level, **draws)
        ignored = ("Cramér's V and its interval do not use the pairs; the test does",) if paired else ()
        return dataclasses.replace(found, warnings=found.warnings + ignored)
    warning = f"all values are {one[0]!r}, so no association can be estimated"
    return Estimate("Cramér's V", None, None, len(one) + len(other), (warning,))


def _equivalence(
    one: Any, other: Any, bounds: tuple[float, float], paired: bool, seed: int, resamples: int
) -> Test | None:
    try:
        return equivalence_test(one, other, bounds, paired=paired, seed=seed, resamples=resamples)
    except StatisticsError:  # the difference lies exactly on a bound in every pair
        return None


def _contrary(
    one: Any,
    other: Any,
    direction: str,
    bounds: tuple[float, float] | None,
    kind: str,
    paired: bool,
    draws: dict[str, Any],
) -> Test | None:
    """The test against the claim; None if every pair lies exactly on the bound."""
    opposite = "less" if direction == "greater" else "greater"
    if kind == "ordered":
        return ordered_test(one, other, direction=opposite, paired=paired, **draws)
    if bounds is None and kind == "proportion":
        exact = mcnemar_test if paired else fisher_test
        return exact(one, other, direction=opposite)
    bound = 0.0 if bounds is None else bounds[direction == "greater"]
    test = sign_flip_test if paired else permutation_test
    try:
        return test(one - bound, other, direction=opposite, **draws)
    except StatisticsError:
        return None


def adjust(contrasts: Iterable[Contrast], *, correction: str = "holm") -> tuple[Contrast, ...]:
    """The contrasts of a family, with adjusted p-values, and verdicts and sentences that follow from them.

    Args:
        contrasts: of one family, such as all planned comparisons of an experiment.
        correction: `holm` (a planned family), `benjamini-hochberg` (exploration) or `none`.

    Raises:
        StatisticsError: no contrasts, an unknown correction.
    """
    found = list(contrasts)
    choice("adjust, correction", correction, CORRECTIONS)
    p_values = [each.test.p_value for each in found]
    if correction != "none":
        p_values = (holm if correction == "holm" else benjamini_hochberg)(p_values)
    return tuple(
        _judged(dataclasses.replace(each, p_adjusted=p_value), correction, len(found))
        for each, p_value in zip(found, p_values, strict=True)
    )


def _judged(found: Contrast, correction: str, family: int) -> Contrast:
    verdict, reason = verdict_of(found)
    sentence = sentence_of(found, verdict, reason, correction, family)
    return dataclasses.replace(found, verdict=verdict, sentence=sentence)
