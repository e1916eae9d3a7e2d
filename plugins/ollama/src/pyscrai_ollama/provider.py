"""The provider `ollama`."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import Attribute, evolve, field, frozen

from pyscrai_core import (
    CallFailed,
    Completion,
    ConfigError,
    ContractError,
    Overloaded,
    Probe,
    Provider,
    Request,
    SecretName,
    Sink,
    Url,
    Usage,
    estimate_tokens,
    read_secret,
)
from pyscrai_core.vendors import paid, reaches_limit, visible_text

from .client import Client, too_long
from .messages import completion, message_of, messages, usage

#: Ollama's options that are set in another way, and how.
OTHER_OPTIONS = {
    "temperature": "as `temperature` of this provider",
    "top_p": "as `top_p` of this provider",
    "num_predict": "as `max_tokens` of this provider",
    "stop": "as `stop` of this provider",
    "num_ctx": "as `context` of this provider",
    "seed": "by the run, from its own seed",
}
#: The first version that can reject a prompt that is too long instead of truncating it.
REJECTS_SINCE = (0, 12, 6)
#: All of Ollama's runners accept seeds below this number.
SEEDS = 2**31 - 1
#: Servers give each model at least so many tokens, unless `context` is set.
SMALLEST_CONTEXT = 1024
#: Seconds for each request of `probe`.
PROBE_TIMEOUT = 5.0


def _model_name(instance: object, attribute: Attribute[Any], value: str | None) -> None:
    if value is not None and not value.strip():
        raise ValueError(f"{attribute.name}: must be a model's name as listed by `ollama list`, not empty")


def _address(instance: object, attribute: Attribute[Any], value: str) -> None:
    parts = urlsplit(value)
    # Reading an invalid port raises ValueError.
    if parts.port == 0 or parts.username is not None or parts.query or parts.fragment:
        raise ValueError(
            f"{attribute.name}: must be an address such as http://127.0.0.1:11434; "
            "set the name of the variable that holds the key as `api_key`"
        )


def _positive(instance: object, attribute: Attribute[Any], value: int | None) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError(f"{attribute.name}: must be a whole number, 1 or more, not {value!r}")


def _no_other_options(instance: object, attribute: Attribute[Any], value: dict[str, Any]) -> None:
    for name in value:
        if name in OTHER_OPTIONS:
            raise ValueError(f"{attribute.name}.{name}: is set {OTHER_OPTIONS[name]}; remove it here")


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


class OllamaProvider(Provider):
    """Sends requests to an Ollama server.

    Each request asks Ollama to reject a prompt that does not fit into the model's context. By default, Ollama
    silently drops the oldest messages.
    """

    @frozen
    class Config:
        """The options of the provider `ollama`.

        model
            The model's name, as listed by `ollama list`.
        base_url
            The server's address. The variable OLLAMA_HOST is not used.
        keep_alive
            How long the model stays loaded after a request: seconds, or text such as `10m`. -1: forever.
        context
            The maximum number of tokens for a request and its answer (`num_ctx`). None: the server's default.
        options
            More options of Ollama, such as `top_k` or `num_gpu`.
        think
            Whether, or how much, a thinking model thinks. None: the model's default.
        tools, schema
            Whether the model supports tools, and the server schemas. If not, the kernel describes them in the
            prompt.
        embedding_model
            The model for embeddings.
        api_key
            The name of the environment variable that holds the key, for servers that require one.
        """

        model: str = field(validator=_model_name)
        base_url: Url = field(default=Url("http://127.0.0.1:11434"), validator=_address)
        keep_alive: str | int | None = None
        context: int | None = field(default=None, validator=_positive)
        options: dict[str, Any] = field(factory=dict, validator=_no_other_options)
        think: bool | Literal["low", "medium", "high"] | None = None
        tools: bool = True
        schema: bool = True
        embedding_model: str | None = field(default=None, validator=_model_name)
        api_key: SecretName | None = None

    config: Config

    _client: Client | None = None
    _key: str = ""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        embed = config.embedding_model is not None
        offered = {"tools": config.tools, "schema": config.schema, "embed": embed}
        self.capabilities = frozenset(
            {"seed", "stop", "stream", *(name for name, given in offered.items() if given)}
        )
        host = urlsplit(config.base_url).hostname or ""
        try:
            self._local = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            self._local = False

    @property
    def account(self) -> str:
        key = hashlib.sha256(self._key.encode()).hexdigest()[:12] if self._key else ""
        return f"{self.config.base_url} {self.config.model} {key}".rstrip()

    def cost(self, usage: Usage, model: str = "") -> float | None:
        """Zero on this machine, except for models in Ollama's cloud. Unknown for other servers."""
        return 0.0 if self._local and not self.config.model.endswith("cloud") else None

    async def aopen(self) -> None:
        if self.config.api_key is not None:
            self._key = read_secret(self.config.api_key, f"Ollama at {self.config.base_url}")
        self._client = Client(
            self.config.base_url, self._key, max_bytes=self.max_answer_bytes, loopback=self._local
        )

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def complete(self, request: Request, sink: Sink | None = None) -> Completion:
        """Send the request. Raises `CallFailed`."""
        client = self._opened()
        body = self.body(request, stream=sink is not None)
        chunks: list[dict[str, Any]] = []
        with paid(lambda: usage(chunks[-1]) if chunks else None):
            if sink is None:
                chunks.append(await client.send("POST", "/api/chat", body))
            else:
                async with aclosing(client.stream("/api/chat", body)) as stream:
                    async for chunk in stream:
                        chunks.append(chunk)
                        if text := visible_text(message_of(chunk).get("content")):
                            sink.write(text)
        end = chunks[-1] if chunks else {}
        with paid(usage(end)):
            self._check_context(request, usage(end))
            made = completion(chunks)
            if end.get("done_reason") is None and reaches_limit(made.usage, request):
                return evolve(made, finish_reason="length")  # old servers give no reason
            return made

    def body(self, request: Request, *, stream: bool) -> dict[str, Any]:
        """The body for `/api/chat`."""
        sampling = request.sampling
        options = {
            **self.config.options,
            "seed": request.seed % SEEDS,
            "num_ctx": self.config.context,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "num_predict": sampling.max_tokens,
            "stop": list(sampling.stop) or None,
        }
        body = {
            "model": self.config.model,
            "messages": messages(request.messages),
            "stream": stream,
            "options": _without_none(options),
            "format": request.schema,
            "tools": [{"type": "function", "function": tool.to_dict()} for tool in request.tools] or None,
            "keep_alive": self.config.keep_alive,
            "think": self.config.think,
            # Since 0.12.6: reject a prompt that is too long, and end the answer at the end of the context.
            # Both are true by default (ChatRequest in Ollama's api/types.go).
            "truncate": False,
            "shift": False,
        }
        return _without_none(body)

    def _check_context(self, request: Request, usage: Usage) -> None:
        """Detect a prompt that a server before 0.12.6 truncated, by its token counts.

        Where the context's size is not known: no tokenizer makes fewer tokens than there are words, and a
        prompt that fills a context of the usual sizes exactly was probably longer.
        """
        limit, tokens = self.config.context, usage.input_tokens
        if not isinstance(tokens, int) or not tokens:
            return
        # Runners round the context up to a multiple of 256, and some count one token more.
        if limit and (tokens >= limit or tokens + usage.output_tokens > -(-limit // 256) * 256 + 1):
            raise too_long(
                f"the request and its answer take more than the {limit} tokens of `context` "
                "(Ollama before 0.12.6 silently truncates the prompt: upgrade it)"
            )
        words = sum(len(message.text.split()) for message in request.messages)
        estimate = sum(map(estimate_tokens, request.messages))
        if limit:
            # Whole messages are dropped, so that the rest may be far below the limit. A server may count only
            # what is not in its cache, but that is of a prompt that fits.
            cut = tokens < words and (words > limit or estimate > 1.25 * limit)
        else:
            cut = tokens < words > SMALLEST_CONTEXT
            cut = cut or (tokens >= 2047 and (tokens + 1) % 1024 < 2 and estimate > 1.25 * tokens)
        if cut:
            raise too_long(
                f"Ollama read {tokens} tokens of a prompt with {words} words: it silently truncated the "
                "prompt (versions before 0.12.6 do: upgrade it)"
            )

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each text, from `embedding_model`."""
        if self.config.embedding_model is None:
            raise NotImplementedError("`embedding_model` is not set; set it to an embedding model")
        body = {
            "model": self.config.embedding_model,
            "input": list(texts),
            "truncate": False,
            "keep_alive": self.config.keep_alive,
        }
        answer = await self._opened().send("POST", "/api/embed", _without_none(body))
        vectors: Any = answer.get("embeddings")
        lists = isinstance(vectors, list) and all(isinstance(vector, list) for vector in vectors)
        if not lists or len(vectors) != len(texts):
            raise Overloaded(
                f"ollama: expected one vector for each of {len(texts)} texts, got {str(vectors)[:80]}; "
                "check that `base_url` is the address of Ollama"
            )
        return [[float(number) for number in vector] for vector in vectors]

    def _opened(self) -> Client:
        if self._client is None:
            raise ContractError("ollama: the provider is not open; call aopen() first")
        return self._client

    async def probe(self) -> Sequence[Probe]:
        found: list[Probe] = []
        key, url = "", self.config.base_url
        if self.config.api_key is not None:
            try:
                key = read_secret(self.config.api_key, f"Ollama at {url}")
            except ConfigError as error:
                return [Probe("key", False, str(error))]
            found.append(Probe("key", True, f"{self.config.api_key} is set"))
        client = Client(
            url, key, max_bytes=self.max_answer_bytes, loopback=self._local, read_timeout=PROBE_TIMEOUT
        )
        try:
            what = "server"
            version = str((await client.send("GET", "/api/version")).get("version"))
            numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
            old = (0, 0, 0) < numbers < REJECTS_SINCE
            note = "; it silently truncates prompts that are too long: upgrade to 0.12.6" if old else ""
            found.append(Probe(what, not old, f"Ollama {version} at {url}{note}"))
            what = "model"
            for model in filter(None, (self.config.model, self.config.embedding_model)):
                supported = (await client.send("POST", "/api/show", {"model": model})).get("capabilities")
                wanted = ["tools"] if self.config.tools and model == self.config.model else []
                lacks = set(wanted) - set(supported or wanted)
                note = "; it does not support tools: set `tools: false` if agents have tools" if lacks else ""
                found.append(Probe(what, True, f"{model} is available{note}"))
        except CallFailed as error:
            found.append(Probe(what, False, str(error)))
        finally:
            await client.aclose()
        return found
