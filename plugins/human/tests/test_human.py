"""The engine `human` in whole runs, answered by a test and then replayed, when nobody is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import pyscrai_human.plugin
from pyscrai_core import Extension, RunResult, ScenarioError, Schedule, Stage, api, hookimpl
from pyscrai_core.config import load_settings
from pyscrai_core.plugins import Host
from pyscrai_core.runtime import execution
from pyscrai_core.runtime.session import Session
from pyscrai_records.store.store import Store


class Steps(Schedule):
    """All at once, as often as the public state says."""

    async def next(self, stage: Stage) -> tuple[str, ...]:
        return stage.agents if stage.step <= stage.state["steps"] else ()


class PartsPlugin:
    pyscrai_api = 1
    __name__ = "parts"

    @hookimpl
    def pyscrai_schedules(self) -> list[Extension]:
        return [Extension("steps", f"{__name__}:Steps")]


HOST = Host(extra=[PartsPlugin(), pyscrai_human.plugin])
ACTIONS: dict[str, Any] = {
    "offer": {"description": "name a price", "price": {"type": "integer", "minimum": 1, "maximum": 20}},
    "tell": {
        "whom": {"enum": ["Jon", "7"]},
        "text": {"type": "string"},
        "odds": {"type": ["number", "null"], "default": None, "title": "How sure you are"},
        "more": {"type": "array", "default": []},
    },
    "wait": {},
    "sell": {"when": "state.price != null"},
}
Play = Callable[..., RunResult]
#: What was asked, in order, with the name of the agent.
ASKED: list[tuple[str, str]] = []


def asker(answers: Sequence[str | None]) -> Any:
    """Gives `answers` in order; None: does not answer."""

    async def ask(agent: str, question: str) -> str:
        ASKED.append((agent, question))
        answer = answers[len(ASKED) - 1]
        if answer is None:
            await asyncio.sleep(3600)
            raise AssertionError("nobody ended the waiting")
        return answer

    return ask


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Let Mara be played, and then Jon, and replay it; without answers nobody is there to ask."""

    def run(
        answers: Sequence[str | None] | None,
        steps: int = 1,
        resume: bool = False,
        actions: dict[str, Any] = ACTIONS,
        **options: Any,
    ) -> RunResult:
        ASKED.clear()
        settings = load_settings(store=str(tmp_path / "runs.db"))
        ask = None if answers is None else asker(answers)
        scenario = {
            "scenario": "play",
            "world": {"state": {"steps": steps, "price": None}, "premise": "A market at dawn."},
            "agents": {
                "Mara": {
                    "engine": {"use": "human", **options},
                    "memory": None,
                    "persona": "You are a farmer.",
                    "goals": ["Sell every apple"],
                    "state": {"coins": 3},
                    "actions": actions,
                },
                "Jon": {"engine": "human", "memory": None, "acts": "end", "state": {"secret": "broke"}},
            },
            "groups": {
                "team": {"members": ["Mara"], "state": {"plan": "wait"}},
                "rivals": {"members": ["Jon"], "state": {"plot": "steal"}},
            },
            "rules": [{"on": "offer", "set": {"price": "event.payload.price"}}],
            "schedule": "steps",
        }
        (tmp_path / "scenario.json").write_text(json.dumps(scenario))

        async def perform() -> RunResult:
            with Store.open(settings.store) as store:
                session = Session(store, HOST, ask=ask)
                if resume:
                    result = await execution.resume(session, "last")
                else:
                    plan = api.prepare(tmp_path / "scenario.json", settings=settings, host=HOST)
                    result = await execution.start(session, plan, "it")
                if result.status == "completed":
                    again = await execution.replay(session, "last")
                    assert (again.fingerprint, again.asked) == (result.fingerprint, 0)
                return result

        return asyncio.run(perform())

    return run


def did(result: RunResult) -> list[Any]:
    return [
        (e.kind, e.payload, e.audience) for e in result.events if e.source == "Mara" and e.kind != "change"
    ]


ALL, NOBODY = ("*",), ()


def offer(price: int) -> tuple[Any, ...]:
    return "offer", {"price": price}, ALL


def tell(whom: Any, text: str, **more: Any) -> tuple[Any, ...]:
    return "tell", {"whom": whom, "text": text, **more}, ALL


@pytest.mark.parametrize(
    "answer, event",
    [
        ("  Fine apples!\n", ("say", {"text": "Fine apples!"}, ALL)),
        ("one\ntwo", ("say", {"text": "one\ntwo"}, ALL)),
        ("//offer is what I say", ("say", {"text": "/offer is what I say"}, ALL)),
        ("/to Jon: psst: you", ("say", {"text": "psst: you"}, ("Jon",))),
        ("/to team, Jon : psst", ("say", {"text": "psst"}, ("team", "Jon"))),
        ("/offer 9", offer(9)),
        ('/offer "9"', offer(9)),
        ("/offer price=9", offer(9)),
        ("/offer  price='9'", offer(9)),
        ('/offer {"price": 9}', offer(9)),
        ("/wait", ("wait", {}, ALL)),
        ("/wait {}", ("wait", {}, ALL)),
        ("/tell whom=Jon text='two words'", tell("Jon", "two words")),
        ('/tell text="don\'t" whom=7 odds=0.5', tell("7", "don't", odds=0.5)),
        (
            "/tell whom=Jon text=5 odds=null more='[1, {\"a\": 2}]'",
            tell("Jon", "5", odds=None, more=[1, {"a": 2}]),
        ),
        ("/tell whom=Jon text=null=null", tell("Jon", "null=null")),
        ('/tell {"whom": "Jon", "text": "null"}', tell("Jon", "null")),
        ("", ("passed", {"reason": "by choice"}, NOBODY)),
        (" /pass ", ("passed", {"reason": "by choice"}, NOBODY)),
    ],
)
def test_an_answer_is_what_the_agent_says_or_does(play: Play, answer: str, event: Any) -> None:
    assert did(play([answer, ""])) == [event]
    assert [agent for agent, _ in ASKED] == ["Mara", "Jon"]


@pytest.mark.parametrize(
    "answer, why",
    [
        ("/offer 25", "/offer: price: expected at most 20, got 25. Write it as /offer price=…"),
        ("/offer cheap", 'price: expected an integer, got "cheap"'),
        ("/offer", 'the key "price" is missing'),
        ("/offer 9007199254740993", "more than 53 bits"),
        ('/tell whom=Jon text=x more="[9007199254740993]"', "more than 53 bits"),
        ("/offer price=1 price=2", "'price' is given twice"),
        ("/offer price=1 cheap", "'cheap' is not KEY=VALUE"),
        ("/offer price=1 prize=2", "unknown key \"prize\" (did you mean 'price'?)"),
        ('/offer {"price": 1', "that is not JSON"),
        ('/offer {"price": NaN}', "that is not JSON"),
        ('/tell {"whom": "Jon", "text": "\\ud83d"}', "that is not JSON"),
        ("/tell whom=Jon text=don't", "a quote is not closed"),
        ("/wait long", "'long' is not KEY=VALUE"),
        ("/sell", "/sell is not possible now. You can: say something, /offer, /tell, /wait, /pass."),
        ("/dance", "There is no /dance. You can: say something, /offer,"),
        ("/", "There is no /. "),
        ("/pass the salt", "There is no /pass. "),
        ("/to Jon", "Write it as /to NAME: text"),
        ("/to Jon: ", "Write it as /to NAME: text"),
        ("/to Ben: hi", "There is no 'Ben'. You can talk to: Jon, team."),
        ("/to rivals: hi", "There is no 'rivals'."),
    ],
)
def test_what_cannot_be_understood_is_asked_again_with_the_reason(play: Play, answer: str, why: str) -> None:
    assert did(play([answer, "/wait", ""])) == [("wait", {}, ALL)]
    assert why in ASKED[1][1]


def test_it_is_not_asked_for_ever(play: Play) -> None:
    result = play([*["/help", "/nonsense"] * 5, ""])
    assert did(result) == [("passed", {"reason": "none of 10 answers were valid"}, NOBODY)]
    assert result.calls == 11


def test_an_action_goes_before_a_command_of_the_same_name(play: Play) -> None:
    result = play(
        ["/pass", "/help", "/to", ""], steps=3, actions={**ACTIONS, "pass": {}, "help": {}, "to": {}}
    )
    assert [kind for kind, *_ in did(result)] == ["pass", "help", "to"]


KNOWN = """
You are Mara. You are a farmer.
- Sell every apple
A market at dawn.
price: none
Only known to team:
  plan: wait
Only you know:
  coins: 3
/offer price=…   name a price
    price: whole number from 1 up to 20
/tell whom=… text=… [odds=…] [more=…]
    whom: one of Jon, 7
    odds: number or null; How sure you are
How to answer:
"""


def test_the_question_holds_what_the_person_may_know_and_nothing_else(play: Play) -> None:
    play(["/offer 9", "/help", "hello", ""], steps=2)
    first, second, helped, jon = (question for _, question in ASKED)
    for known in KNOWN.strip().splitlines():
        assert known in first
        assert known.replace("price: none", "price: 9") in helped
    assert "/sell" not in first
    assert "/sell" in second
    assert "[Mara: offer price: 9]" in second
    assert "A market" not in second + first[first.index("Mara, what do you") :]
    assert second.endswith("Mara, what do you say or do? (/help: how to answer)")
    for secret in ("broke", "steal"):
        assert secret not in first + second + helped
        assert secret in jon
    assert "coins" not in jon
    assert "{" not in jon.replace('{"', "")
    assert jon.index("[Mara: offer") < jon.index("Mara: hello")


@pytest.mark.parametrize(
    "options, answers, events",
    [
        ({"speak": False}, ["hi", "/to Jon: hi", "/pass"], ["passed"]),
        ({"must_act": True}, ["hi", "", "/pass", "/to Jon: hi", "/wait"], ["wait"]),
        ({"speak": False, "must_act": True}, ["hi", "", "/wait"], ["wait"]),
    ],
)
def test_a_scenario_may_demand_actions(play: Play, options: Any, answers: list[str], events: Any) -> None:
    assert [kind for kind, *_ in did(play([*answers, ""], **options))] == events
    assert len(ASKED) == len(answers) + 1
    assert all("You can: /offer, /tell, /wait" in question for _, question in ASKED[1:-1])


def test_a_turn_passes_when_the_time_has(play: Play) -> None:
    result = play(["/nonsense", None, "late", ""], steps=2, timeout=1)
    late = ("passed", {"reason": "no answer within 1 s"}, NOBODY)
    assert did(result) == [late, ("say", {"text": "late"}, ALL)]
    assert "You have 1 s." in ASKED[0][1]
    assert "no answer within 1 s" in ASKED[2][1]


def test_or_the_run_stops_and_a_resume_asks_again(play: Play) -> None:
    result = play(["one", None], steps=2, timeout=1, on_timeout="stop")
    assert result.status == "failed"
    assert "no answer within 1 s" in result.error
    question = ASKED[1]
    result = play(["two", ""], resume=True, steps=2, timeout=1, on_timeout="stop")
    assert [payload["text"] for _, payload, _ in did(result)] == ["one", "two"]
    assert ASKED[0] == question


def test_where_nobody_is_there_the_run_waits_for_somebody(play: Play) -> None:
    result = play(None)
    assert result.status == "failed"
    assert "pyscrai resume" in result.error
    assert not did(result)
    assert did(play(["here", ""], resume=True)) == [("say", {"text": "here"}, ALL)]


def test_the_question_may_be_worded_otherwise(play: Play, tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text(
        "{{ name }} {{ step }}{% if whole %} whole{% endif %}: {{ news | length }}"
    )
    play(["a", "/help", "b", ""], steps=2, question="mine.j2")
    assert [question for _, question in ASKED[:3]] == ["Mara 1 whole: 0", "Mara 2: 1", "Mara 2 whole: 1"]
    (tmp_path / "mine.j2").write_text("{{ nme }}")
    with pytest.raises(ScenarioError, match="'nme' is not defined .did you mean 'name'"):
        play([], question="mine.j2")


@pytest.mark.parametrize("options", [{"timeout": 0}, {"on_timeout": "wait"}, {"hint": "x"}])
def test_options_are_checked(play: Play, options: Any) -> None:
    with pytest.raises(ScenarioError, match=next(iter(options))):
        play([], **options)
