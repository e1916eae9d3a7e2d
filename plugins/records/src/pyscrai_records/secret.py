"""Secrets: read only from environment variables, and removed from everything that is written."""

from __future__ import annotations

import os

from .base.redaction import redact, redact_bytes, remember
from .errors import ConfigError

__all__ = ["read_secret", "redact", "redact_bytes"]


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
    remember(value, name)
    return value
