"""The tests ask the real model. Without its weights they fail and say how to get them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyscrai_core import ConfigError
from pyscrai_llamacpp.models import find_weights
from pyscrai_llamacpp.provider import LlamaCppProvider
from pyscrai_testing.models import TOOLS_TEMPLATE, opened, with_template


@pytest.fixture(scope="session", autouse=True)
def weights() -> Path:
    try:
        return find_weights("smollm2")
    except ConfigError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def using() -> Callable[..., Any]:
    """`using(work, **options)`: run `work(provider)` on an open provider, in an event loop of its own."""

    return opened(LlamaCppProvider)


@pytest.fixture(scope="session")
def with_tools(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same model with a chat template that has a place for tools (the model has not learned them)."""
    target = tmp_path_factory.mktemp("weights") / "with-tools.gguf"
    yield with_template(weights, TOOLS_TEMPLATE, target)
    target.unlink()
