"""The forms of requests, schemas and answers, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pyscrai_anthropic.config import AnthropicConfig
from pyscrai_anthropic.messages import MAX_TOKENS, completion, request_arguments
from pyscrai_anthropic.provider import AnthropicProvider
from pyscrai_anthropic.schema import reduced
from pyscrai_core import (
    AnswerRejected,
    Message,
    Request,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
)

MODEL = "claude-haiku-5-5"
MARK = {"type": "ephemeral"}


def arguments(*messages: Message, request: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    config = AnthropicConfig(**{"model": MODEL, **options})
    return request_arguments(Request(messages, **(request or {})), config)


def marked(made: dict[str, Any]) -> list[str]:
    blocks = [block for turn in made["messages"] for block in turn["content"]]
    return [block["text"] for block in (*made.get("system", ()), *blocks) if "cache_control" in block]


def test_a_plain_request() -> None:
    made = arguments(
        Message.system("Rules."), Message.user("Hello."), Message.system("Be brief."), cache=False
    )
    assert made == {
        "model": MODEL,
        "max_tokens": MAX_TOKENS,
        "system": [{"type": "text", "text": "Rules.\n\nBe brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello."}]}],
    }


def test_roles_take_turns_and_results_stand_first() -> None:
    call = ToolCall("a", "weather", {"city": "Rome"})
    results = (ToolResult("a", "sunny"), ToolResult("b", "no such city", failed=True))
    made = arguments(
        Message.user("One."),
        Message.user("Two."),
        Message("assistant", (Text(" \n"), call)),
        Message.user("By the way."),
        Message("tool", results),
        Message.assistant(""),
        cache=False,
    )
    assert made["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Rome"}}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "sunny"},
                {"type": "tool_result", "tool_use_id": "b", "content": "no such city", "is_error": True},
                {"type": "text", "text": "By the way."},
            ],
        },
    ]


def test_a_growing_history_is_read_from_the_cache() -> None:
    system = Message.system("Rules.")
    history = [Message.user(f"Event {number}.") for number in range(60)]
    first = arguments(system, *history[:30], Message.user("Now?"))
    assert marked(first) == ["Rules.", "Event 14.", "Event 29."]
    later = arguments(system, *history, Message.user("And now?"))
    assert marked(later) == ["Rules.", "Event 29.", "Event 44.", "Event 59."]
    assert marked(arguments(system, Message.user("Now?"))) == ["Rules."]
    assert marked(arguments(system, *history, cache=False)) == []


def test_thoughts_carry_no_mark_and_go_back_to_their_model_only() -> None:
    own = Thinking("Hm.", {"type": "thinking", "signature": "s", "model": MODEL})
    hidden = Thinking("", {"type": "redacted_thinking", "data": "x", "model": MODEL})
    others = (Thinking("No.", {"type": "thinking", "signature": "t", "model": "other"}), Thinking("No.", {}))
    made = arguments(Message.user("?"), Message("assistant", (own, hidden, *others)), Message.user("!"))
    assert made["messages"][1]["content"] == [
        {"type": "thinking", "signature": "s", "thinking": "Hm."},
        {"type": "redacted_thinking", "data": "x"},
    ]
    assert marked(made) == ["?"]


def test_all_options_are_sent() -> None:
    tool = ToolSpec("weather", "Tells the weather.", {"type": "object"})
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    sampling = Sampling(temperature=0.5, max_tokens=9, stop=("END",))
    request = {"tools": (tool,), "schema": schema, "sampling": sampling}
    made = arguments(Message.user("?"), request=request, thinking="adaptive", effort="low")
    assert {key: made[key] for key in made.keys() - {"messages"}} == {
        "model": MODEL,
        "max_tokens": 9,
        "tools": [
            {"name": "weather", "description": "Tells the weather.", "input_schema": {"type": "object"}}
        ],
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {
            "effort": "low",
            "format": {"type": "json_schema", "schema": {**schema, "additionalProperties": False}},
        },
        "stop_sequences": ["END"],
        "extra_body": {"temperature": 0.5},
        "extra_headers": {"anthropic-version": "2023-06-01"},
    }
    assert arguments(Message.user("?"), thinking="between_tools")["thinking"] == {"type": "between_tools"}


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ({"type": "integer", "minimum": 1, "description": "Coins."}, "Coins. (minimum: 1)"),
        (
            {"type": ["string", "null"], "maxLength": 4},
            [{"type": "string", "description": "(maxLength: 4)"}, {"type": "null"}],
        ),
        ({"oneOf": [{"const": 1}, {"$ref": "#/$defs/x"}]}, [{"const": 1}, {"$ref": "#/$defs/x"}]),
        ({}, [{"type": kind} for kind in ("string", "number", "boolean", "null")]),
        ({"enum": ["a", 1], "type": "string"}, {"enum": ["a", 1]}),
        ({"type": "string", "format": "email"}, {"type": "string", "format": "email"}),
        ({"allOf": [{"$ref": "#/$defs/x"}], "default": 1}, {"$ref": "#/$defs/x"}),
        (
            {"type": "array", "items": {"type": "number", "maximum": 9}, "minItems": 1, "maxItems": 3},
            {
                "type": "array",
                "items": {"type": "number", "description": "(maximum: 9)"},
                "minItems": 1,
                "description": "(maxItems: 3)",
            },
        ),
    ],
)  # fmt: skip
def test_schemas_are_reduced(schema: dict[str, Any], made: Any) -> None:
    found = reduced(schema)
    if isinstance(made, str):
        assert found == {"type": "integer", "description": made}
    elif isinstance(made, list):
        assert found == {"anyOf": made}
    else:
        assert found == made


def test_objects_are_closed_at_every_depth() -> None:
    inner = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": True}
    schema = {
        "properties": {"a": inner, "b": {"$ref": "#/$defs/d"}},
        "required": ["a"],
        "$defs": {"d": inner},
    }
    made = reduced(schema)
    closed = {**inner, "required": [], "additionalProperties": False}
    assert made["$defs"] == {"d": closed}
    assert made["properties"] == {"a": closed, "b": {"$ref": "#/$defs/d"}}
    assert (made["type"], made["required"], made["additionalProperties"]) == ("object", ["a"], False)
    assert inner["additionalProperties"] is True, "the request's own schema is left alone"
    with pytest.raises(ValueError, match="schema.where: an object without named properties"):
        reduced({"properties": {"where": {"type": "object"}}})


def said(*blocks: dict[str, Any], stop_reason: str | None = "end_turn", **usage: int) -> dict[str, Any]:
    return {"model": "m", "content": list(blocks), "stop_reason": stop_reason, "usage": usage}


def test_an_answer() -> None:
    in_an_hour = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds").replace("+00:00", "Z")
    headers = {
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-tokens-remaining": "1000",
        "anthropic-ratelimit-tokens-reset": in_an_hour,
        "anthropic-ratelimit-requests-reset": "soon",
    }
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    call = {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Rome"}}
    usage = {
        "input_tokens": 3,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 4,
        "output_tokens": 7,
    }
    answer = completion(
        said(thought, {"type": "text", "text": "I look."}, call, stop_reason="tool_use", **usage),
        headers,
        MODEL,
    )
    assert answer.text == "I look."
    assert answer.tool_calls == (ToolCall("a", "weather", {"city": "Rome"}),)
    assert answer.thinking == (Thinking("Hm.", {"type": "thinking", "signature": "s", "model": MODEL}),)
    assert answer.usage == Usage(27, 7, cached_tokens=20, cache_write_tokens=4)
    assert answer.finish_reason == "tool_calls"
    assert answer.allowance is not None
    assert (answer.allowance.requests, answer.allowance.tokens) == (49, 1000)
    assert answer.allowance.requests_reset is None
    assert 3500 < (answer.allowance.tokens_reset or 0) <= 3600
    # What it thought goes back as it came.
    sent = arguments(
        Message.user("?"), answer.message(), Message("tool", (ToolResult("a", "sun"),)), cache=False
    )
    assert sent["messages"][1]["content"] == [thought, {"type": "text", "text": "I look."}, call]


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
        ("pause_turn", "other"),
    ],
)
def test_why_it_ended(told: str, meant: str) -> None:
    answer = completion(said(stop_reason=told), {}, MODEL)
    assert (answer.finish_reason, answer.text, answer.allowance) == (meant, "", None)


def test_calls_without_whole_arguments() -> None:
    call = {"type": "tool_use", "id": "a", "name": "weather", "input": {}}
    with pytest.raises(AnswerRejected, match="weather are incomplete.*max_tokens"):
        completion(said(call, stop_reason="max_tokens"), {}, MODEL)
    odd = completion(said({**call, "input": [1]}, stop_reason="tool_use"), {}, MODEL)
    assert odd.tool_calls[0].arguments == [1], "the kernel tells the model"


def provider(model: str = "claude-sonnet-4-6", **options: Any) -> AnthropicProvider:
    return AnthropicProvider(AnthropicConfig(model, **options))


@pytest.mark.parametrize(
    "model",
    ["claude-sonnet-4-6", "claude-haiku-4-5-20251001", "claude-opus-4-20250514", "claude-3-haiku-20240307"],
)
def test_older_models_take_a_temperature(model: str) -> None:
    assert provider(model).refuses(Sampling(temperature=0.3, max_tokens=9)) == {}


@pytest.mark.parametrize("model", ["claude-opus-4-7", "claude-haiku-5-5", "claude-mythos-preview"])
def test_newer_models_take_none(model: str) -> None:
    assert provider(model).refuses(Sampling(temperature=1.0, top_p=0.9)).keys() == {"temperature", "top_p"}
    assert provider(model, base_url="http://127.0.0.1:1").refuses(Sampling(temperature=1.0)) == {}


def test_what_older_models_refuse() -> None:
    both = provider().refuses(Sampling(temperature=0.3, top_p=0.9))
    assert list(both) == ["top_p"]
    assert "either temperature or top_p" in both["top_p"]
    assert "0 to 1" in provider().refuses(Sampling(temperature=1.5))["temperature"]
    assert "thinks" in provider(thinking="adaptive").refuses(Sampling(temperature=0.3))["temperature"]
    assert provider().refuses(Sampling(stop=("\n",))).keys() == {"stop"}


def test_prices() -> None:
    usage = Usage(1_000_000, 1_000_000, cached_tokens=500_000, cache_write_tokens=100_000)
    price = provider("claude-haiku-4-5").cost(usage)
    # 1 and 5 dollars for a million tokens; a tenth for what is read from the cache, 1.25 for what is written.
    assert price == pytest.approx(0.4 + 0.05 + 0.125 + 5)
    assert provider("claude-haiku-4-5").cost(usage, "claude-sonnet-4-6") == pytest.approx(3 * 0.575 + 15)
    assert provider("claude-unheard-of").cost(usage) is None
    assert provider("claude-haiku-4-5", base_url="http://localhost:8080").cost(usage) is None
    assert provider("claude-haiku-4-5", base_url="https://models.example").cost(usage) is None


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="model must be"):
        AnthropicConfig(" ")
    with pytest.raises(ValueError, match="base_url must be the address without `/v1`"):
        AnthropicConfig(MODEL, base_url="http://127.0.0.1:8080/v1/")


def test_capabilities() -> None:
    elsewhere = "http://127.0.0.1:1"
    assert provider().capabilities == {"tools", "schema", "stop", "stream"}
    assert provider(tools=False, schema=False).capabilities == {"stop", "stream"}
    assert provider(base_url=elsewhere).capabilities == {"tools", "stop", "stream"}
    assert provider(base_url=elsewhere, schema=True).capabilities == {"tools", "schema", "stop", "stream"}
