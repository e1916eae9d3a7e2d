"""JSON texts that are read with nothing chosen or rounded."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

#: The largest integer that every JSON reader keeps exactly.
MAX_INTEGER = 2**53 - 1


def load_json(text: str) -> Any:
    """The value of a JSON text, with nothing chosen or rounded, unlike what parsers do.

    Raises `ValueError` if it is not JSON, if a key stands twice with different values, or for an integer of
    more than 100 digits, and `RecursionError`. The value may be no I-JSON.
    """
    return json.loads(
        text, object_pairs_hook=_unique, parse_int=_integer, parse_float=_float, parse_constant=_constant
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value:
            raise ValueError(f"the key {json.dumps(key)} stands twice, with different values")
        found[key] = value
    return found


def _float(digits: str) -> float:
    value = float(digits)
    if abs(value) > MAX_INTEGER and "e" not in digits.lower() and Decimal(digits) != Decimal(value):
        raise ValueError(f"the number {digits[:40]} does not fit into 53 bits")
    return value


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _integer(digits: str) -> int:
    if len(digits) > 100:
        raise ValueError(f"a number has {len(digits):,} digits, which does not fit into 53 bits")
    return int(digits)
