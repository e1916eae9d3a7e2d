"""Checks of arguments. Each raises `StatisticsError` with what to do."""

from __future__ import annotations

import math
import numbers as kinds
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .results import StatisticsError

Numbers = NDArray[np.float64]
#: Squares of larger numbers are not finite.
LARGEST = 1e150
DIRECTIONS = ("two-sided", "greater", "less")


def number_list(where: str, values: Iterable[Any], least: int = 1) -> Numbers:
    """Values as an array of finite numbers, at least `least` of them."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise StatisticsError(
            where, f"{values!r} is not a list", "a list of numbers", "put the values in a list"
        )
    found = list(values.ravel() if isinstance(values, np.ndarray) else values)
    for place, value in enumerate(found):
        number: Any = value
        if isinstance(value, str | bytes) or not isinstance(value, kinds.Real | np.bool_):
            raise StatisticsError(
                where,
                f"value {place} is {value!r}, which is not a number",
                "numbers",
                "leave out missing values and count them as failures; for names, use the kind 'category'",
            )
        if not abs(number) < LARGEST:  # also what is not a number
            raise StatisticsError(
                where,
                f"value {place} is {value if isinstance(value, float) else 'too large'}",
                f"finite numbers below {LARGEST:g}",
                "leave it out and count it as a failure, or mend the outcome",
            )
    if len(found) < least:
        raise StatisticsError(where, f"there are {len(found)} values", f"at least {least}", "add replicates")
    return np.array(found, dtype=np.float64)


def paired_numbers(
    where: str, first: Iterable[Any], second: Iterable[Any], least: int = 2
) -> tuple[Numbers, Numbers]:
    """Two lists whose elements belong together, place by place."""
    one, other = number_list(f"{where}, first", first, least), number_list(f"{where}, second", second, least)
    same_length(where, one, other)
    return one, other


def same_length(where: str, first: Sequence[Any] | Numbers, second: Sequence[Any] | Numbers) -> None:
    if len(first) != len(second):
        raise StatisticsError(
            where,
            f"the first list has {len(first)} values, the second {len(second)}",
            "pairs, so lists of equal length",
            "leave out values without a partner, or compare unpaired",
        )


def subtract(first: Numbers, second: Numbers) -> Numbers:
    """First minus second, where what only rounding left of equal values or of equal differences is gone."""
    found = first - second
    sizes = np.maximum(np.abs(first), np.abs(second))
    found[np.abs(found) <= 1e-12 * sizes] = 0.0
    if np.ptp(found) <= 1e-12 * float(sizes.max()):
        found[:] = np.median(found)
    return found


def is_constant(values: Numbers) -> bool:
    """Whether all values are equal, up to rounding."""
    return float(np.ptp(values)) <= 1e-12 * float(np.abs(values).max())


def binary(where: str, values: Iterable[Any], least: int = 1) -> Numbers:
    """Values that are 0 or 1 (or false and true)."""
    found = number_list(where, values, least)
    odd = found[(found != 0) & (found != 1)]
    if odd.size:
        raise StatisticsError(
            where, f"{odd[0]:g} is a value", "0 and 1, or false and true", "say what a success is"
        )
    return found


def category_list(where: str, values: Iterable[Any], least: int = 1) -> list[Any]:
    """Values as a list of categories: texts, numbers or booleans, none of them missing."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise StatisticsError(
            where, f"{values!r} is not a list", "a list of categories", "put the values in a list"
        )
    found = [value.item() if isinstance(value, np.generic) else value for value in values]
    for place, value in enumerate(found):
        if not isinstance(value, str | int | float) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            raise StatisticsError(
                where,
                f"value {place} is {value!r}",
                "texts, whole numbers or booleans",
                "leave out missing values and count them as failures",
            )
    if len(found) < least:
        raise StatisticsError(where, f"there are {len(found)} values", f"at least {least}", "add replicates")
    return found


def known_categories(where: str, values: Iterable[Any], known: Iterable[Any]) -> list[Any]:
    """The known categories as a list, after a check that every value is one of them."""
    names = list(known)
    if len(set(names)) != len(names) or not names:
        raise StatisticsError(
            where, f"the categories are {names}", "different names", "name each category once"
        )
    unknown = sorted({repr(value) for value in values if value not in names})
    if unknown:
        raise StatisticsError(
            where,
            f"unknown categories: {', '.join(unknown)}",
            "only " + ", ".join(map(repr, names)),
            "add them, or mend the values",
        )
    return names


def name_list(where: str, names: Iterable[Any]) -> list[Any]:
    """Names of agents, runs, units or pairs: anything that can be compared, and is not missing."""
    found = list(names)
    for place, name in enumerate(found):
        if name is None or not isinstance(name, Hashable):
            raise StatisticsError(where, f"value {place} is {name!r}", "a text or a number", "name it")
    return found


def fraction(where: str, value: Any) -> float:
    """A number between 0 and 1, without 0 and 1: a level, a power, an alpha."""
    if isinstance(value, bool) or not isinstance(value, kinds.Real) or not 0 < float(value) < 1:
        raise StatisticsError(
            where, f"it is {value!r}", "a number between 0 and 1", "give for example 0.95 or 0.05"
        )
    return float(value)


def count(where: str, value: Any, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, kinds.Integral) or int(value) < least:
        raise StatisticsError(where, f"it is {value!r}", f"a whole number from {least}", "give such a number")
    return int(value)


def choice(where: str, value: Any, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise StatisticsError(where, f"it is {value!r}", "one of " + ", ".join(allowed), "choose one of them")
    return str(value)


def direction_of(where: str, value: Any) -> str:
    return choice(f"{where}, direction", value, DIRECTIONS)
