"""The chat interface, `/chat/completions`. Nearly every server supports it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pyscrai_core import Completion, FinishReason, Message, Request, Text, Thinking, ToolCall, ToolResult

from .config import OpenAIConfig
from .wire import (
    answer_text,
    result_text,
    role,
    sampling_fields,
    schema_fields,
    tool_call,
    tool_fields,
    usage,
)

#: Seeds are reduced to 31 bits, which every server accepts. (llama.cpp treats 2**32 - 1 as "random".)
SEEDS = 2**31

#: The fields in which compatible servers return a model's thinking. It is sent back in the same field.
_THINKING = ("reasoning_content", "reasoning")
_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "refusal",
}


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
            made.append(one)
        return made

    def completion(self, request: Request, answer: dict[str, Any]) -> Completion:
        choice = answer["choices"][0]
        message = choice["message"]
        refusal = message.get("refusal") or ""
        calls = tuple(
            tool_call(
                request,
                call.get("id") or f"call_{len(request.messages)}_{number}",
                call["function"]["name"],
                call["function"].get("arguments"),
                self._official,
            )
            for number, call in enumerate(message.get("tool_calls") or (), 1)
        )
        finish = _FINISH.get(choice["finish_reason"], "other")
        return Completion(
            text=refusal or answer_text(request, message.get("content") or "", self._official),
            tool_calls=calls,
            thinking=tuple(
                Thinking(message[key], {key: message[key]}) for key in _THINKING if message.get(key)
            )[:1],
            finish_reason="tool_calls" if calls else "refusal" if refusal else finish,
            usage=usage(answer, "prompt_tokens", "completion_tokens"),
            model=answer.get("model") or self._config.model,
        )

    def stream(self) -> ChatStream:
        return ChatStream()


class ChatStream:
    """Assembles the chunks of a streamed answer."""

    def __init__(self) -> None:
        self._answer: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._calls: dict[int, dict[str, Any]] = {}
        self._finish: str | None = None

    def add(self, chunk: dict[str, Any]) -> str:
        """Add a chunk. Returns the text of the answer that it contains."""
        self._answer |= {key: chunk[key] for key in ("model", "usage") if chunk.get(key)}
        text = ""
        for choice in chunk.get("choices") or ():
            self._finish = choice.get("finish_reason") or self._finish
            delta = choice.get("delta") or {}
            for key in ("content", "refusal", *_THINKING):
                if delta.get(key):
                    self._message[key] = self._message.get(key, "") + delta[key]
            text += (delta.get("content") or "") + (delta.get("refusal") or "")
            for piece in delta.get("tool_calls") or ():
                index = piece.get("index", len(self._calls))
                call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
                function = piece.get("function") or {}
                call["id"] = piece.get("id") or call["id"]
                call["name"] += function.get("name") or ""
                call["arguments"] += function.get("arguments") or ""
        return text

    def answer(self) -> dict[str, Any] | None:
        """The answer in the form that it has without a stream. None if the stream ended too early."""
        if self._finish is None:
            return None
        calls = [{"id": call["id"], "function": call} for _, call in sorted(self._calls.items())]
        message = {**self._message, "tool_calls": calls}
        return {**self._answer, "choices": [{"finish_reason": self._finish, "message": message}]}
