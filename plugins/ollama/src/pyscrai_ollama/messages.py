"""Converts messages to Ollama's format, and answers from it (docs.ollama.com/api/chat)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from pyscrai_core import (
    AnswerRejected,
    Completion,
    FinishReason,
    Message,
    Overloaded,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
)

#: Marks thinking that came from Ollama. Only this is sent back to it.
THINKING_DATA = {"vendor": "ollama"}

_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


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


def text_of(answer: dict[str, Any], key: str) -> str:
    """The text under `key` (`content` or `thinking`) of an answer or of a chunk."""
    message = answer.get("message")
    text = (message.get(key) or "") if isinstance(message, dict) else None
    if not isinstance(text, str):
        raise Overloaded(
            f"ollama: the answer has no message in the expected format: {str(answer)[:200]}; "
            "check that `base_url` is the address of Ollama"
        )
    return text


def completion(request: Request, chunks: Sequence[dict[str, Any]]) -> Completion:
    """The answer in these chunks. An answer that was not streamed is a single chunk."""
    text, thinking = ("".join(text_of(answer, key) for answer in chunks) for key in ("content", "thinking"))
    end = chunks[-1] if chunks else {}
    if end.get("done") is not True:
        raise Overloaded("ollama: the answer ended too early; if this persists, check Ollama's log")
    calls = _tool_calls(request, [call for one in chunks for call in one["message"].get("tool_calls") or ()])
    # Old servers do not send a reason.
    finish = _FINISH.get(end.get("done_reason") or "stop", "other")
    tokens, cached = _count(end, "prompt_eval_count"), _count(end, "prompt_eval_cached_count")
    return Completion(
        text=text,
        tool_calls=calls,
        thinking=(Thinking(thinking, dict(THINKING_DATA)),) if thinking else (),
        finish_reason="tool_calls" if calls else finish,
        usage=Usage(tokens, _count(end, "eval_count"), cached_tokens=min(cached, tokens)),
        model=str(end.get("model") or ""),
    )


def _count(answer: dict[str, Any], key: str) -> int:
    value = answer.get(key)
    return value if type(value) is int and value > 0 else 0


def _tool_calls(request: Request, calls: Iterable[Any]) -> tuple[ToolCall, ...]:
    # Ollama's calls have no ids or random ones. These ids are deterministic.
    taken = {part.id for message in request.messages for part in message.parts if isinstance(part, ToolCall)}
    free = (f"call_{number}" for number in count(1) if f"call_{number}" not in taken)
    made = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        name, arguments = (
            map(function.get, ("name", "arguments")) if isinstance(function, dict) else ("", None)
        )
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise AnswerRejected(
                f"ollama: the model called a tool without a name and a JSON object: {str(call)[:200]}; "
                "if it is truncated, raise `max_tokens`"
            )
        made.append(ToolCall(next(free), name, arguments))
    return tuple(made)
