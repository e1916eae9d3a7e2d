"""The options of the provider `anthropic`."""

from __future__ import annotations

import ipaddress
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import Attribute, field, frozen

from pyscrai_core import SecretName, Url

OFFICIAL_HOST = "api.anthropic.com"
OFFICIAL_KEY = SecretName("ANTHROPIC_API_KEY")
_OFFICIAL = Url(f"https://{OFFICIAL_HOST}")

#: The SDK needs some key, also for a server that gets none.
NO_KEY = "not-needed"
#: What to do about a server that wants a key and got none.
NAME_KEY = (
    "this server got no key, as ANTHROPIC_API_KEY goes to Anthropic alone; name the variable that holds its "
    "key with `api_key`"
)


def _not_empty(instance: object, attribute: Attribute[str], value: str) -> None:
    if not value.strip():
        raise ValueError(f"{attribute.name} must be a model's name, such as `claude-haiku-5-5`, not empty")


def _without_version(instance: object, attribute: Attribute[Any], value: str) -> None:
    if value.rstrip("/").endswith("/v1"):
        raise ValueError(f"{attribute.name} must be the address without `/v1`, not {value}")


@frozen
class AnthropicConfig:
    """The options of the provider `anthropic`.

    model
        The model's name, such as `claude-haiku-5-5`.
    base_url
        The server's address, without `/v1`. The default is Anthropic's own server.
    api_key
        The name of the environment variable that holds the key. None: `ANTHROPIC_API_KEY` for Anthropic's own
        server, and no key for other servers.
    thinking
        `adaptive`: the model decides how much it thinks before it answers, and a summary of its thinking
        comes with the answer. `disabled` and `between_tools`: little or no thinking; a model supports one of
        them. None: the model's default.
    effort
        How much work the model puts into thinking and answer. None: the model's default.
    cache
        Ask the server to cache the beginning of the request for the next one.
    tools
        Whether the server supports tools. If not, the kernel describes them in the prompt.
    schema
        Whether the server enforces JSON Schemas (`output_config.format`). If not, the kernel describes the
        schema in the prompt. None: yes for Anthropic, no for other servers.
    """

    model: str = field(validator=_not_empty)
    base_url: Url = field(default=_OFFICIAL, validator=_without_version)
    api_key: SecretName | None = None
    thinking: Literal["adaptive", "disabled", "between_tools"] | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    cache: bool = True
    tools: bool = True
    schema: bool | None = None

    @property
    def key_variable(self) -> SecretName | None:
        """The environment variable with the key that the server gets; None: it gets none."""
        return OFFICIAL_KEY if self.api_key is None and self.official else self.api_key

    @property
    def official(self) -> bool:
        """Whether the server is Anthropic's own: without encryption, anybody's server could answer."""
        parts = urlsplit(self.base_url)
        return (parts.scheme, parts.hostname) == ("https", OFFICIAL_HOST)

    @property
    def local(self) -> bool:
        """Whether the server is on this machine."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False
