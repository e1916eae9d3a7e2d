"""Names in a scenario are checked before it runs: what cannot exist is a mistake, what may exist is none."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import pyscrai_core
from pyscrai_core import api
from pyscrai_core.plugins import Host
from pyscrai_core.scenario import plan as planning
from pyscrai_records.errors import ScenarioError

HOST = Host()
BASE = """\
scenario: names
world: {state: {price: null, sold: 0, caught: {}, votes: {yes: 0, no: 0}, log: []}}
agents:
  Mara:
    engine: {use: rules, policy: [{do: offer, arguments: {price: 3}}]}
    state: {coins: 3}
    actions: {offer: {price: {type: integer}, audience: [team]}, pass: {}}
  Jon: {engine: {use: rules, policy: [{say: hello}]}, actions: {vote: {choice: {enum: [yes, no]}}}}
groups: {team: {members: [Mara], state: {plan: wait}}}
events: {news: {type: object, properties: {text: {type: string}}}}
"""


def mistakes(folder: Path, *more: str, base: str = BASE) -> list[str]:
    """The mistakes in the scenario with more lines, without the name of the file."""
    file = folder / "names.yaml"
    file.write_text(base + "\n".join(map(dedent, more)), encoding="utf-8")
    try:
        planning.from_file(file, HOST)
    except ScenarioError as error:
        return [str(mistake).removeprefix(f"{file}:") for mistake in error.mistakes]
    return []


@pytest.mark.parametrize(
    "more",
    [
        "outcomes: {a: state.price.deep.anything, b: state.caught.Mara, c: len(state.price)}",
        "outcomes: {a: 'state.log[0].what if state.log else groups.team.plan'}",
        # What is set may be read: a new object, another kind of value, a state that was empty, a table.
        "rules: [{on: offer, set: {votes: \"{'maybe': 1}\"}}]\noutcomes: {a: state.votes.maybe}",
        "rules: [{on: offer, set: {sold: \"'none'\"}}]\noutcomes: {a: len(state.sold)}",
        "rules: [{on: pass, set: {agents.Jon.mood: 1}}]\noutcomes: {a: agents.Jon.mood}",
        'rules: [{on: vote, add: {"caught.{event.source}": 1}}]\noutcomes: {a: state.caught.Jon}',
        'rules: [{on: vote, add: {"price.{event.source}": 1}}]\noutcomes: {a: state.price.Jon}',
        'rules: [{on: news, set: {"{event.payload.text}": 1}}]\noutcomes: {a: state.whatever}',
        'rules: [{on: vote, add: {"votes.{event.payload.choice}": 1}}]\noutcomes: {a: state.votes.yes}',
        "rules: [{on: news, when: event.payload.text == 'x' and event.source != 'Mara', add: {log: step}}]",
        "stop_when: any(e.kind == 'rejected' and e.payload.kind == 'offer' for e in events)",
        "stop_when: any(e.kind == 'tool' and 'error' not in e.payload for e in events)",
        "outcomes: {a: \"[agents[n].coins for n in agents if n not in ['Jon']]\"}",
        "outcomes: {a: '[agents[n].coins if n == state.price else 0 for n in agents]'}",
        "outcomes: {a: '[agents[n].coins for n in agents if agents[n]]'}",
    ],
)
def test_what_may_exist(more: str, tmp_path: Path) -> None:
    assert mistakes(tmp_path, more) == []


@pytest.mark.parametrize(
    "more, expected",
    [
        (
            "stop_when: state.slod > 3",
            "11:12: stop_when: 'state.slod > 3': 'state' has no key 'slod' (did you",
        ),
        ("outcomes: {a: agents.Mira.coins}", "11:15: outcomes.a: 'agents.Mira.coins': 'agents' has no key"),
        (
            "outcomes: {a: groups.team.plans}",
            "has no key 'plans' (did you mean 'plan'?); it has plan; correct",
        ),
        ("rules: [{on: ofer, set: {sold: 1}}]", "11:14: rules[0].on: no agent has an action 'ofer' and no"),
        (
            "rules: [{on: offer, set: {slod: 1}}]",
            "11:27: rules[0].set.slod: the state has no key 'slod' (did",
        ),
        (
            "rules: [{on: offer, set: {y: 1}}]",
            "the state has no key 'y'; it has caught, log, price, sold, votes",
        ),
        ("rules: [{on: offer, add: {votes.maybe: 1}}]", "rules[0].add.votes.maybe: the state has no key"),
        ("rules: [{on: offer, set: {self.coin: 1}}]", "rules[0].set.self.coin: the state has no key 'coin'"),
        ('rules: [{on: vote, set: {"votes.{event.payload.chose}": 1}}]', "event.payload' has no key 'chose'"),
        ('rules: [{on: vote, set: {"gave.{event.source}": 1}}]', "the state has no key 'gave'; it has"),
        ('rules: [{on: vote, set: {"cauhgt.{event.source}": 1}}]', "has no key 'cauhgt' (did you mean"),
        (
            "rules: [{on: vote, when: event.payload.choice == 'x', add: {sold: 1}}]",
            "is never 'x'; it can be no",
        ),
        ("rules: [{on: news, set: {price: event.payload.txt}}]", "has no key 'txt' (did you mean 'text'?)"),
        ("rules: [{on: pass, when: self.coin > 1, set: {sold: 1}}]", "11:26: rules[0].when: 'self.coin > 1'"),
        ("rules: [{on: pass, set: {sold: len(3)}}]", "'len(3)': '3' is a number, where a list was expected"),
        ("rules: [{on: pass, add: {sold: \"'x'\"}}]", "a string cannot be added to a number; expected two"),
        ("rules: [{on: pass, set: {sold.x: 1}}]", "what it leads to is a number, which has no keys"),
        ("schedule: {use: moderated, rule: state.nxt}", "11:34: schedule.rule: 'state.nxt': 'state' has no"),
        ("schedule: {use: moderated, rule: \"'Jon' if last == 'Jno' else 'Mara'\"}", "'last' is never 'Jno'"),
        ("schedule: {use: reactive, opening: [Mara, Jno]}", "opening[1]: there is no agent 'Jno' (did you"),
        ("schedule: {use: round-robin, order: [Jno]}", "order[0]: there is no agent 'Jno' (did you mean"),
        ("outcomes: {a: '{n: agents[n].coins for n in agents}'}", "'agents[n]' has no key 'coins'"),
        ("outcomes: {a: \"sum([agents[n].coins for n in agents if n != 'Mara'])\"}", "has no key 'coins'"),
        ("schedule: {use: interrupt, claim: pas}", "claim: there is no kind of events 'pas' (did you mean"),
    ],
)
def test_what_cannot_exist(more: str, expected: str, tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, more)
    assert expected in found


PACK = """\
scenario: names
world: {state: {winner: null, price: null, left: null, kept: null, mood: calm}}
agents:
  Ann:
    engine: {use: rules, policy: [{say: hello}]}
    state: {role: wolf, says: null, at: {home: den, row: row-1}}
    actions: {turn: {into: {enum: [wolf, villager]}, price: {type: integer}}}
  Bo:
    engine: {use: rules, policy: [{say: hello}]}
    state: {role: villager, says: null, at: {home: town, row: row-2}}
rules:
  - {on: turn, set: {self.role: event.payload.into, price: event.payload.price, winner: "'wolves'"}}
  - {on: turn, set: {winner: "'villagers' if step > 3 else null", kept: event.payload, self.says: "'hi'"}}
"""


@pytest.mark.parametrize(
    ("condition", "wrong"),
    [
        ("agents.Ann.role == 'wolve'", "'agents.Ann.role' is never 'wolve' (did you mean 'wolf'?)"),
        ("agents[n].role != 'Wolf' for n in agents", "is never 'Wolf' (did you mean 'wolf'?)"),
        ("agents.Ann.role in ['villagr', 'x']", "is never 'villagr' (did you mean 'villager'?)"),
        ("agents.Bo.at.home == 'twon'", "is never 'twon' (did you mean 'town'?)"),
        ("state.winner == 'wolfs'", "is never 'wolfs' (did you mean 'wolves'?)"),
        ("state.price == 'high'", "compares a number or null with a string, which are never equal"),
        ("agents.Ann.says == 3", "compares a string or null with a number, which are never equal"),
        ("agents.Ann.role == 'wolf' and state.winner != 'wolves'", ""),
        ("agents.Ann.role == 'seer'", ""),  # `--set agents.Ann.state.role=seer` may make it so
        ("agents.Bo.at.row == 'row-3'", ""),
        ("state.mood == 'calmer' and state.left == 'here'", ""),
        ("state.kept == 'x' or state.kept.any == 3", ""),
        ("state.price is null or state.price > 3 or state.winner == null", ""),
    ],
)
def test_texts_that_a_key_can_never_be(condition: str, wrong: str, tmp_path: Path) -> None:
    every = f"any({condition})" if " for " in condition else condition
    found = mistakes(tmp_path, f'stop_when: "{every}"', base=PACK)
    assert wrong in found[0] if wrong else found == [], found


@pytest.mark.parametrize(
    ("value", "condition", "wrong"),
    [
        ("'vote'", "state.phase == 'votes'", "'state.phase' is never 'votes' (did you mean 'vote'?)"),
        ("'vote'", "state.phase == 'talks'", "'state.phase' is never 'talks' (did you mean 'talk'?)"),
        ("'votte'", "state.phase == 'vote'", "'state.phase' is never 'vote' (did you mean 'votte'?)"),
        ("'vote'", "state.phase == 'vote' or state.phase == 'end'", ""),
        ("event.payload.price", "state.phase == 'talks'", ""),  # any text
        ("state.phase + '!'", "state.phase == 'talk!'", ""),
        ("'phase-1'", "state.phase == 'phase-2'", ""),
    ],
)
def test_texts_that_a_phase_can_never_be(value: str, condition: str, wrong: str, tmp_path: Path) -> None:
    base = BASE.replace("sold: 0", "phase: talk").replace("price: {type: integer}", "price: {type: string}")
    base = base.replace("{price: 3}", "{price: \"'x'\"}")
    found = mistakes(
        tmp_path, f'rules: [{{on: offer, set: {{phase: "{value}"}}}}]', f'stop_when: "{condition}"', base=base
    )
    assert wrong in found[0] if wrong else found == [], found


def test_what_a_population_varies_may_be_drawn(tmp_path: Path) -> None:
    crowd = """\
  Crowd:
    count: 2
    vary: {view: [agree, neutral, disagree]}
    persona: You are one of the crowd.
    state: {role: crowd, view: "{{ view }}"}
rules:"""
    base = PACK.replace("rules:", crowd, 1)
    base += "providers: {default: {use: scripted, replies: [hi]}}\n"
    assert mistakes(tmp_path, "stop_when: \"agents['Crowd-1'].view == 'disagreed'\"", base=base) == []
    (found,) = mistakes(tmp_path, "stop_when: \"agents['Crowd-1'].role == 'crowds'\"", base=base)
    assert "is never 'crowds' (did you mean 'crowd'?)" in found


@pytest.mark.parametrize(
    "more",
    [
        "outcomes: {a: {value: state.price, kind: text}, b: {value: state.sold, kind: ordered,"
        " levels: [0, 1]}}",
        "outcomes: {a: {value: \"'low' if state.sold else null\", kind: ordered, levels: [low, high]}}",
        "outcomes: {a: {value: mean(state.log), kind: proportion}, b: {value: state.sold > 1,"
        " kind: proportion}}",
        "measures: {a: {value: \"'x' if true else 3\", kind: category}}",
        "tables: {t: {rows: agents, columns: {name: {value: name, kind: category}, n: {value:"
        " step, kind: number}}}}",
        "tables: {t: {rows: events.vote, columns: {c: {value: event.payload.choice, kind:"
        " ordered, levels: [no, yes]}}}}",
        "schedule: {use: moderated, rule: \"'Jon' if last == 'Mara' else names[0]\"}",
        "outcomes: {a: state.sold / (1 + state.sold)}",
        "tables: {t: {rows: events.vote, when: event.payload.choice == 'no', columns:"
        " {c: {value: event.payload.choice, kind: ordered, levels: [no, maybe]}}}}",
    ],
)
def test_values_that_can_be_of_their_kind(more: str, tmp_path: Path) -> None:
    assert mistakes(tmp_path, more) == []


@pytest.mark.parametrize(
    "more, expected",
    [
        (
            "outcomes: {a: {value: \"'high'\", kind: number}}",
            "its kind is number: expected a number, got 'high'",
        ),
        ("outcomes: {a: {value: groups, kind: number}}", "it is a mapping; expected a number or null"),
        ("outcomes: {a: {value: state.log, kind: text}}", "it is a list; expected a string or null"),
        ("outcomes: {a: {value: state.sold, kind: text}}", "it is a number; expected a string or null"),
        (
            "outcomes: {a: {value: '2.5 if state.sold else 1', kind: proportion}}",
            "its kind is proportion: expected",
        ),
        ("outcomes: {a: {value: '-1', kind: proportion}}", "a number from 0 to 1; got -1"),
        ("outcomes: {a: {value: 'len(events) and 0.5', kind: category}}", "its kind is category: expected"),
        (
            "outcomes: {a: {value: \"'hihg' if state.sold else 'low'\", kind: ordered, levels: [low, high]}}",
            "its kind is ordered: expected one of low, high; got 'hihg'",
        ),
        (
            "rules: [{on: pass, set: {price: \"'tense'\"}}]\n"
            "outcomes: {a: {value: state.price, kind: ordered, levels: [calm, tens]}}",
            "it may be set to 'tense', which is none of the levels; did you mean 'tens'?",
        ),
        (
            "measures: {a: {value: state.sold > 1, kind: number}}",
            "it is a boolean; expected a number or null",
        ),
        ("measures: {a: {value: 'true', kind: number}}", "its kind is number: expected a number, got true"),
        (
            "tables: {t: {rows: agents, columns: {who: {value: name, kind: number}}}}",
            "it is a string; expected a number or null",
        ),
        (
            "tables: {t: {rows: events.vote, columns:"
            " {c: {value: event.payload.choice, kind: ordered, levels: [a, b]}}}}",
            "it can be no, yes; expected one of a, b",
        ),
        (
            "schedule: {use: moderated, rule: \"'Jno'\"}",
            "'Jno' is none of the possible values (did you mean 'Jon'?)",
        ),
        ("schedule: {use: moderated, rule: 'step'}", "it is a number; expected a string"),
        ("schedule: {use: moderated, rule: 'last == names[0]'}", "it is a boolean; expected a string"),
        ("outcomes: {a: state.sold / 0}", "'state.sold / 0' divides by zero"),
        ("outcomes: {a: state.sold % 0.0}", "'state.sold % 0.0' divides by zero"),
        (
            "tables: {t: {rows: events.vote, columns:"
            " {c: {value: event.payload.choice, kind: ordered, levels: [no, maybe]}}}}",
            "columns.c.levels: choice: its kind is ordered: expected one of no, maybe; got 'yes'",
        ),
    ],
)
def test_values_that_cannot_be_of_their_kind(more: str, expected: str, tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, more)
    assert expected in found


@pytest.mark.parametrize(
    "schema, expected",
    [
        (
            "{type: object, proprties: {}}",
            "more.proprties: there is no keyword 'proprties' in JSON Schema; did you",
        ),
        ("{properties: {a: {type: integer, min: 1}}}", "did you mean 'minimum'? Correct it, or leave it out"),
        ("{properties: {a: {options: [a, b]}}}", "more.properties.a.options: there is no keyword 'options'"),
        ("{properties: {a: {items: {Type: string}}}}", "did you mean 'type'?"),
        ("{properties: {a: {minimum: 6, maximum: 5}}}", "no value fits: minimum 6 is above maximum 5"),
        ("{properties: {a: {enum: []}}}", "no value fits: the enum is empty"),
        (
            "{properties: {a: {minLength: 9, maxLength: 2}}}",
            "no value fits: minLength 9 is above maxLength 2",
        ),
        (
            "{properties: {a: {type: string, enum: [1, 2]}}}",
            "no value fits: none of the enum is of the type string",
        ),
        (
            "{properties: {a: {type: array, items: {enum: [b, c]}, uniqueItems: true, minItems: 3}}}",
            "it has at least 3 different items of 2",
        ),
    ],
)
def test_mistyped_keywords_of_schemas(schema: str, expected: str, tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, base=BASE.replace("events: {", f"events: {{more: {schema}, "))
    assert expected in found


def test_bounds_that_some_value_fits(tmp_path: Path) -> None:
    schema = (
        "{properties: {a: {minimum: 5, maximum: 5}, b: {type: [string, integer], enum: [1]}, "
        "c: {type: array, items: {enum: [b, c]}, uniqueItems: true, minItems: 2}}}"
    )
    assert not mistakes(tmp_path, base=BASE.replace("events: {", f"events: {{more: {schema}, "))


def test_a_computed_key_is_a_new_one_unless_it_looks_like_a_mistake(tmp_path: Path) -> None:
    rule = 'rules: [{on: vote, add: {"votes.{event.payload.choice}": 1}}]'
    (found,) = mistakes(tmp_path, rule, base=BASE.replace("votes: {yes: 0", "votes: {yess: 0"))
    assert (
        "votes.{event.payload.choice}: it may be 'yes', and the state has no such key; did you mean 'yess'"
        in found
    )
    assert mistakes(tmp_path, rule, base=BASE.replace("votes: {yes: 0, no: 0}", "votes: {maybe: 0}")) == []
    assert mistakes(tmp_path, rule, base=BASE.replace("votes: {yes: 0, no: 0}", "votes: {no: 0}")) == []


def test_a_computed_key_that_is_read_and_looks_like_a_mistake(tmp_path: Path) -> None:
    rule = "rules: [{on: vote, set: {sold: 'state.votes[event.payload.choice]'}}]"
    (found,) = mistakes(tmp_path, rule, base=BASE.replace("votes: {yes: 0", "votes: {yess: 0"))
    assert "'state.votes' has no key 'yes' (did you mean 'yess'?)" in found
    assert mistakes(tmp_path, rule, base=BASE.replace("votes: {yes: 0, no: 0}", "votes: {no: 0}")) == []
    assert mistakes(tmp_path, rule, base=BASE.replace("votes: {yes: 0", "votes: {yess: 0, yes: 0")) == []


@pytest.mark.parametrize("rows, right, wrong", [("agents", "Jon", "jon"), ("groups", "team", "teem")])
def test_a_row_has_the_name_of_an_agent_or_of_a_group(
    rows: str, right: str, wrong: str, tmp_path: Path
) -> None:
    table = f"tables: {{t: {{rows: {rows}, when: name != '{right}', columns: {{name: name}}}}}}"
    assert mistakes(tmp_path, table) == []
    (found,) = mistakes(tmp_path, table.replace(right, wrong))
    assert f"tables.t.when: \"name != '{wrong}'\": 'name' is never '{wrong}' (did you mean" in found


def test_a_premise_is_no_template(tmp_path: Path) -> None:
    (found,) = mistakes(
        tmp_path, base=BASE.replace("world: {", 'world: {premise: "It costs {{ state.prcie }}.", ')
    )
    assert "world.premise: it is told as it is written, and is no template" in found


def test_a_variable_that_no_row_has(tmp_path: Path) -> None:
    file = tmp_path / "varied.yaml"
    file.write_text(
        dedent(
            """\
            scenario: varied
            providers: {default: {use: scripted, replies: [Hm.]}}
            agents:
              Ann: {persona: A farmer.}
              Bob: {persona: A cook., count: 2, vary: {age: [20, 40]}, actions: {go: {}}}
            schedule: {use: round-robin, rounds: 1}
            tables: {t: {rows: events.go, columns: {age: variables.age, old: variables.aeg}}}
            """
        )
    )
    with pytest.raises(ScenarioError, match="'variables' has no key 'aeg'") as caught:
        planning.from_file(file, HOST)
    assert len(caught.value.mistakes) == 1


def test_other_keywords_of_schemas_mean_nothing(tmp_path: Path) -> None:
    schema = "{properties: {min: {type: integer, x-min: 1, example: 3, note: of mine}}, label: 1}"
    base = BASE.replace("events: {", f"events: {{more: {schema}, ")
    assert mistakes(tmp_path, base=base) == []


def test_lines_belong_to_an_action(tmp_path: Path) -> None:
    base = """\
        scenario: lines
        providers: {default: {use: scripted, replies: [hello]}}
        agents:
          Mara: {actions: {go: {}}, engine: {use: actor, lines: {goo: [Bye.], go: [Bye.]}}}
        """
    (found,) = mistakes(tmp_path, base=dedent(base))
    assert "agents.Mara.engine.lines.goo: there is no action 'goo' (did you mean 'go'?)" in found


JUDGE = """\
scenario: seen
agents:
  Ann: {{engine: &e {{use: rules, policy: [{{say: hello}}]}}, actions: {{kill: {{audience: {audience}}}}}}}
  Ben: {{engine: *e}}
  Judge:
    {{engine: world, acts: {acts}, decides: [{kind}], rulings: [{{decision: no}}], actions: {{own: {{}}}}}}
groups: {{gang: [Ann, Ben], court: [Judge]}}
"""


@pytest.mark.parametrize(
    "change, expected",
    [
        ({}, ""),
        ({"audience": "[gang, court]"}, ""),
        ({"audience": "[Judge]"}, ""),
        (
            {"audience": "[gang]"},
            "6:50: agents.Judge.decides[0]: Judge can never see 'kill': its audience is gang",
        ),
        (
            {"audience": "[]"},
            "Judge can never see 'kill': its audience is empty; expected an action of another",
        ),
        ({"kind": "own"}, "Judge can never see 'own': nobody else does it"),
        (
            {"kind": "kil"},
            "decides[0]: there is no kind of events 'kil' (did you mean 'kill'?); known: kill, own",
        ),
        ({"kind": "say", "audience": "[gang]"}, ""),
        (
            {"acts": "{on: kill}", "audience": "[gang]", "kind": "say"},
            "6:32: agents.Judge.acts.on: Judge can never",
        ),
    ],
)
def test_what_an_agent_decides_it_can_see(change: dict[str, str], expected: str, tmp_path: Path) -> None:
    given = {"audience": "'*'", "acts": "after-group", "kind": "kill", **change}
    found = mistakes(tmp_path, base=JUDGE.format(**given))
    assert len(found) == bool(expected)
    assert not expected or expected in found[0]


def test_a_guard_sees_its_own_agent_and_action(tmp_path: Path) -> None:
    base = """\
        scenario: guards
        agents:
          Wolf:
            count: 2
            vary: {hunger: [1, 2]}
            engine: &talks {use: rules, policy: [{say: hello}]}
            state: {hunger: "{{ hunger }}"}
            actions: {bite: {when: self.hunger > event.payload.size, size: {type: integer}}}
          Sheep:
            engine: *talks
            state: {wool: 1}
            actions: {bite: {when: WHEN, grass: {type: string}}}
        """
    assert mistakes(tmp_path, base=dedent(base).replace("WHEN", "self.wool and event.payload.grass")) == []
    found = mistakes(tmp_path, base=dedent(base).replace("WHEN", "self.hunger > event.payload.size"))
    assert [one.partition(": ")[0] for one in found] == ["12:28", "12:28"]
    assert "'self' has no key 'hunger'" in found[0]
    assert "'event.payload' has no key 'size'" in found[1]


def test_prompts_are_checked(tmp_path: Path) -> None:
    base = """\
        scenario: prompts
        providers: {default: {use: scripted, replies: [hello]}}
        world: {state: {price: 1, deals: {}}}
        agents:
          Mara: {state: {coins: 1}, engine: {use: actor, prompt: prompt.j2}}
        groups: {team: {members: [Mara], state: {plan: wait}}}
        """
    (tmp_path / "prompt.j2").write_text(
        "{{ state.price }} {{ own.coins }} {{ groups.team.plan }} {{ state.deals.any }}\n"
        "{{ state.items() | list }}"
        "{{ state.new | default('none') }}{% if own.mood is defined %}{{ state['price'] }}{% endif %}\n"
        "{% for own in [state.deals] %}{{ own.whatever }}{% endfor %}"
    )
    assert mistakes(tmp_path, base=dedent(base)) == []
    (tmp_path / "prompt.j2").write_text(
        "{{ state.prize }}\n{% if own['coin'] %}{{ groups.teem.plan }}{% endif %}"
        "{{ groups.team.plans | upper }}"
    )
    found = sorted(one.partition(": ")[2] for one in mistakes(tmp_path, base=dedent(base)))
    place = "agents.Mara.engine.prompt: prompt.j2:"
    assert [one.partition(" (did")[0] for one in found] == [
        f"{place}1: 'state' has no key 'prize'",
        f"{place}2: 'groups' has no key 'teem'",
        f"{place}2: 'groups.team' has no key 'plans'",
        f"{place}2: 'own' has no key 'coin'",
    ]


def test_where_own_code_may_set_keys_only_typos_are_mistakes(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def act(turn):\n    turn.change('total', 1)\n")
    base = BASE.replace("{say: hello}]}", '{say: hello}]}, tools: ["./mine.py:act"]')
    more = "outcomes: {a: state.total}\nstop_when: any(e.kind == 'order' for e in events)"
    assert mistakes(tmp_path, more, base=base) == []
    (found,) = mistakes(tmp_path, "outcomes: {a: state.slod}", base=base)
    assert "'state' has no key 'slod' (did you mean 'sold'?)" in found
    (found,) = mistakes(tmp_path, "stop_when: events[-1].kind == 'ofer'", base=base)
    assert "is never 'ofer' (did you mean 'offer'?)" in found


def test_what_components_set_may_be_read(tmp_path: Path) -> None:
    """Components declare what they change, and more about their events, in `check_names`."""
    base = BASE.replace("engine: {use: rules, policy: [{say: hello}]}", "tools: [notes], reasoning: plan") + (
        "providers: {default: {use: scripted, replies: [hello]}}\n"
    )
    assert mistakes(tmp_path, 'outcomes: {a: "agents.Jon.plan[0]", b: agents.Jon.notes.any}', base=base) == []
    (found,) = mistakes(tmp_path, "outcomes: {a: agents.Jon.plans}", base=base)
    assert "'agents.Jon' has no key 'plans' (did you mean 'plan'?); it has notes, plan" in found
    base = BASE.replace(
        "engine: {use: rules, policy: [{say: hello}]}", "engine: analyst, scores: {calm: {}}"
    ) + ("providers: {default: {use: scripted, replies: [hello]}}\n")
    read = "outcomes: {{a: \"[e.payload.scores.{} for e in events if e.kind == 'finding']\"}}"
    assert mistakes(tmp_path, read.format("calm"), base=base) == []
    assert "has no key 'clam' (did you mean 'calm'?)" in mistakes(tmp_path, read.format("clam"), base=base)[0]


def test_a_run_and_a_fork_are_refused_before_the_first_call(tmp_path: Path) -> None:
    file, store = tmp_path / "names.yaml", tmp_path / "runs.db"
    file.write_text(BASE + "schedule: {use: round-robin, rounds: 1}")
    with pytest.raises(
        pyscrai_core.ScenarioError, match=r"--set outcomes.a=state.slod: outcomes.a: .*did you mean"
    ):
        api.run(file, set={"outcomes.a": "state.slod"}, store=store)
    assert not store.exists()
    assert api.run(file, store=store).status == "completed"
    with pytest.raises(pyscrai_core.ScenarioError, match="has no key 'slod'"):
        api.fork(at=1, set={"stop_when": "state.slod"}, store=store)


def test_a_recorded_run_replays_whatever_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of an earlier version, which checked less, stays as it is."""
    file, store = tmp_path / "names.yaml", tmp_path / "runs.db"
    file.write_text(BASE + "rules: [{on: pass, set: {unknown: 1}}]\nschedule: {use: round-robin, rounds: 1}")

    def nothing(*_: Any) -> None: ...

    with monkeypatch.context() as patch:
        patch.setattr(planning, "check_names", nothing)
        first = api.run(file, store=store)
    assert api.replay(store=store).fingerprint == first.fingerprint


STATE = {"n": 3, "label": "hi", "names": ["a", "b"], "box": {"x": 1}, "later": None, "empty": {}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ state.n | length }}", "TypeError: object of type 'int' has no len() (for 'state.n')"),
        ("{{ 3 | length }}", "TypeError: object of type 'int' has no len()"),
        ("{{ 1 / 0 }}", "'1 / 0' divides by zero"),
        ("{% if false %}\n{{ state.names | round }}{% endif %}", "__round__"),
        ("{% for one in state.n %}{{ one }}{% endfor %}", "not iterable"),
        ("{% if state.n > 'x' %}{% endif %}", "compares a number with a string"),
        ("{{ state.names | join(', ') | abs }}", "abs()"),
        ("{% set twice = state.box + 1 %}", "combines a mapping with a number"),
        ("{% for n in state.names %}{{ n.upper() | abs }}{% endfor %}", "abs(): 'str' (for 'n')"),
        ("{% set n = state.names %}{{ n | sum }}", "unsupported operand type(s) for +: 'int' and 'str'"),
        ("{% for k, v in state.box.items() %}{{ v > 'x' }}{% endfor %}", "'v > 'x'' compares a number"),
        ("{% for k, v in state.box | items %}{{ v.size }}{% endfor %}", "'v' is a number, so it has no"),
        ("{{ state.names | length == '2' }}", "'state.names | length == '2'' compares a number"),
        ("{{ 'many' if state.n >= '3' else 'few' }}", "compares a number with a string"),
        ("{% if step and state.n == 'x' %}{% endif %}", "which are never equal"),
        ("{% for n in state.names %}{{ loop.indx }}{% endfor %}", "no key 'indx' (did you mean 'index'?)"),
        ("{{ state.label.uper() }}", "is a string, which has no method 'uper' (did you mean 'upper'?)"),
        ("{{ state.n.upper() }}", "'state.n' is a number, which has no method 'upper'"),
    ],
)  # fmt: skip
def test_what_a_prompt_cannot_do_with_the_state(text: str, expected: str, tmp_path: Path) -> None:
    assert [one for one in _prompt_mistakes(text, tmp_path) if expected in one], text


@pytest.mark.parametrize(
    "text",
    [
        "{{ state.label.upper() }} {{ state.names.index('a') }} {{ state.box.items() | list }}",
        "{{ state.later | round }} {{ state.later.what }} {{ state.empty.x }} {{ state.empty | length }}",
        "{{ state.names[7] }} {{ 10 / state.n }} {{ state.names | max }} {{ state | tojson | length }}",
        "{% for n in state.names if n != 'a' %}{{ loop.index }} {{ n.upper() }}{% endfor %}",
        "{% for k, v in state.items() %}{% if v is mapping %}{{ v.what }}{% endif %}{% endfor %}",
        "{% for k, v in state.items() %}{{ v if v is string else v | tojson }}{% endfor %}",
        "{% for k, v in state.items() if v is mapping and v.what is defined %}{{ v.what }}{% endfor %}",
        "{% set n = 2 %}{% if 'mood' in own %}{% set n = 'x' %}{% endif %}{{ n > 'x' }}",
        "{% for n in [state.later] %}{{ n.what > 'x' }}{% else %}{{ state.n }}{% endfor %}",
        "{% with n = state.n %}{{ n + 1 }}{% endwith %}{% filter upper %}a {{ state.label }}{% endfilter %}",
        "{% set a %}x {{ state.n }}{% endset %}{{ a.upper() }}{% set own = state.empty %}{{ own.x }}",
        "{% macro m(n) %}{{ n.x }}{{ caller() }}{% endmacro %}{% call m(1) %}{{ state.n }}{% endcall %}",
        "{{ state.names[:1] | join }} {{ (state.names | first).upper() }} {{ state['n'] - 1 }}",
        "{% for key, group in groups | items %}{{ key }}: {{ group.plan | default('none') }}{% endfor %}",
        "{% set n = state.names %}{{ n | max }}{% macro m(a) %}{{ a + 1 }}{% endmacro %}{{ m(state.n) }}",
        "{{ range(state.n) | list }} {{ state.cuont is defined }} {{ state.get('cuont') }}",
        "{{ state.label ~ state.n }} {{ state.n in state.names }} {{ persona + '1' }}",
    ],
)
def test_what_a_prompt_may_do_with_the_state(text: str, tmp_path: Path) -> None:
    assert _prompt_mistakes(text, tmp_path) == []


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        (
            "{engine: {use: actor, prompt: prompt.j2}}",
            "{% for a in actions %}\n{{ a.desc }}{% endfor %}",
            "prompt.j2:2: 'a' has no key 'desc' (did you mean 'description'?); it has answer, arguments, "
            "description, meanings, name",
        ),
        ("{engine: {use: actor, system: prompt.j2}}", "{{ words == '60' }}", "'words == '60'' compares"),
        ("{engine: {use: actor, prompt: prompt.j2}}", "{{ step > '3' }}", "compares a number with a string"),
        ("{engine: {use: actor, prompt: prompt.j2}}", "{{ name.frist }}", "'name' is a string, so it has no"),
        (
            "{engine: {use: actor, prompt: prompt.j2}}",
            "{% for a in actions | sort(attribute='nmae') %}{% endfor %}",
            "'each of actions' has no key 'nmae' (did you mean 'name'?)",
        ),
        (
            "{engine: {use: actor, prompt: prompt.j2}}",
            "{% for a in actions %}{% for b in a.arguments %}{{ b.from }}{% endfor %}{% endfor %}",
            "'b' has no key 'from' (did you mean 'form'?)",
        ),
        (
            "{engine: {use: actor, prompt: prompt.j2}}",
            "{{ (actions | first).nmae }}{{ actions[0].nmae }}",
            "'actions | first' has no key 'nmae' (did you mean 'name'?)",
        ),
        ("{engine: {use: narrator, prompt: prompt.j2}}", "{{ perspective > 3 }}", "compares a string with"),
        (
            "{engine: {use: analyst, prompt: prompt.j2}}",
            "{% for s in scores if s.minimum < 'x' %}{% endfor %}",
            "'s.minimum < 'x'' compares a number with a string, which have no order",
        ),
        ("{engine: {use: analyst, prompt: prompt.j2}}", "{{ scores.maximum }}", "'scores' is a list, so it"),
        (
            "{engine: {use: human, question: prompt.j2}}",
            "{% for a in actions %}{{ a.answer }}{% endfor %}",
            "'a' has no key 'answer'; it has arguments, description, name, usage",
        ),
        (
            "{engine: {use: world, decides: [ruling], ask: true, prompt: prompt.j2}}",
            "{% for change in described %}{{ change.pth }}{% endfor %}",
            "'change' has no key 'pth' (did you mean 'path'?)",
        ),
        ("{reasoning: {use: plan, check: prompt.j2}}", "{{ plan.steps }}", "'plan' is a list, so it has no"),
        (
            "{reasoning: {use: chain-of-thought, prompt: prompt.j2}}",
            "{% for tool in tools %}{{ tool.parameters }}{% endfor %}",
            "'tool' has no key 'parameters'; it has description, name",
        ),
        (
            "{reasoning: {use: react, prompt: prompt.j2}}",
            "{% for t in tools %}{{ t.desc }}{% endfor %}",
            "'t' has no key 'desc' (did you mean 'description'?)",
        ),
        ("{reasoning: {use: reflection, critique: prompt.j2}}", "{{ criteria - 1 }}", "combines a string"),
        (
            "{reasoning: {use: self-consistency, prompt: prompt.j2}}",
            "{% for a in answers %}{{ a.text }}{% endfor %}",
            "'a' is a string, so it has no 'text'",
        ),
        (
            "{memory: {use: summary, prompt: prompt.j2}}",
            "{% for e in events %}{{ e.kind }}{% endfor %}",
            "'e' is a string, so it has no 'kind'",
        ),
        ("{memory: {use: recall, importance: model, prompt: prompt.j2}}", "{{ events + 1 }}", "combines"),
    ],
)
def test_what_a_prompt_reads_of_its_other_variables(
    options: str, text: str, expected: str, tmp_path: Path
) -> None:
    """The plugins say what stands for them, and a value that is something else fails its turn."""
    (found, *_) = _prompt_mistakes(text, tmp_path, options)
    assert expected in found
    assert "declare it" not in found


def test_a_schedules_prompt_is_checked(tmp_path: Path) -> None:
    more = "schedule: {use: moderated, turns: 2, repeat: true, prompt: prompt.j2}"
    (found,) = _prompt_mistakes("{% for l in lines %}{{ l.text }}{% endfor %}", tmp_path, "{}", more)
    assert "schedule.prompt: prompt.j2:1: 'l' is a string, so it has no 'text'" in found


def _prompt_mistakes(
    text: str, folder: Path, options: str = "{engine: {use: actor, prompt: prompt.j2}}", more: str = ""
) -> list[str]:
    (folder / "prompt.j2").write_text(text)
    return mistakes(
        folder,
        f"world: {{state: {json.dumps(STATE)}}}\n{more}",
        base=f"scenario: prompts\nagents: {{Mara: {options}}}\n",
    )


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            "events: {storm: {type: object, properties: {force: {type: integer}}, required: [forse]}}",
            "'forse' is required, and is none of the `properties`; did you mean 'force'?",
        ),
        (
            "events: {e: {properties: {force: {}}, required: [wind], additionalProperties: false}}",
            "no value fits",
        ),
        (
            "outcomes: {a: {value: groups.team.plan, kind: category}, b: {value: state.phase,"
            " kind: ordered, levels: [night, dya]}}",
            "it begins as 'day', which is none of the levels; did you mean 'dya'?",
        ),
        (
            'rules: [{on: pay, add: {"agents.{event.payload.to}.coins": 1}}]',
            "it may be 'Mra': there is no agent 'Mra' (did you mean 'Mara'?)",
        ),
        ('schedule: {use: moderated, turns: 2, rule: "names[0]"}', "Mara is the only agent that acts by"),
    ],
)
def test_mistakes_that_only_a_run_would_show(more: str, expected: str, tmp_path: Path) -> None:
    base = """\
scenario: late
world: {state: {phase: day}}
agents:
  Mara:
    engine: {use: rules, policy: [{do: pay, arguments: {to: "'Mara'"}}]}
    state: {coins: 3}
    actions: {pay: {to: {type: string, enum: [Mara, Mra, nobody]}}}
  Jon: {engine: {use: rules, policy: [{say: hello}]}, acts: {on: pay}, state: {coins: 3}}
groups: {team: {members: [Mara], state: {plan: wait}}}
"""
    (found,) = mistakes(tmp_path, more, base=base)
    assert expected in found
    right = more.replace("forse", "force").replace("wind", "force").replace("dya", "day")
    right = right.replace("turns: 2", "turns: 1")
    assert mistakes(tmp_path, right, base=base.replace("Mra, ", "")) == []


FINITE = """\
scenario: finite
providers: {default: {use: scripted, replies: [hello]}}
agents:
  Mara: {actions: {tell: {}, hide: {audience: []}}, tools: [calculator]}
  Jon:
    engine: {use: rules, policy: [{when: "any(e.kind == 'tell' for e in heard)", do: bid}]}
    actions: {bid: {}}
  Ada: {tools: [calculator]}
outcomes: {a: "len([e for e in events if e.kind == 'tool' and e.payload.name == 'calculator'])"}
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name == 'calculator'", "name == 'calcultor'", "is never 'calcultor' (did you mean 'calculator'?)"),
        ("name == 'calculator'", "name == 'search'", "is never 'search'; it can be calculator"),
        ("name == 'calculator'", "name in ['calculate']", "(did you mean 'calculator'?)"),
        (
            "'tool' and e.payload.name == 'calculator'",
            "'turn.failed' and e.payload.error == 'Refusd'",
            "is never 'Refusd' (did you mean 'Refused'?)",
        ),
        (
            "'tool' and e.payload.name == 'calculator'",
            "'change' and e.payload.op == 'ad'",
            "is never 'ad' (did you mean 'add'?); it can be add, set",
        ),
        ("'tell' for", "'tel' for", "'e.kind' is never 'tel' (did you mean 'tell'?)"),
        ("'tell' for", "'hide' for", "'e.kind' is never 'hide'; it can be change, rejected, say, tell"),
        ("'tell' for", "'bid' for", "'e.kind' is never 'bid'; it can be change"),
    ],
)
def test_payloads_with_few_values_and_kinds_that_are_never_heard(
    old: str, new: str, expected: str, tmp_path: Path
) -> None:
    assert mistakes(tmp_path, base=FINITE) == []
    (found,) = mistakes(tmp_path, base=FINITE.replace(old, new))
    assert expected in found


def test_where_tools_show_only_in_a_run_typos_alone_are_mistakes(tmp_path: Path) -> None:
    base = FINITE.replace("[calculator]", "[calculator, notes]")
    assert mistakes(tmp_path, base=base.replace("name == 'calculator'", "name == 'search'")) == []
    (found,) = mistakes(tmp_path, base=base.replace("name == 'calculator'", "name == 'calcultor'"))
    assert "is never 'calcultor' (did you mean 'calculator'?)" in found


EACH = """\
scenario: each
world: {state: {n: 0}}
agents:
  Mara:
    engine: {use: rules, policy: [{do: go, arguments: {price: 3}}]}
    state: {coins: 3}
    actions: {go: {price: {type: integer}}, look: {when: self.coins > 0}}
  Jon:
    engine: {use: rules, policy: [{do: go, arguments: {prize: 3}}]}
    state: {cons: 3}
    actions: {go: {prize: {type: integer}}, look: {when: state.n > 9}}
groups: {one: {members: [Mara], state: {plan: 1}}, two: {members: [Jon], state: {plans: 1}}}
"""


@pytest.mark.parametrize(
    "more, expected",
    [
        ("rules: [{on: go, set: {n: self.coins}}]", "13:27: rules[0].set.n: 'self.coins': 'self' has no key"),
        ("rules: [{on: go, add: {self.coins: 1}}]", "13:24: rules[0].add.self.coins: the state has no key"),
        ("rules: [{on: go, set: {n: event.payload.price}}]", "rules[0].set.n: 'event.payload.price': 'event"),
        ("tables: {t: {rows: agents, columns: {c: self.coins}}}", "tables.t.columns.c: 'self.coins'"),
        ("tables: {t: {rows: events.go, columns: {c: event.payload.price}}}", "'event.payload' has no key"),
        (
            "tables: {t: {rows: events.go, columns: {c: self.coins}}}",
            "tables.t.columns.c: 'self.coins'",
        ),
        (
            "tables: {t: {rows: groups, columns: {p: self.plan}}}",
            "tables.t.columns.p: 'self.plan'",
        ),
    ],
)
def test_what_one_of_several_does_not_have(more: str, expected: str, tmp_path: Path) -> None:
    """A rule or a row is for each of them, unless a condition says for whom."""
    (found,) = mistakes(tmp_path, more, base=EACH)
    assert expected in found
    start, key, end = re.split("(columns|set|add)", more, maxsplit=1)
    assert mistakes(tmp_path, f"{start}when: state.n == 0, {key}{end}", base=EACH) == []


@pytest.mark.parametrize(
    "more",
    [
        "rules: [{on: go, on_error: reject, set: {n: self.coins}}]",
        "rules: [{on: look, set: {n: self.coins}}]",  # the guard says for whom
        "rules: [{on: look, add: {self.coins: 1}}]",
        "rules: [{on: say, set: {n: self.coins}}]",  # of all agents, only Mara may speak
        "tables: {t: {rows: events.look, columns: {c: self.coins}}}",
        "tables: {t: {rows: events, columns: {c: self.coins}}}",
    ],
)
def test_what_one_of_several_may_never_need(more: str, tmp_path: Path) -> None:
    assert mistakes(tmp_path, more, base=EACH) == []


DEAL = """\
scenario: deal
world: {state: {deal: null, other: null}}
agents:
  A:
    engine: {use: rules, policy: [{do: go, arguments: {coins: 1}}]}
    actions: {go: {coins: {type: integer}}}
rules:
  - {on: go, set: {deal: "{'buyer': event.source, 'paid': {'coins': event.payload.coins}}"}}
  - {on: go, set: {other: state.deal, deal.hour: 9}}
"""


@pytest.mark.parametrize("text", ["state.deal.buyr", "state.deal.paid.cons", "state.other.paid['coin']"])
def test_what_looks_like_a_key_of_what_is_set_later(text: str, tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, f'outcomes: {{a: "{text} if state.deal else 0"}}', base=DEAL)
    assert "did you mean" in found


@pytest.mark.parametrize(
    "text", ["state.deal.buyer", "state.deal.hour", "state.other.weather", "len(state.deal)"]
)
def test_what_is_set_later_may_have_other_keys(text: str, tmp_path: Path) -> None:
    assert mistakes(tmp_path, f'outcomes: {{a: "{text} if state.deal else 0"}}', base=DEAL) == []
