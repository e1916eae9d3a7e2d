"""The tests that every provider passes, with the real model, and with tools in its chat template."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyscrai_llamacpp.provider import LlamaCppProvider
from pyscrai_testing.providers import ProviderSuite


class TestLlamaCpp(ProviderSuite):
    def provider(self) -> LlamaCppProvider:
        return LlamaCppProvider(LlamaCppProvider.Config())


class TestExact(ProviderSuite):
    repeatable = True

    @pytest.fixture(autouse=True)
    def _weights(self, with_tools: Path) -> None:
        self.weights = str(with_tools)

    def provider(self) -> LlamaCppProvider:
        return LlamaCppProvider(LlamaCppProvider.Config(model=self.weights, exact=True))
