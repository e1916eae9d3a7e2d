"""The provider `openai`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import openai
from attrs import evolve

from pyscrai_core import (
    AuthenticationFailed,
    Completion,
    ConfigError,
    ContractError,
    Overloaded,
    Probe,
    Provider,
    RateLimitStatus,
    Request,
    RequestRejected,
    Sampling,
    Sink,
    TransientError,
    Usage,
    read_secret,
)
from pyscrai_core.vendors import Option, OptionScores, bound_answers, duration, library_cost, paid, reported

from .chat import Chat
from .config import OPENAI_KEY, OpenAIConfig
from .errors import NO_KEY, ErrorMapper, bare_error, expected_format
from .models import is_loopback, is_openai, is_reasoning, reasons
from .responses import Responses
from .scores import score

#: Seconds. The kernel limits each attempt itself; these limits only stop a connection that would never end.
TIMEOUT = openai.Timeout(1800, connect=10)
PROBE_TIMEOUT = openai.Timeout(5)


class OpenAIProvider(Provider):
    """Sends requests to OpenAI or to a server with the same interface.

    `aopen` raises `ConfigError` if the key is missing. Other servers than OpenAI's get one only if `api_key`
    names it.
    """

    Config = OpenAIConfig
    vendor_key = OPENAI_KEY
    config: OpenAIConfig

    def __init__(self, config: OpenAIConfig) -> None:
        super().__init__(config)
        self._official = is_openai(config.base_url)
        self._interface = (Chat if config.api == "chat" else Responses)(config, self._official)
        offered = {
            "stream": True,
            "tools": config.tools,
            "schema": config.schema,
            "seed": config.seed and config.api == "chat",
            "stop": config.api == "chat",
            "embed": config.embedding_model is not None,
            "options": config.continues is not None,
        }
        self.capabilities = frozenset(name for name, given in offered.items() if given)
        self._key = ""
        self._client: openai.AsyncOpenAI | None = None

    async def aopen(self) -> None:
        self._key = self._read_key()
        self._client = self._connect(self._key, TIMEOUT)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    @property
    def account(self) -> str:
        key = hashlib.sha256(self._key.encode()).hexdigest()[:12]
        return f"{self.config.base_url} {self.config.model} {key}"

    def refuses(self, sampling: Sampling) -> Mapping[str, str]:
        config = self.config
        found: dict[str, str] = {}
        if sampling.stop and config.api == "responses":
            found["stop"] = "the responses interface does not support it; remove it, or set `api: chat`"
        if config.sampling or (config.sampling is None and not self._official):
            return found
        advice = "remove it, or set `sampling: true` if the model accepts it"
        if config.sampling is False or reasons(config.model, config.effort):
            for name in ("temperature", "top_p"):
                if getattr(sampling, name) is not None:
                    found[name] = f"{config.model} does not accept it while it reasons; {advice}"
        if sampling.stop and (config.sampling is False or is_reasoning(config.model)):
            found.setdefault("stop", f"{config.model} does not accept it; {advice}")
        return found

    def cost(self, usage: Usage, model: str = "") -> float | None:
        model = model or self.config.model
        if self._official:  # includes regional hosts, which the library does not know
            return library_cost(usage, model, vendor="openai")
        return library_cost(usage, model, url=self.config.base_url)

    async def complete(self, request: Request, sink: Sink | None = None) -> Completion:
        """Send the request.

        Raises the kernel's errors for failures of the vendor or the network.
        """
        body = {**self._interface.body(request, stream=sink is not None), **self.config.extra}
        if sink is None:
            answer, headers = await self._post(self._interface.path, body)
        else:
            answer, headers = await self._stream(self._interface.path, body, sink)
        used = self._interface.usage(answer)
        with paid(reported(used)), expected_format():
            self._check_errors(answer)
        with paid(used), expected_format():
            made = self._interface.completion(request, answer)
        return evolve(made, allowance=_allowance(headers))

    async def score(self, request: Request, prefix: str, options: Sequence[Option]) -> OptionScores:
        """The log-probabilities of options, from those of tokens. Raises the errors of `complete`."""
        assert isinstance(self._interface, Chat)

        async def send(body: dict[str, Any]) -> dict[str, Any]:
            try:
                answer, _ = await self._post(Chat.path, body)
                self._check_errors(answer)
            except RequestRejected as error:
                if "logprobs" in str(error):
                    most = f"`top_logprobs: {self.config.top_logprobs}`"
                    error.args = (f"{error}; lower the option {most}, or set `draw: provider`",)
                raise
            return answer

        with expected_format():
            return await score(self._interface, self.config, request, prefix, options, send)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each text, from `embedding_model`."""
        if self.config.embedding_model is None:
            return await super().embed(texts)
        body = {"model": self.config.embedding_model, "input": list(texts), "encoding_format": "float"}
        answer, _ = await self._post("/embeddings", body)
        with expected_format():
            found = sorted(answer["data"], key=lambda one: int(one["index"]))
            return [[float(number) for number in one["embedding"]] for one in found]

    async def probe(self) -> Sequence[Probe]:
        config = self.config
        try:
            key = self._read_key()
        except ConfigError as error:
            return (Probe("key", False, str(error)),)
        found = [Probe("key", True, f"{config.key_variable} is set")] if key != NO_KEY else []
        errors = ErrorMapper(config, key)
        listed: list[dict[str, Any]] | None = None
        try:
            async with self._connect(key, PROBE_TIMEOUT) as client:
                response = await client.get("/models", cast_to=httpx2.Response)
            with expected_format():
                listed = response.json()["data"]
                names = [one["id"] for one in listed or ()]
        except Overloaded:
            listed = None  # the server answers; not every server lists its models
        except (openai.APIError, httpx2.RequestError) as error:
            failed = errors.from_sdk(error)
            if isinstance(failed, AuthenticationFailed):
                return (Probe("key", False, str(failed)), Probe("server", True, f"{config.base_url} answers"))
            if isinstance(failed, TransientError):
                return (*found, Probe("server", False, str(failed)))
            if isinstance(
                error, openai.APIConnectionError
            ):  # what it answered is no answer, such as a redirect
                raise failed from error
        found.append(Probe("server", True, f"{config.base_url} answers"))
        if listed is None:
            return found
        for model in filter(None, (config.model, config.embedding_model)):
            if model in names:
                found.append(Probe("model", True, f"the server has {model}"))
            elif not any(one.get("owned_by") == "llamacpp" for one in listed):  # llama.cpp accepts any name
                some = ", ".join(sorted(names)[:5])
                found.append(Probe("model", False, f"the server has no {model}; it has {some}, …"))
        return found

    def _read_key(self) -> str:
        name = self.config.key_variable
        if name is None or (is_loopback(self.config.base_url) and not os.environ.get(name, "").strip()):
            return NO_KEY
        return read_secret(name, f"the server at {self.config.base_url}")

    def _connect(self, key: str, timeout: openai.Timeout) -> openai.AsyncOpenAI:
        bound = bound_answers(httpx2.AsyncByteStream, self.max_answer_bytes)
        client = openai.AsyncOpenAI(
            api_key=key,
            base_url=self.config.base_url,
            max_retries=0,
            timeout=timeout,
            default_headers={"Accept-Encoding": "gzip"},
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [bound]}),
        )
        # By default, the SDK takes these three from environment variables.
        client.organization, client.project = self.config.organization, self.config.project
        client._custom_headers = {}
        return client

    def _opened(self) -> openai.AsyncOpenAI:
        if self._client is None:
            raise ContractError("openai: the provider is not open; call aopen() first")
        return self._client

    async def _post(self, path: str, body: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, str]]:
        client = self._opened()
        try:
            response = await client.post(path, cast_to=httpx2.Response, body=body)
        except (openai.APIError, httpx2.RequestError) as error:
            raise self._errors.from_sdk(error) from error
        return self._decoded(response), response.headers

    async def _stream(
        self, path: str, body: dict[str, Any], sink: Sink
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        client, received = self._opened(), self._interface.stream()

        def used() -> Usage | None:
            usage = self._interface.usage(received.answer)
            return usage if received.begun else reported(usage)

        with paid(used):
            try:
                async with await client.post(
                    path, cast_to=object, body=body, stream=True, stream_cls=openai.AsyncStream[Any]
                ) as stream:
                    headers = stream.response.headers
                    if "json" in headers.get("content-type", ""):  # not a stream, or an error
                        await stream.response.aread()
                        return self._decoded(stream.response), headers
                    async for event in stream:
                        with expected_format():
                            text = received.add(event)
                        if text:
                            sink.write(text)
                    ended = b"[DONE]" in getattr(stream.response.stream, "tail", b"")
            except (openai.APIError, httpx2.RequestError) as error:
                raise self._errors.from_sdk(error) from error
            except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
                raise Overloaded(
                    f"openai: the stream of {self.config.base_url} is not valid; try again"
                ) from error
            answer = received.whole(ended)
            if answer is None:
                raise Overloaded(f"openai: the answer of {self.config.base_url} ended too early; try again")
            with expected_format():
                self._check_errors(answer)  # here, what was already sent counts
            return answer, headers

    def _decoded(self, response: httpx2.Response) -> dict[str, Any]:
        try:
            answer = json.loads(response.content)
        except (ValueError, RecursionError) as error:
            kind = response.headers.get("content-type", "no type")
            failed = Overloaded(
                f"openai: the answer of {self.config.base_url} is not JSON ({kind}: {response.text[:80]!r}); "
                "if this persists, check `base_url`"
            )
            if "json" in kind:  # an answer that is not whole; what has another type comes from a proxy
                failed.usage = Usage()
            raise failed from error
        with expected_format():
            return dict(answer)

    def _check_errors(self, answer: dict[str, Any]) -> None:
        """Raise the error in an answer. The answer or its choice may have one even with status 200."""
        for part in (answer, *(answer.get("choices") or ())):
            error = part if part is answer and bare_error(part) else part.get("error")
            if error is None and part.get("finish_reason") == "error":
                error = "the server ended the answer with an error"
            if error:
                raise self._errors.from_body(error, None, {})

    @property
    def _errors(self) -> ErrorMapper:
        return ErrorMapper(self.config, self._key)


def _allowance(headers: Mapping[str, str]) -> RateLimitStatus | None:
    """The remaining rate limits, from headers such as `x-ratelimit-remaining-requests: 59`."""

    def number(name: str) -> int | None:
        value = headers.get(f"x-ratelimit-remaining-{name}", "")
        return int(value) if value.isascii() and value.isdigit() else None

    def seconds(name: str) -> float | None:
        return duration(headers.get(f"x-ratelimit-reset-{name}", ""))

    found = RateLimitStatus(number("requests"), number("tokens"), seconds("requests"), seconds("tokens"))
    return None if found == RateLimitStatus() else found
