"""Secrets: read only from environment variables, and removed from everything that is written."""

from __future__ import annotations

import os

from .errors import ConfigError

#: The secrets that this process has read, with the names that replace them.
_READ: dict[str, str] = {}
#: Shorter values are not redacted: they are no keys, and occur in ordinary text.
SHORTEST = 6


def read_secret(name: str, purpose: str) -> str:
    """Return the value of the environment variable `name`.

    From then on, `redact` removes the value from everything that the kernel writes. Raises `ConfigError` if
    the variable is not set; the message has `purpose`, such as `"OpenAI's API"`.
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
    """Replace each secret in `text` by its name, also if only the beginning of the secret is there."""
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
    # A message may be truncated within a secret. From this length on, a part is redacted too.
    return value[: max(12, len(value) // 3)]
