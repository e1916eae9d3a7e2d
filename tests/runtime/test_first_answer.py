"""While an answer is paid for and not journaled yet, nothing is loaded: a kill would lose it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODEL = """
import sys

from attrs import frozen

from pyscrai_core import Completion, Provider, Usage


@frozen
class Options:
    says: str
    does: tuple[str, ...] = ()


class Model(Provider):
    Config = Options

    def __init__(self, config):
        super().__init__(config)
        self.capabilities = frozenset(config.does)

    async def complete(self, request, sink=None):
        sys.loaded_by_then = set(sys.modules)
        return Completion(self.config.says, usage=Usage(500, 5), model="m")
"""
PROGRAM = """
import sys

import pyscrai_core
from pyscrai_core import Observer


class Told(Observer):
    def on_call(self, call):
        if call.status == "answered":
            print(sorted(set(sys.modules) - sys.loaded_by_then))


result = pyscrai_core.run("scenario.json", store="runs.db", observers=[Told(None)], trust=True)
assert result.status == "completed", result.error
"""
ANSWER = '{"say": "I doubt that.", "action": "doubt"}'


@pytest.mark.parametrize(
    ("does", "says", "agent"),
    [
        ([], "Good morning.", {}),
        (["schema"], ANSWER, {"actions": {"doubt": {}}}),
        ([], ANSWER, {"actions": {"doubt": {}}}),
        ([], '{"next": {"answer": "Five coins."}}', {"tools": ["calculator"]}),
    ],
    ids=["words", "schema", "schema in the prompt", "tools in the prompt"],
)
def test_nothing_is_loaded_between_an_answer_and_its_commit(
    tmp_path: Path, does: list[str], says: str, agent: dict[str, Any]
) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    scenario = {
        "scenario": "first",
        "providers": {"default": {"use": "./model.py:Model", "says": says, "does": does}},
        "agents": {"Mara": agent},
        "schedule": {"use": "simultaneous", "rounds": 1},
    }
    (tmp_path / "scenario.json").write_text(json.dumps(scenario))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["[]"], done.stdout
