"""Plain data as expressions see it: what a value is, how large it may be, and what handling it costs."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AnySet
from itertools import islice
from typing import Any

from pyscrai_records.base.frozen import FrozenDict, FrozenList
from pyscrai_records.base.suggest import TYPO, closest, did_you_mean, format_json, quote
from pyscrai_records.records import Event

from .misfit import Misfit

#: The units of work that one evaluation may take; a step of it, or an element that it handles, is one.
MAX_WORK = 5_000_000
#: The largest integer that is computed with, in bits, and the longest string or list that is made.
MAX_BITS = 4096
MAX_LENGTH = 100_000

SCALARS = frozenset({type(None), bool, int, float, str})
NUMBERS = frozenset({bool, int, float})
#: What a value of a type is, in a scenario author's words.
_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    **dict.fromkeys((int, float), "a number"),
    str: "a string",
    **dict.fromkeys((dict, FrozenDict, Mapping), "a mapping"),
    **dict.fromkeys((list, tuple, FrozenList, Sequence), "a list"),
    AnySet: "a set",
    Event: "an event",
}

_DIGITS = re.compile(r"\d+")

TOO_LARGE = "a number becomes too large"


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


#: The value of a name that is not known yet. `Expression.holds` finds out what is known all the same.
UNKNOWN: Any = _Unknown()


class NotKnown(Exception):
    """The value of a part of an expression depends on one that is `UNKNOWN`."""


#: What an evaluation raises for values that do not fit. The part that failed is noted in it, as `part`.
FAILURES = (Misfit, RecursionError, ZeroDivisionError, OverflowError, TypeError, ValueError)


class Work:
    """The work that may still be done, `left` units. All methods raise `Misfit` when it is spent."""

    #: What is said then.
    SPENT = "it needs too much work; loop over less, or compare smaller values"

    def __init__(self, units: int) -> None:
        self.left = units

    def spend(self, units: int) -> None:
        """Take `units` from what is left."""
        self.left -= units
        if self.left < 0:
            raise Misfit(self.SPENT)

    def plain(self, value: Any, sets: bool = True) -> Any:
        """`value` with every sequence as a list and every mapping as a dictionary, paid for by the part.

        The price of a part that stands in many places is paid at each, as it is when values are compared.
        Without `sets`, they become lists too.
        """
        kind = type(value)
        units = 1  # counted here, not by calls, as there may be millions of parts
        if kind is str:
            units += len(value) >> 8
        elif kind is int:
            units += value.bit_length() >> 5
        self.left -= units
        if self.left < 0:
            raise Misfit(self.SPENT)
        if kind in SCALARS:
            return value
        if kind is list or kind is tuple:
            return [self.plain(part, sets) for part in value]
        if isinstance(value, Mapping):
            return {self.key(key): self.plain(part, sets) for key, part in value.items()}
        if isinstance(value, Sequence):
            return [self.plain(part, sets) for part in value]
        if isinstance(value, Event):
            self.plain(value.payload)
        elif isinstance(value, AnySet):
            parts = [self.key(part) for part in value]
            return value if sets else parts
        return value

    def key(self, value: Any) -> Any:
        """`value`, if it can be a key of a mapping or an element of a set. Raises `Misfit`."""
        if type(value) is str:
            self.spend(len(value) >> 8)
        elif type(value) is int:
            if value.bit_length() > 60:  # larger ones could be chosen so that their hashes collide
                raise Misfit("a number is too large to be a key")
        elif isinstance(value, tuple):
            self.spend(1 + len(value))
            return value if type(value) is Key else Key(map(self.key, value))
        elif type(value) not in SCALARS:
            raise Misfit(f"{kind_of(value)} cannot be a key or an element of a set")
        return value


class Key(tuple[Any, ...]):
    """A tuple as a key. -1 and -2 have the same hash in Python, so that of a tuple can be made to collide.

    Texts have hashes that nobody can foresee, so numbers are hashed as texts.
    """

    _hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(tuple(map(_hashed, self)))
        return self._hash


def _hashed(part: Any) -> Any:
    if type(part) not in NUMBERS:
        return part
    return repr(int(part) if type(part) is not float or part.is_integer() else part)  # 1 equals 1.0 and true


class OrderedSet(AnySet[Any]):
    """A set that is read in the order in which it was filled, so that no hash seed ever shows."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Iterable[Any] = ()) -> None:
        self._parts = dict.fromkeys(parts)

    def __contains__(self, part: object) -> bool:
        return part in self._parts

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __repr__(self) -> str:
        return f"{{{', '.join(map(repr, self._parts))}}}"


def kind_of(value: Any) -> str:
    """What a value is, in a scenario author's words."""
    known = _KINDS.get(type(value))
    return known or next((name for kind, name in _KINDS.items() if isinstance(value, kind)), "something else")


def types_of(kinds: Collection[str]) -> frozenset[type]:
    """The types of which the values are of one of some kinds."""
    return frozenset(kind for kind, name in _KINDS.items() if name in kinds)


def named(value: Any) -> str:
    """A key or an index in a message."""
    if type(value) is str:
        return short(quote(value))
    if type(value) in NUMBERS and type(value) is not bool:
        return short(str(value))
    return format_json(value) if type(value) in SCALARS else kind_of(value)


def size_of(number: Any) -> int:
    """What a number costs beyond a usual one."""
    return number.bit_length() >> 5 if type(number) is int else 0


def check_power(base: Any, exponent: Any, bits: int = MAX_BITS) -> None:
    """Raise `Misfit` for a power that becomes too large, by an estimate that is at most twice too large."""
    integers = isinstance(base, int) and isinstance(exponent, int)
    if integers and abs(base) > 1 and exponent * base.bit_length() > 2 * bits:
        raise Misfit(TOO_LARGE)


def check_number(number: Any, bits: int = MAX_BITS) -> Any:
    """`number`, if it is one that can be computed with further."""
    if type(number) is int:
        if number.bit_length() > bits:
            raise Misfit(TOO_LARGE)
    elif type(number) is complex:
        raise Misfit("a root of a negative number is not a number")
    elif type(number) is float and not math.isfinite(number):
        raise Misfit(TOO_LARGE)
    return number


def short(text: str, length: int = 60) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def quote_part(source: str, node: ast.AST) -> str:
    """A part of an expression as it was written; not as Python would, which depends on its version."""
    part = ast.get_source_segment(source, node) or ""
    return f"'{short(' '.join(part.split()))}'"


def alternatives(name: str, known: Iterable[str], there: str) -> str:
    """What is like the wrong `name`, and after `there`, such as "it has", what is known."""
    names = [str(each)[:60] for each in islice(known, 1000)]
    listed = ", ".join(sorted(names)[:20]) + (", …" if len(names) > 20 else "")
    return f"{did_you_mean(name, names)}; {there} {short(listed, 300) or 'nothing'}"


def mistyped(name: str, known: Iterable[str], cutoff: float = TYPO) -> str:
    """The known name of which `name` is a mistyped form; with another number, it is another name."""
    letters = _DIGITS.sub("", name)
    return closest(name, [one for one in known if _DIGITS.sub("", one) != letters], cutoff)
