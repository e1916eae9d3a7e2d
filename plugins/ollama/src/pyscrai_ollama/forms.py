"""Ollama's form of messages and answers (docs.ollama.com/api/chat)."""

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

#: Marks thinking as Ollama's own, which goes back to it; what other vendors' models thought does not.
OURS = {"vendor": "ollama"}

_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


def messages(history: Iterable[Message]) -> list[dict[str, Any]]:
    """The messages of a request. Ollama pairs results with calls by the tool's name, newer versions by id."""
    made: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for message in history:
        calls: list[dict[str, Any]] = []
        results: list[dict[str, Any]] = []
        thoughts: list[str] = []
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
            elif isinstance(part, Thinking) and part.data == OURS:
                thoughts.append(part.text)
        made += results
        if calls or thoughts or not results or any(isinstance(part, Text) for part in message.parts):
            one: dict[str, Any] = {"role": message.role, "content": message.text}
            if thoughts:
                one["thinking"] = "\n".join(thoughts)
            if calls:
                one["tool_calls"] = calls
            made.append(one)
    return made


def piece(answer: dict[str, Any], key: str) -> str:
    """The text under `key` (`content` or `thinking`) of an answer, or of a piece of one."""
    message = answer.get("message")
    text = (message.get(key) or "") if isinstance(message, dict) else None
    if not isinstance(text, str):
        raise Overloaded(
            f"ollama: an answer without a message of the expected form: {str(answer)[:200]}; "
            "check that `base_url` leads to Ollama"
        )
    return text


def completion(request: Request, answers: Sequence[dict[str, Any]]) -> Completion:
    """The answer that these pieces make up; one that was not streamed is a single piece."""
    text, thoughts = ("".join(piece(answer, key) for answer in answers) for key in ("content", "thinking"))
    end = answers[-1] if answers else {}
    if end.get("done") is not True:
        raise Overloaded(
            "ollama: the answer broke off before its end; if it goes on, look into the log of Ollama"
        )
    calls = _tool_calls(request, [call for one in answers for call in one["message"].get("tool_calls") or ()])
    # Old servers give no reason.
    finish = _FINISH.get(end.get("done_reason") or "stop", "other")
    tokens, cached = _count(end, "prompt_eval_count"), _count(end, "prompt_eval_cached_count")
    return Completion(
        text=text,
        tool_calls=calls,
        thinking=(Thinking(thoughts, dict(OURS)),) if thoughts else (),
        finish_reason="tool_calls" if calls else finish,
        usage=Usage(tokens, _count(end, "eval_count"), cached_tokens=min(cached, tokens)),
        model=str(end.get("model") or ""),
    )


def _count(answer: dict[str, Any], key: str) -> int:
    value = answer.get(key)
    return value if type(value) is int and value > 0 else 0


def _tool_calls(request: Request, calls: Iterable[Any]) -> tuple[ToolCall, ...]:
    # Ollama gives calls no ids, or such as it draws at random; ours follow from the request.
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
                "if it is cut off, allow more `max_tokens`"
            )
        made.append(ToolCall(next(free), name, arguments))
    return tuple(made)
