"""Removing secrets from what is written: those that were read, and what the environment has of them."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

#: Shorter values are not redacted: they are no keys, and occur in ordinary text.
SHORTEST = 6
#: The same for values that nobody has read as a secret; those of letters or digits alone must be longer.
SHORTEST_UNREAD, SHORTEST_PLAIN = 8, 12
#: What percent-encoding leaves as it is beside letters and digits: in a query, in a path, in JavaScript.
_UNCHANGED = ("", "/", "!'()*", ";,/?:@&=+$#!'()*")
#: The names of variables that hold a secret have one of these words.
_NAMED = re.compile(r"(?:^|_)(?:API)?(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE)S?(?:_|$)", re.IGNORECASE)

#: The secrets that this process has read, with the names that replace them.
_read: dict[str, str] = {}
#: All forms of all secrets with the names that replace them, and the beginning of each, as text and encoded.
_forms: list[tuple[str, str, str, bytes]] = []
_seen: dict[object, object] | None = None
#: What separates words in JSON, and the length of the shortest word that a secret is recognized by.
_MARKS = bytes.maketrans(b'"\\:,{}[]', b" " * 8)
_shortest = 1 << 40


def remember(value: str, name: str) -> None:
    """Redact `value` from now on, as `name`."""
    global _seen
    if len(value) >= SHORTEST and _read.get(value) != name:
        _read[value] = name
        _seen = None


def redact(text: str) -> str:
    """Replace each secret in `text` by its name, also if only the beginning of the secret is there.

    Secrets are those that were read, and the values of environment variables that are named like keys; each
    also in capital or small letters, in base64, percent-encoded and as JSON writes it.
    """
    forms = _known()
    for value, name, _, _ in forms:
        if value in text:
            text = text.replace(value, f"[{name}]")
    for value, name, head, _ in forms:
        if head in text:
            first, *parts = text.split(head)
            rest = value[len(head) :]
            left = (part[len(os.path.commonprefix((part, rest))) :] for part in parts)  # noqa: RUF071 - as meant
            text = first + "".join(f"[{name}]{part}" for part in left)
    return text


def redact_bytes(data: bytes) -> bytes:
    """`redact` for encoded text."""
    forms = _known()
    if (
        forms and max(map(len, data.translate(_MARKS).split()), default=0) >= _shortest
    ):  # else no word is long enough
        for _, _, _, head in forms:
            if head in data:
                return redact(data.decode()).encode()
    return data


def _known() -> list[tuple[str, str, str, bytes]]:
    """All forms of all secrets, worked out anew when the environment has changed."""
    global _seen, _shortest
    # The mapping below `os.environ` is compared in C, since this is asked for every call of a run.
    environment: dict[object, object] = getattr(os.environ, "_data", None) or dict(os.environ)
    if environment != _seen:
        found = {value.strip(): name for name, value in os.environ.items() if _is_secret(name, value.strip())}
        made = {form: name for value, name in {**found, **_read}.items() for form in _forms_of(value)}
        _forms[:] = [
            (form, name, _head(form), _head(form).encode())
            for form, name in sorted(made.items(), key=lambda one: -len(one[0]))
        ]
        words = [max(map(len, head.translate(_MARKS).split()), default=0) for _, _, _, head in _forms]
        _shortest = min(words, default=1 << 40)
        _seen = dict(environment)
    return _forms


def _is_secret(name: str, value: str) -> bool:
    """Whether a variable seems to hold a secret: not a switch, a number, or the path of a file with one.

    Keys in PEM and accounts in JSON have several lines.
    """
    if not _NAMED.search(name) or len(value) < SHORTEST_UNREAD or not "".join(value.split()).isprintable():
        return False
    if value[0] in "/~." or value[1:3] in (":\\", ":/") or "://" in value or os.path.exists(value):
        return False
    return len(value) >= SHORTEST_PLAIN or not (value.isalpha() or value.isdigit())


def _forms_of(value: str) -> Iterator[str]:
    yield value
    yield json.dumps(value)[1:-1]
    for safe in _UNCHANGED:
        for percent in (quote(value, safe), quote_plus(value, safe)):
            yield percent
            yield re.sub("%..", lambda code: code[0].lower(), percent)
    every = "".join(f"%{byte:02x}" for byte in value.encode())
    yield from (every, every.upper())
    if len(value) < SHORTEST_PLAIN:
        return
    yield value.lower()
    yield value.upper()
    # In base64, its form depends on what stands before it: `user:key`, for example. The ends are left out,
    # which depend on what stands beside it too.
    for before in range(3):
        data = bytes(before) + value.encode()
        whole = base64.b64encode(data).decode()
        inner = whole[(0, 2, 3)[before] : len(data) * 8 // 6]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")


def _head(value: str) -> str:
    # A message may be truncated within a secret. From this length on, a part is redacted too.
    return value[: max(12, len(value) // 3)]
