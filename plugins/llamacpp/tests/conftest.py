"""The tests ask the real model. Without its weights they fail and say how to get them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyscrai_llamacpp.models import find_weights
from pyscrai_llamacpp.provider import LlamaCppProvider

from pyscrai_core import ConfigError


@pytest.fixture(scope="session", autouse=True)
def weights() -> Path:
    try:
        return find_weights("smollm2")
    except ConfigError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def using() -> Callable[..., Any]:
    """`using(work, **options)`: run `work(provider)` on an open provider, in an event loop of its own."""

    def run(work: Callable[[LlamaCppProvider], Awaitable[Any]], **options: Any) -> Any:
        async def main() -> Any:
            provider = LlamaCppProvider(LlamaCppProvider.Config(**options))
            await provider.aopen()
            try:
                return await work(provider)
            finally:
                await provider.aclose()

        return asyncio.run(main())

    return run


def patched(weights: Path, template: str, target: Path) -> Path:
    """A copy of the weights with another chat template."""
    data = weights.read_bytes()
    start = data.index(b"tokenizer.chat_template") + len(b"tokenizer.chat_template") + 4
    length = int.from_bytes(data[start : start + 8], "little")
    new = template.strip().encode()
    # The tensors that follow are aligned to 32 bytes, so a comment makes the difference a multiple of that.
    new += b"{#" + b" " * ((length - len(new) - 4) % 32) + b"#}"
    target.write_bytes(data[:start] + len(new).to_bytes(8, "little") + new + data[start + 8 + length :])
    return target


TOOLS_TEMPLATE = """\
{%- if tools %}{{- '<|im_start|>system\\n' }}
{%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] + '\\n\\n' }}{%- endif %}
{{- '# Tools\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
{{- '\\n</tools>\\nTo call a function, answer with\\n<tool_call>\\n{"name": <name>, "arguments": <object>}' }}
{{- '\\n</tool_call><|im_end|>\\n' }}
{%- elif messages[0]['role'] == 'system' %}
{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
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
def with_tools(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same model with a chat template that has a place for tools (the model has not learned them)."""
    target = tmp_path_factory.mktemp("weights") / "with-tools.gguf"
    yield patched(weights, TOOLS_TEMPLATE, target)
    target.unlink()
