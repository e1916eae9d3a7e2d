"""Options, what models refuse, prices, errors of particular servers, probes and embeddings; the README."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from pyscrai_core import (
    AuthenticationFailed,
    ContextTooLong,
    ContractError,
    Message,
    Overloaded,
    RateLimited,
    Request,
    RequestRejected,
    Sampling,
    TimedOut,
    Usage,
)
from pyscrai_openai.plugin import pyscrai_providers
from pyscrai_openai.provider import OpenAIProvider
from pyscrai_testing.providers import using
from pyscrai_testing.servers import FaultServer, Hang, Reply, model_server

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
ALL = Sampling(temperature=0.7, top_p=0.9, max_tokens=16, stop=("###",))


def provider(**options: Any) -> OpenAIProvider:
    return OpenAIProvider(OpenAIProvider.Config(**{"model": "gpt-4.1", **options}))


# -- options --------------------------------------------------------------------------------------


def test_the_entry_module_is_light() -> None:
    heavy = "{'openai', 'httpx2', 'pyscrai_openai.provider'}"
    code = f"import sys, pyscrai_openai.plugin\nprint({heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("set()\n", "")
    module, attribute = pyscrai_providers()[0].target.split(":")
    assert getattr(import_module(module), attribute) is OpenAIProvider


@pytest.mark.parametrize(
    "options, said",
    [
        ({"model": " "}, "model: it is empty"),
        ({"embedding_model": ""}, "embedding_model: it is empty"),
        ({"extra": {"model": "x", "seed": 1, "top_k": 3}}, "extra: model, seed is set by the plugin"),
        ({"effort": "low", "extra": {"reasoning_effort": "high"}}, "extra: reasoning_effort"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        provider(**options)


def test_capabilities() -> None:
    assert provider().capabilities == {"tools", "schema", "seed", "stop", "stream"}
    assert provider(api="responses", embedding_model="e").capabilities == {
        "tools",
        "schema",
        "stream",
        "embed",
    }
    assert provider(tools=False, schema=False, seed=False).capabilities == {"stop", "stream"}


def test_a_provider_that_is_not_open() -> None:
    with pytest.raises(ContractError, match="aopen"):
        asyncio.run(provider().complete(Request((Message.user("Hi"),))))


@pytest.mark.parametrize(
    "options, refused",
    [
        ({"model": "gpt-4.1"}, set()),
        ({"model": "ft:gpt-4o-mini:lab::1"}, set()),
        ({"model": "gpt-5-chat-latest"}, set()),
        ({"model": "o4-mini"}, {"temperature", "top_p", "stop"}),
        ({"model": "gpt-5-mini"}, {"temperature", "top_p", "stop"}),
        ({"model": "gpt-5.2-pro"}, {"temperature", "top_p", "stop"}),
        ({"model": "gpt-5.4-mini-2026-03-17"}, {"stop"}),
        ({"model": "gpt-5.4", "effort": "low"}, {"temperature", "top_p", "stop"}),
        ({"model": "gpt-5.5"}, {"temperature", "top_p", "stop"}),
        ({"model": "gpt-5.5", "effort": "none"}, {"stop"}),
        (
            {"model": "gpt-6-sol", "base_url": "https://eu.api.openai.com/v1"},
            {"temperature", "top_p", "stop"},
        ),
        ({"model": "gpt-6-sol", "sampling": True}, set()),
        ({"model": "gpt-6-sol", "base_url": "https://router.example/v1"}, set()),
        (
            {"model": "m", "base_url": "https://router.example/v1", "sampling": False},
            {"temperature", "top_p", "stop"},
        ),
        ({"model": "gpt-4.1", "api": "responses"}, {"stop"}),
    ],
)
def test_what_models_refuse(options: dict[str, Any], refused: set[str]) -> None:
    assert set(provider(**options).refuses(ALL)) == refused


def test_prices() -> None:
    usage = Usage(1000, 100, cached_tokens=500)
    own = provider(model="gpt-4.1").cost(usage)
    assert own is not None
    assert 0 < own < (provider(model="gpt-4.1").cost(Usage(1000, 100)) or 0)
    assert provider(model="no-such-model").cost(usage) is None
    assert provider(model="no-such-model").cost(usage, "gpt-4.1-2025-04-14") == own
    routed = provider(model="openai/gpt-4.1", base_url="https://openrouter.ai/api/v1").cost(usage)
    assert routed is not None
    assert provider(base_url="http://127.0.0.1:8080/v1").cost(usage) is None
    assert provider(base_url="https://models.example/v1").cost(usage) is None


# -- errors, as the servers word them -------------------------------------------------------------

LONG = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."
LLAMA = "request (3031 tokens) exceeds the available context size (1024 tokens), try increasing it"
BIG = "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 34023."
TOOLS = "Function tools with reasoning_effort are not supported in /v1/chat/completions. Use /v1/responses."


def ask(url: str, **options: Any) -> None:
    async def main() -> None:
        async with using(provider(base_url=url, **options)) as opened:
            await opened.complete(Request((Message.user("Hi"),)))

    asyncio.run(main())


@pytest.mark.parametrize(
    "status, error, kind, said",
    [
        (
            400,
            {"message": "5000 tokens", "code": "context_length_exceeded"},
            ContextTooLong,
            "5000 tokens.*`window` memory",
        ),
        (400, {"message": LONG, "code": 400}, ContextTooLong, ".*4096.*larger context"),
        (
            400,
            {"message": LLAMA, "type": "exceed_context_size_error"},
            ContextTooLong,
            ".*3031.*1024.*memory",
        ),
        (404, {"message": "None such", "code": "model_not_found"}, RequestRejected, ".*`model: gpt-4.1`"),
        (404, {"message": "File Not Found"}, RequestRejected, ".*check `base_url: http://127.*/v1"),
        (
            404,
            {"detail": "The model `x` does not exist."},
            RequestRejected,
            "The model `x` does.*`model: gpt-4.1`",
        ),
        (429, {"message": "No quota", "code": "insufficient_quota"}, RequestRejected, ".*no credit"),
        (429, {"message": BIG, "code": "rate_limit_exceeded"}, RequestRejected, ".*Requested 34023"),
        (400, {"message": TOOLS}, RequestRejected, ".*`api: responses`"),
        (501, {"message": "no embeddings", "type": "not_supported_error"}, RequestRejected, "no embeddings"),
        (200, {"message": "Slow down", "code": "rate_limit_exceeded"}, RateLimited, "Slow down"),
        (
            200,
            {"message": "Provider", "code": 502, "metadata": {"raw": "down"}},
            Overloaded,
            "Provider: down",
        ),
        (200, {"message": "Bad", "type": "invalid_request_error", "code": None}, RequestRejected, "Bad"),
        (200, "Unexpected endpoint or method.", Overloaded, "Unexpected endpoint"),
    ],
)
def test_errors(status: int, error: Any, kind: type[Exception], said: str) -> None:
    with (
        FaultServer(Reply(status, json.dumps({"error": error}).encode())) as server,
        pytest.raises(kind, match=f"^openai: {said}") as caught,
    ):
        ask(server.url)
    assert type(caught.value) is kind


def test_the_key_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "key-of-the-lab")

    body = json.dumps({"error": {"message": "key-of-the-lab is wrong"}}).encode()
    with FaultServer(Reply(401, body)) as server, pytest.raises(AuthenticationFailed) as caught:
        ask(server.url, api_key="LAB_KEY")
    assert str(caught.value).startswith("openai: [LAB_KEY] is wrong; check the key in LAB_KEY")


def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyscrai_openai.provider.TIMEOUT", 0.2)

    with FaultServer(Hang()) as server, pytest.raises(TimedOut, match="did not answer in time"):
        ask(server.url)


def test_an_error_of_the_choice() -> None:
    choice = {"message": {"content": ""}, "finish_reason": "error", "error": {"code": 429, "message": "Wait"}}

    with (
        FaultServer(Reply(200, json.dumps({"choices": [choice]}).encode())) as server,
        pytest.raises(RateLimited),
    ):
        ask(server.url)


# -- embeddings and probes ------------------------------------------------------------------------


def test_embeddings() -> None:
    data = [{"index": 1, "embedding": [0.5, 1]}, {"index": 0, "embedding": [0, 0.25]}]

    async def main() -> list[list[float]]:
        async with using(provider(base_url=server.url, embedding_model="e")) as opened:
            return await opened.embed(["a", "b"])

    with FaultServer(Reply(200, json.dumps({"data": data}).encode())) as server:
        assert asyncio.run(main()) == [[0.0, 0.25], [0.5, 1.0]]
    sent = server.requests[0]
    assert sent.path == "/embeddings"
    assert json.loads(sent.body) == {"model": "e", "input": ["a", "b"], "encoding_format": "float"}
    with pytest.raises(NotImplementedError):
        asyncio.run(provider().embed(["a"]))


@pytest.mark.parametrize(
    "status, body, seen",
    [
        (200, {"data": [{"id": "gpt-4.1"}, {"id": "e"}]}, "key+ server+ model+ model+"),
        (200, {"data": [{"id": "other"}]}, "key+ server+ model- model-"),
        (200, {"data": [{"id": "other", "owned_by": "llamacpp"}]}, "key+ server+"),
        (200, {"models": []}, "key+ server+"),
        (404, {}, "key+ server+"),
        (401, {}, "key- server+"),
        (503, {}, "key+ server-"),
    ],
)
def test_probes(status: int, body: Mapping[str, Any], seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "key-of-the-lab")
    with FaultServer(Reply(status, json.dumps(body).encode())) as server:
        options = {"base_url": server.url, "embedding_model": "e", "api_key": "LAB_KEY"}
        found = asyncio.run(provider(**options).probe())
    assert " ".join(f"{probe.what}{'+' if probe.ok else '-'}" for probe in found) == seen


def test_a_probe_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (found,) = asyncio.run(provider().probe())
    assert (found.what, found.ok) == ("key", False)


# -- the README -----------------------------------------------------------------------------------


def test_the_readme_names_every_option() -> None:
    rows = re.findall(r"^\| `(\w+)`", README, re.MULTILINE)
    assert rows == [option.name for option in attrs.fields(OpenAIProvider.Config)]


def test_the_readmes_providers_are_right() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    kernels = {"use", "temperature", "max_tokens", "requests_per_minute"}
    seen = 0
    for block in blocks:
        for options in yaml.safe_load(block)["providers"].values():
            OpenAIProvider.Config(**{key: value for key, value in options.items() if key not in kernels})
            seen += 1
    assert seen >= 4


def test_the_readmes_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert "http://127.0.0.1:8080/v1" in code
    with model_server() as url:
        code = code.replace("http://127.0.0.1:8080/v1", f"{url}/v1")
        env = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()
