"""The scenarios to learn from: each one runs, on the real model, and shows what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_cli.run import DEMO
from pyscrai_core import api
from pyscrai_core.config import load_settings
from pyscrai_core.scenario.trust import Gate
from pyscrai_experiments.experiment import read_experiment
from pyscrai_experiments.running import ready

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
    assert set(ALL) == {"auction", "conversation", "election", "market", "newsroom", "survey"} | games


@pytest.mark.parametrize("name", ALL)
def test_each_scenario_is_valid_and_says_what_it_teaches(name: str) -> None:
    path = FOLDER / f"{name}.yaml"
    plan = api.prepare(path, settings=load_settings())
    assert not len(plan.demands)
    assert plan.scenario.description
    assert plan.scenario.outcomes


@pytest.mark.parametrize("name", ["chain-of-thought", "temperature"])
def test_each_experiment_can_be_run(name: str) -> None:
    experiment = read_experiment(FOLDER.parent / "experiments" / f"{name}.yaml")
    assert len(ready(experiment, load_settings(), Gate()).seeds) == experiment.spec.replicates


@pytest.mark.slow
def test_conversation(tmp_path: Path) -> None:
    result = run("conversation", tmp_path)
    assert [(event.source, event.kind) for event in result.events if event.kind != "say"] == [
        ("Ada", "greet"), ("Ben", "greet"), ("Ada", "talk"), ("Ben", "talk"),
    ]  # fmt: skip
    assert result.outcomes["said"] == [event.payload["text"] for event in kinds(result, "say")]
    assert len(set(result.outcomes["said"])) == 4


def test_market_is_the_demo() -> None:
    # plugins/cli/tests/test_demo.py runs it.
    assert (FOLDER / "market.yaml").resolve() == DEMO.resolve()


@pytest.mark.slow
def test_newsroom(tmp_path: Path) -> None:
    result = run("newsroom", tmp_path)
    told = [event for event in result.events if event.source != "Desk"]
    assert [event.kind for event in told[:-1]] == ["rumour", "check", "witness", "confirm", "statement"]
    # The editor and the desk do not contradict the town hall.
    confirmed = told[-2].payload["text"] == "The town hall confirms it."
    assert told[-1].kind == ("publish" if confirmed else "drop")
    assert result.outcomes["published"] == confirmed
    assert (result.outcomes["certainty"][-1] >= 7) == confirmed
    assert (result.outcomes["reports"], result.outcomes["checks"]) == (3, 2)
    # Each one answers the one before it.
    assert [event.cause for event in told[1:]] == [event.seq for event in told[:-1]]
    assert [event.step for event in kinds(result, "rating.doubtful")][:1] == [4]
    assert len(result.outcomes["certainty"]) == 2
    assert all(0 <= score <= 10 for score in result.outcomes["certainty"])


def test_survey(tmp_path: Path) -> None:
    result = run("survey", tmp_path, set={"agents.Respondent.count": 2})
    answers = [event.payload for event in kinds(result, "answer")]
    assert len(answers) == len(result.events) == result.outcomes["answers"] == 2
    assert sum(result.outcomes["mode_bus_bicycle_car_walk"]) == 2
    assert sum(result.outcomes["satisfied_1_to_5"]) == 2
    assert result.outcomes["tram_yes"] == sum(answer["tram"] for answer in answers)
    # The wording of a question reaches the model.
    with api.Store.open(tmp_path / "runs.db") as store:
        assert "Should the town build a tram line?" in store.run("last").messages(1)[-1].text


@pytest.mark.slow
def test_election(tmp_path: Path) -> None:
    result = run("election", tmp_path, set={"agents.Voter.count": 6})
    assert result.outcomes["turnout"] == 6
    assert sum(result.outcomes["votes"].values()) == 6
    assert len({event.source for event in result.events}) == 6


@pytest.mark.slow
def test_auction_keeps_values_private(tmp_path: Path) -> None:
    result = run("auction", tmp_path)
    bids = kinds(result, "bid") + kinds(result, "high_bid")
    assert len(bids) == 3
    most = {"Cleo": 70, "Dino": 40, "Elsa": 60}  # the smaller one of worth and purse
    assert all(bid.payload["coins"] <= most[bid.source] for bid in bids)
    assert result.outcomes["price"] == max((bid.payload["coins"] for bid in bids), default=0)
    worths = {"Cleo": "worth: 70", "Dino": "worth: 40", "Elsa": "worth: 85"}
    with api.Store.open(tmp_path / "runs.db") as store:
        stored = store.run("last")
        for call in stored.calls():
            prompt = "\n".join(message.text for message in stored.messages(call["number"]))
            for name, secret in worths.items():
                assert (secret in prompt) == (name == call["agent"]), (call["agent"], name)
