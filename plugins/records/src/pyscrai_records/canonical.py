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


def check_json(
    value: Any, where: str = "value", depth: int = MAX_DEPTH, left: list[Any] | None = None
) -> Any:
    """Return `value` if it is I-JSON; a `ValueError` that names the place inside it if not.

    `depth` is how deeply it may be nested; `left` is how many more values it may have, and where it stands.
    """
    if depth < 0:
        raise ValueError(f"{where[:100]}…: it is nested more than {MAX_DEPTH} times")
    kind = type(value)
    if kind is str:
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError(f"{where}: a string holds half of a surrogate pair") from None
    elif kind is bool or value is None:
        pass
    elif kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            number = value if value.bit_length() < 1000 else "an integer"  # Python writes no longer ones
            raise ValueError(f"{where}: {number} does not fit into 53 bits")
    elif kind is float:
        if not math.isfinite(value):
            raise ValueError(f"{where}: {value} is not a finite number")
    elif kind is dict or kind is FrozenDict:
        left = _without(len(value), left, where)
        for key, part in value.items():
            if type(key) is not str:
                raise ValueError(f"{where}: the key {key!r} is not a string")
            check_json(part, f"{where}.{key}", depth - 1, left)
    elif kind is list or kind is FrozenList:
        left = _without(len(value), left, where)
        for index, part in enumerate(value):
            check_json(part, f"{where}[{index}]", depth - 1, left)
    else:
        raise ValueError(f"{where}: {kind.__name__} is not JSON; give plain data")
    return value


def _without(count: int, left: list[Any] | None, where: str) -> list[Any]:
    left = [MAX_PARTS, where] if left is None else left
    left[0] -= count
    if left[0] < 0:
        raise ValueError(too_many(left[1], MAX_PARTS))
    return left
