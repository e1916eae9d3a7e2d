"""Secrets: read from the environment only, and kept out of everything that is written."""

from __future__ import annotations

import os

from .errors import ConfigError

#: The secrets that this process has read, with the names that stand in for them.
_READ: dict[str, str] = {}
#: Shorter values are no keys, and would be found in ordinary text.
SHORTEST = 6


def read_secret(name: str, purpose: str) -> str:
    """The value of the environment variable `name`.

    From now on `redact` removes it from whatever the kernel writes. Raises `ConfigError` if it is not set;
    `purpose` says what it is needed for (`"OpenAI's API"`).
    """
    value = os.environ.get(name, "").strip()
    if not value:
        raise ConfigError(
            f"{name}: the environment variable is not set, expected the key for {purpose}; "
            f"set it with: export {name}=…"
        )
    if not value.isprintable() or not value.isascii() or any(mark in value for mark in ' "\\'):
        raise ConfigError(
            f"{name}: its value has spaces or characters that no key has, expected the key for {purpose}; "
            "copy it again"
        )
    if len(value) >= SHORTEST:
        _READ[value] = name
    return value


def redact(text: str) -> str:
    """`text` with the name of a secret wherever its value stood, or the beginning of one that was cut off."""
    for value, name in _READ.items():
        if value in text:
            text = text.replace(value, f"[{name}]")
    for value, name in _READ.items():
        head = _head(value)
        if head in text:
            first, *parts = text.split(head)
            rest = value[len(head) :]
            left = (part[len(os.path.commonprefix((part, rest))) :] for part in parts)  # noqa: RUF071 - as meant
            text = first + "".join(f"[{name}]{part}" for part in left)
    return text


def redact_bytes(data: bytes) -> bytes:
    """`redact` for encoded text."""
    if any(_head(value).encode() in data for value in _READ):
        return redact(data.decode()).encode()
    return data


def _head(value: str) -> str:
    # Messages are cut off somewhere, also in the midst of a secret. This much of it is too much.
    return value[: max(12, len(value) // 3)]
