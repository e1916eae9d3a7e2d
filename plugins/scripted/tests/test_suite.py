"""The tests that every provider passes."""

from __future__ import annotations

import pytest

from pyscrai_scripted.config import ScriptedConfig
from pyscrai_scripted.provider import ScriptedProvider
from pyscrai_testing.providers import ProviderSuite


class TestScripted(ProviderSuite):
    obeys = frozenset()  # what is written is answered whole
    repeatable = True
    too_long = None

    def provider(self) -> ScriptedProvider:
        rule = "{'mood': 'glad', 'coins': 3} if schema else None"
        return ScriptedProvider(
            ScriptedConfig(
                rule=rule, replies=["Apples, and a few pears.", "A fine day."], odds={"glad": 0.6, "sad": 0.3}
            )
        )

    def test_config(self) -> None:
        pytest.skip("the options are described in README.md")
