"""Claims: which comparisons judge them, and how; and claims of experiments that stop early."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pyscrai_cli.main import cli

Invoke = Callable[..., Result]
CLAIM = "claim: {text: A markup raises the price., because: It is added to it.}"


def edit(old: str, new: str) -> None:
    text = Path("exp.yaml").read_text()
    assert old in text
    Path("exp.yaml").write_text(text.replace(old, new))


def report(experiment: Invoke) -> dict[str, Any]:
    found = experiment("report", "exp.yaml", "--format", "json")
    assert found.exit_code == 0, found.output
    content: dict[str, Any] = json.loads(found.stdout)
    return content


def test_a_claim_is_judged_by_what_it_is_about(files: Path, experiment: Invoke) -> None:
    edit(CLAIM, "claim: {text: A markup raises the price., about: {price: marked}}")
    assert experiment("run", "exp.yaml").exit_code == 0
    claim = report(experiment)["claim"]
    assert (claim["verdict"], claim["exploratory"]) == ("supported", [])
    assert claim["about"] == ["price: marked - plain"]
    text = experiment("report", "exp.yaml").stdout
    assert "judged by the planned comparisons that it names: price: marked - plain." in text
    # Of two comparisons one is undecided: so is the claim, and the report says by what it was judged.
    edit("{text: A markup raises the price., about: {price: marked}}", "A markup raises the price.")
    claim = report(experiment)["claim"]
    assert claim["verdict"] == "undecided"
    assert claim["exploratory"] == ["what the claim is about was changed after the first trial"]
    text = " ".join(experiment("report", "exp.yaml").stdout.split())
    assert "judged by all planned comparisons, as `about` names none" in text
    assert "price: marked - plain, price: poor - plain; supported if all are" in text


def test_another_comparison_does_not_refute_a_claim(files: Path, experiment: Invoke) -> None:
    edit("      poor: plain", "      poor: {against: plain, smallest: 30}")
    edit(CLAIM, "claim: {text: A markup raises the price., about: [price]}")
    assert experiment("run", "exp.yaml").exit_code == 0
    assert report(experiment)["claim"]["verdict"] == "not supported"  # `poor` is negligible
    edit("about: [price]", "about: {price: marked - plain}")
    assert report(experiment)["claim"]["verdict"] == "supported"


def test_a_comparison_that_could_not_be_made_supports_nothing(files: Path, experiment: Invoke) -> None:
    edit("  high: {kind: proportion}", "  never: {compare: {marked: {against: plain, direction: greater}}}")
    text = Path("market.yaml").read_text()
    Path("market.yaml").write_text(text.replace("high: state.price > 6", "never: 'null'"))
    edit("      poor: plain\n", "")
    assert experiment("run", "exp.yaml").exit_code == 0
    claim = report(experiment)["claim"]
    assert claim["about"] == ["price: marked - plain", "never: marked - plain"]
    assert claim["verdict"] == "undecided"


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("[prize]", "there is no compared outcome 'prize' (did you mean 'price'?)"),
        ("[high]", "there is no compared outcome 'high'"),
        ("{price: market}", "there is no planned comparison 'market' (did you mean 'marked'?)"),
        ("{price: []}", "it names no arm"),
        ("[]", "it names nothing"),
    ],
)
def test_what_a_claim_cannot_be_about(files: Path, experiment: Invoke, about: str, message: str) -> None:
    edit(CLAIM, f"claim: {{text: A markup raises the price., about: {about}}}")
    found = experiment("plan", "exp.yaml")
    assert found.exit_code == 2
    assert message in " ".join(found.output.split())
    assert "exp.yaml:" in found.output
    assert not Path(".pyscrai").exists()


STOPPING = "stopping: {outcome: price, arm: marked, against: plain, bounds: [-8, 8]}\n"


def test_a_registered_rule_of_stopping_can_support_a_claim(files: Path, experiment: Invoke) -> None:
    edit(CLAIM, f"claim: {{text: A markup raises the price., about: {{price: marked}}}}\n{STOPPING}")
    edit("replicates: 10", "replicates: 40")
    assert experiment("run", "exp.yaml").exit_code == 0
    content = report(experiment)
    assert 10 <= content["stopping"]["stopped"] < 40
    assert (content["claim"]["verdict"], content["claim"]["exploratory"]) == ("supported", [])
    price = content["outcomes"][0]["comparisons"]
    by_arm = {one["first"]: one for one in price if one["planned"]}
    assert "confidence sequence" in by_arm["marked"]["sentence"]
    assert (by_arm["marked"]["exploratory"], by_arm["poor"]["exploratory"] != "") == ("", True)
    edit("bounds: [-8, 8]", "bounds: [-9, 9]")
    changed = report(experiment)["claim"]
    assert changed["exploratory"] == ["the rule of stopping was changed after the first trial"]


def test_a_sequence_against_the_claim(files: Path, experiment: Invoke) -> None:
    edit(
        "marked: {against: plain, direction: greater, smallest: 0.5}",
        "plain: {against: marked, direction: greater}",
    )
    edit(CLAIM, f"claim: {{text: The plain price is higher., about: {{price: plain}}}}\n{STOPPING}")
    edit("replicates: 10", "replicates: 40")
    assert experiment("run", "exp.yaml").exit_code == 0
    content = report(experiment)
    assert (content["claim"]["verdict"], content["claim"]["exploratory"]) == ("not supported", [])
    sentence = next(one for one in content["outcomes"][0]["comparisons"] if one["planned"])["sentence"]
    assert "The mean difference is -2 " in sentence
    # The planned comparison is not reported a second time, turned round, as an exploratory one.
    pairs = [{one["first"], one["second"]} for one in content["outcomes"][0]["comparisons"]]
    assert pairs.count({"plain", "marked"}) == 1


def test_a_report_tells_that_its_scenario_changed(ran: Path, experiment: Invoke) -> None:
    before = report(experiment)
    assert not any("changed after trials" in one for one in before["warnings"])
    text = Path("market.yaml").read_text()
    Path("market.yaml").write_text(text.replace("A farmer.", "An old farmer."))
    after = report(experiment)
    assert (
        "the scenario (market.yaml) or one of its files changed after trials were run" in after["warnings"][0]
    )
    assert {**after, "warnings": after["warnings"][1:]} == before
    Path("market.yaml").write_text("scenario: [")
    assert "the scenario cannot be read any more" in report(experiment)["warnings"][0]


@pytest.fixture(scope="module")
def noisily_finished(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `finished`. Mara acts in every second step alone, so that differences vary."""
    folder = tmp_path_factory.mktemp("noisy")
    shutil.copytree(finished, folder, dirs_exist_ok=True)
    shutil.rmtree(folder / ".pyscrai")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        edit("agents.Jon.persona: You are poor.", "agents.Mara.acts: {every: 2}")
        assert CliRunner().invoke(cli, ["experiment", "run", "exp.yaml"]).exit_code == 0
    return folder


@pytest.fixture
def noisy(noisily_finished: Path, tmp_path: Path) -> None:
    shutil.copytree(noisily_finished, tmp_path, dirs_exist_ok=True)


@pytest.mark.parametrize(
    ("smallest", "direction", "sought"),
    [
        (2, "less", -2), (2, "greater", 2), ((-2, 6), "less", -2), ((-2, 6), "greater", 6),
        ((-2, 6), "two-sided", 2), ((-6, 3), "two-sided", 3),
    ],
)  # fmt: skip
def test_the_power_is_that_of_the_difference_that_is_claimed(
    noisy: None, experiment: Invoke, smallest: Any, direction: str, sought: float
) -> None:
    given = list(smallest) if isinstance(smallest, tuple) else smallest
    edit("poor: plain", f"poor: {{against: plain, direction: {direction}, smallest: {given}}}")
    found = json.loads(experiment("power", "exp.yaml", "--json").stdout)[1]
    assert found["power"]["details"]["difference"] == sought
    low, high = found["power"]["interval"]["low"], found["power"]["interval"]["high"]
    assert low <= found["power"]["estimate"] <= high
    assert f"({low:.2f} to {high:.2f})" in experiment("power", "exp.yaml").stdout
