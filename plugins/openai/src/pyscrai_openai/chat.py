"""The chat interface, `/chat/completions`. Nearly every server supports it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pyscrai_core import (
    Completion,
    FinishReason,
    Message,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
)
from pyscrai_core.vendors import answer_fault, finish_reason, reaches_limit, visible_text

from .config import OpenAIConfig
from .errors import bare_error
from .streamed_calls import SENT_BACK, StreamedCalls
from .wire import (
    USAGE_IN,
    answer_text,
    result_text,
    role,
    sampling_fields,
    schema_fields,
    tool_call,
    tool_fields,
    usage,
    with_refusals,
)

#: Seeds are reduced to 31 bits, which every server accepts. (llama.cpp treats 2**32 - 1 as "random".)
SEEDS = 2**31

#: The fields in which compatible servers return a model's thinking. It is sent back in the same field.
_THINKING = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "reasoning_details")

#: Where the fields of tool calls are kept that must be sent back.
_CALLS = "tool_calls"


class Chat:
    """Builds requests for the chat interface and reads its answers."""

    path = "/chat/completions"

    def __init__(self, config: OpenAIConfig, official: bool) -> None:
        self._config, self._official = config, official

    def body(self, request: Request, stream: bool) -> dict[str, Any]:
        # OpenAI's newer models reject the field's old name, and most other servers know only that one.
        max_tokens = "max_completion_tokens" if self._official else "max_tokens"
        body: dict[str, Any] = {
            "model": self._config.model,
            "messages": self._messages(request.messages),
            **sampling_fields(request, max_tokens),
        }
        if self._config.seed:
            body["seed"] = request.seed % SEEDS
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if request.sampling.stop:
            body["stop"] = list(request.sampling.stop)
        if self._config.effort is not None:
            body["reasoning_effort"] = self._config.effort
        if request.schema is not None:
            schema = {"name": "answer", **schema_fields(request.schema, self._official)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.tools:
            tools = [tool_fields(tool, self._official) for tool in request.tools]
            body["tools"] = [{"type": "function", "function": tool} for tool in tools]
        return body

    def _messages(self, messages: Iterable[Message]) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        for message in messages:
            results = [part for part in message.parts if isinstance(part, ToolResult)]
            calls = [part for part in message.parts if isinstance(part, ToolCall)]
            for result in results:
                made.append({"role": "tool", "tool_call_id": result.id, "content": result_text(result)})
            if results and not calls and not any(isinstance(part, Text) for part in message.parts):
                continue
            one: dict[str, Any] = {"role": role(message), "content": message.text}
            if calls:
                one["tool_calls"] = [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
                    }
                    for call in calls
                ]
            for part in message.parts:
                if isinstance(part, Thinking) and not self._official:
                    one |= {key: part.data[key] for key in _THINKING if key in part.data}
                    for call, extra in zip(
                        one.get("tool_calls", ()), part.data.get(_CALLS, ()), strict=False
                    ):
                        call |= extra
            made.append(one)
        return made

    def usage(self, answer: dict[str, Any]) -> Usage:
        return usage(answer, "prompt_tokens", "completion_tokens")

    def completion(self, request: Request, answer: dict[str, Any]) -> Completion:
        choice = answer["choices"][0]
        # Without a message: one that was withheld, and the kernel says that any other is empty.
        message = choice.get("message") or {}
        thoughts = {key: message[key] for key in _THINKING if message.get(key)}
        refusal, used = message.get("refusal"), self.usage(answer)
        calls, extras = [], []
        # Old servers know one call of a function, without an id.
        old = message.get("function_call")
        for call in message.get("tool_calls") or ([{"function": old}] if old else ()):
            function = call.get("function") if isinstance(call, dict) else None
            named = {**function, "id": call.get("id")} if isinstance(function, dict) else None
            calls.append(tool_call(request, named, self._official))
            extras.append({key: call[key] for key in SENT_BACK if isinstance(call, dict) and call.get(key)})
        kept = {**thoughts, _CALLS: extras} if any(extras) else thoughts
        content = message.get("content") or ""
        return Completion(
            text=with_refusals([refusal], content)
            if refusal
            else answer_text(request, content, self._official),
            tool_calls=tuple(calls),
            thinking=(Thinking(next(iter(thoughts.values()), ""), kept),) if kept else (),
            finish_reason="refusal" if refusal else self._reason(request, choice, bool(calls), used),
            usage=used,
            model=answer.get("model") or self._config.model,
        )

    def _reason(self, request: Request, choice: dict[str, Any], calls: bool, used: Usage) -> FinishReason:
        reason = choice.get("finish_reason")
        if reason is None and reaches_limit(used, request):
            return "length"
        # Routers tell the vendor's own word too, and take some that they do not know for `stop`.
        native = str(choice.get("native_finish_reason"))
        if native.lower() == "refusal" or answer_fault("", (native,)):
            reason = native
        return finish_reason(reason, calls)

    def stream(self) -> ChatStream:
        return ChatStream()


class ChatStream:
    """Assembles the chunks of a streamed answer."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._calls = StreamedCalls()
        self._finish: str | None = None
        self._native: Any = None

    @property
    def begun(self) -> bool:
        """Whether there was any part of an answer."""
        return bool(self._message or self._calls.calls)

    def add(self, chunk: dict[str, Any]) -> str:
        """Add a chunk. Returns the words in it."""
        self.answer |= {key: chunk[key] for key in ("model", "usage", *USAGE_IN) if chunk.get(key)}
        if bare_error(chunk):
            self.answer["error"] = chunk
        text = ""
        for choice in chunk.get("choices") or ():
            if choice.get("index"):
                continue  # one answer was asked for, and another is not part of it
            self._finish = choice.get("finish_reason") or self._finish
            if choice.get("native_finish_reason"):
                self._native = choice["native_finish_reason"]
            if choice.get("usage"):
                self.answer["usage"] = choice["usage"]
            if choice.get("error"):
                self.answer["error"] = choice["error"]
            # A message is the whole answer: some servers send it alone, some again at the end.
            delta = choice.get("delta") or (None if self.begun else choice.get("message")) or {}
            for key in ("content", "refusal", *_THINKING):
                if delta.get(key):
                    self._message[key] = _joined(self._message.get(key), delta[key])
            text += visible_text(delta.get("content"))  # a refusal is never said
            for piece in delta.get("tool_calls") or ():
                self._calls.add(piece)
            if delta.get("function_call"):
                self._calls.add({"index": 0, "function": delta["function_call"]})
        return text

    def whole(self, ended: bool) -> dict[str, Any] | None:
        """The answer in the form that it has without a stream. None if the stream ended too early.

        `ended`: whether the server said that the stream is complete. Some servers give no reason for the end.
        """
        if self._finish is None and "error" not in self.answer and not (ended and self.begun):
            return None
        message = {**self._message, "tool_calls": self._calls.calls}
        end = {"finish_reason": self._finish, "native_finish_reason": self._native}
        return {**self.answer, "choices": [{**end, "message": message}]}


def _joined(before: Any, more: Any) -> Any:
    """Pieces of content, each of which is text or a list of parts."""
    if before is None:
        return more
    if isinstance(before, str) and isinstance(more, str):
        return before + more
    return [
        *(before if isinstance(before, list) else [before]),
        *(more if isinstance(more, list) else [more]),
    ]
