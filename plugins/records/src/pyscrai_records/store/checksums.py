"""Checksums of rows that nothing else protects: damage is found, and never taken for a record.

Events have the run's fingerprint, messages their digests, and requests a chain of hashes. Rows that were
written by a version without checksums have none, and are not checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from operator import itemgetter
from typing import Any

import orjson

from ..canonical import canonical, digest
from ..errors import StoreError
from ..secret import redact_bytes

#: The columns of a run that its checksum protects. `owner` is of the process that executes it.
OF_RUN = (
    "id", "scenario", "seed", "status", "error", "created", "ended", "steps", "fingerprint", "parent",
    "labels",
)  # fmt: skip
#: The columns of a call that stay as they are, those that a copy in a fork has not, and the others.
STABLE = (
    "number", "agent", "step", "path", "kind", "target", "request", "answer", "error", "detail", "model",
    "provider", "key",
)  # fmt: skip
PAID = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "estimated", "cost")
MORE = ("seed", "finish_reason", "attempts", "started", "seconds", "queued")
_stable, _paid, _more = (itemgetter(*names) for names in (STABLE, PAID, MORE))
#: The length of a checksum, in hexadecimal digits.
LENGTH = 16
_EMPTY = blake2b(digest_size=LENGTH // 2)


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
    """The checksum of some values; damage may have left bytes there."""
    found = _EMPTY.copy()
    found.update(orjson.dumps(values, repr))
    return found.hexdigest()


def checksum_of_run(row: Mapping[str, Any]) -> str:
    return checksum(*_plain(row[name] for name in OF_RUN))


def checksum_of_call(row: Mapping[str, Any]) -> str:
    """The checksum of a call's row: that of what stays, that of what it cost, and that of the rest."""
    return checksum_of_parts(_stable(row), _paid(row), (*_more(row), row["reused"]))


def checksum_of_parts(stable: Sequence[Any], paid: Sequence[Any], rest: Sequence[Any]) -> str:
    """The same, from the values of `STABLE`, of `PAID`, and of `MORE` with `reused`."""
    *tokens, cost = paid
    dollars = cost if cost is None else float(cost)
    return checksum(*stable) + checksum(*tokens, dollars) + checksum(*_plain(rest))


def _plain(values: Iterable[Any]) -> list[Any]:
    """Numbers as they are written, whichever of the types they have that the database makes equal."""
    return [float(value) if type(value) is int else value for value in values]


def is_damaged(row: Mapping[str, Any], fork: bool = True) -> bool:
    """Whether a call's row is not as it was written. Only in a `fork` it may be a copy.

    A row of an older version has no checksum of the rest. Nor is that looked at in one without its columns.
    """
    known = row["checksum"]
    if not known:
        return False
    whole = MORE[0] in row
    found = checksum_of_call(row) if whole else checksum_of_call({**row, **dict.fromkeys(MORE)})
    if known == found:
        return False
    # A copy was not paid for, and has the run that it comes from.
    copied = fork and bool(row["reused"])
    stable, paid, rest = (slice(LENGTH * number, LENGTH * (number + 1)) for number in range(3))
    wrong = known[stable] != found[stable] or not (copied or known[paid] == found[paid])
    if wrong or not known[rest] or not whole:
        return wrong
    copied = copied and not any(row[name] for name in PAID)
    return known[rest] != found[rest] and not (
        copied and known[rest] == checksum_of_call({**row, "reused": ""})[rest]
    )
