"""The options of the provider `anthropic`."""

from __future__ import annotations

import ipaddress
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import Attribute, field, frozen

from pyscrai_core import SecretName, Url

OFFICIAL_HOST = "api.anthropic.com"
_OFFICIAL, _KEY = Url(f"https://{OFFICIAL_HOST}"), SecretName("ANTHROPIC_API_KEY")


def _named(instance: object, attribute: Attribute[str], value: str) -> None:
    if not value.strip():
        raise ValueError(f"{attribute.name} must be a model's name, such as `claude-haiku-5-5`, not empty")


def _root(instance: object, attribute: Attribute[Any], value: str) -> None:
    if value.rstrip("/").endswith("/v1"):
        raise ValueError(f"{attribute.name} must be the address without `/v1`, which is added, not {value}")


@frozen
class AnthropicConfig:
    """The options of the provider `anthropic`.

    model
        the model's name, such as `claude-haiku-5-5`
    base_url
        the server's address, without `/v1`: Anthropic's own, or a server that speaks the same API
    api_key
        the name of the environment variable that holds the key; a server on this machine needs none
    thinking
        `adaptive`: the model decides how much it thinks before it answers, and a summary of its thoughts
        comes with the answer; `disabled` and `between_tools`: little or no thinking, whichever of the two
        the model knows; None: what is the model's default
    effort
        how much work the model puts into thinking and answer; None: the model's default
    cache
        ask the server to keep what the next request will begin with
    tools
        the server takes tools; if not, the kernel puts them into words
    schema
        the server holds answers to a JSON Schema (`output_config.format`); if not, the kernel puts the
        schema into words. None: Anthropic does, other servers do not
    """

    model: str = field(validator=_named)
    base_url: Url = field(default=_OFFICIAL, validator=_root)
    api_key: SecretName = _KEY
    thinking: Literal["adaptive", "disabled", "between_tools"] | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    cache: bool = True
    tools: bool = True
    schema: bool | None = None

    @property
    def official(self) -> bool:
        """Whether the server is Anthropic's own."""
        return urlsplit(self.base_url).hostname == OFFICIAL_HOST

    @property
    def local(self) -> bool:
        """Whether the server is on this machine."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False
