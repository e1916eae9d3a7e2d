"""Exact distributions of scenarios whose values are known, their bounds, and what cannot be computed."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import pyscrai_core
from pyscrai_cli.main import cli
from pyscrai_core import ContractError, Host
from pyscrai_exact.tree import Step, Tree

COMMAND = [sys.executable, "-m", "pyscrai_cli.main", "exact"]
PLAYER = {
    "persona": "You play.",
    "speak": False,
    "must_act": True,
    "actions": {"cooperate": {}, "defect": {}},
}
#: Whoever heard of a betrayal in the last step betrays with 0.8, else with 0.1.
ODDS = "{'cooperate': 0.2, 'defect': 0.8} if ': defect]' in last else {'cooperate': 0.9, 'defect': 0.1}"
DEFECTIONS = "len([e for e in events if e.kind == 'defect'])"


def scenario(**more: Any) -> dict[str, Any]:
    return {
        "scenario": "dilemma",
        "seed": 1,
        "providers": {"default": {"use": "scripted", "odds": {"cooperate": 0.6, "defect": 0.2}}},
        "agents": {"A": PLAYER, "B": PLAYER},
        "schedule": {"use": "simultaneous", "rounds": 3},
        "outcomes": {"defections": DEFECTIONS, "any": f"{DEFECTIONS} > 0"},
        **more,
    }


def written(folder: Path, what: Mapping[str, Any]) -> Path:
    path = folder / "game.json"
    path.write_text(json.dumps(what))
    return path


def exact(folder: Path, what: Mapping[str, Any], *options: str, outcome: str = "defections") -> Any:
    path = written(folder, what)
    chosen = ["--outcome", outcome, "--scores", str(folder / "scores.jsonl"), "--json", "--quiet", *options]
    return CliRunner().invoke(cli, ["exact", str(path), *chosen])


def binomial(n: int, p: float) -> dict[int, float]:
    return {k: math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)}


def test_independent_choices_have_the_binomial_distribution(tmp_path: Path) -> None:
    done = exact(tmp_path, scenario())
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert {one["value"]: one["at_least"] for one in found["values"]} == pytest.approx(
        binomial(6, 0.25), abs=2e-6
    )
    assert found["explored"] == 1
    assert found["others_at_most"] == 0
    assert found["mean"] == pytest.approx(1.5)
    assert found["histories"] == 64


@pytest.mark.parametrize("calls", [0, 1, 3, 8, 20])
def test_the_bounds_contain_the_true_values_at_every_budget(tmp_path: Path, calls: int) -> None:
    done = exact(tmp_path, scenario(), "--calls", str(calls))
    found = json.loads(done.stdout)
    true = binomial(6, 0.25)
    bounds = {one["value"]: (one["at_least"], one["at_most"]) for one in found["values"]}
    for value, share in true.items():
        low, high = bounds.get(value, (0.0, found["others_at_most"]))
        assert low <= share <= high
    assert done.exit_code == (0 if found["explored"] == 1 else 3)
    assert sum(low for low, _ in bounds.values()) <= 1


def test_more_explored_means_narrower_bounds(tmp_path: Path) -> None:
    some = json.loads(exact(tmp_path, scenario(), "--explored", "0.5").stdout)
    assert 0.5 <= some["explored"] < 1
    assert some["histories"] < 64
    assert some["complete"] is True


def test_a_game_with_memory_agrees_with_sampled_runs(tmp_path: Path) -> None:
    what = scenario(providers={"default": {"use": "scripted", "odds": ODDS}})
    found = json.loads(exact(tmp_path, what, outcome="any").stdout)
    share = next(one["at_least"] for one in found["values"] if one["value"] is True)
    path = written(tmp_path, what)
    shared = {"store": tmp_path / "runs.db", "host": Host()}
    runs = [pyscrai_core.run(path, seed=seed, **shared).outcomes["any"] for seed in range(200)]
    assert abs(sum(runs) / 200 - share) < 3.5 * math.sqrt(share * (1 - share) / 200)


def test_identical_histories_are_merged(tmp_path: Path) -> None:
    """Three lotteries of which only the last one is an event: what came before leads to the same."""
    what = scenario(agents={"A": {**PLAYER, "memory": "none"}}, schedule={"use": "round-robin", "rounds": 4})
    found = json.loads(exact(tmp_path, what).stdout)
    assert {one["value"]: one["at_least"] for one in found["values"]} == pytest.approx(
        binomial(4, 0.25), abs=2e-6
    )
    lines = (tmp_path / "scores.jsonl").read_text().splitlines()
    assert len(lines) <= 4  # one for each prompt, not for each history


def test_histories_that_are_the_same_share_a_node() -> None:
    def step(key: str, step: int, index: int) -> Step:
        return Step(key, ("A", step, "x", ""), ("a", "b"), (0.5, 0.5), index)

    tree = Tree()
    tree.add([step("1", 1, 0), step("2", 2, 0)], "0")
    tree.add([step("1", 1, 1), step("2", 2, 0)], "0")
    masses, left = tree.masses()
    assert masses == {"0": 0.5}
    assert left == [(0.5, "2", 1)]
    tree.add([step("1", 1, 0), step("2", 2, 1)], "1")
    assert tree.masses() == ({"0": 0.5, "1": 0.5}, [])
    with pytest.raises(ContractError, match="what follows the choice of A in step 2"):
        tree.add([step("1", 1, 0), step("2", 2, 1)], "0")


def test_an_interrupted_computation_goes_on_and_gives_the_same_bytes(tmp_path: Path) -> None:
    slow = {"use": "scripted", "odds": ODDS, "latency": 0.02}
    path = written(tmp_path, scenario(providers={"default": slow}))
    whole = subprocess.run(
        [*COMMAND, str(path), "--outcome", "defections", "--json", "--scores", str(tmp_path / "whole.jsonl")],
        capture_output=True, timeout=300, check=True,
    )  # fmt: skip
    scores = tmp_path / "scores.jsonl"
    command = [*COMMAND, str(path), "--outcome", "defections", "--json", "--scores", str(scores)]
    for count in (3, 20):
        killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while not scores.exists() or scores.read_bytes().count(b"\n") < count:
            assert time.monotonic() < end
            assert killed.poll() is None
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        with scores.open("ab") as file:  # as if it had been killed within a line
            file.write(b'["abc", [0.')
    done = subprocess.run(command, capture_output=True, timeout=300, check=True)
    assert done.stdout == whole.stdout
    assert sorted(scores.read_bytes().splitlines()) == sorted(
        (tmp_path / "whole.jsonl").read_bytes().splitlines()
    )


def test_a_scenario_without_choices_has_one_value(tmp_path: Path) -> None:
    rules = {"engine": {"use": "rules", "policy": [{"do": "defect"}]}, "actions": {"defect": {}}}
    done = exact(tmp_path, scenario(agents={"A": rules}))
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["values"] == [{"value": 3, "at_least": 1.0, "at_most": 1.0}]


@pytest.mark.parametrize(
    ("change", "options", "what"),
    [
        (
            {"agents": {"A": {**PLAYER, "speak": True}}},
            (),
            r"agents\.A, step 1: provider .* would write text of its own",
        ),
        (
            {"providers": {"default": {"use": "scripted", "replies": ["x"]}}},
            (),
            "would write text of its own",
        ),
        ({}, ("--explored", "2"), "expected a probability above 0"),
        ({"outcomes": {"other": "1"}}, (), "there is no outcome 'defections'"),
        ({"agents": {"A": {**PLAYER, "engine": "human"}}}, (), "."),
    ],
)
def test_what_cannot_be_computed(tmp_path: Path, change: Any, options: tuple[str, ...], what: str) -> None:
    import re

    done = exact(tmp_path, scenario(**change), *options)
    assert done.exit_code == 2, done.output
    assert re.search(what, done.output)
    assert "Traceback" not in done.output


def test_a_file_of_something_else_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "scores.jsonl").write_text('{"a": 1}\n')
    done = exact(tmp_path, scenario())
    assert done.exit_code == 2
    assert "scores.jsonl:1: this is no line of scores" in done.output
    assert (tmp_path / "scores.jsonl").read_text() == '{"a": 1}\n'
