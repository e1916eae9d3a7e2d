"""Checksums of rows that nothing else protects: damage is found, and never taken for a record.

Events have the run's fingerprint, messages their digests, and requests a chain of hashes. Rows that were
written by a version without checksums have none, and are not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson

from ..canonical import canonical, digest
from ..errors import StoreError
from ..secret import redact_bytes

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


def load(written: str | bytes, kind: type = object, what: str = "a part of a run") -> Any:
    """What was stored as JSON of a kind. Raises `StoreError` if it is none any more; `what` names it."""
    try:
        found = orjson.loads(written)
    except ValueError:
        raise damaged(what) from None
    if not isinstance(found, kind):
        raise damaged(what)
    return found


def load_list(written: str, kind: type) -> list[Any]:
    """What was stored as a list of values of a kind. Raises `StoreError` if it is none any more."""
    found: list[Any] = load(written, list)
    if not all(isinstance(one, kind) for one in found):
        raise damaged("a part of a run")
    return found


def clean_body(body: bytes) -> bytes:
    """A message's body without secrets. One that had some gets a checksum, as its digest is another."""
    clean = redact_bytes(body)
    return body if clean == body else canonical({"redacted": digest(clean), "body": orjson.loads(clean)})


def is_body(key: str, body: Any) -> bool:
    """Whether a body is the one with the digest `key`, or one without secrets that is as it was written."""
    if not isinstance(body, bytes) or digest(body) == key:
        return isinstance(body, bytes)
    try:
        found = orjson.loads(body)
        return bool(digest(canonical(found["body"])) == found["redacted"])
    except (ValueError, LookupError, TypeError):
        return False


def read_body(body: bytes) -> Any:
    """What a message's body says, without secrets."""
    try:
        found = load(redact_bytes(body), what="a message")
    except UnicodeDecodeError:
        raise damaged("a message") from None
    return found["body"] if isinstance(found, dict) and found.keys() == {"redacted", "body"} else found


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
