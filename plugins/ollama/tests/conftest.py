"""The tests ask a real model, through a server that speaks Ollama's interface."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pyscrai_ollama.provider import OllamaProvider
from pyscrai_testing.servers import model_server

#: SmolLM2's chat template, with a place for tools (the model has not learned them).
TOOLS_TEMPLATE = """\
{%- if tools %}{{- '<|im_start|>system\\n# Tools\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
{{- '\\n</tools>\\nTo call a function, answer with\\n<tool_call>\\n{"name": <name>, "arguments": <object>}' }}
{{- '\\n</tool_call><|im_end|>\\n' }}{%- endif %}
{%- for message in messages %}
{%- if message.role in ('user', 'system') %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant' }}
{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""


@pytest.fixture(scope="session")
def servers() -> ModuleType:
    """The module `ollama_server.py`, which is no package's."""
    spec = spec_from_file_location("ollama_server", Path(__file__).with_name("ollama_server.py"))
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def model() -> Iterator[str]:
    with model_server(template=TOOLS_TEMPLATE) as url:
        yield url


@pytest.fixture(scope="session")
def url(servers: ModuleType, model: str) -> Iterator[str]:
    with servers.ollama_server(upstream=model, template=TOOLS_TEMPLATE) as url:
        yield url


@pytest.fixture
def using(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`using(work, **options)`: run `work(provider)` on an open provider, in an event loop of its own."""

    def run(work: Callable[[OllamaProvider], Awaitable[Any]], **options: Any) -> Any:
        async def main() -> Any:
            base = options.pop("base_url", None) or request.getfixturevalue("url")
            provider = OllamaProvider(
                OllamaProvider.Config(**{"model": "smollm2", "base_url": base, **options})
            )
            await provider.aopen()
            try:
                return await work(provider)
            finally:
                await provider.aclose()

        return asyncio.run(main())

    return run
