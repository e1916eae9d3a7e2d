"""The connection to a server: Ollama's client, with plain JSON and the kernel's errors."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import ollama

from pyscrai_core import (
    CallFailed,
    ContextTooLong,
    Overloaded,
    RequestRejected,
    TimedOut,
    Unreachable,
    Usage,
)
from pyscrai_core.vendors import answer_fault, bound_answers, failure, paid, reported

from .messages import usage

#: Seconds to wait for a connection, and for the next byte of an answer. The kernel limits the whole attempt;
#: the second limit only ends dead connections.
CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 3600.0

#: The messages of Ollama, its runners and its cloud for a request that is too long, in various versions.
_TOO_LONG = re.compile(
    r"exceed_context_size_error|exceeds the (available )?context|exceed(s|ed) max(imum)? context"
    r"|longer than the context|prompt too long",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"""model ['"]?([^'"\s]+)['"]? not found""")
_HINTS = {
    "does not support tools": "set `tools: false` for this provider, or use a model that supports tools",
    "does not support thinking": "remove `think`, or use a model that supports thinking",
}
_STATUS_HINTS = {
    401: "set `api_key` to the name of the variable that holds the key, or run: ollama signin",
    404: "check `base_url`: the server does not seem to be Ollama",
}


class Client(ollama.AsyncClient):
    """Ollama's client, with requests and answers as plain JSON.

    The client's own `chat` does not support `truncate` and `shift`, removes unknown fields from tool schemas
    and answers, and hides the headers of an error. All methods of this class only raise `CallFailed`.
    """

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        max_bytes: int,
        loopback: bool = False,
        read_timeout: float = READ_TIMEOUT,
    ) -> None:
        def authorize(request: httpx.Request) -> httpx.Request:
            # By default, the client sends the key in OLLAMA_API_KEY to any server.
            request.headers.pop("Authorization", None)
            if key:
                request.headers["Authorization"] = f"Bearer {key}"
            return request

        self.url = url
        super().__init__(
            url,
            auth=authorize,
            timeout=httpx.Timeout(read_timeout, connect=min(CONNECT_TIMEOUT, read_timeout)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
            # Only the configured server may receive the prompt.
            follow_redirects=False,
            # A server on this machine is never behind a proxy.
            trust_env=not loopback,
            headers={"Accept-Encoding": "gzip"},
            event_hooks={"response": [bound_answers(httpx.AsyncByteStream, max_bytes), _raise_for_status]},
        )

    async def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request. Returns the whole answer."""
        with self._map_errors():
            answer: dict[str, Any] = await self._request(dict, method, path, stream=False, json=body)
        if answer.get("error"):
            with paid(reported(usage(answer))):
                raise from_error(500, answer["error"], {})
        return answer

    async def stream(self, path: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks of a streamed answer. Close the generator if you leave it early."""
        with self._map_errors():
            async for chunk in await self._request(dict, "POST", path, json=body, stream=True):
                yield chunk

    async def aclose(self) -> None:
        await self._client.aclose()  # `close` does not exist in 0.6.0

    @contextmanager
    def _map_errors(self) -> Iterator[None]:
        try:
            yield
        except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise Unreachable(
                f"ollama: no connection to {self.url} ({error.__context__ or error}); "
                "is Ollama running? start it with: ollama serve"
            ) from error
        except httpx.TimeoutException as error:
            raise TimedOut(
                f"ollama: {self.url} does not answer ({type(error).__name__}); see its load with: ollama ps"
            ) from error
        except httpx.HTTPError as error:
            raise Overloaded(
                f"ollama: the connection to {self.url} was lost ({error or type(error).__name__}); "
                "if this persists, check Ollama's log"
            ) from error
        except ollama.ResponseError as error:
            # An error within a stream; `_raise_for_status` handles all others.
            raise from_error(500, error.error, {}) from error
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            # The client raises these for invalid JSON and for JSON that is not an object.
            text = error.doc if isinstance(error, json.JSONDecodeError) else str(error)
            # An answer whose JSON is not whole was paid for; what is no JSON at all comes from a proxy.
            with paid(Usage() if text.lstrip().startswith("{") else None):
                raise Overloaded(
                    f"ollama: {self.url} sent an answer that is not in Ollama's format ({_short(text)!r}); "
                    "if this persists, check `base_url`, and whether a proxy is in between"
                ) from error


async def _raise_for_status(response: httpx.Response) -> None:
    if response.status_code >= 400:
        await response.aread()
        raise from_error(response.status_code, response.text, response.headers)


def from_error(status: int, body: Any, headers: Mapping[str, str]) -> CallFailed:
    """The kernel's error for an error of Ollama. `body` is the answer's body or its `error` value."""
    details: dict[str, Any] = {}
    # A runner's error is JSON within the text of Ollama's own error.
    while True:
        if isinstance(body, dict):
            details |= body
            body = body.get("error", body.get("message", ""))
        elif isinstance(body, str) and body.lstrip().startswith("{"):
            try:
                body = json.loads(body)
            except ValueError:
                break
        else:
            break
    code = details.get("code", details.get("StatusCode"))
    if status == 500 and type(code) is int and 400 <= code < 600:
        status = code
    text = _short(str(body)) or "no reason given"
    if _TOO_LONG.search(f"{details.get('type')} {text}"):
        tokens, limit = details.get("n_prompt_tokens"), details.get("n_ctx")
        if tokens and limit:
            return too_long(f"the request has {tokens} tokens, and the model's context holds {limit}")
        return too_long(f"the request does not fit into the model's context ({text})")
    if fault := answer_fault(f"ollama: {text}"):
        return fault
    if found := _NO_MODEL.search(text):
        return RequestRejected(
            f"ollama: the server has no model {found[1]!r}; pull it with: ollama pull {found[1]}, or correct "
            "`model` (or `embedding_model`) of this provider: `ollama list` lists the server's models"
        )
    hint = next((hint for part, hint in _HINTS.items() if part in text), _STATUS_HINTS.get(status))
    return failure(status, f"ollama: {text} (status {status})" + (f"; {hint}" if hint else ""), headers)


def too_long(what: str) -> ContextTooLong:
    return ContextTooLong(
        f"ollama: {what}; give the agent a `window` memory, or use a model with a larger context "
        "(the option `context` sets how much of it Ollama uses)"
    )


def _short(text: str) -> str:
    return " ".join(text.split())[:300]
