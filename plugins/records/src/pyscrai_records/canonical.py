"""JSON as the kernel keeps it: checked, in one form that is hashed and compared.

Payloads, arguments and parsed values are I-JSON (RFC 7493): `None`, booleans, finite floats, integers
within 53 bits, valid Unicode strings, lists, and dictionaries with string keys. `check_json` checks it.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, TypeAlias

import orjson

from .base.frozen import FrozenDict, FrozenList, too_many
from .base.strict_json import MAX_INTEGER

Json: TypeAlias = bool | int | float | str | list[Any] | dict[str, Any] | None

#: How deeply lists and dictionaries may be nested. What is stored puts values into others of its own.
MAX_DEPTH = 200

#: The most values in a list or a dictionary, with those inside.
MAX_PARTS = 1_000_000

#: Written into every manifest and fingerprint; raised when the canonical log changes its form.
LOG_FORMAT = 3
#: What a fingerprint begins with; then come the lines of the canonical log.
LOG_HEAD = b"pyscrai log %d\n" % LOG_FORMAT


def canonical(value: Any) -> bytes:
    """`value` as JSON bytes in the one form that is hashed and compared: sorted keys, no spaces."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest(data: bytes) -> str:
    """The SHA-256 of `data`, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


class _Fault(Exception):
    """What is not I-JSON, and where: the keys and indices from the inside out."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what, self.place = what, list[str]()


def check_json(value: Any, where: str = "value") -> Any:
    """Return `value` if it is I-JSON; a `ValueError` that names the place inside it if not."""
    try:
        _check(value, MAX_DEPTH, [MAX_PARTS])
    except _Fault as fault:
        place = where + "".join(reversed(fault.place))
        if fault.what == _DEEP:
            place = f"{place[:100]}…"
        elif fault.what == _LARGE:
            raise ValueError(too_many(where, MAX_PARTS)) from None
        raise ValueError(f"{place}: {fault.what}") from None
    return value


_SIMPLE = (bool, type(None))
_DEEP, _LARGE = f"it is nested more than {MAX_DEPTH} times", "there are too many values"


def _check(value: Any, depth: int, left: list[int]) -> None:
    """Raise `_Fault`. The `value` may be nested `depth` times, and have as many values as are `left`."""
    if depth < 0:
        raise _Fault(_DEEP)
    kind = type(value)
    if kind is str:
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise _Fault("a string holds half of a surrogate pair") from None
    elif kind is bool or value is None:
        pass
    elif kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            number = value if value.bit_length() < 1000 else "an integer"  # Python writes no longer ones
            raise _Fault(f"{number} does not fit into 53 bits")
    elif kind is float:
        if not math.isfinite(value):
            raise _Fault(f"{value} is not a finite number")
    elif kind is dict or kind is FrozenDict:
        left[0] -= len(value)
        if left[0] < 0:
            raise _Fault(_LARGE)
        for key, part in value.items():
            if type(key) is not str:
                raise _Fault(f"the key {key!r} is not a string")
            kind = type(part)
            # Most values are simple, and calling a function takes longer than this.
            if depth and (kind in _SIMPLE or (kind is str and part.isascii()) or (kind is list and not part)):
                continue
            if depth and kind is int and -MAX_INTEGER <= part <= MAX_INTEGER:
                continue
            try:
                _check(part, depth - 1, left)
            except _Fault as fault:
                fault.place.append(f".{key}")
                raise
    elif kind is list or kind is FrozenList:
        left[0] -= len(value)
        if left[0] < 0:
            raise _Fault(_LARGE)
        for index, part in enumerate(value):
            try:
                _check(part, depth - 1, left)
            except _Fault as fault:
                fault.place.append(f"[{index}]")
                raise
    else:
        raise _Fault(f"{kind.__name__} is not JSON; give plain data")
