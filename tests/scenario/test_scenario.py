"""Scenarios that are well: what a file comes to, with its templates, overrides and other formats."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import evolve, field, frozen

import pyscrai_core
from pyscrai_core import (
    Completion,
    ContractError,
    Engine,
    Mistake,
    Provider,
    Reasoning,
    Request,
    RunResult,
    ScenarioError,
    Turn,
    api,
)
from pyscrai_core.agent import Acts, Use
from pyscrai_core.config import load_settings
from pyscrai_core.plugins import Host
from pyscrai_core.runtime.components import with_inner
from pyscrai_core.scenario import plan as planning
from pyscrai_core.scenario.manifest import Manifest
from pyscrai_core.scenario.model import Scenario
from pyscrai_core.scenario.overrides import Override
from pyscrai_core.scenario.plan import Plan
from pyscrai_language.schemas import check_value

FULL = """\
scenario: market
description: Two people haggle.
seed: 7
plugins: [cast, memory, schedules, scripted]
providers:
  default: {use: scripted, replies: [Hello.], temperature: 0.5, max_tokens: 20, stop: [END]}
  second: {use: scripted, generate: true}
world:
  premise: A market at dawn.
  state: {price: null, sold: 0, by: null}
agents:
  Mara:
    engine: actor
    words: 30
    persona: A farmer
    goals: [Sell, Rest]
    provider: second
    reasoning: null
    memory: {use: window, tokens: 500}
    actions:
      offer: {price: {type: integer, minimum: 1}, note: {type: string, default: ''}}
      accept: {when: state.price > 3, description: take it, audience: [Jon, all]}
    state: {purse: 3}
    on_error: skip
  Jon: {engine: {use: narrator, words: 9}, memory: null, acts: [start, {every: 2}, {on: [offer, say]}]}
  Judge: {engine: analyst, acts: end}
groups:
  all: [Mara, Jon]
  pair: {members: [Jon, Mara], state: {trust: 1}}
events:
  bell: {type: object}
rules:
  - {on: offer, set: {price: event.payload.price, 'by.{event.source}': true}}
  - {on: accept, when: event.source == 'Jon', add: {sold: 1}}
schedule: {use: simultaneous, rounds: 2}
stop_when: state.sold > 0
limits: {calls: 50, seconds: 60, concurrency: 3}
outcomes: {price: state.price}
"""
SMALL = """\
scenario: talk
providers: {default: {use: scripted, replies: [Hello.]}}
schedule: {use: round-robin, rounds: 1}
agents:
  Mara: {persona: A farmer, goals: [win, rest], memory: window}
  Jon: {template: templates/buyer.yaml, goals: [pay little]}
  Crowd: {count: 2, persona: "I am {{ name }}."}
"""
BUYER = """\
persona: A buyer
goals: [buy, go home]
engine: {use: actor, words: 9}
state: {coins: 5}
"""


@pytest.fixture(scope="module")
def installed() -> Host:
    return Host()


def prepare(
    host: Host, text: str, name: str = "scenario.yaml", *, set: Mapping[str, str] | None = None, **given: Any
) -> Plan:
    Path(name).write_text(text)
    Path("templates").mkdir(exist_ok=True)
    if not Path("templates/buyer.yaml").exists():
        Path("templates/buyer.yaml").write_text(BUYER)
    overrides = [Override.parse(path, value) for path, value in (set or {}).items()]
    return api.prepare(name, settings=load_settings(), host=host, overrides=overrides, **given)


def load(host: Host, text: str, **given: Any) -> Scenario:
    return prepare(host, text, **given).scenario


# -- what a file comes to -----------------------------------------------------------------------


def test_every_key_comes_to_what_it_says(installed: Host) -> None:
    scenario = load(installed, FULL)
    assert (scenario.name, scenario.description, scenario.seed) == ("market", "Two people haggle.", 7)
    assert (scenario.premise, scenario.state) == ("A market at dawn.", {"price": None, "sold": 0, "by": None})
    default = scenario.providers["default"]
    assert (default.use, default.options) == ("scripted", {"replies": ["Hello."]})
    assert default.sampling.to_dict() == {
        "temperature": 0.5,
        "top_p": None,
        "max_tokens": 20,
        "stop": ["END"],
    }
    mara = scenario.agents["Mara"]
    assert (mara.persona, mara.goals, mara.provider) == ("A farmer", ("Sell", "Rest"), "second")
    assert (mara.engine, mara.reasoning) == (Use("actor", {"words": 30}), None)
    assert (mara.memory, mara.tools) == (Use("window", {"tokens": 500}), ())
    assert (mara.state, mara.on_error, mara.groups) == ({"purse": 3}, "skip", ("all", "pair"))
    assert mara.actions["offer"].schema == {
        "type": "object",
        "properties": {"price": {"type": "integer", "minimum": 1}, "note": {"type": "string", "default": ""}},
        "required": ["price"],
        "additionalProperties": False,
    }
    accept = mara.actions["accept"]
    assert accept.when is not None
    assert (accept.when, accept.description) == ("state.price > 3", "take it")
    assert accept.audience == ("Jon", "all")
    jon = scenario.agents["Jon"]
    assert (jon.engine, jon.memory) == (Use("narrator", {"words": 9}), None)
    assert jon.acts == Acts(start=True, every=2, on=frozenset({"offer", "say"}))
    assert scenario.agents["Judge"].acts == Acts(end=True)
    assert (scenario.groups["all"].members, scenario.groups["pair"].state) == (("Mara", "Jon"), {"trust": 1})
    assert [rule.on for rule in scenario.rules] == ["offer", "accept"]
    assert [one.text for one in scenario.rules[0].assignments] == ["set price", "set by.{event.source}"]
    assert scenario.schedule == Use("simultaneous", {"rounds": 2})
    assert scenario.stop_when is not None
    assert (scenario.limits.calls, scenario.limits.seconds, scenario.limits.concurrency) == (50, 60.0, 3)
    assert scenario.outcomes["price"].expression.source == "state.price"


def test_what_is_not_said_has_defaults(installed: Host) -> None:
    scenario = load(installed, "scenario: least\nagents: {A: {}}\n")
    agent = scenario.agents["A"]
    assert (agent.engine, agent.memory, agent.reasoning) == (Use("actor"), Use("full"), None)
    assert (agent.acts, agent.on_error, agent.provider) == (Acts(scheduled=True), "fail", "default")
    assert (scenario.schedule, scenario.seed, scenario.limits.concurrency) == (Use("round-robin"), 0, 64)
    assert scenario.groups == {}


def test_json_is_a_scenario_too_and_is_told_in_the_same_way(installed: Host) -> None:
    document = prepare(installed, FULL).scenario.document
    written = json.dumps(document, indent="\t")
    assert prepare(installed, written, "scenario.json").scenario == load(installed, FULL)
    text = '{"scenario": "t", "agents": {\n\t"A": {"persona": 3, "état": 1, "goals": ["\\ud83d\\ude00"]}}}'
    with pytest.raises(ScenarioError) as caught:
        prepare(installed, text, "scenario.json")
    assert [str(mistake).split(": ")[:2] for mistake in caught.value.mistakes] == [
        ["scenario.json:2:19", "agents.A.persona"],
        ["scenario.json:2:22", "agents.A.état"],
    ]


def test_a_resolved_scenario_reads_the_same_without_its_files(installed: Host) -> None:
    Path("p.j2").write_text("{{ name }}: {{ step }}")
    Path("people.csv").write_text("age\n20\n30\n")
    text = SMALL.replace("Mara: {", "Mara: {prompt: p.j2, ").replace("count: 2", "vary: people.csv")
    plan = prepare(installed, text, set={"agents.Jon.words": "7", "agents.Crowd-2.goals": "[stay]"}, seed=5)
    manifest = orjson.loads(orjson.dumps(plan.manifest.to_dict()))  # as the store keeps it
    for path in (Path("p.j2"), Path("people.csv"), Path("scenario.yaml")):
        path.unlink()
    shutil.rmtree("templates")
    for replay in (False, True):
        again = planning.from_manifest(Manifest.from_dict(manifest), installed, replay=replay)
        assert again.scenario == plan.scenario
        assert again.manifest == evolve(plan.manifest, extensions=again.manifest.extensions)
        blueprint = again.agents["Mara"]["engine"]
        assert blueprint is not None
        assert blueprint.load()[1].prompt.text == "{{ name }}: {{ step }}"
    assert manifest["files"]["p.j2"] == "{{ name }}: {{ step }}"
    assert again.scenario.seed == 5
    assert again.scenario.agents["Crowd-2"].goals == ("stay",)


def test_the_resolved_document_is_a_scenario_that_reads_the_same(installed: Host) -> None:
    first = load(installed, SMALL)
    assert load(installed, json.dumps(first.document)) == first
    full = load(installed, FULL)
    assert load(installed, json.dumps(full.document)) == full


# -- templates ----------------------------------------------------------------------------------


def test_an_agents_own_keys_replace_those_of_its_template(installed: Host) -> None:
    jon = load(installed, SMALL).agents["Jon"]
    assert (jon.persona, jon.goals, jon.state) == ("A buyer", ("pay little",), {"coins": 5})
    assert jon.engine == Use("actor", {"words": 9})
    text = SMALL.replace("goals: [pay little]", "state: {debt: 1}, engine: actor, words: 3")
    jon = load(installed, text).agents["Jon"]
    assert (jon.state, jon.engine, jon.goals) == ({"debt": 1}, Use("actor", {"words": 3}), ("buy", "go home"))


def test_a_template_can_be_a_population(installed: Host) -> None:
    Path("templates").mkdir()
    Path("templates/buyer.yaml").write_text("count: 2\npersona: 'I am {{ name }}.'\n")
    agents = load(installed, SMALL).agents
    assert [name for name in agents if name.startswith("Jon")] == ["Jon-1", "Jon-2"]
    assert agents["Jon-2"].persona == "I am Jon-2."


def test_places_of_a_template_are_shown_from_where_the_command_is_run(installed: Host) -> None:
    Path("study/templates").mkdir(parents=True)
    Path("study/templates/buyer.yaml").write_text("persona: Fine\ngaols: [x]\n")
    with pytest.raises(ScenarioError) as caught:
        prepare(installed, SMALL, "study/scenario.yaml")
    assert caught.value.mistakes[0].where == "study/templates/buyer.yaml:2:1"


# -- overrides ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "look", "expected"),
    [
        ("agents.Mara.persona", "A poet", lambda s: s.agents["Mara"].persona, "A poet"),
        ("agents.Mara.goals", "[a, b, c]", lambda s: s.agents["Mara"].goals, ("a", "b", "c")),
        ("agents.Mara.goals.1", "sing", lambda s: s.agents["Mara"].goals, ("win", "sing")),
        ("agents.Mara.goals[0]", "sing", lambda s: s.agents["Mara"].goals, ("sing", "rest")),
        ("agents.Mara.words", "5", lambda s: s.agents["Mara"].engine, Use("actor", {"words": 5})),
        ("agents.Mara.memory", "null", lambda s: s.agents["Mara"].memory, None),
        # A bare name becomes a mapping when one of its options is set.
        (
            "agents.Mara.memory.tokens",
            "300",
            lambda s: s.agents["Mara"].memory,
            Use("window", {"tokens": 300}),
        ),
        ("schedule.rounds", "3", lambda s: s.schedule, Use("round-robin", {"rounds": 3})),
        ("agents.Mara.engine.words", "5", lambda s: s.agents["Mara"].engine, Use("actor", {"words": 5})),
        # Inside of what a template says, and beside it.
        ("agents.Jon.words", "5", lambda s: s.agents["Jon"].engine, Use("actor", {"words": 5})),
        ("agents.Jon.engine.words", "5", lambda s: s.agents["Jon"].engine, Use("actor", {"words": 5})),
        ("agents.Jon.state.coins", "1", lambda s: s.agents["Jon"].state, {"coins": 1}),
        ("agents.Jon.state.debt.old", "1", lambda s: s.agents["Jon"].state, {"coins": 5, "debt": {"old": 1}}),
        ("agents.Jon.template", "templates/other.yaml", lambda s: s.agents["Jon"].persona, "Another"),
        # A population, and one of its members.
        ("agents.Crowd.persona", "Hi {{ name }}", lambda s: s.agents["Crowd-2"].persona, "Hi Crowd-2"),
        ("agents.Crowd.count", "3", lambda s: s.groups["Crowd"].members, ("Crowd-1", "Crowd-2", "Crowd-3")),
        (
            "agents.Crowd-2.persona",
            "Me!",
            lambda s: [a.persona for a in s.agents.values()][2:],
            ["I am Crowd-1.", "Me!"],
        ),
        ("agents.New", "{persona: New}", lambda s: s.agents["New"].persona, "New"),
        ("limits.calls", "9", lambda s: s.limits.calls, 9),
        ("world.state.deep.price", "3", lambda s: s.state, {"deep": {"price": 3}}),
        (
            "providers.default.replies[0]",
            "'[x]'",
            lambda s: s.providers["default"].options,
            {"replies": ["[x]"]},
        ),
        ("providers.default.temperature", "1", lambda s: s.providers["default"].sampling.temperature, 1.0),
        ("scenario", "12:30", lambda s: s.name, "12:30"),
        ("seed", "-3", lambda s: s.seed, -3),
        ("description", "", lambda s: s.description, ""),
        ("stop_when", "step == 1 and state == {}", lambda s: s.stop_when.source, "step == 1 and state == {}"),
    ],
)
def test_an_override_sets_a_value(
    installed: Host, path: str, value: str, look: Callable[[Scenario], Any], expected: Any
) -> None:
    Path("templates").mkdir()
    Path("templates/other.yaml").write_text("persona: Another\n")
    assert look(load(installed, SMALL, set={path: value})) == expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("", "3", "--set =3: expected PATH=VALUE, such as agents.Mara.goals=[win]"),
        ("agents..goals", "3", "--set agents..goals=3: expected PATH=VALUE"),
        ("schedul", "x", "--set schedul=x: schedul: unknown key 'schedul'; did you mean 'schedule'?"),
        (
            "agents.Mara.gaols",
            "[x]",
            "--set agents.Mara.gaols=[x]: agents.Mara.gaols: unknown key 'gaols'; did you",
        ),
        (
            "agents.Marra.goals",
            "[x]",
            "agents.Marra.goals: there is no agent 'Marra' (did you mean 'Mara'?); agents: ",
        ),
        (
            "agents.Crowd-3.goals",
            "[x]",
            "agents.Crowd-3.goals: there is no agent 'Crowd-3' (did you mean 'Crowd-2'?)",
        ),
        (
            "agents.Mara.goals.2",
            "x",
            "agents.Mara.goals.2: '2' is not a position in a list of 2; expected 0 to 1",
        ),
        ("agents.Mara.goals.first", "x", "agents.Mara.goals.first: 'first' is not a position in a list of 2"),
        (
            "agents.Mara.persona.x",
            "3",
            "agents.Mara.persona.x: agents.Mara.persona is 'A farmer' and has no keys",
        ),
        ("scenario.x", "3", "scenario.x: scenario is 'talk' and has no keys"),
        (
            "agents.Mara.goals",
            "[x",
            "agents.Mara.goals: the list that begins at line 1, column 1 is not closed",
        ),
        ("agents.Mara.goals", "x", "agents.Mara.goals: expected a list, got 'x'"),
        ("agents.Mara.memory.tokens", "many", "agents.Mara.memory.tokens: expected an integer, got 'many'"),
        ("limits.calls", "0", "limits.calls: expected more than 0, got 0"),
        ("seed", "1.5", "seed: expected an integer, got 1.5"),
        ("agents", "3", "agents: expected a mapping of agents, got 3"),
        ("agents.Jon.template", "buyer.yaml", "agents.Jon.template: there is no file 'buyer.yaml'"),
        ("stop_when", "stat.x", "stop_when: 'stat.x': the name 'stat' is not known (did you mean 'state'?)"),
    ],
)
def test_a_mistake_in_an_override_is_told_as_one_of_the_option(
    installed: Host, path: str, value: str, expected: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(installed, SMALL, set={path: value})
    (mistake,) = caught.value.mistakes
    assert mistake.where == f"--set {path}={value}"
    assert expected in str(mistake)


def test_an_option_of_an_engine_is_overridden_where_it_stands(installed: Host) -> None:
    """An agent has its options of the engine beside `engine` or in it; either name finds them."""
    for keys in ("engine: actor, words: 30", "engine: {use: actor, words: 30}"):
        text = SMALL.replace("memory: window", keys)
        for path in ("agents.Mara.words", "agents.Mara.engine.words"):
            assert load(installed, text, set={path: "5"}).agents["Mara"].engine == Use("actor", {"words": 5})


def test_overrides_apply_in_their_order_and_the_seed_counts_most(installed: Host) -> None:
    given = {"agents.Mara.goals": "[a, b]", "agents.Mara.goals.1": "c", "seed": "3"}
    scenario = load(installed, SMALL, set=given, seed=4)
    assert (scenario.agents["Mara"].goals, scenario.seed) == (("a", "c"), 4)
    with pytest.raises(ScenarioError) as caught:
        load(installed, SMALL, seed=2**60)
    assert caught.value.mistakes == (Mistake("--seed", "seed", f"seed: {2**60} does not fit into 53 bits"),)


# -- other formats ------------------------------------------------------------------------------


def toml(path: Path) -> Any:
    """A loader as a plugin would have it."""
    try:
        return tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError([Mistake(str(path), "", f"it is not TOML: {error}")]) from None


TOML = """\
scenario = "talk"
[agents.Mara]
persona = "A farmer"
[agents.Jon]
template = "templates/buyer.yaml"
"""


def test_a_plugin_reads_another_format(host_with: Callable[..., Host]) -> None:
    host = host_with(scenario_loader__toml=toml)
    scenario = prepare(host, TOML, "scenario.toml", set={"agents.Mara.goals": "[win]"}, seed=2).scenario
    assert scenario.agents["Mara"].goals == ("win",)
    assert (scenario.agents["Jon"].persona, scenario.seed) == ("A buyer", 2)
    assert load(host, SMALL).name == "talk"  # and YAML is still YAML


def test_mistakes_in_another_format_have_the_file_as_their_place(host_with: Callable[..., Host]) -> None:
    host = host_with(scenario_loader__toml=toml)
    for text, expected in (
        (
            TOML + "gaols = ['x']\n",
            "scenario.toml:1:1: agents.Jon.gaols: unknown key 'gaols'; did you mean 'goals'?",
        ),
        ("scenario = \n", "scenario.toml: it is not TOML"),
        (
            "x = 2026-11-01\n",
            "scenario.toml: the scenario.x: date is not JSON; give plain data; a scenario is plain",
        ),
        ("x = nan\n", "scenario.toml: the scenario.x: nan is not a finite number"),
    ):
        with pytest.raises(ScenarioError) as caught:
            prepare(host, text, "scenario.toml")
        assert str(caught.value).startswith(expected)
    with pytest.raises(ScenarioError, match=r"^other.toml: there is no such file"):
        api.prepare("other.toml", settings=load_settings(), host=host)


def test_a_loader_that_breaks_is_its_authors_fault(host_with: Callable[..., Host]) -> None:
    def broken(path: Path) -> Any:
        raise LookupError("nothing here")

    with pytest.raises(
        ContractError, match="scenario loader 'toml': it raised LookupError: nothing here for"
    ):
        prepare(host_with(scenario_loader__toml=broken), TOML, "scenario.toml")


def test_a_scenario_of_a_loader_shares_nothing_with_it(host_with: Callable[..., Host]) -> None:
    kept = {"scenario": "talk", "agents": {"A": {"goals": ["win"]}}}
    host = host_with(scenario_loader__toml=lambda path: kept)
    prepare(host, "", "scenario.toml", set={"agents.A.goals.0": "lose", "limits.calls": "3"})
    assert kept == {"scenario": "talk", "agents": {"A": {"goals": ["win"]}}}


# -- components inside of options ---------------------------------------------------------------


class Plain(Reasoning):
    async def reason(self, request: Request, turn: Turn) -> Completion:
        return await turn.complete(request)


@frozen
class TwiceConfig:
    inner: Reasoning
    others: list[Reasoning] = field(factory=list)


class Twice(Reasoning):
    Config = TwiceConfig

    async def reason(self, request: Request, turn: Turn) -> Completion:
        await self.config.inner.reason(request, turn)
        for other in self.config.others:
            await other.reason(request, turn)
        return await turn.complete(request)


class Thinker(Engine):
    async def run(self, turn: Turn) -> None:
        turn.say((await turn.think("What now?")).text)


class Counting(Provider):
    async def complete(self, request: Request, sink: Any = None) -> Completion:
        return Completion(str(request.position.path))


def test_components_inside_of_options_are_each_agents_own(host_with: Callable[..., Host]) -> None:
    host = host_with(
        reasoning__plain=Plain, reasoning__twice=Twice, engine__thinker=Thinker, provider__counting=Counting
    )
    text = """\
scenario: nested
providers: {default: counting}
schedule: {use: simultaneous, rounds: 1}
agents:
  A: {engine: thinker, reasoning: {use: twice, inner: {use: twice, inner: plain}, others: [plain, plain]}}
  B: {engine: thinker, reasoning: {use: twice, inner: {use: twice, inner: plain}, others: [plain, plain]}}
"""
    plan = prepare(host, text, set={"agents.B.reasoning.inner.others": "[plain]"})
    first, second = (plan.agents["A"]["reasoning"], plan.agents["B"]["reasoning"])
    assert first is not None
    assert second is not None
    made = first.examine()
    assert len(list(with_inner(made))) == 5
    assert made.config.inner is not first.examine().config.inner
    result = pyscrai_core.run("scenario.yaml", host=host, store="runs.db")
    assert (result.status, result.calls) == ("completed", 2 * 5)


# -- schemas ------------------------------------------------------------------------------------


def test_references_in_a_parameter_begin_at_the_parameter(installed: Host) -> None:
    text = """\
scenario: t
agents:
  A:
    actions:
      pack:
        box:
          $ref: '#/$defs/box'
          $defs: {box: {type: object, properties: {size: {type: integer}, inside: {$ref: '#/$defs/box'}}}}
"""
    check = partial(check_value, load(installed, text).agents["A"].actions["pack"].schema)
    assert check({"box": {"size": 1, "inside": {"inside": {"size": 2}}}}) is None
    assert check({"box": {"inside": {"inside": {"size": "x"}}}}) == (
        'box.inside.inside.size: expected an integer, got "x"'
    )
    assert check({"box": {}, "more": 1}) is not None


@pytest.mark.parametrize("name", ["a/b", "a~1b", "a%31", "é"])
def test_a_parameter_with_references_may_have_any_name(installed: Host, name: str) -> None:
    schema = {"anyOf": [{"$ref": "#/$defs/n"}], "$defs": {"n": {"type": "integer"}}}
    document = {"scenario": "t", "agents": {"A": {"actions": {"go": {name: schema}}}}}
    check = partial(check_value, load(installed, json.dumps(document)).agents["A"].actions["go"].schema)
    assert check({name: 1}) is None
    assert check({name: "x"}) is not None


HOSTILE: dict[str, Any] = {
    "branches": {
        "$ref": "#/$defs/d0",
        "$defs": {
            **{f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)},
            "d60": {"type": "integer"},
        },
    },
    "look-aheads": {"type": "string", "pattern": "^(?=a+)b$"},
    "back-references": {"type": "string", "pattern": "^(a+)\\1$"},
    "large patterns": {"type": "string", "pattern": "(a{0,1000}){1000}x"},
    "patterns of keys": {"patternProperties": {"^(?!a+)b$": {}}},
    "blanks that hide a repetition": {"type": "string", "pattern": "(?x)(a+) +$"},
    "unevaluated": {"allOf": [{"unevaluatedProperties": {"unevaluatedProperties": False}}]},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_schema_that_could_be_checked_for_ever_is_refused(installed: Host, name: str) -> None:
    document = {"scenario": "t", "agents": {"A": {"actions": {"go": {"x": HOSTILE[name]}}}}}
    with pytest.raises(ScenarioError, match=r"agents\.A\.actions\.go\.x"):
        load(installed, json.dumps(document))


def test_a_long_text_is_not_searched_for_a_large_pattern() -> None:
    check = partial(check_value, {"type": "string", "pattern": "a.{0,900}b"})
    assert check("xaxbxc") is None
    assert check("x" * 100_000) == 'the text is too long to look for the pattern "a.{0,900}b" in it'


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d+$",
        r"^(yes|no)$",
        r"^[A-Z]{2}\d{3}$",
        r"^\d+(\.\d+)?$",
        r"^[\w.]+@[\w.]+$",
        r"^(ab)+$",
        r"[(a+)+]",
        r"\(a+\)+",
        r"^(a+)+$",
        r"^(a|a)*$",
        r".*.*.*.*.*.*x",
    ],
)
def test_common_patterns_are_fine(installed: Host, pattern: str) -> None:
    document = {"scenario": "t", "agents": {"A": {"actions": {"go": {"x": {"pattern": pattern}}}}}}
    assert load(installed, json.dumps(document)).agents["A"].actions["go"]


# -- a run --------------------------------------------------------------------------------------


def test_rules_guards_and_audiences_do_what_they_say(play: Callable[..., RunResult]) -> None:
    class Seller(Engine):
        async def run(self, turn: Turn) -> None:
            turn.emit("offer", {"price": 2 + turn.number * 2})

    class Buyer(Engine):
        async def run(self, turn: Turn) -> None:
            turn.emit("accept")

    result = play(
        {
            "world": {"state": {"price": None, "sold": 0, "by": {}}},
            "agents": {
                "Mara": {
                    "engine": "seller",
                    "actions": {"offer": {"price": {"type": "integer"}, "audience": "Jon"}},
                },
                "Jon": {"engine": "buyer", "actions": {"accept": {"when": "state.price > 3"}}},
            },
            "rules": [
                {"on": "offer", "set": {"price": "event.payload.price"}},
                {"on": "accept", "add": {"sold": 1, "by.{event.source}": 1}},
            ],
            "stop_when": "state.sold > 0",
            "outcomes": {"price": "state.price", "by": "state.by", "steps": "step"},
        },
        engine__seller=Seller,
        engine__buyer=Buyer,
    )
    assert (result.status, result.outcomes) == ("completed", {"price": 4, "by": {"Jon": 1}, "steps": 4})
    assert [event.kind for event in result.events] == ["offer", "rejected", "offer", "accept"]
    assert [event.audience for event in result.events if event.kind == "offer"] == [("Jon",), ("Jon",)]
