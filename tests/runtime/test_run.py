"""The run loop and the event pipeline: who acts when, who hears what, and what events do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import frozen

from pyscrai_core import (
    CallFailed,
    Completion,
    Engine,
    Memory,
    Message,
    Observer,
    Provider,
    RateLimited,
    Reasoning,
    Request,
    ScenarioError,
    Schedule,
    Tool,
    api,
)

SCRIPTED = {"default": {"use": "scripted", "replies": ["one", "two", "three", "four", "five", "six"]}}


@frozen
class Lines:
    """Options of `Says`."""

    lines: list[str] = []
    to: list[str] = ["*"]


class Says(Engine):
    """Says one line of its own a turn; needs no model."""

    Config = Lines

    async def run(self, turn: Any) -> None:
        if turn.number < len(self.config.lines):
            turn.say(self.config.lines[turn.number], to=self.config.to)


class Hears(Engine):
    """Says what it observed, as a list of texts."""

    async def run(self, turn: Any) -> None:
        turn.emit("heard", {"texts": [event.payload.get("text") for event in turn.observed]})


class Does(Engine):
    """Drafts what it is given for each turn: [kind, payload], or [change, path, value, op]."""

    @frozen
    class Config:
        does: list[Any]

    async def run(self, turn: Any) -> None:
        for kind, *rest in self.config.does[turn.number] if turn.number < len(self.config.does) else []:
            if kind == "change":
                turn.change(*rest)
            else:
                turn.emit(kind, *rest)


def kinds(result: Any) -> list[tuple[str, str]]:
    return [(event.source, event.kind) for event in result.events]


def says(*lines: str, **more: Any) -> dict[str, Any]:
    return {"engine": "says", "lines": list(lines), **more}


def does(*turns: list[Any], **more: Any) -> dict[str, Any]:
    return {"engine": {"use": "does", "does": list(turns)}, **more}


ROUND = {"use": "round-robin", "rounds": 1}


# -- who acts when --


def test_acts_places_each_agent_in_the_step(play: Any) -> None:
    result = play(
        {
            "agents": {
                "End": says("e", acts="end"),
                "A": says("a1", "a2"),
                "After": says("x1", "x2", "x3", "x4", acts="after-group"),
                "Start": says("s", acts="start"),
                "B": says("b1", "b2"),
                "Third": says("t", acts={"every": 3}),
                "On": says("o1", "o2", acts={"on": "say"}),
            },
            "schedule": {"use": "round-robin", "rounds": 2},
        },
        engine__says=Says,
    )
    assert result.status == "completed", result.error
    told = [f"{event.step}:{event.source}" for event in result.events]
    assert told == [
        "0:Start",
        "1:A", "1:After", "1:On",
        "2:B", "2:After", "2:On",
        "3:A", "3:After", "3:Third",
        "4:B", "4:After",
        "5:End",
    ]  # fmt: skip


def test_a_reaction_names_its_cause_and_happens_once_a_step(play: Any) -> None:
    result = play(
        {
            "agents": {
                "A": does([["offer", {}], ["offer", {}]], [], actions={"offer": {}}),
                "Clerk": says("noted", "again", acts={"on": "offer"}),
            },
            "schedule": {"use": "round-robin", "rounds": 2},
        },
        engine__says=Says,
        engine__does=Does,
    )
    assert kinds(result) == [("A", "offer"), ("A", "offer"), ("Clerk", "say")]
    assert result.events[-1].cause == 2


def test_a_group_acts_on_the_same_snapshot(play: Any) -> None:
    class Looks(Engine):
        async def run(self, turn: Any) -> None:
            turn.emit("saw", {"n": turn.state["n"], "events": len(turn.log)})
            turn.change("n", 1, "add")

    result = play(
        {
            "world": {"state": {"n": 0}},
            "agents": {name: {"engine": "looks"} for name in "ABC"},
            "schedule": {"use": "simultaneous", "rounds": 2},
            "outcomes": {"n": "state.n"},
        },
        engine__looks=Looks,
    )
    saw = [event.payload for event in result.events if event.kind == "saw"]
    assert saw == [{"n": 0, "events": 0}] * 3 + [{"n": 3, "events": 6}] * 3
    assert result.outcomes == {"n": 6}


def test_stop_when_ends_the_run_and_end_agents_still_act(play: Any) -> None:
    result = play(
        {
            "world": {"state": {"n": 0}},
            "agents": {
                "A": does(*[[["change", "n", 1, "add"]]] * 9),
                "Judge": says("over", acts="end"),
            },
            "schedule": {"use": "round-robin", "rounds": 9},
            "stop_when": "state.n >= 3",
        },
        engine__says=Says,
        engine__does=Does,
    )
    assert result.steps == 3
    assert kinds(result)[-1] == ("Judge", "say")


@pytest.mark.parametrize(
    "items, way",
    [
        ([1], "continue in a fork: pyscrai fork RUN --at 1 --set stop_when=…"),
        ([], "run it again with --set stop_when=…"),
    ],
)
def test_a_stop_when_that_fails_says_what_to_do(items: list[int], way: str, play: Any) -> None:
    scenario = {
        "world": {"state": {"n": 0, "items": items}},
        "agents": {"A": does(*[[["change", "n", 1, "add"]]] * 9)},
        "schedule": {"use": "round-robin", "rounds": 9},
        "stop_when": "state.items[state.n] > 1",
    }
    result = play(scenario, engine__does=Does)
    assert result.status == "failed"
    assert result.error.endswith(f"correct it, and {way}")


def test_a_schedule_that_names_nobody_known_is_an_error(play: Any) -> None:
    class Odd(Schedule):
        async def next(self, stage: Any) -> list[str]:
            return ["Nobody"]

    result = play({"agents": {"A": says()}, "schedule": "odd"}, engine__says=Says, schedule__odd=Odd)
    assert result.status == "failed"
    assert "there is no agent 'Nobody'" in result.error


# -- who hears what --


def test_audiences_of_agents_groups_and_nobody(play: Any) -> None:
    result = play(
        {
            "agents": {
                "A": says("to all"),
                "B": says("to C", to=["C"]),
                "C": says("to the pair", to=["pair"]),
                "D": says("to nobody", to=[]),
                **{f"Ear-{name}": {"engine": "hears"} for name in "xy"},
                "E": {"engine": "hears"},
            },
            "groups": {"pair": ["A", "Ear-x"]},
            "schedule": ROUND,
        },
        engine__says=Says,
        engine__hears=Hears,
    )
    heard = {event.source: event.payload["texts"] for event in result.events if event.kind == "heard"}
    assert heard == {
        "Ear-x": ["to all", "to the pair"],
        "Ear-y": ["to all", None],
        "E": ["to all", None, None],
    }


def test_private_and_group_state_are_seen_by_their_owners_alone(play: Any) -> None:
    class Tells(Engine):
        async def run(self, turn: Any) -> None:
            turn.emit("saw", {"own": dict(turn.own), "groups": {k: dict(v) for k, v in turn.groups.items()}})

    result = play(
        {
            "agents": {
                "A": {"engine": "tells", "state": {"card": "ace"}},
                "B": {"engine": "tells", "state": {"card": "two"}},
            },
            "groups": {"team": {"members": ["B"], "state": {"score": 3}}},
            "schedule": ROUND,
        },
        engine__tells=Tells,
    )
    assert [event.payload for event in result.events] == [
        {"own": {"card": "ace"}, "groups": {}},
        {"own": {"card": "two"}, "groups": {"team": {"score": 3}}},
    ]


def test_state_is_read_only(play: Any) -> None:
    class Meddles(Engine):
        async def run(self, turn: Any) -> None:
            turn.state["deep"]["list"].append(1)

    result = play(
        {
            "world": {"state": {"deep": {"list": []}}},
            "agents": {"A": {"engine": "meddles"}},
            "schedule": ROUND,
        },
        engine__meddles=Meddles,
    )
    assert result.status == "failed"
    assert "AttributeError" in result.error


# -- what events do --


def test_rules_set_and_add_with_paths_and_conditions(play: Any) -> None:
    result = play(
        {
            "world": {"state": {"price": None, "votes": {}, "log": []}},
            "agents": {
                "A": does(
                    [["offer", {"price": 3}], ["offer", {"price": 9}], ["vote", {"for": "x"}]],
                    actions={
                        "offer": {"price": {"type": "integer", "minimum": 1}},
                        "vote": {"for": {"type": "string"}},
                    },
                    state={"coins": 10},
                )
            },
            "rules": [
                {"on": "offer", "when": "event.payload.price < 5", "set": {"price": "event.payload.price"}},
                {"on": "offer", "add": {"log": "event.payload.price", "self.coins": -1}},
                {"on": "vote", "add": {"votes.{event.payload['for']}": 1}},
            ],
            "schedule": ROUND,
            "outcomes": {"state": "state", "coins": "agents.A.coins"},
        },
        engine__does=Does,
    )
    assert result.status == "completed", result.error
    assert result.outcomes == {"state": {"price": 3, "votes": {"x": 1}, "log": [3, 9]}, "coins": 8}


def test_guards_hold_on_the_current_state_and_rejections_are_logged(play: Any) -> None:
    result = play(
        {
            "world": {"state": {"taken": False}},
            "agents": {
                name: does([["take", {}]], actions={"take": {"when": "not state.taken"}}) for name in "AB"
            },
            "rules": [{"on": "take", "set": {"taken": True}}],
            "schedule": {"use": "simultaneous", "rounds": 1},
        },
        engine__does=Does,
    )
    assert kinds(result) == [("A", "take"), ("B", "rejected")]
    rejected = result.events[1]
    assert rejected.payload["kind"] == "take"
    assert "not state.taken" in rejected.payload["reason"]
    assert rejected.audience == ()


@pytest.mark.parametrize(
    ("draft", "words"),
    [
        (["offer", {"price": 0}], "expected at least 1, got 0"),
        (["offer", {"price": 2, "x": 1}], 'unknown key "x"'),
        (["say", {"text": 3}], "expected a string, got 3"),
        (["news", {"n": "many"}], 'expected an integer, got "many"'),
        (["say", {"text": "x"}, "Nobody"], "the audience 'Nobody' does not exist; agents and groups: A"),
        (["rejected", {}], "the kernel's or no name"),
        (["odd", {"x": {1, 2}}], "set is not JSON"),
        (["odd", {"x": float("nan")}], "not a finite number"),
        (["odd", {"x": 2**60}], "53 bits"),
        (["odd", {"x": "\ud800"}], "surrogate"),
        (["change", "agents.B.x", 1], "expected self.KEY"),
        (["change", "groups.g.x", 1], "a group that the agent is in"),
        (["change", "a..b", 1], "is not a path"),
    ],
)
def test_a_draft_that_breaks_the_contract_fails_the_turn(play: Any, draft: list[Any], words: str) -> None:
    class Drafts(Engine):
        async def run(self, turn: Any) -> None:
            kind, *rest = draft
            if kind == "change":
                turn.change(*rest)
            else:
                turn.emit(kind, *rest)

    result = play(
        {
            "agents": {
                "A": {
                    "engine": "drafts",
                    "actions": {"offer": {"price": {"type": "integer", "minimum": 1}}},
                }
            },
            "events": {"news": {"type": "object", "properties": {"n": {"type": "integer"}}}},
            "schedule": ROUND,
        },
        engine__drafts=Drafts,
    )
    assert result.status == "failed"
    assert words in result.error
    assert result.events == ()


def test_events_are_the_logs_own_copy(play: Any) -> None:
    class Shares(Engine):
        async def run(self, turn: Any) -> None:
            payload = {"list": [1]}
            turn.emit("one", payload)
            payload["list"].append(2)
            turn.emit("two", payload)

    result = play({"agents": {"A": {"engine": "shares"}}, "schedule": ROUND}, engine__shares=Shares)
    assert [event.payload for event in result.events] == [{"list": [1]}, {"list": [1, 2]}]


# -- failures --


class Fails(Provider):
    """Fails for one agent, answers the others."""

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        if request.position.agent == "Bad":
            raise RateLimited("slow down", 0.01)
        await asyncio.sleep(0)
        return Completion("fine", model="m")


class Thinks(Engine):
    async def run(self, turn: Any) -> None:
        turn.say((await turn.think("?")).text)


def test_a_failed_turn_fails_the_run_and_leaves_nothing_of_its_group(play: Any, tmp_path: Any) -> None:
    scenario = {
        "providers": {"default": {"use": "fails", "retry": {"tries": 1}}},
        "agents": {"Good": {"engine": "thinks"}, "Bad": {"engine": "thinks"}, "Best": {"engine": "thinks"}},
        "schedule": {"use": "simultaneous", "rounds": 1},
    }
    result = play(scenario, provider__fails=Fails, engine__thinks=Thinks)
    assert (result.status, result.events) == ("failed", ())
    assert result.error.startswith("agents.Bad, step 1: provider 'default': slow down (tried once")
    with api.Store.open(tmp_path / "runs.db") as store:
        calls = {call["agent"]: call["status"] for call in store.run("last").calls()}
    assert calls == {"Good": "answered", "Bad": "open", "Best": "answered"}


def test_on_error_skip_says_so_in_the_log_and_goes_on(play: Any, tmp_path: Any) -> None:
    result = play(
        {
            "providers": {"default": {"use": "fails", "retry": {"tries": 1}}},
            "agents": {"Good": {"engine": "thinks"}, "Bad": {"engine": "thinks", "on_error": "skip"}},
            "schedule": {"use": "round-robin", "rounds": 2},
        },
        provider__fails=Fails,
        engine__thinks=Thinks,
    )
    assert result.status == "completed"
    assert kinds(result) == [("Good", "say"), ("Bad", "turn.failed")] * 2
    assert result.events[1].payload == {"error": "RateLimited"}


def test_plugin_code_cannot_hide_a_transient_failure(play: Any) -> None:
    class Hides(Engine):
        async def run(self, turn: Any) -> None:
            try:
                await turn.think("?")
            except CallFailed:
                turn.say("I made this up")

    result = play(
        {
            "providers": {"default": {"use": "fails", "retry": {"tries": 1}}},
            "agents": {"Bad": {"engine": "hides"}},
            "schedule": ROUND,
        },
        provider__fails=Fails,
        engine__hides=Hides,
    )
    assert (result.status, result.events) == ("failed", ())
    assert "slow down" in result.error


def test_a_component_that_raises_names_itself(play: Any) -> None:
    class Breaks(Engine):
        async def run(self, turn: Any) -> None:
            raise KeyError("oops")

    result = play({"agents": {"A": {"engine": "breaks"}}, "schedule": ROUND}, engine__breaks=Breaks)
    assert result.error == (
        "agents.A, step 1: engine 'breaks' (given) raised KeyError: 'oops'; tell its author; "
        "for the traceback: pyscrai --debug …"
    )


def test_an_observer_that_raises_is_left_out(play: Any) -> None:
    class Watch(Observer):
        def __init__(self, bad: bool) -> None:
            super().__init__(None)
            self.bad, self.seen = bad, 0

        def on_event(self, event: Any) -> None:
            self.seen += 1
            if self.bad:
                raise RuntimeError("broken observer")

    bad, good = Watch(True), Watch(False)
    result = play(
        {"agents": {"A": says("x", "y")}, "schedule": {"use": "round-robin", "rounds": 2}},
        engine__says=Says,
        observers=[bad, good],
    )
    assert result.status == "completed"
    assert (bad.seen, good.seen) == (1, 2)


# -- the door --


def test_the_turn_stays_in_its_own_task(play: Any) -> None:
    class Races(Engine):
        async def run(self, turn: Any) -> None:
            await asyncio.wait_for(asyncio.create_task(turn.think("?")), 5)

    result = play(
        {"providers": SCRIPTED, "agents": {"A": {"engine": "races"}}, "schedule": ROUND}, engine__races=Races
    )
    assert result.status == "failed"
    assert "use `gather`" in result.error


def test_a_timeout_of_the_plugins_own_is_an_error(play: Any) -> None:
    class Impatient(Engine):
        async def run(self, turn: Any) -> None:
            try:
                async with asyncio.timeout(0.01):
                    await turn.think("?")
            except TimeoutError:
                turn.say("I gave up")

    slow = {"default": {"use": "scripted", "replies": ["x"], "latency": 5}}
    result = play(
        {"providers": slow, "agents": {"A": {"engine": "impatient"}}, "schedule": ROUND},
        engine__impatient=Impatient,
    )
    assert result.status == "failed"
    assert "leave timeouts to the kernel" in result.error


def test_gather_keeps_order_scopes_and_drafts(play: Any) -> None:
    class Wide(Engine):
        async def run(self, turn: Any) -> None:
            async def part(scope: Any, wait: float) -> float:
                await scope.complete(Request((Message.user(str(wait)),)))
                scope.emit("part", {"wait": wait})
                return scope.random.random()

            numbers = await turn.gather(*(lambda s, w=w: part(s, w) for w in (0.02, 0.0, 0.01)))
            turn.emit("numbers", {"numbers": numbers})

    class Slow(Provider):
        async def complete(self, request: Request, sink: Any = None) -> Completion:
            await asyncio.sleep(float(request.messages[-1].text))
            return Completion(str(request.seed), model="m")

    scenario = {"providers": {"default": "slow"}, "agents": {"A": {"engine": "wide"}}, "schedule": ROUND}
    result = play(scenario, engine__wide=Wide, provider__slow=Slow)
    assert result.status == "completed", result.error
    assert [event.payload.get("wait") for event in result.events] == [0.02, 0.0, 0.01, None]
    numbers = result.events[-1].payload["numbers"]
    assert len(set(numbers)) == 3
    again = play(scenario, engine__wide=Wide, provider__slow=Slow)
    assert again.fingerprint == result.fingerprint
    assert play(scenario, seed=9, engine__wide=Wide, provider__slow=Slow).fingerprint != result.fingerprint


class Clock(Engine):
    async def run(self, turn: Any) -> None:
        turn.emit("time", {"now": turn.now()})


def test_now_is_journaled(play: Any, tmp_path: Any, host_with: Any) -> None:
    result = play({"agents": {"A": {"engine": "clock"}}, "schedule": ROUND}, engine__clock=Clock)
    again = api.replay(store=tmp_path / "runs.db", host=host_with(engine__clock=Clock))
    assert again.events == result.events


class Vectors(Provider):
    asked = 0

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        raise AssertionError("nobody completes here")

    async def embed(self, texts: Any) -> list[list[float]]:
        Vectors.asked += 1
        return [[float(len(text)), 0.5] for text in texts]


class Embeds(Engine):
    async def run(self, turn: Any) -> None:
        turn.emit("vectors", {"vectors": await turn.embed(["a", "bcd"])})


def test_embeddings_are_journaled(play: Any, tmp_path: Any, host_with: Any) -> None:
    Vectors.asked = 0
    scenario = {"providers": {"default": "vectors"}, "agents": {"A": {"engine": "embeds"}}, "schedule": ROUND}
    result = play(scenario, provider__vectors=Vectors, engine__embeds=Embeds)
    assert result.events[0].payload == {"vectors": [[1.0, 0.5], [3.0, 0.5]]}
    again = api.replay(store=tmp_path / "runs.db", host=host_with(engine__embeds=Embeds))
    assert again.events == result.events
    assert Vectors.asked == 1


def test_a_provider_without_embeddings_says_so(play: Any) -> None:
    scenario = {"providers": SCRIPTED, "agents": {"A": {"engine": "embeds"}}, "schedule": ROUND}
    result = play(scenario, engine__embeds=Embeds)
    assert result.status == "failed"
    assert "has no embeddings" in result.error


def test_observers_are_opened_and_closed_with_the_run(play: Any) -> None:
    class Lives(Observer):
        def __init__(self) -> None:
            super().__init__(None)
            self.seen: list[str] = []

        async def aopen(self) -> None:
            self.seen.append("open")

        async def aclose(self) -> None:
            self.seen.append("close")

        def on_run(self, run: str, status: str, result: Any) -> None:
            self.seen.append(status)

    lives = Lives()
    play({"agents": {"A": says("x")}, "schedule": ROUND}, engine__says=Says, observers=[lives])
    assert lives.seen == ["open", "running", "completed", "close"]


def test_a_component_that_cannot_be_closed_is_reported(play: Any) -> None:
    from loguru import logger

    class Stuck(Says):
        Config = Lines

        async def aclose(self) -> None:
            raise RuntimeError("stuck")

    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message}")
    try:
        result = play({"agents": {"A": {"engine": "stuck"}}, "schedule": ROUND}, engine__stuck=Stuck)
    finally:
        logger.remove(sink)
    assert result.status == "completed"
    assert any("could not be closed: stuck" in line for line in lines)


def test_observers_of_the_settings_watch(play: Any, tmp_path: Any) -> None:
    class Notes(Observer):
        seen: list[str] = []

        def on_event(self, event: Any) -> None:
            Notes.seen.append(event.kind)

    (tmp_path / "pyscrai.toml").write_text('observers = ["notes"]')
    scenario = {"agents": {"A": says("x")}, "schedule": ROUND}
    play(scenario, engine__says=Says, observer__notes=Notes)
    assert Notes.seen == ["say"]


def test_observers_of_the_settings_have_options(play: Any, tmp_path: Any) -> None:
    class Notes(Observer):
        seen: list[Any] = []

        @frozen
        class Config:
            mark: str = "-"
            most: int = 3

        def on_event(self, event: Any) -> None:
            Notes.seen.append(self.config)

    scenario = {"agents": {"A": says("x")}, "schedule": ROUND}
    settings = tmp_path / "pyscrai.toml"
    settings.write_text('observers = ["notes", {use = "notes", mark = "+"}]')
    play(scenario, engine__says=Says, observer__notes=Notes)
    assert Notes.seen == [Notes.Config(), Notes.Config("+")]
    settings.write_text('observers = [{use = "notes", mork = "+"}]')
    with pytest.raises(
        ScenarioError, match=r"^observers\.notes: mork: unknown key 'mork'; did you mean 'mark'"
    ):
        play(scenario, engine__says=Says, observer__notes=Notes)
    settings.write_text('observers = [{use = "notes", most = "+"}]')
    with pytest.raises(ScenarioError, match=r"^observers\.notes: most: expected an integer, got '\+'"):
        play(scenario, engine__says=Says, observer__notes=Notes)


def test_a_repaired_answer_is_a_call_of_its_own(play: Any, tmp_path: Any) -> None:
    class Structured(Engine):
        async def run(self, turn: Any) -> None:
            schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
            turn.emit("number", (await turn.think("?", schema=schema)).parsed)

    def providers(times: int) -> dict[str, Any]:
        faults = [{"kind": "malformed", "at": [0], "times": times}]
        return {"default": {"use": "scripted", "replies": [{"n": 3}], "faults": faults}}

    scenario = {"agents": {"A": {"engine": "structured"}}, "schedule": ROUND}
    result = play({**scenario, "providers": providers(2)}, engine__structured=Structured)
    assert result.status == "completed", result.error
    assert (result.events[0].payload, result.calls) == ({"n": 3}, 3)
    failed = play({**scenario, "providers": providers(3)}, engine__structured=Structured)
    assert failed.status == "failed"
    assert "does not fit its schema, after 2 repairs: it is not JSON" in failed.error
    assert failed.events == ()


def test_a_person_is_needed_and_nobody_is_there(play: Any) -> None:
    class Asks(Engine):
        async def run(self, turn: Any) -> None:
            turn.say(await turn.ask("Who are you?"))

    result = play({"agents": {"A": {"engine": "asks"}}, "schedule": ROUND}, engine__asks=Asks)
    assert result.status == "failed"
    assert "this run has nobody to ask; continue where a person is" in result.error


def test_recall_hands_each_event_over_once(play: Any) -> None:
    class Counts(Memory):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.seen: list[int] = []

        async def observe(self, events: Any, turn: Any) -> None:
            self.seen += [event.seq for event in events]

        async def recall(self, turn: Any) -> list[Message]:
            return [Message.user(repr(self.seen))]

    class Sometimes(Engine):
        async def run(self, turn: Any) -> None:
            if turn.number != 1:
                await turn.recall()
                text = (await turn.recall())[0].text
                turn.say(text)

    result = play(
        {
            "agents": {
                "A": {"engine": "sometimes", "memory": "counts"},
                "B": says("b", "b", "b"),
            },
            "schedule": {"use": "round-robin", "rounds": 3},
        },
        engine__says=Says,
        engine__sometimes=Sometimes,
        memory__counts=Counts,
    )
    texts = [event.payload["text"] for event in result.events if event.source == "A"]
    assert texts == ["[]", "[1, 2, 3]"]


def test_reasoning_stands_between_engine_and_model(play: Any) -> None:
    class Twice(Reasoning):
        async def reason(self, request: Request, turn: Any) -> Completion:
            first = await turn.complete(request)
            turn.emit("thought", {"text": first.text}, audience=())
            return await turn.complete(request.but(messages=(*request.messages, first.message())))

    result = play(
        {
            "providers": {"default": "counts"},
            "agents": {"A": {"engine": "thinks", "reasoning": "twice"}},
            "schedule": ROUND,
        },
        engine__thinks=Thinks,
        reasoning__twice=Twice,
        provider__counts=CountsMessages,
    )
    told = [(event.kind, event.payload["text"]) for event in result.events]
    assert told == [("thought", "1"), ("say", "2")]


class CountsMessages(Provider):
    async def complete(self, request: Request, sink: Any = None) -> Completion:
        return Completion(str(len(request.messages)), model="m")


class Dice(Tool):
    """Pure: it draws from the turn."""

    name, description, external = "die", "rolls", False
    parameters = {"type": "object", "properties": {"sides": {"type": "integer"}}, "required": ["sides"]}

    async def call(self, arguments: dict[str, Any], turn: Any) -> Any:
        turn.emit("rolled", {})
        return turn.random.randint(1, arguments["sides"])


class Outside(Tool):
    """External: counts how often it is really called."""

    name, description = "outside", "reaches out"
    called = 0

    async def call(self, arguments: dict[str, Any], turn: Any) -> Any:
        Outside.called += 1
        turn.emit("reached", {"n": Outside.called})
        return {"n": Outside.called}


class Uses(Engine):
    async def run(self, turn: Any) -> None:
        roll = await turn.call_tool("die", {"sides": 6})
        got = await turn.call_tool("outside", {})
        turn.emit("used", {"roll": roll, "got": got})


def test_tools_are_journaled_if_they_reach_outside(play: Any, tmp_path: Any, host_with: Any) -> None:
    components = {"engine__uses": Uses, "tool__die": Dice, "tool__outside": Outside}
    Outside.called = 0
    scenario = {"agents": {"A": {"engine": "uses", "tools": ["die", "outside"]}}, "schedule": ROUND}
    result = play(scenario, **components)
    assert result.status == "completed", result.error
    assert [event.kind for event in result.events] == ["tool", "rolled", "tool", "reached", "used"]
    assert result.events[-1].payload["got"] == {"n": 1}
    again = api.replay(store=tmp_path / "runs.db", host=host_with(**components))
    assert again.fingerprint == result.fingerprint
    assert Outside.called == 1


# -- budgets --


@pytest.mark.parametrize(
    ("limit", "events"), [({"calls": 3}, 3), ({"steps": 2}, 2), ({"tokens": 700}, range(1, 6))]
)
def test_a_spent_budget_stops_the_run_and_a_larger_one_goes_on(
    play: Any, tmp_path: Any, limit: dict[str, int], events: int | range
) -> None:
    scenario = {
        "providers": SCRIPTED,
        "agents": {"A": {}, "B": {}},
        "schedule": {"use": "round-robin", "rounds": 3},
    }
    whole = play(scenario)
    result = play({**scenario, "limits": limit}, store=tmp_path / "stopped.db")
    made = len(result.events)
    assert result.status == "stopped"
    assert made in events if isinstance(events, range) else made == events
    name = next(iter(limit))
    assert f"limits.{name}" in result.error
    resumed = api.resume(store=tmp_path / "stopped.db", set={f"limits.{name}": 10**6})
    assert (resumed.status, resumed.fingerprint) == ("completed", whole.fingerprint)
    assert resumed.asked == 6 - made


# -- determinism --


def test_concurrency_does_not_show(play: Any) -> None:
    scenario = {
        "providers": {
            "default": {
                "use": "scripted",
                "choice": ["yes", "no", "perhaps", "never", "always"],
                "latency": {"min": 0, "max": 0.004},
            }
        },
        "agents": {f"A{n:02}": {} for n in range(12)},
        "schedule": {"use": "simultaneous", "rounds": 4},
    }
    prints = {
        concurrency: play(scenario, set={"limits.concurrency": concurrency}).fingerprint
        for concurrency in (1, 2, 8, 64)
    }
    assert len(set(prints.values())) == 1, prints
    assert play(scenario, seed=5).fingerprint not in prints.values()
