"""A provider for the tests, whose servers are all on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pyscrai_anthropic.provider import AnthropicProvider


@pytest.fixture
def using() -> Callable[..., Any]:
    """`using(work, **options)`: run `work(provider)` on an open provider, in an event loop of its own."""

    def run(work: Callable[[AnthropicProvider], Awaitable[Any]], **options: Any) -> Any:
        async def main() -> Any:
            provider = AnthropicProvider(AnthropicProvider.Config(**{"model": "claude-haiku-5-5", **options}))
            await provider.aopen()
            try:
                return await work(provider)
            finally:
                await provider.aclose()

        return asyncio.run(main())

    return run
