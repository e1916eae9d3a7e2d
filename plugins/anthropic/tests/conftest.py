"""A provider for the tests, whose servers are all on loopback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pyscrai_anthropic.provider import AnthropicProvider
from pyscrai_testing.models import opened


@pytest.fixture
def using() -> Callable[..., Any]:
    """`using(work, **options)`: run `work(provider)` on an open provider, in an event loop of its own."""

    return opened(AnthropicProvider, model="claude-haiku-5-5")
