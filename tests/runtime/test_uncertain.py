"""Tools that must not be called twice: killed while they act, nobody knows whether they did."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import pyscrai_core
from pyscrai_cli.main import cli
from pyscrai_core import ScenarioError, api
from pyscrai_records.store.store import Store
from pyscrai_testing.servers import FaultServer, Hang

COMMAND = [sys.executable, "-m", "pyscrai_cli.main"]
PATIENCE = 300
STORE = ".pyscrai/runs.db"

#: A tool that writes down each call, with what is journaled of it then; it dies or fails as files say.
INTENTS = "SELECT 1 FROM calls WHERE status = 'intent'"
MILL = """
import os
import signal
import sqlite3
from pathlib import Path
import attrs
from pyscrai_core import Engine, Tool, ToolFailed

STATUS = "SELECT status FROM calls WHERE kind = 'tool' AND agent = ? AND step = ?"

class Grind(Tool):
    name = "grind"
    description = "Grind sacks of corn."
    parameters = {"type": "object", "properties": {"sacks": {"type": "integer"}}, "required": ["sacks"]}
    repeatable = False

    async def call(self, arguments, turn):
        sacks = str(arguments["sacks"])
        with sqlite3.connect(".pyscrai/runs.db") as store:
            found = store.execute(STATUS, (turn.agent.name, turn.step)).fetchall()
        with open("witness", "a") as file:
            file.write(f"{sacks} {found[-1][0] if found else '-'}\\n")
        if Path("die").exists() and Path("die").read_text() == sacks:
            os.kill(os.getpid(), signal.SIGKILL)
        if Path("fail").exists() and Path("fail").read_text() == sacks:
            raise RuntimeError("the stone is broken")
        return f"{sacks} ground"

class Gentle(Grind):
    repeatable = True

class Pure(Grind):
    external = False

class Miller(Engine):
    @attrs.frozen
    class Config:
        catches: str = "failures"

    async def run(self, turn):
        caught = {"failures": ToolFailed, "all": Exception, "nothing": ()}[self.config.catches]
        try:
            turn.say(await turn.call_tool("grind", {"sacks": turn.step}))
        except caught as error:
            turn.say(f"alas: {error}")
"""


def write(tool: str = "Grind", catches: str = "failures", **options: Any) -> str:
    """Write a scenario of three steps and its code; its name."""
    Path("mill.py").write_text(MILL)
    tools = [{"use": f"./mill.py:{tool}", **options}]
    agents = {"Mara": {"engine": "./mill.py:Miller", "catches": catches, "tools": tools}}
    given = {"scenario": "mill", "agents": agents, "schedule": {"use": "round-robin", "rounds": 3}}
    Path("mill.json").write_text(json.dumps(given, indent=1))
    return "mill.json"


def kill(**given: Any) -> None:
    """Run the scenario in a process that is killed within the second call of the tool."""
    Path("die").write_text("2")
    command = [*COMMAND, "run", write(**given), "--trust"]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    Path("die").unlink()


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, prog_name="pyscrai")


def resume(*arguments: str) -> tuple[int, str, str, list[str]]:
    """Resume: the exit status, what stderr says, the run's new status, and what was said in it."""
    done = invoke("resume", *arguments)
    with Store.open(STORE) as store:
        run = store.run("last")
        said = [event.payload["text"] for event in run.events() if event.kind == "say"]
        return done.exit_code, done.stderr, run.status, said


def witness() -> list[str]:
    return Path("witness").read_text().splitlines()


def sacks() -> str:
    """Which calls were made, as one word."""
    return "".join(line[0] for line in witness())


def is_replayed() -> None:
    """The replay is identical, asks nobody and writes nothing."""

    def there() -> tuple[list[str], list[str]]:
        with sqlite3.connect(STORE) as database:
            return witness(), list(database.iterdump())

    before = there()
    replayed = invoke("replay")
    assert (replayed.exit_code, there() == before) == (0, True), replayed.stderr


def test_all_that_is_undecided_is_named_since_it_is_decided_at_once() -> None:
    Path("die").write_text("1")
    wait = f"while len(store.execute({INTENTS!r}).fetchall()) < 2: await asyncio.sleep(0.01)"
    indent = "\n" + 12 * " "
    Path("mill.py").write_text("import asyncio" + MILL.replace("os.kill", f"{wait}{indent}os.kill"))
    tools = [{"use": "./mill.py:Grind"}]
    agents = {name: {"engine": "./mill.py:Miller", "tools": tools} for name in ("Mara", "Jon")}
    given = {"scenario": "mill", "agents": agents, "schedule": {"use": "simultaneous", "rounds": 1}}
    Path("mill.json").write_text(json.dumps(given))
    command = [*COMMAND, "run", "mill.json", "--trust"]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == -signal.SIGKILL
    Path("die").unlink()
    _, told, ended, _ = resume()
    assert ended == "stopped"
    assert re.search(r'agents\.Mara, .*undecided as well.*: agents\.Jon, step 1: grind {"sacks":1}', told)


def test_by_default_the_run_stops_and_says_what_to_decide() -> None:
    kill()
    assert witness() == ["1 intent", "2 intent"]  # on disk before the tool acts
    is_replayed()
    for _ in range(2):
        status, told, ended, _ = resume()
        assert (status, ended, sacks()) == (3, "stopped", "12")
        for words in (
            "agents.Mara, step 2: ",
            "the tool grind must not be called twice",
            'its arguments were {"sacks":2}',
            "--on-uncertain retry (call it again)",
            "--on-uncertain skip (the agent is told that it failed)",
        ):
            assert words in told
        is_replayed()
    # It can be decided later. What had answered is not called again.
    assert resume("--on-uncertain", "retry") == (0, "", "completed", ["1 ground", "2 ground", "3 ground"])
    assert sacks() == "1223"
    is_replayed()


def test_skip_tells_the_agent_that_it_failed() -> None:
    kill()
    assert api.resume(on_uncertain="skip").status == "completed"
    assert sacks() == "123"
    with Store.open(STORE) as store:
        said = [event.payload["text"] for event in store.run("last").events() if event.kind == "say"]
    assert said[1].endswith("and its answer is not known; it was not called again")
    is_replayed()


@pytest.mark.parametrize(("arguments", "second"), [((), "alas: "), (("--on-uncertain", "retry"), "2 ground")])
def test_the_scenario_decides_for_its_tool_and_a_person_otherwise(arguments: Any, second: str) -> None:
    kill(on_uncertain="skip")
    status, _, _, said = resume(*arguments)
    assert (status, said[1].startswith(second)) == (0, True)


def test_what_may_be_repeated_is_simply_called_again() -> None:
    kill(tool="Gentle")
    assert resume()[0] == 0
    assert witness() == ["1 -", "2 -", "2 -", "3 -"]
    is_replayed()


@pytest.mark.parametrize(
    ("choice", "status", "called"), [("stop", 3, "12"), ("retry", 0, "1223"), ("skip", 1, "12")]
)
def test_a_failure_that_ended_the_run_is_uncertain_too(choice: str, status: int, called: str) -> None:
    Path("fail").write_text("2")
    assert pyscrai_core.run(write(catches="nothing"), trust=True).status == "failed"
    is_replayed()
    Path("fail").unlink()
    ended, told, _, _ = resume("--on-uncertain", choice)
    assert (ended, sacks()) == (status, called)
    if choice != "retry":
        assert "failed: tool grind: RuntimeError: the stone is broken; " in told
    is_replayed()


def test_a_failure_that_the_agent_was_told_is_over() -> None:
    Path("fail").write_text("2")
    assert pyscrai_core.run(write(), trust=True, set={"limits.steps": 2}).status == "stopped"
    Path("fail").unlink()
    assert api.resume(set={"limits.steps": 9}).status == "completed"
    assert sacks() == "123"
    is_replayed()


def test_an_engine_that_catches_everything_cannot_pass_over_it() -> None:
    kill(catches="all")
    status, told, ended, _ = resume()
    assert (status, ended, sacks()) == (3, "stopped", "12")
    assert "must not be called twice" in told
    is_replayed()


def test_a_pure_tool_has_no_intent() -> None:
    kill(tool="Pure")
    assert resume()[0] == 0
    assert witness() == ["1 -", "2 -", "1 -", "2 -", "3 -"]
    with sqlite3.connect(STORE) as database:
        assert database.execute("SELECT count(*) FROM calls").fetchone() == (0,)


def test_a_wrong_choice_is_an_error_with_its_line() -> None:
    name = write(on_uncertain="again")
    line = Path(name).read_text().split("on_uncertain")[0].count("\n") + 1
    with pytest.raises(ScenarioError, match=rf"mill.json:{line}:.*on_uncertain.*retry.*skip.*stop"):
        pyscrai_core.run(name, trust=True)
    assert not Path(STORE).exists()
    assert invoke("resume", "--on-uncertain", "again").exit_code == 2


# -- the plugins' tools ---------------------------------------------------------------------------


def write_library(tool: dict[str, Any]) -> str:
    """A scenario in which Mara calls the tool `borrow` once."""
    calls = [{"tool_calls": [{"name": "borrow", "arguments": {"title": "Faust"}}], "then": "So it is."}]
    given = {
        "scenario": "library",
        "providers": {"default": {"use": "scripted", "replies": calls}},
        "agents": {"Mara": {"persona": "A reader.", "tools": [tool]}},
        "schedule": {"use": "round-robin", "rounds": 1},
    }
    Path("library.json").write_text(json.dumps(given))
    return "library.json"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_post_is_not_sent_twice_unless_a_person_wants_it(number: signal.Signals) -> None:
    with FaultServer(Hang(), answer=lambda path, body: (200, {}, b'{"due": "Friday"}')) as server:
        tool = {"use": "http", "name": "borrow", "description": "Borrow.", "url": f"{server.url}/loans"}
        more = {"method": "POST", "private": True, "parameters": {"title": {"type": "string"}}}
        command = [*COMMAND, "run", write_library({**tool, **more}), "--trust", "--quiet"]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            assert server.hanging.wait(PATIENCE)
            process.send_signal(number)
            if number == signal.SIGINT:
                assert process.stderr is not None
                assert process.stderr.readline().startswith(b"stopping")
                process.send_signal(number)  # it does not wait for the answer
        status, told, _, _ = resume()
        assert (status, len(server.requests)) == (3, 1)
        assert "the tool borrow must not be called twice" in told
        assert '{"title":"Faust"}' in told
        assert resume("--on-uncertain", "retry") == (0, "", "completed", ["So it is."])
        assert len(server.requests) == 2


#: A server that writes down each call, and while the file `hang` is there works as long as it has a client.
LIBRARY = """
import os, time
from mcp.server.mcpserver import MCPServer

server = MCPServer("library")

@server.tool()
def borrow(title: str) -> str:
    "Borrow a book."
    with open("witness", "a") as file:
        file.write(f"{title}\\n")
    client = os.getppid()
    while os.path.exists("hang") and os.getppid() == client:
        time.sleep(0.02)
    return f"{title} is yours."

server.run("stdio")
"""


@pytest.mark.slow
def test_a_tool_of_an_mcp_server_without_hints_is_not_called_twice() -> None:
    Path("library.py").write_text(LIBRARY)
    for name in ("witness", "hang"):
        Path(name).touch()
    tool = {"use": "mcp", "command": [sys.executable, "./library.py"]}
    with subprocess.Popen([*COMMAND, "run", write_library(tool), "--trust", "--quiet"]) as process:
        while not witness():
            assert process.poll() is None
        process.kill()
    Path("hang").unlink()
    assert (resume("--trust")[0], witness()) == (3, ["Faust"])
    assert (resume("--trust", "--on-uncertain", "skip")[0], witness()) == (0, ["Faust"])
    is_replayed()
