"""What the provider answers, with the real model."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

from pyscrai_core import (
    Completion,
    ContextTooLong,
    ContractError,
    Message,
    Request,
    RequestRejected,
    Sampling,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
)
from pyscrai_ollama.provider import OTHER_OPTIONS, OllamaProvider
from pyscrai_testing.providers import Pieces

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
Using = Callable[..., Any]
WEATHER = ToolSpec(
    "weather",
    "Tells the weather of a city",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def ask(words: str = "Tell a story about a market.", seed: int = 5, **sampling: Any) -> Request:
    return Request(
        messages=(Message.system("You are Mara, a farmer."), Message.user(words)),
        sampling=Sampling(**{"temperature": 0.7, "max_tokens": 16, **sampling}),
        seed=seed,
    )


# -- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, said",
    [
        ({"model": " "}, "model: must be a model's name"),
        ({"embedding_model": ""}, "embedding_model: must be"),
        ({"context": 0}, "context: must be a whole number, 1 or more, not 0"),
        ({"base_url": "http://localhost:70000"}, "[Pp]ort"),
        ({"base_url": "http://me:secret@localhost"}, "base_url: must be an address .*`api_key`$"),
        *(({"options": {name: 1}}, rf"options\.{name}: is set .*; remove it here") for name in OTHER_OPTIONS),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        OllamaProvider.Config(**{"model": "smollm2", **options})
    assert "secret" not in str(caught.value)


def test_the_readme_names_every_option() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE))
    assert rows == {option.name for option in attrs.fields(OllamaProvider.Config)}


@pytest.mark.slow
def test_the_readmes_example_runs(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert '"qwen3:4b"' in code
    exec(code.replace('"qwen3:4b"', f'"smollm2", base_url="{url}"'), {"__name__": "example"})
    assert capsys.readouterr().out.strip()


def test_what_is_lacking_is_no_capability() -> None:
    make = OllamaProvider.Config
    assert OllamaProvider(make(model="m")).capabilities == {"tools", "schema", "seed", "stop", "stream"}
    assert OllamaProvider(make(model="m", tools=False, schema=False)).capabilities == {
        "seed",
        "stop",
        "stream",
    }
    assert "embed" in OllamaProvider(make(model="m", embedding_model="e")).capabilities


@pytest.mark.parametrize(
    "model, base_url, cost",
    [
        ("qwen3:4b", "http://127.0.0.1:11434", 0.0),
        ("qwen3:4b", "http://localhost:1", 0.0),
        ("qwen3:4b", "http://[::1]:11434", 0.0),
        ("gpt-oss:120b-cloud", "http://127.0.0.1:11434", None),
        ("qwen3:4b", "https://ollama.com", None),
        ("qwen3:4b", "http://10.0.0.7:11434", None),
    ],
)
def test_nobody_bills_for_this_machine(model: str, base_url: str, cost: float | None) -> None:
    provider = OllamaProvider(OllamaProvider.Config(model=model, base_url=base_url))
    assert provider.cost(Usage(1000, 1000)) == cost
    assert provider.account == f"{base_url} {model}"


def test_used_before_it_was_opened() -> None:
    provider = OllamaProvider(OllamaProvider.Config(model="m"))
    with pytest.raises(ContractError, match=r"call aopen\(\) first"):
        asyncio.run(provider.complete(ask()))


# -- the wire -------------------------------------------------------------------------------------


def body(request: Request, stream: bool = False, **options: Any) -> dict[str, Any]:
    return OllamaProvider(OllamaProvider.Config(model="m", **options)).body(request, stream=stream)


def test_a_plain_request() -> None:
    assert body(Request(messages=(Message.user("Hi"),), seed=3)) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": False,
        "truncate": False,
        "shift": False,
        "options": {"seed": 3},
    }


def test_all_that_can_be_asked() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"minimum": 1}}}
    nested = {"type": "object", "properties": {"o": {"type": "object", "properties": {"n": {"minimum": 1}}}}}
    made = body(
        ask(seed=2**53 - 1, top_p=0.9, stop=("END",)).but(schema=schema, tools=(ToolSpec("t", "T", nested),)),
        stream=True,
        context=8192,
        keep_alive=-1,
        think="low",
        options={"top_k": 5},
    )
    assert made["options"] == {
        "top_k": 5,
        "seed": (2**53 - 1) % (2**31 - 1),
        "num_ctx": 8192,
        "temperature": 0.7,
        "top_p": 0.9,
        "num_predict": 16,
        "stop": ["END"],
    }
    assert made["format"] == schema
    assert made["tools"] == [{"type": "function", "function": ToolSpec("t", "T", nested).to_dict()}]
    assert (made["stream"], made["keep_alive"], made["think"]) == (True, -1, "low")
    assert body(ask(), think=False, keep_alive=0).items() >= {"think": False, "keep_alive": 0}.items()


# -- answers --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_schema_is_obeyed(using: Using) -> None:
    schema = {
        "type": "object",
        "properties": {"action": {"enum": ["say", "offer"]}, "price": {"type": "integer"}},
        "required": ["action", "price"],
        "additionalProperties": False,
    }
    request = ask(temperature=1.2, max_tokens=60).but(schema=schema)

    async def work(provider: OllamaProvider) -> list[Completion]:
        return [await provider.complete(request), await provider.complete(request, Pieces())]

    for answer in using(work):
        assert json.loads(answer.text)["action"] in ("say", "offer")
        assert answer.finish_reason == "stop"


def test_a_tool_is_called(using: Using) -> None:
    """Streamed or not."""
    history: list[Message] = []
    for number, city in enumerate(("Rome", "Oslo", "Lima"), start=1):
        history += [
            Message.user(f"What is the weather in {city}?"),
            Message("assistant", (ToolCall(f"call_{number}", "weather", {"city": city}),)),
            Message("tool", (ToolResult(f"call_{number}", "sunny"),)),
            Message.assistant(f"It is sunny in {city}."),
        ]
    request = Request(
        messages=(*history, Message.user("What is the weather in Paris?")),
        tools=(WEATHER,),
        sampling=Sampling(temperature=0, max_tokens=60),
    )

    async def work(provider: OllamaProvider) -> list[Completion]:
        return [await provider.complete(request), await provider.complete(request, Pieces())]

    for answer in using(work):
        assert [(call.name, call.arguments) for call in answer.tool_calls] == [("weather", {"city": "Paris"})]
        assert answer.finish_reason == "tool_calls"
        assert answer.text == ""


def test_cached_tokens_are_part_of_the_input(using: Using) -> None:
    async def work(provider: OllamaProvider) -> list[Usage]:
        return [
            (await provider.complete(ask("Tell me about apples. " * 9, max_tokens=2))).usage for _ in "ab"
        ]

    first, second = using(work)
    assert first.input_tokens == second.input_tokens
    assert 0 < second.cached_tokens <= second.input_tokens


def test_a_model_without_tools(servers: ModuleType, model: str, using: Using) -> None:
    with servers.ollama_server(upstream=model) as url, pytest.raises(RequestRejected, match="`tools: false`"):
        using(lambda provider: provider.complete(ask().but(tools=(WEATHER,))), base_url=url)


def test_a_model_that_does_not_think(using: Using) -> None:
    with pytest.raises(RequestRejected, match="remove `think`"):
        using(lambda provider: provider.complete(ask()), think=True)


@pytest.mark.parametrize("sink", [None, Pieces()])
def test_a_missing_model_says_the_command(using: Using, sink: Any) -> None:
    with pytest.raises(
        RequestRejected, match=r"no model 'qwen3:4b'; pull it with: ollama pull qwen3:4b, .*`model`"
    ):
        using(lambda provider: provider.complete(ask(), sink), model="qwen3:4b")


def test_vectors(using: Using) -> None:
    async def work(provider: OllamaProvider) -> Any:
        with pytest.raises(ContextTooLong, match="does not fit"):
            await provider.embed(["apple " * 600])
        return await provider.embed(["An apple.", "Two pears and a plum."]), await provider.embed([])

    vectors, nothing = using(work, embedding_model="smollm2")
    assert nothing == []
    assert len(vectors) == 2
    assert vectors[0] != vectors[1]
    assert {type(number) for vector in vectors for number in vector} == {float}


def test_no_vectors_without_a_model(using: Using) -> None:
    with pytest.raises(NotImplementedError, match="`embedding_model` is not set"):
        using(lambda provider: provider.embed(["a"]))


# -- the context ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sink", [None, Pieces()])
def test_what_is_too_long_is_refused(using: Using, sink: Any) -> None:
    said = r"3\d\d tokens, and the model's context holds 256; give the agent a `window` memory.*`context`"
    with pytest.raises(ContextTooLong, match=said):
        using(lambda provider: provider.complete(ask("word " * 300), sink), context=256)


@pytest.mark.slow
def test_an_old_server_that_cuts_is_caught(servers: ModuleType, model: str, using: Using) -> None:
    """Before 0.12.6 `truncate` was not known: the prompt was cut, and the answer an ordinary one."""
    with servers.ollama_server(upstream=model, version="0.12.5") as url:
        long = ask("word " * 300).but(messages=(*ask("word " * 300).messages, Message.user("Well?")))
        with pytest.raises(ContextTooLong, match="more than the 256 tokens .*upgrade it.*`window` memory"):
            using(lambda provider: provider.complete(long), base_url=url, context=256)
        brief = long.but(sampling=Sampling(max_tokens=2))
        with pytest.raises(ContextTooLong, match="the 250 tokens"):
            using(lambda provider: provider.complete(brief), base_url=url, context=250)
        # An answer that outgrows the context pushes the prompt out.
        schema = {"type": "array", "minItems": 90, "items": {"const": "apple"}}
        outgrows = ask("word " * 150, max_tokens=200).but(schema=schema)
        with pytest.raises(ContextTooLong, match="the 256 tokens"):
            using(lambda provider: provider.complete(outgrows), base_url=url, context=256)
        assert using(lambda provider: provider.complete(ask()), base_url=url, context=256).text


def test_an_answer_ends_with_the_context(using: Using) -> None:
    schema = {"type": "array", "minItems": 90, "items": {"const": "apple"}}
    request = ask("word " * 200, max_tokens=400).but(schema=schema)
    answer = using(lambda provider: provider.complete(request), context=256)
    assert answer.finish_reason == "length"
    assert answer.usage.input_tokens + answer.usage.output_tokens <= 256
