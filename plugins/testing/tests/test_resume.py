"""The resume test finds what its authors must not do: state outside of a component's own attributes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyscrai_testing import check_resume

SHARED_BY_AGENTS = """
from pyscrai_core import Engine
class Counts(Engine):
    order = []
    async def run(self, turn):
        await turn.think("x")
        Counts.order.append(turn.agent.name)
        turn.say(str(Counts.order[-3:]))
        if len(Counts.order) == 6:
            Counts.order.clear()
"""
SHARED_BY_RUNS = """
from pyscrai_core import Engine, Extension, hookimpl
pyscrai_api = 1
@hookimpl
def pyscrai_engines():
    return [Extension("counts", "counts:Counts", "Counts its turns.")]
class Counts(Engine):
    seen = {}
    async def run(self, turn):
        await turn.think("x")
        self.seen[turn.agent.name] = self.seen.get(turn.agent.name, 0) + 1
        turn.say(str(self.seen[turn.agent.name]))
"""
#: The same with a memory: it shows in what is asked alone, as the replies stay the same.
SHARED_BY_MEMORIES = """
from pyscrai_core import Extension, Memory, Message, hookimpl
pyscrai_api = 1
@hookimpl
def pyscrai_memories():
    return [Extension("counts", "counts:Counts", "Counts its turns.")]
class Counts(Memory):
    seen = {}
    async def observe(self, events, turn):
        pass
    async def recall(self, turn):
        self.seen[turn.agent.name] = self.seen.get(turn.agent.name, 0) + 1
        return [Message.user(str(self.seen[turn.agent.name]))]
"""
SILENT = """
from pyscrai_core import Engine
class Counts(Engine):
    async def run(self, turn):
        turn.say("x")
"""


def scenario(folder: Path, source: str, part: str = "engine: 'counts.py:Counts'") -> Path:
    (folder / "counts.py").write_text(source)
    path = folder / "scenario.yaml"
    path.write_text(
        "scenario: counts\n"
        "providers: {default: {use: scripted, replies: [hello]}}\n"
        f"agents: {{A: {{{part}}}, B: {{{part}}}, C: {{{part}}}}}\n"
        "schedule: {use: simultaneous, rounds: 2}\n"
    )
    return path


def test_state_that_agents_share_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="another order|second run"):
        check_resume(scenario(tmp_path, SHARED_BY_AGENTS), tmp_path)


@pytest.mark.parametrize(
    ("source", "part"), [(SHARED_BY_RUNS, "engine: counts"), (SHARED_BY_MEMORIES, "memory: counts")]
)
def test_state_that_runs_share_is_found(
    source: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "counts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pyscrai]\ncounts = counts\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with pytest.raises(AssertionError, match="a second run in one process"):
        check_resume(scenario(tmp_path, source, part), tmp_path)


@pytest.mark.slow
def test_a_run_without_a_call_says_that_nothing_was_tested(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="no resume was tested"):
        check_resume(scenario(tmp_path, SILENT), tmp_path)
