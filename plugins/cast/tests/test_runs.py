"""The three engines in whole runs: what models are asked with, and what becomes of the answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attrs import field, frozen

import pyscrai_cast.plugin
import pyscrai_core
from pyscrai_core import (
    Completion,
    Event,
    Extension,
    Memory,
    Message,
    Provider,
    Reasoning,
    Request,
    RunResult,
    ScenarioError,
    Schedule,
    Stage,
    Turn,
    hookimpl,
)
from pyscrai_core.plugins import Host

#: The requests that reached the provider, in order; emptied before each run.
ASKED: list[Request] = []


@frozen
class AnswersConfig:
    """`answers`: what is answered, by agent and turn after turn; the last one is repeated."""

    answers: dict[str, list[Any]] = field(factory=dict)


class Answers(Provider):
    """Answers what is written down, text as it is and all else as JSON, and keeps what it was asked."""

    Config: ClassVar[type] = AnswersConfig
    capabilities = frozenset({"schema"})

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        asked_before = sum(one.position.agent == request.position.agent for one in ASKED)
        ASKED.append(request)
        answers = self.config.answers[request.position.agent]
        answer = answers[min(asked_before, len(answers) - 1)]
        return Completion(answer if isinstance(answer, str) else json.dumps(answer), model="written")


class AllOfIt(Memory):
    """Remembers everything, one message for each event; the agent's own words are the assistant's."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._messages: list[Message] = []

    async def observe(self, events: Sequence[Event], turn: Turn) -> None:
        for event in events:
            own = event.kind == "say" and event.source == turn.agent.name
            made = Message.assistant(event.payload["text"]) if own else Message.user(event.describe())
            self._messages.append(made)

    async def recall(self, turn: Turn) -> list[Message]:
        return list(self._messages)


class Noted(AllOfIt):
    """Has a note behind what it remembers."""

    async def recall(self, turn: Turn) -> list[Message]:
        return [*self._messages, Message.user("A note.")]


class Forgetful(Reasoning):
    """Breaks its contract: loses what the answer was parsed to."""

    async def reason(self, request: Request, turn: Turn) -> Completion:
        return Completion((await turn.complete(request)).text)


@frozen
class StepsConfig:
    steps: int = 4


class Steps(Schedule):
    """One agent after the other, for so many steps."""

    Config: ClassVar[type] = StepsConfig

    async def next(self, stage: Stage) -> Sequence[str]:
        if stage.step > self.config.steps:
            return ()
        return (stage.agents[(stage.step - 1) % len(stage.agents)],)


class TestPlugin:
    pyscrai_api = 1
    __name__ = "around"
    __test__ = False

    @hookimpl
    def pyscrai_providers(self) -> list[Extension]:
        return [Extension("written", f"{__name__}:Answers")]

    @hookimpl
    def pyscrai_memories(self) -> list[Extension]:
        return [Extension("all-of-it", f"{__name__}:AllOfIt"), Extension("noted", f"{__name__}:Noted")]

    @hookimpl
    def pyscrai_reasoning(self) -> list[Extension]:
        return [Extension("forgetful", f"{__name__}:Forgetful")]

    @hookimpl
    def pyscrai_schedules(self) -> list[Extension]:
        return [Extension("steps", f"{__name__}:Steps")]


HOST = Host(extra=[TestPlugin(), pyscrai_cast.plugin])
Play = Callable[..., RunResult]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Runs agents with written answers: `play(agents, answers, steps=4, **more of the scenario)`."""

    def run(agents: dict[str, Any], answers: dict[str, Any], steps: int = 4, **more: Any) -> RunResult:
        ASKED.clear()
        scenario = {
            "scenario": "cast",
            "providers": {"default": {"use": "written", "answers": answers}},
            "agents": {name: {"memory": "all-of-it", **agent} for name, agent in agents.items()},
            "schedule": {"use": "steps", "steps": steps},
            **more,
        }
        file = tmp_path / "scenario.yaml"
        file.write_text(json.dumps(scenario))
        return pyscrai_core.run(file, seed=1, store=tmp_path / "runs.db", host=HOST)

    return run


def asked(agent: str) -> list[Request]:
    return [request for request in ASKED if request.position.agent == agent]


def shown(request: Request) -> str:
    return "\n".join(message.text for message in request.messages)


def facts(result: RunResult) -> list[tuple[str, str, dict[str, Any]]]:
    return [(event.source, event.kind, event.payload) for event in result.events]


OFFER = {"description": "name a price", "price": {"type": "integer", "minimum": 1, "maximum": 20}}
TRADERS = {
    "Mara": {
        "engine": "actor",
        "persona": "A farmer with an orchard.",
        "goals": ["Earn much"],
        "state": {"debt": 41},
        "actions": {"offer": OFFER},
    },
    "Jon": {
        "engine": "actor",
        "persona": "A cook in a hurry.",
        "goals": ["Spend little"],
        "state": {"purse": 17},
        "actions": {"accept": {"when": "state.price != null"}},
    },
}
TRADE = {
    "world": {"premise": "Dawn at the market.", "state": {"price": None, "sold": 0}},
    "rules": [
        {"on": "offer", "set": {"price": "event.payload.price"}},
        {"on": "accept", "set": {"sold": "state.sold + 1"}},
    ],
    "outcomes": {"sold": "state.sold", "price": "state.price"},
}
WORLD = {"world": TRADE["world"]}


# -- actor --


def test_actors_speak_and_act(play: Play) -> None:
    answers = {
        "Mara": [
            {"say": "Mara: “Fine apples.”", "action": None},
            {"say": "", "action": {"offer": {"price": 7}}},
        ],
        "Jon": ["Jon: Good morning!", {"say": "Done.", "action": "accept"}],
    }
    result = play(TRADERS, answers, **TRADE)
    assert facts(result) == [
        ("Mara", "say", {"text": "Fine apples."}),
        ("Jon", "say", {"text": "Good morning!"}),
        ("Mara", "offer", {"price": 7}),
        ("Jon", "say", {"text": "Done."}),
        ("Jon", "accept", {}),
    ]
    assert result.outcomes == {"sold": 1, "price": 7}


def test_without_an_open_action_plain_words_are_asked_for(play: Play) -> None:
    play(TRADERS, {"Mara": [{"say": "", "action": None}], "Jon": ["Hm."]}, steps=2, **TRADE)
    (jon,) = asked("Jon")
    assert jon.schema is None
    assert "accept" not in jon.messages[-1].text


def test_with_nothing_to_do_and_silent_it_is_not_asked(play: Play) -> None:
    agents = {"Mara": {"engine": "actor", "speak": False, "actions": {"go": {"when": "state.open"}}}}
    result = play(agents, {"Mara": [{"action": "go"}]}, steps=2, world={"state": {"open": False}})
    assert (result.events, result.calls) == ((), 0)
    result = play(agents, {"Mara": [{"action": "go"}]}, steps=2, world={"state": {"open": True}})
    assert facts(result) == [("Mara", "go", {})] * 2


def test_alone_it_speaks_only_without_an_open_action_and_after_its_examples(play: Play) -> None:
    go = {"when": "step == 2"}
    examples = ["My guests like pie.", "My guests like soup."]
    mara = {"engine": "actor", "speak": "alone", "examples": examples, "actions": {"go": go}}
    result = play({"Mara": mara}, {"Mara": ["My guests like tea.", {"action": "go"}]}, steps=2)
    assert facts(result) == [("Mara", "say", {"text": "My guests like tea."}), ("Mara", "go", {})]
    free, acting = asked("Mara")
    (_, first, one, second, two, last) = free.messages
    assert first == second == last
    assert [message.text for message in (one, two)] == examples
    assert [message.role for message in free.messages[1:]] == ["user", "assistant"] * 2 + ["user"]
    assert not any(text in shown(acting) for text in examples)
    # After something that it heard, the examples still answer a question.
    mara = {"engine": "actor", "examples": examples}
    play({"Ada": {"engine": "actor"}, "Mara": mara}, {"Ada": ["Hello."], "Mara": ["Good day."]}, steps=2)
    assert asked("Mara")[0].messages[-2].text == examples[1]


def test_a_narrator_follows_examples(play: Play) -> None:
    narrator = {"engine": "narrator", "examples": ["The market smells of bread."]}
    result = play({"Voice": narrator}, {"Voice": ["The market smells of tea."]}, steps=1)
    assert facts(result) == [("Voice", "narration", {"text": "The market smells of tea."})]
    texts = [message.text for message in asked("Voice")[0].messages[1:]]
    assert texts == ["Set the scene.", "The market smells of bread.", "Set the scene."]


def test_it_must_act_if_told_so(play: Play) -> None:
    agents = {"Mara": {"engine": "actor", "must_act": True, "actions": {"go": {}}}}
    result = play(agents, {"Mara": [{"say": "", "action": None}]}, steps=1)
    assert result.status == "failed"
    assert "null" not in asked("Mara")[0].messages[-1].text


def test_it_says_one_of_the_lines_of_the_action_that_it_chose(play: Play) -> None:
    lines = {"offer": ["Fresh apples!"], "go": ["Farewell.", "Until tomorrow."]}
    mara = {"speak": False, "actions": {"offer": OFFER, "go": {}}, "lines": lines}
    answers = [{"action": {"offer": {"price": 3}, "say": "Fresh apples!"}}, {"action": {"go": "Farewell."}}]
    result = play({"Mara": mara}, {"Mara": answers}, steps=2)
    assert facts(result) == [
        ("Mara", "say", {"text": "Fresh apples!"}),
        ("Mara", "offer", {"price": 3}),
        ("Mara", "say", {"text": "Farewell."}),
        ("Mara", "go", {}),
    ]
    prompt = asked("Mara")[0].messages[-1].text
    assert '- {"offer": {"price": whole number from 1 up to 20}, "say": one of your lines} =' in prompt
    assert '- {"go": one of your lines}' in prompt


def test_an_answer_that_never_comes_fails_visibly(play: Play) -> None:
    result = play({"Mara": {"engine": "actor"}}, {"Mara": ["", ' Mara: "" ']})
    assert (result.status, result.events, len(ASKED)) == ("failed", (), 3)
    assert "answers nothing: 3 empty answers in a row" in result.error
    thinks = play({"Mara": {"engine": "actor"}}, {"Mara": ["<think>What shall I say?"]})
    assert "all that it wrote are thoughts; let it think less" in thinks.error
    assert "pyscrai prompt RUN --agent Mara" in result.error
    acting = {"Mara": {"engine": "actor", "actions": {"go": {}}}}
    assert "answers nothing, after 2 repairs" in play(acting, {"Mara": [""]}).error


def test_an_empty_answer_is_asked_for_again(play: Play) -> None:
    result = play({"Mara": {"engine": "actor"}}, {"Mara": ["", "Hello."]}, steps=1)
    assert facts(result) == [("Mara", "say", {"text": "Hello."})]


def test_reasoning_that_loses_the_parsed_answer_is_named(play: Play) -> None:
    agents = {"Mara": {"engine": "actor", "actions": {"go": {}}, "reasoning": "forgetful"}}
    result = play(agents, {"Mara": [{"say": "", "action": "go"}]})
    assert result.status == "failed"
    assert "without `parsed`" in result.error


def test_what_is_private_reaches_no_other_prompt(play: Play) -> None:
    answers = {"Mara": [{"say": "Hm.", "action": {"offer": {"price": 7}}}], "Jon": ["Hm."]}
    agents = {
        **TRADERS,
        "Ann": {"engine": "analyst", "scores": {}, "acts": "end"},
        "Voice": {"engine": "narrator", "acts": ["start", {"every": 1}]},
    }
    answers |= {"Ann": ["Hm."], "Voice": ["Hm."], "Jon": [{"say": "Hm.", "action": None}]}
    groups = {"guild": {"members": ["Mara"], "state": {"secret": "salt"}}}
    result = play(agents, answers, groups=groups, **TRADE)
    assert result.status == "completed", result.error
    of_mara = ["A farmer with an orchard", "Earn much", "debt", "41", "secret", "salt"]
    of_jon = ["A cook in a hurry", "Spend little", "purse", "17"]
    for name, words in (("Mara", of_mara), ("Jon", of_jon)):
        assert len(asked(name)) == 2
        for request in asked(name):
            assert [word for word in words if word not in shown(request)] == []
        others = [request for request in ASKED if request.position.agent != name]
        assert [(r.position.agent, word) for r in others for word in words if word in shown(r)] == []


def test_prompts_only_grow_between_their_ends(play: Play) -> None:
    agents = {
        "Mara": TRADERS["Mara"],
        "Voice": {"engine": "narrator"},
        "Ann": {"engine": "analyst", "scores": {}, "audience": ["Ann"]},
    }
    answers = {
        "Mara": [{"say": f"Line {n}.", "action": {"offer": {"price": n + 1}}} for n in range(4)],
        "Voice": [f"Scene {n}." for n in range(4)],
        "Ann": [f"Note {n}." for n in range(4)],
    }
    play(agents, answers, steps=12, **WORLD)
    for name in agents:
        requests = asked(name)
        assert len(requests) == 4
        assert len({id(request.messages[0]) for request in requests}) == 1, "the same object, hashed once"
        for before, after in pairwise(requests):
            kept = before.messages[:-1]
            assert after.messages[: len(kept)] == kept
            assert len(after.messages) > len(before.messages)
        assert requests[0].messages[0].role == "system"
        assert requests[0].messages[-1].role == "user"


def test_words_that_were_heard_last_are_the_question(play: Play) -> None:
    """Then a prompt and its answer are the beginning of the next prompt: all of it can come from a cache."""
    agents = {name: {"engine": "actor"} for name in ("Mara", "Jon")}
    answers = {"Mara": ["One.", "Three.", "Five."], "Jon": ["Two.", "Four."]}
    play(agents, answers, steps=5)
    first, second, third = (request.messages for request in asked("Mara"))
    assert first[-1].text == "Mara, what do you say to the others first?"
    assert second == (first[0], Message.assistant("One."), Message.user("Jon: Two."))
    assert third == (*second, Message.assistant("Three."), Message.user("Jon: Four."))
    play(agents, answers, steps=3, world={"state": {"rain": True}})
    question = "rain: true\n\nMara, what do you say to the others now?"
    assert [message.text for message in asked("Mara")[1].messages[1:]] == ["One.", "Jon: Two.", question]
    question = "Mara, what do you say to the others now?"
    play({"Mara": {"engine": "actor"}}, answers, steps=2)
    assert [message.text for message in asked("Mara")[1].messages[1:]] == ["One.", question]
    play({**agents, "Mara": {"engine": "actor", "memory": "noted"}}, answers, steps=3)
    assert [message.text for message in asked("Mara")[1].messages[3:]] == ["A note.", question]


def test_without_a_memory_it_hears_what_happened_since_its_last_turn(play: Play) -> None:
    agents = {name: {"engine": "actor", "memory": None} for name in ("Mara", "Jon")}
    play(agents, {"Mara": ["One.", "Three."], "Jon": ["Two."]}, steps=3)
    assert [message.role for message in asked("Mara")[1].messages] == ["system", "user"]
    assert asked("Mara")[1].messages[1].text.startswith("Mara: One.\nJon: Two.\n")
    assert "first" in asked("Mara")[0].messages[1].text


def test_schemas_are_made_once(play: Play) -> None:
    play({"Mara": TRADERS["Mara"]}, {"Mara": [{"say": "", "action": None}]}, steps=3, **WORLD)
    assert len({id(request.schema) for request in ASKED}) == 1


# -- narrator --


def test_a_narrator_sets_the_scene_and_carries_it(play: Play) -> None:
    agents = {
        "Mara": {"engine": "actor"},
        "Voice": {
            "engine": "narrator",
            "acts": ["start", {"every": 2}],
            "perspective": "second",
            "style": "Be terse.",
        },
    }
    result = play(agents, {"Mara": ["Hello."], "Voice": ["Narrator: Fog.", "Voice: It clears."]}, **WORLD)
    told = [event for event in result.events if event.kind == "narration"]
    assert [event.payload["text"] for event in told] == ["Narrator: Fog.", "It clears.", "It clears."]
    assert {event.audience for event in told} == {("*",)}
    assert result.events[0] is told[0]
    first, second, _ = asked("Voice")
    assert "Set the scene" in first.messages[-1].text
    assert "Set the scene" not in second.messages[-1].text
    assert "Hello." in shown(second)
    for part in ('address them as "you"', "Be terse.", "Dawn at the market.", "80 words"):
        assert part in first.messages[0].text
    assert "Fog." in shown(asked("Mara")[0])


@pytest.mark.parametrize(
    "perspective, words",
    [("third", "seen and heard"), ("omniscient", "think and feel"), ("first", "is there")],
)
def test_perspectives(play: Play, perspective: str, words: str) -> None:
    play({"Voice": {"engine": "narrator", "perspective": perspective}}, {"Voice": ["Fog."]}, steps=1)
    assert words in ASKED[0].messages[0].text


# -- analyst --

FINDING = {"text": "They trade.", "scores": {"trust": 4}}
ANALYST = {
    "engine": "analyst",
    "acts": "end",
    "questions": ["Who leads?"],
    "scores": {"trust": {"description": "how far they trust", "maximum": 5}},
}


def test_an_analyst_scores_for_the_researcher_alone(play: Play) -> None:
    result = play(
        {"Mara": {"engine": "actor"}, "Ann": ANALYST}, {"Mara": ["Hello."], "Ann": [FINDING]}, **WORLD
    )
    finding = result.events[-1]
    assert (finding.kind, finding.source, finding.audience, finding.payload) == (
        "finding",
        "Ann",
        (),
        FINDING,
    )
    (request,) = asked("Ann")
    for part in ("Who leads?", "trust (whole number from 0 to 5): how far they trust", "Mara: Hello."):
        assert part in shown(request)


def test_findings_are_heard_by_those_who_are_told_to(play: Play) -> None:
    agents = {
        "Mara": {"engine": "actor"},
        "Jon": {"engine": "actor"},
        "Ann": {**ANALYST, "acts": {"every": 1}, "audience": ["Jon"]},
    }
    result = play(agents, {"Mara": ["Hi."], "Jon": ["Ho."], "Ann": [FINDING]})
    assert {event.audience for event in result.events if event.kind == "finding"} == {("Jon",)}
    assert "They trade." in shown(asked("Jon")[0])
    assert "They trade." not in shown(asked("Mara")[1])


def test_without_scores_a_finding_is_words(play: Play) -> None:
    agents = {"Ann": {"engine": "analyst", "scores": {}}}
    result = play(agents, {"Ann": ["Nothing yet."]}, steps=1)
    assert facts(result) == [("Ann", "finding", {"text": "Nothing yet.", "scores": {}})]
    assert ASKED[0].schema is None


def test_a_score_out_of_bounds_is_asked_for_again(play: Play) -> None:
    result = play({"Ann": ANALYST}, {"Ann": [{"text": "?", "scores": {"trust": 6}}, FINDING]}, steps=0)
    assert result.events[-1].payload == FINDING
    assert len(ASKED) == 2


# -- options and templates --


SURVEY = {
    "description": "answer the survey",
    "q1": {"type": "integer", "minimum": 1, "maximum": 5, "description": "Buses are good (5 agree)"},
    "q2": {"type": "array", "items": {"type": "string", "title": "A town", "description": "that you know"}},
    "q3": {"oneOf": [{"const": "y", "title": "yes, often"}, {"const": "n", "title": "never"}]},
}


def test_what_an_action_means_is_told_once(play: Play, tmp_path: Path) -> None:
    person = {"engine": "actor", "speak": False, "actions": {"tell": SURVEY, "leave": {}}}
    answers = {"Ann": [{"action": {"tell": {"q1": 4, "q2": ["Bonn"], "q3": "y"}}}]}
    assert play({"Ann": person}, answers, steps=1).status == "completed"
    (request,) = ASKED
    told = """Your actions:
- {"tell": {"q1": whole number from 1 up to 5, "q2": list, each text, "q3": one of y, n}} = answer the survey
  q1: Buses are good (5 agree)
  q2[]: A town: that you know
  q3 = y: yes, often
  q3 = n: never
- "leave"
- null = do nothing"""
    assert told in request.messages[-1].text
    assert "agree" not in json.dumps(request.schema)
    # A template of somebody else may not say it.
    (tmp_path / "mine.j2").write_text("{% for one in actions %}{{ one.name }} {% endfor %}")
    play({"Ann": {**person, "prompt": "mine.j2"}}, answers, steps=1)
    assert json.dumps(ASKED[0].schema).count("Buses are good (5 agree)") == 1


def test_a_prompt_is_replaced_by_the_path_of_a_file(play: Play, tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text(
        "{{ name }} now: {% for each in actions %}{{ each.answer }} {% endfor %}"
    )
    (tmp_path / "rules.j2").write_text("Rules for {{ name }} of {{ others | length }} others.")
    mara = {**TRADERS["Mara"], "prompt": "mine.j2", "system": "rules.j2"}
    play({"Mara": mara}, {"Mara": [{"say": "", "action": None}]}, steps=1, **WORLD)
    assert [message.text for message in ASKED[0].messages] == [
        "Rules for Mara of 0 others.",
        'Mara now: {"offer": {"price": whole number from 1 up to 20}}',
    ]


@pytest.mark.parametrize("option", ["system", "prompt"])
@pytest.mark.parametrize("engine", ["actor", "narrator", "analyst"])
def test_an_unknown_name_in_a_template_is_found_when_loading(
    play: Play, tmp_path: Path, engine: str, option: str
) -> None:
    (tmp_path / "mine.j2").write_text("{{ name }} {{ persna }}")
    with pytest.raises(ScenarioError, match=r"(?s)mine\.j2.*persna.*persona"):
        play({"Mara": {"engine": engine, option: "mine.j2"}}, {"Mara": ["Hi."]})


def test_a_system_template_cannot_use_what_changes(play: Play, tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text("{{ state }}")
    with pytest.raises(ScenarioError, match="state"):
        play({"Mara": {"engine": "actor", "system": "mine.j2"}}, {"Mara": ["Hi."]})


def test_a_template_that_cannot_be_rendered_is_named(play: Play, tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text("{{ state.price + 1 }}")
    result = play({"Mara": {"engine": "actor", "prompt": "mine.j2"}}, {"Mara": ["Hi."]}, **WORLD)
    assert result.status == "failed"
    assert "mine.j2" in result.error


@pytest.mark.parametrize(
    "options, message",
    [
        ({"engine": "actor", "words": 0}, "words"),
        ({"engine": "narrator", "perspective": "fourth"}, "third, omniscient, second, first"),
        ({"engine": "analyst", "scores": {"trust": {"maximum": 0}}}, "above the minimum"),
        ({"engine": "analyst", "score": {}}, "scores"),
    ],
)
def test_wrong_options_are_refused(play: Play, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        play({"Mara": options}, {"Mara": ["Hi."]})


@pytest.mark.parametrize("memory", [None, "none"])
def test_who_remembers_nothing_is_told_what_is_new(tmp_path: Path, memory: str | None) -> None:
    scenario = {
        "scenario": "new",
        "providers": {"default": {"use": "scripted", "replies": {"A": ["Rain today."], "B": ["Indeed."]}}},
        "agents": {name: {"memory": memory} for name in "AB"},
        "schedule": {"use": "round-robin", "rounds": 2},
    }
    path = tmp_path / "new.json"
    path.write_text(json.dumps(scenario))
    run = pyscrai_core.run(path, store=tmp_path / "new.db")
    assert run.status == "completed", run.error
    with pyscrai_core.api.Store.open(tmp_path / "new.db") as store:
        stored = store.run("last")
        asked = [stored.messages(call["number"])[-1].text for call in stored.calls()]
    assert ["A: Rain today." in text for text in asked] == [False, True, True, True]
    assert ["B: Indeed." in text for text in asked] == [False, False, True, True]
