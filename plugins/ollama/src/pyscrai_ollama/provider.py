"""The provider `ollama`."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import Attribute, field, frozen

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
    read_secret,
)

from .client import Client, too_long
from .forms import completion, messages, piece

#: Ollama's options that are set elsewhere, and where.
ELSEWHERE = {
    "temperature": "as `temperature` of this provider",
    "top_p": "as `top_p` of this provider",
    "num_predict": "as `max_tokens` of this provider",
    "stop": "as `stop` of this provider",
    "num_ctx": "as `context` of this provider",
    "seed": "by the run, from its own seed",
}
#: The first version that can be told to refuse a prompt that is too long instead of cutting it.
REFUSES_SINCE = (0, 12, 6)
#: All of Ollama's runners take seeds of this size.
SEEDS = 2**31 - 1
#: Seconds for each question of `probe`.
PROBE = 5.0


def _named(instance: object, attribute: Attribute[Any], value: str | None) -> None:
    if value is not None and not value.strip():
        raise ValueError(f"{attribute.name}: must be a model's name as `ollama list` shows it, not empty")


def _address(instance: object, attribute: Attribute[Any], value: str) -> None:
    parts = urlsplit(value)
    # Reading the port raises ValueError for what is none.
    if parts.port == 0 or parts.username is not None or parts.query or parts.fragment:
        raise ValueError(
            f"{attribute.name}: must be an address such as http://127.0.0.1:11434; "
            "a key is given by the name of its variable, as `api_key`"
        )


def _positive(instance: object, attribute: Attribute[Any], value: int | None) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError(f"{attribute.name}: must be a whole number, 1 or more, not {value!r}")


def _further(instance: object, attribute: Attribute[Any], value: dict[str, Any]) -> None:
    for name in value:
        if name in ELSEWHERE:
            raise ValueError(f"{attribute.name}.{name}: is set elsewhere: {ELSEWHERE[name]}; take it out")


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


class OllamaProvider(Provider):
    """Answers with a model that an Ollama server runs.

    Every request asks Ollama to refuse what does not fit into the model's context, where it would by default
    drop the oldest messages and say nothing.
    """

    @frozen
    class Config:
        """The options of the provider `ollama`.

        model
            the model's name, as `ollama list` shows it
        base_url
            where Ollama listens; the variable OLLAMA_HOST is not consulted
        keep_alive
            how long the model stays loaded afterwards: seconds, or text such as `10m`; negative: for good
        context
            tokens of a request and its answer together (`num_ctx`); None: what the server takes
        options
            further options of Ollama, such as `top_k` or `num_gpu`
        think
            whether, or how much, a thinking model thinks; None: the model's own choice
        tools, schema
            whether the model takes tools, and the server schemas; if not, the kernel puts them into words
        embedding_model
            the model that makes vectors
        api_key
            the name of the variable with the key, for servers that want one
        """

        model: str = field(validator=_named)
        base_url: Url = field(default=Url("http://127.0.0.1:11434"), validator=_address)
        keep_alive: str | int | None = None
        context: int | None = field(default=None, validator=_positive)
        options: dict[str, Any] = field(factory=dict, validator=_further)
        think: bool | Literal["low", "medium", "high"] | None = None
        tools: bool = True
        schema: bool = True
        embedding_model: str | None = field(default=None, validator=_named)
        api_key: SecretName | None = None

    config: Config

    _client: Client | None = None
    _key: str = ""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        able = {"tools": config.tools, "schema": config.schema, "embed": config.embedding_model is not None}
        self.capabilities = frozenset({"seed", "stream", *(name for name, has in able.items() if has)})
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
        """Nothing on this machine, but for models that Ollama only passes on to its cloud; else unknown."""
        return 0.0 if self._local and not self.config.model.endswith("cloud") else None

    async def aopen(self) -> None:
        if self.config.api_key is not None:
            self._key = read_secret(self.config.api_key, f"Ollama at {self.config.base_url}")
        self._client = Client(self.config.base_url, self._key, direct=self._local)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def complete(self, request: Request, sink: Sink | None = None) -> Completion:
        """Ask the model. Raises `CallFailed`."""
        client = self._opened()
        body = self.body(request, stream=sink is not None)
        answers = []
        if sink is None:
            answers.append(await client.ask("POST", "/api/chat", body))
        else:
            async with aclosing(client.stream("/api/chat", body)) as pieces:
                async for answer in pieces:
                    answers.append(answer)
                    if words := piece(answer, "content"):
                        sink.write(words)
        made = completion(request, answers)
        self._check_context(made.usage)
        return made

    def body(self, request: Request, *, stream: bool) -> dict[str, Any]:
        """`request` as Ollama's `/api/chat` takes it."""
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
            "options": _given(options),
            "format": request.schema,
            "tools": [{"type": "function", "function": tool.to_dict()} for tool in request.tools] or None,
            "keep_alive": self.config.keep_alive,
            "think": self.config.think,
            # Refuse a prompt that is too long, and end an answer where the context ends: since 0.12.6, see
            # ChatRequest in Ollama's api/types.go. Both are true by default.
            "truncate": False,
            "shift": False,
        }
        return _given(body)

    def _check_context(self, usage: Usage) -> None:
        """Servers older than 0.12.6 cut all the same; their counts show it, if the context is known."""
        limit, tokens = self.config.context, usage.input_tokens
        if limit is None:
            return
        # Runners make a context of whole blocks of 256, and some count one token beyond it.
        whole = -(-limit // 256) * 256
        if tokens >= limit or tokens + usage.output_tokens > whole + 1:
            raise too_long(
                f"the request and its answer take more than the {limit} tokens of `context` "
                "(Ollama before 0.12.6 cuts what is too long and says nothing: upgrade it)"
            )

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each text, from `embedding_model`."""
        if self.config.embedding_model is None:
            raise NotImplementedError("`embedding_model` is not set; give the name of a model that embeds")
        body = {
            "model": self.config.embedding_model,
            "input": list(texts),
            "truncate": False,
            "keep_alive": self.config.keep_alive,
        }
        answer = await self._opened().ask("POST", "/api/embed", _given(body))
        vectors: Any = answer.get("embeddings")
        lists = isinstance(vectors, list) and all(isinstance(vector, list) for vector in vectors)
        if not lists or len(vectors) != len(texts):
            raise Overloaded(
                f"ollama: {len(texts)} texts came back as {str(vectors)[:80]}, expected as many vectors; "
                "check that `base_url` leads to Ollama"
            )
        return [[float(number) for number in vector] for vector in vectors]

    def _opened(self) -> Client:
        if self._client is None:
            raise ContractError("ollama: the provider is used before it was opened; call aopen() first")
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
        client = Client(url, key, direct=self._local, read=PROBE)
        try:
            what = "server"
            version = str((await client.ask("GET", "/api/version")).get("version"))
            numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
            old = (0, 0, 0) < numbers < REFUSES_SINCE
            words = "; it cuts prompts that are too long and says nothing: upgrade to 0.12.6" if old else ""
            found.append(Probe(what, not old, f"Ollama {version} at {url}{words}"))
            what = "model"
            for model in filter(None, (self.config.model, self.config.embedding_model)):
                able = (await client.ask("POST", "/api/show", {"model": model})).get("capabilities")
                wanted = ["tools"] if self.config.tools and model == self.config.model else []
                lacks = set(wanted) - set(able or wanted)
                words = "; it takes no tools: set `tools: false` if agents have some" if lacks else ""
                found.append(Probe(what, True, f"{model} is there{words}"))
        except CallFailed as error:
            found.append(Probe(what, False, str(error)))
        finally:
            await client.aclose()
        return found
