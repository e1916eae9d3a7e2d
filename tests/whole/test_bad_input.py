"""Bad scenarios: every mistake is told with its place, its path and what to do, and nothing is written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from attrs import field, frozen, validators

import pyscrai_core
from pyscrai_core import (
    ContractError,
    Engine,
    FilePath,
    InputError,
    Memory,
    Message,
    Reasoning,
    RunResult,
    ScenarioError,
    Turn,
    api,
)
from pyscrai_core.config import load_settings
from pyscrai_core.plugins import Host

#: A scenario that is well; the tests put mistakes into it.
GOOD = """\
scenario: talk
providers: {default: {use: scripted, replies: [Good morning.]}}
agents:
  Mara: {engine: actor}
"""
TOP = (
    "known keys: agents, description, events, groups, limits, measures, outcomes, plugins, providers, rules, "
    "scenario, schedule, seed, stop_when, tables, world"
)


@pytest.fixture(scope="module")
def installed() -> Host:
    return Host()


def told(text: str | bytes, host: Host, **given: Any) -> list[str]:
    """What is said against a scenario, by `prepare` and by `run`, which must not leave anything behind."""
    path = Path("scenario.yaml")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = sorted(Path().rglob("*"))
    with pytest.raises(ScenarioError) as checked:
        api.prepare(path, settings=load_settings(), host=host, **given)
    with pytest.raises(InputError) as run:
        pyscrai_core.run(path, host=host, **given)
    assert str(run.value) == str(checked.value)
    assert sorted(Path().rglob("*")) == before
    return str(checked.value).splitlines()


def check(lines: list[str], expected: list[str]) -> None:
    """Each line begins with what is expected, and there is none beside them."""
    assert len(lines) == len(expected), "\n".join(lines)
    for line, beginning in zip(lines, expected, strict=True):
        assert line.startswith(beginning), f"\n{line}\n{beginning}"


def agent(keys: str) -> str:
    """The good scenario, with other keys for Mara; they begin in line 4, column 10."""
    return GOOD.replace("engine: actor", keys)


# -- unknown keys -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            GOOD + "schedul: round-robin\n",
            f"scenario.yaml:5:1: schedul: unknown key 'schedul'; did you mean 'schedule'? {TOP}",
        ),
        (GOOD + "xyzzy: 1\n", f"scenario.yaml:5:1: xyzzy: unknown key 'xyzzy'; {TOP}"),
        (
            agent("engine: actor, gaols: [win]"),
            "scenario.yaml:4:25: agents.Mara.gaols: unknown key 'gaols'; did you mean 'goals'? known keys: "
            "actions",
        ),
        (
            agent("engine: {use: actor, wrds: 3}"),
            "scenario.yaml:4:31: agents.Mara.engine.wrds: unknown key 'wrds'; did you mean 'words'? known "
            "keys: "
            "examples, lines, must_act, prompt, speak, style, system, words",
        ),
        (
            agent("memory: {use: window, tokns: 3}"),
            "scenario.yaml:4:32: agents.Mara.memory.tokns: unknown key 'tokns'; did you mean 'tokens'?",
        ),
        (
            GOOD.replace("replies:", "temprature: 1, replies:"),
            "scenario.yaml:2:38: providers.default.temprature: unknown key 'temprature'",
        ),
        (
            GOOD.replace("[Good morning.]", "[x], faults: [{kind: overload, tmies: 3}]"),
            "scenario.yaml:2:78: providers.default.faults[0].tmies: unknown key 'tmies'; did you mean "
            "'times'?",
        ),
        (
            GOOD + "world: {premis: x}\n",
            "scenario.yaml:5:9: world.premis: unknown key 'premis'; did you mean",
        ),
        (
            GOOD + "schedule:\n  use: round-robin\n  roundz: 3\n",
            "scenario.yaml:7:3: schedule.roundz: unknown key 'roundz'; did you mean 'rounds'?",
        ),
        (
            GOOD + "groups: {all: {members: [Mara], sate: {}}}\n",
            "scenario.yaml:5:33: groups.all.sate: unknown key 'sate'; did you mean 'state'?",
        ),
        (
            GOOD + "limits: {stps: 3}\n",
            "scenario.yaml:5:10: limits.stps: unknown key 'stps'; did you mean 'steps'?",
        ),
        (
            GOOD + "rules: [{on: say, sett: {x: 1}}]\n",
            "scenario.yaml:5:19: rules[0].sett: unknown key 'sett'; did you mean 'set'? known keys: add, "
            "on, on_error, set, when",
        ),
    ],
)
def test_an_unknown_key_is_told_with_a_guess(installed: Host, text: str, expected: str) -> None:
    check(told(text, installed), [expected])


# -- wrong types --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            GOOD + 'schedule: {use: round-robin, rounds: "3"}\n',
            "scenario.yaml:5:38: schedule.rounds: expected an integer, got '3'",
        ),
        (agent("goals: win"), "scenario.yaml:4:17: agents.Mara.goals: expected a list, got 'win'"),
        (agent("goals: [win, 3]"), "scenario.yaml:4:23: agents.Mara.goals[1]: expected text, got 3"),
        (agent("persona: 3"), "scenario.yaml:4:19: agents.Mara.persona: expected text, got 3"),
        (agent("persona: no"), ""),  # text, not false
        (agent("state: [1]"), "scenario.yaml:4:17: agents.Mara.state: expected a mapping, got [1]"),
        (agent("tools: search"), "scenario.yaml:4:17: agents.Mara.tools: expected a list, got 'search'"),
        (
            agent("tools: [3]"),
            "scenario.yaml:4:18: agents.Mara.tools[0]: expected the name of an extension, or {use: NAME, "
            "…}; got 3",
        ),
        (
            agent("engine: [actor]"),
            "scenario.yaml:4:18: agents.Mara.engine: expected the name of an extension, or {use: NAME, …}",
        ),
        (
            agent("engine: actor, words: many"),
            "scenario.yaml:4:32: agents.Mara.words: expected an integer, got 'many'",
        ),
        (
            agent("engine: actor, words: 1.5"),
            "scenario.yaml:4:32: agents.Mara.words: expected an integer, got 1.5",
        ),
        (
            agent("engine: actor, speak: 1"),
            "scenario.yaml:4:32: agents.Mara.speak: expected true or false or alone, got 1",
        ),
        (
            agent("on_error: skp"),
            "scenario.yaml:4:20: agents.Mara.on_error: expected one of fail, skip; got 'skp' (did you mean "
            "'skip'?)",
        ),
        (
            agent("acts: ends"),
            "scenario.yaml:4:16: agents.Mara.acts: expected scheduled, start, end, after-group, {every: N}, "
            "{on: KIND}, or a list of these; got 'ends' (did you mean 'end'?)",
        ),
        (
            agent("acts: [start, {every: 0}]"),
            "scenario.yaml:4:32: agents.Mara.acts[1].every: expected a number of steps, got 0",
        ),
        (
            "scenario: talk\nagents: [Mara]\n",
            "scenario.yaml:2:9: agents: expected a mapping of agents, got ['Mara']; name at least one agent",
        ),
        (
            "scenario: talk\nagents: {}\n",
            "scenario.yaml:2:9: agents: expected a mapping of agents, got {}; name at least one agent",
        ),
        (
            "scenario: talk\nagents: {Mara: }\n",
            "scenario.yaml:2:16: agents.Mara: expected a mapping, got null",
        ),
        ("- scenario\n", "scenario.yaml:1:1: expected a mapping with at least `agents`, got ['scenario']"),
        (GOOD + "world: text\n", "scenario.yaml:5:8: world: expected a mapping, got 'text'"),
        (GOOD + "world: {state: [1]}\n", "scenario.yaml:5:16: world.state: expected a mapping, got [1]"),
        (GOOD + "providers2: 1\n", "scenario.yaml:5:1: providers2: unknown key 'providers2'; did you mean"),
        (GOOD + "seed: 1.5\n", "scenario.yaml:5:7: seed: expected an integer, got 1.5"),
        (GOOD + "seed: '3'\n", "scenario.yaml:5:7: seed: expected an integer, got '3'"),
        (GOOD + "seed: true\n", "scenario.yaml:5:7: seed: expected an integer, got true"),
        (
            GOOD + f"seed: {2**53}\n",
            f"scenario.yaml:5:7: seed: the integer {2**53} does not fit into 53 bits",
        ),
        (GOOD + "seed: -7\n", ""),
        (GOOD.replace("talk", "''"), "scenario.yaml:1:11: scenario: expected a name, got an empty one"),
        (GOOD.replace("talk", "7"), "scenario.yaml:1:11: scenario: expected text, got 7"),
        (GOOD + "plugins: cast\n", "scenario.yaml:5:10: plugins: expected a list, got 'cast'"),
        (GOOD + "rules: {on: say}\n", "scenario.yaml:5:8: rules: expected a list, got {'on': 'say'}"),
        (GOOD + "stop_when: 3\n", "scenario.yaml:5:12: stop_when: expected text, got 3"),
        (
            GOOD + "outcomes: {x: 3}\n",
            "scenario.yaml:5:15: outcomes.x: expected an expression, as text, or a mapping {value: …, "
            "kind: …}; got 3",
        ),
        (
            GOOD + "groups: {all: 3}\n",
            "scenario.yaml:5:15: groups.all: expected a list of agents, or a mapping with members and "
            "state; got 3",
        ),
        (
            GOOD.replace("[Good morning.]", "[x], stop: END"),
            "scenario.yaml:2:58: providers.default.stop: expected a list, got 'END'",
        ),
        (
            GOOD.replace("[Good morning.]", "[x], temperature: hot"),
            "scenario.yaml:2:65: providers.default.temperature: expected a number, got 'hot'",
        ),
    ],
)
def test_a_wrong_type_is_told_with_what_is_expected(installed: Host, text: str, expected: str) -> None:
    if expected:
        check(told(text, installed), [expected])
    else:
        Path("scenario.yaml").write_text(text)
        assert api.prepare("scenario.yaml", settings=load_settings(), host=installed).scenario.agents


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            GOOD + "limits: {calls: 0, tokens: -3, seconds: -1.5, steps: 0, concurrency: 0}\n",
            [
                "scenario.yaml:5:17: limits.calls: expected more than 0, got 0",
                "scenario.yaml:5:28: limits.tokens: expected more than 0, got -3",
                "scenario.yaml:5:41: limits.seconds: expected more than 0, got -1.5",
                "scenario.yaml:5:54: limits.steps: expected more than 0, got 0",
                "scenario.yaml:5:70: limits.concurrency: expected more than 0, got 0",
            ],
        ),
        (
            GOOD + "schedule: {use: round-robin, rounds: -1}\n",
            ["scenario.yaml:5:38: schedule.rounds: expected 1 or more, got -1"],
        ),
        (agent("words: 0"), ["scenario.yaml:4:17: agents.Mara.words: 'words' must be >= 1: 0"]),
        (
            GOOD.replace("[Good morning.]", "[x], temperature: -1, top_p: 2, max_tokens: 0"),
            [
                "scenario.yaml:2:65: providers.default.temperature: expected 0 to 10, got -1.0",
                "scenario.yaml:2:76: providers.default.top_p: expected 0 to 1, got 2.0",
                "scenario.yaml:2:91: providers.default.max_tokens: expected 1 to 10,000,000, got 0",
            ],
        ),
        (
            GOOD.replace("[Good morning.]", "{Mara: 3}"),
            ["scenario.yaml:2:54: providers.default.replies.Mara: expected a list of replies"],
        ),
    ],
)
def test_a_number_out_of_its_range_is_told_at_the_number(
    installed: Host, text: str, expected: list[str]
) -> None:
    check(told(text, installed), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("agents: {Mara: {}}\n", "scenario.yaml:1:1: the key 'scenario' is missing"),
        ("scenario: talk\n", "scenario.yaml:1:1: `agents` is missing; name at least one agent"),
        (
            GOOD + "schedule: {rounds: 3}\n",
            "scenario.yaml:5:11: schedule: the key 'use' is missing; expected {use: NAME, …}",
        ),
        (GOOD + "rules: [{set: {x: 1}}]\n", "scenario.yaml:5:9: rules[0]: the key 'on' is missing"),
        (
            GOOD + "groups: {all: {state: {}}}\n",
            "scenario.yaml:5:15: groups.all: the key 'members' is missing",
        ),
        (
            GOOD.replace("[Good morning.]", "[x], faults: [{at: [1]}]"),
            "scenario.yaml:2:61: providers.default.faults[0]: the key 'kind' is missing",
        ),
    ],
)
def test_a_missing_key_is_told_where_it_should_be(installed: Host, text: str, expected: str) -> None:
    check(told(text, installed), [expected])


# -- names that are not there -------------------------------------------------------------------


def test_all_unknown_extensions_are_told_with_a_guess_and_how_to_install(installed: Host) -> None:
    text = GOOD.replace("use: scripted", "use: openay") + "schedule: rond-robin\n"
    text = text.replace("engine: actor", "engine: acter, memory: {use: vector-store}, tools: [serch]")
    check(
        told(text, installed),
        [
            "scenario.yaml:2:28: providers.default.use: provider 'openay': not installed (did you mean "
            "'openai'?); ",
            "scenario.yaml:4:18: agents.Mara.engine: engine 'acter': not installed (did you mean 'actor'?)",
            "scenario.yaml:4:39: agents.Mara.memory.use: memory 'vector-store': not installed; installed "
            "memories: ",
            "scenario.yaml:4:62: agents.Mara.tools[0]: tool 'serch': not installed; ",
            "scenario.yaml:5:11: schedule: schedule 'rond-robin': not installed (did you mean "
            "'round-robin'?)",
        ],
    )


def test_an_extension_of_our_own_is_told_with_its_distribution() -> None:
    lines = told(GOOD, Host(plugins=["scripted", "memory", "schedules"]))
    check(lines, ["scenario.yaml:4:18: agents.Mara.engine: engine 'actor': its plugin cast (pyscrai-cast "])
    assert "add 'cast' to `plugins`" in lines[0]
    lines = told(GOOD.replace("use: scripted", "use: gemini"), Host(plugins=["cast", "memory", "schedules"]))
    assert "pip install" in lines[0]


def test_a_choice_of_plugins_is_told_by_the_name(installed: Host) -> None:
    lines = told(GOOD + "plugins: [cast, scriptedd, memory]\n", installed)
    check(lines, ["scenario.yaml:5:17: plugins[1]: 'scriptedd' is not installed (did you mean 'scripted'?)"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            agent("provider: defualt"),
            "scenario.yaml:4:20: agents.Mara.provider: there is no provider 'defualt' (did you mean "
            "'default'?); "
            "providers: default",
        ),
        (
            GOOD + "groups: {all: [Mara, Maria]}\n",
            "scenario.yaml:5:22: groups.all[1]: there is no agent 'Maria' (did you mean 'Mara'?); agents: "
            "Mara",
        ),
        (
            GOOD + "groups:\n  all:\n    members:\n      - Maria\n",
            "scenario.yaml:8:9: groups.all.members[0]: there is no agent 'Maria' (did you mean 'Mara'?)",
        ),
        (
            GOOD + "groups: {all: [Mara, Mara]}\n",
            "scenario.yaml:5:22: groups.all[1]: 'Mara' is listed twice; keep one",
        ),
        (GOOD + "groups: {Mara: [Mara]}\n", "scenario.yaml:5:10: groups.Mara: an agent has this name"),
        (
            GOOD + "groups: {a.b: [Mara]}\n",
            "scenario.yaml:5:10: groups.a.b: 'a.b' is not a valid name for a group",
        ),
        (
            agent("actions: {nod: {audience: Maria}}"),
            "scenario.yaml:4:36: agents.Mara.actions.nod.audience: the audience 'Maria' does not exist "
            "(did you mean 'Mara'?); agents and groups: Mara",
        ),
        (
            agent("actions: {nod: {audience: [Mara, Jon]}}"),
            "scenario.yaml:4:43: agents.Mara.actions.nod.audience[1]: the audience 'Jon' does not exist",
        ),
        (
            agent("actions: {nod: {audience: [3]}}"),
            "scenario.yaml:4:37: agents.Mara.actions.nod.audience[0]: expected the name of an agent or a "
            "group, got 3",
        ),
        (
            agent("actions: {offer: {}}") + "rules: [{on: ofer, set: {x: 1}}]\n",
            "scenario.yaml:5:14: rules[0].on: no agent has an action 'ofer' and no such event is declared "
            "(did you mean 'offer'?); known: offer, say",
        ),
        (
            agent("actions: {offer: {}}, acts: [start, {on: [say, ofer]}]"),
            "scenario.yaml:4:57: agents.Mara.acts[1].on[1]: there is no kind of events 'ofer' "
            "(did you mean 'offer'?)",
        ),
        (
            GOOD + "rules: [{on: say, set: {agents.Maria.x: 1}}]\n",
            "scenario.yaml:5:25: rules[0].set.agents.Maria.x: there is no agent 'Maria' (did you mean "
            "'Mara'?)",
        ),
        (
            GOOD + "rules: [{on: say, set: {groups.all.x: 1}}]\n",
            "scenario.yaml:5:25: rules[0].set.groups.all.x: there is no group 'all'; groups: none",
        ),
    ],
)
def test_a_name_that_nobody_has_is_told_with_those_there_are(
    installed: Host, text: str, expected: str
) -> None:
    check(told(text, installed), [expected])


def test_two_agents_of_one_name_are_a_mistake(installed: Host) -> None:
    check(
        told(GOOD + "  Mara: {}\n", installed),
        [
            "scenario.yaml:5:3: agents.Mara: the key appears twice in this mapping, first at "
            "scenario.yaml:4:3; "
            "keep one of the two"
        ],
    )


@pytest.mark.parametrize("name", ["a.b", "'@kernel'", "'*'", "x{y}", "x[0]", "' x'", "'x '", "''", '"a\\tb"'])
def test_a_name_that_an_agent_cannot_have(installed: Host, name: str) -> None:
    (line,) = told(GOOD.replace("Mara:", f"{name}:"), installed)
    assert line.startswith("scenario.yaml:4:3: agents.")
    assert "is not a valid name for an agent" in line


# -- expressions --------------------------------------------------------------------------------


def test_an_undefined_name_in_any_expression_is_told(installed: Host) -> None:
    text = agent("actions: {bid: {when: stat.x > 3}}") + (
        "rules:\n"
        "  - {on: bid, when: evnt.payload.x, set: {price: stte.price}}\n"
        "  - {on: bid, add: {'sold.{evnt.source}': 1}}\n"
        "stop_when: stat.sold > 0\n"
        "outcomes: {offers: 'len(evnts)'}\n"
    )
    check(
        told(text, installed),
        [
            "scenario.yaml:4:32: agents.Mara.actions.bid.when: 'stat.x > 3': the name 'stat' is not known "
            "(did you mean 'state'?); there is agents, event, groups, self, state, step",
            "scenario.yaml:6:21: rules[0].when: 'evnt.payload.x': the name 'evnt' is not known "
            "(did you mean 'event'",
            "scenario.yaml:6:50: rules[0].set.price: 'stte.price': the name 'stte' is not known "
            "(did you mean 'state",
            "scenario.yaml:7:21: rules[1].add.sold.{evnt.source}: 'evnt.source': the name 'evnt' is not "
            "known",
            "scenario.yaml:8:12: stop_when: 'stat.sold > 0': the name 'stat' is not known (did you mean "
            "'state'?); "
            "there is agents, events, groups, state, step",
            "scenario.yaml:9:20: outcomes.offers: 'len(evnts)': the name 'evnts' is not known "
            "(did you mean 'events'",
        ],
    )


@pytest.mark.parametrize(
    ("rule", "column", "expected"),
    [
        ("{on: say}", 9, "the rule does nothing; give it `set` or `add`"),
        ("{on: say, set: {'a..b': 1}}", 25, "'a..b' is not a path: expected names with dots between them"),
        ("{on: say, set: {'a{b': 1}}", 25, "'a{b' has a brace without its partner"),
        ("{on: say, set: {self: 1}}", 25, "'self' names no key of a state; expected self.KEY"),
        (
            "{on: say, set: {agents.Mara: 1}}",
            25,
            "'agents.Mara' names no key of a state; expected agents.NAME.KEY",
        ),
        (
            "{on: say, set: {state.price: 1}}",
            25,
            "a path begins in the world's state by itself; write 'price'",
        ),
    ],
)
def test_a_rule_that_cannot_be_applied_is_told(
    installed: Host, rule: str, column: int, expected: str
) -> None:
    (line,) = told(GOOD + f"rules: [{rule}]\n", installed)
    assert line.startswith(f"scenario.yaml:5:{column}: rules[0]")
    assert line.endswith(expected)


# -- actions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (
            "{price: integer}",
            "4:33: agents.Mara.actions.bid.price: expected the JSON Schema of a parameter, such as",
        ),
        ("{when: true}", "4:32: agents.Mara.actions.bid.when: expected an expression, as text, or the JSON"),
        ("{audience: 3}", "4:36: agents.Mara.actions.bid.audience: expected a name or a list of names, or"),
        (
            "{price: {type: intger}}",
            '4:40: agents.Mara.actions.bid.price.type: not a JSON Schema: expected one of "array", '
            '"boolean", "integer", "null", "number", "object", "string", '
            "got \"intger\" (did you mean 'integer'?)",
        ),
        (
            "{price: {type: integer, minimum: low}}",
            '4:58: agents.Mara.actions.bid.price.minimum: not a JSON Schema: expected a number, got "low"',
        ),
        (
            "{x: {$ref: '#/$defs/y'}}",
            "4:36: agents.Mara.actions.bid.x.$ref: $ref '#/$defs/y' names no schema in this",
        ),
        (
            "{x: {$ref: 'https://example.org/s'}}",
            "4:36: agents.Mara.actions.bid.x.$ref: $ref 'https://example.org/s'",
        ),
        ("{x: {$ref: '#'}}", "4:29: agents.Mara.actions.bid.x: its references never end"),
        ("{x: {pattern: '('}}", "4:39: agents.Mara.actions.bid.x.pattern: '(' is not a regular expression"),
        (
            "{x: {pattern: '(?=a)b'}}",
            "4:39: agents.Mara.actions.bid.x.pattern: the pattern '(?=a)b', character 1: '(?=': a look-ahead "
            "is not available; leave it out",
        ),
        (
            "[price]",
            "4:25: agents.Mara.actions.bid: expected a mapping of parameters, {} for none; got ['price']",
        ),
        ("", "4:25: agents.Mara.actions.bid: expected a mapping of parameters, {} for none; got null"),
    ],
)
def test_a_parameter_that_is_no_schema_is_told(installed: Host, action: str, expected: str) -> None:
    check(told(agent(f"actions: {{bid: {action}}}"), installed), [f"scenario.yaml:{expected}"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("change", "is an event of the kernel's own; choose another name"),
        ("rejected", "is an event of the kernel's own; choose another name"),
        ("turn.failed", "is an event of the kernel's own; choose another name"),
        ("say", "is something that every agent can do already; choose another name"),
        (
            "two words",
            "is not a valid kind of events; expected a letter, then letters, digits and any of _ . -",
        ),
    ],
)
def test_a_reserved_name_is_no_name_of_an_action_or_an_event(
    installed: Host, name: str, expected: str
) -> None:
    line = f"scenario.yaml:4:20: agents.Mara.actions.{name}: {name!r} {expected}"
    check(told(agent(f"actions: {{{name}: {{}}}}"), installed), [line])
    line = f"scenario.yaml:5:10: events.{name}: {name!r} {expected}"
    check(told(GOOD + f"events: {{{name}: {{type: object}}}}\n", installed), [line])


def test_a_key_of_a_state_that_no_path_could_name(installed: Host) -> None:
    text = agent("state: {a.b: 1}") + "world: {state: {agents: 1, c.d: 2}}\n"
    check(
        told(text, installed),
        [
            "scenario.yaml:4:18: agents.Mara.state.a.b: a key of a state has no dots, which separate keys",
            "scenario.yaml:5:17: world.state.agents: 'agents' is reserved; choose another name",
            "scenario.yaml:5:28: world.state.c.d: a key of a state has no dots, which separate keys",
        ],
    )


# -- several at once ----------------------------------------------------------------------------


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(installed: Host) -> None:
    text = """\
scenario: talk
sed: 4
providers: {default: {use: scripted, replys: [x]}}
agents:
  Mara:
    engine: actor
    wrds: 3
    persona: 3
    memory: {use: windw}
    actions: {bid: {price: {type: intger}, to: nobody}, pass: {when: stat.x}}
  Jon: {reasoning: {usee: x}, acts: never}
groups: {all: [Mara, Jim]}
rules:
  - {on: bid}
  - {set: {x: 1}}
stop_when: 1 +
limits: {calls: 0, stps: 2}
schedule: {use: round-robin, rounds: none}
outcomes: {x: nothing}
"""
    paths = [line.split(": ")[:2] for line in told(text, installed)]
    assert paths == [
        ["scenario.yaml:2:1", "sed"],
        ["scenario.yaml:3:38", "providers.default.replys"],
        ["scenario.yaml:7:5", "agents.Mara.wrds"],
        ["scenario.yaml:8:14", "agents.Mara.persona"],
        ["scenario.yaml:9:19", "agents.Mara.memory.use"],
        ["scenario.yaml:10:35", "agents.Mara.actions.bid.price.type"],
        ["scenario.yaml:10:48", "agents.Mara.actions.bid.to"],
        ["scenario.yaml:10:70", "agents.Mara.actions.pass.when"],
        ["scenario.yaml:11:20", "agents.Jon.reasoning"],
        ["scenario.yaml:11:37", "agents.Jon.acts"],
        ["scenario.yaml:12:22", "groups.all[1]"],
        ["scenario.yaml:14:5", "rules[0]"],
        ["scenario.yaml:15:5", "rules[1]"],
        ["scenario.yaml:16:12", "stop_when"],
        ["scenario.yaml:17:17", "limits.calls"],
        ["scenario.yaml:17:20", "limits.stps"],
        ["scenario.yaml:18:38", "schedule.rounds"],
        ["scenario.yaml:19:15", "outcomes.x"],
    ]


def test_a_mistake_is_not_followed_by_its_consequences(installed: Host) -> None:
    """A group, a provider or an engine that is wrong does not make wrong what names it."""
    text = """\
scenario: talk
providers: {default: {use: scripted, replies: [x], faults: 3}}
agents:
  Mara: {provider: default, actions: {nod: {audience: all}}}
  Jon: {engine: {user: narrator}, perspective: far}
groups: {all: {members: [Mara], sate: 3}}
"""
    check(
        told(text, installed),
        [
            "scenario.yaml:2:60: providers.default.faults: expected a list, got 3",
            "scenario.yaml:5:17: agents.Jon.engine: the key 'use' is missing",
            "scenario.yaml:6:33: groups.all.sate: unknown key 'sate'",
        ],
    )


# -- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "scenario.yaml:1:1: the file is empty, where a YAML document was expected"),
        (
            b"scenario: t\nagents: \xff\xfe\n",
            "scenario.yaml:2:9: byte 0xff is not UTF-8 text; save the file in UTF-8",
        ),
        (b"scenario: t\x00\n", "scenario.yaml:1:12: the character U+0000 is not allowed in YAML"),
        (b"\x89PNG\r\n\x1a\n" * 100, "scenario.yaml:1:1: byte 0x89 is not UTF-8 text"),
        (b"scenario: 't\nagents: {}\n", "scenario.yaml:1:11: the quote that is opened at line 1, column 11"),
        (b"scenario: t\nagents:\n  A: {a: [1, 2}\n", "scenario.yaml:3:15: "),
        (b"scenario: t\n--- \nscenario: u\n", "scenario.yaml:2:1: a second document begins here"),
        (
            b"scenario: !!python/object:os.system x\n",
            "scenario.yaml:1:11: scenario: the tag !!python/object:os",
        ),
    ],
)
def test_a_file_that_is_no_scenario(installed: Host, content: bytes, expected: str) -> None:
    check(told(content, installed), [expected])


def test_a_huge_file_is_not_read(installed: Host) -> None:
    text = b"scenario: t\ndescription: " + b"x" * 50_000_000
    (line,) = told(text, installed)
    assert line.startswith("scenario.yaml: the file is larger than the 10,000,000 bytes that are read")


def test_a_billion_laughs_are_not_laughed(installed: Host) -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    (line,) = told("\n".join(lines), installed)
    assert "the document holds more than 200,000 values, what its aliases repeat included" in line


def test_a_file_that_is_not_there_is_guessed(installed: Host) -> None:
    Path("market.yaml").write_text(GOOD)
    with pytest.raises(
        ScenarioError, match=r"^markt.yaml: there is no such file \(did you mean 'market.yaml'\?\)"
    ):
        pyscrai_core.run("markt.yaml", host=installed)
    with pytest.raises(ScenarioError, match="this is a folder"):
        pyscrai_core.run(".", host=installed)
    assert [path.name for path in Path().iterdir()] == ["market.yaml"]


def test_a_template_that_is_not_there_is_guessed_for_every_agent(installed: Host) -> None:
    Path("templates").mkdir()
    Path("templates/buyer.yaml").write_text("persona: A buyer\n")
    text = (
        GOOD
        + "  Jon: {template: templates/byer.yaml}\n"
        + "  Jim: {template: byer.yaml}\n"
        + "  Joe: {template: templates}\n"
    )
    check(
        told(text, installed),
        [
            "scenario.yaml:5:19: agents.Jon.template: there is no file 'templates/byer.yaml' "
            "(did you mean 'templates/buyer.yaml'?)",
            "scenario.yaml:6:19: agents.Jim.template: there is no file 'byer.yaml'",
            "scenario.yaml:7:19: agents.Joe.template: 'templates' is a folder, where a file was expected",
        ],
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "buyer.yaml:1:1: the file is empty"),
        (b"- a\n", "buyer.yaml:1:1: expected a mapping with an agent's keys, got ['a']"),
        (b"template: x\n", "buyer.yaml:1:1: template: a template cannot have a template"),
        (b"persona: a\npersona: b\n", "buyer.yaml:2:1: persona: the key appears twice in this mapping"),
        (b"persona: [\n", "buyer.yaml:2:1: "),
        (
            b"persona: a\ngaols: [b]\n",
            "buyer.yaml:2:1: agents.Jon.gaols: unknown key 'gaols'; did you mean 'goals'?",
        ),
        (
            b"engine:\n  use: actor\n  words: x\n",
            "buyer.yaml:3:10: agents.Jon.engine.words: expected an integer",
        ),
        (
            b"\xff",
            "scenario.yaml:5:19: agents.Jon.template: the file 'buyer.yaml' is not UTF-8 text (line 1)",
        ),
        (
            b"x" * 10_000_001,
            "scenario.yaml:5:19: agents.Jon.template: the file 'buyer.yaml' is larger than the",
        ),
    ],
)
def test_a_mistake_in_a_template_is_told_at_the_template(
    installed: Host, content: bytes, expected: str
) -> None:
    Path("buyer.yaml").write_bytes(content)
    check(told(GOOD + "  Jon: {template: buyer.yaml}\n", installed), [expected])


def test_a_template_of_two_agents_is_told_once(installed: Host) -> None:
    Path("buyer.yaml").write_text("persona: 3\n")
    text = GOOD + "  Jon: {template: buyer.yaml}\n  Jim: {template: buyer.yaml}\n"
    check(told(text, installed), ["buyer.yaml:1:10: agents.Jon.persona: expected text, got 3"])


@pytest.mark.parametrize(
    "path", ["/dev/zero", "/dev/null", "~nobody-of-this-name/x", '"\\0"', '""', "3", "[a]"]
)
def test_a_path_that_is_no_file(installed: Host, path: str) -> None:
    (line,) = told(GOOD + f"  Jon: {{template: {path}}}\n", installed)
    assert line.startswith("scenario.yaml:5:19: agents.Jon.template: ")


# -- a plugin's own options ---------------------------------------------------------------------


@frozen
class Weights:
    low: int
    high: int = field(default=9, validator=validators.le(9))


@frozen
class MineConfig:
    weights: Weights = Weights(1)
    many: list[Weights] = field(factory=list)
    model: Literal["small"] | FilePath = "small"
    share: float = field(default=0.5, validator=[validators.ge(0), validators.le(1)])
    words: int = field(default=3, validator=validators.ge(1))
    inner: Reasoning | None = None

    def __attrs_post_init__(self) -> None:
        if self.words > 100:
            raise ValueError("weights.low: it must not be below `words`")
        if self.words == 13:
            raise LookupError("unlucky")


class Mine(Engine):
    Config = MineConfig

    async def run(self, turn: Turn) -> None:
        turn.say(self.config.model)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            "weights: {low: x, hgh: 2}",
            ["4:39: agents.Mara.weights.low: expected an integer", "4:42: agents.Mara.weig"],
        ),
        ("weights: {high: 3}", ["4:33: agents.Mara.weights: the key 'low' is missing"]),
        ("many: [{low: 1}, {low: 1, high: 10}]", ["4:56: agents.Mara.many[1].high: 'high' must be <= 9: 10"]),
        (
            "share: 2, words: 0",
            ["4:31: agents.Mara.share: 'share' must be <= 1", "4:41: agents.Mara.words: 'words'"],
        ),
        ("model: 3", ["4:31: agents.Mara.model: expected small or the path of a file, got 3"]),
        ("weights: {low: 1}, words: 101", ["4:39: agents.Mara.weights.low: it must not be below `words`"]),
        ("inner: {use: chain}", ["4:37: agents.Mara.inner.use: reasoning 'chain': not installed"]),
        ("inner: chain", ["4:31: agents.Mara.inner: reasoning 'chain': not installed"]),
    ],
)
def test_a_mistake_in_an_option_is_told_at_the_option(
    host_with: Callable[..., Host], keys: str, expected: list[str]
) -> None:
    lines = told(agent(f"engine: mine, {keys}"), host_with(engine__mine=Mine))
    check(lines, [f"scenario.yaml:{line}" for line in expected])


def test_a_config_that_breaks_on_bad_input_is_its_authors_fault(host_with: Callable[..., Host]) -> None:
    Path("scenario.yaml").write_text(agent("engine: mine, words: 13"))
    with pytest.raises(ContractError, match="MineConfig: it raised LookupError: unlucky"):
        pyscrai_core.run("scenario.yaml", host=host_with(engine__mine=Mine))
    assert [path.name for path in Path().iterdir()] == ["scenario.yaml"]


@frozen
class PathConfig:
    file: Path | None = None


class WantsPath(Engine):
    Config = PathConfig

    async def run(self, turn: Turn) -> None: ...


def test_an_option_of_a_type_that_would_go_unchecked_is_refused(host_with: Callable[..., Host]) -> None:
    Path("scenario.yaml").write_text(agent("engine: mine, file: x"))
    with pytest.raises(ContractError, match="a path is a `FilePath`"):
        pyscrai_core.run("scenario.yaml", host=host_with(engine__mine=WantsPath))


# -- while a run is executed ------------------------------------------------------------------------


class Bidder(Engine):
    async def run(self, turn: Turn) -> None:
        turn.emit("bid", {"price": "much"})


class Whisperer(Engine):
    async def run(self, turn: Turn) -> None:
        turn.say("psst", to="Nobody")


class Forgetful(Memory):
    def __init__(self, config: Any) -> None:
        raise RuntimeError("I forgot how")

    async def observe(self, events: Any, turn: Turn) -> None: ...

    async def recall(self, turn: Turn) -> list[Message]:
        return []


PRICE = {"bid": {"price": {"type": "integer"}}}


def test_a_payload_outside_its_schema_fails_the_run(play: Callable[..., RunResult]) -> None:
    result = play({"agents": {"Mara": {"engine": "bidder", "actions": PRICE}}}, engine__bidder=Bidder)
    assert result.status == "failed"
    assert result.error == (
        "agents.Mara, step 1: agents.Mara: bid: the payload does not fit its schema: price: "
        "expected an integer, got \"much\" (engine 'bidder' (given))"
    )
    assert result.events == ()


def test_an_answer_outside_its_schema_fails_the_run(play: Callable[..., RunResult]) -> None:
    replies = ['{"say": "Hm.", "action": {"bid": {"price": "much"}}}']
    scenario = {
        "providers": {"default": {"use": "scripted", "replies": replies}},
        "agents": {"Mara": {"engine": "actor", "actions": PRICE}},
    }
    result = play(scenario)
    assert result.status == "failed"
    assert result.error.startswith("agents.Mara, step 1: provider 'default'")
    assert "the answer does not fit its schema" in result.error
    assert result.events == ()


def test_an_audience_that_does_not_exist_fails_the_run(play: Callable[..., RunResult]) -> None:
    result = play({"agents": {"Mara": {"engine": "whisperer"}}}, engine__whisperer=Whisperer)
    assert result.status == "failed"
    assert "the audience 'Nobody' does not exist; agents and groups: Mara" in result.error


def test_a_component_that_cannot_be_made_leaves_no_run(play: Callable[..., RunResult]) -> None:
    scenario = {"agents": {"Mara": {"engine": "whisperer", "memory": "forgetful"}}}
    with pytest.raises(
        ContractError, match="memory 'forgetful' .*: it cannot be made: RuntimeError: I forgot how"
    ):
        play(scenario, engine__whisperer=Whisperer, memory__forgetful=Forgetful)
    with pytest.raises(InputError, match="last"):
        api.replay("last", store="runs.db")


# -- the command --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        GOOD + "schedul: round-robin\n",
        agent("engine: acter"),
        agent("actions: {bid: {price: {type: intger}}}"),
        "",
    ],
)
@pytest.mark.parametrize("command", ["validate", "run"])
def test_the_command_says_the_same_with_status_2_and_writes_nothing(
    installed: Host, text: str, command: str
) -> None:
    lines = told(text, installed)
    done = subprocess.run(
        [sys.executable, "-m", "pyscrai_cli.main", command, "scenario.yaml"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    for line in lines:
        assert line in done.stderr
    assert [path.name for path in Path().iterdir()] == ["scenario.yaml"]
