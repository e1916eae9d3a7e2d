"""The functions that an expression may call. All raise `Misfit` for arguments that do not fit.

The evaluator gives them plain copies, and has paid for these.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from .misfit import Misfit
from .values import NUMBERS, OrderedSet, check_number, kind_of


def _items(value: Any) -> Any:
    if not isinstance(value, list | str | dict | OrderedSet):
        raise Misfit(f"a list was expected, not {kind_of(value)}")
    return value


def _numbers(values: Any) -> list[Any]:
    numbers = list(_items(values))
    for number in numbers:
        if type(number) not in NUMBERS:
            raise Misfit(f"numbers were expected, and one of the values is {kind_of(number)}")
    return numbers


def _some_numbers(values: Any) -> list[Any]:
    numbers = _numbers(values)
    if not numbers:
        raise Misfit("there are no values; test for that first")
    return numbers


def _number(value: Any) -> Any:
    if type(value) not in NUMBERS:
        raise Misfit(f"a number was expected, not {kind_of(value)}")
    return value


def _len(value: Any) -> int:
    if not hasattr(value, "__len__"):
        raise Misfit(f"{kind_of(value)} has no length")
    return len(value)


def _sum(values: Any) -> Any:
    numbers = _numbers(values)
    # On floats fsum is exact: the same in every order and in every version of Python.
    exact = math.fsum if any(type(number) is float for number in numbers) else sum
    return check_number(exact(numbers))


def _extreme(choose: Callable[[Any], Any], values: Sequence[Any], **default: Any) -> Any:
    if len(values) == 1:
        values = _items(values[0])
    if not values:
        if not default:
            raise Misfit("there are no values; give a default, as in default=0")
        return default["default"]
    return _ordered(choose, values)


def _sorted(values: Any, reverse: Any = False) -> Any:
    if type(reverse) is not bool:
        raise Misfit(f"reverse is true or false, not {kind_of(reverse)}")
    return _ordered(lambda parts: sorted(parts, reverse=reverse), _items(values))


def _ordered(order: Callable[[Any], Any], parts: Any) -> Any:
    try:
        return order(parts)
    except TypeError:
        kinds = ", ".join(sorted({kind_of(part) for part in parts}))
        raise Misfit(f"values of these kinds have no order: {kinds}") from None


def _round(number: Any, digits: Any = None) -> Any:
    if digits is not None and (type(digits) is not int or abs(digits) > 400):
        raise Misfit("digits is a whole number between -400 and 400")
    return check_number(round(_number(number), digits))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": _len,
    "sum": _sum,
    "min": lambda *values, **default: _extreme(min, values, **default),
    "max": lambda *values, **default: _extreme(max, values, **default),
    "mean": lambda values: statistics.fmean(_some_numbers(values)),
    "median": lambda values: check_number(statistics.median(_some_numbers(values))),
    "sorted": _sorted,
    "any": lambda values: any(_items(values)),
    "all": lambda values: all(_items(values)),
    "round": _round,
    "abs": lambda number: abs(_number(number)),
}
