"""What the names of OpenAI's models and the address of a server tell about them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

#: The host of OpenAI's API. Regional hosts add a prefix, such as `eu.api.openai.com`.
OPENAI_HOST = "api.openai.com"

# OpenAI does not publish which models accept temperature, top_p and stop. These patterns describe what the
# API accepted in 2026. `gpt-5-chat-latest` is the only GPT-5 name that does not reason.
_REASONING = re.compile(r"o\d|codex|gpt-(?!5-chat)[5-9]")
_NO_REASONING_BY_DEFAULT = re.compile(r"gpt-5\.[1-4](-mini|-nano)?(-\d{4}-\d\d-\d\d)?|gpt-5\.3-codex")


def is_openai(url: str) -> bool:
    """Whether `url` is OpenAI's own server: without encryption, anybody's server could answer."""
    parts = urlsplit(url)
    return parts.scheme == "https" and f".{parts.hostname}".endswith(f".{OPENAI_HOST}")


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def is_reasoning(model: str) -> bool:
    """Whether OpenAI's `model` can reason. Such models never accept `stop`."""
    return _REASONING.match(model.removeprefix("ft:")) is not None


def reasons(model: str, effort: str | None) -> bool:
    """Whether OpenAI's `model` reasons at this effort. If so, it rejects `temperature` and `top_p`.

    GPT-5.1 to 5.4 reason only if `effort` is set. All other reasoning models reason unless `effort` is
    `none`. (The vendor rejects `none` for models that do not support it.)
    """
    if not is_reasoning(model):
        return False
    if effort is None:
        return _NO_REASONING_BY_DEFAULT.fullmatch(model.removeprefix("ft:")) is None
    return effort != "none"
