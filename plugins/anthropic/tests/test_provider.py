"""The common tests of providers, and what llama.cpp's server does with the Messages API."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from pyscrai_anthropic.provider import AnthropicProvider
from pyscrai_core import Message, Request, Sampling, SecretName, ToolCall, ToolResult, ToolSpec, Url
from pyscrai_testing.models import TOOLS_TEMPLATE
from pyscrai_testing.providers import VendorSuite
from pyscrai_testing.servers import model_server


class TestAnthropic(VendorSuite):
    key_variable = "ANTHROPIC_API_KEY"
    path = "/v1/messages"

    def provider_at(self, url: str) -> AnthropicProvider:
        return AnthropicProvider(AnthropicProvider.Config("smollm2", Url(url), SecretName(self.key_variable)))

    def answer(self) -> bytes:
        return json.dumps(self._answer([{"type": "text", "text": "Good day."}], "end_turn")).encode()

    def stream(self) -> bytes:
        return self._stream(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Good "}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "day."}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
            {"type": "message_stop"},
        )

    def error_body(self, status: int, message: str) -> bytes:
        return json.dumps({"type": "error", "error": {"type": "api_error", "message": message}}).encode()

    def stream_error(self, message: str) -> bytes:
        return self._stream({"type": "error", "error": {"type": "overloaded_error", "message": message}})

    @staticmethod
    def _answer(content: list[dict[str, str]], stop_reason: str | None) -> dict[str, Any]:
        usage = {"input_tokens": 9, "output_tokens": 4}
        return {"model": "smollm2", "content": content, "stop_reason": stop_reason, "usage": usage}

    def _stream(self, *rest: dict[str, Any]) -> bytes:
        events = (
            {"type": "message_start", "message": self._answer([], None)},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *rest,
        )
        return "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events).encode()


WEATHER = ToolSpec(
    "weather",
    "Tells the weather of a city",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def test_a_tool_is_called(using: Callable[..., Any]) -> None:
    """With a template that has a place for tools. Earlier calls show the small model how it is done."""
    history: list[Message] = []
    for number, city in enumerate(("Rome", "Oslo", "Lima")):
        call = ToolCall(f"call_{number}", "weather", {"city": city})
        history += [
            Message.user(f"What is the weather in {city}?"),
            Message("assistant", (call,)),
            Message("tool", (ToolResult(call.id, "sunny"),)),
            Message.assistant("It is sunny."),
        ]
    request = Request(
        (*history, Message.user("What is the weather in Paris?")),
        tools=(WEATHER,),
        sampling=Sampling(temperature=0, max_tokens=60),
    )
    with model_server(template=TOOLS_TEMPLATE) as url:
        answer = using(lambda provider: provider.complete(request), base_url=url)
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("weather", {"city": "Paris"})]
    assert answer.finish_reason == "tool_calls"


@pytest.mark.slow
def test_what_llama_cpp_does_not_do(using: Callable[..., Any]) -> None:
    """Why `schema` is off for other servers, and `tools: false` is there: both are ignored in silence."""
    plain = Request((Message.user("Hello."),), sampling=Sampling(temperature=0, max_tokens=12))
    schema = {"type": "object", "properties": {"mood": {"enum": ["glad"]}}, "required": ["mood"]}

    async def work(provider: AnthropicProvider) -> Any:
        requests = (plain, plain.but(tools=(WEATHER,)), plain.but(schema=schema))
        return {(await provider.complete(request)).usage.input_tokens for request in requests}

    with model_server() as url:
        assert len(using(work, base_url=url)) == 1, "the model never hears of either"


README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_readme_names_every_option() -> None:
    assert set(re.findall(r"^\| `(\w+)`", README, re.MULTILINE)) == {
        option.name for option in attrs.fields(AnthropicProvider.Config)
    }


def test_the_readmes_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    code = README.split("```python\n")[1].split("```")[0]
    with model_server() as url:
        exec(code.replace("http://127.0.0.1:8080", url), {"asyncio": asyncio})
    assert capsys.readouterr().out.strip()
