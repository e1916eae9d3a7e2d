"""The chat interface: `/chat/completions`, which nearly every server speaks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pyscrai_core import (
    AnswerRejected,
    Completion,
    FinishReason,
    Message,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
)

from .schemas import restore, restore_text, strict

if TYPE_CHECKING:
    from .provider import OpenAIProvider

#: Seeds are cut to 31 bits, which every server takes. (llama.cpp reads 2**32 - 1 as "draw one".)
SEEDS = 2**31

#: The fields in which compatible servers put a model's thinking. It is sent back in the one it came in.
_THINKING = ("reasoning_content", "reasoning")
_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "refusal",
}


class Chat:
    """Requests and answers in the form of the chat interface."""

    path = "/chat/completions"

    def __init__(self, config: OpenAIProvider.Config, own: bool) -> None:
        self._config, self._own = config, own

    def body(self, request: Request, stream: bool) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self._config.model,
            "messages": self._messages(request.messages),
        }
        if self._config.seed:
            body["seed"] = request.seed % SEEDS
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if sampling.temperature is not None:
            body["temperature"] = sampling.temperature
        if sampling.top_p is not None:
            body["top_p"] = sampling.top_p
        if sampling.max_tokens is not None:
            # OpenAI's newer models refuse the old name, and most other servers know only that.
            body["max_completion_tokens" if self._own else "max_tokens"] = sampling.max_tokens
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if self._config.effort is not None:
            body["reasoning_effort"] = self._config.effort
        if request.schema is not None:
            schema = {"name": "answer", **schema_fields(request.schema, self._own)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.tools:
            tools = [tool_fields(tool, self._own) for tool in request.tools]
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
            role = "user" if message.role == "tool" else message.role
            one: dict[str, Any] = {"role": role, "content": message.text}
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
                if isinstance(part, Thinking) and not self._own:
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
                self._own,
            )
            for number, call in enumerate(message.get("tool_calls") or (), 1)
        )
        finish = _FINISH.get(choice["finish_reason"], "other")
        usage = answer.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        return Completion(
            text=refusal or answer_text(request, message.get("content") or "", self._own),
            tool_calls=calls,
            thinking=tuple(
                Thinking(message[key], {key: message[key]}) for key in _THINKING if message.get(key)
            )[:1],
            finish_reason="tool_calls" if calls else "refusal" if refusal else finish,
            usage=Usage(
                input_tokens=usage.get("prompt_tokens") or 0,
                output_tokens=usage.get("completion_tokens") or 0,
                cached_tokens=details.get("cached_tokens") or 0,
                cache_write_tokens=details.get("cache_write_tokens") or 0,
            ),
            model=answer.get("model") or self._config.model,
        )

    def pieces(self) -> ChatPieces:
        return ChatPieces()


class ChatPieces:
    """Puts the chunks of a stream together."""

    def __init__(self) -> None:
        self._answer: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._calls: dict[int, dict[str, Any]] = {}
        self._finish: str | None = None

    def add(self, chunk: dict[str, Any]) -> str:
        """Take a chunk; returns the words of the answer in it."""
        self._answer |= {key: chunk[key] for key in ("model", "usage") if chunk.get(key)}
        words = ""
        for choice in chunk.get("choices") or ():
            self._finish = choice.get("finish_reason") or self._finish
            delta = choice.get("delta") or {}
            for key in ("content", "refusal", *_THINKING):
                if delta.get(key):
                    self._message[key] = self._message.get(key, "") + delta[key]
            words += (delta.get("content") or "") + (delta.get("refusal") or "")
            for piece in delta.get("tool_calls") or ():
                index = piece.get("index", len(self._calls))
                call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
                function = piece.get("function") or {}
                call["id"] = piece.get("id") or call["id"]
                call["name"] += function.get("name") or ""
                call["arguments"] += function.get("arguments") or ""
        return words

    def whole(self) -> dict[str, Any] | None:
        """The answer as it comes without a stream; None if the stream broke off."""
        if self._finish is None:
            return None
        calls = [{"id": call["id"], "function": call} for _, call in sorted(self._calls.items())]
        message = {**self._message, "tool_calls": calls}
        return {**self._answer, "choices": [{"finish_reason": self._finish, "message": message}]}


# -- what both interfaces share -----------------------------------------------------------------


def schema_fields(schema: dict[str, Any], own: bool) -> dict[str, Any]:
    """The schema of an answer: OpenAI's own strict form, or as it is for servers that enforce all of it."""
    if not own:
        return {"schema": schema, "strict": True}
    made = strict(schema)
    return {"schema": schema, "strict": False} if made is None else {"schema": made.schema, "strict": True}


def tool_fields(tool: ToolSpec, own: bool) -> dict[str, Any]:
    fields = tool.to_dict()
    if own:
        made = _strict_parameters(tool.parameters)
        fields |= {"strict": False} if made is None else {"parameters": made, "strict": True}
    return fields


def _strict_parameters(parameters: dict[str, Any]) -> dict[str, Any] | None:
    made = strict(parameters)
    return None if made is None or made.wrapped else made.schema


def answer_text(request: Request, text: str, own: bool) -> str:
    return restore_text(request.schema, text) if own and request.schema is not None else text


def result_text(result: ToolResult) -> str:
    return f"Error: {result.content}" if result.failed else result.content


def tool_call(request: Request, call_id: str, name: str, arguments: Any, own: bool) -> ToolCall:
    """A call of a tool. Raises `AnswerRejected` if its arguments are no JSON object."""
    try:
        decoded = json.loads(arguments or "{}") if not isinstance(arguments, dict) else arguments
    except ValueError:
        decoded = None
    if not isinstance(decoded, dict):
        raise AnswerRejected(
            f"openai: the model called the tool {name} with {arguments!r}, expected a JSON object as its "
            "arguments; if they are cut off, allow more `max_tokens`"
        )
    tool = next((tool for tool in request.tools if tool.name == name), None)
    if own and tool is not None and _strict_parameters(tool.parameters) is not None:
        decoded = restore(tool.parameters, decoded)
    return ToolCall(call_id, name, decoded)
