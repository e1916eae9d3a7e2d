"""The responses interface: `/responses`, where OpenAI's reasoning models use tools and keep their thoughts.

Nothing is stored at the vendor: each request carries the whole history, and the model's thinking goes back
encrypted, as it came.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

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

from .chat import answer_text, result_text, schema_fields, tool_call, tool_fields
from .models import is_reasoning

if TYPE_CHECKING:
    from .provider import OpenAIProvider

_ENDS = ("response.completed", "response.incomplete", "response.failed")
_FINISH: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "refusal"}


class Responses:
    """Requests and answers in the form of the responses interface."""

    path = "/responses"

    def __init__(self, config: OpenAIProvider.Config, own: bool) -> None:
        self._config, self._own = config, own

    def body(self, request: Request, stream: bool) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self._config.model,
            "input": _items(request.messages),
            "store": False,
        }
        if stream:
            body["stream"] = True
        if self._own and is_reasoning(self._config.model):
            body["include"] = ["reasoning.encrypted_content"]  # other models refuse this
        if sampling.temperature is not None:
            body["temperature"] = sampling.temperature
        if sampling.top_p is not None:
            body["top_p"] = sampling.top_p
        if sampling.max_tokens is not None:
            body["max_output_tokens"] = sampling.max_tokens
        if self._config.effort is not None:
            body["reasoning"] = {"effort": self._config.effort}
        if request.schema is not None:
            fields = schema_fields(request.schema, self._own)
            body["text"] = {"format": {"type": "json_schema", "name": "answer", **fields}}
        if request.tools:
            body["tools"] = [{"type": "function", **tool_fields(tool, self._own)} for tool in request.tools]
        return body

    def completion(self, request: Request, answer: dict[str, Any]) -> Completion:
        text, refusal = "", ""
        calls: list[ToolCall] = []
        thinking: list[Thinking] = []
        for item in answer["output"]:
            if item["type"] == "message":
                for part in item["content"]:
                    text += part.get("text") or ""
                    refusal += part.get("refusal") or ""
            elif item["type"] == "function_call":
                arguments = item.get("arguments")
                calls.append(tool_call(request, item["call_id"], item["name"], arguments, self._own))
            elif item["type"] == "reasoning":
                thinking.append(_thinking(item))
        usage = answer.get("usage") or {}
        details = usage.get("input_tokens_details") or {}
        output_tokens = usage.get("output_tokens") or 0
        finish: FinishReason = "stop"
        if calls:
            finish = "tool_calls"
        elif refusal:
            finish = "refusal"
        elif answer["status"] != "completed":
            finish = _FINISH.get((answer.get("incomplete_details") or {}).get("reason", ""), "other")
        elif output_tokens >= (request.sampling.max_tokens or output_tokens + 1):
            finish = "length"  # llama.cpp calls an answer completed that it cut off
        return Completion(
            text=refusal or answer_text(request, text, self._own),
            tool_calls=tuple(calls),
            thinking=tuple(thinking),
            finish_reason=finish,
            usage=Usage(
                input_tokens=usage.get("input_tokens") or 0,
                output_tokens=output_tokens,
                cached_tokens=details.get("cached_tokens") or 0,
                cache_write_tokens=details.get("cache_write_tokens") or 0,
            ),
            model=answer.get("model") or self._config.model,
        )

    def pieces(self) -> ResponsePieces:
        return ResponsePieces()


class ResponsePieces:
    """Takes the words from a stream's events; the last one holds the whole answer."""

    def __init__(self) -> None:
        self._answer: dict[str, Any] | None = None

    def add(self, event: dict[str, Any]) -> str:
        """Take an event; returns the words of the answer in it."""
        kind = event["type"]
        if kind in _ENDS:
            self._answer = event["response"]
        elif kind == "error":
            self._answer = {"error": event}
        words: str = (
            event["delta"] if kind in ("response.output_text.delta", "response.refusal.delta") else ""
        )
        return words

    def whole(self) -> dict[str, Any] | None:
        """The answer as it comes without a stream; None if the stream broke off."""
        return self._answer


def _thinking(item: dict[str, Any]) -> Thinking:
    parts = item.get("summary") or item.get("content") or ()
    # The states of an item are for those who let OpenAI store it, and refused in a request.
    data = {key: value for key, value in item.items() if value is not None and key != "status"}
    return Thinking("\n".join(part["text"] for part in parts), data)


def _items(messages: Iterable[Message]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for message in messages:
        for part in message.parts:
            if isinstance(part, Text):
                kind = "output_text" if message.role == "assistant" else "input_text"
                role = "user" if message.role == "tool" else message.role
                content = [{"type": kind, "text": part.text}]
                made.append({"type": "message", "role": role, "content": content})
            elif isinstance(part, ToolCall):
                arguments = json.dumps(part.arguments)
                made.append(
                    {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": arguments}
                )
            elif isinstance(part, ToolResult):
                made.append({"type": "function_call_output", "call_id": part.id, "output": result_text(part)})
            elif part.data.get("type") == "reasoning":
                made.append(part.data)
    return made
