"""Builds requests for the Messages API and reads its answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pyscrai_core import (
    AnswerRejected,
    Completion,
    Message,
    RateLimitStatus,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
)
from pyscrai_core.vendors import finish_reason, tool_arguments

from .config import AnthropicConfig
from .schema import reduced

#: The API requires a limit for the answer. This one is sent if the scenario sets no `max_tokens`.
MAX_TOKENS = 8192
#: The last version of the API that accepts `temperature` and `top_p`.
SAMPLING_VERSION = "2023-06-01"
#: The API accepts four cache marks, and searches the 20 blocks before each for an earlier one. The system
#: prompt has one mark. The three in the history are at most 15 blocks apart, so that one of them is in reach
#: of the previous request's marks even if the history grew a lot.
HISTORY_MARKS, BLOCKS_BETWEEN = 3, 15

_THINKING = ("thinking", "redacted_thinking")


def request_arguments(request: Request, config: AnthropicConfig) -> dict[str, Any]:
    """The arguments for the SDK's `messages.create`.

    Raises `ValueError` for a schema that the API cannot express.
    """
    sampling = request.sampling
    turns, stable = _turns(request.messages, config.model)
    made: dict[str, Any] = {
        "model": config.model,
        "max_tokens": MAX_TOKENS if sampling.max_tokens is None else sampling.max_tokens,
        "messages": turns,
    }
    system = "\n\n".join(message.text for message in request.messages if message.role == "system")
    if system.strip():
        made["system"] = [{"type": "text", "text": system}]
    if config.cache:
        markable = [block for block in stable if block["type"] not in _THINKING]
        marked = markable[::-1][::BLOCKS_BETWEEN][:HISTORY_MARKS]
        for block in (*made.get("system", ()), *marked):
            block["cache_control"] = {"type": "ephemeral"}
    if request.tools:
        made["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ]
    if config.thinking is not None:
        made["thinking"] = {"type": config.thinking}
        if config.thinking == "adaptive":
            # By default, some models leave out their thinking.
            made["thinking"]["display"] = "summarized"
    output: dict[str, Any] = {}
    if config.effort is not None:
        output["effort"] = config.effort
    if request.schema is not None:
        output["format"] = {"type": "json_schema", "schema": reduced(request.schema)}
    if output:
        made["output_config"] = output
    if sampling.stop:
        made["stop_sequences"] = list(sampling.stop)
    given = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    chosen = {name: value for name, value in given.items() if value is not None}
    if chosen:
        made["extra_body"] = chosen
        made["extra_headers"] = {"anthropic-version": SAMPLING_VERSION}
    return made


def _turns(messages: Iterable[Message], model: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The messages with alternating roles, and the blocks of all but the last message."""
    turns: list[dict[str, Any]] = []
    stable: list[dict[str, Any]] = []
    last: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        stable += last
        last = [block for part in message.parts if (block := _block(part, model))]
        role = "assistant" if message.role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += last
        elif last:
            turns.append({"role": role, "content": list(last)})
    for turn in turns:
        # Results must come before text, directly after the calls.
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return turns, stable


def _block(part: Text | ToolCall | ToolResult | Thinking, model: str) -> dict[str, Any] | None:
    """`part` in the API's form. None for what the API rejects: empty text and another model's thinking."""
    if isinstance(part, Text):
        return {"type": "text", "text": part.text} if part.text.strip() else None
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": part.arguments}
    if isinstance(part, ToolResult):
        result = {"type": "tool_result", "tool_use_id": part.id, "content": part.content}
        return {**result, "is_error": True} if part.failed else result
    block = dict(part.data)
    if block.get("type") not in _THINKING or block.pop("model", None) != model:
        return None
    return {**block, "thinking": part.text} if block["type"] == "thinking" else block


def completion(answer: Mapping[str, Any], headers: Mapping[str, str], model: str) -> Completion:
    """The API's `answer` as a `Completion`. `model` is the configured model; thinking belongs to it.

    Raises `AnswerRejected` for a tool call with incomplete arguments, and `KeyError`, `TypeError` or
    `AttributeError` for anything that is not an answer of this API.
    """
    content = answer["content"]
    blocks = content if isinstance(content, list) else []
    reason = str(answer.get("stop_reason") or "end_turn")
    if reason == "max_tokens" and blocks and blocks[-1].get("type") == "tool_use":
        raise AnswerRejected(
            f"anthropic: the arguments of the call of {blocks[-1].get('name')} are incomplete, because the "
            "answer reached `max_tokens`; raise it"
        )
    calls: Any = [
        (block.get("id"), block.get("name"), tool_arguments(block.get("input")))
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    text: Any = "" if isinstance(content, list) else content  # other content is for the kernel to judge
    texts = [block.get("text") for block in blocks if block.get("type") == "text"]
    if texts:
        text = "".join(texts)
    return Completion(
        text=text,
        tool_calls=tuple(ToolCall(*call) for call in calls),
        thinking=tuple(
            Thinking(
                block.get("thinking", ""),
                {**{key: value for key, value in block.items() if key != "thinking"}, "model": model},
            )
            for block in blocks
            if block.get("type") in _THINKING
        ),
        finish_reason=finish_reason(reason, bool(calls)),
        usage=usage(answer),
        model=answer.get("model") or model,
        allowance=_allowance(headers),
    )


def usage(answer: Mapping[str, Any]) -> Usage:
    """The tokens that the API reports; it counts cached ones separately."""
    counted: Any = answer.get("usage")
    if not isinstance(counted, dict):
        return Usage(counted or 0)  # the kernel tells what is no number
    kinds = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    fresh, cached, written, output = (counted.get(kind) or 0 for kind in kinds)
    odd = [part for part in (fresh, cached, written) if type(part) is not int]
    if odd:
        return Usage(odd[0], output)
    return Usage(fresh + cached + written, output, cached_tokens=cached, cache_write_tokens=written)


def _allowance(headers: Mapping[str, str]) -> RateLimitStatus | None:
    def limit(name: str) -> str:
        return headers.get(f"anthropic-ratelimit-{name}", "")

    made = RateLimitStatus(
        requests=_count(limit("requests-remaining")),
        tokens=_count(limit("tokens-remaining")),
        requests_reset=_seconds(limit("requests-reset")),
        tokens_reset=_seconds(limit("tokens-reset")),
    )
    return None if made == RateLimitStatus() else made


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _seconds(date: str) -> float | None:
    """The seconds from now until an RFC 3339 date."""
    try:
        return max(0.0, (datetime.fromisoformat(date) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # not a date, or a date without a time zone
        return None
