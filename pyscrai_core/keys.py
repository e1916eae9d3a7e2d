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
    if not value.isprintable() or not value.isascii() or " " in value:
        raise ConfigError(
            f"{name}: its value has spaces or characters that no key has, expected the key for {purpose}; "
            "copy it again"
        )
    if len(value) >= SHORTEST:
        _READ[value] = name
    return value


def redact(text: str) -> str:
    """`text` with the name of a secret wherever its value stood."""
    for value, name in _READ.items():
        if value in text:
            text = text.replace(value, f"[{name}]")
    return text


def redact_bytes(data: bytes) -> bytes:
    """`redact` for encoded text."""
    for value, name in _READ.items():
        found = value.encode()
        if found in data:
            data = data.replace(found, f"[{name}]".encode())
    return data
