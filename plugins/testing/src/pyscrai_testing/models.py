"""What tests of providers share: a chat template that has a place for tools, and providers that are open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pyscrai_core import Provider

#: SmolLM2's chat template, with a place for tools (the model has not learned to use them).
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


def with_template(weights: Path, template: str, target: Path) -> Path:
    """Copy the weights of a model (GGUF) to `target`, with another chat template."""
    data = weights.read_bytes()
    start = data.index(b"tokenizer.chat_template") + len(b"tokenizer.chat_template") + 4
    length = int.from_bytes(data[start : start + 8], "little")
    new = template.strip().encode()
    # The tensors that follow are aligned to 32 bytes, so a comment makes the difference a multiple of that.
    new += b"{#" + b" " * ((length - len(new) - 4) % 32) + b"#}"
    target.write_bytes(data[:start] + len(new).to_bytes(8, "little") + new + data[start + 8 + length :])
    return target


def opened(cls: type[Provider], **defaults: Any) -> Callable[..., Any]:
    """A function that runs work on an open provider: `run(work, **options)` returns `await work(provider)`.

    The provider has the options `defaults` and `options`. Each run has an event loop of its own.
    """

    def run(work: Callable[[Any], Awaitable[Any]], **options: Any) -> Any:
        async def main() -> Any:
            provider = cls(cls.Config(**{**defaults, **options}))
            await provider.aopen()
            try:
                return await work(provider)
            finally:
                await provider.aclose()

        return asyncio.run(main())

    return run
