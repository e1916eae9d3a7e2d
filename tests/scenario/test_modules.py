"""A scenario's own code: `use: ./file.py:name`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_core import Event, NoConfig, Observer, ScenarioError, TrustRequired, api
from pyscrai_core.config import load_settings
from pyscrai_core.scenario.trust import Gate

MODULE = """
from pathlib import Path
from attrs import frozen
from pyscrai_core import Engine, tool

Path("executed").write_text("yes")

def weather(city: str) -> str:
    "The weather in a town."
    with open("asked", "a") as file:
        file.write(city + " ")
    return f"It rains in {city}."

@tool(external=False)
def double(x: int) -> int:
    "Twice a number."
    return 2 * x

def raises(x: int = 1) -> int:
    "Never works."
    raise RuntimeError("no such luck")

def undocumented(x):
    return x

class Shout(Engine):
    emits = {"shout": {"type": "object"}}

    @frozen
    class Config:
        marks: int = 1

    async def run(self, turn):
        turn.emit("shout", {"text": (await turn.think("?")).text + "!" * self.config.marks})

number = 7
"""


def calls(*names: str, **arguments: Any) -> dict[str, Any]:
    asked = [{"name": name, "arguments": arguments} for name in names]
    return {"default": {"use": "scripted", "replies": [{"tool_calls": asked, "then": "So it is."}]}}


@pytest.fixture(autouse=True)
def module(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MODULE)
    return path


def agent(*tools: Any, **more: Any) -> dict[str, Any]:
    return {"agents": {"A": {"tools": list(tools), **more}}, "schedule": {"use": "round-robin", "rounds": 1}}


def test_functions_become_tools_that_the_model_calls(play: Any, tmp_path: Path, module: Path) -> None:
    scenario = {"providers": calls("weather", city="Bonn"), **agent("./mine.py:weather", "./mine.py:double")}
    result = play(scenario, trust=True)
    assert [(event.kind, event.payload.get("result")) for event in result.events] == [
        ("tool", "It rains in Bonn."),
        ("say", None),
    ]
    assert (tmp_path / "asked").read_text() == "Bonn "
    # An execution again needs neither the file nor what it says by now.
    module.write_text("raise SystemExit(1)")
    assert api.replay(store=tmp_path / "runs.db").fingerprint == result.fingerprint
    assert (tmp_path / "asked").read_text() == "Bonn "


def test_what_is_set_on_a_function_is_meant(play: Any, tmp_path: Path, module: Path) -> None:
    module.write_text(module.read_text() + "\nweather.repeatable = False\n")
    play(agent("./mine.py:weather", "./mine.py:double"), trust=True)
    plan = api.prepare(tmp_path / "scenario.json", settings=load_settings())
    approval = Gate(trust=True).approve("t", plan.content, plan.demands)
    assert [blueprint.make(approval).repeatable for blueprint in plan.tools["A"]] == [False, True]


def test_a_pure_tool_is_executed_again_from_the_recorded_text(
    play: Any, tmp_path: Path, module: Path
) -> None:
    result = play({"providers": calls("double", x=4), **agent("./mine.py:double")}, trust=True)
    assert result.events[0].payload == {"name": "double", "arguments": {"x": 4}, "result": "8"}
    module.write_text(MODULE.replace("2 * x", "3 * x"))
    assert api.replay(store=tmp_path / "runs.db").fingerprint == result.fingerprint


def test_an_engine_of_ones_own_with_options_and_kinds_of_events(play: Any) -> None:
    result = play(
        {
            "providers": {"default": {"use": "scripted", "replies": ["Hey"]}},
            **agent(engine={"use": "./mine.py:Shout", "marks": 3}),
        },
        trust=True,
    )
    assert [(event.kind, event.payload) for event in result.events] == [("shout", {"text": "Hey!!!"})]


def test_a_tool_that_raises_is_told_to_the_agent(play: Any) -> None:
    result = play({"providers": calls("raises"), **agent("./mine.py:raises")}, trust=True)
    assert result.status == "completed"
    assert result.events[0].payload["error"] == "tool raises: RuntimeError: no such luck"


def test_nothing_is_executed_before_a_yes(play: Any, tmp_path: Path) -> None:
    scenario = {"providers": calls("double", x=4), **agent("./mine.py:double")}
    with pytest.raises(TrustRequired, match=r"run the Python code in the file: \./mine\.py"):
        play(scenario)
    api.prepare(tmp_path / "scenario.json", settings=load_settings())
    assert not (tmp_path / "executed").exists()
    play(scenario, trust=True)
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("use", "text", "said"),
    [
        (
            "./mine.py:wether",
            MODULE,
            "has no 'wether' (did you mean 'weather'?); expected ./mine.py:NAME with",
        ),
        ("./mine.py", MODULE, "needs the name of a function or class; expected ./mine.py:NAME"),
        ("./other.py:weather", MODULE, "there is no file './other.py'"),
        ("./mine.py:weather", "def weather(:\n", "mine.py:1: it is not Python"),
        ("./mine.py:number", MODULE, "./mine.py:number cannot be used as tool; expected a subclass of Tool"),
        ("./mine.py:undocumented", MODULE, "undocumented"),
        ("./mine.py:weather", "1/0\ndef weather(): 'x'\n", "it raised ZeroDivisionError"),
        ({"use": "./mine.py:double", "x": 1}, MODULE, "unknown key 'x'"),
        ({"use": "./mine.py:double", "timeout": 0}, MODULE, "expected more than 0, got 0"),
    ],
)
def test_mistakes_have_their_place_and_leave_no_run(
    play: Any, tmp_path: Path, module: Path, use: Any, text: str, said: str
) -> None:
    module.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        play({"providers": calls("double", x=4), **agent(use)}, trust=True)
    assert said in str(caught.value)
    assert "scenario.json:1:" in str(caught.value)
    assert "agents.A.tools[0]" in str(caught.value)
    store = tmp_path / "runs.db"
    assert not store.exists() or not api.Store.open(store).runs()


def test_calls_a_minute_are_bounded_for_all_agents_together(play: Any, virtual_clock: None) -> None:
    times: list[float] = []

    class Watch(Observer):
        def on_event(self, event: Event) -> None:
            if event.kind == "tool":
                times.append(asyncio.get_running_loop().time())

    tool = {"use": "./mine.py:double2", "calls_per_minute": 2}
    Path("mine.py").write_text("async def double2(x: int) -> int:\n    'Twice.'\n    return 2 * x\n")
    scenario = {
        "providers": calls("double2", x=4),
        "agents": {name: {"tools": [tool]} for name in "ABC"},
        "schedule": {"use": "round-robin", "rounds": 1},
    }
    result = play(scenario, trust=True, observers=[Watch(NoConfig())])
    assert result.status == "completed", result.error
    assert [event.payload["result"] for event in result.events if event.kind == "tool"] == ["8"] * 3
    first, second, third = times
    assert second - first < 1
    assert 59 < third - first < 62


def test_slow_calls_are_bounded(play: Any, module: Path) -> None:
    module.write_text(
        "import time\n\ndef slow(x: int = 1) -> int:\n    'Slow.'\n    time.sleep(20)\n    return x\n"
    )
    tools = [{"use": "./mine.py:slow", "timeout": 0.05}]
    result = play({"providers": calls("slow"), **agent(*tools)}, trust=True)
    assert result.events[0].payload["error"] == "tool slow: no answer within 0.05 s"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 'x' * 2_000_000", "its answer has 2,000,002 bytes, and 1,000,000 are the most"),
        ("return {1, 2}", "set is not JSON"),
        ("return float('nan')", "is not a finite number"),
    ],
)
def test_an_answer_that_is_no_answer_is_told_to_the_agent(
    play: Any, module: Path, body: str, said: str
) -> None:
    module.write_text(f"def odd(x: int = 1):\n    'Odd.'\n    {body}\n")
    result = play({"providers": calls("odd"), **agent("./mine.py:odd")}, trust=True)
    assert result.status == "completed"
    assert said in result.events[0].payload["error"]


def test_a_run_uses_the_resolved_functions_like_any_plugin(tmp_path: Path) -> None:
    # Also through the public door, from a YAML file.
    (tmp_path / "s.yaml").write_text(
        "scenario: s\nproviders: {default: {use: scripted, replies: [hi]}}\n"
        "agents: {A: {tools: ['./mine.py:double']}}\nschedule: {use: round-robin, rounds: 1}\n"
    )
    result = pyscrai_core.run(tmp_path / "s.yaml", trust=True)
    assert result.status == "completed"
    with api.Store.open(tmp_path / ".pyscrai" / "runs.db") as store:
        manifest = store.run("last").manifest
    assert list(manifest["modules"]) == ["./mine.py"]
    assert manifest["files"]["./mine.py"] == MODULE
