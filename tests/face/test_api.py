"""Running from Python: the blocking call, its awaitable twin, and their result."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_core import Event, NoConfig, Observer, RunResult, ScenarioError

TALK = {
    "scenario": "talk",
    "providers": {"default": {"use": "scripted", "choice": ["yes", "no", "perhaps"]}},
    "agents": {"A": {}, "B": {}},
    "schedule": {"use": "round-robin", "rounds": 3},
    "outcomes": {"n": "len(events)"},
}


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(TALK))
    return path


def test_both_ways_give_the_same_result(talk: Path) -> None:
    blocking = pyscrai_core.run(talk, seed=7)
    awaited = asyncio.run(pyscrai_core.arun(str(talk), seed=7))
    assert isinstance(blocking, RunResult)
    assert (blocking.status, blocking.outcomes, len(blocking.events)) == ("completed", {"n": 6}, 6)
    assert blocking.events == awaited.events
    assert blocking.fingerprint == awaited.fingerprint
    assert blocking.usage == awaited.usage
    assert blocking.run != awaited.run
    assert pyscrai_core.run(talk, seed=8).fingerprint != blocking.fingerprint
    assert (talk.parent / ".pyscrai" / "runs.db").exists()


def test_several_runs_in_one_loop_do_not_disturb_each_other(talk: Path) -> None:
    async def both() -> list[RunResult]:
        runs = [
            pyscrai_core.arun(talk, seed=seed, store=f"{index}.db") for index, seed in enumerate([7, 8, 7])
        ]
        return await asyncio.gather(*runs)

    first, second, third = asyncio.run(both())
    assert first.fingerprint == third.fingerprint != second.fingerprint


def test_overrides_are_plain_values(talk: Path) -> None:
    changes = {
        "schedule.rounds": 1,
        "agents.A.goals": ["win"],
        "agents.B.memory": {"use": "window", "tokens": 99},
    }
    assert len(pyscrai_core.run(talk, set=changes).events) == 2


def test_bad_input_raises_and_writes_nothing(talk: Path) -> None:
    with pytest.raises(ScenarioError, match="unknown key 'sed'"):
        pyscrai_core.run(talk, set={"sed": 3})
    assert not (talk.parent / ".pyscrai").exists()


def test_the_twins_of_resume_replay_and_fork(talk: Path) -> None:
    from pyscrai_core import api

    whole = pyscrai_core.run(talk, seed=7, store="whole.db")
    half = pyscrai_core.run(talk, seed=7, store="half.db", set={"limits.steps": 1})

    async def notebook() -> None:
        for twin, more in (("aresume", {}), ("areplay", {}), ("afork", {"at": 1})):
            with pytest.raises(RuntimeError, match=rf"use `await pyscrai_core\.api\.{twin}\("):
                getattr(api, twin[1:])(store="whole.db", **more)
        assert (await api.areplay(store="whole.db")).fingerprint == whole.fingerprint
        resumed = await api.aresume(half.run, store="half.db", set={"limits.steps": 99})
        assert resumed.fingerprint == whole.fingerprint
        assert (await api.afork(store="whole.db", at=1)).status == "completed"

    asyncio.run(notebook())


def test_where_a_loop_runs_the_twin_is_named(talk: Path) -> None:
    async def notebook() -> None:
        with pytest.raises(RuntimeError, match=r"use `await pyscrai_core\.arun"):
            pyscrai_core.run(talk)

    asyncio.run(notebook())


def test_a_cancelled_run_is_interrupted_and_can_be_resumed(talk: Path) -> None:
    from pyscrai_core import api

    whole = pyscrai_core.run(talk, seed=7, store="whole.db")

    async def cancelled() -> None:
        begun = asyncio.Event()

        class Watch(Observer):
            def on_event(self, event: Event) -> None:
                begun.set()

        slow = {"providers.default.latency": 0.05}
        run = pyscrai_core.arun(talk, seed=7, store="half.db", set=slow, observers=[Watch(NoConfig())])
        task = asyncio.create_task(run)
        await begun.wait()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    with api.Store.open("half.db") as store:
        assert store.run("last").status == "interrupted"
    resumed = api.resume(store="half.db")
    assert (resumed.status, resumed.fingerprint) == ("completed", whole.fingerprint)


def test_an_option_that_there_is_not_is_refused(talk: Path) -> None:
    options: dict[str, Any] = {"overrides": {"schedule.rounds": 1}}
    with pytest.raises(TypeError, match="unknown key 'overrides'; known keys: .*set.*store"):
        pyscrai_core.run(talk, **options)
    assert not (talk.parent / ".pyscrai").exists()
    options = {"stor": "other.db"}
    for call in (pyscrai_core.api.resume, pyscrai_core.api.replay):
        with pytest.raises(TypeError, match=r"unknown key 'stor'; did you mean 'store'\?"):
            call(**options)
