"""The functions that an expression may call."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from collections.abc import Set as AnySet
from typing import Any

from .misfit import Misfit
from .values import NUMBERS, Work, check_number, kind_of

FUNCTIONS = ("len", "sum", "min", "max", "mean", "median", "sorted", "any", "all", "round", "abs")


class Functions:
    """A method `call_NAME` for each of `FUNCTIONS`; what they handle is paid from `work`.

    All of them raise `Misfit` for arguments that do not fit.
    """

    def __init__(self, work: Work) -> None:
        self._work = work

    def _items(self, value: Any) -> Any:
        if not isinstance(value, Sequence | AnySet | Mapping):
            raise Misfit(f"a list was expected, not {kind_of(value)}")
        self._work.spend(len(value))
        return value

    def _numbers(self, values: Any) -> list[Any]:
        numbers = list(self._items(values))
        for number in numbers:
            if type(number) not in NUMBERS:
                raise Misfit(f"numbers were expected, and one of the values is {kind_of(number)}")
        return numbers

    def _some_numbers(self, values: Any) -> list[Any]:
        numbers = self._numbers(values)
        if not numbers:
            raise Misfit("there are no values; test for that first")
        return numbers

    def call_len(self, value: Any) -> int:
        if not isinstance(value, Sequence | AnySet | Mapping):
            raise Misfit(f"{kind_of(value)} has no length")
        return len(value)

    def call_sum(self, values: Any) -> Any:
        numbers = self._numbers(values)
        # On floats fsum is exact: the same in every order and in every version of Python.
        exact = math.fsum if any(type(number) is float for number in numbers) else sum
        return check_number(exact(numbers))

    def call_mean(self, values: Any) -> float:
        return statistics.fmean(self._some_numbers(values))

    def call_median(self, values: Any) -> Any:
        return check_number(statistics.median(self._some_numbers(values)))

    def call_min(self, *values: Any, **default: Any) -> Any:
        return self._extreme(min, values, **default)

    def call_max(self, *values: Any, **default: Any) -> Any:
        return self._extreme(max, values, **default)

    def _extreme(self, choose: Any, values: Sequence[Any], **default: Any) -> Any:
        if len(values) == 1:
            values = self._items(values[0])
        if not values:
            if not default:
                raise Misfit("there are no values; give a default, as in default=0")
            return default["default"]
        return self._ordered(choose, values)

    def call_sorted(self, values: Any, reverse: Any = False) -> Any:
        if type(reverse) is not bool:
            raise Misfit(f"reverse is true or false, not {kind_of(reverse)}")
        return self._ordered(lambda parts: sorted(parts, reverse=reverse), self._items(values))

    def _ordered(self, order: Any, values: Any) -> Any:
        parts = [self._work.plain(value) for value in values]
        try:
            return order(parts)
        except TypeError:
            kinds = ", ".join(sorted({kind_of(part) for part in parts}))
            raise Misfit(f"values of these kinds have no order: {kinds}") from None

    def call_any(self, values: Any) -> bool:
        return any(self._items(values))

    def call_all(self, values: Any) -> bool:
        return all(self._items(values))

    def call_round(self, number: Any, digits: Any = None) -> Any:
        self._number(number)
        if digits is not None and (type(digits) is not int or abs(digits) > 400):
            raise Misfit("digits is a whole number between -400 and 400")
        return check_number(round(number, digits))

    def call_abs(self, number: Any) -> Any:
        return abs(self._number(number))

    def _number(self, value: Any) -> Any:
        if type(value) not in NUMBERS:
            raise Misfit(f"a number was expected, not {kind_of(value)}")
        return value
