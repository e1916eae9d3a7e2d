"""Trials: blocks of runs that share answers, in this process and in another one."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any

from pyscrai_core import Trial, TrialResult, api
from pyscrai_core.config import Settings
from pyscrai_core.runtime.session import Session
from pyscrai_core.runtime.trials import MOST_SHARED, Trials
from pyscrai_core.scenario.model import CallPolicy
from pyscrai_records.records import Price
from pyscrai_records.store.store import Store

TALK = """
scenario: talk
providers: {default: {use: scripted, choice: [one, two, three], requests_per_minute: 100}}
agents: {A: {persona: First.}, B: {persona: Second.}}
schedule: {use: round-robin, rounds: 1}
outcomes: {first: "events[0].payload.text"}
"""
ACT = """
scenario: act
providers: {default: {use: scripted, choice: [{action: wave, arguments: {}}]}}
agents: {A: {persona: First., actions: {wave: {}}, must_act: true, speak: false}}
schedule: {use: round-robin, rounds: 1}
"""


async def all_of(trials: Any, block: list[Trial]) -> list[TrialResult]:
    return [result async for result in trials.run(block)]


def made(store: Store, settings: Settings) -> Trials:
    Path("talk.yaml").write_text(TALK)
    host = settings.host()
    plan = api.prepare("talk.yaml", settings=settings, host=host)
    return Trials(Session(store, host), settings, {"talk": plan}, "talk.yaml")


def test_a_block_shares_answers_and_keeps_labels() -> None:
    settings = Settings("runs.db")
    with Store.open("runs.db") as store:
        trials = made(store, settings)
        block = [Trial("talk", 5, {"arm": name}) for name in ("a", "b")]
        first, second = asyncio.run(all_of(trials, block))
        assert (first.status, first.asked, second.asked) == ("completed", 2, 0)
        assert store.run(second.run).labels == {"arm": "b"}
        assert {store.run(one.run).seed for one in (first, second)} == {5}
        trials.stop()
        assert asyncio.run(all_of(trials, block)) == []


def test_pickled_trials_come_to_the_same_run() -> None:
    settings = Settings("runs.db")
    with Store.open("runs.db") as store:
        trials = made(store, settings)
        (here,) = asyncio.run(all_of(trials, [Trial("talk", 3, {})]))
        copied = pickle.loads(pickle.dumps(trials))
        with copied.opened(2) as there:
            assert there.session.processes == 2
            (elsewhere,) = asyncio.run(all_of(there, [Trial("talk", 3, {})]))
        assert store.run(here.run).fingerprint == store.run(elsewhere.run).fingerprint


def test_processes_divide_the_limits_of_an_account() -> None:
    policy = CallPolicy(requests_per_minute=100, concurrency=3).divided(4)
    assert (policy.requests_per_minute, policy.tokens_per_minute, policy.concurrency) == (25, None, 1)


def test_a_trial_takes_over_answers_of_a_bounded_number_of_others() -> None:
    settings = Settings("runs.db")
    with Store.open("runs.db") as store:
        trials = made(store, settings)
        (first,) = asyncio.run(all_of(trials, [Trial("talk", 5, {})]))
        many = (first.run,) * (MOST_SHARED + 5)
        (second,) = asyncio.run(all_of(trials, [Trial("talk", 5, {}, reuse=many)]))
        assert second.asked == 0
        assert len(store.run(second.run).manifest["reuse"].split(",")) == MOST_SHARED


def test_calls_without_a_fitting_answer_are_counted_with_what_they_cost() -> None:
    settings = Settings("runs.db", prices={"scripted": Price(1e6, 1e6)})
    with Store.open("runs.db") as store:
        Path("act.yaml").write_text(ACT)
        host = settings.host()
        plan = api.prepare("act.yaml", settings=settings, host=host)
        session = Session(store, host, prices=settings.prices)
        trials = Trials(session, settings, {"act": plan}, "act.yaml")
        (failed,) = asyncio.run(all_of(trials, [Trial("act", 5, {})]))
        assert failed.status == "failed"
        # The model calls a tool that is not offered: no answer can be made of it, and it was paid for.
        calls = [call for call in store.run(failed.run).calls() if call["provider"]]
        assert {call["error"] for call in calls} == {"AnswerRejected"}
        assert failed.asked == len(calls) == 3
        assert failed.dollars == sum(call["cost"] for call in calls) > 0
