"""What the README shows works: every scenario, Python module, settings file and command in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from pyscrai_core import api
from pyscrai_core.config import load_settings
from pyscrai_core.plugins import Host
from pyscrai_core.scenario.plan import Plan
from pyscrai_core.scenario.spec import AGENT_KEYS, ScenarioSpec
from pyscrai_core.scenario.trust import Gate

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
SCENARIO_KEYS = {option.name for option in attrs.fields(ScenarioSpec)}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


PYTHON, TOML = blocks("python"), blocks("toml")
YAML = [text for text in blocks("yaml") if not text.startswith("experiment:")]
SCENARIOS = {
    text: name
    for name, text in re.findall(r"[Ss]ave (?:this|it) as `([\w.]+)`.*?```yaml\n(.*?)```", README, re.DOTALL)
}
#: Python blocks with a name are modules, the others are run.
MODULES = {found[1]: text for text in PYTHON if (found := re.match(r"# (\S+\.py)\n", text))}


def as_module(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".")


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All files that the README shows, in the current folder, from which Python can import."""
    for text, name in SCENARIOS.items():
        Path(name).write_text(text)
    for name, text in MODULES.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in MODULES:
        for module in (as_module(name), as_module(name).split(".")[0]):
            sys.modules.pop(module, None)


def prepared(text: str) -> Plan:
    """The plan of a scenario, of a part of one, or of a part of an agent."""
    given: dict[str, Any] = yaml.safe_load(text)
    if "scenario" in given:
        assert text in SCENARIOS, "the README does not say under which name to save it"
        return api.prepare(SCENARIOS[text], settings=load_settings())
    if given.keys() <= SCENARIO_KEYS:
        text = f"scenario: a part of one\n{text}" + ("" if "agents" in given else "agents: {Mara: {}}\n")
        if "providers" not in given:  # one that tells the probabilities of options
            text += "providers: {default: {use: scripted, odds: {'yes': 0.5}}}\n"
    else:
        assert given.keys() <= AGENT_KEYS
        text = "scenario: a part of an agent\nagents:\n  Mara:\n" + re.sub("(?m)^", "    ", text)
    Path("part.yaml").write_text(text)
    return api.prepare("part.yaml", settings=load_settings())


def test_every_kind_of_block_is_tested() -> None:
    languages = set(re.findall(r"^```(\w+)$", README, re.MULTILINE))
    assert languages == {"yaml", "python", "toml", "console"}
    assert len(SCENARIOS) == sum("scenario:" in text for text in blocks("yaml"))


@pytest.mark.parametrize("text", YAML, ids=lambda text: text.split("\n")[0])
def test_the_scenarios_are_valid(text: str) -> None:
    assert prepared(text).scenario.agents


def test_the_experiments_that_have_results_are_there() -> None:
    contrib = Path(__file__).parents[1] / "contrib" / "experiments"
    market = (contrib / "market.yaml").read_text(encoding="utf-8").split("\n", 1)[1]
    assert market == next(text for text in YAML if "apple-market" in text)
    for name in re.findall(r"`(\w[\w-]*\.yaml)` is an? (?:A/B test|sweep)", README):
        assert (contrib / name).is_file()


def test_the_parts_of_scenarios_say_what_they_should() -> None:
    _, market, results, vendors, closed, tools = map(prepared, YAML)
    assert market.scenario.name == "apple-market"
    assert list(results.scenario.tables) == ["answers", "people"]
    assert vendors.scenario.limits.money == 2.5
    assert vendors.scenario.providers["default"].policy.draw == "provider"
    assert closed.scenario.outcomes["safe"].expected
    approval = Gate(trust=True).approve("README", tools.content, tools.demands)
    assert [one.make(approval).name for one in tools.tools["Mara"]] == ["stock", "throw"]


@pytest.mark.parametrize("text", PYTHON, ids=lambda text: text.split("\n")[0])
def test_the_python_runs(text: str) -> None:
    if text in MODULES.values():
        (name,) = (name for name in MODULES if MODULES[name] == text)
        import_module(as_module(name))
    else:
        exec(compile(text, "README.md", "exec"), {})


@pytest.mark.parametrize(
    ("library", "said"),
    [("answers", "Nine coins."), ("language", 'price: expected an integer, got "4"'), ("records", "Hello.")],
)
def test_the_python_of_a_library_below_the_kernel_runs(
    library: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    provider = {"use": "scripted", "replies": ["Hello."]}
    made = {"providers": {"default": provider}, "agents": {"A": {}}, "schedule": {"use": "round-robin"}}
    Path("made.yaml").write_text(yaml.safe_dump({"scenario": "made", **made, "limits": {"steps": 1}}))
    api.run("made.yaml", store="runs.db")
    readme = Path(__file__).parent.parent / "plugins" / library / "README.md"
    (text,) = re.findall(r"^```python\n(.*?)^```$", readme.read_text(), re.DOTALL | re.MULTILINE)
    exec(compile(text, str(readme), "exec"), {})
    assert said in capsys.readouterr().out


def test_the_tools_answer() -> None:
    scenario = yaml.safe_load(next(text for text in YAML if text.startswith("scenario: talk")))
    scenario["agents"]["Mara"] |= yaml.safe_load(next(text for text in YAML if text.startswith("tools:")))
    calls = [
        {"name": "stock", "arguments": {"of": "apples"}},
        {"name": "throw", "arguments": {"sides": 1}},
    ]
    scenario["providers"]["default"]["replies"]["Mara"] = [{"tool_calls": calls, "then": "Look."}]
    Path("tools.yaml").write_text(yaml.safe_dump(scenario))
    result = api.run("tools.yaml", trust=True)
    answers = [event.payload["result"] for event in result.events if event.kind == "tool"]
    assert answers == ["40", "1"] * 2, result.error


def test_the_plugin_works() -> None:
    (entry,) = (text for text in TOML if "entry-points" in text)
    plugins = tomllib.loads(entry)["project"]["entry-points"]["pyscrai"]
    host = Host(extra=[import_module(name) for name in plugins.values()])
    result = api.run("talk.yaml", set={"agents.Jon.engine": {"use": "shout", "marks": 2}}, host=host)
    assert result.status == "completed", result.error
    assert [event.payload["text"] for event in result.events if event.source == "Jon"] == [
        "WHAT DO THEY COST?!!",
        "AGREED.!!",
    ]


def test_the_settings_are_valid() -> None:
    (settings,) = (text for text in TOML if "entry-points" not in text)
    Path("pyscrai.toml").write_text(settings)
    assert load_settings().prices["my-model"].cached == 0.025


def test_the_commands_run() -> None:
    program = Path("bin/pyscrai")
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pyscrai_cli.main "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent.resolve()}{os.pathsep}{os.environ['PATH']}"}
    for line in "".join(blocks("console")).splitlines():
        done = subprocess.run(
            ["sh", "-c", line], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
