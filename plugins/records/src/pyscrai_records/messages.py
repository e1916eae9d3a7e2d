"""Messages of requests and answers, and the parts that they consist of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

from attrs import field, frozen
from orjson import dumps

from .base.frozen import Sealed, as_tuple, freeze
from .canonical import canonical, digest

#: How tokens are estimated. Recorded in manifests, because another rule would give other prompts.
ESTIMATOR = "bytes4-1"
PER_MESSAGE = 4


@frozen
class Text(Sealed):
    """Words."""

    text: str
    type: Literal["text"] = "text"


@frozen
class ToolCall(Sealed):
    """The model asks for the tool `name` with `arguments`; `id` pairs it with its result."""

    id: str
    name: str
    arguments: dict[str, Any] = field(converter=freeze)
    type: Literal["tool_call"] = "tool_call"


@frozen
class ToolResult(Sealed):
    """What a tool answered to the call `id`; `failed` marks `content` as an error's words."""

    id: str
    content: str
    failed: bool = False
    type: Literal["tool_result"] = "tool_result"


@frozen
class Thinking(Sealed):
    """A model's own thinking: `text` to read, and `data`, which is sent back to the vendor as it came."""

    text: str
    data: dict[str, Any] = field(factory=dict, converter=freeze)
    type: Literal["thinking"] = "thinking"


Part: TypeAlias = Text | ToolCall | ToolResult | Thinking
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]

_PARTS: dict[str, Any] = {
    "text": Text,
    "tool_call": ToolCall,
    "tool_result": ToolResult,
    "thinking": Thinking,
}


def part_to_dict(part: Part) -> dict[str, Any]:
    """The JSON form of a part of a message."""
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, ToolCall):
        return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": part.arguments}
    if isinstance(part, ToolResult):
        return {"type": "tool_result", "id": part.id, "content": part.content, "failed": part.failed}
    return {"type": "thinking", "text": part.text, "data": part.data}


def part_from_dict(data: Mapping[str, Any]) -> Part:
    """The inverse of `part_to_dict`."""
    part: Part = _PARTS[data["type"]](**data)
    return part


@frozen
class Message(Sealed):
    """One message of a request: who speaks (`role`) and its parts, in order.

    Keep message objects and hand the same ones in again when a history grows: each computes its
    digest and its estimated tokens once, which is what makes a long history cheap.
    """

    role: Role
    parts: tuple[Part, ...] = field(converter=as_tuple)
    _digest: str = field(default="", init=False, eq=False, repr=False)
    _tokens: int = field(default=0, init=False, eq=False, repr=False)

    @classmethod
    def system(cls, text: str) -> Message:
        return cls("system", (Text(text),))

    @classmethod
    def user(cls, text: str) -> Message:
        return cls("user", (Text(text),))

    @classmethod
    def assistant(cls, text: str) -> Message:
        return cls("assistant", (Text(text),))

    @property
    def text(self) -> str:
        """The words of the text parts, joined."""
        if len(self.parts) == 1 and type(part := self.parts[0]) is Text:  # as in most messages
            return part.text
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    def to_dict(self) -> dict[str, Any]:
        return {"role": self.role, "parts": [part_to_dict(part) for part in self.parts]}

    def to_json(self) -> bytes:
        """The message's canonical form."""
        if len(self.parts) == 1 and type(part := self.parts[0]) is Text:
            return b'{"parts":[{"text":%b,"type":"text"}],"role":%b}' % (dumps(part.text), dumps(self.role))
        return canonical(self.to_dict())

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Message:
        return cls(data["role"], tuple(part_from_dict(part) for part in data["parts"]))

    @property
    def digest(self) -> str:
        """The SHA-256 of the message's canonical form (computed once)."""
        if not self._digest:
            object.__setattr__(self, "_digest", digest(self.to_json()))
        return self._digest

    @property
    def tokens(self) -> int:
        """The estimated tokens (computed once), as by `estimate_tokens`."""
        if not self._tokens:
            texts = [one.text if isinstance(one, Text) else as_json(one) for one in self.parts]
            object.__setattr__(self, "_tokens", PER_MESSAGE + sum(map(estimate_tokens, texts)))
        return self._tokens


def tokens_of(messages: Iterable[Message]) -> int:
    """The estimated tokens of all `messages`."""
    return sum([one._tokens or one.tokens for one in messages])


def as_json(part: Part) -> str:
    """The canonical JSON of a part."""
    return canonical(part_to_dict(part)).decode()


def estimate_tokens(content: str | Message) -> int:
    """Estimate the number of tokens of a text or of a whole message.

    Code that builds prompts must count tokens with this, not with a vendor's tokenizer, so that prompts do
    not depend on the model. A token is four bytes of UTF-8, OpenAI's rule of thumb for English. Other scripts
    have more bytes per character and count for more, as in real tokenizers. Each message counts four more
    tokens, for the chat template.
    """
    if isinstance(content, Message):
        return content.tokens
    length = len(content) if content.isascii() else len(content.encode())
    return (length + 3) // 4
