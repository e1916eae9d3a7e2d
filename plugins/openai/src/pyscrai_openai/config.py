"""The options of the provider `openai`."""

from __future__ import annotations

from typing import Any, Literal

from attrs import Attribute, field, frozen, validators

from pyscrai_core import SecretName, Url

from .models import is_openai

_OPENAI_URL = Url("https://api.openai.com/v1")
OPENAI_KEY = SecretName("OPENAI_API_KEY")

#: Fields of the request's body that the plugin sets itself, from the request or from its options.
_SET_BY_PLUGIN = {
    *("model", "messages", "input", "stream", "stream_options", "store", "include", "seed", "temperature"),
    *("top_p", "max_tokens", "max_completion_tokens", "max_output_tokens", "stop", "tools", "text"),
    "response_format",
}


def _not_empty(instance: object, attribute: Attribute[Any], value: str | None) -> None:
    if value is not None and not value.strip():
        raise ValueError(f"{attribute.name}: it is empty, expected a name")


def _not_set_by_plugin(instance: Any, attribute: Attribute[Any], value: dict[str, Any]) -> None:
    taken = _SET_BY_PLUGIN | ({"reasoning_effort", "reasoning"} if instance.effort is not None else set())
    if clash := sorted(taken & value.keys()):
        raise ValueError(
            f"extra: {', '.join(clash)} is set by the plugin itself, expected other fields; use its options"
        )


@frozen
class OpenAIConfig:
    """The options of the provider `openai`.

    model
        The model's name on the server.
    base_url
        The server's address. It usually ends in `/v1`.
    api_key
        The name of the environment variable that holds the key. None: `OPENAI_API_KEY` for OpenAI's own
        server, and no key for other servers.
    api
        `chat` uses `/chat/completions`, `responses` uses `/responses`.
    effort
        How much a reasoning model thinks. None: the vendor's default.
    tools, schema, seed
        Whether the server supports tools, JSON schemas and seeds. Without native support, the kernel
        describes tools and schemas in the prompt.
    sampling
        Whether the model accepts `temperature`, `top_p` and `stop`. None: decided by the model's name on
        OpenAI's server, yes on other servers.
    continues
        Which kind of server this is, if it continues an answer that the request begins: `llamacpp` or `vllm`.
        Then the kernel can draw closed choices.
    top_logprobs
        How many of the most probable tokens the server tells of, with `continues`.
    embedding_model
        The model for embeddings. None: the provider offers no embeddings.
    organization, project
        The organization and the project that OpenAI bills, if the key belongs to several.
    extra
        More fields for the request's body, sent unchanged.
    """

    model: str = field(validator=_not_empty)
    base_url: Url = _OPENAI_URL
    api_key: SecretName | None = None
    api: Literal["chat", "responses"] = "chat"
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    tools: bool = True
    schema: bool = True
    seed: bool = True
    sampling: bool | None = None
    continues: Literal["llamacpp", "vllm"] | None = None
    top_logprobs: int = field(default=20, validator=validators.ge(1))
    embedding_model: str | None = field(default=None, validator=_not_empty)
    organization: str | None = field(default=None, validator=_not_empty)
    project: str | None = field(default=None, validator=_not_empty)
    extra: dict[str, Any] = field(factory=dict, validator=_not_set_by_plugin)

    @property
    def key_variable(self) -> SecretName | None:
        """The environment variable with the key that the server gets; None: it gets none."""
        return OPENAI_KEY if self.api_key is None and is_openai(self.base_url) else self.api_key

    def __attrs_post_init__(self) -> None:
        if self.continues and (self.api != "chat" or self.base_url == _OPENAI_URL):
            raise ValueError(
                "continues: only servers of llama.cpp and vLLM continue an answer, with `api: chat`; "
                "set `base_url`, or leave it out"
            )
