"""Rules and guards: what an agent did wrong is rejected, what their author did wrong ends the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from pyscrai_core import Divergence, Engine, RunResult, api


class Tries(Engine):
    """Tries an action with each of the given payloads, one a turn, and tells which actions are open."""

    @frozen
    class Config:
        payloads: list[dict[str, Any]]

    async def run(self, turn: Any) -> None:
        turn.emit("open", {"actions": turn.actions})
        if turn.number < len(self.config.payloads):
            turn.emit("go", self.config.payloads[turn.number])


#: A scenario in YAML, so that places have lines.
SCENARIO = """scenario: rules
world: {state: {seen: null, n: 0, word: null, cases: {a: {n: 1}}, none: [], gone: null, text: a..b, box: {}}}
events: {open: {type: object}}
agents:
  A:
    engine: {use: tries, payloads: PAYLOADS}
    state: {role: villager, box: {}}
    actions:
      go: {GUARDwhere: {type: string}, n: {type: integer, default: 0}, more: {type: object, default: {}}}
schedule: {use: round-robin, rounds: 2}
rules:
  - {on: open, set: {seen: step, word: "'x'"}}
  RULE
outcomes: {n: state.n}
"""


@pytest.fixture
def tried(tmp_path: Path, host_with: Any) -> Any:
    """Run the scenario with a rule or a guard."""

    def run(rule: str = "", guard: str = "", payloads: Any = ({"where": "a"},)) -> RunResult:
        text = SCENARIO.replace("PAYLOADS", str(list(payloads)))
        text = text.replace("RULE", f"- {rule}" if rule else "# no other")
        text = text.replace("GUARD", f'when: "{guard}", ' if guard else "")
        path = tmp_path / "rules.yaml"
        path.write_text(text)
        return api.run(path, host=host_with(engine__tries=Tries), store=tmp_path / "runs.db")

    return run


def reasons(result: RunResult) -> list[str]:
    return [event.payload["reason"] for event in result.events if event.kind == "rejected"]


def open_actions(result: RunResult) -> list[list[str]]:
    return [event.payload["actions"] for event in result.events if event.kind == "open"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            "{on: go, set: {n: event.payload.n}}",
            "set n: 'event.payload.n': 'event.payload' has no key 'n'; it has",
        ),
        ("{on: go, when: state.box.b, set: {n: 1}}", "when: 'state.box.b': 'state.box' has no key 'b'"),
        ("{on: go, set: {n: 1 / state.n}}", "set n: '1 / state.n': division by zero"),
        ("{on: go, add: {word: 1}}", "add word: '1': word: cannot add 1 to \"x\""),
        ("{on: go, set: {word.deep: 1}}", "word.deep: 'word' holds \"x\", which has no keys"),
        ('{on: go, set: {"cases.{state.gone}": 1}}', "'state.gone' is null; expected text or a whole number"),
        ('{on: go, set: {"cases.{state.text}": 1}}', "is not a path"),
        ("{on: go, set: {n: 2.0 ** 1000 * 9e99 ** 8}}", "a number becomes too large"),
    ],
)
def test_a_rule_that_fails_ends_the_run_with_its_place_and_can_be_corrected(
    tried: Any, tmp_path: Path, host_with: Any, rule: str, said: str
) -> None:
    failed = tried(rule)
    assert failed.status == "failed"
    assert failed.error.startswith(f"{tmp_path}/rules.yaml:13:5: rules[1] (on go): ")
    assert said in failed.error
    assert "step 1, [A: go where: a]" in failed.error
    assert "pyscrai resume RUN --set rules.1" in failed.error
    assert not reasons(failed)
    given: Any = {"store": tmp_path / "runs.db", "host": host_with(engine__tries=Tries)}
    corrected = {"on": "go", "add": {"n": 5}}
    whole = api.resume(set={"rules[1]": corrected}, **given)
    assert (whole.status, whole.outcomes) == ("completed", {"n": 5})
    assert api.replay(**given).fingerprint == whole.fingerprint


def test_one_value_of_a_rule_can_be_corrected(tried: Any, tmp_path: Path, host_with: Any) -> None:
    failed = tried("{on: go, set: {agents.A.role: state.box.wher, n: 3}}")
    assert "--set rules.1.set.agents.A.role=…" in failed.error
    given: Any = {"store": tmp_path / "runs.db", "host": host_with(engine__tries=Tries)}
    again = api.resume(set={"rules.1.set.agents.A.role": "state.box.where"}, **given)
    assert "has no key 'where'" in again.error
    assert "the run's scenario: rules[1]" in again.error  # the file may be another by now
    whole = api.resume(set={"rules.1.set.agents.A.role": "event.payload.where"}, **given)
    assert (whole.status, whole.outcomes) == ("completed", {"n": 3})


def test_a_rule_can_reject_what_it_cannot_be_applied_to(tried: Any) -> None:
    rule = "{on: go, on_error: reject, add: {n: 'state.cases[event.payload.where].n'}}"
    result = tried(rule, payloads=[{"where": "zz"}, {"where": "a"}])
    assert (result.status, result.outcomes) == ("completed", {"n": 1})
    (reason,) = reasons(result)
    assert reason.startswith("rules[1]: 'state.cases[event.payload.where].n': ")


def test_a_rejection_takes_back_what_other_rules_did_with_the_event(tried: Any) -> None:
    rule = "{on: go, add: {n: 1}}\n  - {on: go, on_error: reject, add: {word: 1}}"
    result = tried(rule)
    assert result.outcomes == {"n": 0}
    assert reasons(result) == [
        'rules[2]: word: cannot add 1 to "x"; expected numbers, or a list to append to'
    ]


def test_a_corrected_rule_must_not_change_what_has_happened(
    tried: Any, tmp_path: Path, host_with: Any
) -> None:
    rules = "{on: go, on_error: reject, set: {n: 1 / (step - 1)}}"
    rules += "\n  - {on: go, when: step > 1, set: {n: 1 / (step - 2)}}"
    again = tried(rules, payloads=[{"where": "a"}, {"where": "b"}])
    assert (again.status, len(reasons(again))) == ("failed", 1)
    given: Any = {"store": tmp_path / "runs.db", "host": host_with(engine__tries=Tries)}
    with pytest.raises(Divergence, match="event"):
        api.resume(set={"rules.1.set.n": 4, "rules.2.when": "false"}, **given)


@pytest.mark.parametrize(
    ("guard", "offered"),
    [
        ("self.role == 'wolf' and event.payload.where == 'a'", False),
        ("event.payload.where == 'a' and self.role == 'wolf'", False),
        ("self.role == 'villager' and event.payload.where == 'a'", True),
        ("not (event.payload.where == 'a' or self.role == 'villager')", False),
        ("event.payload.where in state.none", False),
        ("any(case == event.payload.where and self.role == 'wolf' for case in state.cases)", False),
        ("event.payload.where == 'a' if self.role == 'wolf' else false", False),
    ],
)
def test_an_action_that_no_arguments_make_possible_is_not_offered(
    tried: Any, guard: str, offered: bool
) -> None:
    result = tried(guard=guard)
    assert result.status == "completed", result.error
    assert open_actions(result) == [["go"] if offered else []] * 2
    assert reasons(result) == ([] if offered else [f"its condition does not hold: {guard}"])


@pytest.mark.parametrize(
    "guard",
    [
        "self.box.rol == 'wolf'",
        "self.box.rol == 'wolf' and event.payload.where == 'a'",
        "event.payload.where == 'a' and self.box.rol == 'wolf'",  # found when it is tried
        "event.payload.where in self.box.rol",
        "any(x.box.b == event.payload.where for x in [self])",
        "event.payload.n == 3",
    ],
)
def test_a_guard_that_fails_whatever_the_agent_does_is_its_authors_mistake(
    tried: Any, tmp_path: Path, host_with: Any, guard: str
) -> None:
    failed = tried(guard=guard)
    assert failed.status == "failed"
    assert f"{tmp_path}/rules.yaml:9:18: agents.A.actions.go.when: '{guard}': " in failed.error
    path = "agents.A.actions.go.when"
    assert f"pyscrai resume RUN --set {path}=…" in failed.error
    given: Any = {"store": tmp_path / "runs.db", "host": host_with(engine__tries=Tries)}
    assert api.resume(set={path: "self.role != 'wolf'"}, **given).status == "completed"


@pytest.mark.parametrize(
    "guard",
    ["state.cases[event.payload.where].n > 0", "9 / event.payload.n > 1 and event.payload.where != ''"],
)
def test_a_guard_that_fails_for_these_arguments_rejects_them(tried: Any, guard: str) -> None:
    result = tried(guard=guard, payloads=[{"where": "zz", "n": 0}, {"where": "a", "n": 3}])
    assert result.status == "completed"
    assert [
        reason.startswith(f"its condition cannot be evaluated: '{guard}': ") for reason in reasons(result)
    ]
    assert len(reasons(result)) == 1
    assert open_actions(result) == [["go"], ["go"]]
