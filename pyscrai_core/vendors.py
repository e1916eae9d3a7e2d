"""Helpers for providers of vendors that use HTTP. They depend on no vendor and no SDK."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pyscrai_answers.arguments import tool_arguments as tool_arguments
from pyscrai_answers.bounded_answers import bound_answers as bound_answers
from pyscrai_answers.finish_reasons import answer_fault as answer_fault
from pyscrai_answers.finish_reasons import finish_reason as finish_reason
from pyscrai_answers.options import NoTokens as NoTokens
from pyscrai_answers.options import Option as Option
from pyscrai_answers.options import OptionScores as OptionScores
from pyscrai_answers.options import TokenQuery as TokenQuery
from pyscrai_answers.options import Told as Told
from pyscrai_answers.options import score_options as score_options
from pyscrai_records.errors import (
    AuthenticationFailed,
    CallFailed,
    Overloaded,
    RateLimited,
    RequestRejected,
    TimedOut,
)
from pyscrai_records.records import Request, Usage

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_UNITS = (86400.0, 3600.0, 60.0, 1.0, 0.001)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """The seconds in `Retry-After` (or `retry-after-ms`); None if the header is missing or invalid.

    `headers` must be case-insensitive or in lower case. The header has seconds or a date (RFC 9110,
    section 10.2.3). `now` is the current time in seconds since 1970, for a date.
    """
    try:
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    except (KeyError, ValueError):
        pass
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = date.timestamp() - (time.time() if now is None else now)
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else None


def duration(text: str) -> float | None:
    """The seconds in a duration such as `6m0s`, `1.5s` or `20ms`; None if `text` is not a duration."""
    found = _DURATION.fullmatch(text.strip()) if text.strip() else None
    if found is None:
        return None
    return sum(float(part) * unit for part, unit in zip(found.groups(), _UNITS, strict=True) if part)


def failure(status: int, message: str, headers: Mapping[str, str]) -> CallFailed:
    """Return the exception for an HTTP status, with `message`. Use 200 for a body that is no valid answer.

    401 and 403 `AuthenticationFailed`; 408 and 504 `TimedOut`; 429 `RateLimited`; 409, 425 and 500 or
    more `Overloaded` (`RateLimited` if the server says how long to wait); others `RequestRejected`.
    """
    if status == 429:
        return RateLimited(message, retry_after(headers))
    if status in (401, 403):
        return AuthenticationFailed(message)
    if status in (408, 504):
        return TimedOut(message)
    if status in (409, 425) or status >= 500:
        after = retry_after(headers)
        # A server that is down may say how long to wait; this is handled like a rate limit.
        return RateLimited(message, after) if after is not None else Overloaded(message)
    return RequestRejected(message)


def library_cost(usage: Usage, model: str, *, vendor: str = "", url: str = "") -> float | None:
    """The cost in US dollars, from the prices in the library `genai-prices`; None: unknown.

    Name the vendor as the library does (`openai`, `anthropic`), or give its `url`. Raises
    `ModuleNotFoundError` if the library is not installed: a plugin that calls this must depend on it.
    """
    import genai_prices

    counted = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    try:
        if url:
            found = genai_prices.calc_price(counted, model, provider_api_url=url)
        else:
            found = genai_prices.calc_price(counted, model, provider_id=vendor)
    except LookupError:
        return None
    return float(found.total_price)


@contextmanager
def paid(usage: Usage | Callable[[], Usage | None] | None) -> Iterator[None]:
    """Tell the kernel what an answer used that turns out not to be usable inside: sets `CallFailed.usage`.

    None: there was no answer, so that nothing was paid. What an answer used and the vendor did not report (0)
    is estimated.
    """
    try:
        yield
    except CallFailed as error:
        if error.usage is None:
            error.usage = usage() if callable(usage) else usage
        raise


def reported(usage: Usage) -> Usage | None:
    """The usage of what may be no answer but an error: None if there is none."""
    return None if usage == Usage() else usage


def reaches_limit(used: Usage, request: Request) -> bool:
    """Whether an answer has as many tokens as the request allows: one that ends for no reason was cut off."""
    limit, tokens = request.sampling.max_tokens, used.output_tokens
    return limit is not None and type(tokens) is int and tokens >= limit


def visible_text(content: Any) -> str:
    """The words in an answer's content or in a piece of it, to show while it is streamed.

    `content` is text, or a list of parts, of which those of the type `text` are words.
    """
    if isinstance(content, list):
        return "".join(part["text"] for part in content if _is_words(part))
    return content if isinstance(content, str) else ""


def _is_words(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
