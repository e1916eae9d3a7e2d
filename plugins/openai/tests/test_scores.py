"""The probabilities of options from a server: llama.cpp's own, and ones that tell little."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_answers.options import Option, OptionScores
from pyscrai_core import Message, Request, RequestRejected
from pyscrai_openai.provider import OpenAIProvider
from pyscrai_testing.servers import FaultServer, model_server

OPTIONS = [Option(f'"{text}"') for text in ("tea", "coffee")]
ASK = Request(messages=(Message.user("Tea or coffee? Answer as JSON with the key answer."),))


def scores(url: str, prefix: str = '{"answer":', **options: Any) -> OptionScores:
    async def main() -> OptionScores:
        config = OpenAIProvider.Config(model="smollm2", base_url=f"{url}/v1", **options)
        provider = OpenAIProvider(config)
        await provider.aopen()
        try:
            return await provider.score(ASK, prefix, OPTIONS)
        finally:
            await provider.aclose()

    return asyncio.run(main())


def test_llama_cpps_server_tells_nearly_what_the_provider_llamacpp_does() -> None:
    llamacpp = pytest.importorskip("pyscrai_llamacpp.provider")

    async def local() -> OptionScores:
        provider = llamacpp.LlamaCppProvider(llamacpp.LlamaCppProvider.Config(slots=1))
        await provider.aopen()
        try:
            return await provider.score(ASK, '{"answer":', OPTIONS)  # type: ignore[no-any-return]
        finally:
            await provider.aclose()

    with model_server(prefill=True, slots=1) as url:
        found = scores(url, continues="llamacpp", top_logprobs=200)
        few = scores(url, continues="llamacpp", top_logprobs=5)
    known = asyncio.run(local())
    for one, other in zip(found.logprobs, known.logprobs, strict=True):
        assert abs(math.exp(one) - math.exp(other)) <= found.missing + known.missing + 0.01
    assert few.missing > found.missing
    assert found.usage.input_tokens > 10


def _told(*tokens: tuple[str, float]) -> dict[str, Any]:
    top = [{"token": token, "bytes": None, "logprob": math.log(share)} for token, share in tokens]
    content = [{**top[0], "top_logprobs": top}]
    return {
        "model": "odd", "usage": {"prompt_tokens": 30, "completion_tokens": 1},
        "choices": [
            {"message": {"content": "x"}, "finish_reason": "length", "logprobs": {"content": content}},
        ],
    }  # fmt: skip


def serve(path: str, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
    last = body["messages"][-1]
    text = last["content"] if last["role"] == "assistant" else ""
    told = _told(('"tea"', 0.5), (' "', 0.2), ("x", 0.1)) if text.endswith(":") else _told(("coffee", 0.5))
    if text.endswith("coffee"):
        told = _told(('"}', 0.9))
    return 200, {}, json.dumps(told).encode()


def test_what_a_server_does_not_tell_is_missing() -> None:
    with FaultServer(answer=serve) as server:
        found = scores(server.url, continues="vllm")
        body = json.loads(server.requests[-1].body)
    assert [math.exp(one) for one in found.logprobs] == pytest.approx([0.5, 0.2 * 0.5 * 0.9])
    assert found.off == pytest.approx(0.1)
    assert found.missing == pytest.approx(0.2 + 0.2 * 0.5 + 0.2 * 0.5 * 0.1)
    assert body["continue_final_message"] is True
    assert body["max_tokens"] == 1
    assert found.usage.output_tokens == 3


def test_a_server_that_tells_fewer_tokens_than_asked_for_is_explained() -> None:
    def serve_few(path: str, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        what = "Requested sample logprobs of 20, which is greater than max allowed: 5"
        error = {"object": "error", "message": what, "type": "BadRequestError", "code": 400}
        return 400, {}, json.dumps(error).encode()

    with (
        FaultServer(answer=serve_few) as server,
        pytest.raises(RequestRejected, match="max allowed: 5; lower the option `top_logprobs: 20`, or set"),
    ):
        scores(server.url, continues="vllm")


def test_a_run_draws_from_a_servers_probabilities(tmp_path: Path) -> None:
    with FaultServer(answer=serve) as server:
        path = tmp_path / "s.json"
        provider = {
            "use": "openai", "model": "odd", "base_url": f"{server.url}/v1", "continues": "llamacpp",
        }  # fmt: skip
        agent = {"persona": "p", "speak": False, "must_act": True, "actions": {"tea": {}, "coffee": {}}}
        path.write_text(
            json.dumps(
                {
                    "scenario": "s",
                    "providers": {"default": provider},
                    "agents": {"Mara": agent},
                    "schedule": {"use": "round-robin", "rounds": 3},
                    "outcomes": {"kinds": "[e.kind for e in events]"},
                }
            )
        )
        result = pyscrai_core.run(path, store=tmp_path / "runs.db", trust=True)
    assert result.status == "completed", result.error
    assert len(result.outcomes["kinds"]) == 3


def test_only_servers_that_continue_can_be_named() -> None:
    with pytest.raises(ValueError, match="only servers of llama.cpp and vLLM continue an answer"):
        OpenAIProvider.Config(model="gpt", continues="vllm")


@pytest.mark.parametrize("odd", ["NaN", "0.7", "null", '"-1"'])
def test_what_is_no_log_probability_is_refused(odd: str) -> None:
    def serve_odd(path: str, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        answer = json.dumps(_told(('"tea"', 0.5), ('"coffee"', 0.25)))
        return 200, {}, answer.replace(str(math.log(0.25)), odd).encode()

    with (
        FaultServer(answer=serve_odd) as server,
        pytest.raises(RequestRejected, match=r"as the log-probability of the token '\"coffee\"', expected"),
    ):
        scores(server.url)
