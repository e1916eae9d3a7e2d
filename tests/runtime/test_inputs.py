"""Who executes a run, and reaching into one that another process executes: pause, continue, add an event."""

from __future__ import annotations

import getpass
import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import pyscrai_core
from pyscrai_cli.main import cli
from pyscrai_core import ConfigError, Engine, Event, NoConfig, Observer, RunResult, StoreError, api
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store

COMMAND = [sys.executable, "-m", "pyscrai_cli.main"]
#: No test waits as long as this; one that would is broken.
PATIENCE = 300
STORE = ".pyscrai/runs.db"


def write(name: str = "talk.json", latency: float = 0, rounds: int = 8, **more: Any) -> str:
    """Write a scenario into the current folder; its name."""
    provider = {"use": "scripted", "choice": ["yes", "no", "perhaps"], "latency": latency}
    agents = {"Mara": {"persona": "A farmer"}, "Jon": {"persona": "A buyer"}}
    schedule = {"use": "round-robin", "rounds": rounds}
    given = {"scenario": "talk", "seed": 3, "providers": {"default": provider}, "schedule": schedule}
    Path(name).write_text(json.dumps({**given, "agents": agents, **more}))
    return name


def whole(**given: Any) -> str:
    """The fingerprint of the run that nobody disturbs."""
    return pyscrai_core.run(write("whole.json", **given), store="whole.db").fingerprint


def invoke(*arguments: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(cli, arguments, prog_name="pyscrai")


def refused(*arguments: str) -> str:
    """What the command says that must be refused, and change nothing."""
    before = dump()
    done = invoke(*arguments)
    assert (done.exit_code, dump() == before) == (2, True), done.output
    return " ".join(done.stderr.split())


def dump() -> list[str]:
    with sqlite3.connect(STORE) as database:
        return list(database.iterdump())


def look(ref: str = "last") -> RecordedRun:
    with Store.open(STORE) as store:
        return store.run(ref)


class Live:
    """The command in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen([*COMMAND, *arguments], **pipes, text=True)
        self.who = f"process {self.process.pid} on "

    def says(self, count: int) -> Live:
        """Wait until so many lines were printed."""
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline() for _ in range(count)]
        assert all(lines), f"it ended: {lines}"
        return self

    def is_paused(self) -> str:
        """Wait until the newest run is paused; its id."""
        until = time.monotonic() + PATIENCE
        while (run := look()).status != "paused":
            assert self.process.poll() is None
            assert time.monotonic() < until, run.status
            time.sleep(0.02)
        return run.id

    def ends(self, number: int = 0) -> int:
        """Send a signal, if one is given, and wait for the end; the exit status."""
        if number:
            self.process.send_signal(number)
        self.out, self.err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode


@pytest.fixture
def live() -> Iterator[Callable[..., Live]]:
    """Start the command in processes of their own, which end with the test."""
    started: list[Live] = []
    yield lambda *arguments: started.append(Live(*arguments)) or started[-1]
    for one in started:
        one.process.kill()
        one.process.communicate()


def is_whole(resumed: str, **given: Any) -> None:
    """What `resume --json` printed is the run that nobody disturbed."""
    result = json.loads(resumed)
    assert (result["status"], result["fingerprint"]) == ("completed", whole(**given))


def test_what_waits_is_shown_and_can_be_taken_back() -> None:
    stopped = pyscrai_core.run(write(limits={"steps": 3}), store=STORE)
    for word in ("one", "two"):
        assert invoke("inject", "--event", "say", "--payload", json.dumps({"text": word})).exit_code == 0
    shown = json.loads(invoke("show", "--json").stdout)
    assert [one["payload"]["text"] for one in shown["waiting"]] == ["one", "two"]
    assert re.search(r'waits +say {"text":"one"}, by ', invoke("show").stdout)
    assert f"2 events of {stopped.run} taken back" in invoke("inject", "--withdraw").stdout
    assert look().waiting() == []
    for wrong in (("inject",), ("inject", "--withdraw", "--event", "say")):
        assert "expected the kind of an event with --event, or --withdraw" in refused(*wrong)


def test_the_last_run_is_the_one_that_is_executed(live: Any) -> None:
    # What a turn said is written, at the latest, before the next turn's answer is used.
    process = live("run", write(latency=0.1, rounds=40)).says(3)
    run = look().id
    api.fork(run, at=1, set={"limits.steps": 1}, store=STORE)
    assert look().id != run
    told = json.loads(invoke("inject", "--event", "say", "--payload", '{"text": "hear"}', "--json").stdout)
    assert (told["run"], told["status"]) == (run, "running")
    assert json.loads(invoke("pause", "--json").stdout)["run"] == run
    assert process.ends(signal.SIGINT) == 130


# -- who executes a run ---------------------------------------------------------------------------


def test_a_run_that_is_executed_is_nobody_elses_and_a_killed_one_is_taken_over(live: Any) -> None:
    first = live("run", write(latency=0.1, rounds=20)).says(2)
    run = look()
    assert (run.status, run.owner and run.owner.pid) == ("running", first.process.pid)
    told = f"run {run.id}: it is executed by {first.who}.*with Ctrl-C"
    with pytest.raises(StoreError, match=told):
        api.resume(run.id, set={"limits.calls": 3})
    tried = invoke("resume", run.id)
    assert (tried.exit_code, bool(re.search(told, tried.stderr))) == (2, True)
    assert look().manifest == run.manifest
    assert first.ends(signal.SIGKILL) == -signal.SIGKILL
    assert [one["status"] for one in json.loads(invoke("runs", "--json").stdout)] == ["interrupted"]
    assert look().owner is None
    second = live("resume", "--json")
    assert second.ends() == 0
    is_whole(second.out, rounds=20)


def test_a_run_is_replayed_while_it_is_executed(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = RecordedRun.last_call

    def slow(run: RecordedRun) -> int:
        found = looked(run)
        time.sleep(0.2)  # more is recorded meanwhile
        return found

    live("run", write(latency=0.01, rounds=400)).says(2)
    monkeypatch.setattr(RecordedRun, "last_call", slow)
    replayed = invoke("replay")
    assert replayed.exit_code == 0, replayed.stderr


def test_of_two_that_resume_at_the_same_time_one_does(live: Any) -> None:
    run = pyscrai_core.run(write(latency=0.05, limits={"calls": 4})).run
    both = [live("resume", run, "--set", "limits.calls=99", "--json") for _ in range(2)]
    statuses = [one.ends() for one in both]
    assert sorted(statuses) == [0, 2], [one.err for one in both]
    winner, loser = both[statuses.index(0)], both[statuses.index(2)]
    assert json.loads(winner.out)["asked"] == 12
    is_whole(winner.out)
    # Whoever comes when the other has ended is told that; before the other wrote its name, it has none.
    assert re.search(f"executed by ({winner.who}|another process)|it is completed", loser.err)


def test_signals_lose_nothing_that_was_committed(live: Any) -> None:
    process = live("run", write(latency=0.5, rounds=3)).says(2)
    process.process.send_signal(signal.SIGINT)
    assert process.ends(signal.SIGINT) == 130
    assert "interrupted" in invoke("runs").stdout
    assert look().count_events() >= 2
    assert invoke("replay").exit_code == 0
    is_whole(invoke("resume", "--json").stdout, rounds=3)


def test_a_failed_run_whose_resume_did_not_come_so_far_is_replayed() -> None:
    faults = [{"kind": "overload", "at": [{"agent": "Jon"}], "times": -1}]
    providers = {"default": {"use": "scripted", "replies": ["a"], "faults": faults, "retry": {"tries": 1}}}
    assert pyscrai_core.run(write(providers=providers)).status == "failed"
    for limit, status in ((1, "stopped"), (9, "failed")):
        assert api.resume(set={"limits.calls": limit}).status == status
        assert invoke("replay").exit_code == 0


# -- pausing --------------------------------------------------------------------------------------


def test_a_paused_run_stands_still_and_goes_on_in_its_process(live: Any) -> None:
    process = live("run", write(latency=0.2)).says(2)
    paused = invoke("pause")
    run = process.is_paused()
    assert paused.stdout.startswith(f"{run} pauses before its next step, if one follows, in {process.who}")
    before = dump()
    assert f"--set: run {run} is paused in {process.who}" in refused("resume", "--set", "limits.calls=3")
    with pytest.raises(StoreError, match=f"executed by {process.who}"):
        api.resume(run)
    assert "paused" in invoke("runs").stdout
    assert invoke("replay").exit_code == 0
    assert dump() == before  # nothing was written meanwhile
    resumed = invoke("resume", run)
    assert (resumed.exit_code, f"{run} continues in {process.who}" in resumed.stderr) == (0, True)
    assert process.ends() == 0
    assert look().fingerprint == whole()
    assert invoke("replay").exit_code == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_paused_run_that_is_stopped_or_killed_is_resumed(number: int, status: int, live: Any) -> None:
    process = live("run", write(latency=0.2)).says(2)
    api.pause()
    run = process.is_paused()
    assert process.ends(number) == status
    with pytest.raises(StoreError, match="is not paused; it is interrupted"):
        api.proceed(run)
    is_whole(invoke("resume", "--json").stdout)


def test_what_nobody_executes_is_not_paused() -> None:
    run = pyscrai_core.run(write(limits={"calls": 4})).run
    told = f"run {run}: no process executes it, so there is nothing to pause; it is stopped"
    assert told in refused("pause")
    with pytest.raises(StoreError, match="no such run"):
        api.pause("zzz")


def test_the_clock_of_a_budget_stands_still_while_the_run_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead, clock, seen = [0.0], time.monotonic, []
    monkeypatch.setattr(time, "monotonic", lambda: clock() + ahead[0])

    class Pauses(Observer):
        def on_run(self, run: str, status: str, result: RunResult | None) -> None:
            seen.append(status)
            if status == "paused":
                ahead[0] = 1000.0
                api.proceed(run)

        def on_event(self, event: Event) -> None:
            if event.seq == 2:
                api.pause()

    result = pyscrai_core.run(write(limits={"seconds": 500}), observers=[Pauses(NoConfig())])
    assert (result.status, result.error) == ("completed", "")
    assert seen == ["running", "paused", "running", "completed"]


# -- adding events --------------------------------------------------------------------------------

NEWS = {"type": "object", "properties": {"price": {"type": "integer"}}, "required": ["price"]}
MARKET: dict[str, Any] = {
    "rounds": 4,
    "world": {"state": {"price": 3, "stock": [1]}},
    "groups": {"buyers": {"members": ["Jon"]}},
    "agents": {
        "Mara": {"persona": "A farmer", "state": {"purse": 5}},
        "Jon": {"persona": "A buyer"},
        "Crier": {"persona": "A crier", "acts": {"on": "news"}},
    },
    "events": {"news": NEWS},
    "rules": [{"on": "news", "set": {"price": "event.payload.price"}}],
    "outcomes": {"price": "state.price", "purse": "agents.Mara.purse"},
}
PRICE = {"event": "news", "payload": {"price": 9}, "author": "Ada"}


def change(path: str, value: Any, op: str = "set") -> dict[str, Any]:
    return {"event": "change", "payload": {"path": path, "op": op, "value": value}}


class Outside(Observer):
    """Adds events behind the event with a number, as another process would."""

    def __init__(self, behind: int, *events: dict[str, Any]) -> None:
        super().__init__(NoConfig())
        self._behind, self._events = behind, events

    def on_event(self, event: Event) -> None:
        if event.seq == self._behind:
            for given in self._events:
                api.inject(**given)


def added(result: RunResult) -> list[Event]:
    return [event for event in result.events if event.source == "@outside"]


def is_replayed(result: RunResult) -> None:
    assert api.replay(result.run).fingerprint == result.fingerprint
    shown = invoke("replay", result.run)
    assert shown.exit_code == 0, shown.stderr


def test_an_added_event_is_one_like_any_other() -> None:
    secret = {"event": "say", "payload": {"text": "psst, thistle"}, "audience": "Mara"}
    crowd = {"event": "say", "payload": {"text": "hello, burdock"}, "audience": ["buyers"]}
    outside = Outside(2, PRICE, secret, crowd, change("agents.Mara.purse", 2, "add"))
    result = pyscrai_core.run(write(**MARKET), observers=[outside])
    # At the beginning of the next step, in order, before the turn of that step.
    assert [(event.kind, event.seq, event.step, event.audience) for event in added(result)] == [
        ("news", 3, 3, ("*",)),
        ("say", 4, 3, ("Mara",)),
        ("say", 5, 3, ("buyers",)),
        ("change", 6, 3, ("Mara",)),
    ]
    assert (result.status, result.outcomes) == ("completed", {"price": 9, "purse": 7})
    assert [(event.step, event.cause) for event in result.events if event.source == "Crier"] == [(3, 3)]
    heard: dict[str, str] = {}
    with Store.open(STORE) as store:
        run = store.run("last")
        told = [(one["step"], one["kind"], one["author"]) for one in run.inputs()]
        for call in run.calls():
            if call["kind"] == "complete":
                texts = " ".join(message.text for message in run.messages(call["number"]))
                heard[call["agent"]] = heard.get(call["agent"], "") + texts
    me = getpass.getuser()
    assert told == [(3, "news", "Ada"), (3, "say", me), (3, "say", me), (3, "change", me)]
    for word, name in (("thistle", "Mara"), ("burdock", "Jon")):
        assert {agent for agent, texts in heard.items() if word in texts} == {name}
    is_replayed(result)


def test_what_came_while_nobody_executed_it_is_taken_in_on_resume() -> None:
    stopped = pyscrai_core.run(write(**MARKET, limits={"calls": 3}))
    told = invoke("inject", "--event", "news", "--payload", '{"price": 9}', "--author", "Ada")
    assert (told.exit_code, "next step, if one follows; it is to be resumed" in told.stdout) == (0, True)
    resumed = api.resume(set={"limits.calls": 99})
    # Step 4 had begun; nothing of it is recorded.
    assert [(event.kind, event.step) for event in added(resumed)] == [("news", 4)]
    assert resumed.events[:3] == stopped.events
    assert (resumed.status, resumed.outcomes["price"]) == ("completed", 9)
    is_replayed(resumed)


def test_events_come_into_a_run_that_is_executed_or_paused(live: Any) -> None:
    process = live("run", write(latency=0.2)).says(1)
    told = invoke("inject", "--event", "say", "--payload", '{"text": "one"}')
    assert f"next step, if one follows; executed by {process.who}" in told.stdout
    api.pause()
    process.is_paused()
    for text in ("two", "three"):
        api.inject(event="say", payload={"text": text})
    assert invoke("resume").exit_code == 0
    assert process.ends() == 0
    result = api.replay()
    one, two, three = added(result)
    assert [event.payload["text"] for event in (one, two, three)] == ["one", "two", "three"]
    assert (three.step, three.seq) == (two.step, two.seq + 1)


def test_a_change_from_outside_can_fulfil_stop_when_or_be_impossible() -> None:
    outside = Outside(3, change("stock.apples", 1), change("price", 30))
    result = pyscrai_core.run(write(**MARKET, stop_when="state.price > 20"), observers=[outside])
    assert (result.status, result.steps, result.outcomes["price"]) == ("completed", 3, 30)
    assert [event.kind for event in added(result)] == ["rejected", "change"]
    assert "'stock' holds [1], which has no keys" in added(result)[0].payload["reason"]
    is_replayed(result)


class Silent(Engine):
    """Says something without asking anybody."""

    async def run(self, turn: Any) -> None:
        turn.say(f"step {turn.step}")


@pytest.mark.parametrize("limit", [{"steps": 3}, {}])
def test_an_event_behind_the_last_step_is_in_the_run(limit: dict[str, int], host_with: Any) -> None:
    host = host_with(engine__silent=Silent)
    outside = Outside(3 if limit else 4, {"event": "note", "payload": {}, "host": host})
    name = write(rounds=4, agents={"A": {"engine": "silent"}}, limits=limit)
    ended = pyscrai_core.run(name, host=host, observers=[outside])
    assert ended.status == ("stopped" if limit else "completed")
    assert (added(ended)[0].step, len(ended.events)) == (ended.steps + 1, ended.steps + 1)
    replayed = api.replay(host=host)
    assert (replayed.status, replayed.events) == (ended.status, ended.events)
    if limit:
        resumed = api.resume(set={"limits.steps": 9}, host=host)
        assert (resumed.status, resumed.events[:4]) == ("completed", ended.events)


#: Adds an event behind the second one, and kills itself at another one.
DRIVER = """
import os, signal, sys
from pyscrai_core import NoConfig, Observer, api

class Kills(Observer):
    def on_event(self, event):
        if event.seq == 2:
            api.inject(event="news", payload={"price": 9}, author="Ada")
        if event.seq == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)

api.run("talk.json", observers=[Kills(NoConfig())])
"""


@pytest.mark.parametrize("seq", [2, 3, 4])
def test_an_event_that_was_added_before_a_kill_is_there_after_it(seq: int) -> None:
    outside = Outside(2, {**PRICE, "store": "whole.db"})
    undisturbed = pyscrai_core.run(write(**MARKET), observers=[outside], store="whole.db")
    killed = subprocess.run([sys.executable, "-c", DRIVER, str(seq)], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with Store.open(STORE) as store:  # wanted; or taken in, and perhaps not in the log yet
        assert len(store.run("last").inputs()) == int(seq > 2)
    resumed = api.resume()
    assert (resumed.status, resumed.fingerprint) == ("completed", undisturbed.fingerprint)
    is_replayed(resumed)


BAD = [
    (["zzz", "--event", "say"], r"run 'zzz': .* has no such run; `pyscrai runs` lists them"),
    (["COMPLETED", "--event", "say"], r"run \w+: it is completed, .*: pyscrai fork \w+ --at SEQ"),
    (["--event", "say", "--payload", "{text"], r"--payload '\{text': it is not JSON .*; expected an object"),
    (["--event", "say", "--payload", "[1]"], r"run \w+: say: the payload is not an object; expected such"),
    (["--event", "news"], r"run \w+: news: the payload does not fit its schema: .*price"),
    *(
        (["--event", kind], rf"'{kind}' is no kind of event that a person can add; expected letters")
        for kind in ("rejected", "tool", "turn.failed", "a b", "")
    ),
    (["--event", "change", "--payload", '{"op": "set", "value": 1}'], r'change: .*does not fit .*"path"'),
    (
        ["--event", "change", "--payload", '{"path": "a..b", "op": "set", "value": 1}'],
        r"'a..b' is not a path: expected names with dots",
    ),
    (
        ["--event", "change", "--payload", '{"path": "agents.Ada.purse", "op": "set", "value": 1}'],
        r"change: there is no state 'agents.Ada.purse'; expected KEY or agents.NAME.KEY",
    ),
    (
        ["--event", "say", "--payload", '{"text": "a"}', "--audience", "Ada"],
        r"say: the audience 'Ada' does not exist; agents and groups: Crier, Jon, Mara, buyers",
    ),
]


def test_what_cannot_be_added_is_said_and_changes_nothing() -> None:
    completed = pyscrai_core.run(write(**MARKET)).run
    pyscrai_core.run(write(**MARKET, limits={"calls": 2}))
    for arguments, words in BAD:
        told = refused("inject", *(completed if one == "COMPLETED" else one for one in arguments))
        assert re.search(words, told), told
    before = dump()
    for error, given in (
        (StoreError, {"ref": completed, "event": "say", "payload": {"text": "a"}}),
        (ConfigError, {"event": "say", "payload": {"text": {1, 2}}}),
        (ConfigError, {"event": "say", "payload": ["a"]}),
    ):
        with pytest.raises(error):
            api.inject(**given)
    assert dump() == before


# -- resuming several -----------------------------------------------------------------------------


def test_all_that_is_unfinished_or_named_is_resumed(live: Any) -> None:
    done = pyscrai_core.run(write(rounds=1)).run
    stopped = [pyscrai_core.run(write(limits={"calls": n}), seed=n).run for n in (2, 3, 4, 5)]
    process = live("run", write(latency=0.1, rounds=40)).says(1)
    api.pause()
    running = process.is_paused()
    told = "--all: it stands for every run; leave the names of runs out, or --all"
    assert told in refused("resume", "--all", done)
    assert "no such run" in refused("resume", stopped[0], "zzz")
    # One that stops again is told by the exit status; the others are resumed all the same.
    assert invoke("resume", stopped[0], stopped[1], "--set", "limits.calls=3").exit_code == 3
    named = invoke("resume", stopped[0], stopped[1], "--set", "limits.calls=99")
    assert (named.exit_code, "2 runs resumed" in named.stdout) == (0, True)
    assert [look(run).status for run in stopped] == ["completed"] * 2 + ["stopped"] * 2
    rest = invoke("resume", "--all", "--set", "limits.calls=99")
    assert (rest.exit_code, "2 runs resumed" in rest.stdout, running in rest.stdout) == (0, True, False)
    assert {look(run).status for run in stopped} == {"completed"}
    assert look(running).status == "paused"
    assert invoke("resume", "--all").stdout == "there is nothing to resume\n"
