"""Trust: a scenario is data until a person approves of what it demands beyond that."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from attrs import frozen

import pyscrai_core
from pyscrai_core import (
    Engine,
    FilePath,
    ScenarioError,
    SecretName,
    TrustRequired,
    Turn,
    Url,
    api,
)
from pyscrai_core.config import load_settings
from pyscrai_core.plugins import Host
from pyscrai_core.runtime import execution
from pyscrai_core.scenario import plan as planning
from pyscrai_core.scenario.overrides import Override
from pyscrai_core.scenario.plan import Plan
from pyscrai_core.scenario.trust import Gate

VENDOR = Url("https://vendor.example/v1")


@frozen
class ReaderConfig:
    file: FilePath | None = None
    model: Literal["small"] | FilePath = "small"
    address: Url | None = None
    vendor: Url = VENDOR
    key: SecretName | None = None
    given: dict[str, SecretName] | None = None


class Reader(Engine):
    """Says what options it got; `made` counts how often any was constructed."""

    Config = ReaderConfig
    made: list[ReaderConfig] = []

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__(config)
        self.made.append(config)

    async def run(self, turn: Turn) -> None:
        turn.say(f"{self.config.file} {self.config.model}")


@pytest.fixture
def host(host_with: Callable[..., Host]) -> Host:
    Reader.made.clear()
    return host_with(engine__reader=Reader)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder for the scenario, with a neighbour that it has no business with."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other/agent.yaml").write_text("persona: From elsewhere\n")
    (tmp_path / "other/prompt.j2").write_text("Speak, {{ name }}.")
    (tmp_path / "other/people.csv").write_text("age\n20\n30\n")
    (tmp_path / "study").mkdir()
    os.chdir(tmp_path / "study")
    return tmp_path / "study"


def write(agents: str, seed: int = 1) -> None:
    providers = "{default: {use: scripted, replies: [Hello.]}}"
    schedule = "{use: round-robin, rounds: 1}"
    text = f"scenario: t\nseed: {seed}\nproviders: {providers}\nschedule: {schedule}\nagents: {agents}\n"
    Path("scenario.yaml").write_text(text)


def prepared(host: Host, **given: Any) -> Plan:
    return api.prepare("scenario.yaml", settings=load_settings(), host=host, **given)


OUTSIDE = "read the file"
DEMANDING = [
    ("{A: {template: ../other/agent.yaml}}", f"{OUTSIDE}: UP/other/agent.yaml"),
    ("{A: {engine: actor, prompt: ../other/prompt.j2}}", f"{OUTSIDE}: UP/other/prompt.j2"),
    ("{A: {vary: ../other/people.csv}}", f"{OUTSIDE}: UP/other/people.csv"),
    ("{A: {engine: reader, file: ../x}}", f"{OUTSIDE}: UP/x"),
    ("{A: {engine: reader, file: /etc/hosts}}", f"{OUTSIDE}: /etc/hosts"),
    ("{A: {engine: reader, model: ../w.gguf}}", f"{OUTSIDE}: UP/w.gguf"),
    ("{A: {engine: reader, address: 'https://example.org/v1'}}", "connect to: example.org"),
    ("{A: {engine: reader, address: 'https://example.org:443/v1'}}", "connect to: example.org"),
    ("{A: {engine: reader, address: 'HTTP://example.org/v1'}}", "connect to: http://example.org"),
    ("{A: {engine: reader, address: 'https://me@example.org:8443'}}", "connect to: https://example.org:8443"),
    ("{A: {engine: reader, address: 'http://[2001:db8::1]:80'}}", "connect to: http://[2001:db8::1]:80"),
    ("{A: {engine: reader, vendor: 'http://vendor.example/v1'}}", "connect to: http://vendor.example"),
    (
        "{A: {engine: reader, vendor: 'https://vendor.example:8443'}}",
        "connect to: https://vendor.example:8443",
    ),
    ("{A: {engine: reader, key: MY_KEY}}", "read the secret in the environment variable: MY_KEY"),
]


def test_the_variables_that_a_program_is_given_are_part_of_the_question(host: Host, study: Path) -> None:
    """With some names, the value decides what is executed: `PYTHONPATH: PWD` runs files of the folder."""
    write("{A: {engine: reader, given: {PYTHONPATH: PWD, TOKEN: MY_KEY}}}")
    read, given = "read the secret in the environment variable", "set the environment variable of the program"
    assert list(prepared(host).demands) == [
        f"{read}: PWD",
        f"{given}: PYTHONPATH=$PWD",
        f"{read}: MY_KEY",
        f"{given}: TOKEN=$MY_KEY",
    ]
    for wrong in ("[PWD]", "{A: 3}", "{'A B': PWD}", "{A: 'x\\ny'}", "{'': PWD}"):
        write(f"{{A: {{engine: reader, given: {wrong}}}}}")
        with pytest.raises(ScenarioError, match="variable|expected a mapping"):
            prepared(host)


@pytest.mark.parametrize(
    "name", ["fa\xdf.example", "vendor\u3002example", "vendor.exa\xadmple", "\uff56.example"]
)
def test_a_host_that_libraries_read_differently_is_refused(host: Host, study: Path, name: str) -> None:
    write(f"{{A: {{engine: reader, address: 'https://{name}/v1'}}}}")
    with pytest.raises(ScenarioError, match="not read alike everywhere; write .* the host's name as xn--"):
        prepared(host)


@pytest.mark.parametrize(("agents", "demand"), DEMANDING)
def test_what_is_more_than_data_needs_a_yes(host: Host, study: Path, agents: str, demand: str) -> None:
    write(agents)
    demand = demand.replace("UP", str(study.parent))
    assert list(prepared(host).demands) == [demand]
    with pytest.raises(TrustRequired) as caught:
        pyscrai_core.run("scenario.yaml", host=host)
    assert demand in str(caught.value)
    assert "read the scenario, then add --trust" in str(caught.value)
    assert Reader.made == []  # nothing was constructed, let alone run
    assert [path.name for path in Path().iterdir()] == ["scenario.yaml"]
    assert pyscrai_core.run("scenario.yaml", host=host, trust=True).status == "completed"


@pytest.mark.parametrize(
    "agents",
    [
        "{A: {template: sub/agent.yaml}}",
        "{A: {template: ./sub/../sub/agent.yaml}}",
        "{A: {engine: actor, prompt: sub/prompt.j2}}",
        "{A: {vary: sub/people.csv}}",
        "{A: {engine: reader, file: sub/x}}",
        "{A: {engine: reader, model: small}}",
        "{A: {engine: reader, address: 'http://localhost:8080/v1'}}",
        "{A: {engine: reader, address: 'http://127.0.0.1/v1'}}",
        "{A: {engine: reader, address: 'http://[::1]/v1'}}",
        "{A: {engine: reader, vendor: 'https://vendor.example/v1'}}",
    ],
)
def test_what_is_in_the_folder_or_on_this_machine_does_not(host: Host, study: Path, agents: str) -> None:
    (study.parent / "other").rename(study / "sub")
    write(agents)
    assert list(prepared(host).demands) == []
    assert pyscrai_core.run("scenario.yaml", host=host).status == "completed"


def test_a_link_leads_outside_too(host: Host, study: Path) -> None:
    (study / "agent.yaml").symlink_to("../other/agent.yaml")
    write("{A: {template: agent.yaml}}")
    assert list(prepared(host).demands) == [f"{OUTSIDE}: {study.parent}/other/agent.yaml"]
    (study / "round").symlink_to("round")
    write("{A: {template: round}}")
    with pytest.raises(pyscrai_core.ScenarioError, match=r"agents\.A\.template"):
        prepared(host)


def test_a_path_in_an_option_is_absolute_wherever_the_command_is_run(
    host: Host, study: Path, tmp_path: Path
) -> None:
    write("{A: {engine: reader, file: sub/x, model: sub/w}}")
    os.chdir(tmp_path)
    result = pyscrai_core.run("study/scenario.yaml", host=host)
    assert [event.payload["text"] for event in result.events] == [f"{study}/sub/x {study}/sub/w"]
    # A run that is executed again has the same options, though it does not know the file.
    plan = api.prepare("study/scenario.yaml", settings=load_settings(), host=host)
    again = planning.from_manifest(plan.manifest, host, replay=False)
    blueprint = again.agents["A"]["engine"]
    assert blueprint is not None
    assert blueprint.load()[1].file == f"{study}/sub/x"
    # Whose folder that was, nobody knows of a run that comes from elsewhere. It is remembered of this one.
    assert list(again.demands) == [f"{OUTSIDE}: {study}/sub/x", f"{OUTSIDE}: {study}/sub/w"]
    assert api.replay(host=host, store=".pyscrai/runs.db").status == "completed"


# -- an approval --------------------------------------------------------------------------------


class Person:
    """Answers questions, and remembers them."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def __call__(self, question: str) -> bool:
        self.asked.append(question)
        return self.answer


def ask(host: Host, person: Person, **given: Any) -> None:
    execution.approve(Gate(confirm=person), prepared(host, **given), "scenario.yaml")


def test_a_person_is_asked_with_the_full_list_and_a_no_is_a_no(host: Host, study: Path) -> None:
    write("{A: {template: ../other/agent.yaml, engine: reader, file: /etc/hosts, key: MY_KEY}}")
    person = Person(False)
    for _ in range(2):  # a no is not remembered
        with pytest.raises(TrustRequired, match="you did not approve it; nothing was run"):
            ask(host, person)
    assert len(person.asked) == 2
    assert person.asked[0].splitlines()[1:-1] == [
        f"  1. {OUTSIDE}: {study.parent}/other/agent.yaml",
        f"  2. {OUTSIDE}: /etc/hosts",
        "  3. read the secret in the environment variable: MY_KEY",
    ]


def test_a_yes_is_remembered_until_the_content_changes(host: Host, study: Path) -> None:
    agents = "{A: {template: ../other/agent.yaml, goals: [win]}}"
    write(agents)
    person = Person(True)
    ask(host, person)
    ask(host, person)
    assert len(person.asked) == 1
    assert pyscrai_core.run("scenario.yaml", host=host).status == "completed"  # where nobody can be asked

    write(agents.replace("win", "lose"))
    ask(host, person)
    assert len(person.asked) == 2
    (study.parent / "other/agent.yaml").write_text("persona: Somebody else\n")
    ask(host, person)
    assert len(person.asked) == 3
    write(agents)
    (study.parent / "other/agent.yaml").write_text("persona: From elsewhere\n")
    ask(host, person)
    assert len(person.asked) == 3  # as it was when it was allowed


def test_a_seed_and_an_override_of_ones_own_are_no_other_content(host: Host, study: Path) -> None:
    write("{A: {vary: {age: [1, 2, 3]}, count: 9, template: ../other/agent.yaml}}")
    person = Person(True)
    ask(host, person)
    ask(host, person, seed=2)
    ask(host, person, overrides=[Override.parse("limits.calls", "9")])
    assert len(person.asked) == 1
    # But what an override demands is asked for.
    ask(host, person, overrides=[Override.parse("agents.B", "{prompt: ../other/prompt.j2}")])
    assert len(person.asked) == 2


def test_yes_beforehand_is_not_remembered(host: Host, study: Path) -> None:
    write("{A: {template: ../other/agent.yaml}}")
    assert pyscrai_core.run("scenario.yaml", host=host, trust=True).status == "completed"
    with pytest.raises(TrustRequired):
        pyscrai_core.run("scenario.yaml", host=host)


# -- nothing is executed ------------------------------------------------------------------------


def test_checking_a_scenario_executes_nothing_and_writes_nothing(host: Host, study: Path) -> None:
    (study / "evil.py").write_text("import pathlib; pathlib.Path('executed').touch()")
    (study / "conftest.py").write_text("import pathlib; pathlib.Path('executed').touch()")
    write("{A: {engine: reader, file: evil.py}}")
    before = sorted(study.rglob("*")), set(sys.modules)
    prepared(host)
    assert Reader.made == []
    assert (sorted(study.rglob("*")), set(sys.modules)) == before
