"""What is sent, and what is made of the answers, where the suites do not look."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from pyscrai_answers.policy import AnswerPolicy
from pyscrai_answers.reading import read_raw
from pyscrai_core import (
    AnswerRejected,
    Completion,
    Message,
    Overloaded,
    RateLimited,
    RateLimitStatus,
    Refused,
    Request,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
)
from pyscrai_openai import provider
from pyscrai_openai.provider import OpenAIProvider
from pyscrai_testing.models import TOOLS_TEMPLATE
from pyscrai_testing.providers import Pieces, using
from pyscrai_testing.servers import FaultServer, Reply, model_server

CITY = {"type": "object", "properties": {"city": {"type": "string"}, "day": {"type": "string"}}}
WEATHER = ToolSpec("weather", "Tells the weather.", {**CITY, "required": ["city"]})
SCHEMA = {"type": "object", "properties": {"word": {"type": "string"}}, "additionalProperties": False}
CALL = ToolCall("c1", "weather", {"city": "Rome"})
SAMPLING = Sampling(0.5, 0.9, 32, ("END",))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of the test passes for OpenAI's own."""
    monkeypatch.setattr(provider, "is_openai", lambda url: True)


def choice(message: dict[str, Any] | None, finish: str = "stop", **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], **more}


def response(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"status": "completed", "error": None, "output": list(output), **more}


ANSWERS: dict[str, dict[str, Any]] = {"chat": choice({"content": "Hm."}), "responses": response()}


def asked(
    request: Request,
    answer: dict[str, Any] | bytes | None = None,
    *,
    sink: Pieces | None = None,
    headers: dict[str, str] | None = None,
    **options: Any,
) -> tuple[dict[str, Any], Completion]:
    """The body that was sent, and what became of `answer`."""
    given = ANSWERS[options.get("api", "chat")] if answer is None else answer
    stream = {"Content-Type": "text/event-stream"} if isinstance(given, bytes) else {}
    body = given if isinstance(given, bytes) else json.dumps(given).encode()

    async def main() -> Completion:
        config = OpenAIProvider.Config(**{"model": "m", "base_url": server.url, **options})
        async with using(OpenAIProvider(config)) as provider:
            return await provider.complete(request, sink)

    with FaultServer(Reply(200, body, {**stream, **(headers or {})})) as server:
        made = asyncio.run(main())
    return json.loads(server.requests[0].body), made


def request(*messages: Message, **more: Any) -> Request:
    return Request(messages or (Message.user("Hi"),), **more)


def sse(*data: dict[str, Any]) -> bytes:
    return "".join(f"data: {json.dumps(one)}\n\n" for one in data).encode()


# -- requests -------------------------------------------------------------------------------------


def test_a_chat_body_for_any_server() -> None:
    wanted = request(sampling=SAMPLING, schema=SCHEMA, tools=(WEATHER,), seed=2**53 - 1)
    body, _ = asked(wanted, effort="low", extra={"top_k": 5})
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "seed": 2**31 - 1,
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 32,
        "stop": ["END"],
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        },
        "tools": [{"type": "function", "function": WEATHER.to_dict()}],
        "top_k": 5,
    }


@pytest.mark.usefixtures("own")
def test_a_chat_body_for_openai() -> None:
    body, _ = asked(request(sampling=SAMPLING, schema=SCHEMA, tools=(WEATHER,)))
    assert body["max_completion_tokens"] == 32
    assert "max_tokens" not in body
    answer = body["response_format"]["json_schema"]
    assert (answer["strict"], answer["schema"]["required"]) == (True, ["word"])
    tool = body["tools"][0]["function"]
    assert (tool["strict"], tool["parameters"]["required"]) == (True, ["city", "day"])


def test_a_responses_body() -> None:
    wanted = request(sampling=SAMPLING, schema=SCHEMA, tools=(WEATHER,))
    body, _ = asked(wanted, api="responses", effort="low")
    assert body == {
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "store": False,
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 32,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}},
        "tools": [{"type": "function", **WEATHER.to_dict()}],
    }


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("model, included", [("gpt-4.1", None), ("o3", ["reasoning.encrypted_content"])])
def test_thoughts_are_asked_of_models_that_have_them(model: str, included: list[str] | None) -> None:
    body, _ = asked(request(), api="responses", model=model)
    assert body.get("include") == included


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_what_strict_mode_cannot_say_is_sent_loosely(api: str) -> None:
    loose = {"type": "object", "additionalProperties": {"type": "integer"}}
    body, _ = asked(request(schema=loose, tools=(ToolSpec("t", "", loose),)), api=api)
    sent = [body["response_format"]["json_schema"], body["tools"][0]["function"]] if api == "chat" else []
    for part in sent or [body["text"]["format"], body["tools"][0]]:
        assert part["strict"] is False
        assert part.get("schema", part.get("parameters")) == loose


def test_other_servers_are_not_asked_for_thoughts() -> None:
    assert "include" not in asked(request(), api="responses", model="o3")[0]


def test_a_seed_is_not_sent_where_it_is_refused() -> None:
    assert "seed" not in asked(request(), seed=False)[0]


HISTORY = (
    Message.system("Rules."),
    Message("assistant", (Thinking("Hm.", {"reasoning": "Hm."}), Thinking("x", {"signature": "s"}), CALL)),
    Message("tool", (ToolResult("c1", "sunny"), ToolResult("c2", "no such city", failed=True), Text("Go."))),
)


def test_the_parts_of_a_message_in_chat() -> None:
    function = {"name": "weather", "arguments": '{"city": "Rome"}'}
    calls = [{"id": "c1", "type": "function", "function": function}]
    assert asked(request(*HISTORY))[0]["messages"] == [
        {"role": "system", "content": "Rules."},
        {"role": "assistant", "content": "", "tool_calls": calls, "reasoning": "Hm."},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c2", "content": "Error: no such city"},
        {"role": "user", "content": "Go."},
    ]


@pytest.mark.usefixtures("own")
def test_openai_gets_no_field_that_it_does_not_know() -> None:
    assert "reasoning" not in asked(request(*HISTORY))[0]["messages"][1]


def test_the_parts_of_a_message_in_responses() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"}
    said = Message("assistant", (Thinking("", thought), *HISTORY[1].parts, Text("Wait.")))
    body, _ = asked(request(said, HISTORY[2]), api="responses")
    assert body["input"] == [
        thought,
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Rome"}'},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait."}]},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        {"type": "function_call_output", "call_id": "c2", "output": "Error: no such city"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}]},
    ]


def test_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The options decide, and nothing that the SDK would take from the environment."""
    for name in ("ORG_ID", "PROJECT_ID", "BASE_URL", "ADMIN_KEY"):
        monkeypatch.setenv(f"OPENAI_{name}", "http://127.0.0.1:9/from-the-environment")
    monkeypatch.setenv(
        "OPENAI_CUSTOM_HEADERS", "Authorization: from-the-environment\nX-Other: of-the-environment"
    )
    monkeypatch.setenv("LAB_KEY", "key-of-the-lab")

    async def main() -> None:
        config = OpenAIProvider.Config("m", server.url, "LAB_KEY", organization="org-1")
        async with using(OpenAIProvider(config)) as provider:
            await provider.complete(request())

    with FaultServer(Reply(200, json.dumps(ANSWERS["chat"]).encode())) as server:
        asyncio.run(main())
    headers = server.requests[0].headers
    assert headers["authorization"] == "Bearer key-of-the-lab"
    assert headers["openai-organization"] == "org-1"
    assert "openai-project" not in headers
    assert "environment" not in str(headers)


# -- answers --------------------------------------------------------------------------------------


def test_a_whole_chat_answer() -> None:
    function = {"name": "weather", "arguments": '{"city": "Rome"}'}
    message = {
        "content": None,
        "reasoning_content": "Hm.",
        "tool_calls": [{"id": "c1", "function": function}],
    }
    details = {"cached_tokens": 6, "cache_write_tokens": 2}
    usage = {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": details}
    headers = {
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    _, made = asked(request(), choice(message, "tool_calls", usage=usage, model="m-1"), headers=headers)
    assert made == Completion(
        text="",
        tool_calls=(CALL,),
        thinking=(Thinking("Hm.", {"reasoning_content": "Hm."}),),
        finish_reason="tool_calls",
        usage=Usage(10, 4, 6, 2),
        model="m-1",
        allowance=RateLimitStatus(59, 149984, 1.0, 360.0),
    )


def test_a_streamed_chat_answer_is_the_same() -> None:
    def piece(finish: str | None = None, **delta: Any) -> dict[str, Any]:
        return {"model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    def call(index: int, arguments: str, **more: Any) -> dict[str, Any]:
        function = {"arguments": arguments, **({"name": more["name"]} if more else {})}
        return piece(tool_calls=[{"index": index, "id": more.get("id"), "function": function}])

    stream = sse(
        piece(role="assistant", content=None),
        piece(reasoning_content="Let me "),
        piece(reasoning_content="see."),
        piece(content="I look."),
        call(0, '{"city":', id="c1", name="weather"),
        call(0, ' "Rome"}'),
        call(1, "", id="c2", name="weather"),
        piece("tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 4}},
    )
    sink = Pieces()
    body, made = asked(request(), stream, sink=sink)
    assert body["stream_options"] == {"include_usage": True}
    assert made == Completion(
        text="I look.",
        tool_calls=(CALL, ToolCall("c2", "weather", {})),
        thinking=(Thinking("Let me see.", {"reasoning_content": "Let me see."}),),
        finish_reason="tool_calls",
        usage=Usage(10, 4),
        model="m-1",
    )
    assert sink == ["I look."]


RESPONSE = response(
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": "e",
        "status": None,
    },
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
    {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Rome"}'},
    model="m-1",
    usage={"input_tokens": 10, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 6}},
)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_responses_answer_whole_and_streamed(streamed: bool) -> None:
    end = {"type": "response.completed", "response": RESPONSE}
    stream = sse({"type": "response.output_text.delta", "delta": "I look."}, end)
    sink = Pieces() if streamed else None
    _, made = asked(request(), stream if streamed else RESPONSE, sink=sink, api="responses")
    summary = [{"type": "summary_text", "text": "Hm."}]
    thought = {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "e"}
    assert made == Completion(
        text="I look.",
        tool_calls=(CALL,),
        thinking=(Thinking("Hm.", thought),),
        finish_reason="tool_calls",
        usage=Usage(10, 4, 6),
        model="m-1",
    )
    assert sink in (None, ["I look."])
    again, _ = asked(request(made.message()), api="responses")
    assert again["input"][0] == thought


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_refusal_is_not_shown_while_it_is_streamed(api: str) -> None:
    pieces = {
        "chat": [
            {"choices": [{"index": 0, "delta": {"refusal": "No."}}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        ],
        "responses": [
            {"type": "response.refusal.delta", "delta": "No."},
            {"type": "response.completed", "response": response(REFUSED)},
        ],
    }
    sink = Pieces()
    _, made = asked(request(), sse(*pieces[api]), sink=sink, api=api)
    assert (made.finish_reason, made.text, sink) == ("refusal", "No.", [])


def test_items_that_only_their_own_events_tell() -> None:
    items = [{"type": "response.output_item.done", "item": item} for item in RESPONSE["output"]]
    end = {"type": "response.completed", "response": {**RESPONSE, "output": []}}
    _, made = asked(request(), sse(*items, end), sink=Pieces(), api="responses")
    assert (made.text, made.tool_calls, made.usage) == ("I look.", (CALL,), Usage(10, 4, 6))


CUT = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
FILTERED = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
REFUSED = {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}


@pytest.mark.parametrize(
    "api, answer, finish, text",
    [
        ("chat", choice({"content": "Hm"}, "length"), "length", "Hm"),
        ("chat", choice({"content": ""}, "content_filter"), "content_filter", ""),
        ("chat", choice({"content": None, "refusal": "No."}), "refusal", "No."),
        ("chat", choice({"content": "Hm"}, "eos"), "stop", "Hm"),
        ("chat", choice({"content": "Hm"}, "weather"), "other", "Hm"),
        ("chat", choice(None, "content_filter"), "content_filter", ""),
        ("responses", response(status="incomplete"), "other", ""),
        ("responses", response(**CUT), "length", ""),
        ("responses", response(**FILTERED), "content_filter", ""),
        ("responses", response(REFUSED), "refusal", "No."),
        ("responses", response(usage={"output_tokens": 32}), "length", ""),
        ("responses", response(usage={"output_tokens": 31}), "stop", ""),
    ],
)
def test_how_answers_end(api: str, answer: dict[str, Any], finish: str, text: str) -> None:
    _, made = asked(request(sampling=Sampling(max_tokens=32)), answer, api=api)
    assert (made.finish_reason, made.text) == (finish, text)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [("No.", "No."), (True, "Well."), ({"message": "No."}, "No."), ({"reason": "No."}, "No.")],
)
def test_a_refusal_that_is_no_text(refusal: Any, words: str) -> None:
    message = {"type": "message", "content": [{"refusal": refusal}, {"text": "Well."}]}
    answers = {"chat": choice({"content": "Well.", "refusal": refusal}), "responses": response(message)}
    for api, answer in answers.items():
        made = read_raw(asked(request(), answer, api=api)[1], AnswerPolicy(), structured=False)
        assert (made.finish_reason, made.text) == ("refusal", words)


@pytest.mark.parametrize(
    ("api", "answer"),
    [
        ("chat", choice({"content": "I think the"}, "abort")),
        ("chat", choice({"content": "I think the"}, "insufficient_system_resource")),
        ("responses", response(status="cancelled")),
    ],
)
def test_an_answer_that_the_server_broke_off_is_tried_again(api: str, answer: dict[str, Any]) -> None:
    with pytest.raises(Overloaded, match="broke the answer off") as caught:
        asked(request(), {**answer, "usage": {"prompt_tokens": 7, "input_tokens": 7}}, api=api)
    assert caught.value.usage is not None
    assert caught.value.usage.input_tokens == 7


@pytest.mark.parametrize("arguments", ['{"city": "Ro', "[1]", '"Rome"'])
def test_arguments_that_are_no_object(arguments: str) -> None:
    message = {"content": None, "tool_calls": [{"function": {"name": "weather", "arguments": arguments}}]}
    _, made = asked(request(), choice(message, "length"))
    assert made.tool_calls[0].arguments == arguments, "the kernel tells the model"


@pytest.mark.usefixtures("own")
def test_nulls_of_strict_mode_are_left_out_again() -> None:
    function = {"name": "weather", "arguments": '{"city": "Rome", "day": null}'}
    message = {"content": '{"word": null}', "tool_calls": [{"id": "c1", "function": function}]}
    _, made = asked(request(schema=SCHEMA, tools=(WEATHER,)), choice(message))
    assert (made.text, made.tool_calls) == ("{}", (CALL,))


def test_a_server_that_does_not_stream() -> None:
    _, made = asked(request(), choice({"content": "Hm."}), sink=Pieces())
    assert made.text == "Hm."
    with pytest.raises(RateLimited, match="Wait"):
        asked(request(), {"error": {"message": "Wait", "code": 429}}, sink=Pieces())


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_stream_without_an_end(api: str) -> None:
    begun = {"type": "response.created", "choices": [{"index": 0, "delta": {"content": "Well"}}]}
    with pytest.raises(Overloaded, match="ended too early"):
        asked(request(), sse(begun), sink=Pieces(), api=api)


@pytest.mark.parametrize("end", [b"", b"data: [DONE]\n\n"])
def test_an_error_without_a_name_for_it_is_an_error(end: bytes) -> None:
    bare = {"object": "error", "message": "The engine died.", "type": "InternalServerError", "code": 500}
    begun = {"choices": [{"index": 0, "delta": {"content": "Well"}}]}
    with pytest.raises(Overloaded, match="The engine died"):
        asked(request(), sse(begun, bare).replace(b"data: [DONE]\n\n", b"") + end, sink=Pieces())
    with pytest.raises(Overloaded, match="The engine died"):
        asked(request(), bare)


def test_a_stream_of_whole_messages_and_of_other_answers() -> None:
    whole = {"choices": [{"index": 0, "message": {"content": "Hm."}, "finish_reason": "stop"}]}
    other = {"choices": [{"index": 1, "delta": {"content": "No."}, "finish_reason": "length"}]}
    piece = {"choices": [{"index": 0, "delta": {"content": "Hm."}}]}
    for stream in (sse(whole, other), sse(piece, whole, other)):
        _, made = asked(request(), stream, sink=Pieces())
        assert (made.text, made.finish_reason) == ("Hm.", "stop")


# -- tools, with the real model -------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_tools() -> Iterator[str]:
    """SmolLM2 with a chat template that has a place for tools (which it has not learned)."""
    with model_server(template=TOOLS_TEMPLATE) as url:
        yield f"{url}/v1"


def shots(*cities: str) -> tuple[Message, ...]:
    """A history in which the tool was called for each of these, and a question about another."""
    history: list[Message] = []
    for number, city in enumerate(cities):
        history += [
            Message.user(f"What is the weather in {city}?"),
            Message("assistant", (ToolCall(f"c{number}", "weather", {"city": city}),)),
            Message("tool", (ToolResult(f"c{number}", "sunny"),)),
            Message.assistant(f"It is sunny in {city}."),
        ]
    return (*history, Message.user("What is the weather in Paris?"))


def run(url: str, wanted: Request, sink: Pieces | None = None, **options: Any) -> Completion:
    async def main() -> Completion:
        async with using(OpenAIProvider(OpenAIProvider.Config("smollm2", url, **options))) as provider:
            return await provider.complete(wanted, sink)

    return asyncio.run(main())


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_the_model_calls_a_tool(with_tools: str, api: str, streamed: bool) -> None:
    wanted = request(
        *shots("Rome", "Oslo", "Lima"), tools=(WEATHER,), sampling=Sampling(temperature=0, max_tokens=60)
    )
    made = run(with_tools, wanted, Pieces() if streamed else None, api=api)
    assert [(call.name, call.arguments) for call in made.tool_calls] == [("weather", {"city": "Paris"})]
    assert made.finish_reason == "tool_calls"


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_llama_cpp_passes_over_tools_that_the_template_leaves_out(api: str) -> None:
    """As the README says. When this fails, the option `tools: false` is needed no more."""
    with model_server() as url:
        one, other = (
            run(f"{url}/v1", request(tools=tools, sampling=Sampling(max_tokens=4)), api=api)
            for tools in ((), (WEATHER,))
        )
    assert one.usage.input_tokens == other.usage.input_tokens


@pytest.mark.parametrize(
    ("stream", "used"),
    [
        (b'data: {"choices": [{"index": 0, "delta": {"content": "Nine"}}]}\n\n', Usage()),
        (b'data: {"error": {"message": "busy", "code": 503}}\n\n', None),
        (b"", None),
    ],
)
def test_what_a_broken_stream_used_is_for_the_kernel_to_estimate(stream: bytes, used: Usage | None) -> None:
    with pytest.raises(Overloaded) as caught:
        asked(request(), stream, sink=Pieces())
    assert caught.value.usage == used


def test_what_an_answer_without_a_choice_used_is_for_the_kernel_to_estimate() -> None:
    for answer, used in (({"choices": []}, Usage()), ({"error": {"message": "busy", "code": 503}}, None)):
        with pytest.raises(Overloaded) as caught:
            asked(request(), answer)
        assert caught.value.usage == used


# -- what servers do in their own way ----------------------------------------------------------------


def test_an_old_call_of_a_function_is_a_tool_call() -> None:
    called = {"name": "weather", "arguments": '{"city": "Rome"}'}
    _, whole = asked(request(tools=(WEATHER,)), choice({"function_call": called}, "function_call"))
    pieces = [{"name": "weather", "arguments": ""}, {"arguments": '{"city": '}, {"arguments": '"Rome"}'}]
    deltas = [{"choices": [{"delta": {"function_call": piece}}]} for piece in pieces]
    end = {"choices": [{"delta": {}, "finish_reason": "function_call"}]}
    _, streamed = asked(request(tools=(WEATHER,)), sse(*deltas, end), sink=Pieces())
    for made in (whole, streamed):
        assert [(one.name, one.arguments) for one in made.tool_calls] == [("weather", {"city": "Rome"})]
        assert made.finish_reason == "tool_calls"


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "reasoning_text", "thinking"])
def test_thoughts_in_the_fields_of_servers(key: str) -> None:
    _, made = asked(request(), choice({"content": "Hm.", key: "hide"}))
    assert (made.text, made.thinking) == ("Hm.", (Thinking("hide", {key: "hide"}),))


def test_thoughts_in_the_details_of_a_router() -> None:
    details = [{"type": "reasoning.text", "text": "hide", "index": 0}]
    _, made = asked(request(), choice({"content": "Hm.", "reasoning": None, "reasoning_details": details}))
    assert (made.text, made.thinking[0].data) == ("Hm.", {"reasoning_details": details})
    chunks = [{"choices": [{"delta": {"reasoning_details": details}}]}]
    chunks.append({"choices": [{"delta": {"content": "Hm."}, "finish_reason": "stop"}]})
    _, streamed = asked(request(), sse(*chunks), sink=Pieces())
    assert streamed.thinking == made.thinking


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (
            {"prompt_tokens": 50, "completion_tokens": 10, "prompt_cache_hit_tokens": 40},
            Usage(50, 10, cached_tokens=40),
        ),
        (
            {"prompt_tokens": 50, "completion_tokens": 10, "cached_tokens": 40},
            Usage(50, 10, cached_tokens=40),
        ),
        ({"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 900}, Usage(50, 850)),
        ({"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60}, Usage(50, 10)),
        ({"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": "many"}, Usage(50, 10)),
        ({"total_tokens": 900}, Usage()),
    ],
    ids=["DeepSeek", "Moonshot", "Gemini", "OpenAI", "odd", "total alone"],
)
def test_usage_in_the_words_of_servers(usage: dict[str, Any], counted: Usage) -> None:
    _, made = asked(request(), choice({"content": "Hm."}, usage=usage))
    assert made.usage == counted


@pytest.mark.parametrize(
    "end",
    [
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": "USAGE"}},
        {"choices": [{"delta": {}, "finish_reason": "stop", "usage": "USAGE"}]},
    ],
    ids=["Groq", "Moonshot"],
)
def test_usage_in_other_places_of_a_stream(end: dict[str, Any]) -> None:
    usage = {"prompt_tokens": 50, "completion_tokens": 10}
    end = json.loads(json.dumps(end).replace('"USAGE"', json.dumps(usage)))
    _, made = asked(request(), sse({"choices": [{"delta": {"content": "Hm."}}]}, end), sink=Pieces())
    assert made.usage == Usage(50, 10)


def test_an_answer_at_its_limit_that_ends_for_no_reason_was_cut_off() -> None:
    answer = choice({"content": "Hm."}, usage={"prompt_tokens": 50, "completion_tokens": 32})
    answer["choices"][0]["finish_reason"] = None
    assert asked(request(sampling=SAMPLING), answer)[1].finish_reason == "length"
    assert asked(request(sampling=Sampling(max_tokens=33)), answer)[1].finish_reason == "stop"


def test_a_refusal_that_a_router_takes_for_an_end() -> None:
    answer = choice({"content": "Well"})
    answer["choices"][0]["native_finish_reason"] = "refusal"
    assert asked(request(), answer)[1].finish_reason == "refusal"
    answer["choices"][0]["native_finish_reason"] = "end_turn"
    assert asked(request(), answer)[1].finish_reason == "stop"
    chunk = {
        "choices": [{"delta": {"content": "Well"}, "finish_reason": "stop", "native_finish_reason": "SAFETY"}]
    }
    assert asked(request(), sse(chunk), sink=Pieces())[1].finish_reason == "content_filter"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, {"code": 403, "message": 'It requires moderation. Your input was flagged for "violence".'}),
        (403, "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"),
        (400, {"message": "Content Exists Risk", "code": "invalid_request_error"}),
        (400, {"message": "Output data may contain something.", "code": "data_inspection_failed"}),
        (400, {"message": "The request was rejected because it was considered high risk"}),
        (400, {"message": "Rejected as a result of our safety system."}),
        (400, {"message": "It is not allowed.", "code": "content_policy_violation"}),
        (400, {"message": "系统检测到输入或生成内容可能包含不安全或敏感内容", "code": "1301"}),
    ],
    ids=["OpenRouter", "xAI", "DeepSeek", "Alibaba", "Moonshot", "OpenAI", "a router", "Zhipu"],
)
def test_a_refused_request_is_a_refusal(status: int, error: Any) -> None:
    body = json.dumps({"error": error}).encode()

    async def main(url: str) -> None:
        async with using(OpenAIProvider(OpenAIProvider.Config(model="m", base_url=url))) as provider:
            await provider.complete(request())

    with FaultServer(Reply(status, body)) as server, pytest.raises(Refused, match="change the prompt"):
        asyncio.run(main(server.url))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": "Failed.", "code": "tool_use_failed", "failed_generation": "<function=stock"}),
        (400, {"message": "Failed to generate JSON. See 'failed_generation'.", "failed_generation": "<f"}),
        (400, {"message": "Failed to generate tool_calls.", "failed_generation": "<f"}),
        (500, {"message": "Failed to parse input at pos 184: <function=stock", "code": 500}),
        (500, {"message": "The model's output does not match the expected peg-native format: <f"}),
    ],
    ids=["Groq", "Groq's JSON", "Cerebras", "llama.cpp", "llama.cpp's grammar"],
)
def test_an_answer_that_the_server_cannot_read_is_asked_again(status: int, error: Any) -> None:
    body = json.dumps({"error": error}).encode()

    async def main(url: str) -> None:
        async with using(OpenAIProvider(OpenAIProvider.Config(model="m", base_url=url))) as provider:
            await provider.complete(request())

    with (
        FaultServer(Reply(status, body)) as server,
        pytest.raises(AnswerRejected, match="<f.*cannot read") as failed,
    ):
        asyncio.run(main(server.url))
    assert failed.value.usage == Usage(), "it is for the kernel to estimate"


@pytest.mark.parametrize("streamed", [False, True])
def test_signatures_of_tool_calls_are_sent_back(streamed: bool) -> None:
    signed = {"extra_content": {"google": {"thought_signature": "s"}}}
    function = {"name": "weather", "arguments": '{"city": "Rome"}'}
    calls = [{"index": 0, "id": "c1", "function": function, **signed}]
    chunk = {"choices": [{"index": 0, "delta": {"tool_calls": calls}, "finish_reason": "tool_calls"}]}
    if streamed:
        made = asked(request(), sse(chunk), sink=Pieces())[1]
    else:
        made = asked(request(), choice({"content": None, "tool_calls": calls}))[1]
    said = Message("assistant", (*made.thinking, *made.tool_calls))
    (sent,) = asked(request(Message.user("Go."), said))[0]["messages"][1]["tool_calls"]
    assert sent["extra_content"] == signed["extra_content"]


def test_what_a_model_tells_while_it_works_is_not_its_answer() -> None:
    def said(text: str, phase: str) -> dict[str, Any]:
        return {"type": "message", "phase": phase, "content": [{"type": "output_text", "text": text}]}

    both = response(said("Let me see.", "commentary"), said("Hm.", "final_answer"))
    _, made = asked(request(), both, api="responses")
    assert (made.text, [one.text for one in made.thinking]) == ("Hm.", ["Let me see."])
    _, alone = asked(request(), response(said("Let me see.", "commentary")), api="responses")
    assert (alone.text, alone.thinking) == ("Let me see.", ())
