"""Messages, answers and usage in the form of Inspect's logs (version 2 of `EvalLog` in inspect_ai.log)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pyscrai_core import Event, Message, Thinking, ToolCall, ToolResult, Usage
from pyscrai_records.secret import redact
from pyscrai_tabular.rows import json_text

_STOP = {
    "stop": "stop", "length": "max_tokens", "tool_calls": "tool_calls", "refusal": "content_filter",
    "content_filter": "content_filter",
}  # fmt: skip
_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")


def moment(seconds: float) -> str:
    """A time as Inspect writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def usage(used: Usage, cost: float | None = None) -> dict[str, Any]:
    """Tokens of completions. Inspect's input tokens leave out what was read from or written to the cache."""
    fresh = used.input_tokens - used.cached_tokens - used.cache_write_tokens
    return {
        "input_tokens": max(0, fresh),
        "output_tokens": used.output_tokens,
        "total_tokens": used.total,
        "input_tokens_cache_read": used.cached_tokens,
        "input_tokens_cache_write": used.cache_write_tokens,
        **({} if cost is None else {"total_cost": cost}),
    }


def messages(given: Iterable[Message]) -> Iterator[dict[str, Any]]:
    """The messages of a request. A message with several results of tools becomes several."""
    for message in given:
        if message.role == "tool":
            for part in message.parts:
                if isinstance(part, ToolResult):
                    yield _result(part)
        else:
            yield _message(message)


def _message(message: Message) -> dict[str, Any]:
    thoughts = [part for part in message.parts if isinstance(part, Thinking)]
    called = [part for part in message.parts if isinstance(part, ToolCall)]
    calls = [_call(part.id, part.name, part.arguments) for part in called]
    return _said(message.role, message.text, [part.text for part in thoughts], calls)


def _result(part: ToolResult) -> dict[str, Any]:
    error = {"error": {"type": "unknown", "message": part.content}} if part.failed else {}
    return {"role": "tool", "content": part.content, "tool_call_id": part.id, **error}


def _said(role: str, text: str, thoughts: list[str], calls: list[dict[str, Any]]) -> dict[str, Any]:
    content: Any = text
    if thoughts:
        reasoning = [{"type": "reasoning", "reasoning": one} for one in thoughts]
        content = [*reasoning, {"type": "text", "text": text}]
    return {"role": role, "content": content, **({"tool_calls": calls} if calls else {})}


def _call(name: str, function: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": name, "function": function, "arguments": dict(arguments), "type": "function"}


def model_event(call: Mapping[str, Any], asked: list[Message]) -> dict[str, Any]:
    """A completion as Inspect's event `model`, with these messages as its input."""
    model = call["model"] or call["provider"] or call["target"]
    answer = call["answer"] or {}
    output: dict[str, Any] = {"model": model, "choices": [], "completion": ""}
    if call["status"] == "answered":
        thoughts = [part["text"] for part in answer["thinking"]]
        calls = [_call(one["id"], one["name"], one["arguments"]) for one in answer["tool_calls"]]
        said = _said("assistant", answer["text"], thoughts, calls)
        stop = _STOP.get(call["finish_reason"], "unknown")
        used = Usage(*(call[name] for name in _TOKENS))
        output = {
            "model": model,
            "choices": [{"message": {**said, "source": "generate", "model": model}, "stop_reason": stop}],
            "completion": answer["text"],
            "usage": usage(used, call["cost"]),
            "time": call["seconds"],
        }
    return {
        **at(call["started"]),
        "completed": moment(call["started"] + call["seconds"]),
        "working_time": call["seconds"],
        "event": "model",
        "model": model,
        "role": call["agent"],
        "input": list(messages(asked)),
        "tools": [],
        "tool_choice": "auto",
        "config": {"seed": call["seed"]},
        "output": output,
        "retries": len(call["attempts"]),
        **({"error": redact(f"{call['error']}: {call['detail']}")} if call["error"] else {}),
    }


def tool_event(event: Event, when: float) -> dict[str, Any]:
    """The use of a tool, an event of the kind `tool`, as Inspect's event `tool`."""
    payload = event.payload
    failed = {"type": "unknown", "message": _text(payload["error"])} if "error" in payload else None
    return {
        **at(when),
        "event": "tool",
        "type": "function",
        "id": f"tool-{event.seq}",
        "function": payload["name"],
        "arguments": payload["arguments"],
        "result": _text(payload.get("result", "")),
        "agent": event.source,
        "metadata": _about(event),
        **({"error": failed, "failed": True} if failed else {}),
    }


def info_event(event: Event, when: float) -> dict[str, Any]:
    """Any other event of the log as Inspect's event `info`."""
    return {
        **at(when),
        "event": "info",
        "source": f"{event.source}: {event.kind}",
        "data": event.payload,
        "metadata": _about(event),
    }


def transcript(event: Event) -> dict[str, Any]:
    """An event of the log as a message of a sample: what was said, or happened, in words."""
    return {
        "role": "user" if event.source.startswith("@") else "assistant",
        "id": f"event-{event.seq}",
        "content": event.describe(),
        "metadata": _about(event),
    }


def at(when: float) -> dict[str, Any]:
    """When an event of Inspect was; the log of a run has no times of its own."""
    return {"timestamp": moment(when), "working_start": 0.0}


def _about(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "step": event.step,
        "kind": event.kind,
        "source": event.source,
        "audience": list(event.audience),
        "cause": event.cause,
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)
