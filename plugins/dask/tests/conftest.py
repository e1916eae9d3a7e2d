"""An experiment whose model notes each request, and clusters on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pyscrai_cli.main import cli

#: A model that says which request it answers, and in which process; it notes each request that it gets.
COUNTING = """
import asyncio, hashlib, json, os
from pathlib import Path
from pyscrai_core import Completion, Provider, Usage

class Counting(Provider):
    async def complete(self, request, sink=None):
        text = json.dumps([message.to_dict() for message in request.messages])
        key = hashlib.sha256(f"{request.seed} {text}".encode()).hexdigest()
        with open(FOLDER + "/requests.txt", "a") as file:
            file.write(f"{os.getpid()} {key}\\n")
        if Path(FOLDER + "/die").exists():
            os._exit(1)
        while request.position.agent == "B" and Path(FOLDER + "/wait").exists():
            await asyncio.sleep(0.01)
        return Completion(key, usage=Usage(100, 20), model="counting-1")
"""
SCENARIO = """\
scenario: talk
seed: 3
providers:
  default: counting.py:Counting
agents:
  A: {persona: One., memory: none}
  B: {persona: Two.}
schedule: {use: round-robin, rounds: 2}
outcomes:
  digits: "len([e for e in events if e.payload.text[0] in '0123456'])"
  vowel: events[-1].payload.text[0] in 'abcdef'
"""
EXPERIMENT = """\
experiment: spread
scenario: talk.yaml
arms:
  plain: {}
  other: {agents.B.persona: Three.}
replicates: 12
outcomes:
  digits: {compare: {other: plain}}
  vowel: {kind: proportion}
concurrency: 4
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the experiment, which is the current one."""
    monkeypatch.chdir(tmp_path)
    Path("counting.py").write_text(f"FOLDER = {str(tmp_path)!r}\n{COUNTING}")
    Path("talk.yaml").write_text(SCENARIO)
    Path("exp.yaml").write_text(EXPERIMENT)
    return tmp_path


@pytest.fixture
def experiment() -> Callable[..., Result]:
    """Runs `pyscrai experiment` with arguments."""

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["experiment", *arguments], prog_name="pyscrai")

    return invoke


Started = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def dask() -> Iterator[Started]:
    """Starts `dask scheduler` or `dask worker`; all are killed at the end."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(
        *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *arguments]
        environment = {**os.environ, **(env or {})}
        output = subprocess.DEVNULL
        process = subprocess.Popen(command, env=environment, cwd=cwd, stdout=output, stderr=output)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def scheduler(dask: Started, tmp_path: Path) -> str:
    """The address of a scheduler without workers."""
    file = tmp_path / "scheduler.json"
    dask(
        "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
        "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file),
    )  # fmt: skip
    return str(json.loads(wait_for(lambda: file.exists() and file.read_text()))["address"])


def wait_for(condition: Callable[[], object], seconds: float = 60) -> str:
    """What a condition comes to. A bound that only a hang reaches."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return str(found)
