"""Messages, answers and arguments as attributes of spans: only where content is wanted, without secrets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from pyscrai_core import Message, Request, Text, Thinking, ToolCall
from pyscrai_records.secret import redact

from . import conventions as names

#: The longest attribute, in characters: of a longer history, the oldest messages are left out.
LONGEST = 32_768


def as_json(value: Any) -> str:
    """JSON text without secrets."""
    return redact(orjson.dumps(value).decode())


def of_request(request: Request) -> dict[str, str | int]:
    """The attributes for what a model is asked."""
    system = [part for one in request.messages if one.role == "system" for part in _parts(one)]
    attributes: dict[str, str | int] = {}
    if system:
        attributes[names.SYSTEM_INSTRUCTIONS] = as_json(system)
    others = [{"role": one.role, "parts": _parts(one)} for one in request.messages if one.role != "system"]
    kept = _newest(others)
    attributes[names.INPUT_MESSAGES] = as_json(kept)
    if len(kept) < len(others):
        attributes[names.OMITTED] = len(others) - len(kept)
    return attributes


def _newest(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last messages, as many as fit; one at least."""
    room = LONGEST
    for index in range(len(messages) - 1, -1, -1):
        room -= len(orjson.dumps(messages[index]))
        if room < 0:
            return messages[min(index + 1, len(messages) - 1) :]
    return messages


def of_answer(answer: Any) -> str:
    """The value of the attribute for a completion, as it is journaled."""
    parts: list[dict[str, Any]] = [
        {"type": "reasoning", "content": one["text"]} for one in answer["thinking"] if one["text"]
    ]
    if answer["text"]:
        parts.append({"type": "text", "content": answer["text"]})
    parts += [
        {"type": "tool_call", "id": one["id"], "name": one["name"], "arguments": one["arguments"]}
        for one in answer["tool_calls"]
    ]
    return as_json([{"role": "assistant", "parts": parts, "finish_reason": answer["finish_reason"]}])


def _parts(message: Message) -> Sequence[dict[str, Any]]:
    return [_part(part) for part in message.parts]


def _part(part: Any) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "content": part.text}
    if isinstance(part, Thinking):
        return {"type": "reasoning", "content": part.text}
    if isinstance(part, ToolCall):
        return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": part.arguments}
    return {"type": "tool_call_response", "id": part.id, "result": part.content}
