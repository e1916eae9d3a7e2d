"""Forks: what was stays as it was and is not paid again, what follows is another story."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest
from click.testing import CliRunner

import pyscrai_core
from pyscrai_cli.main import cli
from pyscrai_core import (
    Completion,
    ConfigError,
    Divergence,
    Engine,
    Event,
    Memory,
    Message,
    Provider,
    Request,
    RunResult,
    ScenarioError,
    StoreError,
    Tool,
    Toolset,
    api,
)
from pyscrai_core.config import load_settings
from pyscrai_core.plugins import Host
from pyscrai_records.store.store import Store


class Asked(Provider):
    """Answers with who is asked and the seed, so that every answer is its own; keeps who was asked."""

    asked: ClassVar[list[str]] = []

    @attrs.frozen
    class Config:
        model: str = "one"

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        Asked.asked.append(f"{request.position.agent}/{request.position.step}")
        return Completion(f"{request.position.agent} {request.seed % 1000} by {self.config.model}", model="m")


class Talker(Engine):
    """Says what the model says, and how often it spoke: the object's own count."""

    @attrs.frozen
    class Config:
        word: str = "says"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.spoken = 0

    async def run(self, turn: Any) -> None:
        self.spoken += 1
        messages = [*await turn.recall(), Message.user("what now?")]
        answer = (await turn.think(messages)).text
        turn.say(f"{self.config.word} {self.spoken}: {answer} ({turn.random.random():.3f})")


class Counts(Memory):
    """How many events it was handed, in one message."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.seen: list[int] = []

    async def observe(self, events: Sequence[Event], turn: Any) -> None:
        self.seen.extend(event.seq for event in events)

    async def recall(self, turn: Any) -> list[Message]:
        return [Message.user(f"saw {self.seen}")]


class Other(Counts):
    """The same, as another extension."""


class Locked(Provider):
    """Lacks what it needs to begin."""

    async def aopen(self) -> None:
        raise ConfigError("MY_KEY: the environment variable is not set")

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        raise AssertionError


@pytest.fixture
def host(host_with: Any) -> Host:
    Asked.asked = []
    return host_with(
        provider__asked=Asked,
        provider__locked=Locked,
        engine__talker=Talker,
        memory__counts=Counts,
        memory__other=Other,
    )


GIVEN: dict[str, Any] = {
    "scenario": "talk",
    "seed": 5,
    "providers": {"default": {"use": "asked"}},
    "world": {"state": {"price": 3, "tree": {"apples": 1, "pears": 2}}},
    "agents": {
        "A": {"engine": "talker", "memory": "counts", "state": {"purse": 10}},
        "B": {"engine": "talker"},
    },
    "schedule": {"use": "round-robin", "rounds": 4},
    "outcomes": {"price": "state.price", "said": "len(events)"},
}


@pytest.fixture
def parent(host: Host, tmp_path: Path) -> RunResult:
    """A run of eight steps, an event each."""
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(GIVEN))
    result = pyscrai_core.run(path, host=host, store=tmp_path / "runs.db")
    assert (result.status, len(result.events)) == ("completed", 8)
    Asked.asked = []
    return result


@pytest.fixture
def fork(parent: RunResult, host: Host, tmp_path: Path) -> Callable[..., RunResult]:
    def make(at: int, changes: dict[str, Any] | None = None, **given: Any) -> RunResult:
        given = {"ref": parent.run, "host": host, **given}
        return api.fork(at=at, set=changes, store=tmp_path / "runs.db", **given)

    return make


def lines(events: Sequence[Event]) -> list[bytes]:
    return [event.line() for event in events]


def rows(path: Path, query: str) -> list[Any]:
    with sqlite3.connect(path) as database:
        return database.execute(query).fetchall()


@pytest.mark.parametrize("at", [1, 4, 7])
def test_the_prefix_is_identical_and_unpaid_and_then_it_differs(
    at: int, fork: Callable[..., RunResult], parent: RunResult, tmp_path: Path, host: Host
) -> None:
    changed = fork(at, {"agents.A.word": "sings", "agents.B.word": "sings"})
    assert changed.status == "completed"
    assert lines(changed.events[:at]) == lines(parent.events[:at])
    assert all("sings" in event.payload["text"] for event in changed.events[at:])
    # The same object continues with its new options: it still knows how often it spoke.
    turns = Counter(event.source for event in parent.events[:at])
    for event in changed.events[at:]:
        turns[event.source] += 1
        assert event.payload["text"].startswith(f"sings {turns[event.source]}: ")
    assert len(Asked.asked) == changed.asked
    assert all(int(place.split("/")[1]) > at for place in Asked.asked)
    assert api.replay(changed.run, store=tmp_path / "runs.db", host=host).fingerprint == changed.fingerprint
    # The parent is what it was.
    assert api.replay(parent.run, store=tmp_path / "runs.db", host=host).fingerprint == parent.fingerprint


def test_what_a_fork_has_from_its_parent_it_did_not_pay(
    fork: Callable[..., RunResult], parent: RunResult, tmp_path: Path
) -> None:
    changed = fork(4, {"agents.A.word": "sings"})
    query = f"SELECT step, reused, cost FROM calls WHERE run='{changed.run}' ORDER BY number"
    found = rows(tmp_path / "runs.db", query)
    assert [reused for step, reused, _ in found if step <= 4] == [parent.run] * 4
    assert {cost for step, _, cost in found if step <= 4} == {0}
    with Store.open(tmp_path / "runs.db") as store:
        assert store.run(changed.run).parent == parent.run
        assert store.run(changed.run).count_reused() == 8 - len(Asked.asked)


@pytest.mark.parametrize("reuse", ["parent", "all", "none"])
def test_a_fork_without_changes_equals_its_parent(
    reuse: Any, fork: Callable[..., RunResult], parent: RunResult
) -> None:
    same = fork(3, reuse=reuse)
    assert same.fingerprint == parent.fingerprint
    assert same.outcomes == parent.outcomes
    assert len(Asked.asked) == (5 if reuse == "none" else 0)


def test_only_what_differs_is_asked(fork: Callable[..., RunResult], parent: RunResult) -> None:
    # A remembers numbers alone, and so is asked the same; B hears the other words.
    fork(4, {"agents.A.word": "sings"})
    assert Asked.asked == ["B/6", "B/8"]


def test_another_model_answers_anew(fork: Callable[..., RunResult]) -> None:
    # The requests are the same; who is asked is not.
    changed = fork(4, {"providers.default.model": "two"})
    assert len(Asked.asked) == 4
    assert all("by two" in event.payload["text"] for event in changed.events[4:])


def test_another_seed_draws_anew(fork: Callable[..., RunResult], parent: RunResult) -> None:
    changed = fork(4, seed=6)
    assert changed.seed == 6
    assert len(Asked.asked) == 4
    assert lines(changed.events[:4]) == lines(parent.events[:4])
    assert not set(lines(changed.events[4:])) & set(lines(parent.events[4:]))


def test_a_new_memory_is_fed_from_the_log(fork: Callable[..., RunResult], tmp_path: Path) -> None:
    changed = fork(6, {"agents.A.memory": "other", "agents.B.memory": "counts"})
    with Store.open(tmp_path / "runs.db") as store:
        run = store.run(changed.run)
        asked = {(call["agent"], call["step"]): run.messages(call["number"])[0].text for call in run.calls()}
    assert asked["A", 7] == "saw [1, 2, 3, 4, 5, 6]"
    assert asked["B", 8] == "saw [1, 2, 3, 4, 5, 6, 7]"


def test_a_changed_state_is_an_event(fork: Callable[..., RunResult], tmp_path: Path, host: Host) -> None:
    changed = fork(4, {"world.state.price": 9, "world.state.tree.pears": 7, "agents.A.state.purse": 1})
    added = [event for event in changed.events if event.source == "@outside"]
    assert [
        (event.kind, event.payload["path"], event.payload["value"], event.audience) for event in added
    ] == [
        ("change", "price", 9, ("*",)),
        ("change", "tree.pears", 7, ("*",)),
        ("change", "agents.A.purse", 1, ("A",)),
    ]
    assert changed.outcomes["price"] == 9
    assert api.replay(changed.run, store=tmp_path / "runs.db", host=host).outcomes["price"] == 9


def test_a_run_goes_on_where_it_ended(fork: Callable[..., RunResult], parent: RunResult) -> None:
    longer = fork(8, {"schedule.rounds": 6})
    assert len(longer.events) == 12
    assert lines(longer.events[:8]) == lines(parent.events)
    stopped = fork(8, {"schedule.rounds": 6, "limits.steps": 10})
    assert (stopped.status, stopped.steps) == ("stopped", 10)


def test_the_command_forks_at_the_last_event_and_says_what_it_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scripted = {"providers": {"default": {"use": "scripted", "replies": ["one", "two"]}}, "outcomes": {}}
    agents = {"A": {}, "B": {}, "Z": {"acts": "end"}}
    Path("s.json").write_text(json.dumps({**GIVEN, **scripted, "agents": agents}))

    def pyscrai(*arguments: str) -> str:
        done = CliRunner().invoke(cli, arguments, prog_name="pyscrai")
        assert done.exit_code == 0, done.output
        return done.stdout

    first = json.loads(pyscrai("run", "s.json", "--json", "--store", "runs.db"))
    told = pyscrai("fork", "--at", "last", "--set", "schedule.rounds=5", "--store", "runs.db")
    words = rf"forking {first['run']} behind step 8: (\w{{8}}) begins with 8 events and 8 calls, unpaid"
    found = re.match(words, told)
    assert found, told
    shown = json.loads(pyscrai("show", found[1], "--json", "--store", "runs.db"))
    assert (shown["parent"], shown["events"], shown["reused"]) == (first["run"], 11, 8)
    assert shown["forks"][0]["set"] == {"schedule.rounds": "5"}
    assert f"from {first['run']}  behind step 8 (event 8): schedule.rounds=5" in pyscrai(
        "show", found[1], "--store", "runs.db"
    )
    assert "rounds: 5" in pyscrai("show", found[1], "--scenario", "--store", "runs.db")


def test_agents_come_and_silent_ones_go(fork: Callable[..., RunResult], tmp_path: Path, host: Host) -> None:
    agents = {**GIVEN["agents"], "C": {"engine": "talker", "memory": "counts"}}
    changed = fork(4, {"agents": agents})
    assert [event.source for event in changed.events[4:]][:3].count("C") == 1
    first = next(event for event in changed.events if event.source == "C")
    assert first.step > 4
    # C is new: its first look is at all that it may see.
    assert api.replay(changed.run, store=tmp_path / "runs.db", host=host).fingerprint == changed.fingerprint
    again = api.fork(
        changed.run, at=4, set={"agents": GIVEN["agents"]}, store=tmp_path / "runs.db", host=host
    )
    assert "C" not in {event.source for event in again.events}


def test_a_fork_of_a_fork(fork: Callable[..., RunResult], tmp_path: Path, host: Host) -> None:
    first = fork(3, {"agents.A.word": "sings"})
    second = fork(6, {"agents.B.word": "hums", "agents.A.word": "says"}, ref=first.run)
    words = [event.payload["text"].split()[0] for event in second.events]
    assert words == ["says", "says", "says", "says", "sings", "says", "says", "hums"]
    third = fork(7, ref=second.run)
    assert third.fingerprint == second.fingerprint
    for result in (first, second, third):
        replayed = api.replay(result.run, store=tmp_path / "runs.db", host=host)
        assert replayed.fingerprint == result.fingerprint


def test_a_fork_cannot_be_changed_before_the_moment_that_it_began_with(
    fork: Callable[..., RunResult], parent: RunResult
) -> None:
    first = fork(6, {"agents.A.word": "sings"})
    with pytest.raises(StoreError, match=rf"forked from another run; .*pyscrai fork {parent.run} --at 2"):
        fork(2, {"agents.B.word": "hums"}, ref=first.run)
    assert fork(2, ref=first.run).fingerprint == first.fingerprint


def test_what_waits_for_a_run_waits_in_its_forks(parent: RunResult, host: Host, tmp_path: Path) -> None:
    store, path = tmp_path / "more.db", tmp_path / "scenario.json"
    path.write_text(json.dumps({**GIVEN, "limits": {"steps": 3}}))
    given: dict[str, Any] = {"store": store, "host": host}
    stopped = pyscrai_core.run(path, **given)
    api.inject(stopped.run, event="news", payload={"b": 1, "a": 2}, **given)
    whole = api.resume(stopped.run, set={"limits.steps": 6}, **given)
    assert [(event.step, event.kind) for event in whole.events if event.source == "@outside"] == [(4, "news")]
    assert api.fork(whole.run, at=1, **given).fingerprint == whole.fingerprint
    first = api.fork(whole.run, at=1, set={"limits.steps": 2}, **given)
    second = api.fork(first.run, at=2, set={"limits.steps": 6}, **given)
    assert lines(second.events) == lines(whole.events)


def test_a_fork_that_was_interrupted_is_resumed(
    fork: Callable[..., RunResult], tmp_path: Path, host: Host
) -> None:
    stopped = fork(4, {"agents.A.word": "sings", "limits.calls": 1}, reuse="none")
    assert stopped.status == "stopped"
    assert len(Asked.asked) == 1  # what it has from its parent counts for no budget
    resumed = api.resume(stopped.run, set={"limits.calls": 9}, store=tmp_path / "runs.db", host=host)
    assert resumed.status == "completed"
    assert len(Asked.asked) == 4
    assert resumed.fingerprint == fork(4, {"agents.A.word": "sings"}).fingerprint


def test_a_fork_that_cannot_begin_is_not_left(fork: Callable[..., RunResult], tmp_path: Path) -> None:
    before = [(run.id, run.status) for run in api.runs(store=tmp_path / "runs.db")]
    with pytest.raises(ConfigError, match="MY_KEY"):
        fork(4, {"providers.default": {"use": "locked"}})
    assert [(run.id, run.status) for run in api.runs(store=tmp_path / "runs.db")] == before


def test_a_parent_may_be_unfinished(host: Host, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps({**GIVEN, "limits": {"calls": 5}}))
    stopped = pyscrai_core.run(path, host=host, store=store)
    assert (stopped.status, len(stopped.events)) == ("stopped", 5)
    forked = api.fork(stopped.run, at=5, set={"limits.calls": 50}, store=store, host=host)
    assert (forked.status, len(forked.events)) == ("completed", 8)


def test_an_unfinished_step_cannot_be_kept(host_with: Any, tmp_path: Path) -> None:
    class Once(Asked):
        async def complete(self, request: Request, sink: Any = None) -> Completion:
            if request.position.agent == "C":
                raise pyscrai_core.RequestRejected("no")
            return await super().complete(request, sink)

    host = host_with(provider__asked=Once, engine__talker=Talker)
    agents = {"A": {"engine": "talker"}, "C": {"engine": "talker", "acts": {"every": 2}}}
    given = {**GIVEN, "agents": agents, "world": {}, "outcomes": {}}
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(given))
    store = tmp_path / "runs.db"
    failed = pyscrai_core.run(path, host=host, store=store)
    assert (failed.status, len(failed.events)) == ("failed", 2)
    with pytest.raises(
        StoreError, match=r"event 2 belongs to step 2, which is not finished; .* fork it at 1"
    ):
        api.fork(failed.run, at=2, store=store, host=host)
    assert len(rows(store, "SELECT id FROM runs")) == 1


class Lists(Toolset):
    """Offers a tool whose name its options give; counts how often it is asked."""

    asked: ClassVar[list[str]] = []

    @attrs.frozen
    class Config:
        name: str = "look"

    async def list(self) -> list[Tool]:
        Lists.asked.append(self.config.name)
        found: Tool = Offers(None)
        found.name = self.config.name
        return [found]


class Offers(Tool):
    async def call(self, arguments: dict[str, Any], turn: Any) -> Any:
        return f"{self.name} answers"


class Uses(Engine):
    async def run(self, turn: Any) -> None:
        name = "look" if turn.step < 3 else "listen"
        turn.say(await turn.call_tool(name, {}))


def test_another_toolset_is_asked_for_its_tools(host_with: Any, tmp_path: Path) -> None:
    host = host_with(tool__lists=Lists, engine__uses=Uses)
    path, store = tmp_path / "scenario.json", tmp_path / "runs.db"
    agents = {"A": {"engine": "uses", "tools": ["lists"]}}
    given = {"scenario": "tools", "agents": agents, "schedule": {"use": "round-robin", "rounds": 4}}
    path.write_text(json.dumps(given))
    failed = pyscrai_core.run(path, host=host, store=store)
    assert (failed.status, len(failed.events)) == ("failed", 4)  # a tool's use is an event too
    changed = api.fork(
        failed.run, at=4, set={"agents.A.tools": [{"use": "lists", "name": "listen"}]}, store=store, host=host
    )
    assert changed.status == "completed"
    assert changed.events[-1].payload["text"] == "listen answers"
    Lists.asked = []
    assert api.replay(changed.run, store=store, host=host).fingerprint == changed.fingerprint
    assert Lists.asked == []


# -- continuing with what changed --


class Louder(Talker):
    async def run(self, turn: Any) -> None:
        if turn.step < 5:
            await super().run(turn)
        else:
            turn.say((await turn.think("something else?")).text + "!")


def test_a_changed_plugin_goes_on_in_a_fork_if_a_person_accepts_it(
    host: Host, host_with: Any, tmp_path: Path
) -> None:
    store, path = tmp_path / "runs.db", tmp_path / "scenario.json"
    path.write_text(json.dumps({**GIVEN, "limits": {"calls": 6}}))
    stopped = pyscrai_core.run(path, host=host, store=store)
    changed = host_with(provider__asked=Asked, engine__talker=Louder, memory__counts=Counts)
    more: dict[str, Any] = {"set": {"limits.calls": 99}, "store": store, "host": changed}
    with pytest.raises(Divergence, match=rf"(?s)step 5.*pyscrai resume {stopped.run} --accept-changes"):
        api.resume(stopped.run, **more)
    before = rows(store, "SELECT * FROM events")
    Asked.asked = []
    forked = api.resume(stopped.run, accept_changes=True, **more)
    assert forked.run != stopped.run
    assert (forked.status, len(forked.events)) == ("completed", 8)
    assert lines(forked.events[:4]) == lines(stopped.events[:4])
    assert [event.payload["text"][-1] for event in forked.events[4:]] == ["!"] * 4
    assert len(Asked.asked) == 4
    with Store.open(store) as opened:
        told = opened.run(forked.run).manifest["forks"]
        assert [(one["parent"], one["at"], one["after"]) for one in told] == [(stopped.run, 4, 4)]
        assert "something else?" in told[0]["accepted"]
        assert opened.run(stopped.run).status == "stopped"
    assert set(before) <= set(rows(store, "SELECT * FROM events"))
    assert api.replay(forked.run, store=store, host=changed).fingerprint == forked.fingerprint


def test_a_change_in_the_first_step_keeps_nothing(host: Host, host_with: Any, tmp_path: Path) -> None:
    class Others(Talker):
        async def run(self, turn: Any) -> None:
            turn.say((await turn.think("else?")).text)

    store, path = tmp_path / "runs.db", tmp_path / "scenario.json"
    path.write_text(json.dumps({**GIVEN, "limits": {"calls": 3}}))
    stopped = pyscrai_core.run(path, host=host, store=store)
    changed = host_with(provider__asked=Asked, engine__talker=Others, memory__counts=Counts)
    given: dict[str, Any] = {"set": {"limits.calls": 99}, "store": store, "host": changed}
    forked = api.resume(stopped.run, accept_changes=True, **given)
    assert (forked.status, len(forked.events)) == ("completed", 8)


# -- what cannot be --


@pytest.mark.parametrize(
    ("at", "changes", "error", "match"),
    [
        (0, {}, StoreError, "has no event 0; expected a number from 1 to 8"),
        (9, {}, StoreError, "has no event 9; expected a number from 1 to 8"),
        (-1, {}, StoreError, "has no event -1"),
        (4, {"agents": {"A": {"engine": "talker"}}}, ConfigError, r"agents\.B is taken away"),
        (4, {"agents.A.wrod": "x"}, ScenarioError, r"unknown key 'wrod'; did you mean 'word'"),
        (4, {"agents.Z.word": "x"}, ScenarioError, r"there is no agent 'Z'"),
        (4, {"agents.A.memory": "nothing-like-it"}, ScenarioError, "nothing-like-it"),
        (4, {"schedule.rounds": "many"}, ScenarioError, "expected an integer"),
        (4, {"world.state.pric": 1}, ScenarioError, r"world\.state\.pric: .*did you mean 'price'"),
        (4, {"agents.A.state.prse": 1}, ScenarioError, r"agents\.A\.state\.prse: .*did you mean 'purse'"),
        (4, {"world.state": {"price": 1}}, ConfigError, r"world\.tree: .* set it to null"),
    ],
)  # fmt: skip
def test_a_fork_that_cannot_be_changes_nothing(
    at: int, changes: Any, error: Any, match: str, fork: Callable[..., RunResult], tmp_path: Path
) -> None:
    before = list(sqlite3.connect(tmp_path / "runs.db").iterdump())
    with pytest.raises(error, match=match):
        fork(at, changes)
    assert list(sqlite3.connect(tmp_path / "runs.db").iterdump()) == before
    assert Asked.asked == []


def test_the_closing_turns_have_nothing_behind_them(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "scenario.json"
    agents = {**GIVEN["agents"], "Z": {"engine": "talker", "acts": "end"}}
    path.write_text(json.dumps({**GIVEN, "agents": agents}))
    result = pyscrai_core.run(path, host=host, store=tmp_path / "runs.db")
    assert len(result.events) == 9
    with pytest.raises(StoreError, match=r"closing turns .* fork it at 8"):
        api.fork(result.run, at=9, store=tmp_path / "runs.db", host=host)


def test_a_prefix_that_would_not_be_the_same_is_no_prefix(
    fork: Callable[..., RunResult], parent: RunResult, host_with: Any, tmp_path: Path
) -> None:
    changed = host_with(provider__asked=Asked, engine__talker=Louder, memory__counts=Counts)
    with pytest.raises(Divergence, match="a fork keeps what was"):
        fork(6, host=changed)
    assert len(rows(tmp_path / "runs.db", "SELECT id FROM runs")) == 1
    assert fork(4, host=changed).status == "completed"


def test_a_run_of_a_store_is_needed(host: Host, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        api.fork(at=1, store=tmp_path / "none.db", host=host)
    with Store.open(load_settings(store=str(tmp_path / "empty.db")).store):
        pass
    with pytest.raises(StoreError, match="holds no runs"):
        api.fork(at=1, store=tmp_path / "empty.db", host=host)


def test_a_run_without_events_has_no_place_to_fork_at(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    nothing = {"scenario": "n", "providers": {"default": {"use": "scripted", "replies": ["x"], "faults":
               [{"kind": "reject", "times": -1}]}}, "agents": {"A": {}}}  # fmt: skip
    failed = pyscrai_core.run(nothing, store=store)
    assert (failed.status, len(failed.events)) == ("failed", 0)
    with pytest.raises(StoreError, match="it has no event yet, so there is nothing to fork at"):
        api.fork(failed.run, at=1, store=store)
