"""Games whose results are known: the tables of a report are equal to theory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Invoke = Callable[..., Result]
SCENARIOS = Path(__file__).parents[3] / "contrib" / "scenarios"

DILEMMA = """\
scenario: prisoners-dilemma
world:
  premise: A game for two in ten rounds.
  state:
    score: {A: 0, B: 0}
    points: {cooperate: {cooperate: 3, defect: 0}, defect: {cooperate: 5, defect: 1}}
agents:
  A: &player
    persona: Play.
    engine: {use: rules, policy: [{do: defect}]}
    actions: {cooperate: {}, defect: {}}
  B: *player
  Referee:
    engine: world
    acts: after-group
    decides: [cooperate, defect]
    rulings:
      - when: len(attempts) == 2
        decision: counted
        add:
          score.{event.source}: >-
            state.points[event.kind][[a.kind for a in attempts if a.source != event.source][0]]
schedule: {use: simultaneous, rounds: 10}
outcomes: {score: state.score}
"""
TOURNAMENT = """\
experiment: axelrod
scenario: dilemma.yaml
pairings:
  strategies:
    tit-for-tat: [{when: any(e.kind == 'defect' for e in heard), do: defect}, {do: cooperate}]
    defector: [{do: defect}]
    cooperator: [{do: cooperate}]
    grim: [{when: any(e.kind == 'defect' for e in events if e.source != name), do: defect}, {do: cooperate}]
    suspicious: [{when: turn == 0 or any(e.kind == 'defect' for e in heard), do: defect}, {do: cooperate}]
  places: [agents.A.engine.policy, agents.B.engine.policy]
  scores: [score.A, score.B]
replicates: 2
outcomes:
  first: {value: score.A}
"""
#: What the strategy of a row gets against that of a column in ten rounds.
PAYOFFS = {
    "tit-for-tat": {"tit-for-tat": 30, "defector": 9, "cooperator": 30, "grim": 30, "suspicious": 25},
    "defector": {"tit-for-tat": 14, "defector": 10, "cooperator": 50, "grim": 14, "suspicious": 10},
    "cooperator": {"tit-for-tat": 30, "defector": 0, "cooperator": 30, "grim": 30, "suspicious": 27},
    "grim": {"tit-for-tat": 30, "defector": 9, "cooperator": 30, "grim": 30, "suspicious": 13},
    "suspicious": {"tit-for-tat": 25, "defector": 10, "cooperator": 32, "grim": 13, "suspicious": 10},
}
GUESS = """\
scenario: guess
world: {state: {share: 0.5, target: 64}}
agents:
  Player:
    count: 3
    vary: {luck: [1, 2]}
    persona: Guess.
    actions: {guess: {number: {type: number}}}
    engine: {use: rules, policy: [{do: guess, arguments: {number: state.target * state.share}}]}
rules:
  - {on: guess, set: {target: event.payload.number}}
schedule: {use: simultaneous, rounds: 1}
outcomes: {guess: state.target}
"""
SHARES = """\
experiment: shares
scenario: guess.yaml
factors:
  share: {path: world.state.share, values: [0.5, 0.75, 1]}
  rounds: {path: schedule.rounds, values: [1, 2, 4]}
replicates: 2
outcomes: [guess]
"""


GIFTS = """\
scenario: gifts
providers:
  moody: {use: scripted, choice: {A: &moody [{action: {give: {n: 1}}}, {action: {give: {n: 6}}}], B: *moody}}
  even: {use: scripted, choice: {A: &even [{action: {give: {n: 3}}}], B: *even}}
  mean: {use: scripted, choice: {A: &mean [{action: {give: {n: 0}}}], B: *mean}}
world: {state: {a: 0, b: 0}}
agents:
  A: &giver
    {persona: Give., provider: even, actions: {give: {n: {type: integer}}}, speak: false, must_act: true}
  B: *giver
rules:
  - {on: give, when: event.source == 'A', add: {a: event.payload.n}}
  - {on: give, when: event.source == 'B', add: {b: event.payload.n}}
schedule: {use: round-robin, rounds: 2}
outcomes: {a: state.a, b: state.b}
"""
GIVERS = """\
experiment: givers
scenario: gifts.yaml
pairings:
  strategies: {moody: moody, even: even, mean: mean}
  places: [agents.A.provider, agents.B.provider]
  scores: [a, b]
replicates: 6
"""


def report(experiment: Invoke, file: str) -> dict[str, Any]:
    done = experiment("run", file, "-q")
    assert done.exit_code == 0, done.output
    content: dict[str, Any] = json.loads(experiment("report", file, "--format", "json").stdout)
    return content


def test_a_tournament_gives_the_known_payoffs(tmp_path: Path, experiment: Invoke) -> None:
    Path("dilemma.yaml").write_text(DILEMMA)
    Path("exp.yaml").write_text(TOURNAMENT)
    content = report(experiment, "exp.yaml")
    assert len(content["arms"]) == 15
    found = content["tournament"]
    assert found["table"] == PAYOFFS
    means = {name: sum(row.values()) / 5 for name, row in PAYOFFS.items()}
    assert {one["strategy"]: one["mean"] for one in found["ranking"]} == means
    assert found["ranking"][0]["strategy"] == max(means, key=means.__getitem__)
    text = experiment("report", "exp.yaml").stdout
    assert "Tournament: the row's mean score against the column" in text
    # Both replicates of these strategies are the same: nothing is known of their spread.
    assert [one["interval"] for one in found["ranking"]] == [None] * 5


def test_a_rank_that_rests_on_chance_is_told(tmp_path: Path, experiment: Invoke) -> None:
    Path("gifts.yaml").write_text(GIFTS)
    Path("exp.yaml").write_text(GIVERS)
    found = report(experiment, "exp.yaml")["tournament"]
    by_name = {one["strategy"]: one for one in found["ranking"]}
    interval = by_name["moody"]["interval"]
    assert interval["low"] < by_name["moody"]["mean"] < interval["high"]
    for one, other in zip(found["ranking"], found["ranking"][1:], strict=False):
        assert one["ahead"]["estimate"] == pytest.approx(one["mean"] - other["mean"])
        surely = one["ahead"]["interval"] is not None and one["ahead"]["interval"]["low"] > 0
        assert one["ahead_surely"] == surely
    assert "ahead of the next [95 %]" in experiment("report", "exp.yaml").stdout


def test_guessing_a_share_of_the_average_converges_as_it_must(tmp_path: Path, experiment: Invoke) -> None:
    Path("guess.yaml").write_text(GUESS)
    Path("exp.yaml").write_text(f"{SHARES}mixed: [guess]\n")
    content = report(experiment, "exp.yaml")
    (guess,) = content["outcomes"]
    found = {arm["arm"]: arm["mean"]["estimate"] for arm in guess["arms"]}
    assert found == {
        f"share={share:g}, rounds={rounds}": 64 * share**rounds
        for share in (0.5, 0.75, 1)
        for rounds in (1, 2, 4)
    }
    (effects,) = content["factors"]
    # A mixed model takes the values of a grid as levels, as the effects do.
    (mixed,) = content["mixed"]
    main = {one["name"]: one["estimate"] for one in effects["effects"] if "factor" in one["details"]}
    terms = {name: one["estimate"] for name, one in mixed["effects"].items() if name != "intercept"}
    assert terms == pytest.approx(main)
    assert {one["details"]["factor"] for one in effects["effects"] if "factor" in one["details"]} == {
        "share",
        "rounds",
    }
    # The seed draws the players' luck, so that each seed has a plan of its own.
    assert content["design"]["seeds"] == [0, 1]


def test_guessing_two_thirds_of_the_average(tmp_path: Path, experiment: Invoke) -> None:
    Path("guess.yaml").write_text(GUESS)
    Path("exp.yaml").write_text(SHARES.replace("[0.5, 0.75, 1]", f"[{2 / 3!r}]"))
    (guess,) = report(experiment, "exp.yaml")["outcomes"]
    means = [arm["mean"]["estimate"] for arm in guess["arms"]]
    assert means == pytest.approx([64 * (2 / 3) ** rounds for rounds in (1, 2, 4)], rel=1e-12)


@pytest.mark.skipif(not SCENARIOS.is_dir(), reason="needs the repository's scenarios")
def test_public_goods_pay_the_group_and_not_the_giver(tmp_path: Path, experiment: Invoke) -> None:
    """The pot returns 1.6 / 4 = 0.4 of each coin to each of four players, in ten rounds."""
    Path("game.yaml").write_text((SCENARIOS / "public-goods.yaml").read_text())
    policy = "[{do: contribute, arguments: {coins: %d}}]"
    levels = ", ".join(f"{coins}: {policy % coins}" for coins in (0, 10, 20))
    Path("exp.yaml").write_text(
        "experiment: goods\nscenario: game.yaml\nreplicates: 2\n"
        f"factors:\n  coins: {{path: agents.Dag.engine.policy, values: {{{levels}}}}}\n"
        "outcomes: {dag: {value: wealth.Dag, unit: coins}, ann: {value: wealth.Ann, unit: coins}}\n"
    )
    content = report(experiment, "exp.yaml")
    found = {
        outcome["name"]: {arm["arm"]: arm["mean"]["estimate"] for arm in outcome["arms"]}
        for outcome in content["outcomes"]
    }
    for name, kept in (("dag", True), ("ann", False)):
        assert found[name] == {
            f"coins={coins}": 10 * ((20 - coins) * kept + 0.4 * (60 + coins)) for coins in (0, 10, 20)
        }


@pytest.mark.parametrize("design", ["random", "latin-hypercube", "sobol"])
def test_designs_sample_the_ranges_of_factors(design: str, tmp_path: Path, experiment: Invoke) -> None:
    Path("guess.yaml").write_text(GUESS)
    Path("exp.yaml").write_text(
        "experiment: sampled\nscenario: guess.yaml\nfactors:\n"
        "  share: {path: world.state.share, low: 0.25, high: 0.75}\n"
        "  rounds: {path: schedule.rounds, low: 1, high: 3, integer: true}\n"
        f"design: {{use: {design}, points: 8, seed: 3}}\nreplicates: 1\noutcomes: [guess]\n"
    )
    content = report(experiment, "exp.yaml")
    assert len(content["arms"]) == 8
    for arm in content["arms"]:
        assert 0.25 <= arm["levels"]["share"] <= 0.75
        assert arm["levels"]["rounds"] in (1, 2, 3)
    if design == "latin-hypercube":  # one point in each eighth of the range
        assert sorted(int((arm["levels"]["share"] - 0.25) * 16) for arm in content["arms"]) == list(range(8))
    csv = experiment("report", "exp.yaml", "--format", "csv").stdout.splitlines()
    assert csv[0] == "arm,replicate,seed,status,share,rounds,guess"
    assert len(csv) == 9


def test_stopping_by_a_measure_and_by_texts(files: Path, experiment: Invoke) -> None:
    market = Path("market.yaml").read_text()
    Path("market.yaml").write_text(
        market.replace("outcomes: {", "outcomes: {label: \"'dear' if state.price > 6 else 'cheap'\", ")
        + "measures: {markup: state.markup}\n"
    )
    text = Path("exp.yaml").read_text().replace("replicates: 10", "replicates: 60")
    rule = "stopping: {{outcome: {}, arm: marked, against: plain, bounds: [-3, 3]}}\n"
    Path("exp.yaml").write_text(
        text.replace("  high: {kind: proportion}", "  shown: {value: measure.markup.last}")
        + rule.format("shown")
        + "concurrency: 1\n"
    )
    done = experiment("run", "exp.yaml", "--json")
    assert done.exit_code == 0, done.output
    assert "the interval excludes zero after replicate" in json.loads(done.stdout)["reason"]
    Path("exp.yaml").write_text(
        text.replace("  high: {kind: proportion}", "  label: {}").replace("markup\n", "texts\n", 1)
        + rule.format("label")
    )
    done = experiment("run", "exp.yaml")
    assert done.exit_code == 2, done.output
    assert "stopping.outcome: label is '" in done.output
    assert "expected numbers, or true and false" in done.output


def test_lists_of_points_and_a_mean_of_texts_can_be_read(files: Path, experiment: Invoke) -> None:
    market = Path("market.yaml").read_text()
    Path("market.yaml").write_text(
        market + "tables: {offers: {rows: events.offer, columns: {who: event.source}}}\n"
    )
    Path("exp.yaml").write_text(
        "experiment: points\nscenario: market.yaml\nreplicates: 2\n"
        "factors:\n  markup: {path: world.state.markup, values: [0, 2]}\n"
        "  rounds: {path: schedule.rounds, values: [1, 2]}\n"
        "outcomes: {who: {value: table.offers.who.mean}}\n"
    )
    assert experiment("run", "exp.yaml", "-q").exit_code == 0
    shown = experiment("report", "exp.yaml").output
    assert "2 in markup=0, rounds=1; 2 in markup=0, rounds=2; " in shown
    assert "who: no trial has a value: `mean` needs numbers" in shown
