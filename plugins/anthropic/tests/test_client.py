"""What goes over the wire, and what failures become: through the SDK, against a server on loopback."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pyscrai_anthropic.provider import AnthropicProvider
from pyscrai_core import (
    AuthenticationFailed,
    CallFailed,
    ContextTooLong,
    Message,
    Overloaded,
    RateLimited,
    Refused,
    Request,
    RequestRejected,
    Sampling,
    Thinking,
    TimedOut,
    ToolCall,
    Usage,
)
from pyscrai_testing.providers import Pieces
from pyscrai_testing.servers import FaultServer, Reply

Using = Callable[..., Any]
STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}
ASK = Request((Message.system("Rules."), Message.user("Hello.")), sampling=Sampling(max_tokens=9))
ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-5-5",
    "content": [
        {"type": "thinking", "thinking": "Hm, well.", "signature": "sig"},
        {"type": "text", "text": "Good day."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 11},
}


def stream(*events: dict[str, Any]) -> Reply:
    lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
    return Reply(body="".join(lines).encode(), headers=STREAM)


def deltas(index: int, start: dict[str, Any], *pieces: dict[str, str]) -> list[dict[str, Any]]:
    made = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in pieces]
    return [{"type": "content_block_start", "index": index, "content_block": start}, *made]


def events(arguments: tuple[str, ...] = ('{"city": ', '"Rome"}')) -> list[dict[str, Any]]:
    """The events of `ANSWER` as a stream."""
    begun = {**ANSWER, "content": [], "stop_reason": None, "usage": {"input_tokens": 5, "output_tokens": 1}}
    calls = [{"type": "input_json_delta", "partial_json": piece} for piece in arguments]
    return [
        {"type": "message_start", "message": begun},
        {"type": "ping"},
        *deltas(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "Hm, "},
            {"type": "thinking_delta", "thinking": "well."},
            {"type": "signature_delta", "signature": "sig"},
        ),
        *deltas(
            1,
            {"type": "text", "text": ""},
            {"type": "text_delta", "text": "Good "},
            {"type": "text_delta", "text": "day."},
        ),
        *deltas(2, {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}, *calls),
        {"type": "something_new", "of": "later"},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"cache_read_input_tokens": 7, "input_tokens": None, "output_tokens": 11},
        },
        {"type": "message_stop"},
    ]


def answered(path: str, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
    return 200, {}, json.dumps(ANSWER).encode()


def failing(using: Using, fault: Reply, streamed: bool = False, **options: Any) -> CallFailed:
    sink = Pieces() if streamed else None
    with FaultServer(fault) as server, pytest.raises(CallFailed, match="^anthropic: ") as caught:
        using(lambda provider: provider.complete(ASK, sink), base_url=server.url, **options)
    return caught.value


def error(kind: str, message: str, **more: Any) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message, **more}}).encode()


def test_a_request_on_the_wire(using: Using, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "another-secret")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "anthropic-beta: something-else")
    monkeypatch.setenv("MY_KEY", "sk-secret-1234")
    warm = ASK.but(sampling=Sampling(temperature=0.5, max_tokens=9))

    async def work(provider: AnthropicProvider) -> Any:
        assert "secret" not in f"{provider!r} {provider.config!r} {provider.account}"
        assert provider.account.startswith(f"{server.url} claude-haiku-5-5 ")
        return await provider.complete(ASK), await provider.complete(warm)

    with FaultServer(answer=answered) as server:
        using(work, base_url=server.url, api_key="MY_KEY")
    plain, warmer = server.requests
    assert (plain.method, plain.path) == ("POST", "/v1/messages")
    assert plain.headers["authorization"] == "Bearer sk-secret-1234"
    assert plain.headers["anthropic-version"] == "2026-10-21"
    assert "anthropic-beta" not in plain.headers
    assert json.loads(plain.body) == {
        "model": "claude-haiku-5-5",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Rules.", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello."}]}],
        "stream": False,
    }
    assert warmer.headers["anthropic-version"] == "2023-06-01"
    assert json.loads(warmer.body) == {**json.loads(plain.body), "temperature": 0.5}


def test_a_stream_gives_the_same_completion(using: Using) -> None:
    pieces = Pieces()

    async def work(provider: AnthropicProvider) -> Any:
        return await provider.complete(ASK), await provider.complete(ASK, pieces)

    with FaultServer(Reply(body=json.dumps(ANSWER).encode()), stream(*events())) as server:
        whole, streamed = using(work, base_url=server.url)
    assert streamed == whole
    assert pieces == ["Good ", "day."]
    assert whole.tool_calls == (ToolCall("toolu_1", "weather", {"city": "Rome"}),)
    assert whole.thinking == (
        Thinking("Hm, well.", {"type": "thinking", "signature": "sig", "model": "claude-haiku-5-5"}),
    )
    assert whole.usage == Usage(12, 11, cached_tokens=7)
    assert json.loads(server.requests[1].body)["stream"] is True


def test_a_call_that_breaks_off_in_a_stream(using: Using) -> None:
    with FaultServer(stream(*events(('{"ci',)))) as server:
        broken = using(lambda provider: provider.complete(ASK, Pieces()), base_url=server.url)
    assert broken.tool_calls[0].arguments == '{"ci', "the kernel tells the model"


SPENT = {"error_code": "enforced_spend_limit_reached"}
INVALID = "invalid_request_error"
LONG = "input length and `max_tokens` exceed context limit: 7 + 2 > 8"
MODEL = "claude-no;.*`model` \\(claude-haiku-5-5"


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, error(INVALID, "prompt is too long: 9 tokens > 8 maximum"), ContextTooLong, "9.*8.*`window`"),
        (400, error(INVALID, LONG), ContextTooLong, "7 \\+ 2"),
        (400, error(INVALID, "output_config.format.schema: odd"), RequestRejected, "`schema: false`"),
        (401, error("authentication_error", "bad sk-echoed-99"), AuthenticationFailed, "bad \\[MY_KEY\\];"),
        (400, error(INVALID, "Output blocked by content filtering policy"), Refused, "change the prompt"),
        (402, error("billing_error", "no money"), RequestRejected, "no money"),
        (404, error("not_found_error", "model: claude-no"), RequestRejected, MODEL),
        (413, error("request_too_large", "Request exceeds the maximum size"), ContextTooLong, "window"),
        (429, error("rate_limit_error", "enough", details=SPENT), RequestRejected, "enough.*console"),
        (503, b"", Overloaded, "status 503"),
    ],
)  # fmt: skip
def test_refusals(
    using: Using, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, kind: type, words: str
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-echoed-99")
    found = failing(using, Reply(status, body), api_key="MY_KEY")
    assert type(found) is kind
    assert re.search(words, str(found))
    assert found.__cause__ is not None


@pytest.mark.parametrize(
    ("kind", "meant"),
    [
        ("overloaded_error", Overloaded),
        ("rate_limit_error", RateLimited),
        ("timeout_error", TimedOut),
        ("authentication_error", AuthenticationFailed),
        ("invalid_request_error", RequestRejected),
        ("never_heard_of", Overloaded),
    ],
)
def test_an_error_with_status_200(using: Using, kind: str, meant: type) -> None:
    told = json.loads(error(kind, "in the middle"))
    assert type(failing(using, stream(*events()[:5], told), streamed=True)) is meant
    assert type(failing(using, Reply(body=json.dumps(told).encode()))) is meant


@pytest.mark.parametrize(
    "body",
    [
        {**ANSWER, "content": [{"type": "text"}]},
        {**ANSWER, "content": [7]},
        {},
        [],
    ],
)
def test_answers_of_another_form(using: Using, body: Any) -> None:
    found = failing(using, Reply(body=json.dumps(body).encode()))
    assert type(found) is Overloaded
    assert "check `base_url`" in str(found)


@pytest.mark.parametrize("body", [b"event: message_start\ndata: {broken\n\n", b"event: ping\ndata: {}\n\n"])
def test_streams_of_another_form(using: Using, body: bytes) -> None:
    assert type(failing(using, Reply(body=body, headers=STREAM), streamed=True)) is Overloaded
    assert type(failing(using, stream(*events()[:9]), streamed=True)) is Overloaded


def test_schemas_without_a_form_are_not_sent(using: Using) -> None:
    request = ASK.but(schema={"type": "object"})
    with (
        FaultServer() as server,
        pytest.raises(RequestRejected, match="named properties.*`schema: false`"),
    ):
        using(lambda provider: provider.complete(request), base_url=server.url)
    assert not server.requests


def test_probe_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    (probe,) = asyncio.run(AnthropicProvider(AnthropicProvider.Config("claude-haiku-5-5")).probe())
    assert (probe.what, probe.ok) == ("key", False)


@pytest.mark.parametrize(
    ("status", "official", "found"),
    [
        (200, True, {"key": True, "server": True, "model": True}),
        (404, True, {"key": True, "server": True, "model": False}),
        (401, True, {"key": False, "server": True}),
        (503, True, {"key": True, "server": False}),
        (404, False, {"server": True}),
    ],
)
def test_probe(monkeypatch: pytest.MonkeyPatch, status: int, official: bool, found: dict[str, bool]) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret-1234")
    with FaultServer(Reply(status, b"{}")) as server:
        config = AnthropicProvider.Config("claude-haiku-5-5", base_url=server.url)
        if official:  # as which the server passes itself off
            monkeypatch.setattr(AnthropicProvider.Config, "official", True)
            monkeypatch.setattr(AnthropicProvider.Config, "local", False)
        probes = asyncio.run(AnthropicProvider(config).probe())
    assert {probe.what: probe.ok for probe in probes} == found
    assert server.requests[0].path == "/v1/models/claude-haiku-5-5"


def test_checking_a_scenario_imports_no_sdk() -> None:
    code = (
        "import sys, pyscrai_anthropic.plugin as plugin\n"
        "(one,) = plugin.pyscrai_providers()\n"
        "print('pyscrai_anthropic.provider' in sys.modules)\n"
        "import pyscrai_anthropic.provider\n"
        "print(one.name, one.target, 'anthropic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (
        "False\nanthropic pyscrai_anthropic.provider:AnthropicProvider False\n",
        "",
    )


def test_what_a_stream_used_that_ends_in_an_error_is_counted(using: Using) -> None:
    fault = stream(*events()[:4], {"type": "error", "error": {"type": "overloaded_error", "message": "x"}})
    assert failing(using, fault, streamed=True).usage == Usage(5, 1)
    alone = stream({"type": "error", "error": {"type": "overloaded_error", "message": "x"}})
    assert failing(using, alone, streamed=True).usage is None
