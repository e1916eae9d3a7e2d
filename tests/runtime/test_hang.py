"""Plugins that never end: the run's seconds and Ctrl-C end them, and what is told then is what is stored."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from loguru import logger

from pyscrai_cli import perform
from pyscrai_cli.main import cli
from pyscrai_core import BudgetSpent, Engine, PyscraiError, Schedule, Tool, Toolset, api
from pyscrai_core.runtime import components
from pyscrai_records.base import collector, time_limit

NEVER = 3600


class Runs(Engine):
    async def run(self, turn: Any) -> None:
        await asyncio.sleep(NEVER)


class Stubborn(Engine):
    async def run(self, turn: Any) -> None:
        try:
            await asyncio.sleep(NEVER)
        except asyncio.CancelledError:
            await asyncio.sleep(NEVER)


class Opens(Engine):
    async def aopen(self) -> None:
        await asyncio.sleep(NEVER)

    async def run(self, turn: Any) -> None: ...


class StubbornlyOpens(Opens):
    async def aopen(self) -> None:
        for _ in range(3):
            try:
                await asyncio.sleep(NEVER)
            except asyncio.CancelledError:
                continue
        await asyncio.sleep(NEVER)


class Closes(Engine):
    async def run(self, turn: Any) -> None:
        turn.say("hello")

    async def aclose(self) -> None:
        await asyncio.sleep(NEVER)


class Waits(Schedule):
    async def next(self, stage: Any) -> list[str]:
        await asyncio.sleep(NEVER)
        return []


class Lists(Toolset):
    async def list(self) -> list[Tool]:
        await asyncio.sleep(NEVER)
        return []


def scenario(engine: str, agents: str = "A", **more: Any) -> dict[str, Any]:
    return {
        "agents": {name: {"engine": engine, **more.pop("agent", {})} for name in agents},
        "schedule": {"use": "simultaneous", "rounds": 1},
        "limits": {"seconds": 0.2},
        **more,
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (scenario("runs"), "), in step 1 (A), has not ended"),
        (scenario("runs", "ABCDE"), "), in step 1 (A, B, C), has not ended"),
        (scenario("stubborn"), "), in step 1 (A), has not ended"),
        (
            scenario("closes", schedule="waits"),
            "), in the schedule, has not ended",
        ),
        (scenario("closes", agent={"tools": ["lists"]}), "), in the list of tools, has not ended"),
    ],
)
def test_the_seconds_of_a_run_end_what_makes_no_call(
    play: Any, monkeypatch: pytest.MonkeyPatch, given: Any, told: str
) -> None:
    monkeypatch.setattr(components, "CLOSING", 0.01)
    plugins = {"engine__runs": Runs, "engine__stubborn": Stubborn, "engine__closes": Closes}
    before = collector._inside  # other runs of this process may be left where they were
    result = play(given, **plugins, schedule__waits=Waits, tool__lists=Lists)
    assert collector._inside == before  # also where what still runs was left behind
    assert result.status == "stopped"
    assert result.error.startswith("limits.seconds: the budget of 0.2 seconds is spent, ")
    assert told in result.error
    assert "--set limits.seconds=" in result.error


@pytest.mark.parametrize("schedule", ["round-robin", "simultaneous"])
def test_the_seconds_of_a_run_end_a_call_that_was_not_sent(play: Any, schedule: str) -> None:
    given = {
        "scenario": "held",
        "providers": {"default": {"use": "scripted", "replies": ["x"], "requests_per_minute": 1}},
        "agents": {"A": {}, "B": {}},
        "schedule": {"use": schedule, "rounds": 1},
        "limits": {"seconds": 0.2},
    }
    result = play(given)
    assert result.status == "stopped"
    assert "a call that waits for provider 'default', in step" in result.error


class CancelsItself(Engine):
    async def run(self, turn: Any) -> None:
        raise asyncio.CancelledError


@pytest.mark.parametrize("schedule", ["round-robin", "simultaneous"])
def test_who_raises_a_cancellation_by_itself_is_named(play: Any, schedule: str) -> None:
    given = {
        "scenario": "odd",
        "agents": {"A": {"engine": "odd"}, "B": {"engine": "odd"}},
        "schedule": {"use": schedule, "rounds": 1},
    }
    result = play(given, engine__odd=CancelsItself)
    assert result.status == "failed"
    assert "agents.A, step 1: engine 'odd' (given) raised CancelledError" in result.error


@pytest.mark.parametrize("opens", [Opens, StubbornlyOpens])
def test_what_does_not_open_leaves_no_run(play: Any, monkeypatch: pytest.MonkeyPatch, opens: Any) -> None:
    monkeypatch.setattr(time_limit, "AGAIN", 0.01)
    with pytest.raises(BudgetSpent, match=r"limits.seconds: .*opens.* could not be opened within 0.2 s"):
        play(scenario("opens"), engine__opens=opens)


def test_what_does_not_close_is_named_and_left(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "CLOSING", 0.01)
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message}")
    try:
        assert play(scenario("closes"), engine__closes=Closes).status == "completed"
    finally:
        logger.remove(sink)
    (line,) = lines
    assert "engine 'closes' (given) could not be closed: it did not end within 0.01 seconds" in line


# -- Ctrl-C -------------------------------------------------------------------------------------

PARTS = """
import asyncio, os, signal
from pyscrai_core import Engine

class Blocks(Engine):
    async def run(self, turn):
        signal.raise_signal({0})
        if {1}:
            signal.raise_signal(signal.SIGINT)
        while True:
            pass

class Closes(Engine):
    async def run(self, turn):
        turn.say("hello")

    async def aclose(self):
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(3600)

class Catches(Engine):
    async def run(self, turn):
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass

class CatchesAtTheEnd(Catches):
    async def run(self, turn):
        turn.say("hello")

    async def aclose(self):
        await Catches.run(self, None)

class Opens(Engine):
    async def aopen(self):
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(3600)

    async def run(self, turn):
        pass

class BlocksLater(Engine):
    async def run(self, turn):
        turn.say("hello")
        if os.path.exists("later"):
            await Blocks.run(self, turn)

class CatchesLater(Engine):
    async def run(self, turn):
        turn.say("hello")
        if os.path.exists("later"):
            await Catches.run(self, turn)

class CatchesAtFirst(Catches):
    async def aopen(self):
        if not os.path.exists("opens"):
            await Catches.run(self, None)

    async def run(self, turn):
        turn.say("hello")
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a scenario with an engine of its own, and gives the command's result and the stored status."""
    monkeypatch.setattr(perform, "BLOCKED", 0.0)
    monkeypatch.setattr(perform, "PATIENCE", 0.2)
    monkeypatch.setattr(perform.Stopper, "_leave", lambda self: None)  # which ends the process

    def work(engine: str, agents: str, number: str = "signal.SIGINT", twice: bool = True) -> Any:
        (tmp_path / "parts.py").write_text(PARTS.replace("{0}", number).replace("{1}", str(twice)))
        given = {**scenario(f"parts.py:{engine}", agents), "scenario": "t", "limits": {}}
        (tmp_path / "t.yaml").write_text(json.dumps(given))
        store = tmp_path / "runs.db"
        done = CliRunner().invoke(cli, ["run", str(tmp_path / "t.yaml"), "--trust", "--store", str(store)])
        listed = CliRunner().invoke(cli, ["runs", "--json", "--store", str(store)])
        return done, [one["status"] for one in json.loads(listed.stdout)]

    return work


@pytest.mark.parametrize("agents", ["A", "AB"])
@pytest.mark.parametrize(("number", "twice"), [("signal.SIGINT", True), ("signal.SIGTERM", False)])
def test_code_that_blocks_the_loop_is_interrupted(run: Any, agents: str, number: str, twice: bool) -> None:
    before = signal.getsignal(signal.SIGINT)
    done, stored = run("Blocks", agents, number, twice)
    assert done.exit_code == 130
    assert "interrupted" in done.stdout
    assert "pyscrai resume" in done.stdout
    assert stored == ["interrupted"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_that_was_interrupted_while_it_closed_is_told_as_it_is_stored(run: Any) -> None:
    done, stored = run("Closes", "A")
    assert done.exit_code == 0
    assert "nothing was written" not in done.stderr
    assert "completed" in done.stdout
    assert stored == ["completed"]


def test_a_run_that_was_interrupted_while_it_opened_is_not_stored(run: Any) -> None:
    done, stored = run("Opens", "A")
    assert done.exit_code == 130
    assert "before the run began; nothing was written" in done.stderr
    assert stored == []


def program(code: str, store: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """What executes `code` in a process of its own, with arguments of the command, in the store's folder."""

    def execute(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments, "--trust", "--store", str(store)],
            cwd=store.parent, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    return execute


@pytest.mark.parametrize(
    ("engine", "told", "stored"),
    [
        ("Catches", "left at once; what was answered is kept: pyscrai resume", "interrupted"),
        ("CatchesAtTheEnd", "is completed", "completed"),
    ],
)
def test_a_single_sigterm_ends_what_catches_that_it_is_cancelled(
    engine: str, told: str, stored: str, tmp_path: Path
) -> None:
    """Whoever stops a service sends no second one; the run is kept."""
    (tmp_path / "parts.py").write_text(PARTS)
    given = {**scenario(f"parts.py:{engine}"), "scenario": "t", "limits": {}}
    (tmp_path / "t.yaml").write_text(json.dumps(given))
    store = tmp_path / "runs.db"
    code = (
        "import pyscrai_cli.perform as p; p.PATIENCE = p.DRAIN = 0.2; "
        "from pyscrai_cli.main import main; main()"
    )
    done = program(code, store)("run", "t.yaml")
    assert done.returncode == 130
    assert told in done.stderr
    listed = CliRunner().invoke(cli, ["runs", "--json", "--store", str(store)])
    assert [one["status"] for one in json.loads(listed.stdout)] == [stored]


@pytest.mark.parametrize("command", [["run", "t.yaml"], ["replay"], ["fork", "--at", "1"]])
def test_what_catches_that_it_is_cancelled_while_it_opens_is_left(command: list[str], tmp_path: Path) -> None:
    """Without limits, or in a replay, which has none."""
    (tmp_path / "parts.py").write_text(PARTS)
    given = {**scenario("parts.py:CatchesAtFirst"), "scenario": "t", "limits": {}}
    (tmp_path / "t.yaml").write_text(json.dumps(given))
    store = tmp_path / "runs.db"
    code = (
        "import pyscrai_cli.perform as p; p.PATIENCE = p.DRAIN = 30; "
        "import pyscrai_records.base.time_limit as t; t.AGAIN, t.GRACE = 0.1, 0.5; "
        "from pyscrai_cli.main import main; main()"
    )

    execute = program(code, store)
    (tmp_path / "opens").touch()
    assert execute("run", "t.yaml").returncode == 0
    (tmp_path / "opens").unlink()
    done = execute(*command)
    assert done.returncode == 130, done.stderr
    assert "interrupted: before the run began; nothing was written" in done.stderr
    listed = CliRunner().invoke(cli, ["runs", "--json", "--store", str(store)])
    assert [one["status"] for one in json.loads(listed.stdout)] == ["completed"]


@pytest.mark.parametrize(
    ("engine", "told"),
    [("BlocksLater", "interrupted: replay of RUN: nothing is decided"), ("CatchesLater", "left at once")],
)
def test_a_replay_that_is_left_does_not_speak_of_resuming(engine: str, told: str, tmp_path: Path) -> None:
    parts = PARTS.replace("{0}", "signal.SIGINT").replace("{1}", "True")
    (tmp_path / "parts.py").write_text(parts)
    given = {**scenario(f"parts.py:{engine}"), "scenario": "t", "limits": {}}
    (tmp_path / "t.yaml").write_text(json.dumps(given))
    store = tmp_path / "runs.db"
    code = (
        "import pyscrai_cli.perform as p; p.PATIENCE, p.BLOCKED = 0.2, 0.0; p.DRAIN = 0.2; "
        "from pyscrai_cli.main import main; main()"
    )

    execute = program(code, store)
    assert execute("run", "t.yaml").returncode == 0
    (tmp_path / "later").touch()
    done = execute("replay")
    assert done.returncode == 130, done.stderr
    listed = json.loads(CliRunner().invoke(cli, ["runs", "--json", "--store", str(store)]).stdout)
    assert [one["status"] for one in listed] == ["completed"]
    assert told.replace("RUN", listed[0]["run"]) in done.stderr
    assert "resume" not in done.stderr


class Says(Engine):
    async def run(self, turn: Any) -> None:
        turn.say("hello")


class OpensAtFirst(Says):
    opens = True

    async def aopen(self) -> None:
        if not self.opens:
            await asyncio.sleep(NEVER)


@pytest.mark.parametrize("again", ["replay", "fork", "replay of a fork"])
def test_what_does_not_open_ends_what_is_executed_again(
    again: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay has none of the run's limits, as it spends nothing."""
    monkeypatch.setattr(components, "OPENING", 0.2)
    monkeypatch.setattr(OpensAtFirst, "opens", True)
    options: Any = {"store": tmp_path / "runs.db", "classes": [Says, OpensAtFirst]}
    first = Says if again == "replay of a fork" else OpensAtFirst
    given = {
        "scenario": "t",
        "agents": {"A": {"engine": first}},
        "schedule": {"use": "round-robin", "rounds": 3},
    }
    api.run(given, store=options["store"])
    if again == "replay of a fork":
        assert api.fork(at=1, set={"agents.A.engine": OpensAtFirst}, **options).status == "completed"
    monkeypatch.setattr(OpensAtFirst, "opens", False)
    if again == "replay of a fork":
        result = api.replay(**options)
        status, told = result.status, result.error
    else:
        with pytest.raises(PyscraiError) as caught:
            api.fork(at=1, **options) if again == "fork" else api.replay(**options)
        status, told = "failed", str(caught.value)
    assert status == "failed"
    assert "OpensAtFirst' (given) could not be opened within 0.2 seconds; nothing was run" in told
