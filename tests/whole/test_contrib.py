"""The scenarios to learn from: each one runs, on the real model, and shows what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_core import api
from pyscrai_core.config import load_settings

FOLDER = Path(__file__).parents[2] / "contrib" / "scenarios"
ALL = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def run(name: str, tmp_path: Path, **given: Any) -> Any:
    result = pyscrai_core.run(FOLDER / f"{name}.yaml", store=tmp_path / "runs.db", **given)
    assert result.status == "completed", result.error
    assert api.replay(store=tmp_path / "runs.db").fingerprint == result.fingerprint
    return result


def kinds(result: Any, kind: str) -> list[Any]:
    return [event for event in result.events if event.kind == kind]


def test_each_scenario_has_its_test() -> None:
    # Those with known results have theirs in test_games.py.
    games = {"commons", "prisoners-dilemma", "public-goods"}
    assert set(ALL) == {"auction", "conversation", "election", "market", "newsroom"} | games


@pytest.mark.parametrize("name", ALL)
def test_each_scenario_is_valid_and_says_what_it_teaches(name: str) -> None:
    path = FOLDER / f"{name}.yaml"
    plan = api.prepare(path, settings=load_settings())
    assert not len(plan.demands)
    assert plan.scenario.description
    assert plan.scenario.outcomes


def test_conversation(tmp_path: Path) -> None:
    result = run("conversation", tmp_path)
    assert [event.source for event in result.events] == ["Ada", "Ben"] * 3
    assert all(event.payload["text"] for event in result.events)


def test_market(tmp_path: Path) -> None:
    result = run("market", tmp_path)
    offers = kinds(result, "offer")
    assert result.outcomes["offers"] == len(offers) > 0
    assert result.outcomes["price"] == offers[-1].payload["price"]
    assert kinds(result, "narration")[0].step == 0
    assert result.events[-1].kind == "finding"
    assert result.events[-1].audience == ()


def test_newsroom(tmp_path: Path) -> None:
    result = run("newsroom", tmp_path)
    reports, checks = kinds(result, "report"), kinds(result, "check")
    assert (len(reports), len(checks)) == (3, 3)
    assert result.outcomes["reports"] == 3
    assert result.outcomes["checks"] == 3
    # Each one answers the one before it.
    assert [check.cause for check in checks] == [report.seq for report in reports]
    assert [event.step for event in kinds(result, "narration")] == [3, 6]
    assert len(result.outcomes["certainty"]) == 2
    assert all(0 <= score <= 10 for score in result.outcomes["certainty"])


def test_election(tmp_path: Path) -> None:
    result = run("election", tmp_path, set={"agents.Voter.count": 12})
    assert result.outcomes["turnout"] == 12
    assert sum(result.outcomes["votes"].values()) == 12
    assert len({event.source for event in result.events}) == 12


def test_auction_keeps_values_private(tmp_path: Path) -> None:
    result = run("auction", tmp_path)
    bids = kinds(result, "bid")
    assert len(bids) + len(kinds(result, "rejected")) == 3
    purses = {"Cleo": 90, "Dino": 45, "Elsa": 60}
    assert all(bid.payload["coins"] <= purses[bid.source] for bid in bids)
    assert result.outcomes["price"] == max((bid.payload["coins"] for bid in bids), default=0)
    worths = {"Cleo": "worth: 70", "Dino": "worth: 40", "Elsa": "worth: 85"}
    with api.Store.open(tmp_path / "runs.db") as store:
        stored = store.run("last")
        for call in stored.calls():
            prompt = "\n".join(message.text for message in stored.messages(call["number"]))
            for name, secret in worths.items():
                assert (secret in prompt) == (name == call["agent"]), (call["agent"], name)
