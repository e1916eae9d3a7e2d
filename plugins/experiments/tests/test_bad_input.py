"""Bad input: each mistake is told with its place and a guess, and nothing is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from pyscrai_experiments import panel

Invoke = Callable[..., Result]

#: What is replaced in `exp.yaml`, by what, and what the error says.
CASES = {
    "unknown key": (
        "replicates:",
        "replicatse:",
        ["exp.yaml:7:1: replicatse: unknown key 'replicatse'; did you mean 'replicates'?"],
    ),
    "an agent that is not there": (
        "agents.Jon.persona",
        "agents.Jno.persona",
        ["exp.yaml:6:", "there is no agent 'Jno' (did you mean 'Jon'?)", "(in the scenario: market.yaml:"],
    ),
    "an option that is not there": (
        "agents.Jon.persona",
        "agents.Jon.persnoa",
        ["exp.yaml:6:10", "unknown key 'persnoa'; did you mean 'persona'?", "market.yaml:13:8"],
    ),
    "a state that is not there": (
        "world.state.markup",
        "world.state.makrup",
        [
            "exp.yaml:5:12",
            "there is no key 'makrup' (did you mean 'markup'?)",
            "market.yaml:10:10 has: price, markup",
        ],
    ),
    "a rule in an arm": (
        "world.state.markup: 2",
        "rules: [{on: say, set: {markup: &one 1}}, {on: sya, set: {markup: *one}}]",
        ["exp.yaml:5:59: rules[1].on", "no agent has an action 'sya'"],
    ),
    "an alias in an arm": (
        "world.state.markup: 2",
        'rules: [{on: say, set: {markup: &one "state.prcie"}}, {on: say, set: {markup: *one}}]',
        ["exp.yaml:5:90: rules[1].set.markup", "'state' has no key 'prcie'"],
    ),
    "a provider that is not there": (
        "world.state.markup: 2",
        "providers.defualt.latency: 1",
        [
            "exp.yaml:5:12",
            "there is no provider 'defualt' (did you mean 'default'?)",
            "market.yaml:4:3 has: default",
        ],
    ),
    "equal arms": (
        "world.state.markup: 2",
        "world.state.markup: 0",
        ["exp.yaml:5:3", "the arms 'plain' (exp.yaml:4:3) and 'marked' are equal"],
    ),
    "no replicate": ("replicates: 10", "replicates: 0", ["exp.yaml:7:13", "1 or more, got 0"]),
    "one replicate with a test": (
        "replicates: 10",
        "replicates: 1",
        ["exp.yaml:12:15", "a comparison needs two replicates or more, and there is 1"],
    ),
    "an arm to compare that is not there": (
        "against: plain",
        "against: plian",
        ["exp.yaml:12:", "there is no arm 'plian' (did you mean 'plain'?)"],
    ),
    "an arm compared with itself": ("poor: plain", "poor: poor", ["exp.yaml:13:13", "compared with itself"]),
    "an outcome that is not there": (
        "  high: {kind",
        "  hihg: {kind",
        [
            "exp.yaml:14:9",
            "there is no outcome 'hihg' (did you mean 'high'?)",
            "market.yaml:17:11 has: price, total, high",
        ],
    ),
    "a kind that is not there": (
        "kind: proportion",
        "kind: share",
        ["exp.yaml:14:16", "expected one of number"],
    ),
    "a kind that no value of it can have": (
        "kind: proportion",
        "kind: text",
        ["exp.yaml:14:16: outcomes.high.kind: it is a boolean; expected a string or null"],
    ),
    "a mean of categories": (
        "kind: proportion",
        "kind: category, compare: {marked: {against: plain, direction: greater}}",
        ["exp.yaml:14:", "categories have no order"],
    ),
    "an executor that is not there": (
        "replicates: 10",
        "replicates: 10\nexecutor: locla",
        ["exp.yaml:8:11", "executor 'locla': not installed (did you mean 'local'?)"],
    ),
    "an executor's option": (
        "replicates: 10",
        "replicates: 10\nexecutor: {use: processes, processse: 2}",
        ["exp.yaml:8:", "unknown key 'processse'; did you mean 'processes'?"],
    ),
    "stopping by categories": (
        "  high: {kind: proportion}",
        "  high: {kind: category}\nstopping: {outcome: high, arm: marked, against: plain, bounds: [-1, 1]}",
        ["exp.yaml:15:21", "the outcome 'high' is of the kind category; expected a number or a proportion"],
    ),
    "a mixed model of categories": (
        "  high: {kind: proportion}",
        "  high: {kind: category}\nmixed: [high]",
        ["exp.yaml:15:9", "the outcome 'high' is of the kind category; a mixed model needs numbers"],
    ),
    "a mixed model of what is no number": (
        "replicates: 10",
        "replicates: 10\nmixed: [offer.pirce]",
        ["exp.yaml:8:9", "no parameter of an action 'offer.pirce' (did you mean 'offer.price'?)"],
    ),
    "a design without factors": (
        "replicates: 10",
        "replicates: 10\ndesign: {use: sobol, points: 8}",
        ["exp.yaml:8:9", "a design says which points of `factors` are tried, and there are none"],
    ),
    "a budget of nothing": (
        "replicates: 10",
        "replicates: 10\nbudget: {calls: 0}",
        ["exp.yaml:8:17", "budget.calls"],
    ),
    "a grid of a million points": (
        "arms:\n  plain: {}\n",
        "factors:\n"
        + "".join(
            f"  f{number}: {{path: world.state.markup, values: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}}\n"
            for number in range(6)
        )
        + "arms:\n",
        ["expected one of arms, factors and pairings"],
    ),
    "a seed twice": (
        "replicates: 10",
        "replicates: 2\nseeds: [1, 1]",
        ["exp.yaml:8:8", "a seed stands twice"],
    ),
    "too few seeds": (
        "replicates: 10",
        "replicates: 3\nseeds: [1, 2]",
        ["exp.yaml:8:8", "2 seeds for 3 replicates"],
    ),
    "an arm that sets the seed": (
        "world.state.markup: 2",
        "seed: 2",
        ["exp.yaml:5:12", "the seeds are those of the replicates"],
    ),
    "a stopping rule that can never hold": (
        "replicates: 10",
        "replicates: 10\nstopping: {outcome: high, arm: marked, against: plian, bounds: [0, 1]}",
        ["exp.yaml:8:49", "there is no arm 'plian' (did you mean 'plain'?)", "with 0 between them"],
    ),
    "a smallest difference of nothing": (
        "smallest: 0.5",
        "smallest: 0",
        ["exp.yaml:12:", "expected a number above 0"],
    ),
    "a smallest difference below zero": (
        "smallest: 0.5",
        "smallest: -1",
        ["exp.yaml:12:", "expected a number above"],
    ),
    "bounds the wrong way round": ("smallest: 0.5", "smallest: [2, 1]", ["around 0; got [2.0, 1.0]"]),
    "an arm named as a variant's": ("  poor: {", "  poor ~ v: {", ["exp.yaml:6:", "choose another name"]),
    "an arm's name of two lines": (
        "  poor: {",
        '  "a\\nb": {',
        ["exp.yaml:6:3", "a text of one line", "another name"],
    ),
    "a level twice": (
        "kind: proportion",
        "kind: ordered, levels: [a, b, a]",
        ["exp.yaml:14:", "a level stands twice"],
    ),
    "a summary that is not there": (
        "  high: {kind",
        "  high: {value: measure.total.lsat, kind",
        ["exp.yaml:14:", "there is no measure 'total'"],
    ),
    "no scenario": ("market.yaml", "markte.yaml", ["exp.yaml:2:11", "did you mean 'market.yaml'?"]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_told_with_its_place(case: str, files: Path, experiment: Invoke) -> None:
    old, new, words = CASES[case]
    text = Path("exp.yaml").read_text()
    assert old in text
    Path("exp.yaml").write_text(text.replace(old, new, 1))
    done = experiment("run", "exp.yaml")
    assert done.exit_code == 2, done.output
    for word in words:
        assert word in done.output
    assert "bug" not in done.output
    assert not Path(".pyscrai").exists()


@pytest.mark.parametrize(
    "declared, asked, words",
    [
        (
            "{value: \"'a'\", kind: category}",
            "{compare: {marked: {against: plain, direction: less}}}",
            "no order",
        ),
        ("{value: \"'a'\", kind: text}", "{compare: {marked: plain}}", "a text cannot be compared"),
        (
            "{value: \"'a'\", kind: ordered, levels: [a, b, c]}",
            "{kind: ordered, levels: [a, b]}",
            "with the levels a, b, c; expected the same ones",
        ),
    ],
)
def test_what_the_scenario_declares_is_known_before_the_first_trial(
    declared: str, asked: str, words: str, files: Path, experiment: Invoke
) -> None:
    scenario = Path("market.yaml")
    scenario.write_text(scenario.read_text().replace("high: state.price > 6", f"high: {declared}"))
    text = Path("exp.yaml").read_text()
    Path("exp.yaml").write_text(text.replace("high: {kind: proportion}", f"high: {asked}"))
    done = experiment("run", "exp.yaml")
    assert done.exit_code == 2, done.output
    assert words in done.output
    assert "market.yaml:17:" in done.output
    assert not Path(".pyscrai").exists()


def test_a_plan_without_a_pilot_asks_nothing(files: Path, experiment: Invoke) -> None:
    Path("exp.yaml").write_text("experiment: big\nscenario: market.yaml\nreplicates: 10000\n")
    done = experiment("plan", "exp.yaml")
    assert done.exit_code == 0, done.output
    assert "1 arm with 10000 replicates: 10000 trials" in done.output.replace(",", "").replace("arms", "arm")


def test_a_grid_of_a_million_points_is_asked_about_first(files: Path, experiment: Invoke) -> None:
    factors = "".join(
        f"  f{number}: {{path: world.state.markup, values: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}}\n"
        for number in range(6)
    )
    Path("exp.yaml").write_text(f"experiment: big\nscenario: market.yaml\nfactors:\n{factors}")
    done = experiment("run", "exp.yaml")
    assert done.exit_code == 2
    assert "1,000,000 arms with 10 replicates are 10,000,000 trials" in done.output
    Path("exp.yaml").write_text(
        f"experiment: big\nscenario: market.yaml\nreplicates: 1\nfactors:\n{factors[: len(factors) // 6 * 4]}"
    )
    done = experiment("run", "exp.yaml")
    assert (
        "10,000 arms with 1 replicates are 10,000 trials; nothing was run; if you mean it, add --yes"
        in done.output
    )
    assert not Path(".pyscrai").exists()


def test_values_of_another_kind_are_told_in_the_report(files: Path, experiment: Invoke) -> None:
    text = Path("market.yaml").read_text()
    Path("market.yaml").write_text(
        text.replace("high: state.price > 6", "high: \"['yes', 'yes', 7][step % 2]\"")
    )
    Path("exp.yaml").write_text(Path("exp.yaml").read_text().replace("kind: proportion", "kind: number"))
    experiment("run", "exp.yaml", "-q")
    done = experiment("report", "exp.yaml")
    assert done.exit_code == 2
    assert "exp.yaml:14:9: outcomes.high: the outcome is of the kind number, and its value" in done.output


def test_outcomes_that_are_missing_are_counted_and_told(files: Path, experiment: Invoke) -> None:
    text = Path("market.yaml").read_text()
    Path("market.yaml").write_text(
        text.replace("price: state.price,", "price: state.price if state.price != 6 else null,")
    )
    assert experiment("run", "exp.yaml", "-q").exit_code == 0
    done = experiment("report", "exp.yaml")
    assert done.exit_code == 0, done.output
    assert "price: completed trials have no value: " in done.stdout
    assert "have no partner under the same seed, and are not compared" in done.stdout


def test_a_budget_that_earlier_trials_show_to_be_too_small(files: Path, experiment: Invoke) -> None:
    assert experiment("plan", "exp.yaml", "--pilot", "2", "-q").exit_code == 0
    text = Path("exp.yaml").read_text()
    Path("exp.yaml").write_text(text + "budget: {calls: 1}\n")
    done = experiment("run", "exp.yaml")
    assert done.exit_code == 2
    assert "exp.yaml:16:17: budget.calls: 1 calls are too few for one trial, which needs " in done.output


def test_nothing_that_was_run_cannot_be_reported(files: Path, experiment: Invoke) -> None:
    done = experiment("report", "exp.yaml")
    assert done.exit_code == 2
    Path("other.yaml").write_text(
        Path("exp.yaml").read_text().replace("experiment: markup", "experiment: other")
    )
    experiment("run", "exp.yaml", "-q")
    done = experiment("report", "other.yaml")
    assert done.exit_code == 2
    assert "run it with: pyscrai experiment run other.yaml" in done.output


def test_another_experiment_of_the_same_name(files: Path, experiment: Invoke) -> None:
    experiment("run", "exp.yaml", "-q")
    Path("shop.yaml").write_text(Path("market.yaml").read_text().replace("A farmer.", "A grocer."))
    Path("other.yaml").write_text(Path("exp.yaml").read_text().replace("market.yaml", "shop.yaml"))
    done = experiment("run", "other.yaml")
    assert done.exit_code == 2
    assert "another experiment of this name was run in the store" in done.output
    assert "the scenario market.yaml and the arms marked, plain, poor" in done.output
    Path("exp.yaml").write_text(Path("exp.yaml").read_text().replace("markup: 2", "markup: 3"))
    done = experiment("report", "exp.yaml")
    assert done.exit_code == 2
    assert "the arm 'marked' is not what was run: world.state.markup: 2 -> 3" in done.output


def test_a_pipe_is_no_experiment(tmp_path: Path) -> None:
    """The dashboard's panel looks for experiments, and must not wait for what it finds."""
    os.mkfifo(tmp_path / "pipe.yaml")
    assert not panel._names(tmp_path / "pipe.yaml", "e")
