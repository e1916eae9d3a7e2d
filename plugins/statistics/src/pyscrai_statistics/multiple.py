"""Corrections for many tests: adjusted p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import overload

import numpy as np

from .checks import Numbers, number_list
from .results import StatisticsError


@overload
def holm(p_values: Mapping[str, float]) -> dict[str, float]: ...
@overload
def holm(p_values: Sequence[float]) -> list[float]: ...
def holm(p_values: Mapping[str, float] | Sequence[float]) -> dict[str, float] | list[float]:
    """P-values adjusted for a planned family (Holm 1979).

    Whoever rejects those that are at most alpha makes any false rejection with a probability of at most
    alpha.

    Args:
        p_values: numbers from 0 to 1, as a list, or a mapping with names. The result has the same shape.

    Raises:
        StatisticsError: no p-values, or one outside of [0, 1].
    """
    found = _checked("holm", p_values)
    order = np.argsort(found, kind="stable")
    factors = np.arange(len(found), 0, -1)
    adjusted = np.empty_like(found)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(found[order] * factors))
    return _same_shape(p_values, adjusted)


@overload
def benjamini_hochberg(p_values: Mapping[str, float]) -> dict[str, float]: ...
@overload
def benjamini_hochberg(p_values: Sequence[float]) -> list[float]: ...
def benjamini_hochberg(p_values: Mapping[str, float] | Sequence[float]) -> dict[str, float] | list[float]:
    """P-values adjusted for exploration (Benjamini & Hochberg 1995).

    Of those that are at most alpha, a share of at most alpha is expected to be false (for independent or
    positively dependent tests).

    Args:
        p_values: numbers from 0 to 1, as a list, or a mapping with names. The result has the same shape.

    Raises:
        StatisticsError: no p-values, or one outside of [0, 1].
    """
    found = _checked("benjamini_hochberg", p_values)
    order = np.argsort(found, kind="stable")[::-1]
    factors = len(found) / np.arange(len(found), 0, -1)
    adjusted = np.empty_like(found)
    adjusted[order] = np.minimum(1, np.minimum.accumulate(found[order] * factors))
    return _same_shape(p_values, adjusted)


def _checked(where: str, p_values: Mapping[str, float] | Sequence[float]) -> Numbers:
    found = number_list(where, p_values.values() if isinstance(p_values, Mapping) else p_values, 1)
    if found.min() < 0 or found.max() > 1:
        odd = found[(found < 0) | (found > 1)][0]
        raise StatisticsError(
            where, f"{odd:g} is a p-value", "numbers from 0 to 1", "give the tests' p-values"
        )
    return found


def _same_shape(
    like: Mapping[str, float] | Sequence[float], values: Numbers
) -> dict[str, float] | list[float]:
    listed: list[float] = values.tolist()
    return dict(zip(like, listed, strict=True)) if isinstance(like, Mapping) else listed
