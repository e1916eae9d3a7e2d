"""What stands beside the means: spread, references, mixed models, and indices of factors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Invoke = Callable[..., Result]

RULE = (
    "{'action': {'answer': {'road': ['bus', 'bus', 'car', 'walk'][(seed // 7) % 4], 'tram': seed % 3 == 0, "
    "'hours': 1 + (seed // 11) % 5, 'a': 1 + (seed % 2) * ((seed // 5) % 5), "
    "'b': 1 + (seed % 2) * ((seed // 13) % 5), 'c': 1 + (seed % 2) * ((seed // 17) % 5)}}}"
)
#: Ten people answer. Half of them take the bus, and half tick the first box of all three statements.
SURVEY = """\
scenario: survey
seed: 3
providers:
  default:
    use: scripted
    rule: RULE
agents:
  Person:
    count: 10
    vary: {job: [cook, nurse]}
    persona: You are a {{ job }}.
    speak: false
    must_act: true
    memory: null
    actions:
      answer:
        audience: []
        road: {enum: [bus, car, walk]}
        tram: {type: boolean}
        hours: {type: number}
        a: {type: integer, minimum: 1, maximum: 5}
        b: {type: integer, minimum: 1, maximum: 5}
        c: {type: integer, minimum: 1, maximum: 5}
schedule: {use: simultaneous, rounds: ROUNDS}
outcomes: {bus: "len([e for e in events if e.payload.road == 'bus'])"}
"""
EXPERIMENT = """\
experiment: habits
scenario: survey.yaml
arms:
  plain: {}
  poor: {providers.default.rule: "POOR"}
replicates: 12
outcomes: {bus: {kind: number}}
references:
  answer.road: {bus: 50, car: 25, walk: 25}
  answer.tram: people.csv
  answer.a: {1: 60, 2: 10, 3: 10, 4: 10, 5: 10}
mixed: [bus, answer.hours]
"""


@pytest.fixture
def survey(tmp_path: Path) -> Callable[..., None]:
    """Writes the files, with a text of the experiment replaced."""

    def write(old: str = "", new: str = "", rounds: int = 1) -> None:
        Path("survey.yaml").write_text(SURVEY.replace("ROUNDS", str(rounds)).replace("RULE", f'"{RULE}"'))
        Path("people.csv").write_text("answer,count\ntrue,333\nfalse,667\n")
        assert old in EXPERIMENT
        text = EXPERIMENT.replace(old, new) if old else EXPERIMENT
        # The second arm's answers are drawn otherwise.
        Path("exp.yaml").write_text(
            text.replace("POOR", RULE.replace("// 11", "// 19").replace("// 7", "// 23"))
        )

    return write


def report(experiment: Invoke, *options: str) -> Any:
    found = experiment("report", "exp.yaml", "--format", "json", *options)
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def rows(found: Any, kind: str, question: str) -> dict[str, Any]:
    return {one["arm"]: one for one in found["spread"][kind] if one["question"] == question}


def test_spread_and_habits_of_answering(survey: Callable[..., None], experiment: Invoke) -> None:
    survey()
    assert experiment("run", "exp.yaml", "-q").exit_code == 0
    found = report(experiment)
    road = rows(found, "categories", "answer.road")["plain"]
    assert (road["n"], road["runs"], road["options"]) == (120, 12, 3)
    assert sum(road["counts"].values()) == 120
    share = road["counts"]["bus"] / 120
    assert road["first"]["estimate"] == pytest.approx(share)
    assert road["first"]["interval"]["low"] <= 0.5 <= road["first"]["interval"]["high"]
    assert road["entropy"]["estimate"] == pytest.approx(1.5, abs=0.15)
    assert road["entropy"]["interval"]["method"] == "jackknife over runs"
    assert "categories" in found["spread"]
    assert [*rows(found, "categories", "answer.tram")] == ["plain", "poor"]
    hours = rows(found, "numbers", "answer.hours")["plain"]
    assert hours["within_agents"] is None  # each agent answered once
    assert hours["between_agents"]["estimate"] == pytest.approx(2, abs=1)
    sheet = rows(found, "sheets", "answer")["plain"]
    assert sheet["items"] == ["a", "b", "c"]
    # Half of them tick 1 three times, and a few of the others the same by chance.
    assert 0.4 < sheet["share"]["estimate"] < 0.75
    text = experiment("report", "exp.yaml").stdout
    for heading in ("Spread of choices", "Spread of numbers", "Straight-lining", "Beside references"):
        assert heading in text
    assert "bus: mixed model" in text
    assert "take the run as the unit" in text


def test_agents_that_choose_twice_have_a_variance_within(
    survey: Callable[..., None], experiment: Invoke
) -> None:
    survey(rounds=2)
    assert experiment("run", "exp.yaml", "-q").exit_code == 0
    found = report(experiment)
    hours = rows(found, "numbers", "answer.hours")["plain"]
    # Answers are drawn anew each time, so nearly all of the variance (2) is within agents.
    assert hours["within_agents"]["interval"]["low"] < 2 < hours["within_agents"]["interval"]["high"]
    assert hours["between_agents"]["estimate"] < 0.5


def test_references_and_mixed_models(survey: Callable[..., None], experiment: Invoke) -> None:
    survey()
    assert experiment("run", "exp.yaml", "-q").exit_code == 0
    found = report(experiment)
    by = {(one["name"], one["arm"]): one for one in found["references"]}
    road = by["answer.road", "plain"]
    assert road["n"] == 120
    assert road["test"]["p_value"] > 0.01
    assert road["wasserstein"] is None  # roads have no order
    assert by["answer.a", "plain"]["wasserstein"] is not None
    assert by["answer.tram", "poor"]["reference"] == pytest.approx({"true": 0.333, "false": 0.667})
    outcome, chosen = found["mixed"]
    assert set(outcome["effects"]) == {"intercept", "arm: poor - plain"}
    assert set(outcome["variances"]) == {"seed", "residual"}
    assert set(chosen["variances"]) == {"seed", "agent", "residual"}
    assert chosen["n"] == 240
    assert chosen["effects"]["intercept"]["estimate"] == pytest.approx(3, abs=0.5)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("car: 25", "cra: 25", "references.answer.road: there is no category 'cra' (did you mean 'car'?)"),
        (
            "answer.road:",
            "answer.raod:",
            "no parameter of an action 'answer.raod' (did you mean 'answer.road'?)",
        ),
        ("people.csv", "peple.csv", "there is no file 'peple.csv' (did you mean 'people.csv'?)"),
        ("bus: 50", "bus: -1", "bus: expected a weight, 0 or more, got -1"),
        ("{bus: 50, car: 25, walk: 25}", "{bus: 0}", "all weights are 0"),
        ("[bus, answer.hours]", "[bos]", "no parameter of an action 'bos' (did you mean 'bus'?)"),
        ("[bus, answer.hours]", "[answer.road]", "'answer.road' is one of "),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_run(
    survey: Callable[..., None], experiment: Invoke, old: str, new: str, told: str
) -> None:
    survey(old, new)
    done = experiment("run", "exp.yaml", "-q")
    assert done.exit_code == 2
    assert told in done.output
    assert not Path(".pyscrai").exists()


FACTORS = """\
experiment: ranges
scenario: sums.yaml
factors:
  x: {path: world.state.x, low: 0, high: 1}
  y: {path: world.state.y, low: 0, high: 1}
design: {use: DESIGN, points: POINTS}
replicates: 1
outcomes: {sum: {kind: number}}
"""
SUMS = """\
scenario: sums
providers: {default: {use: scripted, replies: {Ann: [Yes.]}}}
world: {state: {x: 0.5, y: 0.5}}
agents: {Ann: {persona: A person.}}
schedule: {use: round-robin, rounds: 1}
outcomes: {sum: 3 * state.x + state.y}
"""


@pytest.mark.parametrize(("design", "points"), [("saltelli", 64), ("morris", 8)])
def test_indices_of_a_sum_are_what_theory_says(
    tmp_path: Path, experiment: Invoke, design: str, points: int
) -> None:
    Path("sums.yaml").write_text(SUMS)
    Path("exp.yaml").write_text(FACTORS.replace("DESIGN", design).replace("POINTS", str(points)))
    done = json.loads(experiment("run", "exp.yaml", "--json", "-q").stdout)
    assert done["failed"] == 0
    (found,) = report(experiment)["factors"]
    assert found["index_note"] == ""
    indices = {one["factor"]: one for one in found["indices"]["rows"]}
    if design == "saltelli":  # variances of 3x and y are 9 to 1
        for key in ("first", "total"):
            assert indices["x"][key]["estimate"] == pytest.approx(0.9, abs=0.05)
            assert indices["y"][key]["estimate"] == pytest.approx(0.1, abs=0.05)
    else:
        assert indices["x"]["importance"]["estimate"] == pytest.approx(3, abs=1e-4)
        assert indices["y"]["importance"]["estimate"] == pytest.approx(1, abs=1e-4)
    page = experiment("report", "exp.yaml", "--format", "html")
    assert page.exit_code == 0, page.output
    assert page.stdout.count("<svg") == 2  # means of arms, and responses
    assert "indices" in page.stdout


def test_responses_of_a_grid_have_intervals(files: Path, experiment: Invoke) -> None:
    text = Path("exp.yaml").read_text()
    start, end = text.index("arms:"), text.index("replicates:")
    factors = "factors:\n  rounds: {path: schedule.rounds, values: [1, 2]}\n"
    factors += "  markup: {path: world.state.markup, values: [0, 2, 4]}\n"
    text = text[:start] + factors + "replicates: 6\noutcomes: {price: {kind: number}}\n"
    assert end > start
    Path("exp.yaml").write_text(text)
    assert experiment("run", "exp.yaml", "-q").exit_code == 0
    (found,) = report(experiment)["factors"]
    rounds, markup = found["responses"]
    assert [one["level"] for one in rounds["points"]] == [1, 2]
    estimates = [one["estimate"] for one in markup["points"]]
    # The markup is added to the same prices.
    assert [later - estimates[0] for later in estimates] == pytest.approx([0, 2, 4])
    assert all(one["interval"] for one in markup["points"])


def test_a_report_says_what_a_mixed_model_and_a_plan_without_interval_lack(
    files: Path, experiment: Invoke
) -> None:
    market = Path("market.yaml").read_text()
    market = market.replace("{price: {type: integer}}", "{price: {enum: [5, 6, 7, 8, 9, 10]}}")
    Path("market.yaml").write_text(market.replace("{price: state.price,", "{price: state.markup,"))
    Path("exp.yaml").write_text(
        Path("exp.yaml").read_text()
        + "mixed: [price, offer.price]\nrobustness: {new: {agents.Mara.persona: A grocer.}}\n"
    )
    assert experiment("run", "exp.yaml", "-q").exit_code == 0
    shown = experiment("report", "exp.yaml").output
    # A markup explains the price wholly: there is no interval.
    assert "Of 1 variants, 1 agree in sign, the plan as it is has no interval, 1 have its verdict." in shown
    assert "seed is a random effect" in shown
    # Numbers that are chosen from a list are numbers.
    assert "offer.price: mixed model" in shown
    assert "120 values; seed, and agent within it, are random effects" in shown
