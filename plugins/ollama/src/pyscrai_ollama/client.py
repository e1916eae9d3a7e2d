"""The way to a server: Ollama's own client, and what its failures mean."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import ollama

from pyscrai_core import (
    AnswerRejected,
    CallFailed,
    ContextTooLong,
    Overloaded,
    RequestRejected,
    TimedOut,
    Unreachable,
)
from pyscrai_core.vendors import failure

#: Seconds to wait for a connection, and for the next byte of an answer. The kernel times the whole attempt;
#: this one only frees what a dead connection holds.
CONNECT, READ = 10.0, 3600.0

#: How Ollama, its runners and its cloud word that a request is too long, depending on the version.
_TOO_LONG = re.compile(
    r"exceed_context_size_error|exceeds the (available )?context|exceed(s|ed) max(imum)? context"
    r"|longer than the context|prompt too long",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"""model ['"]?([^'"\s]+)['"]? not found""")
_HINTS = {
    "does not support tools": "set `tools: false` for this provider, or take a model that knows tools",
    "does not support thinking": "leave out `think`, or take a model that thinks",
}
_STATUS_HINTS = {
    401: "set `api_key` to the name of the variable that holds the key, or sign in with: ollama signin",
    404: "check `base_url`: this does not look like Ollama's API",
}


class Client(ollama.AsyncClient):
    """Ollama's client, taking and giving requests and answers as plain JSON.

    Its `chat` has no place for `truncate` and `shift`, drops what it does not know from the schemas of tools
    and from answers, and hides a failed answer's headers. All methods raise `CallFailed` and nothing else.
    """

    def __init__(self, url: str, key: str = "", *, direct: bool = False, read: float = READ) -> None:
        def authorize(request: httpx.Request) -> httpx.Request:
            # The client of its own accord sends the key in OLLAMA_API_KEY, to whatever server this is.
            request.headers.pop("Authorization", None)
            if key:
                request.headers["Authorization"] = f"Bearer {key}"
            return request

        self.url = url
        super().__init__(
            url,
            auth=authorize,
            timeout=httpx.Timeout(read, connect=min(CONNECT, read)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
            # A prompt goes to the server that was named, and to no other.
            follow_redirects=False,
            # What is on this machine is never behind the proxy of the environment.
            trust_env=not direct,
            event_hooks={"response": [_check]},
        )

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The whole answer to a request."""
        with self._explained():
            answer: dict[str, Any] = await self._request(dict, method, path, stream=False, json=body)
        if answer.get("error"):
            raise refusal(500, answer["error"], {})
        return answer

    async def stream(self, path: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The pieces of an answer as they come. To be closed if it is left early."""
        with self._explained():
            async for piece in await self._request(dict, "POST", path, json=body, stream=True):
                yield piece

    async def aclose(self) -> None:
        await self._client.aclose()  # its own `close` is newer than 0.6.0

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise Unreachable(
                f"ollama: no connection to {self.url} ({error.__context__ or error}); "
                "is Ollama running? start it with: ollama serve"
            ) from error
        except httpx.TimeoutException as error:
            raise TimedOut(
                f"ollama: {self.url} fell silent ({type(error).__name__}); see how busy it is with: ollama ps"
            ) from error
        except httpx.HTTPError as error:
            raise Overloaded(
                f"ollama: the connection to {self.url} broke ({error or type(error).__name__}); "
                "if it goes on, look into the log of Ollama"
            ) from error
        except ollama.ResponseError as error:
            # Only of a stream that has begun; `_check` sees all others first.
            raise refusal(500, error.error, {}) from error
        except (ValueError, TypeError, AttributeError) as error:
            # What the client does with JSON that is cut off, no object, or no JSON at all.
            text = error.doc if isinstance(error, json.JSONDecodeError) else str(error)
            raise Overloaded(
                f"ollama: {self.url} gave an answer that is not Ollama's ({_short(text)!r}); "
                "if it goes on, look for a proxy in between and check `base_url`"
            ) from error


async def _check(response: httpx.Response) -> None:
    if response.status_code >= 300:
        await response.aread()
        raise refusal(response.status_code, response.text, response.headers)


def refusal(status: int, body: Any, headers: Mapping[str, str]) -> CallFailed:
    """What an error of Ollama means: `body` is the answer's, or the value of its `error`."""
    details: dict[str, Any] = {}
    # The error of a runner comes as JSON inside of the string of Ollama's own.
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
    words = _short(str(body)) or "no reason given"
    if _TOO_LONG.search(f"{details.get('type')} {words}"):
        tokens, limit = details.get("n_prompt_tokens"), details.get("n_ctx")
        if tokens and limit:
            return too_long(f"the request has {tokens} tokens, and the model's context holds {limit}")
        return too_long(f"the request does not fit into the model's context ({words})")
    if "error parsing tool call" in words:
        return AnswerRejected(f"ollama: the model called a tool in a form that Ollama cannot read: {words}")
    if found := _NO_MODEL.search(words):
        return RequestRejected(
            f"ollama: the server has no model {found[1]!r}; pull it with: ollama pull {found[1]}, or correct "
            "`model` (or `embedding_model`) of this provider: `ollama list` shows what is there"
        )
    hint = next((hint for said, hint in _HINTS.items() if said in words), _STATUS_HINTS.get(status))
    if 300 <= status < 400:
        hint = f"set `base_url` to where this one leads: {headers.get('location')}"
    return failure(status, f"ollama: {words} (status {status})" + (f"; {hint}" if hint else ""), headers)


def too_long(what: str) -> ContextTooLong:
    return ContextTooLong(
        f"ollama: {what}; give the agent a `window` memory, or a model with a larger context "
        "(`context` sets how much of it Ollama uses)"
    )


def _short(text: str) -> str:
    return " ".join(text.split())[:300]
