"""Runs with known words, whose measures can be computed by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import pyscrai_core
from pyscrai_cli.main import cli
from pyscrai_core import RunResult

Talk = Callable[..., RunResult]
Invoke = Callable[..., Result]


@pytest.fixture
def talk() -> Talk:
    """Runs a scenario in which agents say `words`: lists of texts by name, one for each round."""

    def run(words: dict[str, list[str]], *, labels: dict[str, str] | None = None, **more: Any) -> RunResult:
        scenario = {
            "scenario": "talk",
            "providers": {"default": {"use": "scripted", "replies": words}},
            "agents": {name: {"persona": "Somebody."} for name in words},
            "schedule": {"use": "round-robin", "rounds": max(map(len, words.values()))},
            **more,
        }
        Path("talk.json").write_text(json.dumps(scenario))
        return pyscrai_core.run("talk.json", labels=labels)

    return run


@pytest.fixture
def pyscrai() -> Invoke:
    """Runs `pyscrai` with arguments."""
    return lambda *arguments: CliRunner().invoke(cli, [str(one) for one in arguments], prog_name="pyscrai")
