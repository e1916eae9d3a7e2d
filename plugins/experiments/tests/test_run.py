"""Running: pairs, shared answers, what is left, failures, budgets, registration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from pyscrai_records.store.store import Store

Invoke = Callable[..., Result]


def report(invoke: Invoke, file: str = "exp.yaml") -> dict[str, Any]:
    done = invoke("report", file, "--format", "json")
    assert done.exit_code == 0, done.output
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def edit(name: str, old: str, new: str) -> None:
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new, 1))


def test_arms_are_paired_by_seed_and_equal_requests_are_paid_once(ran: Path, experiment: Invoke) -> None:
    content = report(experiment)
    arms = {arm["arm"]: arm for arm in content["arms"]}
    assert [arm["completed"] for arm in content["arms"]] == [10, 10, 10]
    # The arm `poor` changes Jon's prompt: Mara's requests stay the same, and so do her answers.
    assert arms["plain"]["reused"] == 0
    assert 0 < arms["poor"]["reused"] < arms["poor"]["calls"]
    with Store.open(".pyscrai/runs.db", create=False) as store:
        seeds: dict[str, set[int]] = {}
        for run in store.runs(labels={"experiment": "markup"}):
            seeds.setdefault(run.labels["replicate"], set()).add(run.seed)
    assert seeds == {str(number): {6 + number} for number in range(1, 11)}
    price = content["outcomes"][0]
    marked = next(one for one in price["comparisons"] if one["first"] == "marked")
    assert marked["paired"]
    assert marked["n"] == [10, 10]
    assert marked["difference"]["estimate"] == 2.0
    assert marked["variance_ratio"]["estimate"] == 0.0
    assert content["claim"]["verdict"] == "undecided"  # of two planned comparisons one is not supported
    assert "not paired by it" in content["methods"]
    assert (
        "Closed choices of default, if there were any, were drawn by the provider itself."
        in content["methods"]
    )


def test_the_report_says_that_the_kernel_drew_and_pairs_choices(files: Path, experiment: Invoke) -> None:
    odds = "{'8': 0.3, '9': 0.3, '10': 0.3, '5': 0.05} if 'poor' in last else {'8': 0.4, '9': 0.3, '10': 0.2}"
    text = Path("market.yaml").read_text()
    begin, end = text.index("    choice:"), text.index("world:")
    text = f'{text[:begin]}    odds: "{odds}"\n{text[end:]}'
    Path("market.yaml").write_text(text.replace("{type: integer}", "{enum: [8, 9, 10]}"))
    assert experiment("run", "exp.yaml").exit_code == 0
    content = json.loads(experiment("report", "exp.yaml", "--format", "json").stdout)
    assert content["draws"] == {"default": ["kernel"]}
    assert "Closed choices of default were drawn from the model's probabilities" in content["methods"]
    assert "what a model says freely is not paired by it" in content["methods"]
    shown = " ".join(experiment("report", "exp.yaml").stdout.split())
    assert "choices that the kernel draws share their noise; the rest is not paired" in shown


def test_a_finished_experiment_runs_nothing_again(ran: Path, experiment: Invoke) -> None:
    before = report(experiment)
    done = experiment("run", "exp.yaml", "--json")
    assert json.loads(done.stdout)["ran"] == 0
    assert report(experiment) == before
    edit("exp.yaml", "replicates: 10", "replicates: 9")
    refused = experiment("run", "exp.yaml")
    assert refused.exit_code == 2
    assert "it has 9 replicates, and 10 were begun; no trial is dropped" in refused.output


def test_extend_runs_only_what_is_new_and_marks_it(ran: Path, experiment: Invoke) -> None:
    edit("exp.yaml", "replicates: 10", "replicates: 12")
    edit("exp.yaml", "  poor:", "  dear: {world.state.markup: 5}\n  poor:")
    refused = experiment("run", "exp.yaml")
    assert refused.exit_code == 2
    assert "the arm 'dear', 12 replicates instead of 10" in refused.output
    assert "pyscrai experiment extend" in refused.output
    done = json.loads(experiment("extend", "exp.yaml", "--json").stdout)
    assert (done["ran"], done["done"]) == (4 * 12 - 30, 48)
    content = report(experiment)
    changes = content["registration"]["changes"]
    assert changes == ["the arm 'dear' was added", "the number of replicates was changed: 10 -> 12"]
    marked = content["outcomes"][0]["comparisons"][0]
    assert marked["exploratory"] == "the number of replicates was changed after results could be seen"


def test_a_changed_analysis_is_told_and_exploratory(ran: Path, experiment: Invoke) -> None:
    registered = report(experiment)["registration"]
    assert registered["changes"] == []
    edit("exp.yaml", "smallest: 0.5", "smallest: 0.1")
    content = report(experiment)
    assert content["registration"]["hash"] == registered["hash"]
    assert content["registration"]["changes"] == ["comparisons[0].smallest: 0.5 -> 0.1"]
    first, second = content["outcomes"][0]["comparisons"][:2]
    assert first["exploratory"] == "it was not registered before the first trial"
    assert second["exploratory"] == ""


def test_a_changed_scenario_is_refused_and_shown(ran: Path, experiment: Invoke) -> None:
    edit("market.yaml", "A farmer.", "A rich farmer.")
    done = experiment("run", "exp.yaml")
    assert done.exit_code == 2
    assert 'agents.Mara.persona: "A farmer." -> "A rich farmer."' in done.output
    assert "give the experiment another name" in done.output


def test_an_arm_that_was_run_must_stay(ran: Path, experiment: Invoke) -> None:
    edit("exp.yaml", "  marked: {world.state.markup: 2}\n", "")
    edit("exp.yaml", "      marked: {against: plain, direction: greater, smallest: 0.5}\n", "")
    done = experiment("run", "exp.yaml")
    assert done.exit_code == 2
    assert "the arm 'marked' was run and is not in the file any more" in done.output


FICKLE = """
from pathlib import Path
from pyscrai_core import Completion, Provider, RequestRejected

class Fickle(Provider):
    async def complete(self, request, sink=None):
        if Path("down").exists() and request.position.agent == "Jon" and request.seed % 3 == 0:
            raise RequestRejected("not today")
        price = request.seed % 5 + 5
        return Completion('{"action": {"offer": {"price": %d}}}' % price, model="fickle")
"""


def test_failed_trials_are_kept_counted_and_retried_on_demand(files: Path, experiment: Invoke) -> None:
    Path("fickle.py").write_text(FICKLE)
    text = Path("market.yaml").read_text()
    start, end = text.index("  default:"), text.index("world:")
    Path("market.yaml").write_text(f"{text[:start]}  default: fickle.py:Fickle\n{text[end:]}")
    Path("down").touch()
    done = experiment("run", "exp.yaml", "--json", "--trust")
    assert done.exit_code == 1
    first = json.loads(done.stdout)
    assert 0 < first["failed"] < 30
    assert first["done"] + first["failed"] == 30
    content = report(experiment)
    assert len(content["failures"]) == first["failed"]
    assert {one["status"] for one in content["failures"]} == {"failed"}
    assert any(warning.startswith("trials failed: ") for warning in content["warnings"])
    price = content["outcomes"][0]["arms"]
    assert sum(arm["failures"] for arm in price) == first["failed"]
    assert json.loads(experiment("run", "exp.yaml", "--json", "--trust").stdout)["ran"] == 0
    Path("down").unlink()
    again = json.loads(experiment("run", "exp.yaml", "--retry-failed", "--json", "--trust").stdout)
    assert (again["ran"], again["done"], again["failed"]) == (first["failed"], 30, 0)
    assert report(experiment)["failures"] == []


@pytest.mark.parametrize("executor", ["local", "{use: processes, processes: 2}"])
def test_a_budget_stops_before_the_call_that_is_too_many(
    files: Path, experiment: Invoke, executor: str
) -> None:
    # With processes, what is under way goes on: not all of it at once.
    limits = f"budget: {{calls: 50}}\nconcurrency: 2\nexecutor: {executor}"
    edit("exp.yaml", "replicates: 10", f"replicates: 10\n{limits}")
    done = experiment("run", "exp.yaml", "--json")
    assert done.exit_code == 3, done.output
    content = json.loads(done.stdout)
    assert content["status"] == "stopped"
    assert content["reason"].startswith("budget.calls: ")
    if executor == "local":
        assert content["calls"] == 50
    assert 0 < content["done"] < 30
    edit("exp.yaml", "budget: {calls: 50}", "budget: {calls: 1000}")
    done = experiment("run", "exp.yaml", "--json")
    assert json.loads(done.stdout)["done"] == 30
    spent = json.loads(done.stdout)["calls"]
    # In all, no call was made twice.
    fresh = report(experiment)
    assert spent == sum(arm["calls"] - arm["reused"] for arm in fresh["arms"])


def test_processes_come_to_the_same_report(files: Path, experiment: Invoke) -> None:
    experiment("run", "exp.yaml", "--store", "one.db")
    edit(
        "exp.yaml",
        "replicates: 10",
        "replicates: 10\nexecutor: {use: processes, processes: 2}\nconcurrency: 4",
    )
    assert experiment("run", "exp.yaml", "--store", "two.db").exit_code == 0
    first, second = (
        experiment("report", "exp.yaml", "--store", store, "--format", "json").stdout
        for store in ("one.db", "two.db")
    )
    assert first == second


def test_two_processes_cannot_run_the_same_experiment(files: Path, experiment: Invoke) -> None:
    from pyscrai_experiments.registry import alone

    with Store.open(".pyscrai/runs.db") as store, alone(store, "markup"):
        done = experiment("run", "exp.yaml")
    assert done.exit_code == 2
    assert "another process is running it" in done.output


def test_demands_of_all_arms_are_refused_before_anything_is_run(files: Path, experiment: Invoke) -> None:
    Path("own.py").write_text("raise SystemExit('it was executed')\nclass Mine: ...\n")
    edit("exp.yaml", "  poor:", "  own: {schedule: {use: 'own.py:Mine'}}\n  poor:")
    done = experiment("run", "exp.yaml")
    assert done.exit_code == 2
    assert "needs your approval" in done.output
    assert "own.py" in done.output
    assert not Path(".pyscrai/runs.db").exists()


def test_an_experiment_stops_early_at_the_same_replicate_at_any_speed(
    files: Path, experiment: Invoke
) -> None:
    edit("exp.yaml", "world.state.markup: 2", "world.state.markup: 5")
    edit("exp.yaml", "replicates: 10", "replicates: 80\nconcurrency: 1")
    rule = "stopping: {outcome: high, arm: marked, against: plain, bounds: [-1, 1], minimum: 5}\n"
    Path("exp.yaml").write_text(Path("exp.yaml").read_text() + rule)
    first = json.loads(experiment("run", "exp.yaml", "--json", "-q", "--store", "one.db").stdout)
    assert first["status"] == "completed"
    assert first["reason"].startswith("stopping: ")
    edit("exp.yaml", "concurrency: 1", "concurrency: 16")
    second = json.loads(experiment("run", "exp.yaml", "--json", "-q", "--store", "two.db").stdout)
    assert first["ran"] < second["ran"] < 240
    texts = [
        experiment("report", "exp.yaml", "--format", "json", "--store", store).stdout
        for store in ("one.db", "two.db")
    ]
    assert texts[0] == texts[1]
    content = json.loads(texts[0])
    stopped = content["stopping"]["stopped"]
    assert stopped >= 5
    assert first["ran"] == 3 * stopped
    assert content["stopping"]["low"] > 0
    assert "may stop early" in content["outcomes"][0]["comparisons"][0]["exploratory"]
    again = json.loads(experiment("run", "exp.yaml", "--json", "-q", "--store", "two.db").stdout)
    assert (again["ran"], again["status"]) == (0, "completed")


def test_a_budget_in_money_stops_after_the_call_that_spent_it(files: Path, experiment: Invoke) -> None:
    Path("pyscrai.toml").write_text("[prices.scripted]\ninput = 1000\noutput = 1000\n")
    edit("exp.yaml", "replicates: 10", "replicates: 10\nbudget: {money: 1.0}\nconcurrency: 1")
    done = json.loads(experiment("run", "exp.yaml", "--json", "-q").stdout)
    assert done["status"] == "stopped"
    assert done["reason"].startswith("budget.money: the experiment has spent $1.")
    assert 1.0 <= done["dollars"] < 1.2
    edit("exp.yaml", "money: 1.0", "money: 100")
    done = json.loads(experiment("run", "exp.yaml", "--json", "-q").stdout)
    assert done["done"] == 30
    arms = report(experiment)["arms"]
    assert sum(arm["dollars"] for arm in arms) == pytest.approx(done["dollars"])
    # Processes tell what a trial cost when it has ended: if the last one spends it, nothing is left to stop.
    edit("exp.yaml", "concurrency: 1", "concurrency: 1\nexecutor: {use: processes, processes: 1}")
    edit("exp.yaml", "money: 100", f"money: {done['dollars'] - 1e-6}")
    done = experiment("run", "exp.yaml", "--json", "-q", "--store", "two.db")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["status"] == "completed"
    assert json.loads(done.stdout)["reason"].endswith("when no trial was left")
