"""Converts messages to Ollama's format, and answers from it (docs.ollama.com/api/chat)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pyscrai_core import (
    Completion,
    Message,
    Overloaded,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
)
from pyscrai_core.vendors import finish_reason, tool_arguments

#: Marks thinking that came from Ollama. Only this is sent back to it.
THINKING_DATA = {"vendor": "ollama"}


def messages(history: Iterable[Message]) -> list[dict[str, Any]]:
    """The messages of a request. Ollama matches results to calls by the tool's name, newer versions by id."""
    made: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for message in history:
        calls: list[dict[str, Any]] = []
        results: list[dict[str, Any]] = []
        thinking: list[str] = []
        for part in message.parts:
            if isinstance(part, ToolCall):
                names[part.id] = part.name
                calls.append({"id": part.id, "function": {"name": part.name, "arguments": part.arguments}})
            elif isinstance(part, ToolResult):
                result = {"role": "tool", "tool_call_id": part.id, "content": part.content}
                if part.failed:
                    result["content"] = f"Error: {part.content}"
                if part.id in names:
                    result["tool_name"] = names[part.id]
                results.append(result)
            elif isinstance(part, Thinking) and part.data == THINKING_DATA:
                thinking.append(part.text)
        made += results
        if calls or thinking or not results or any(isinstance(part, Text) for part in message.parts):
            one: dict[str, Any] = {"role": message.role, "content": message.text}
            if thinking:
                one["thinking"] = "\n".join(thinking)
            if calls:
                one["tool_calls"] = calls
            made.append(one)
    return made


def message_of(answer: dict[str, Any]) -> dict[str, Any]:
    """The message in an answer or in a chunk of it."""
    message = answer.get("message")
    if not isinstance(message, dict):
        raise Overloaded(
            f"ollama: the answer has no message in the expected format: {str(answer)[:200]}; "
            "check that `base_url` is the address of Ollama"
        )
    return message


def completion(chunks: Sequence[dict[str, Any]]) -> Completion:
    """The answer in these chunks. An answer that was not streamed is a single chunk."""
    found = [message_of(answer) for answer in chunks]
    end = chunks[-1] if chunks else {}
    if end.get("done") is not True:
        raise Overloaded("ollama: the answer ended too early; if this persists, check Ollama's log")
    contents = [message["content"] for message in found if message.get("content")]
    # What is no text is for the kernel to judge. Pieces of a stream may also be lists of parts.
    text: Any = contents[0] if len(contents) == 1 else [*_parts(contents)]
    if all(isinstance(one, str) for one in contents):
        text = "".join(contents)
    if refusals := [message["refusal"] for message in found if message.get("refusal")]:
        said = "".join(refusals) if all(isinstance(one, str) for one in refusals) else refusals
        text = [{"type": "refusal", "refusal": said}, *_parts(contents)]
    thoughts = [message.get("thinking") for message in found]
    thinking = "".join(one for one in thoughts if isinstance(one, str))
    calls = tuple(_tool_call(call) for message in found for call in message.get("tool_calls") or ())
    return Completion(
        text=text,
        tool_calls=calls,
        thinking=(Thinking(thinking, dict(THINKING_DATA)),) if thinking else (),
        finish_reason=finish_reason(end.get("done_reason"), bool(calls)),  # old servers send none
        usage=usage(end),
        model=end.get("model") or "",
    )


def _parts(contents: Iterable[Any]) -> Iterator[Any]:
    for content in contents:
        yield from content if isinstance(content, list) else [content]


def usage(end: dict[str, Any]) -> Usage:
    """The tokens that the last chunk reports."""
    sent, received = (end.get(key) or 0 for key in ("prompt_eval_count", "eval_count"))
    cached = end.get("prompt_eval_cached_count")
    return Usage(sent, received, cached_tokens=cached if isinstance(cached, int) else 0)


def _tool_call(call: Any) -> ToolCall:
    function = call.get("function") if isinstance(call, dict) else None
    function = function if isinstance(function, dict) else {}
    made: Any = ("", function.get("name"), tool_arguments(function.get("arguments")))
    return ToolCall(*made)
