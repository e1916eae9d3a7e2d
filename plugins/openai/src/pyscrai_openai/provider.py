"""The provider `openai`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import httpx2
import openai
from attrs import Attribute, evolve, field, frozen

from pyscrai_core import (
    Allowance,
    AuthenticationFailed,
    Completion,
    ConfigError,
    ContractError,
    Overloaded,
    Probe,
    Provider,
    Request,
    Sampling,
    SecretName,
    Sink,
    TransientError,
    Url,
    Usage,
    read_secret,
)
from pyscrai_core.vendors import duration, library_cost

from .chat import Chat
from .errors import NO_KEY, Failures, shaped
from .models import is_loopback, is_openai, is_reasoning, reasons
from .responses import Responses

OPENAI = Url("https://api.openai.com/v1")
OPENAI_KEY = SecretName("OPENAI_API_KEY")

#: Seconds. The kernel has a timeout of its own for each attempt; these only end what would never end.
TIMEOUT = openai.Timeout(1800, connect=10)
PROBE_TIMEOUT = openai.Timeout(5)

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

#: Fields of the body that the plugin sets itself, from a request or from its own options.
_SET = {
    *("model", "messages", "input", "stream", "stream_options", "store", "include", "seed", "temperature"),
    *("top_p", "max_tokens", "max_completion_tokens", "max_output_tokens", "stop", "tools", "text"),
    "response_format",
}


def _named(instance: object, attribute: Attribute[Any], value: str | None) -> None:
    if value is not None and not value.strip():
        raise ValueError(f"{attribute.name}: it is empty, expected a name")


def _not_ours(instance: Any, attribute: Attribute[Any], value: dict[str, Any]) -> None:
    taken = _SET | ({"reasoning_effort", "reasoning"} if instance.effort is not None else set())
    if clash := sorted(taken & value.keys()):
        raise ValueError(
            f"extra: {', '.join(clash)} is set by the plugin itself, expected other fields; use its options"
        )


class OpenAIProvider(Provider):
    """Asks OpenAI, or a server that speaks its interface.

    `aopen` raises `ConfigError` if the key is missing; servers on this computer need none.
    """

    @frozen
    class Config:
        """The options of the provider `openai`.

        model
            the model's name, as the server knows it
        base_url
            where the server is, mostly with `/v1` at its end
        api_key
            the name of the environment variable that holds the key
        api
            `chat` for `/chat/completions`, `responses` for `/responses`
        effort
            how much a reasoning model thinks; None: the vendor's choice
        tools, schema, seed
            whether the server takes tools, JSON schemas and seeds; the kernel puts tools and schemas into
            words if not
        sampling
            whether the model takes `temperature`, `top_p` and `stop`; None: known from its name (OpenAI's
            own), or yes
        embedding_model
            the model that makes embeddings; None: none are made
        organization, project
            what OpenAI counts the request for, if the key belongs to several
        extra
            further fields of the request's body, as they are
        """

        model: str = field(validator=_named)
        base_url: Url = OPENAI
        api_key: SecretName = OPENAI_KEY
        api: Literal["chat", "responses"] = "chat"
        effort: Effort | None = None
        tools: bool = True
        schema: bool = True
        seed: bool = True
        sampling: bool | None = None
        embedding_model: str | None = field(default=None, validator=_named)
        organization: str | None = field(default=None, validator=_named)
        project: str | None = field(default=None, validator=_named)
        extra: dict[str, Any] = field(factory=dict, validator=_not_ours)

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._own = is_openai(config.base_url)
        self._interface = (Chat if config.api == "chat" else Responses)(config, self._own)
        offered = {
            "stream": True,
            "tools": config.tools,
            "schema": config.schema,
            "seed": config.seed and config.api == "chat",
            "embed": config.embedding_model is not None,
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
            found["stop"] = "the responses interface has none; drop it, or set `api: chat`"
        if config.sampling or (config.sampling is None and not self._own):
            return found
        advice = "drop it, or set `sampling: true` if the model does take it"
        if config.sampling is False or reasons(config.model, config.effort):
            for name in ("temperature", "top_p"):
                if getattr(sampling, name) is not None:
                    found[name] = f"{config.model} takes none while it reasons; {advice}"
        if sampling.stop and (config.sampling is False or is_reasoning(config.model)):
            found.setdefault("stop", f"{config.model} takes none; {advice}")
        return found

    def cost(self, usage: Usage, model: str = "") -> float | None:
        model = model or self.config.model
        if self._own:  # also its regions, whose addresses the library does not know
            return library_cost(usage, model, vendor="openai")
        return library_cost(usage, model, url=self.config.base_url)

    async def complete(self, request: Request, sink: Sink | None = None) -> Completion:
        """Ask the model.

        Raises the kernel's errors for what the vendor or the network refuses, and `AnswerRejected` for a
        tool call whose arguments are no JSON object.
        """
        body = {**self._interface.body(request, stream=sink is not None), **self.config.extra}
        if sink is None:
            answer, headers = await self._post(self._interface.path, body)
        else:
            answer, headers = await self._stream(self._interface.path, body, sink)
        with shaped():
            made = self._interface.completion(request, answer)
        return evolve(made, allowance=_allowance(headers))

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each text, by `embedding_model`."""
        if self.config.embedding_model is None:
            return await super().embed(texts)
        body = {"model": self.config.embedding_model, "input": list(texts), "encoding_format": "float"}
        answer, _ = await self._post("/embeddings", body)
        with shaped():
            found = sorted(answer["data"], key=lambda one: int(one["index"]))
            return [[float(number) for number in one["embedding"]] for one in found]

    async def probe(self) -> Sequence[Probe]:
        config = self.config
        try:
            key = self._read_key()
        except ConfigError as error:
            return (Probe("key", False, str(error)),)
        found = [Probe("key", True, f"{config.api_key} is set")] if key != NO_KEY else []
        failures = Failures(config, key)
        listed: list[dict[str, Any]] | None = None
        try:
            async with self._connect(key, PROBE_TIMEOUT) as client:
                response = await client.get("/models", cast_to=httpx2.Response)
            with shaped():
                listed = response.json()["data"]
                names = [one["id"] for one in listed or ()]
        except Overloaded:
            listed = None  # it answers; that it does not list its models is no fault
        except (openai.APIError, httpx2.RequestError) as error:
            failed = failures.of(error)
            if isinstance(failed, AuthenticationFailed):
                return (Probe("key", False, str(failed)), Probe("server", True, f"{config.base_url} answers"))
            if isinstance(failed, TransientError):
                return (*found, Probe("server", False, str(failed)))
        found.append(Probe("server", True, f"{config.base_url} answers"))
        if listed is None:
            return found
        for model in filter(None, (config.model, config.embedding_model)):
            if model in names:
                found.append(Probe("model", True, f"the server has {model}"))
            elif not any(one.get("owned_by") == "llamacpp" for one in listed):  # that takes any name
                some = ", ".join(sorted(names)[:5])
                found.append(Probe("model", False, f"the server has no {model}; it has {some}, …"))
        return found

    def _read_key(self) -> str:
        name = self.config.api_key
        if is_loopback(self.config.base_url) and not os.environ.get(name, "").strip():
            return NO_KEY
        return read_secret(name, f"the server at {self.config.base_url}")

    def _connect(self, key: str, timeout: openai.Timeout) -> openai.AsyncOpenAI:
        client = openai.AsyncOpenAI(
            api_key=key, base_url=self.config.base_url, max_retries=0, timeout=timeout
        )
        # What is None there, and these headers, the SDK takes from environment variables.
        client.organization, client.project = self.config.organization, self.config.project
        client._custom_headers = {}
        return client

    def _opened(self) -> openai.AsyncOpenAI:
        if self._client is None:
            raise ContractError("openai: the provider is used before it is open; call aopen() first")
        return self._client

    async def _post(self, path: str, body: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, str]]:
        client = self._opened()
        try:
            response = await client.post(path, cast_to=httpx2.Response, body=body)
        except (openai.APIError, httpx2.RequestError) as error:
            raise self._failures.of(error) from error
        return self._decoded(response), response.headers

    async def _stream(
        self, path: str, body: dict[str, Any], sink: Sink
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        client, pieces = self._opened(), self._interface.pieces()
        try:
            async with await client.post(
                path, cast_to=object, body=body, stream=True, stream_cls=openai.AsyncStream[Any]
            ) as stream:
                headers = stream.response.headers
                if "json" in headers.get("content-type", ""):  # a server that does not stream, or an error
                    await stream.response.aread()
                    return self._decoded(stream.response), headers
                async for piece in stream:
                    with shaped():
                        words = pieces.add(piece)
                    if words:
                        sink.write(words)
        except (openai.APIError, httpx2.RequestError) as error:
            raise self._failures.of(error) from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise Overloaded(f"openai: the stream of {self.config.base_url} is damaged; ask again") from error
        answer = pieces.whole()
        if answer is None:
            raise Overloaded(
                f"openai: the answer of {self.config.base_url} broke off before its end; ask again"
            )
        return self._checked(answer), headers

    def _decoded(self, response: httpx2.Response) -> dict[str, Any]:
        try:
            answer = json.loads(response.content)
        except ValueError as error:
            kind = response.headers.get("content-type", "no type")
            raise Overloaded(
                f"openai: the answer of {self.config.base_url} is not JSON ({kind}: {response.text[:80]!r}); "
                "if it stays so, check `base_url`"
            ) from error
        return self._checked(answer)

    def _checked(self, answer: Any) -> dict[str, Any]:
        """`answer`, if it is one: an error may come with status 200, for the whole or for the choice."""
        with shaped():
            errors = [part.get("error") for part in (answer, *(answer.get("choices") or ()))]
        for error in filter(None, errors):
            raise self._failures.said(error, None, {})
        return dict(answer)

    @property
    def _failures(self) -> Failures:
        return Failures(self.config, self._key)


def _allowance(headers: Mapping[str, str]) -> Allowance | None:
    """What is left of the rate limits, from headers such as `x-ratelimit-remaining-requests: 59`."""

    def number(name: str) -> int | None:
        value = headers.get(f"x-ratelimit-remaining-{name}", "")
        return int(value) if value.isascii() and value.isdigit() else None

    def seconds(name: str) -> float | None:
        return duration(headers.get(f"x-ratelimit-reset-{name}", ""))

    found = Allowance(number("requests"), number("tokens"), seconds("requests"), seconds("tokens"))
    return None if found == Allowance() else found
