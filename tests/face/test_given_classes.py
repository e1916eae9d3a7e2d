"""Scenarios from Python: mappings, `Scenario` objects, and classes in the place of names."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

import pyscrai_core
from pyscrai_core import Completion, ConfigError, Engine, Message, Provider, Request, ScenarioError, Schedule
from pyscrai_core.api import fork, prepare, replay, resume
from pyscrai_core.config import load_settings
from pyscrai_core.scenario.given import add_classes
from pyscrai_core.turn import Stage, Turn


class Echo(Provider):
    async def complete(self, request: Request, sink: Any = None) -> Completion:
        return Completion(request.messages[-1].text, model="echo")


class Counter(Engine):
    """Says a number, which its tool or the model makes."""

    @frozen
    class Config:
        start: int = 1

    async def run(self, turn: Turn) -> None:
        if turn.agent.tools:
            turn.say(str(await turn.call_tool("double", {"number": self.config.start})))
        else:
            answer = await turn.think([Message.user(str(self.config.start + turn.step))])
            turn.say(answer.text)


class Turns(Schedule):
    @frozen
    class Config:
        steps: int = 3

    async def next(self, stage: Stage) -> Sequence[str]:
        return ["Mara"] if stage.step <= self.config.steps else []


def double(number: int) -> int:
    """Double a number."""
    return 2 * number


def scenario(**agent: Any) -> dict[str, Any]:
    return {
        "scenario": "count",
        "providers": {"default": Echo},
        "agents": {"Mara": {"engine": Counter, "memory": None, **agent}},
        "schedule": {"use": Turns, "steps": 2},
        "outcomes": {"said": "[e.payload.text for e in events]"},
    }


CLASSES = [Echo, Counter, Turns, double]


def test_a_mapping_with_classes_runs_and_stays_as_it_is() -> None:
    given = scenario(engine={"use": Counter, "start": 20})
    before = repr(given)
    result = pyscrai_core.run(given, seed=5, set={"schedule.steps": 1})
    assert (result.status, result.seed, result.outcomes) == ("completed", 5, {"said": ["21"]}), result.error
    assert repr(given) == before
    tools = pyscrai_core.run({**scenario(tools=[double]), "outcomes": {}})
    assert [event.payload["text"] for event in tools.events if event.kind == "say"] == ["2", "2"]


def test_the_run_says_which_classes_it_needs_and_takes_them_again() -> None:
    result = pyscrai_core.run(scenario(), set={"limits.calls": 1})
    assert result.status == "stopped"
    (run,) = pyscrai_core.runs()
    uses = {one["kind"]: (one["use"], one["plugin"]) for one in run.manifest["extensions"]}
    assert uses["engine"] == (f"{__name__}:Counter", "given classes")
    for again in (resume, replay):
        with pytest.raises(ScenarioError) as raised:
            again()
        said = str(raised.value)
        assert f"engine '{__name__}:Counter': it was given as a class or function from Python" in said
        assert "give it again, as in: pyscrai_core.api.resume(…, classes=[Counter])" in said
    done = resume(set={"limits.calls": 5}, classes=CLASSES)
    assert (done.status, done.outcomes) == ("completed", {"said": ["2", "3"]}), done.error
    assert replay(classes=[Counter, Turns]).fingerprint == done.fingerprint
    other = fork(at=1, set={"agents.Mara.engine": {"use": Counter, "start": 7}}, classes=CLASSES)
    assert other.outcomes == {"said": ["2", "9"]}, other.error


def test_a_scenario_object_runs() -> None:
    plan = prepare(scenario(), settings=load_settings())
    first = pyscrai_core.run(scenario())
    second = pyscrai_core.run(plan.scenario, classes=CLASSES)
    assert second.fingerprint == first.fingerprint


def test_a_mapping_is_as_good_as_its_file(tmp_path: Path) -> None:
    plain = {**scenario(), "providers": {"default": "none"}, "agents": {"Mara": {"engine": "nobody"}}}
    plain["schedule"] = "alone"
    Path("same.json").write_text(json.dumps(plain))
    with pytest.raises(ScenarioError) as of_file:
        pyscrai_core.run("same.json")
    with pytest.raises(ScenarioError) as of_mapping:
        pyscrai_core.run(plain)
    assert [one.what for one in of_mapping.value.mistakes] == [one.what for one in of_file.value.mistakes]
    assert {one.where for one in of_mapping.value.mistakes} == {"the scenario"}


@pytest.mark.parametrize(
    "given, said",
    [
        ([1], "the scenario: expected a path, a Scenario, or a mapping with at least `agents`; got"),
        ({"scenario": "x", "agents": {"A": {"state": {"x": object()}}}}, "the scenario.*plain data"),
        ({"scenario": "x"}, "`agents` is missing"),
        (
            scenario(engine=Turns),
            "engine '.*Turns': it is a class of the kind schedule; expected a subclass of E",
        ),
    ],
)
def test_scenarios_that_are_wrong(given: Any, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        pyscrai_core.run(given)
    assert not Path(".pyscrai").exists()


def test_classes_that_are_no_extensions() -> None:
    with pytest.raises(ConfigError, match="test_given_classes:Other: it is no extension"):
        pyscrai_core.run(scenario(engine=type("Other", (), {"__module__": __name__})))
    with pytest.raises(ConfigError, match="two classes have this name"):
        add_classes(load_settings().host(), [Counter, type("Counter", (Counter,), {"__module__": __name__})])


def test_classes_of_a_main_program(tmp_path: Path) -> None:
    """As in a notebook, where the classes are in `__main__`."""
    program = (
        "from pyscrai_core import Completion, Engine, Provider, Schedule, run\n"
        "from pyscrai_core.api import replay\n"
        "class Say(Engine):\n"
        "    async def run(self, turn): turn.say('hello')\n"
        "class Once(Schedule):\n"
        "    async def next(self, stage): return ['A'] if stage.step < 3 else []\n"
        "made = run({'scenario': 's', 'agents': {'A': {'engine': Say, 'memory': None}}, 'schedule': Once})\n"
        "print(made.status, len(made.events), replay(classes=[Say, Once]).fingerprint == made.fingerprint)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stdout == "completed 2 True\n", ended.stderr
