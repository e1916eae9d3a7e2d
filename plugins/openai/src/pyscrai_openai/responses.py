"""The responses interface, `/responses`. OpenAI's reasoning models use tools and keep their thinking here.

The vendor stores nothing: each request carries the whole history. The model's thinking is returned encrypted
and sent back unchanged.
"""

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
from pyscrai_core.vendors import finish_reason, reaches_limit, visible_text

from .config import OpenAIConfig
from .models import is_reasoning
from .wire import (
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

_LAST_EVENTS = ("response.completed", "response.incomplete", "response.failed")
#: The event with words of the answer; those of a refusal are never said.
_WORDS = "response.output_text.delta"


class Responses:
    """Builds requests for the responses interface and reads its answers."""

    path = "/responses"

    def __init__(self, config: OpenAIConfig, official: bool) -> None:
        self._config, self._official = config, official

    def body(self, request: Request, stream: bool) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._config.model,
            "input": _items(request.messages),
            "store": False,
            **sampling_fields(request, "max_output_tokens"),
        }
        if stream:
            body["stream"] = True
        if self._official and is_reasoning(self._config.model):
            body["include"] = ["reasoning.encrypted_content"]  # other models reject this
        if self._config.effort is not None:
            body["reasoning"] = {"effort": self._config.effort}
        if request.schema is not None:
            fields = schema_fields(request.schema, self._official)
            body["text"] = {"format": {"type": "json_schema", "name": "answer", **fields}}
        if request.tools:
            tools = [tool_fields(tool, self._official) for tool in request.tools]
            body["tools"] = [{"type": "function", **tool} for tool in tools]
        return body

    def usage(self, answer: dict[str, Any]) -> Usage:
        return usage(answer, "input_tokens", "output_tokens")

    def completion(self, request: Request, answer: dict[str, Any]) -> Completion:
        text, refusals = "", list[Any]()
        calls: list[ToolCall] = []
        thinking: list[Thinking] = []
        answers = any(item.get("phase") == "final_answer" for item in answer["output"])
        for item in answer["output"]:
            match item.get("type"):
                case "message" if answers and item.get("phase") == "commentary":
                    # What a model tells while it works is not its answer.
                    thinking.append(Thinking(_told(item.get("content")), {}))
                case "message" if isinstance(item.get("content"), list):
                    for part in item["content"]:
                        text += part.get("text") or ""
                        refusals += [part["refusal"]] if part.get("refusal") else []
                case "message":
                    text = item.get("content")  # the kernel says what is wrong with it
                case "function_call":
                    calls.append(tool_call(request, {**item, "id": item.get("call_id")}, self._official))
                case "reasoning":
                    thinking.append(_thinking(item))
        counted = self.usage(answer)
        status = answer.get("status") or "completed"
        # A reason is given only for what is incomplete; without one, nobody knows why.
        reason = (answer.get("incomplete_details") or {}).get("reason") or status
        finish: FinishReason = "refusal" if refusals else finish_reason(reason, bool(calls))
        if finish == "stop" and reaches_limit(counted, request):
            finish = "length"  # llama.cpp reports an answer that it cut off as completed
        return Completion(
            text=with_refusals(refusals, text) if refusals else answer_text(request, text, self._official),
            tool_calls=tuple(calls),
            thinking=tuple(thinking),
            finish_reason=finish,
            usage=counted,
            model=answer.get("model") or self._config.model,
        )

    def stream(self) -> ResponsesStream:
        return ResponsesStream()


class ResponsesStream:
    """Reads the events of a streamed answer. The last event contains the whole answer."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {}
        self._items: list[dict[str, Any]] = []
        #: Whether there was any part of an answer.
        self.begun = False

    def add(self, event: dict[str, Any]) -> str:
        """Add an event. Returns the words in it."""
        kind = event.get("type")
        if kind in _LAST_EVENTS:
            # Some servers tell the items one by one, and leave them out at the end.
            self.answer = {**event["response"], "output": event["response"].get("output") or self._items}
        elif kind == "response.output_item.done":
            self._items.append(event["item"])
        elif kind == "error":
            self.answer = {"error": event}
        self.begun = self.begun or (isinstance(kind, str) and kind.endswith(".delta"))
        return visible_text(event.get("delta")) if kind == _WORDS else ""

    def whole(self, ended: bool) -> dict[str, Any] | None:
        """The answer in the form that it has without a stream. None if the stream ended too early."""
        return self.answer or None


def _told(content: Any) -> str:
    """The text of a message's content."""
    parts = content if isinstance(content, list) else [{"text": content}]
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


def _thinking(item: dict[str, Any]) -> Thinking:
    parts: Any = item.get("summary") or item.get("content") or ()
    if all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        parts = "\n".join(part["text"] for part in parts)
    # An item's status is only for answers that OpenAI stores. A request that contains it is rejected.
    data = {key: value for key, value in item.items() if value is not None and key != "status"}
    return Thinking(parts, data)


def _items(messages: Iterable[Message]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for message in messages:
        for part in message.parts:
            if isinstance(part, Text):
                kind = "output_text" if message.role == "assistant" else "input_text"
                content = [{"type": kind, "text": part.text}]
                made.append({"type": "message", "role": role(message), "content": content})
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
