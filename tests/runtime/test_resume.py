"""Resume and replay: nothing journaled is asked again, and nothing different passes unnoticed."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_core import (
    Completion,
    Divergence,
    Engine,
    InputError,
    Overloaded,
    Provider,
    Request,
    StoreError,
    api,
)
from pyscrai_core.plugins import Host
from pyscrai_testing import check_resume

PROVIDERS = {
    "default": {
        "use": "scripted",
        "choice": ["a fine day", "I doubt it", "what of it", "so be it"],
        "latency": {"min": 0, "max": 0.003},
    }
}
CAST = {
    "Mara": {"persona": "A farmer.", "memory": {"use": "window", "tokens": 60}},
    "Jon": {"persona": "A buyer."},
    "Voice": {"engine": "narrator", "acts": ["start", {"every": 2}]},
}


@pytest.mark.parametrize(
    "schedule",
    [
        {"use": "round-robin", "rounds": 3},
        pytest.param({"use": "simultaneous", "rounds": 3}, marks=pytest.mark.slow),
        pytest.param({"use": "random", "steps": 5, "group": 2}, marks=pytest.mark.slow),
    ],
    ids=lambda schedule: schedule["use"],
)
def test_kill_and_resume(schedule: dict[str, Any], tmp_path: Path) -> None:
    scenario = {"scenario": "kill", "providers": PROVIDERS, "agents": CAST, "schedule": schedule}
    check_resume(scenario, tmp_path)


@pytest.mark.slow
def test_kill_and_resume_a_reactive_flow(tmp_path: Path) -> None:
    agents = {
        "Crier": {"acts": "start"},
        "Echo": {"acts": {"on": "say"}},
        "Reply": {"acts": {"on": "say"}},
    }
    schedule = {"use": "reactive", "per_agent": 3}
    whole = check_resume(
        {"scenario": "flow", "providers": PROVIDERS, "agents": agents, "schedule": schedule}, tmp_path
    )
    assert whole.result["events"] == 7


class Thinks(Engine):
    async def run(self, turn: Any) -> None:
        turn.say((await turn.think("?")).text)


class Flaky(Provider):
    """Is down for whoever is in `down`; counts what it is asked."""

    down: set[str] = set()
    asked: list[str] = []

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        agent = request.position.agent
        Flaky.asked.append(agent)
        if agent in Flaky.down:
            raise Overloaded("down")
        return Completion(f"{agent} {request.seed}", model="flaky-1")


@pytest.fixture
def flaky(host_with: Any) -> Any:
    Flaky.down, Flaky.asked = set(), []
    return host_with(provider__flaky=Flaky, engine__thinks=Thinks)


def scenario(tmp_path: Path, **more: Any) -> Path:
    path = tmp_path / "flaky.json"
    agents = {name: {"engine": "thinks"} for name in "ABC"}
    given = {
        "scenario": "flaky",
        "providers": {"default": {"use": "flaky", "retry": {"tries": 1}}},
        "agents": agents,
        "schedule": {"use": "simultaneous", "rounds": 2},
        **more,
    }
    path.write_text(json.dumps(given))
    return path


def test_a_failed_run_resumes_where_it_failed(flaky: Host, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    whole = pyscrai_core.run(scenario(tmp_path), host=flaky, store=tmp_path / "whole.db")
    Flaky.down, Flaky.asked = {"B"}, []
    failed = pyscrai_core.run(scenario(tmp_path), host=flaky, store=store)
    assert (failed.status, Flaky.asked) == ("failed", ["A", "B", "C"])
    assert api.replay(store=store, host=flaky).error == failed.error
    Flaky.down, Flaky.asked = set(), []
    resumed = api.resume(store=store, host=flaky)
    assert (resumed.status, resumed.fingerprint) == ("completed", whole.fingerprint)
    assert Flaky.asked == ["B", "A", "B", "C"]
    assert api.replay(store=store, host=flaky).fingerprint == whole.fingerprint


def test_a_run_that_fails_again_and_again_loses_nothing(flaky: Host, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    whole = pyscrai_core.run(scenario(tmp_path), host=flaky, store=tmp_path / "whole.db")
    Flaky.down, Flaky.asked = {"A", "B", "C"}, []
    pyscrai_core.run(scenario(tmp_path), host=flaky, store=store)
    for down in ({"A", "B"}, {"B"}, {"B"}, {"A"}, set()):
        Flaky.down = down
        result = api.resume(store=store, host=flaky)
    assert (result.status, result.fingerprint) == ("completed", whole.fingerprint)
    assert sorted(Flaky.asked) == sorted("ABC" + "ABC" + "AB" + "B" + "BABC" + "A")
    with api.Store.open(store) as opened:
        run = opened.run("last")
        assert len([run.messages(call["number"]) for call in run.calls()]) == 6


def test_a_skipped_failure_stays_what_it_was(flaky: Host, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    agents = {
        "A": {"engine": "thinks"},
        "B": {"engine": "thinks", "on_error": "skip"},
    }
    Flaky.down = {"B"}
    stopped = pyscrai_core.run(
        scenario(tmp_path, agents=agents, limits={"calls": 3}), host=flaky, store=store
    )
    assert stopped.status == "stopped"
    Flaky.down, Flaky.asked = set(), []
    resumed = api.resume(store=store, host=flaky, set={"limits.calls": 9})
    kinds = [(event.source, event.kind) for event in resumed.events]
    assert kinds == [("A", "say"), ("B", "turn.failed"), ("A", "say"), ("B", "say")]
    assert Flaky.asked == ["B"]


def test_replay_needs_no_provider(flaky: Host, tmp_path: Path, host_with: Any) -> None:
    store = tmp_path / "runs.db"
    whole = pyscrai_core.run(scenario(tmp_path), host=flaky, store=store)
    without = host_with(engine__thinks=Thinks)
    assert api.replay(store=store, host=without).fingerprint == whole.fingerprint


def test_another_prompt_is_a_divergence_and_changes_nothing(
    flaky: Host, tmp_path: Path, host_with: Any
) -> None:
    store = tmp_path / "runs.db"
    stopped = pyscrai_core.run(scenario(tmp_path, limits={"calls": 4}), host=flaky, store=store)
    assert stopped.status == "stopped"

    class Other(Engine):
        async def run(self, turn: Any) -> None:
            turn.say((await turn.think("something else?")).text)

    before = _dump(store)
    changed = host_with(provider__flaky=Flaky, engine__thinks=Other)
    Flaky.asked = []
    for again in (api.resume, api.replay):
        where = r"(?s)agents\.A, step 1: turn 1, call 1/think\.1#1 .*\n-  \?\n\+  something else\?"
        with pytest.raises(Divergence, match=where):
            again(store=store, host=changed)
    assert Flaky.asked == []
    assert _dump(store) == before


def test_another_event_is_a_divergence(flaky: Host, tmp_path: Path, host_with: Any) -> None:
    store = tmp_path / "runs.db"
    pyscrai_core.run(scenario(tmp_path), host=flaky, store=store)

    class Louder(Engine):
        async def run(self, turn: Any) -> None:
            turn.say((await turn.think("?")).text + "!")

    with pytest.raises(Divergence, match="event 1, agents.A, step 1: this execution derives"):
        api.replay(store=store, host=host_with(engine__thinks=Louder))


def test_a_shorter_execution_is_a_divergence(flaky: Host, tmp_path: Path, host_with: Any) -> None:
    store = tmp_path / "runs.db"
    pyscrai_core.run(scenario(tmp_path), host=flaky, store=store)

    class Silent(Engine):
        async def run(self, turn: Any) -> None:
            await turn.think("?")

    with pytest.raises(Divergence, match="event 1: the record continues"):
        api.replay(store=store, host=host_with(engine__thinks=Silent))


def test_a_tampered_answer_is_noticed(flaky: Host, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    pyscrai_core.run(scenario(tmp_path), host=flaky, store=store)
    with sqlite3.connect(store) as database:
        database.execute("""UPDATE calls SET answer = replace(answer, 'A ', 'Z ') WHERE agent = 'A'""")
    with pytest.raises(StoreError, match="call 1 is not as it was written"):
        api.replay(store=store, host=flaky)
    with sqlite3.connect(store) as database:
        database.execute("UPDATE calls SET checksum = ''")
    with pytest.raises(Divergence):
        api.replay(store=store, host=flaky)


def test_a_completed_run_is_not_resumed(flaky: Host, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    run = pyscrai_core.run(scenario(tmp_path), host=flaky, store=store).run
    with pytest.raises(StoreError, match=f"run {run}: it is completed"):
        api.resume(store=store, host=flaky)


def test_the_scenarios_file_is_not_needed_again(flaky: Host, tmp_path: Path) -> None:
    path = scenario(tmp_path, limits={"calls": 3})
    store = tmp_path / "runs.db"
    pyscrai_core.run(path, host=flaky, store=store)
    path.unlink()
    assert api.resume(store=store, host=flaky, set={"limits.calls": 99}).status == "completed"


def _dump(store: Path) -> list[str]:
    with sqlite3.connect(store) as database:
        return list(database.iterdump())


@pytest.mark.parametrize("limit", [{"steps": 1}, {"calls": 3}])
def test_a_run_resumed_with_more_replays_whole(flaky: Host, tmp_path: Path, limit: dict[str, int]) -> None:
    store = tmp_path / "runs.db"
    stopped = pyscrai_core.run(scenario(tmp_path, limits=limit), host=flaky, store=store)
    assert stopped.status == "stopped"
    half = api.replay(store=store, host=flaky)
    assert (half.status, half.fingerprint, half.events) == ("stopped", stopped.fingerprint, stopped.events)
    whole = api.resume(store=store, host=flaky, set={f"limits.{next(iter(limit))}": 99})
    assert whole.status == "completed"
    assert api.replay(store=store, host=flaky).fingerprint == whole.fingerprint


def test_a_limit_that_was_raised_stays_raised(flaky: Host, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    assert pyscrai_core.run(scenario(tmp_path, limits={"calls": 2}), host=flaky, store=store).calls == 2
    assert api.resume(store=store, host=flaky, set={"limits.calls": 4}).calls == 4
    again = api.resume(store=store, host=flaky)
    assert (again.status, again.calls) == ("stopped", 4)
    assert "limits.calls: the budget of 4 calls is spent" in again.error
    whole = api.resume(store=store, host=flaky, set={"limits.calls": 99})
    assert whole.status == "completed"
    assert api.replay(store=store, host=flaky).fingerprint == whole.fingerprint


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("agents.Nobody.limits.calls", "there is no agent 'Nobody'; the run's: A, B, C"),
        ("providers.default.model", "a resume cannot change that"),
        ("limits.cals", "unknown key 'cals'; did you mean 'calls'?"),
    ],
)
def test_what_a_resume_cannot_change_is_said_and_changes_nothing(
    flaky: Host, tmp_path: Path, path: str, said: str
) -> None:
    store = tmp_path / "runs.db"
    pyscrai_core.run(scenario(tmp_path, limits={"calls": 2}), host=flaky, store=store)
    before = _dump(store)
    with pytest.raises(InputError, match=re.escape(said)):
        api.resume(store=store, host=flaky, set={path: 9})
    assert _dump(store) == before


def test_an_outcome_that_cannot_be_computed_can_be_mended(flaky: Host, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    outcomes = {"wrong": "1 / (len(events) - 6)", "said": "len(events)"}
    failed = pyscrai_core.run(scenario(tmp_path, outcomes=outcomes), host=flaky, store=store)
    assert failed.status == "failed"
    assert "pyscrai resume RUN --set outcomes.wrong=…" in failed.error
    Flaky.asked = []
    mended = api.resume(store=store, host=flaky, set={"outcomes.wrong": "len(events) + 1"})
    assert (mended.status, mended.outcomes) == ("completed", {"said": 6, "wrong": 7})
    assert not Flaky.asked
    assert api.replay(store=store, host=flaky).outcomes == mended.outcomes


def test_an_outcome_that_is_mended_is_checked_before_anything_is_spent(flaky: Host, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    pyscrai_core.run(
        scenario(tmp_path, outcomes={"said": "len(events)"}, limits={"calls": 2}), host=flaky, store=store
    )
    before, Flaky.asked = _dump(store), []
    wrong = {"limits.calls": 99, "outcomes.said": "state.there_is_no_such_key"}
    with pytest.raises(InputError, match="'state' has no key 'there_is_no_such_key'"):
        api.resume(store=store, host=flaky, set=wrong)
    assert _dump(store) == before
    assert not Flaky.asked


class Silent(Provider):
    """Answers nothing while it is `dumb`."""

    dumb = True

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        return Completion("" if Silent.dumb else "Nine.", model="silent-1")


def test_answers_that_a_plugin_cannot_use_are_asked_again(host_with: Any, tmp_path: Path) -> None:
    """They were journaled as answers, and the engine found all of them empty."""
    host, store = host_with(provider__silent=Silent), tmp_path / "runs.db"
    agents = {name: {"persona": "A farmer."} for name in "AB"}
    silent = {"default": {"use": "silent"}}
    path = scenario(tmp_path, providers=silent, agents=agents, schedule={"use": "round-robin", "rounds": 1})
    Silent.dumb = True
    for again in (False, True):
        failed = (
            api.resume(store=store, host=host) if again else pyscrai_core.run(path, host=host, store=store)
        )
        assert (failed.status, failed.calls) == ("failed", 3)
        assert "answers nothing: 3 empty answers in a row" in failed.error
        assert api.replay(store=store, host=host).error == failed.error
    Silent.dumb = False
    resumed = api.resume(store=store, host=host)
    assert (resumed.status, [event.payload["text"] for event in resumed.events]) == (
        "completed",
        ["Nine."] * 2,
    )
    assert api.replay(store=store, host=host).fingerprint == resumed.fingerprint
