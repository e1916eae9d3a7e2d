"""Helpers for providers of vendors that use HTTP. They depend on no vendor and no SDK."""

from __future__ import annotations

import email.utils
import re
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .base.strict_json import load_json
from .errors import (
    AnswerRejected,
    AuthenticationFailed,
    CallFailed,
    Overloaded,
    RateLimited,
    RequestRejected,
    TimedOut,
)
from .records import FinishReason, Usage

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
#: How many bytes are decompressed at once.
_PIECE = 65_536
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


#: What vendors and servers call the end of an answer that is whole, of one that was cut off at a limit of
#: tokens, of one that was withheld, and of one that they broke off. Written small, with `_` for `-`.
_ENDS: dict[str, FinishReason] = {
    **dict.fromkeys(("", "none", "null", "stop", "eos", "eos_token", "end_turn", "stop_sequence"), "stop"),
    **dict.fromkeys(("complete", "completed", "done", "end", "end_of_turn", "finish", "finished"), "stop"),
    **dict.fromkeys(("stop_token", "stop_string", "stop_str", "load", "success"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "max_length", "model_length"), "length"),
    **dict.fromkeys(("token_limit", "eos_length", "model_context_window_exceeded", "limit"), "length"),
    **dict.fromkeys(("max_completion_tokens", "context_length", "context_length_exceeded"), "length"),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), "tool_calls"),
    "refusal": "refusal",
    **dict.fromkeys(
        (
            *(
                "content_filter",
                "content_filtered",
                "safety",
                "recitation",
                "blocklist",
                "prohibited_content",
            ),
            *("spii", "image_safety", "language", "sensitive", "guardrail_intervened", "moderation"),
        ),
        "content_filter",
    ),
}
#: The words for an answer, or a request, that a content filter withheld.
WITHHELD = {name for name, end in _ENDS.items() if end == "content_filter"}
_BROKEN_OFF = {
    *("abort", "aborted", "cancel", "cancelled", "canceled", "error", "failed", "failure", "timeout"),
    *("insufficient_system_resource", "unload", "interrupted", "disconnect", "shutdown", "other"),
    *("in_progress", "queued", "network_error", "server_error", "engine_error", "finish_reason_unspecified"),
}
_MALFORMED = {"malformed_function_call", "unexpected_tool_call", "malformed_response", "invalid_tool_call"}


def finish_reason(reason: Any, calls: bool = False) -> FinishReason:
    """Why an answer ended, from what its vendor or server calls it. None: it said nothing, so it is whole.

    `calls`: whether the answer has tool calls, which need no word for it. `other` is a reason that nobody
    knows; such an answer counts as cut off. Raises `Overloaded` if the server broke the answer off, and
    `AnswerRejected` if it could not read the model's tool call.
    """
    name = "" if reason is None else str(reason).strip().lower().replace("-", "_")
    if name in _BROKEN_OFF:
        raise Overloaded(f"the server broke the answer off ({str(reason)[:40]!r}); try again")
    if name in _MALFORMED:
        raise AnswerRejected(f"the server cannot read the model's tool call ({str(reason)[:40]!r})")
    found = _ENDS.get(name, "other")
    return "tool_calls" if calls and found == "stop" else found


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


def visible_text(content: Any) -> str:
    """The words in an answer's content or in a piece of it, to show while it is streamed.

    `content` is text, or a list of parts, of which those of the type `text` are words.
    """
    if isinstance(content, list):
        return "".join(part["text"] for part in content if _is_words(part))
    return content if isinstance(content, str) else ""


def _is_words(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def tool_arguments(arguments: Any) -> Any:
    """The arguments of a tool call, decoded if they are the text of a JSON object; else as they came.

    A text may be encoded twice, as the text of a JSON string.
    """
    if not isinstance(arguments, str):
        return {} if arguments is None else arguments
    if not arguments.strip():
        return {}
    try:
        value = load_json(arguments)
    except (ValueError, RecursionError):
        return arguments
    if isinstance(value, str):
        inner = tool_arguments(value)
        return inner if isinstance(inner, dict) else arguments
    return value if isinstance(value, dict) else arguments


def bound_answers(stream_type: type[Any], limit: int) -> Callable[[Any], Awaitable[None]]:
    """An event hook for an httpx client: no request is sent on to where a server redirects to, and responses
    have at most `limit` bytes after decompression.

    `stream_type` is the library's `AsyncByteStream`. Have the client accept `gzip` alone. Reading a larger
    response raises `AnswerRejected`. The response's `stream.tail` has the last bytes that were read.
    """

    def too_large() -> AnswerRejected:
        error = AnswerRejected(
            f"the answer has more than {limit:,} bytes; if it is meant to be so long, raise the provider's "
            "option `max_answer_bytes`"
        )
        error.usage = Usage()  # it was paid for, and nobody knows how much
        return error

    class BoundedStream(stream_type):  # type: ignore[misc]
        def __init__(self, stream: Any, compressed: bool) -> None:
            self._stream, self._compressed = stream, compressed
            self.tail = b""

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size, unzip = 0, zlib.decompressobj(wbits=47)
            async for part in self._stream:
                for piece in _decompress(unzip, part) if self._compressed else (part,):
                    size += len(piece)
                    if size > limit:
                        raise too_large()
                    self.tail = (self.tail + piece)[-64:]
                    yield piece

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def hook(response: Any) -> None:
        if 300 <= response.status_code < 400:
            place = response.headers.get("location", "")
            raise RequestRejected(
                f"{response.request.url.host} redirects to {place[:200]!r}, and nothing is sent there; "
                "if that server is meant, name it in `base_url`"
            )
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip", ""):
            raise Overloaded(f"the answer is compressed as {encoding[:40]!r}, expected gzip or nothing")
        response.stream = BoundedStream(response.stream, encoding.endswith("gzip"))
        for header in ("content-encoding", "content-length"):
            response.headers.pop(header, None)

    return hook


def _decompress(unzip: Any, data: bytes) -> Iterator[bytes]:
    try:
        while data:
            yield unzip.decompress(data, _PIECE)
            data = unzip.unconsumed_tail
    except zlib.error:
        raise Overloaded("the answer's compression is damaged; try again") from None
