"""Checksums of rows that nothing else protects: damage is found, and never taken for a record.

Events have the run's fingerprint, messages their digests, and requests a chain of hashes. Rows that were
written by a version without checksums have none, and are not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson

from ..errors import StoreError

#: The columns of a call that stay as they are, and those that a copy in a fork has not.
STABLE = (
    "number", "agent", "step", "path", "kind", "target", "request", "answer", "error", "detail", "model",
    "provider", "key",
)  # fmt: skip
PAID = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "estimated", "cost")
#: The length of a checksum, in hexadecimal digits.
LENGTH = 16


def damaged(what: str) -> StoreError:
    """The error for a part of a store that is not as it was written."""
    return StoreError(
        f"{what} is not as it was written; the store is damaged, or was changed: restore it from a copy, and "
        "see what else is wrong: pyscrai runs verify"
    )


def checksum(*values: Any) -> str:
    return blake2b(orjson.dumps(values), digest_size=LENGTH // 2).hexdigest()


def checksum_of_call(row: Mapping[str, Any]) -> str:
    """The checksum of a call's row: that of what stays, and that of what it cost."""
    *tokens, cost = [row[name] for name in PAID]
    paid = checksum(*tokens, cost if cost is None else float(cost))
    return checksum(*[row[name] for name in STABLE]) + paid


def is_damaged(row: Mapping[str, Any]) -> bool:
    """Whether a call's row is not as it was written."""
    known = row["checksum"]
    if not known:
        return False
    found = checksum_of_call(row)
    # A copy in a fork was not paid for.
    return known[:LENGTH] != found[:LENGTH] or not (row["reused"] or known == found)
