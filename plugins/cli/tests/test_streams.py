"""Where words go: under --json stdout is the result's alone, and streams that cannot be written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "pyscrai_cli.main"]
LOUD = """
import ctypes, os
print("import")
from pyscrai_core import Engine
class Loud(Engine):
    async def run(self, turn):
        print("python")
        os.write(1, b"descriptor\\n")
        libc = ctypes.CDLL(None)
        libc.puts(b"library")
        libc.fflush(None)
        turn.say("hello")
"""
QUIET = """
from pyscrai_core import Engine
class Loud(Engine):
    async def run(self, turn):
        turn.say("hello")
"""


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("loud.py").write_text(LOUD)
    agents = {"A": {"engine": "loud.py:Loud"}}
    Path("s.json").write_text(
        json.dumps({"scenario": "x", "agents": agents, "schedule": {"use": "round-robin", "rounds": 1}})
    )
    return "s.json"


def execute(*arguments: str, **given: Any) -> Any:
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **given}
    return subprocess.run([*COMMAND, *arguments], check=False, **given)


def test_what_is_printed_does_not_reach_the_result(scenario: str) -> None:
    done = execute("run", scenario, "--trust", "--json")
    assert json.loads(done.stdout)["status"] == "completed", done.stderr
    assert {"import", "python", "descriptor", "library"} <= {*done.stderr.split("\n")}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="it needs /dev/full")
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_full_stdout_is_said_in_one_line(scenario: str, more: tuple[str, ...]) -> None:
    Path("loud.py").write_text(QUIET)
    with open("/dev/full", "w") as full:
        done = execute("run", scenario, "--trust", *more, stdout=full)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if "error" in line or "Traceback" in line]
    assert said == [
        "error: stdout: it cannot be written (No space left on device); make room, or write to another place"
    ]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="it needs /dev/full")
def test_a_full_stdout_is_said_in_one_line_of_a_log(scenario: str) -> None:
    execute("run", scenario, "--trust", "--quiet")
    for more in ((), ("--text",)):
        with open("/dev/full", "w") as full:
            done = execute("log", *more, stdout=full)
        assert "error: stdout: it cannot be written (No space left on device)" in done.stderr
        assert "bug" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="it needs /dev/full")
def test_a_full_log_file_is_said_once_and_a_closed_stdout_at_once(scenario: str) -> None:
    done = execute("run", scenario, "--trust", "--json", "--log-file", "/dev/full")
    assert (done.returncode, done.stderr.count("nothing more is logged")) == (0, 1)
    assert "Traceback" not in done.stderr
    done = execute("runs", preexec_fn=lambda: os.close(1), stdout=None)
    assert (done.returncode, done.stderr) == (
        2,
        "error: stdout: it is closed; to see nothing, write to /dev/null\n",
    )
