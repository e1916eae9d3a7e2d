"""Populations: many agents from one entry, drawn by the run's seed or read from a table."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_core import ScenarioError, api
from pyscrai_core.config import load_settings
from pyscrai_core.plugins import Host
from pyscrai_core.scenario import plan as planning
from pyscrai_core.scenario.model import Scenario

HEAD = """\
scenario: town
providers: {default: {use: scripted, replies: [Hello.]}}
schedule: {use: round-robin, rounds: 1}
"""
CROWD = """\
agents:
  Mayor: {persona: Runs the town}
  Citizen:
    count: 12
    vary:
      age: [20, 40, 60]
      mood: [calm, angry]
    persona: "{{ name }} is {{ age }} and {{ mood }}."
    goals: [Be heard, "{{ age }}", "{% if age > 30 %}Peace{% else %}Change{% endif %}"]
    state: {age: "{{ age }}", note: "age {{ age }}", list: ["{{ index }}"], coins: 5}
"""


@pytest.fixture(scope="module")
def installed() -> Host:
    return Host()


def load(host: Host, text: str, **given: Any) -> Scenario:
    Path("scenario.yaml").write_text(HEAD + text)
    return api.prepare("scenario.yaml", settings=load_settings(), host=host, **given).scenario


def mistakes(host: Host, text: str, **given: Any) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load(host, text, **given)
    return str(caught.value).splitlines()


# -- members ------------------------------------------------------------------------------------


def test_members_are_numbered_and_stand_in_the_place_of_their_population(installed: Host) -> None:
    agents = load(installed, CROWD + "  Clerk: {}\n").agents
    assert list(agents) == ["Mayor", *(f"Citizen-{number:02}" for number in range(1, 13)), "Clerk"]
    assert list(load(installed, "agents: {A: {count: 9}}\n").agents)[-1] == "A-9"
    assert list(load(installed, "agents: {A: {count: 1}}\n").agents) == ["A-1"]


def test_variables_are_filled_in_and_numbers_stay_numbers_in_the_state(installed: Host) -> None:
    agents = load(installed, CROWD).agents
    for number, agent in enumerate(list(agents.values())[1:], 1):
        age, mood = agent.variables["age"], agent.variables["mood"]
        assert age in (20, 40, 60)
        assert mood in ("calm", "angry")
        assert agent.persona == f"{agent.name} is {age} and {mood}."
        assert agent.goals == ("Be heard", str(age), "Peace" if age > 30 else "Change")
        assert agent.state == {"age": age, "note": f"age {age}", "list": [number], "coins": 5}
    assert agents["Mayor"].variables == {}


def test_an_agent_that_is_no_population_knows_its_own_name(installed: Host) -> None:
    text = "agents: {A: {persona: 'I am {{ name }}.', state: {me: '{{ name }}'}}}\n"
    agent = load(installed, text).agents["A"]
    assert (agent.persona, agent.state) == ("I am A.", {"me": "A"})


def test_the_same_seed_draws_the_same_people_and_another_others(installed: Host) -> None:
    def people(**given: Any) -> list[dict[str, Any]]:
        return [agent.variables for agent in load(installed, CROWD, **given).agents.values()]

    assert people(seed=1) == people(seed=1)
    assert people(seed=1) != people(seed=2)
    assert people() == people(seed=0)


def test_more_people_or_other_variables_do_not_change_those_there_are(installed: Host) -> None:
    def people(text: str) -> list[dict[str, Any]]:
        return [agent.variables for agent in list(load(installed, text).agents.values())[1:13]]

    few = people(CROWD)
    assert people(CROWD.replace("count: 12", "count: 90")) == few
    more = people(CROWD.replace("mood: [", "trade: [baker, smith]\n      mood: ["))
    assert [{key: one[key] for key in ("age", "mood")} for one in more] == few


def test_every_choice_is_drawn(installed: Host) -> None:
    agents = list(load(installed, CROWD.replace("count: 12", "count: 600")).agents.values())[1:]
    for key, choices in (("age", (20, 40, 60)), ("mood", ("calm", "angry"))):
        drawn = [agent.variables[key] for agent in agents]
        for choice in choices:
            # Five standard deviations below what is expected.
            expected = 600 / len(choices)
            assert drawn.count(choice) > expected - 5 * (expected * (1 - 1 / len(choices))) ** 0.5


# -- tables -------------------------------------------------------------------------------------

TABLE = "agents: {A: {vary: people.csv, persona: '{{ who }}, {{ age }}', state: {age: '{{ age }}'}}}\n"


def test_a_table_has_a_row_for_each_member(installed: Host) -> None:
    Path("people.csv").write_text(
        'who,age,code\n"Ann, the smith",30,007\nBen,-2.5,1e3\n\nCy,x,\n', "utf-8-sig"
    )
    agents = load(installed, TABLE).agents
    assert [agent.variables for agent in agents.values()] == [
        {"who": "Ann, the smith", "age": 30, "code": "007"},
        {"who": "Ben", "age": -2.5, "code": "1e3"},
        {"who": "Cy", "age": "x", "code": ""},
    ]
    assert agents["A-1"].persona == "Ann, the smith, 30"
    assert [agent.state["age"] for agent in agents.values()] == [30, -2.5, "x"]
    assert list(load(installed, TABLE.replace("{vary", "{count: 2, vary")).agents) == ["A-1", "A-2"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "people.csv: the table has no rows; expected a heading, then a row for each agent"),
        ("who,age\n", "people.csv: the table has no rows"),
        ("who,age\nAnn,30\nBen\n", "people.csv:3: the row has 1 cells, and the heading 2"),
        ('who,age\n"Ann\nSmith",30\nBen,1,2\n', "people.csv:4: the row has 3 cells, and the heading 2"),
        (
            "who,my age\nAnn,30\n",
            "people.csv:1: the column 'my age': a variable has a name of letters, digits and",
        ),
        (
            "who,name\nAnn,30\n",
            "people.csv:1: the column 'name': it is set for each member; choose another name",
        ),
        ("who,who\nAnn,30\n", "people.csv:1: the column 'who': it appears twice"),
        ('who,age\n"Ann,30\n', "people.csv:2: it is not CSV: unexpected end of data"),
        (b"who,age\n\xff,30\n", "the file 'people.csv' is not UTF-8 text (line 2)"),
    ],
)
def test_a_table_that_cannot_be_read(installed: Host, content: str | bytes, expected: str) -> None:
    Path("people.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    (line,) = mistakes(installed, TABLE)
    assert line.startswith(f"scenario.yaml:4:20: agents.A.vary: {expected}")


def test_a_table_that_is_too_short_or_not_there(installed: Host) -> None:
    Path("people.csv").write_text("who,age\nAnn,30\n")
    (line,) = mistakes(installed, TABLE.replace("{vary", "{count: 2, vary"))
    assert line.startswith("scenario.yaml:4:30: agents.A.vary: the table has 1 rows, for 2 agents")
    (line,) = mistakes(installed, TABLE.replace("people", "poeple"))
    assert line.startswith(
        "scenario.yaml:4:20: agents.A.vary: there is no file 'poeple.csv' (did you mean 'people.csv'?)"
    )


# -- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{count: 0}", "4:21: agents.A.count: expected a number of agents from 1 to 100,000, got 0"),
        ("{count: -1}", "4:21: agents.A.count: expected a number of agents from 1 to 100,000, got -1"),
        ("{count: '3'}", "4:21: agents.A.count: expected a number of agents from 1 to 100,000, got '3'"),
        ("{count: true}", "4:21: agents.A.count: expected a number of agents from 1 to 100,000, got true"),
        (
            "{count: 100001}",
            "4:21: agents.A.count: expected a number of agents from 1 to 100,000, got 100001",
        ),
        (
            "{vary: {x: [1]}}",
            "4:20: agents.A.vary: the key 'count' is missing, which says how many agents to draw",
        ),
        (
            "{count: 2, vary: 3}",
            "4:30: agents.A.vary: expected lists to draw from, or the path of a CSV file; got 3",
        ),
        ("{count: 2, vary: {x: 3}}", "4:34: agents.A.vary.x: expected a list to draw from, got 3"),
        ("{count: 2, vary: {x: []}}", "4:34: agents.A.vary.x: expected a list to draw from, got []"),
        (
            "{count: 2, vary: {x y: [1]}}",
            "4:36: agents.A.vary.x y: the variable 'x y': a variable has a name of",
        ),
        (
            "{count: 2, vary: {index: [1]}}",
            "4:38: agents.A.vary.index: the variable 'index': it is set for each",
        ),
        (
            "{count: 2, persona: '{{ agee }}', vary: {age: [1]}}",
            "4:33: agents.A.persona: the name 'agee' is not",
        ),
        (
            "{count: 2, goals: [a, '{{ x }}']}",
            "4:35: agents.A.goals[1]: the name 'x' is not defined; known here:",
        ),
        ("{count: 2, state: {a: {b: '{% x %}'}}}", "4:39: agents.A.state.a.b: Encountered unknown tag 'x'."),
        (
            "{count: 2, persona: '{{ name.__class__ }}'}",
            "4:33: agents.A.persona: the attribute '__class__' is",
        ),
    ],
)
def test_a_mistake_in_a_population_is_told_once_at_its_place(
    installed: Host, text: str, expected: str
) -> None:
    (line,) = mistakes(installed, f"agents: {{A: {text}}}\n")
    assert line.startswith(f"scenario.yaml:{expected}")


def test_a_mistake_of_all_members_is_told_once(installed: Host) -> None:
    text = CROWD + "    on_error: ignore\n    wrds: 3\n    memory: windw\n    acts: {on: riot}\n"
    text += "    actions: {vote: {audience: Nobody}}\n"
    lines = mistakes(installed, text)
    assert [line.split(": ")[:2] for line in lines] == [
        ["scenario.yaml:14:15", "agents.Citizen-01.on_error"],
        ["scenario.yaml:15:5", "agents.Citizen-01.wrds"],
        ["scenario.yaml:16:13", "agents.Citizen-01.memory"],
        ["scenario.yaml:18:32", "agents.Citizen-01.actions.vote.audience"],
    ]
    assert mistakes(installed, CROWD + "    acts: {on: riot}\n") == [
        "scenario.yaml:14:16: agents.Citizen-01.acts.on: there is no kind of events 'riot'; known: say, "
        "thought"
    ]


def test_a_member_and_an_agent_cannot_have_one_name(installed: Host) -> None:
    expected = (
        "agents.A: the population 'A': its member 'A-2' has the name of another agent; rename one of the two"
    )
    text = "agents:\n  A: {count: 3}\n  A-2: {}\n"
    assert mistakes(installed, text) == [f"scenario.yaml:5:3: {expected}"]
    text = "agents:\n  A-2: {}\n  A: {count: 3}\n"
    assert mistakes(installed, text) == [f"scenario.yaml:6:3: {expected}"]


def test_populations_together_are_bounded(installed: Host) -> None:
    text = "agents:\n  A: {count: 60000}\n  B: {count: 60000}\n"
    assert mistakes(installed, text) == [
        "scenario.yaml:6:3: agents.B: there are more than 100,000 agents in all"
    ]


@pytest.mark.slow
def test_what_templates_of_a_population_do_is_bounded_together(installed: Host) -> None:
    loops = "{% for a in range(9999) %}{{ a }}{% endfor %}"
    (line,) = mistakes(installed, f"agents: {{A: {{count: 50000, persona: '{loops}'}}}}\n")
    assert line == "scenario.yaml:4:37: agents.A.persona: the template does too much; loop over less"
    (line,) = mistakes(installed, "agents: {A: {count: 50000, persona: \"{{ 'x' * 1999999 }}\"}}\n")
    assert line.startswith("scenario.yaml:4:37: agents.A.persona: a text becomes too long")


# -- groups -------------------------------------------------------------------------------------


def test_a_population_is_a_group_of_its_name(installed: Host) -> None:
    text = CROWD + "    actions: {shout: {audience: Citizen}}\n"
    scenario = load(installed, text)
    members = tuple(f"Citizen-{number:02}" for number in range(1, 13))
    assert scenario.groups["Citizen"].members == members
    assert scenario.agents["Citizen-03"].groups == ("Citizen",)
    assert scenario.agents["Citizen-03"].actions["shout"].audience == ("Citizen",)
    assert scenario.agents["Mayor"].groups == ()


def test_its_group_can_have_a_state(installed: Host) -> None:
    scenario = load(installed, CROWD + "groups: {Citizen: {state: {anger: 0}}}\n")
    assert len(scenario.groups["Citizen"].members) == 12
    assert scenario.groups["Citizen"].state == {"anger": 0}


def test_its_name_stands_for_its_members_in_other_groups(installed: Host) -> None:
    scenario = load(
        installed, CROWD + "groups: {Town: {members: [Mayor, Citizen], state: {x: 1}}, Hall: [Mayor]}\n"
    )
    assert scenario.groups["Town"].members[:2] == ("Mayor", "Citizen-01")
    assert len(scenario.groups["Town"].members) == 13
    assert scenario.agents["Citizen-12"].groups == ("Town", "Citizen")
    assert mistakes(installed, CROWD + "groups: {Town: [Citizen, Mayer]}\n")[0].startswith(
        "scenario.yaml:14:26: groups.Town[12]: there is no agent 'Mayer' (did you mean 'Mayor'?)"
    )


def test_its_group_has_no_other_members(installed: Host) -> None:
    assert mistakes(installed, CROWD + "groups: {Citizen: [Mayor]}\n") == [
        "scenario.yaml:14:19: groups.Citizen: the population 'Citizen' is this group; leave its members out, "
        "or rename the group"
    ]


# -- size ---------------------------------------------------------------------------------------

LARGE = """\
world: {state: {open: true}}
agents:
  Citizen:
    count: 1000
    vary: {age: [20, 40], mood: [calm, angry]}
    persona: "{{ name }} is {{ age }} and {{ mood }}."
    state: {age: "{{ age }}"}
    memory: {use: window, tokens: 300}
    actions:
      offer: {price: {type: integer, minimum: 1}, when: state.open and self.age > 30, audience: Citizen}
groups: {Town: [Citizen]}
"""


def test_what_members_have_in_common_is_worked_out_once(installed: Host) -> None:
    """A thousand agents cost what they are, not a thousand times what they share."""
    Path("scenario.yaml").write_text(HEAD + LARGE)
    plan = api.prepare("scenario.yaml", settings=load_settings(), host=installed)
    agents = list(plan.scenario.agents.values())
    assert len({id(agent.actions) for agent in agents}) == 1
    assert len({id(plan.agents[agent.name]["memory"]) for agent in agents}) == 1
    assert len({id(plan.agents[agent.name]["engine"]) for agent in agents}) == 1
    again = planning.from_manifest(plan.manifest, installed, replay=True).scenario
    assert len({id(agent.actions) for agent in again.agents.values()}) == 1
    assert again == plan.scenario


@pytest.mark.slow
def test_memory_grows_in_step_with_the_members(installed: Host) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        load(installed, LARGE.replace("1000", str(count)))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(10)
    assert peak(2000) < 5 * peak(500)


def test_a_population_runs(installed: Host) -> None:
    Path("scenario.yaml").write_text(HEAD + CROWD)
    result = pyscrai_core.run("scenario.yaml", host=installed)
    assert (result.status, result.steps, len(result.events)) == ("completed", 13, 13)
