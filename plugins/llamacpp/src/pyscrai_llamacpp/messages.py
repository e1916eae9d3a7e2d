"""Converts requests to the format of OpenAI's chat API, which llama.cpp uses, and answers from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pyscrai_core import (
    Completion,
    Message,
    Request,
    RequestRejected,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
)
from pyscrai_core.vendors import finish_reason, tool_arguments

#: llama.cpp's seeds have 32 bits. The largest one means "choose a random seed".
SEEDS = 2**32 - 1


def request_body(request: Request, *, exact: bool) -> dict[str, Any]:
    """The body of a chat request."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "messages": _messages(request.messages),
        "seed": request.seed % SEEDS,
        "cache_prompt": not exact,
        "stream": True,
        "stream_options": {"include_usage": True},
        # llama.cpp then sends a chunk for each batch of the prompt. A request can only be stopped at a chunk.
        "return_progress": True,
    }
    if sampling.temperature is not None:
        body["temperature"] = sampling.temperature
    if sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    if sampling.max_tokens is not None:
        body["max_tokens"] = sampling.max_tokens
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if request.schema is not None:
        schema = {"name": "answer", "strict": True, "schema": request.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.tools:
        body["tools"] = [{"type": "function", "function": tool.to_dict()} for tool in request.tools]
    return body


def _messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for message in messages:
        calls = []
        thinking = []
        results = []
        for part in message.parts:
            if isinstance(part, ToolCall):
                names[part.id] = part.name
                function = {"name": part.name, "arguments": json.dumps(part.arguments)}
                calls.append({"id": part.id, "type": "function", "function": function})
            elif isinstance(part, ToolResult):
                content = f"Error: {part.content}" if part.failed else part.content
                results.append({"role": "tool", "tool_call_id": part.id, "content": content})
                if part.id in names:
                    results[-1]["name"] = names[part.id]
            elif isinstance(part, Thinking):
                thinking.append(part.text)
        made += results
        if calls or thinking or not results or any(isinstance(part, Text) for part in message.parts):
            one: dict[str, Any] = {"role": message.role, "content": message.text}
            if calls:
                one["tool_calls"] = calls
            if thinking:
                one["reasoning_content"] = "\n".join(thinking)
            made.append(one)
    return made


def completion(chunks: Iterable[dict[str, Any]], model: str) -> Completion:
    """Assemble the chunks of a stream into an answer."""
    chunks = list(chunks)
    finish = next((choice["finish_reason"] for choice in _choices(chunks) if choice["finish_reason"]), None)
    if finish is None:
        raise RequestRejected(f"llamacpp: the answer of {model} is incomplete; try again, or report it")
    usage: dict[str, Any] = next((chunk["usage"] for chunk in chunks if chunk.get("usage")), {})
    thinking = "".join(text_parts(chunks, "reasoning_content"))
    return Completion(
        text="".join(text_parts(chunks, "content")),
        tool_calls=_tool_calls(chunks),
        thinking=(Thinking(thinking),) if thinking else (),
        finish_reason=finish_reason(finish),
        usage=Usage(
            input_tokens=usage.get("prompt_tokens", 0),
            output_tokens=usage.get("completion_tokens", 0),
            cached_tokens=usage.get("prompt_tokens_details", {}).get("cached_tokens", 0),
        ),
        model=model,
    )


def _choices(chunks: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for chunk in chunks:
        yield from chunk.get("choices", ())


def text_parts(chunks: Iterable[dict[str, Any]], key: str) -> Iterator[str]:
    """The text under `key` (`content` or `reasoning_content`) of these chunks."""
    for choice in _choices(chunks):
        if text := choice["delta"].get(key):
            yield text


def _tool_calls(chunks: Iterable[dict[str, Any]]) -> tuple[ToolCall, ...]:
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for choice in _choices(chunks):
        for delta in choice["delta"].get("tool_calls") or ():
            index, function = delta["index"], delta.get("function", {})
            names[index] = names.get(index, "") + (function.get("name") or "")
            arguments[index] = arguments.get(index, "") + (function.get("arguments") or "")
    return tuple(ToolCall("", names[index], tool_arguments(arguments[index])) for index in sorted(names))
