"""Trials whose plugins do not end: the others are run, and the command ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PARTS = """
import asyncio, time
from pyscrai_core import Engine

class Says(Engine):
    async def run(self, turn):
        turn.say("hello")

class Catches(Engine):
    async def run(self, turn):
        while True:
            try:
                await asyncio.sleep(3600)
            except BaseException:
                continue

class Blocks(Engine):
    async def run(self, turn):
        while True:
            try:
                time.sleep(0.05)
            except BaseException:
                continue
"""
CODE = """
from pyscrai_records.base import time_limit
time_limit.AGAIN, time_limit.GRACE = 0.1, 0.5
from pyscrai_cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("engine", "status", "stored"),
    [("Catches", 1, ["completed", "completed", "stopped", "stopped"]), ("Blocks", 3, ["stopped"])],
)
def test_a_trial_that_does_not_end(engine: str, status: int, stored: list[str], tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(PARTS)
    scenario = {
        "scenario": "t",
        "agents": {"A": {"engine": f"./parts.py:{engine}"}},
        "schedule": {"use": "round-robin", "rounds": 1},
        "limits": {"seconds": 0.5},
        "outcomes": {"n": "len(events)"},
    }
    experiment = {
        "experiment": "x",
        "scenario": "t.json",
        "arms": {"a": {}, "b": {"agents.A.engine": "./parts.py:Says"}},
        "replicates": 2,
        "outcomes": {"n": {"kind": "number"}},
    }
    (tmp_path / "t.json").write_text(json.dumps(scenario))
    (tmp_path / "x.json").write_text(json.dumps(experiment))

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", CODE, *arguments, "--store", "runs.db"], cwd=tmp_path,
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    done = command("experiment", "run", "x.json", "--trust")
    assert done.returncode == status, done.stderr
    assert f"engine './parts.py:{engine}'" in done.stderr
    runs = json.loads(command("runs", "--json").stdout)
    found = sorted(one["status"] for one in runs)
    # Where one blocks the event loop for good, nothing else can be run in this process.
    assert found == stored if engine == "Catches" else "stopped" in found
