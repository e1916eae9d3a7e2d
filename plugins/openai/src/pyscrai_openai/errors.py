"""Failures of the SDK, of OpenAI and of compatible servers, as the kernel's errors."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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
from pyscrai_core.vendors import failure

if TYPE_CHECKING:
    from .provider import OpenAIProvider

#: What the SDK is given where a server on this computer wants no key.
NO_KEY = "none"

#: The status that a type or code stands for, where none comes with it: in a stream, or with a 200.
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
_UNPAID = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_LONG_NAMES = {"context_length_exceeded", "exceed_context_size_error"}
_TOO_LONG = re.compile(
    r"context.{0,12}(length|window|size)|(length|window|size).{0,12}context", re.IGNORECASE
)
#: How much of a message that is no JSON (an error page of a proxy) is shown.
_SHOWN = 300
#: What came before any answer: the address, the way there, or the certificate is at fault.
_NOT_CONNECTED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError, ssl.SSLError)


@frozen
class Failures:
    """Says what went wrong, with the options that matter; `key` is removed from whatever a server says."""

    config: OpenAIProvider.Config
    key: str = field(repr=False)

    def of(self, error: Exception) -> CallFailed:
        """The error for one that the SDK raised."""
        if isinstance(error, openai.APIStatusError):
            return self.said(error.body, error.status_code, error.response.headers)
        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
        if isinstance(cause, _NOT_CONNECTED):
            return Unreachable(
                f"openai: no connection to {self.config.base_url} ({cause or type(cause).__name__}); "
                "check `base_url` and that the server runs"
            )
        if isinstance(cause, httpx2.TimeoutException):
            return TimedOut(f"openai: {self.config.base_url} gave no answer in time")
        if isinstance(error, openai.APIConnectionError | httpx2.TransportError):
            return Overloaded(
                f"openai: the connection to {self.config.base_url} broke off ({cause!r}); ask again"
            )
        return self.said(getattr(error, "body", None) or str(error), None, {})

    def said(self, error: Any, status: int | None, headers: Mapping[str, str]) -> CallFailed:
        """The error for what a server says; `status` is None if it came in a stream or with a 200."""
        words, names = self._read(error)
        if status is None:
            status = next(filter(None, map(_status, names)), 500)
        message = f"openai: {words}"
        if _UNPAID.intersection(names):
            return RequestRejected(f"{message}; the account has no credit left: add some, or raise its limit")
        if _LONG_NAMES.intersection(names) or (status in (400, 413) and _TOO_LONG.search(words)):
            advice = "give the agent a `window` memory, or a model with a larger context"
            return ContextTooLong(f"{message}; {advice}")
        if "model_not_found" in names or (status == 404 and "model" in words.lower()):
            return RequestRejected(
                f"{message}; check the option `model: {self.config.model}`, and that the key may use it"
            )
        if status == 404:
            return RequestRejected(
                f"{message}; check `base_url: {self.config.base_url}`, which often ends in /v1"
            )
        if status in (401, 403):
            return AuthenticationFailed(f"{message}; check the key in {self.config.api_key} and its rights")
        if status == 400 and "/v1/responses" in words:
            return RequestRejected(f"{message} (the option `api: responses`)")
        if status == 501 or (status == 429 and words.startswith("Request too large")):
            return RequestRejected(message)  # asking again, or later, changes nothing
        return failure(status, message, headers)

    def _read(self, error: Any) -> tuple[str, list[str]]:
        """The words of an error's body, and its code and type."""
        names: list[str] = []
        words = error
        if isinstance(error, Mapping):
            names = [str(error[key]) for key in ("code", "type") if error.get(key) is not None]
            words = error.get("message") or error.get("detail") or dict(error)
            details = error.get("metadata")
            if isinstance(details, Mapping) and details.get("raw"):
                words = f"{words}: {details['raw']}"  # what the vendor behind a router said
        if not isinstance(words, str):
            words = json.dumps(words, ensure_ascii=False, default=str)
        words = " ".join(words.split()) or "an error without words"
        if self.key not in ("", NO_KEY):
            words = words.replace(self.key, f"[{self.config.api_key}]")
        return (words if isinstance(error, Mapping) else words[:_SHOWN]), names


def _status(name: str) -> int | None:
    if name.isascii() and name.isdigit() and 400 <= int(name) < 600:
        return int(name)
    return _STATUS.get(name)


@contextmanager
def shaped() -> Iterator[None]:
    """Reading an answer: whatever it lacks of its interface's form shows as one of these errors."""
    try:
        yield
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise Overloaded(
            f"openai: the answer has not the form of OpenAI's interface ({type(error).__name__}: {error}); "
            "if it stays so, check `base_url` and `api`"
        ) from error
