"""The engines `rules` and `world` in whole runs, which are then replayed; no model takes part."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import pyscrai_core
import pyscrai_rules.plugin
from pyscrai_core import Completion, Extension, Provider, Request, RunResult, Schedule, Stage, hookimpl
from pyscrai_core.api import replay
from pyscrai_core.plugins import Host
from pyscrai_rules import rules, world

#: What the provider answers, in order, and what it was asked.
ANSWERS: list[dict[str, Any]] = []
ASKED: list[Request] = []


class Oracle(Provider):
    capabilities = frozenset({"schema"})

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        ASKED.append(request)
        return Completion(text=json.dumps(ANSWERS[len(ASKED) - 1]))


class Steps(Schedule):
    """All at once, as often as the public state says."""

    async def next(self, stage: Stage) -> tuple[str, ...]:
        return stage.agents if stage.step <= stage.state.get("steps", 1) else ()


class PartsPlugin:
    pyscrai_api = 1
    __name__ = "parts"

    @hookimpl
    def pyscrai_providers(self) -> list[Extension]:
        return [Extension("oracle", f"{__name__}:Oracle")]

    @hookimpl
    def pyscrai_schedules(self) -> list[Extension]:
        return [Extension("steps", f"{__name__}:Steps")]


HOST = Host(extra=[PartsPlugin(), pyscrai_rules.plugin])
ACTIONS: dict[str, Any] = {
    "take": {"description": "reach into the vault", "coins": {"type": "integer", "description": "how many"}},
    "wait": {},
    "knock": {"when": "state.open == 0"},
}
Play = Callable[..., RunResult]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run agents with policies, and a world with options; replay it, and hold both against each other."""

    def run(
        policies: dict[str, Any], judge: dict[str, Any] | None = None, seed: int = 1, **state: Any
    ) -> RunResult:
        ASKED.clear()
        agents: dict[str, Any] = {
            name: {
                "engine": "rules",
                "memory": None,
                "policy": policy,
                "actions": ACTIONS,
                "state": {"pace": 2},
            }
            for name, policy in policies.items()
        }
        if judge:
            agents["Judge"] = {"engine": "world", "memory": None, "acts": "after-group", **judge}
        scenario = {
            "scenario": "play",
            "providers": {"default": {"use": "oracle"}},
            "world": {"state": {"open": 0, "purse": 10, **state}, "premise": "A vault."},
            "agents": agents,
            "schedule": "steps",
            "outcomes": {"state": "state"},
        }
        file = tmp_path / "scenario.json"
        file.write_text(json.dumps(scenario))
        result = pyscrai_core.run(file, seed=seed, store=tmp_path / "runs.db", host=HOST)
        again = replay("last", store=tmp_path / "runs.db", host=HOST)
        assert (again.fingerprint, again.status) == (result.fingerprint, result.status)
        return result

    return run


def did(result: RunResult, source: str = "Ann") -> list[Any]:
    return [(event.kind, event.payload) for event in result.events if event.source == source]


def test_the_first_entry_that_applies_is_taken(play: Play) -> None:
    policy = [
        {"when": "step == 2", "do": "take", "arguments": {"coins": 7}, "say": "Seven."},
        {"when": "turn == 3", "do": "take", "arguments": {"coins": "self.pace * 2 + len(did)"}},
        {"when": "did", "say": "I, {name}, did {did[-1].payload.coins} of {state.purse}: {others} {null}"},
    ]
    assert did(play({"Ann": policy, "Ben": [{"do": "wait"}]}, steps=5)) == [
        ("say", {"text": "Seven."}),
        ("take", {"coins": 7}),
        ("say", {"text": 'I, Ann, did 7 of 10: ["Ben"] null'}),
        ("take", {"coins": 5}),
        ("say", {"text": 'I, Ann, did 5 of 10: ["Ben"] null'}),
    ]


def test_what_is_heard_is_what_others_did_since_the_last_turn(play: Play) -> None:
    policy = [{"say": "{[e.source + e.payload.text for e in heard]} {len(observed)} {len(events)}"}]
    ben = [{"when": "step == 1", "say": "!"}, {"when": "step == 3", "say": "?"}]
    texts = [payload["text"] for _, payload in did(play({"Ann": policy, "Ben": ben}, steps=4))]
    assert texts == ["[] 0 0", '["Ben!"] 2 2', "[] 1 3", '["Ben?"] 2 5']


def test_an_action_that_is_not_open_is_passed_over(play: Play) -> None:
    policy = [{"do": "knock"}, {"do": "wait"}]
    assert did(play({"Ann": policy})) == [("knock", {})]
    assert did(play({"Ann": policy}, open=1)) == [("wait", {})]


def test_chance_is_drawn_with_the_seed(play: Play) -> None:
    policy = [{"chance": 0.25, "do": "wait"}, {"chance": 0, "say": "never"}, {"do": "knock"}]
    one, same, other = (play({"Ann": policy}, seed=seed, steps=200) for seed in (1, 1, 2))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    kinds = [kind for kind, _ in did(one)]
    # 50 are expected; 30 and 70 are more than three standard deviations away.
    assert 30 < kinds.count("wait") < 70
    assert set(kinds) == {"wait", "knock"}


@pytest.mark.parametrize(
    "policy, says",
    [
        ([], "agents.Ann.policy: the list is empty"),
        ([{"when": "stat.purse"}], "agents.Ann.policy[0].when: 'stat.purse': the name 'stat' is not known"),
        ([{"do": "wait"}, {"chance": 2}], "agents.Ann.policy[1].chance: 'chance' must be <= 1"),
        ([{"arguments": {"coins": 1}}], "arguments: they need an action"),
        ([{"do": "take", "arguments": {"coins": "1 +"}}], "agents.Ann.policy[0].arguments.coins: '1 +'"),
        ([{"say": "a { b"}], "agents.Ann.policy[0].say: 'a { b' has an unmatched brace"),
        ([{"say": "{len}"}], "policy[0].say: 'len': 'len' is a function"),
        (
            [{"do": "tkae"}],
            "agents.Ann.policy[0].do: there is no action 'tkae' (did you mean 'take'?); the agent's actions: "
            "take, wait",
        ),
        ([{"when": "state.prse > 1"}], "policy[0].when: 'state.prse > 1': 'state' has no key 'prse' (did"),
        ([{"say": "{self.pase}"}], "policy[0].say: 'self.pase': 'self' has no key 'pase'"),
        ([{"when": "did[-1].kind == 'tkae'"}], "'did[-1].kind' is never 'tkae' (did you mean 'take'?)"),
        ([{"when": "'Bem' in others"}], "'others' never holds 'Bem'"),
        (
            [{"do": "take", "arguments": {"coin": 1}}],
            "arguments.coin: unknown key 'coin'; did you mean 'coins'?",
        ),
        ([{"do": "take"}], "policy[0]: the argument 'coins' of 'take' is missing; add it"),
        ([{"do": "take", "arguments": {"coins": "'x'"}}], "coins: expected"),
    ],
)
def test_mistakes_in_a_policy_are_bad_input(policy: list[Any], says: str, play: Play) -> None:
    with pytest.raises(pyscrai_core.ScenarioError, match=re.escape(says)):
        play({"Ann": policy})


@pytest.mark.parametrize(
    "entry, says",
    [
        ({"when": "[1][state.purse]"}, "policy[0].when: '[1][state.purse]': "),
        ({"say": "{1 / (1 - 1)}"}, "policy[0].say: '1 / (1 - 1)': division by zero"),
        ({"do": "take", "arguments": {"coins": "1 / 2"}}, "take: the payload does not fit its schema"),
    ],
)
def test_what_has_no_value_ends_the_run(entry: dict[str, Any], says: str, play: Play) -> None:
    result = play({"Ann": [entry]})
    assert result.status == "failed"
    assert says in result.error


def test_the_names_are_those_that_are_checked() -> None:
    turn: Any = SimpleNamespace(
        agent=SimpleNamespace(name="Ann"), state={}, own={}, observed=[], step=1, number=0, others=()
    )
    assert rules.variables(turn).keys() == rules.NAMES


TAKE_SEVEN = [{"do": "take", "arguments": {"coins": 7}}]
GRANT = {
    "when": "event.payload.coins <= state.purse",
    "set": {"purse": "state.purse - event.payload.coins", "log.{event.source}": "[e.seq for e in attempts]"},
    "add": {"taken": "event.payload.coins", "self.count": 1},
    "say": "{event.source} has {event.payload.coins} of {state.purse}, {self.count} before",
}


def rulings(result: RunResult) -> list[list[Any]]:
    return [list(event.payload.values()) for event in result.events if event.kind == "ruling"]


def test_a_decision_sees_what_those_before_it_changed(play: Play) -> None:
    judge = {"decides": ["take"], "rulings": [GRANT, {"decision": "late"}], "state": {"count": 0}}
    result = play({"Ann": TAKE_SEVEN, "Ben": TAKE_SEVEN, "Cem": [{"do": "wait"}]}, judge, taken=0, log={})
    assert rulings(result) == [
        [1, "Ann", "take", "granted", "Ann has 7 of 10, 0 before"],
        [2, "Ben", "take", "late", "rulings[1]"],
    ]
    state = result.outcomes["state"]
    assert (state["purse"], state["taken"], state["log"]) == (3, 7, {"Ann": [1, 2]})
    assert "rejected" not in {event.kind for event in result.events}


def test_additions_of_one_turn_build_on_one_another(play: Play) -> None:
    judge = {"decides": ["take"], "rulings": [GRANT], "state": {"count": 0}}
    policy = [{"do": "take", "arguments": {"coins": 2}}]
    result = play({"Ann": policy, "Ben": policy}, judge, steps=2, taken=1, log={})
    assert [one[-1] for one in rulings(result)] == [
        "Ann has 2 of 10, 0 before",
        "Ben has 2 of 8, 1 before",
        "Ann has 2 of 6, 2 before",
        "Ben has 2 of 4, 3 before",
    ]
    assert result.outcomes["state"]["taken"] == 9


def test_what_no_ruling_decides_is_refused(play: Play) -> None:
    result = play({"Ann": TAKE_SEVEN}, {"decides": ["take"], "rulings": [{"on": "take", "chance": 0}]})
    assert rulings(result) == [[1, "Ann", "take", "refused", "no ruling applies"]]
    assert result.outcomes["state"]["purse"] == 10


def test_rulings_for_the_researcher_alone(play: Play) -> None:
    policy = [{"say": "{len([e for e in events if e.kind == 'ruling'])}"}]
    judge = {"decides": ["say"], "rulings": [{}]}
    hidden = play({"Ann": policy}, {**judge, "audience": []}, steps=2)
    shown = play({"Ann": policy}, judge, steps=2)
    assert [payload["text"] for _, payload in did(hidden)] == ["0", "0"]
    assert [payload["text"] for _, payload in did(shown)] == ["0", "1"]


ASKING = {
    "decides": ["take", "wait"],
    "rulings": [{"on": "wait", "say": "waiting is free"}],
    "ask": True,
    "decisions": ["pardoned", "fined"],
    "changes": {
        "fines.{event.source}": {"type": "integer", "maximum": 9, "description": "in coins"},
        "open": {"oneOf": [{"const": 0, "description": "shut"}, {"const": 1}]},
    },
    "words": 5,
    "persona": "You are strict.",
}


def test_a_model_decides_what_no_ruling_does(play: Play) -> None:
    ANSWERS[:] = [
        {"rationale": "Too much.", "decision": "fined", "changes": {"fines.Ann": 4, "open": None}},
        {"rationale": "Again.", "decision": "pardoned", "changes": {"fines.Cem": None, "open": 1}},
    ]
    result = play({"Ann": TAKE_SEVEN, "Ben": [{"do": "wait"}], "Cem": TAKE_SEVEN}, ASKING, fines={})
    assert rulings(result) == [
        [1, "Ann", "take", "fined", "Too much."],
        [2, "Ben", "wait", "granted", "waiting is free"],
        [3, "Cem", "take", "pardoned", "Again."],
    ]
    assert result.outcomes["state"] == {"open": 1, "purse": 10, "fines": {"Ann": 4}}
    first, second = ASKED
    assert "You are strict." in first.messages[0].text
    assert "A vault." in first.messages[0].text
    told = "[Ann: take coins: 7]\n  take: reach into the vault\n  coins: how many\n"
    assert told in first.messages[1].text
    assert "- fines.Ann: whole number up to 9\n  fines.Ann: in coins\n" in first.messages[1].text
    assert "- open: one of 0, 1\n  open = 0: shut\n" in first.messages[1].text
    assert "in coins" not in str(first.schema)
    # The second decision sees what the first one changed.
    assert 'fines: {"Ann": 4}' in second.messages[1].text


def test_a_model_changes_declared_paths_alone(play: Play) -> None:
    ANSWERS[:] = [
        {"rationale": "x", "decision": "fined", "changes": {"fines.Ann": 1, "open": 1, "purse": 0}}
    ] * 9
    result = play({"Ann": TAKE_SEVEN}, ASKING, fines={})
    assert result.status == "failed"
    assert "does not fit its schema" in result.error
    assert result.outcomes == {}
    assert "ruling" not in {event.kind for event in result.events}


def test_without_changes_a_model_decides_in_words_alone() -> None:
    config = world.WorldConfig(decides=["take"], ask=True)
    schema = world.answer_schema(config, {})
    assert list(schema["properties"]) == ["rationale", "decision"]


@pytest.mark.parametrize(
    "options, says",
    [
        ({"decides": []}, "agents.Judge.decides"),
        ({"decides": ["take"]}, "agents.Judge.rulings: there are none, so nothing could be decided"),
        (
            {"decides": ["take"], "rulings": [{"on": "tkae"}]},
            "rulings[0].on: 'tkae' is not one of `decides`: take",
        ),
        ({"decides": ["take"], "rulings": [{"when": "evnt"}]}, "rulings[0].when: 'evnt': the name 'evnt'"),
        ({"decides": ["take"], "rulings": [{"set": {"a.{evnt}": 1}}]}, "rulings[0].set: 'evnt': the name"),
        ({"decides": ["take"], "rulings": [{"set": {"a.b": "1 +"}}]}, "rulings[0].set.a.b: '1 +'"),
        ({"decides": ["take"], "ask": True, "changes": {"a": {"type": "intger"}}}, "agents.Judge.changes.a"),
        (
            {"decides": ["tkae"], "ask": True},
            "decides[0]: there is no kind of events 'tkae' (did you mean 'take'?)",
        ),
        ({"decides": ["take"], "ask": True, "audience": ["Bem"]}, "audience[0]: there is no audience 'Bem'"),
        *(
            (
                {"decides": ["take"], "rulings": [{"set": {path: 1}}]},
                f"rulings[0].set.{path}: an agent changes its own state alone",
            )
            for path in ("agents.Ann.pace", "agents.Ane.pace", "agents.{event.source}.pace", "groups.g.n")
        ),
        (
            {"decides": ["take"], "ask": True, "changes": {"agents.{event.source}.pace": {}}},
            "changes.agents.{event.source}.pace: an agent changes its own state alone",
        ),
        (
            {"decides": ["take"], "rulings": [{"set": {"prse": 1}}]},
            "set.prse: the state has no key 'prse' (did",
        ),
        (
            {"decides": ["take"], "rulings": [{"set": {"purse.x": 1}}]},
            "purse.x: what it leads to is a number",
        ),
        (
            {"decides": ["take"], "rulings": [{"add": {"purse": "'x'"}}]},
            "a string cannot be added to a number",
        ),
        (
            {"decides": ["take"], "rulings": [{"set": {"purse": "state.prse"}}]},
            "set.purse: 'state.prse': 'state'",
        ),
        (
            {"decides": ["take"], "rulings": [{"say": "{event.payload.coin}"}]},
            "has no key 'coin' (did you mean",
        ),
    ],
)
def test_mistakes_in_a_world_are_bad_input(options: dict[str, Any], says: str, play: Play) -> None:
    with pytest.raises(pyscrai_core.ScenarioError, match=re.escape(says)):
        play({"Ann": TAKE_SEVEN}, options)


@pytest.mark.parametrize(
    "ruling, says",
    [
        ({"set": {"purse": None, "purse.x": 1}}, "purse.x: it cannot be changed in this way"),
        ({"set": {"purse": "[1][7]"}}, "rulings[0].set.purse: '[1][7]'"),
        ({"say": "{10 / (event.seq - event.seq)}"}, "rulings[0].say: '10 / (event.seq - event.seq)'"),
    ],
)
def test_what_cannot_be_changed_ends_the_run(ruling: dict[str, Any], says: str, play: Play) -> None:
    result = play({"Ann": TAKE_SEVEN}, {"decides": ["take"], "rulings": [ruling]})
    assert result.status == "failed"
    assert says in result.error


def test_a_state_of_others_is_named_with_the_place_of_the_ruling(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        "scenario: a\nworld: {state: {which: other}}\nagents:\n"
        "  Ann: {engine: {use: rules, policy: [{do: go}]}, actions: {go: {}}}\n"
        "  Judge: {engine: world, memory: null, acts: after-group, decides: [go],\n"
        "    rulings: [{add: {'groups.{state.which}.n': 1}}]}\n"
        "groups: {mine: {members: [Judge], state: {n: 0}}, other: {members: [Ann], state: {n: 0}}}\n"
        "schedule: steps\n",
        encoding="utf-8",
    )
    result = pyscrai_core.run(file, store=tmp_path / "runs.db", host=HOST)
    assert result.status == "failed"
    assert f"{file}:6:48: rulings[0].add.groups.{{state.which}}.n: groups.other.n: an agent" in result.error


FREE_TEXT = """\
scenario: free text
agents:
  Mara:
    engine: {use: rules, policy: [{do: tell, arguments: {what: "'abc'"}}]}
    actions: {tell: {what: {type: string}}}
  Judge:
    acts: after-group
    engine:
      use: world
      decides: [tell]
      rulings:
        - when: len(event.payload.what) > 1
          set: {total: 6 / (len(event.payload.what) - 3)}
world: {state: {total: 0}}
schedule: {use: round-robin, rounds: 1}
"""


@pytest.mark.parametrize(
    ("old", "new", "says", "option"),
    [
        (
            "",
            "",
            "agents.Judge, step 1: free.yaml:13:24: rulings[0].set.total: "
            "'6 / (len(event.payload.what) - 3)': division by zero; "
            "test the divisor first; on [Mara: tell what: abc]",
            "agents.Judge.engine.rulings.0.set.total",
        ),
        (
            "when: len(event.payload.what) > 1",
            "when: 6 / (len(event.payload.what) - 3) > 1",
            "agents.Judge, step 1: free.yaml:12:17: rulings[0].when: ",
            "agents.Judge.engine.rulings.0.when",
        ),
        (
            "{what: \"'abc'\"}",
            "{what: \"'a' * (step / (step - 1))\"}",
            "agents.Mara, step 1: free.yaml:4:64: policy[0].arguments.what: ",
            "agents.Mara.engine.policy.0.arguments.what",
        ),
    ],
)
def test_an_expression_that_fails_is_told_with_its_place(
    old: str, new: str, says: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its author learns where it is, on what it failed, and how to go on."""
    monkeypatch.chdir(tmp_path)
    Path("free.yaml").write_text(FREE_TEXT.replace(old, new))
    result = pyscrai_core.run("free.yaml", store="runs.db")
    assert (result.status, result.error[: len(says)]) == ("failed", says)
    assert (
        f"run it again, or from an earlier event on: pyscrai fork RUN --at SEQ --set {option}=…"
        in result.error
    )
    again = pyscrai_core.run(
        "free.yaml", store="runs.db", set={option: "'x'" if "what" in option else "step > 5"}
    )
    assert again.status == "completed"
