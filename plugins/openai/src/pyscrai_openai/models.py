"""What is known of OpenAI's own models by their names. Other servers are taken at their word."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

#: The host of OpenAI's API; its regions stand before it (`eu.api.openai.com`).
OPENAI_HOST = "api.openai.com"

# Which models take temperature, top_p and stop is in no list of OpenAI's; this is what the API was seen to
# accept in 2026. `gpt-5-chat-latest` is the one name among them that does not reason.
_REASONING = re.compile(r"o\d|codex|gpt-(?!5-chat)[5-9]")
_QUIET = re.compile(r"gpt-5\.[1-4](-mini|-nano)?(-\d{4}-\d\d-\d\d)?|gpt-5\.3-codex")


def is_openai(url: str) -> bool:
    """Whether `url` is OpenAI's own server."""
    host = urlsplit(url).hostname or ""
    return host == OPENAI_HOST or host.endswith("." + OPENAI_HOST)


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def is_reasoning(model: str) -> bool:
    """Whether OpenAI's `model` is one that can reason. These take no `stop`, whether they do or not."""
    return _REASONING.match(model.removeprefix("ft:")) is not None


def reasons(model: str, effort: str | None) -> bool:
    """Whether OpenAI's `model` reasons at this effort, and so takes neither temperature nor top_p.

    GPT-5.1 to 5.4 reason only if they are told to, and the others always, except at the effort `none`.
    (Those that do not know that effort refuse it in their own words.)
    """
    if not is_reasoning(model):
        return False
    if effort is None:
        return _QUIET.fullmatch(model.removeprefix("ft:")) is None
    return effort != "none"
