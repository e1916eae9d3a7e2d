"""Plugins that catch every cancellation, or block the event loop: `limits.seconds` and the grace end them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyscrai_records.store.store import Store

PARTS = """
import asyncio, os, time
from pyscrai_core import Engine, Observer, Schedule, Tool, Toolset

class Says(Engine):
    async def run(self, turn):
        turn.say("hello")

async def catch():
    while not os.environ.get("MENDED"):
        try:
            await asyncio.sleep(3600)
        except BaseException:
            continue

def block():
    while not os.environ.get("MENDED"):
        time.sleep(1e6)

def spin():
    while not os.environ.get("MENDED"):
        pass

def catch_all():
    while not os.environ.get("MENDED"):
        try:
            time.sleep(0.05)
        except BaseException:
            continue

def leave():
    raise SystemExit(5)

async def thread():
    if not os.environ.get("MENDED"):
        await asyncio.to_thread(time.sleep, 1e6)

async def hang(how):
    work = globals()[how]()
    if work is not None:
        await work

class Hangs(Engine):
    where = how = ""

    async def aopen(self):
        await self.at("aopen")

    async def run(self, turn):
        turn.say("hello")
        await self.at("run")
        async def branch(part):
            await self.at("gather")
        await turn.gather(branch, branch)

    async def aclose(self):
        await self.at("aclose")

    async def at(self, where):
        if where == os.environ["WHERE"]:
            await hang(os.environ["HOW"])

class Thinks(Engine):
    async def run(self, turn):
        await turn.think("hello")

class Offers(Toolset):
    async def list(self):
        await hang(os.environ["HOW"])
        return []

class Waits(Schedule):
    async def next(self, stage):
        await hang(os.environ["HOW"])
        return []

class Looks(Observer):
    async def aclose(self):
        await hang(os.environ["HOW"])
"""

QUICK = """
import asyncio, sys
import pyscrai_core
from pyscrai_records.base import time_limit
from pyscrai_core.runtime import components, observers
time_limit.AGAIN, time_limit.GRACE = 0.1, 0.5
components.CLOSING = observers.PATIENCE = 0.2
"""
COMMAND = "from pyscrai_cli.main import main; main()"


def play(
    folder: Path, where: str, how: str, code: str = COMMAND, agents: str = "A", waits: bool = False
) -> Any:
    """Run a scenario whose component hangs at `where`; the ended process."""
    (folder / "parts.py").write_text(PARTS)
    part = {"engine": "./parts.py:Says" if where in ("list", "next", "observer") else "./parts.py:Hangs"}
    if where == "list":
        part["tools"] = ["./parts.py:Offers"]  # type: ignore[assignment]
    schedule = {"use": "simultaneous", "rounds": 1} if where != "next" else {"use": "./parts.py:Waits"}
    limits = {} if where in ("aclose", "observer") else {"seconds": 0.3}
    document = {
        "agents": dict.fromkeys(agents, part),
        "schedule": schedule,
        "limits": limits,
        "scenario": "t",
    }
    if waits:
        document["agents"] = {"A": {"engine": "./parts.py:Thinks"}, "B": part}
        document["providers"] = {"default": {"use": "scripted", "replies": ["x"], "latency": 300}}
    (folder / "t.yaml").write_text(json.dumps(document))
    arguments = ["run", "t.yaml", "--trust", "--json", "--store", "runs.db"]
    if where == "observer":
        arguments += ["--observe", "./parts.py:Looks"]
    return command(folder, arguments, code, WHERE=where, HOW=how)


def command(folder: Path, arguments: list[str], code: str = COMMAND, **variables: str) -> Any:
    return subprocess.run(
        [sys.executable, "-c", QUICK + code, *arguments], cwd=folder, capture_output=True, text=True,
        check=False, timeout=120, env={**os.environ, **variables},
    )  # fmt: skip


def stored(folder: Path) -> list[str]:
    if not (folder / "runs.db").exists():
        return []
    with Store.open(folder / "runs.db") as store:
        return [run.status for run in store.runs()]


@pytest.mark.parametrize(
    ("where", "agents", "how"),
    [
        *(("run", "A", how) for how in ("catch", "block", "spin", "catch_all", "thread")),
        *(("run", "AB", how) for how in ("catch", "block")),
        *(("list", "A", "catch"), ("next", "A", "block")),
    ],
)
def test_a_run_ends_and_can_be_resumed(tmp_path: Path, where: str, agents: str, how: str) -> None:
    done = play(tmp_path, where, how, agents=agents)
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert told["status"] == "stopped"
    assert told["error"].startswith("limits.seconds: the budget of 0.3 seconds is spent, and ")
    part = {
        "run": "engine './parts.py:Hangs'",
        "list": "tool './parts.py:Offers'",
        "next": "schedule './parts.p",
    }
    assert part[where] in told["error"]
    assert ("catches that it is cancelled" in told["error"]) == (how in ("catch", "catch_all"))
    assert stored(tmp_path) == ["stopped"]
    arguments = ["resume", "last", "--json", "--set", "limits.seconds=60", "--store", "runs.db"]
    again = command(tmp_path, arguments, WHERE=where, HOW=how, MENDED="1")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["status"] == "completed"
    assert stored(tmp_path) == ["completed"]


@pytest.mark.parametrize("how", ["block", "spin"])
def test_a_call_under_way_keeps_nothing_that_blocks_the_loop(tmp_path: Path, how: str) -> None:
    """It may take its time; but its answer is not heard while the loop is blocked."""
    done = play(tmp_path, "run", how, agents="AB", waits=True)
    assert done.returncode == 3, done.stderr
    assert "engine './parts.py:Hangs'" in json.loads(done.stdout)["error"]
    assert stored(tmp_path) == ["stopped"]


def test_branches_end_too(tmp_path: Path) -> None:
    done = play(tmp_path, "gather", "catch", agents="AB")
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["status"] == "stopped"


@pytest.mark.parametrize("how", ["catch", "block", "catch_all"])
def test_what_does_not_open_leaves_no_run(tmp_path: Path, how: str) -> None:
    done = play(tmp_path, "aopen", how)
    assert done.returncode == 3, done.stderr
    assert "could not be opened within 0.3 seconds; nothing was run" in done.stderr
    assert "engine './parts.py:Hangs'" in done.stderr
    assert stored(tmp_path) == []


@pytest.mark.parametrize("how", ["catch", "block", "catch_all"])
def test_what_does_not_close_is_named_and_left(tmp_path: Path, how: str) -> None:
    done = play(tmp_path, "aclose", how)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "completed"
    assert "engine './parts.py:Hangs' (the scenario's own code) could not be closed" in done.stderr
    assert stored(tmp_path) == ["completed"]


@pytest.mark.parametrize("how", ["catch", "block"])
def test_an_observer_that_does_not_close_is_left(tmp_path: Path, how: str) -> None:
    done = play(tmp_path, "observer", how)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "completed"
    assert stored(tmp_path) == ["completed"]


SCRIPT = """
result = pyscrai_core.run("t.yaml", trust=True, store="runs.db")
print(result.status, flush=True)
"""
LOOP = """
async def main():
    result = await pyscrai_core.arun("t.yaml", trust=True, store="runs.db")
    print(result.status, flush=True)

asyncio.run(main())
"""
CANCELS = """
async def main():
    async with asyncio.timeout(1):
        await pyscrai_core.arun("t.yaml", trust=True, store="runs.db", set={"limits.seconds": None})

try:
    asyncio.run(main())
except TimeoutError:
    print("interrupted", flush=True)
"""
BLOCKED = """
import os, threading, time
def end():
    time.sleep(4)
    os._exit(7)
threading.Thread(target=end, daemon=True).start()
pyscrai_core.run("t.yaml", trust=True, store="runs.db")
"""


@pytest.mark.parametrize("code", [SCRIPT, LOOP, CANCELS])
@pytest.mark.parametrize("agents", ["A", "AB"])
def test_a_program_goes_on_and_ends(tmp_path: Path, code: str, agents: str) -> None:
    done = play(tmp_path, "run", "catch", code, agents=agents)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == stored(tmp_path)
    assert done.stdout.split() == ["interrupted" if code is CANCELS else "stopped"]


INTERRUPTED = """
import os, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
time_limit.GRACE = 3

def interrupt():
    for _ in range(2):
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
try:
    pyscrai_core.run("t.yaml", trust=True, store="runs.db", set={"limits.seconds": None})
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("agents", ["A", "AB"])
def test_a_program_that_is_interrupted_twice_ends(tmp_path: Path, agents: str) -> None:
    done = play(tmp_path, "run", "catch", INTERRUPTED, agents=agents)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == stored(tmp_path) == ["interrupted"]


def test_a_program_is_told_what_blocks_it(tmp_path: Path) -> None:
    """It is its caller's to end it; the run is stored as it is told."""
    done = play(tmp_path, "run", "catch_all", BLOCKED)
    assert done.returncode == 7, done.stderr
    assert "is stopped: limits.seconds: " in done.stderr
    assert "it blocks the thread of the event loop for good" in done.stderr
    assert stored(tmp_path) == ["stopped"]


EXITS = """
import sys
async def main():
    for where in ("aopen", "run", "aclose"):
        import os
        os.environ.update(WHERE=where, HOW="leave")
        try:
            result = await pyscrai_core.arun("t.yaml", trust=True, store="runs.db")
            print(result.status, flush=True)
        except pyscrai_core.PyscraiError as error:
            print("error", flush=True)
    await asyncio.sleep(0)
    print("alive", flush=True)

asyncio.run(main())
"""


def test_a_component_that_exits_ends_nothing_but_the_run(tmp_path: Path) -> None:
    done = play(tmp_path, "aopen", "leave", EXITS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["error", "failed", "completed", "alive"]
