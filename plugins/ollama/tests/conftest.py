"""The tests ask a real model, through a server that speaks Ollama's interface."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pyscrai_ollama.provider import OllamaProvider
from pyscrai_testing.models import TOOLS_TEMPLATE, opened
from pyscrai_testing.servers import model_server


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
        options["base_url"] = options.get("base_url") or request.getfixturevalue("url")
        return opened(OllamaProvider, model="smollm2")(work, **options)

    return run
