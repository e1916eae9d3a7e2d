"""The common suite of vendors, and what else can come back from a server."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from pyscrai_answers.policy import AnswerPolicy
from pyscrai_answers.reading import read_raw
from pyscrai_core import (
    AnswerRejected,
    AuthenticationFailed,
    CallFailed,
    Completion,
    ConfigError,
    ContextTooLong,
    Message,
    Overloaded,
    Probe,
    Request,
    RequestRejected,
    Sampling,
    SecretName,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
    Usage,
)
from pyscrai_ollama.client import from_error
from pyscrai_ollama.messages import completion, messages
from pyscrai_ollama.provider import OllamaProvider
from pyscrai_testing.providers import Pieces, VendorSuite
from pyscrai_testing.servers import FaultServer, Reply

Using = Callable[..., Any]
ASK = Request(messages=(Message.user("Good day."),), sampling=Sampling(max_tokens=8))
END = {"done": True, "done_reason": "stop", "prompt_eval_count": 20, "eval_count": 6}


def line(content: str, **rest: Any) -> bytes:
    message = {"role": "assistant", "content": content}
    return json.dumps({"model": "smollm2", "message": message, "done": False, **rest}).encode() + b"\n"


class TestOllama(VendorSuite):
    key_variable = "OLLAMA_TEST_KEY"
    path = "/api/chat"
    stream_type = "application/x-ndjson"

    @pytest.fixture
    def model_url(self, url: str) -> str:
        return url

    def provider_at(self, url: str) -> OllamaProvider:
        key = SecretName(self.key_variable)
        return OllamaProvider(OllamaProvider.Config(model="smollm2", base_url=Url(url), api_key=key))

    def answer(self) -> bytes:
        return line("A good day to you.", **END)

    def stream(self) -> bytes:
        return line("A good ") + line("day to you.") + line("", **END)

    def error_body(self, status: int, message: str) -> bytes:
        return json.dumps({"error": message}).encode()

    def stream_error(self, message: str) -> bytes:
        return line("A good ") + self.error_body(500, message) + b"\n"

    def test_no_key_for_loopback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nor elsewhere: a key is needed if a scenario names one."""
        for name in (self.key_variable, "OLLAMA_API_KEY"):
            monkeypatch.setenv(name, "not-to-be-sent")
        with self.server() as server:
            provider = OllamaProvider(OllamaProvider.Config(model="smollm2", base_url=Url(server.url)))
            asyncio.run(asked(provider))
        assert "authorization" not in server.requests[0].headers


async def asked(provider: OllamaProvider) -> Completion:
    await provider.aopen()
    try:
        return await provider.complete(ASK)
    finally:
        await provider.aclose()


# -- the way there --------------------------------------------------------------------------------


def test_what_the_environment_says_is_not_consulted(using: Using, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer(Reply(200, line("Hello.", **END))) as server, FaultServer() as other:
        monkeypatch.setenv("OLLAMA_HOST", other.url)
        for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
            monkeypatch.setenv(name, other.url)
        assert using(lambda provider: provider.complete(ASK), base_url=server.url).text == "Hello."
        assert not other.requests


def test_a_prompt_is_not_sent_on(using: Using) -> None:
    with FaultServer() as other, FaultServer(Reply(307, b"", {"Location": other.url})) as server:
        with pytest.raises(RequestRejected, match=f"redirects to '{other.url}'.* name it in `base_url`"):
            using(lambda provider: provider.complete(ASK), base_url=server.url)
        assert not other.requests


def test_a_path_before_the_api(using: Using) -> None:
    with FaultServer(Reply(200, line("Hello.", **END))) as server:
        using(lambda provider: provider.complete(ASK), base_url=f"{server.url}/ollama/")
    assert server.requests[0].path == "/ollama/api/chat"


def test_another_server_at_the_address(using: Using, model: str) -> None:
    with pytest.raises(RequestRejected, match="status 404.*check `base_url`"):
        using(lambda provider: provider.complete(ASK), base_url=f"{model}/v1")


# -- what errors mean -----------------------------------------------------------------------------

RUNNER = {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 8889, "n_ctx": 4096}


@pytest.mark.parametrize(
    "status, body, kind, said",
    [
        (
            400,
            {"error": json.dumps({"error": {**RUNNER, "message": "request"}})},
            ContextTooLong,
            "8889 .* 4096",
        ),
        (400, {"error": "the input length exceeds the context length"}, ContextTooLong, "`window` memory"),
        (400, {"error": "prompt too long; exceeded max context length by 4 tokens"}, ContextTooLong, "by 4"),
        (
            400,
            {"error": "the prompt is longer than the context length currently available"},
            ContextTooLong,
            "",
        ),
        (500, {"error": "input length exceeds maximum context length"}, ContextTooLong, "memory"),
        (404, {"error": "model 'a/b:1b' not found"}, RequestRejected, "ollama pull a/b:1b,"),
        (404, {"error": 'model "m" not found, try pulling it first'}, RequestRejected, "ollama pull m,"),
        (404, "404 page not found", RequestRejected, "check `base_url`"),
        (401, {"error": "unauthorized", "signin_url": "x"}, AuthenticationFailed, "`api_key`.*ollama signin"),
        (500, {"error": "error parsing tool call: raw='{' err=EOF"}, AnswerRejected, "raw='{'"),
        (500, {"error": {"code": 400, "message": "no such grammar"}}, RequestRejected, "no such grammar"),
        (500, {"StatusCode": 429, "error": "weekly limit"}, CallFailed, "weekly limit .status 429"),
        (503, {"error": "server busy, please try again."}, Overloaded, "server busy"),
        (502, "<html>\n <b>Bad</b></html>", Overloaded, "<html> <b>Bad</b></html>"),
        (500, "", Overloaded, "no reason given"),
        (400, "{not json", RequestRejected, "{not json"),
        (400, {"error": None}, RequestRejected, "status 400"),
    ],
)
def test_errors_by_their_words(status: int, body: Any, kind: type, said: str) -> None:
    error = from_error(status, body if isinstance(body, str) else json.dumps(body), {})
    assert isinstance(error, kind), repr(error)
    assert str(error).startswith("ollama: ")
    assert re.search(said, str(error)), str(error)


# -- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        *(b"[]", b"{}", b'"words"', b"5", b'{"done": true}', b'{"done": true, "message": 3}', b"\xff{"),
        *(b'{"error": "[1]"}', b'{"error": {"message": ["?"]}}'),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_no_answer(using: Using, body: bytes, streamed: bool) -> None:
    class Nowhere:
        def write(self, text: str) -> None:
            raise AssertionError(text)

    with FaultServer(Reply(200, body + b"\n")) as server, pytest.raises(Overloaded, match="^ollama: "):
        using(lambda provider: provider.complete(ASK, Nowhere() if streamed else None), base_url=server.url)


@pytest.mark.parametrize("sink", [None, Pieces()])
def test_an_error_with_status_200_means_the_same(using: Using, sink: Any) -> None:
    body = json.dumps({"error": "model 'smollm2' not found"}).encode()
    with FaultServer(Reply(200, body)) as server, pytest.raises(RequestRejected, match="ollama pull smollm2"):
        using(lambda provider: provider.complete(ASK, sink), base_url=server.url)


@pytest.mark.parametrize("vectors", [None, [], [[1.0], [2.0]], [None], "ab"])
def test_what_are_no_vectors(using: Using, vectors: Any) -> None:
    body = json.dumps({"embeddings": vectors}).encode()
    with (
        FaultServer(Reply(200, body)) as server,
        pytest.raises(Overloaded, match="one vector for each of 1 texts"),
    ):
        using(lambda provider: provider.embed(["a"]), base_url=server.url, embedding_model="e")


def answer(message: dict[str, Any], **end: Any) -> Completion:
    return completion([{"model": "m", "message": message, **END, **end}])


def test_pieces_that_are_lists_of_parts_are_all_kept() -> None:
    pieces = [[{"type": "text", "text": "Nine "}], "or ", [{"type": "text", "text": "ten."}]]
    made: Any = completion([{"message": {"content": one}, **END} for one in pieces])
    assert made.text == [pieces[0][0], "or ", pieces[2][0]]


@pytest.mark.parametrize(
    ("refusal", "words"),
    [("No.", "No."), (True, "Well."), ({"message": "No."}, "No."), ([{"text": "No."}], "No."), (None, "")],
)
def test_a_refusal_is_one(refusal: Any, words: str) -> None:
    pieces = [{"message": {"content": "Well."}}, {"message": {"content": "", "refusal": refusal}, **END}]
    made = read_raw(completion(pieces), AnswerPolicy(), structured=False)
    assert (made.finish_reason, made.text) == (("refusal", words) if words else ("stop", "Well."))


def test_thinking_is_kept_apart_and_goes_back() -> None:
    pieces = [{"message": {"thinking": "Let me "}}, {"message": {"thinking": "see.", "content": ""}}]
    made = completion([*pieces, {"message": {"content": "Yes."}}, {"message": {"content": ""}, **END}])
    assert (made.text, made.thinking[0].text) == ("Yes.", "Let me see.")
    other = Message("assistant", (Thinking("Another vendor's.", {"signature": "x"}), Text("No.")))
    assert messages([made.message(), other]) == [
        {"role": "assistant", "content": "Yes.", "thinking": "Let me see."},
        {"role": "assistant", "content": "No."},
    ]


def test_calls_and_results_in_ollamas_form() -> None:
    history = [
        Message("assistant", (Text("I look."), ToolCall("a", "weather", {"city": "Rome"}))),
        Message("user", (ToolResult("a", "sunny"), ToolResult("b", "no city", failed=True), Text("So?"))),
    ]
    call = {"id": "a", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
    assert messages(history) == [
        {"role": "assistant", "content": "I look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "tool_name": "weather", "content": "sunny"},
        {"role": "tool", "tool_call_id": "b", "content": "Error: no city"},
        {"role": "user", "content": "So?"},
    ]


def test_calls_come_in_any_chunk() -> None:
    calls = [{"id": "call_x", "function": {"name": name, "arguments": {}}} for name in "ab"]
    pieces = [{"message": {"tool_calls": calls[:1]}}, {"message": {"tool_calls": calls[1:]}, **END}]
    assert [call.name for call in completion(pieces).tool_calls] == ["a", "b"]


@pytest.mark.parametrize(
    ("call", "name", "arguments"),
    [
        (None, None, {}),
        ({"function": {"name": "a"}}, "a", {}),
        ({"function": {"name": "a", "arguments": '{"a":1}'}}, "a", {"a": 1}),
        ({"function": {"name": "a", "arguments": '{"a":'}}, "a", '{"a":'),
    ],
)
def test_a_call_is_handed_on_as_it_came(call: Any, name: Any, arguments: Any) -> None:
    (made,) = answer({"tool_calls": [call]}).tool_calls
    assert (made.name, made.arguments) == (name, arguments)


def test_ends_and_counts() -> None:
    assert answer({"content": "x"}, done_reason="length").finish_reason == "length"
    assert answer({"content": "x"}, done_reason="load").finish_reason == "stop"
    assert answer({"content": "x"}, done_reason="weather").finish_reason == "other"
    with pytest.raises(Overloaded, match="broke the answer off"):
        answer({"content": "I think the"}, done_reason="unload")
    assert answer({"content": "x"}, done_reason=None).finish_reason == "stop"
    assert answer({"content": "x"}, prompt_eval_cached_count=7).usage == Usage(20, 6, 7)
    assert answer({"content": "x"}, prompt_eval_cached_count=70).usage == Usage(20, 6, 70)
    # Old servers leave out the count of a prompt that is cached as a whole.
    assert answer({"content": "x"}, prompt_eval_count=None).usage == Usage(0, 6)


# -- doctor ---------------------------------------------------------------------------------------


def probes(**options: Any) -> list[Probe]:
    return list(asyncio.run(OllamaProvider(OllamaProvider.Config(**options)).probe()))  # type: ignore[arg-type]


def test_all_is_well(url: str) -> None:
    server, model, vectors = probes(model="smollm2:135m", base_url=url, embedding_model="smollm2")
    assert server == Probe("server", True, f"Ollama 0.40.2 at {url}")
    assert model == Probe("model", True, "smollm2:135m is available")
    assert vectors == Probe("model", True, "smollm2 is available")


def test_a_model_that_is_not_there(url: str) -> None:
    _, model = probes(model="qwen3:4b", base_url=url)
    assert not model.ok
    assert "ollama pull qwen3:4b" in model.detail


def test_an_old_server_without_tools(servers: Any, model: str) -> None:
    with servers.ollama_server(upstream=model, version="0.12.5") as url:
        server, found = probes(model="smollm2", base_url=url)
        assert not server.ok
        assert "0.12.5" in server.detail
        assert "upgrade" in server.detail
        assert found.ok
        assert "`tools: false`" in found.detail
        assert "`tools: false`" not in probes(model="smollm2", base_url=url, tools=False)[1].detail


def test_a_key_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_TEST_KEY", raising=False)
    (key,) = probes(model="m", api_key="OLLAMA_TEST_KEY")
    assert (key.what, key.ok) == ("key", False)
    with pytest.raises(ConfigError, match="OLLAMA_TEST_KEY"):
        asyncio.run(
            OllamaProvider(OllamaProvider.Config(model="m", api_key=SecretName("OLLAMA_TEST_KEY"))).aopen()
        )


def test_a_prompt_that_was_cut_far_below_the_context_is_caught() -> None:
    """Old servers drop whole messages, so that few tokens are counted."""
    provider = OllamaProvider(OllamaProvider.Config("m", context=256))
    long = Request(tuple(Message.user("word " * 200) for _ in range(4)))
    with pytest.raises(ContextTooLong, match="read 140 tokens of a prompt with 800 words"):
        provider._check_context(long, Usage(140, 3))
    letters = Request((Message.user("extraordinarily " * 150),))
    with pytest.raises(ContextTooLong, match="read 120 tokens"):
        provider._check_context(letters, Usage(120, 3))
    cached = Request((Message.user("a word " * 60),))
    provider._check_context(cached, Usage(20, 3))
