"""Sends requests with the SDK, assembles streamed answers, and maps errors. Only this file uses the SDK."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import anthropic
import httpx2

from pyscrai_core import (
    CallFailed,
    ContextTooLong,
    Overloaded,
    RequestRejected,
    Sink,
    TimedOut,
    Unreachable,
    Usage,
)
from pyscrai_core.vendors import answer_fault, bound_answers, failure, paid, reported

from .config import NAME_KEY, NO_KEY, AnthropicConfig
from .messages import usage
from .stream import Stream

#: Seconds to wait for a connection. The kernel limits the time for the answer.
CONNECT_TIMEOUT = 10.0

#: The HTTP status for an error type. An error within an answer has the answer's own status, 200.
_STATUS = {
    "invalid_request_error": 400,
    "exceed_context_size_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_TOO_LONG = re.compile(r"prompt is too long|context (size|length|limit|window)", re.IGNORECASE)


class Client:
    """A connection pool to the server of `config`, for 1,000 simultaneous requests."""

    def __init__(
        self, config: AnthropicConfig, key: str, max_bytes: int, timeout: float | None = None
    ) -> None:
        self._config, self._key = config, key
        bound = bound_answers(httpx2.AsyncByteStream, max_bytes)
        self._sdk = anthropic.AsyncAnthropic(
            api_key=key,
            base_url=config.base_url,
            max_retries=0,
            timeout=httpx2.Timeout(timeout, connect=min(CONNECT_TIMEOUT, timeout or CONNECT_TIMEOUT)),
            open_telemetry=False,
            default_headers={"Accept-Encoding": "gzip"},
            http_client=anthropic.DefaultAsyncHttpxClient(event_hooks={"response": [bound]}),
        )
        # The SDK also reads headers from the environment, and has no option to disable that. Requests must
        # not depend on the environment.
        self._sdk._custom_headers = {}

    async def close(self) -> None:
        await self._sdk.close()

    async def send(self, arguments: dict[str, Any], sink: Sink | None) -> tuple[Any, Mapping[str, str]]:
        """The decoded answer and its headers. Raises `CallFailed`."""
        stream = Stream()

        def used() -> Usage | None:
            return usage(stream.answer) if stream.begun else None

        with paid(used):
            return await self._send(arguments, sink, stream)

    async def _send(
        self, arguments: dict[str, Any], sink: Sink | None, stream: Stream
    ) -> tuple[Any, Mapping[str, str]]:
        is_json = False
        try:
            raw: Any = await self._sdk.messages.with_raw_response.create(**arguments, stream=sink is not None)
            kind = raw.headers.get("content-type", "")
            if kind.startswith("text/event-stream"):
                async with await raw.parse() as events:
                    async for event in events:
                        text = stream.add(event.to_dict(warnings=False))
                        if text and sink is not None:
                            sink.write(text)
                answer: Any = stream.whole()
            else:
                is_json = "json" in kind
                answer = await raw.json()
        except anthropic.APIStatusError as error:
            raise self._error(error.status_code, error.body, error.response.headers) from error
        except anthropic.APIConnectionError as error:
            raise self._connection_error(error.__cause__ or error) from error
        except httpx2.RequestError as error:
            raise self._connection_error(error) from error
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            # What an answer used that is not whole, nobody knows; what has another type comes from a proxy.
            with paid(Usage() if is_json else None):
                raise self.malformed(error) from error
        if isinstance(answer, dict) and "error" in answer:
            with paid(reported(usage(answer))):
                raise self._error(raw.status_code, answer, raw.headers)
        return answer, raw.headers

    async def look_up_model(self) -> int:
        """The HTTP status of a request for the model. Raises `TransientError` if there is no answer."""
        try:
            found = await self._sdk.models.with_raw_response.retrieve(self._config.model)
        except anthropic.APIStatusError as error:
            return error.status_code
        except anthropic.APIConnectionError as error:
            raise self._connection_error(error.__cause__ or error) from error
        return found.status_code

    def malformed(self, error: Exception) -> Overloaded:
        """The error for an answer that is incomplete or does not have the API's format."""
        return Overloaded(
            f"anthropic: {self._config.base_url} did not send a complete answer ({type(error).__name__}: "
            f"{error}), expected one of Anthropic's Messages API; if this persists, check `base_url`"
        )

    def _connection_error(self, error: BaseException) -> CallFailed:
        if isinstance(error, CallFailed):
            return error
        config, text = self._config, f"{type(error).__name__}: {error}"
        no_connection = (
            httpx2.ConnectError,
            httpx2.ConnectTimeout,
            httpx2.ProxyError,
            httpx2.UnsupportedProtocol,
        )
        if isinstance(error, no_connection):
            return Unreachable(
                f"anthropic: no connection to {config.base_url} ({text}); check `base_url` and the network"
            )
        if isinstance(error, httpx2.TimeoutException):
            return TimedOut(f"anthropic: no answer from {config.base_url} in time ({text})")
        return Overloaded(f"anthropic: the connection to {config.base_url} was lost ({text})")

    def _error(self, status: int, body: Any, headers: Mapping[str, str]) -> CallFailed:
        """The kernel's error for the server's error body, which may also come with status 200."""
        config = self._config
        found = body.get("error", body) if isinstance(body, dict) else body
        error = found if isinstance(found, dict) else {"message": found}
        kind, details = error.get("type"), error.get("details")
        if status < 400:
            status = _STATUS.get(str(kind), 500)
        text = str(error.get("message") or found or f"status {status}")[:500]
        if self._key != NO_KEY:
            text = text.replace(self._key, f"[{config.key_variable}]")
        message = f"anthropic: {text}"
        if kind == "request_too_large" or (status in (400, 422) and _TOO_LONG.search(text)):
            return ContextTooLong(
                f"{message}; give the agent a `window` memory, or use a model with a larger context"
            )
        if isinstance(details, dict) and str(details.get("error_code")).endswith("spend_limit_reached"):
            return RequestRejected(f"{message}; raise the limit in Anthropic's console")
        if fault := answer_fault(message):
            return fault
        if status in (401, 403):
            name = config.key_variable
            message += f"; check the key in {name}" if name else f"; {NAME_KEY}"
        elif status == 404:
            message += f"; check `model` ({config.model}) and `base_url` ({config.base_url}) of the provider"
        elif status == 400 and "output_config.format" in text:
            message += "; set `schema: false` for the provider to describe schemas in the prompt instead"
        return failure(status, message, headers)
