"""Prompts of scenarios: files of their own, and mistakes in them told with both places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

import pyscrai_core
from pyscrai_core import Engine, Prompt, RunResult, ScenarioError, Turn, api
from pyscrai_core.config import load_settings
from pyscrai_core.plugins import Host

SCENARIO = """\
scenario: talk
providers: {default: {use: scripted, replies: [Good morning.]}}
agents:
  Mara: {engine: actor, prompt: prompts/mine.j2}
"""


@pytest.fixture
def prepare() -> Callable[..., Any]:
    host = Host()

    def prepare(template: str, scenario: str = SCENARIO) -> Any:
        Path("prompts").mkdir(exist_ok=True)
        Path("prompts/mine.j2").write_text(template)
        Path("scenario.yaml").write_text(scenario)
        return api.prepare("scenario.yaml", settings=load_settings(), host=host)

    return prepare


def test_a_file_replaces_a_prompt_and_its_text_is_kept(prepare: Callable[..., Any]) -> None:
    plan = prepare("{{ name }}, it is your turn: {{ step }}")
    assert plan.source.files == {"prompts/mine.j2": "{{ name }}, it is your turn: {{ step }}"}
    assert "prompts/mine.j2" in plan.manifest.prompts


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (
            "Hello\nyou, {{ nam }}",
            "prompts/mine.j2:2: the name 'nam' is not defined (did you mean 'name'?); known here: "
            "actions, first, "
            "goals, groups, ",
        ),
        ("{{ ''.__class__ }}", "prompts/mine.j2:1: the attribute '__class__' is private"),
        (
            "\n{% include 'x' %}",
            "prompts/mine.j2:2: a template may not load another; put all of it into one file",
        ),
        ("{% endif %}", "prompts/mine.j2:1: Encountered unknown tag 'endif'"),
    ],
)
def test_a_mistake_in_a_prompt_is_told_with_both_places(
    prepare: Callable[..., Any], template: str, expected: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        prepare(template)
    assert str(caught.value).startswith(f"scenario.yaml:4:33: agents.Mara.prompt: {expected}")
    assert not Path(".pyscrai").exists()


def test_a_prompt_that_is_not_there_is_guessed(prepare: Callable[..., Any]) -> None:
    with pytest.raises(ScenarioError) as caught:
        prepare("x", SCENARIO.replace("mine.j2", "mien.j2"))
    assert str(caught.value).startswith(
        "scenario.yaml:4:33: agents.Mara.prompt: there is no file 'prompts/mien.j2' (did you mean "
        "'prompts/mine.j2'?)"
    )


def test_a_prompt_that_does_too_much_fails_its_run(prepare: Callable[..., Any]) -> None:
    prepare("a\n{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}")
    result = pyscrai_core.run("scenario.yaml")
    assert result.status == "failed"
    assert "prompts/mine.j2:2: the template does too much; loop over less" in result.error


NAMED = Prompt("{{ name }}", "inner.j2", frozenset({"name"}))


@frozen
class Inner:
    template: Prompt = NAMED


DEFAULT = Inner()


@frozen
class HasPrompts:
    inner: Inner = DEFAULT


class Speaker(Engine):
    Config = HasPrompts

    async def run(self, turn: Turn) -> None:
        turn.say(self.config.inner.template.render(name=turn.agent.name))


def test_a_prompt_inside_of_other_options_is_checked_too(
    play: Callable[..., RunResult], tmp_path: Path
) -> None:
    scenario = {"agents": {"Mara": {"engine": "speaker", "inner": {"template": "mine.j2"}}}}
    (tmp_path / "mine.j2").write_text("I am {{ name }}.")
    scenario["schedule"] = {"use": "round-robin", "rounds": 1}  # type: ignore[dict-item]
    assert [event.payload["text"] for event in play(scenario, engine__speaker=Speaker).events] == [
        "I am Mara."
    ]
    (tmp_path / "mine.j2").write_text("I am {{ nam }}.")
    with pytest.raises(
        ScenarioError, match=r"agents\.Mara\.inner\.template: mine\.j2:1: the name 'nam' is not"
    ):
        play(scenario, engine__speaker=Speaker)
