"""Maps errors of the SDK, of OpenAI and of compatible servers to the kernel's errors."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
from attrs import field, frozen

from pyscrai_core import (
    AuthenticationFailed,
    CallFailed,
    ContextTooLong,
    Overloaded,
    RequestRejected,
    TimedOut,
    Unreachable,
)
from pyscrai_core.vendors import answer_fault, failure

from .config import OpenAIConfig

#: The SDK needs some key, also for a server on this computer that needs none.
NO_KEY = "none"
#: What to do about a server that wants a key and got none.
NAME_KEY = (
    "this server got no key, as OPENAI_API_KEY goes to OpenAI alone; name the variable that holds its key "
    "with `api_key`"
)

#: The HTTP status for an error's type or code. Errors in a stream or with status 200 have no other.
_STATUS = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "context_length_exceeded": 400,
    "exceed_context_size_error": 400,
    "not_supported_error": 501,
}
_NO_CREDIT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_TOO_LONG_NAMES = {"context_length_exceeded", "exceed_context_size_error"}
_TOO_LONG = re.compile(
    r"context.{0,12}(length|window|size)|(length|window|size).{0,12}context", re.IGNORECASE
)
#: How many characters of a body that is not JSON (such as a proxy's error page) a message shows.
_SHOWN = 300
#: Errors before any answer: the address, the network or the certificate is at fault.
_NOT_CONNECTED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError, ssl.SSLError)


@frozen
class ErrorMapper:
    """Maps errors, and names the options that may cause them. `key` is removed from all messages."""

    config: OpenAIConfig
    key: str = field(repr=False)

    def from_sdk(self, error: Exception) -> CallFailed:
        """The error for an exception of the SDK."""
        if isinstance(error, openai.APIStatusError):
            return self.from_body(error.body, error.status_code, error.response.headers)
        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
        if isinstance(cause, CallFailed):
            return cause
        if isinstance(cause, _NOT_CONNECTED):
            return Unreachable(
                f"openai: no connection to {self.config.base_url} ({cause or type(cause).__name__}); "
                "check `base_url`, and that the server runs"
            )
        if isinstance(cause, httpx2.TimeoutException):
            return TimedOut(f"openai: {self.config.base_url} did not answer in time")
        if isinstance(error, openai.APIConnectionError | httpx2.TransportError):
            return Overloaded(
                f"openai: the connection to {self.config.base_url} was lost ({cause!r}); try again"
            )
        return self.from_body(getattr(error, "body", None) or str(error), None, {})

    def from_body(self, error: Any, status: int | None, headers: Mapping[str, str]) -> CallFailed:
        """The error for a server's error body. `status` is None in a stream and if the status was 200."""
        text, names = self._read(error)
        if status is None:
            status = next(filter(None, map(_status, names)), 500)
        message = f"openai: {text}"
        if _NO_CREDIT.intersection(names):
            return RequestRejected(
                f"{message}; the account has no credit left: add credit, or raise its limit"
            )
        if fault := answer_fault(message, names):
            return fault
        if _TOO_LONG_NAMES.intersection(names) or (status in (400, 413) and _TOO_LONG.search(text)):
            advice = "give the agent a `window` memory, or use a model with a larger context"
            return ContextTooLong(f"{message}; {advice}")
        if "model_not_found" in names or (status == 404 and "model" in text.lower()):
            return RequestRejected(
                f"{message}; check the option `model: {self.config.model}`, and that the key has access to it"
            )
        if status == 404:
            return RequestRejected(
                f"{message}; check `base_url: {self.config.base_url}`, which usually ends in /v1"
            )
        if status in (401, 403):
            name = self.config.key_variable
            remedy = f"check the key in {name} and its rights" if name else NAME_KEY
            return AuthenticationFailed(f"{message}; {remedy}")
        if status == 400 and "/v1/responses" in text:
            return RequestRejected(f"{message} (the option `api: responses`)")
        if status == 501 or (status == 429 and text.startswith("Request too large")):
            return RequestRejected(message)  # a retry would fail again
        return failure(status, message, headers)

    def _read(self, error: Any) -> tuple[str, list[str]]:
        """The text of an error's body, and its code and type."""
        names: list[str] = []
        text = error
        if isinstance(error, Mapping):
            names = [str(error[key]) for key in ("code", "type") if error.get(key) is not None]
            text = error.get("message") or error.get("detail") or dict(error)
            if error.get("failed_generation"):
                text = f"{text} It began: {str(error['failed_generation'])[:_SHOWN]}"
            details = error.get("metadata")
            if isinstance(details, Mapping) and details.get("raw"):
                text = f"{text}: {details['raw']}"  # the error of the vendor behind a router
        if not isinstance(text, str):
            text = json.dumps(text, ensure_ascii=False, default=str)
        text = " ".join(text.split()) or "an error without a message"
        if self.key not in ("", NO_KEY):
            text = text.replace(self.key, f"[{self.config.key_variable}]")
        return (text if isinstance(error, Mapping) else text[:_SHOWN]), names


def bare_error(answer: Mapping[str, Any]) -> bool:
    """Whether an answer, or a chunk of one, is itself an error: some servers send `{"message": …}` alone."""
    return answer.get("object") == "error" or (
        isinstance(answer.get("message"), str) and not answer.keys() & {"choices", "output", "type"}
    )


def _status(name: str) -> int | None:
    if name.isascii() and name.isdigit() and 400 <= int(name) < 600:
        return int(name)
    return _STATUS.get(name)


@contextmanager
def expected_format() -> Iterator[None]:
    """Reads an answer. Raises `Overloaded` if it does not have the format of OpenAI's interface."""
    try:
        yield
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise Overloaded(
            "openai: the answer does not have the format of OpenAI's interface "
            f"({type(error).__name__}: {error}); if this persists, check `base_url` and `api`"
        ) from error
