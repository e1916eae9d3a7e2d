"""The provider `anthropic`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import evolve

from pyscrai_core import (
    Completion,
    ConfigError,
    ContractError,
    Probe,
    Provider,
    Request,
    RequestRejected,
    Sampling,
    Sink,
    TransientError,
    Usage,
    read_secret,
)
from pyscrai_core.vendors import library_cost, paid, reaches_limit

from .config import NAME_KEY, NO_KEY, OFFICIAL_KEY, AnthropicConfig
from .messages import completion, request_arguments, usage

if TYPE_CHECKING:
    from .client import Client

#: Seconds to wait for the answer to a probe.
PROBE_TIMEOUT = 5.0
#: The models that accept `temperature` or `top_p`: those before Opus 4.7.
_ACCEPTS_SAMPLING = re.compile(r"claude-([123]\b|instant|4-|(opus|sonnet|haiku)-4(-[0-6])?(-\d{8})?$)")


class AnthropicProvider(Provider):
    """Sends requests to Anthropic's models or to a server with the same API.

    The API does not support seeds. `aopen` raises `ConfigError` if the key is missing.
    """

    Config = AnthropicConfig
    vendor_key = OFFICIAL_KEY
    config: AnthropicConfig

    _client: Client | None = None
    _account = ""

    def __init__(self, config: AnthropicConfig) -> None:
        super().__init__(config)
        schema = config.official if config.schema is None else config.schema
        offered = {"stream": True, "stop": True, "tools": config.tools, "schema": schema}
        self.capabilities = frozenset(name for name, there in offered.items() if there)

    async def aopen(self) -> None:
        key = self._key()
        self._client = self._connect(key)
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        self._account = f"{self.config.base_url} {self.config.model} {digest}"

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    @property
    def account(self) -> str:
        return self._account

    def refuses(self, sampling: Sampling) -> Mapping[str, str]:
        config, reasons = self.config, dict[str, str]()
        if not config.official:
            return reasons
        given = [name for name in ("temperature", "top_p") if getattr(sampling, name) is not None]
        for name in given:
            if not _ACCEPTS_SAMPLING.match(config.model):
                reasons[name] = f"{config.model} does not accept it, as all models since Opus 4.7"
            elif config.thinking == "adaptive":
                reasons[name] = f"{config.model} does not accept it while it thinks; remove it or `thinking`"
        if not reasons and len(given) == 2:
            reasons["top_p"] = f"{config.model} accepts either temperature or top_p, not both; remove one"
        if not reasons and (sampling.temperature or 0) > 1:
            reasons["temperature"] = f"{config.model} accepts 0 to 1, not {sampling.temperature}"
        if any(not text.strip() for text in sampling.stop):
            reasons["stop"] = "Anthropic's API does not accept a stop string that is only white space"
        return reasons

    def cost(self, usage: Usage, model: str = "") -> float | None:
        config, name = self.config, model or self.config.model
        if config.local:
            return None
        if config.official:
            return library_cost(usage, name, vendor="anthropic")
        return library_cost(usage, name, url=config.base_url)

    async def probe(self) -> Sequence[Probe]:
        config = self.config
        try:
            key = self._key()
        except ConfigError as error:
            return [Probe("key", False, str(error))]
        client, name = self._connect(key, PROBE_TIMEOUT), config.key_variable
        try:
            status = await client.look_up_model()
        except TransientError as error:
            return [Probe("server", False, str(error))]
        finally:
            await client.close()
        found = []
        if status in (401, 403):
            key_fault = f"does not accept the key in {name}" if name else f"wants a key; {NAME_KEY}"
            found.append(Probe("key", False, f"{config.base_url} {key_fault}"))
        elif name and not config.local:
            found.append(Probe("key", True, f"{name} is set"))
        found.append(Probe("server", status < 500, f"{config.base_url} answers (status {status})"))
        # Other servers may not list their models.
        if config.official and status in (200, 404):
            text = "is available" if status == 200 else "does not exist, or the key has no access to it"
            found.append(Probe("model", status == 200, f"{config.model} {text}"))
        return found

    async def complete(self, request: Request, sink: Sink | None = None) -> Completion:
        """Send the request.

        Raises `RequestRejected` for a schema that the API cannot express, `AnswerRejected` for a tool call
        with incomplete arguments, and the kernel's `CallFailed` errors for the vendor's errors.
        """
        if self._client is None:
            raise ContractError("anthropic: the provider is not open; call aopen() first")
        try:
            arguments = request_arguments(request, self.config)
        except ValueError as error:
            raise RequestRejected(
                f"anthropic: {error}, which Anthropic's structured outputs cannot express; name its "
                "properties, or set `schema: false` for the provider, which describes schemas in the prompt"
            ) from error
        answer, headers = await self._client.send(arguments, sink)
        with paid(usage(answer) if isinstance(answer, dict) else Usage()):
            try:
                made = completion(answer, headers, self.config.model)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise self._client.malformed(error) from error
        if not answer.get("stop_reason") and reaches_limit(made.usage, request):
            return evolve(made, finish_reason="length")
        return made

    def _key(self) -> str:
        name = self.config.key_variable
        if name is None or (self.config.local and not os.environ.get(name, "").strip()):
            return NO_KEY
        return read_secret(name, f"the server at {self.config.base_url}")

    def _connect(self, key: str, timeout: float | None = None) -> Client:
        # Imported here: the SDK takes two seconds to import, and validating a scenario does not need it.
        from .client import Client

        return Client(self.config, key, self.max_answer_bytes, timeout)
