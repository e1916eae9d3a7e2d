"""Answers that other runs of the store have already: asked for once, recorded as what they are, unpaid."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

import pyscrai_core
from pyscrai_core import (
    Completion,
    Engine,
    Message,
    Overloaded,
    Provider,
    Request,
    RunResult,
    StoreError,
    Usage,
    api,
)
from pyscrai_core.calls.call import Call
from pyscrai_core.calls.reuse import Reuse
from pyscrai_core.plugins import Host
from pyscrai_records.store.store import Store

COMMAND = [sys.executable, "-m", "pyscrai_cli.main"]
PATIENCE = 300
STORE = ".pyscrai/runs.db"
FORM = {"type": "object", "properties": {"price": {"type": "integer"}}, "required": ["price"]}


class Asked(Provider):
    """Answers after a while and counts who asked; is down or hangs for agents and models that are named."""

    capabilities = frozenset({"schema", "seed"})
    asked: ClassVar[list[str]] = []
    down: ClassVar[set[str]] = set()
    hanging: ClassVar[set[str]] = set()

    @attrs.frozen
    class Config:
        model: str = "one"

    def cost(self, usage: Usage, model: str = "") -> float | None:
        return 0.5

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        agent, model = request.position.agent, self.config.model
        Asked.asked.append(f"{agent}/{request.position.step} {model}")
        await asyncio.sleep(0.02)
        if {agent, model} & Asked.down:
            raise Overloaded("down")
        while agent in Asked.hanging:
            await asyncio.sleep(0.01)
        text = '{"price": 3}' if request.schema else f"{agent} {request.seed} by {request.provider}"
        return Completion(text, model=model, usage=Usage(10, 5))

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        Asked.asked.append("embed")
        return [[float(len(text))] for text in texts]


class Thinks(Engine):
    @attrs.frozen
    class Config:
        ask: str = "what now?"

    async def run(self, turn: Any) -> None:
        turn.say((await turn.think(self.config.ask)).text)


class Prices(Engine):
    """Asks for a form and for vectors."""

    async def run(self, turn: Any) -> None:
        answer = await turn.complete(Request((Message.user("what price?"),), FORM))
        (vector,) = await turn.embed(["apples"])
        turn.say(f"{answer.parsed['price']} {vector[0]}")


@pytest.fixture
def host(host_with: Any) -> Host:
    Asked.asked, Asked.down, Asked.hanging = [], set(), set()
    return host_with(provider__asked=Asked, engine__thinks=Thinks, engine__prices=Prices)


def write(**more: Any) -> str:
    providers = {"default": {"use": "asked", "retry": {"tries": 1}}}
    agents = {name: {"engine": "thinks"} for name in "AB"}
    given = {"scenario": "talk", "providers": providers, "agents": agents, "seed": 5}
    schedule = {"use": "simultaneous", "rounds": 3}
    Path("talk.json").write_text(json.dumps({**given, "schedule": schedule, **more}))
    return "talk.json"


def run(host: Host, reuse: bool = True, set: Any = None, seed: Any = None, **more: Any) -> RunResult:
    return pyscrai_core.run(write(**more), host=host, reuse=reuse, set=set, seed=seed)


def rows(query: str) -> list[Any]:
    with sqlite3.connect(STORE) as database:
        return database.execute(query).fetchall()


def origins(result: RunResult) -> Counter[str]:
    """How many of a run's answers are whose."""
    return Counter(one for (one,) in rows(f"SELECT reused FROM calls WHERE run = '{result.run}'"))


ALL = {f"{agent}/{step} one": 1 for agent in "AB" for step in (1, 2, 3)}


# -- several at the same time ---------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 4])
def test_runs_of_one_process_ask_once(count: int, host: Host) -> None:
    name = write()

    async def together() -> list[RunResult]:
        return await asyncio.gather(*(api.arun(name, host=host, reuse=True) for _ in range(count)))

    results = asyncio.run(together())
    assert {result.status for result in results} == {"completed"}
    assert len({result.fingerprint for result in results}) == 1
    assert Counter(Asked.asked) == ALL
    assert sum(result.asked for result in results) == 6
    assert sum(result.usage.output_tokens for result in results) == 30
    assert rows("SELECT * FROM claims") == []
    for result in results:
        assert api.replay(result.run, host=host).fingerprint == result.fingerprint


#: A model in a file beside the scenario, that writes down each call, and dies as a file says.
MODEL = """
import asyncio, os, signal
from pathlib import Path
from pyscrai_core import Completion, Provider

class Model(Provider):
    async def complete(self, request, sink=None):
        place = f"{request.position.agent}/{request.position.step}"
        with open("witness", "a") as file:
            file.write(f"{place}\\n")
        if Path("die").exists() and Path("die").read_text() == place:
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(0.03)
        return Completion(f"{place} {request.seed}", model="m")
"""


def write_model() -> str:
    Path("model.py").write_text(MODEL)
    agents = {name: {"persona": "Somebody"} for name in "AB"}
    return write(providers={"default": {"use": "./model.py:Model"}}, agents=agents)


def test_runs_of_several_processes_ask_once() -> None:
    name = write_model()
    command = [*COMMAND, "run", name, "--trust", "--reuse", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]
    told = [process.communicate(timeout=PATIENCE) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, told
    results = [json.loads(out) for out, _ in told]
    assert len({result["fingerprint"] for result in results}) == 1
    asked = Path("witness").read_text().splitlines()
    assert Counter(asked) == {f"{agent}/{step}": 1 for agent in "AB" for step in (1, 2, 3)}
    assert sum(result["asked"] for result in results) == 6


def test_a_claim_whose_process_was_killed_is_taken_over() -> None:
    name = write_model()
    Path("die").write_text("A/2")
    command = [*COMMAND, "run", name, "--trust", "--reuse"]
    killed = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    Path("die").unlink()
    first = rows("SELECT id FROM runs")[0][0]
    assert first in {holder for (holder,) in rows("SELECT run FROM claims")}
    other = pyscrai_core.run(name, reuse=True, trust=True)
    assert other.status == "completed"
    assert origins(other)[first] == 2  # what the killed one had journaled
    assert other.run not in {holder for (holder,) in rows("SELECT run FROM claims")}
    before = Path("witness").read_text()
    resumed = api.resume(first)
    assert (resumed.status, resumed.fingerprint) == ("completed", other.fingerprint)
    assert Path("witness").read_text() == before  # a resume takes from the other, too


def test_a_run_that_is_stopped_gives_its_claims_up(host: Host) -> None:
    Asked.hanging = {"A"}
    name = write()

    async def together() -> RunResult:
        first = asyncio.create_task(api.arun(name, host=host, reuse=True))
        while len(Asked.asked) < 2:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(api.arun(name, host=host, reuse=True))
        await asyncio.sleep(0.2)
        assert Counter(Asked.asked) == {"A/1 one": 1, "B/1 one": 1}
        first.cancel()
        await asyncio.wait([first])
        Asked.hanging = set()
        return await second

    result = asyncio.run(asyncio.wait_for(together(), PATIENCE))
    assert result.status == "completed"
    assert Counter(Asked.asked) == {**ALL, "A/1 one": 2}


def test_an_answer_that_came_just_before_the_claim_is_seen(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(host)
    Asked.asked = []
    looks, find = Counter[str](), Reuse._find

    def late(self: Reuse, call: Call) -> bool:
        """Sees nothing at first, as one that looked an instant before the other had its answer."""
        looks[str(call.position)] += 1
        return looks[str(call.position)] > 1 and find(self, call)

    monkeypatch.setattr(Reuse, "_find", late)
    second = run(host)
    assert (second.fingerprint, Asked.asked) == (first.fingerprint, [])
    assert rows("SELECT * FROM claims") == []


# -- what is the same, and what is not ------------------------------------------------------------


def test_what_is_taken_over_is_recorded_and_costs_nothing(host: Host) -> None:
    first = run(host)
    assert (first.asked, first.cost.dollars, origins(first)) == (6, 3.0, {"": 6})
    Asked.asked = []
    second = run(host, limits={"calls": 1, "tokens": 1, "money": 0.01})
    assert (second.status, second.error, Asked.asked) == ("completed", "", [])
    assert (second.calls, second.asked, second.cost.dollars) == (6, 0, 0.0)
    assert second.usage == Usage()
    assert (second.fingerprint, origins(second)) == (first.fingerprint, {first.run: 6})
    # Through another, it is still the answer of the one that asked.
    with sqlite3.connect(STORE) as database:
        database.execute(f"UPDATE calls SET key = '' WHERE run = '{first.run}'")
    third = run(host)
    assert (origins(third), Asked.asked) == ({first.run: 6}, [])
    with Store.open(STORE) as store:
        assert [store.run(one.run).count_reused() for one in (first, second, third)] == [0, 6, 6]
        assert store.run(second.run).cost().dollars == 0


@pytest.mark.parametrize("column", ["answer", "model", "finish_reason", "cost"])
def test_an_answer_that_is_not_as_it_was_written_is_not_taken(host: Host, column: str) -> None:
    first = run(host)
    with sqlite3.connect(STORE) as database:
        database.execute(f"UPDATE calls SET {column} = replace({column}, 'o', 'a') || '1'")
    with pytest.raises(StoreError, match=f"run {first.run}: call 1 is not as it was written"):
        run(host)


def test_what_is_taken_over_counts_for_no_budget_on_resume(host: Host) -> None:
    run(host, schedule={"use": "simultaneous", "rounds": 2})
    Asked.asked = []
    stopped = run(host, limits={"calls": 1})
    assert (stopped.status, len(Asked.asked)) == ("stopped", 1)
    resumed = api.resume(set={"limits.calls": 2}, host=host)
    assert (resumed.status, resumed.asked, len(Asked.asked)) == ("completed", 1, 2)


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({"seed": 6}, 6),
        ({"set": {"providers.default.model": "two"}}, 6),
        ({"set": {"providers.default.temperature": 0.5}}, 6),
        ({"set": {"agents.A.ask": "and now?"}}, 3),
        ({"schedule": {"use": "round-robin", "rounds": 2}}, 3),  # only A's first is the same turn
        ({"set": {"providers.default.concurrency": 1}}, 0),
        ({"scenario": "another"}, 0),
    ],
)
def test_only_the_same_request_at_the_same_place_is_taken_over(
    change: dict[str, Any], asked: int, host: Host
) -> None:
    first = run(host)
    Asked.asked = []
    second = run(host, **change)
    assert (second.status, second.asked, len(Asked.asked)) == ("completed", asked, asked)
    assert origins(second)[first.run] == second.calls - asked


def test_without_a_persons_choice_nothing_is_looked_up(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    run(host)
    Asked.asked = []

    def never(*given: Any) -> None:
        raise AssertionError("it looked")

    monkeypatch.setattr(Reuse, "_find", never)
    second = run(host, reuse=False)
    assert (Counter(Asked.asked), origins(second)) == (ALL, {"": 6})


def test_failures_are_not_taken_over(host: Host) -> None:
    Asked.down = {"A"}
    agents = {"A": {"engine": "thinks", "on_error": "skip"}, "B": {"engine": "thinks"}}
    first = run(host, agents=agents)
    assert [event.kind for event in first.events].count("turn.failed") == 3
    Asked.down, Asked.asked = set(), []
    second = run(host, agents=agents)
    assert Asked.asked == ["A/1 one", "A/2 one", "A/3 one"]
    assert {event.kind for event in second.events} == {"say"}


def test_a_fallbacks_answer_is_not_that_of_the_one_asked(host: Host) -> None:
    retry = {"tries": 1}
    providers = {
        "default": {"use": "asked", "model": "one", "fallback": ["spare"], "retry": retry},
        "spare": {"use": "asked", "model": "two", "retry": retry},
    }
    Asked.down = {"one"}
    first = run(host, providers=providers)
    assert first.status == "completed"
    assert {provider for (provider,) in rows("SELECT provider FROM calls")} == {"spare"}
    Asked.down, Asked.asked = set(), []
    second = run(host, providers=providers)
    assert Counter(Asked.asked) == ALL
    Asked.asked = []
    assert (origins(run(host, providers=providers)), Asked.asked) == ({second.run: 6}, [])


def test_forms_and_vectors_are_taken_over_and_replayed_without_their_origin(
    host: Host, host_with: Any
) -> None:
    agents = {"A": {"engine": "prices"}, "B": {"engine": "thinks"}}
    first = run(host, agents=agents)
    assert (first.status, Asked.asked.count("embed")) == ("completed", 3)
    Asked.asked = []
    second = run(host, agents=agents)
    assert (second.fingerprint, second.asked, Asked.asked) == (first.fingerprint, 0, [])
    assert origins(second) == {first.run: 9}
    with sqlite3.connect(STORE) as database:
        for table, column in (("runs", "id"), ("manifests", "run"), ("events", "run"), ("calls", "run")):
            database.execute(f"DELETE FROM {table} WHERE {column} = '{first.run}'")
    replayed = api.replay(second.run, host=host_with(engine__thinks=Thinks, engine__prices=Prices))
    assert (replayed.status, replayed.fingerprint) == ("completed", first.fingerprint)
    assert (replayed.calls, Asked.asked) == (9, [])
