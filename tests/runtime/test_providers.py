"""Asking a vendor, as a run does it: tries, timeouts, fallbacks, and what a failure leaves behind."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar

import backoff
import pytest
from attrs import frozen

from pyscrai_core import (
    AnswerRejected,
    AuthenticationFailed,
    CallRecord,
    Completion,
    ContextTooLong,
    Engine,
    NoConfig,
    Observer,
    Overloaded,
    Position,
    Provider,
    RateLimited,
    Reasoning,
    Request,
    RequestRejected,
    RunResult,
    Sampling,
    ScenarioError,
    Sink,
    TimedOut,
    Tool,
    ToolFailed,
    Turn,
    Unreachable,
    Usage,
    api,
)
from pyscrai_core.config import load_settings
from pyscrai_core.runtime import execution
from pyscrai_core.runtime.session import Session
from pyscrai_records.store.store import Store

pytestmark = pytest.mark.usefixtures("virtual_clock")


class Vendor(Provider):
    """Does for each call what `plan` says for it under its name, and after that answers."""

    @frozen
    class Config:
        name: str = "first"

    plan: ClassVar[dict[str, list[Any]]] = {}
    asked: ClassVar[list[str]] = []
    times: ClassVar[list[float]] = []
    sinks: ClassVar[list[Any]] = []

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        text = await self._next()
        Vendor.sinks.append(sink)
        if sink is not None:
            sink.write("some ")
            sink.write("words")
        return Completion(text or f"{request.position.agent} {request.turn}", model=f"{self.config.name}-1")

    async def embed(self, texts: Any) -> list[list[float]]:
        await self._next()
        return [[float(len(text))] for text in texts]

    async def _next(self) -> Any:
        Vendor.asked.append(self.config.name)
        Vendor.times.append(asyncio.get_running_loop().time())
        left = Vendor.plan.get(self.config.name)
        step = left.pop(0) if left else None
        if isinstance(step, type):
            raise step("trouble")
        if isinstance(step, BaseException):
            raise step
        return await step() if callable(step) else step


class Streams(Vendor):
    capabilities = frozenset({"stream", "schema", "tools"})


class Cold(Vendor):
    def refuses(self, sampling: Sampling) -> dict[str, str]:
        return {} if sampling.temperature is None else {"temperature": "this model takes none; leave it out"}


def engine(does: Callable[[Turn], Awaitable[Any]]) -> type[Engine]:
    return type("Made", (Engine,), {"run": lambda self, turn: does(turn)})


async def thinks(turn: Turn) -> None:
    turn.say((await turn.think("?")).text)


class Vendors:
    """Runs scenarios with `Vendor`, resumes and replays them."""

    def __init__(self, folder: Path, host_with: Callable[..., Any]) -> None:
        self.folder, self.host_with = folder, host_with
        self.components: dict[str, Any] = {}

    def scenario(self, *, does: Any = thinks, use: str = "vendor", **more: Any) -> Path:
        more = {"agents": {"A": {}}, **more}
        components = {key: more.pop(key) for key in list(more) if "__" in key}
        self.components = {"provider__vendor": Vendor, "engine__does": engine(does), **components}
        kernels = {key: more.pop(key) for key in ("retry", "timeout", "requests_per_minute") if key in more}
        given = {
            "scenario": "asking",
            "providers": {"default": {"use": use, **kernels}},
            "schedule": {"use": "simultaneous", "rounds": 1},
            **more,
            "agents": {name: {"engine": "does", **agent} for name, agent in more["agents"].items()},
        }
        path = self.folder / "scenario.json"
        path.write_text(json.dumps(given, indent=1))
        return path

    def run(self, *plan: Any, others: Any = None, observers: Any = (), **more: Any) -> RunResult:
        Vendor.plan, Vendor.asked = {"first": list(plan), **(others or {})}, []
        path = self.scenario(**more)
        return api.run(path, store=self.store, host=self.host, observers=observers)

    def resume(self, *plan: Any, **changes: Any) -> RunResult:
        Vendor.plan, Vendor.asked = {"first": list(plan)}, []
        return api.resume(store=self.store, host=self.host, **changes)

    def replays(self, result: RunResult) -> bool:
        """Whether a replay asks nobody and comes to the same."""
        Vendor.asked = []
        again = api.replay(store=self.store, host=self.host)
        same = (again.fingerprint, again.status, again.error) == (
            result.fingerprint, result.status, result.error
        )  # fmt: skip
        return same and not Vendor.asked

    @property
    def store(self) -> Path:
        return self.folder / "runs.db"

    @property
    def host(self) -> Any:
        return self.host_with(**self.components)

    @property
    def calls(self) -> list[dict[str, Any]]:
        with Store.open(self.store) as opened:
            return list(opened.run("last").calls())


@pytest.fixture
def vendors(tmp_path: Path, host_with: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Vendors:
    monkeypatch.setattr(backoff, "full_jitter", lambda value: value)  # always the longest wait
    Vendor.sinks, Vendor.times = [], []
    return Vendors(tmp_path, host_with)


class Watch(Observer):
    """Stops the run at a call of some status; keeps the calls that are tried again."""

    def __init__(self, stop_at: str = "") -> None:
        super().__init__(NoConfig())
        self.stop_at, self.retried, self.run = stop_at, list[CallRecord](), None

    def on_call(self, call: CallRecord) -> None:
        if call.status == "retrying":
            self.retried.append(call)
        if call.status == self.stop_at:
            # A moment later, when the wait has begun.
            asyncio.get_running_loop().call_later(0.02, self.run.stop)  # type: ignore[attr-defined]


# -- trying again --


def test_what_can_pass_is_tried_again_and_recorded(vendors: Vendors) -> None:
    whole = vendors.run()
    watch = Watch()
    result = vendors.run(Overloaded, TimedOut("slow"), RateLimited("wait", 20.0), observers=[watch])
    assert (result.status, result.fingerprint) == ("completed", whole.fingerprint)
    (call,) = vendors.calls
    assert (call["status"], call["provider"], call["error"]) == ("answered", "default", "")
    told = [(each["provider"], each["error"], each["detail"], each["wait"]) for each in call["attempts"]]
    assert told == [
        ("default", "Overloaded", "provider 'default': trouble", 1),
        ("default", "TimedOut", "provider 'default': slow", 2),
        ("default", "RateLimited", "provider 'default': wait", 20.4),
    ]
    assert [(each.wait, each.error.split(":")[0]) for each in watch.retried] == [
        (1, "Overloaded"), (2, "TimedOut"), (20.4, "RateLimited")
    ]  # fmt: skip
    assert (result.calls, result.asked, len(Vendor.asked)) == (1, 1, 4)


def test_a_vendor_that_is_down_is_left_in_peace(vendors: Vendors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "full_jitter", lambda value: 0)
    vendors.run(*[Overloaded] * 6)
    assert [time - Vendor.times[0] for time in Vendor.times] == [0, 0, 0, 0, 0, 5, 15]


def test_waits_grow_up_to_a_minute(vendors: Vendors) -> None:
    vendors.run(*[TimedOut] * 8, retry={"tries": 9, "seconds": 9999})
    assert [each["wait"] for each in vendors.calls[0]["attempts"]] == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(
    "retry, fails, tries, words",
    [
        ({"tries": 3}, [Overloaded] * 9, 3, r"tried 3 times, which is all that `retry\.tries` allows"),
        ({"tries": 1}, [TimedOut], 1, "tried once, which is all"),
        ({"seconds": 10}, [TimedOut] * 9, 4, "the next would be 15 s after the first failure"),
        ({}, [RateLimited("", 500.0)], 1, r"the next would be 500 s .* `retry\.seconds` is 300"),
        ({}, [Unreachable] * 9, 2, "nothing has ever answered there: is the address right"),
        ({"tries": 3}, [None, *[Unreachable] * 9], 4, "tried 3 times"),
        ({}, [RequestRejected], 1, "trouble"),
        ({}, [AuthenticationFailed], 1, "trouble"),
        ({}, [ContextTooLong], 1, "trouble"),
        ({}, [KeyError], 1, "KeyError: 'trouble'; an error that its plugin does not explain"),
    ],
)
def test_tries_have_an_end(
    vendors: Vendors, retry: dict[str, int], fails: list[Any], tries: int, words: str
) -> None:
    result = vendors.run(*fails, retry=retry, schedule={"use": "simultaneous", "rounds": 2})
    assert result.status == "failed"
    assert re.search(words, result.error), result.error
    assert len(Vendor.asked) == tries
    call = vendors.calls[-1]
    assert call["status"] == "open", "it is asked again when the run is resumed"
    assert call["error"] == getattr(fails[-1], "__name__", "RateLimited").replace("KeyError", "CallFailed")
    assert [each["wait"] is None for each in call["attempts"][-1:]] == [True] * bool(call["attempts"])
    assert vendors.replays(result)


def test_an_attempt_that_hangs_is_given_up_and_cancelled(vendors: Vendors) -> None:
    cancelled = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    result = vendors.run(hang, hang, timeout=0.05)
    assert result.status == "completed"
    assert [each["error"] for each in vendors.calls[0]["attempts"]] == ["TimedOut"] * 2
    assert "no answer within 0.05 s" in vendors.calls[0]["attempts"][0]["detail"]
    assert cancelled == [True, True]


def test_a_timeout_of_the_vendors_own_is_one_too(vendors: Vendors) -> None:
    vendors.run(TimeoutError)
    assert [each["error"] for each in vendors.calls[0]["attempts"]] == ["TimedOut"]


# -- fallbacks --

CHAIN = {
    "default": {"use": "vendor", "retry": {"tries": 2}, "fallback": ["second", "third"]},
    "second": {"use": "vendor", "name": "second", "retry": {"tries": 1}},
    "third": {"use": "vendor", "name": "third"},
}


def test_fallbacks_answer_in_their_order(vendors: Vendors) -> None:
    rounds = {"providers": CHAIN, "schedule": {"use": "simultaneous", "rounds": 2}}
    whole = vendors.run(**rounds)
    result = vendors.run(TimedOut, TimedOut, others={"second": [Overloaded], "third": [TimedOut]}, **rounds)
    assert (result.status, result.fingerprint) == ("completed", whole.fingerprint)
    assert Vendor.asked == ["first", "first", "second", "third", "third", "first"]
    fell, fine = vendors.calls
    assert (fell["target"], fell["provider"], fine["provider"]) == ("default", "third", "default")
    tried = [(each["provider"], each["wait"]) for each in fell["attempts"]]
    assert tried == [("default", 1), ("default", None), ("second", None), ("third", 1)]
    with Store.open(vendors.store) as opened:
        assert opened.run("last").served == {"default": "first-1", "third": "third-1"}
        assert opened.run("last").answered_by() == {("default", "third"): 1, ("default", "default"): 1}
    assert vendors.replays(result)


def test_the_last_fallback_that_fails_ends_it(vendors: Vendors) -> None:
    chain = {**CHAIN, "third": {**CHAIN["third"], "retry": {"tries": 1}}}
    result = vendors.run(
        *[TimedOut] * 2, others={"second": [Overloaded], "third": [TimedOut]}, providers=chain
    )
    assert result.status == "failed"
    assert "provider 'third': trouble (tried once" in result.error
    assert vendors.resume().status == "completed"


def test_what_cannot_pass_has_no_fallback(vendors: Vendors) -> None:
    result = vendors.run(RequestRejected, providers=CHAIN)
    assert (result.status, Vendor.asked) == ("failed", ["first"])


# -- stopping --


@pytest.mark.parametrize("waits", ["for another try", "for its turn"])
def test_a_stop_ends_waiting_at_once(vendors: Vendors, waits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    minute = {"requests_per_minute": 1, "agents": {"A": {}, "B": {}}} if waits == "for its turn" else {}
    whole = vendors.run(**minute)
    virtual = asyncio.events.new_event_loop
    monkeypatch.undo()  # on the real clock, where a wait that is not ended lasts a minute or more
    monkeypatch.setattr("pyscrai_core.runtime.run.DRAIN", 3600)
    watch = Watch("answered" if minute else "retrying")
    path = vendors.scenario(**minute)
    Vendor.plan, Vendor.asked = {"first": [] if minute else [RateLimited("", 250.0)]}, []

    async def main() -> RunResult:
        plan = api.prepare(path, settings=load_settings(start=vendors.folder), host=vendors.host)
        with Store.open(vendors.store) as store:
            begin = lambda run: setattr(watch, "run", run)  # noqa: E731
            session = Session(store, vendors.host, observers=[watch], begin=begin)
            begun = asyncio.ensure_future(execution.start(session, plan, "it"))
            done, _ = await asyncio.wait([begun], timeout=50)
            assert done, "it still waits"
            return await begun

    result = asyncio.run(main())
    assert (result.status, len(Vendor.asked)) == ("interrupted", 1)
    monkeypatch.setattr(asyncio.events, "new_event_loop", virtual)
    assert vendors.resume().fingerprint == whole.fingerprint
    assert len(Vendor.asked) == 1, "what was answered is not asked again"


# -- vectors and words --


def test_vectors_go_the_same_road(vendors: Vendors) -> None:
    async def embeds(turn: Turn) -> None:
        turn.emit("near", {"vectors": await turn.embed(["a", "abc"])})

    result = vendors.run(Overloaded, does=embeds, requests_per_minute=1)
    assert result.events[0].payload == {"vectors": [[1.0], [3.0]]}
    (call,) = vendors.calls
    assert (call["kind"], [each["error"] for each in call["attempts"]]) == ("embed", ["Overloaded"])
    first, again = Vendor.times
    assert again - first == 60, "it waits for its turn like all others"
    assert vendors.replays(result)


class Hears(Observer):
    def __init__(self) -> None:
        super().__init__(NoConfig())
        self.words: list[tuple[str, str]] = []

    def on_words(self, position: Position, text: str) -> None:
        self.words.append((position.agent, text))


async def thinks_twice(turn: Turn) -> None:
    await turn.think("first?")
    await thinks(turn)


def test_words_come_in_for_who_listens_and_change_nothing(vendors: Vendors) -> None:
    streams = {"use": "streams", "provider__streams": Streams}
    whole, hears = vendors.run(**streams), Hears()
    assert Vendor.sinks == [None], "nobody listened"
    result = vendors.run(Overloaded, observers=[hears], **streams)
    assert result.fingerprint == whole.fingerprint
    # The first answer tells whether the model closes thoughts that no tag opened; it comes as a whole.
    assert hears.words == [("A", "some words")]
    hears.words.clear()
    vendors.run(observers=[hears], does=thinks_twice, **streams)
    assert hears.words == [("A", "some words"), ("A", "some "), ("A", "words")]
    vendors.run(observers=[hears])
    assert Vendor.sinks[-1] is None, "the vendor has no streams"


# -- what a failure leaves --


class Refuses(Tool):
    name, description, called = "refuses", "always", 0

    async def call(self, arguments: dict[str, Any], turn: Any) -> Any:
        Refuses.called += 1
        raise LookupError("nothing there")


def test_a_failure_that_was_survived_is_not_asked_again(vendors: Vendors) -> None:
    async def survives(turn: Turn) -> None:
        for attempt in (turn.think("first?"), turn.call_tool("refuses", {})):
            try:
                await attempt
            except (RequestRejected, ToolFailed) as error:
                turn.say(str(error))
        await thinks(turn)

    Refuses.called = 0
    tools = {"provider__streams": Streams, "tool__refuses": Refuses, "agents": {"A": {"tools": ["refuses"]}}}
    failed = vendors.run(RequestRejected, TimedOut, does=survives, use="streams", retry={"tries": 1}, **tools)
    assert [call["status"] for call in vendors.calls] == ["failed", "failed", "open"]
    assert vendors.replays(failed)
    result = vendors.resume()
    assert (result.status, Vendor.asked, Refuses.called) == ("completed", ["first"], 1)
    assert [event.payload["text"] for event in result.events if event.kind == "say"] == [
        "provider 'default': trouble", "tool refuses: LookupError: nothing there", "A 0"
    ]  # fmt: skip
    assert vendors.replays(result)


@pytest.mark.parametrize("kinds", [(TimedOut, Overloaded), (RequestRejected, AuthenticationFailed)])
def test_what_failed_side_by_side_is_asked_again_together(vendors: Vendors, kinds: Any) -> None:
    async def gathers(turn: Turn) -> None:
        answers = await turn.gather(*[lambda part: part.think("?")] * 4)
        turn.say(" ".join(answer.text for answer in answers))

    failed = vendors.run("a", kinds[0], "c", kinds[1], does=gathers, retry={"tries": 1})
    assert (failed.status, len(Vendor.asked)) == ("failed", 4)
    result = vendors.resume("b", "d")
    assert (result.status, len(Vendor.asked)) == ("completed", 2)
    assert sorted(result.events[0].payload["text"].split()) == ["a", "b", "c", "d"]
    assert vendors.replays(result)


def test_an_answer_that_never_fits_can_be_asked_for_again(vendors: Vendors) -> None:
    async def numbers(turn: Turn) -> None:
        turn.emit("number", {"n": (await turn.think("?", schema={"type": "integer"})).parsed})

    failed = vendors.run(*["many"] * 9, does=numbers, use="streams", provider__streams=Streams)
    assert (failed.status, len(Vendor.asked)) == ("failed", 3)
    assert "the answer does not fit its schema, after 2 repairs: it is not JSON" in failed.error
    assert vendors.calls[-1]["error"] == AnswerRejected.__name__
    assert vendors.replays(failed)
    again = vendors.resume(*["more"] * 9)
    assert (again.status, len(Vendor.asked)) == ("failed", 3), "one more, and its repairs"
    assert vendors.replays(again)
    result = vendors.resume("most", "7")
    assert (result.status, len(Vendor.asked)) == ("completed", 2)
    assert result.events[0].payload == {"n": 7}
    assert vendors.replays(result)


def test_a_rule_that_grammars_ignore_is_left_to_another_draw(vendors: Vendors) -> None:
    schema = {
        "type": "array",
        "items": {"enum": ["a", "b"]},
        "minItems": 2,
        "maxItems": 2,
        "uniqueItems": True,
    }

    async def ranks(turn: Turn) -> None:
        turn.emit("number", {"n": (await turn.think("?", schema=schema)).parsed})

    made = {"does": ranks, "use": "streams", "provider__streams": Streams}
    drawn = vendors.run(*['["a", "a"]'] * 4, '["a", "b"]', **made)
    assert (drawn.status, drawn.events[0].payload) == ("completed", {"n": ["a", "b"]})
    assert len({call["seed"] for call in vendors.calls}) == 5, "each draw has its own seed"
    assert len({call["request"] for call in vendors.calls}) == 1, "and is the same request"
    assert vendors.replays(drawn)
    failed = vendors.run(*['["a", "a"]'] * 20, **made)
    assert (failed.status, len(Vendor.asked)) == ("failed", 13), "ten draws, then two repairs"
    assert "two items are equal" in failed.error
    assert "--set agents.NAME.on_error=skip" in failed.error


def test_a_resume_may_skip_what_fails_for_a_whole_population(vendors: Vendors) -> None:
    agents = {"A": {"count": 3, "persona": "?"}}
    failed = vendors.run(*[RequestRejected] * 3, agents=agents)
    assert failed.status == "failed"
    result = vendors.resume(*[RequestRejected] * 3, set={"agents.A.on_error": "skip"})
    assert result.status == "completed"
    assert {event.source for event in result.events if event.kind == "turn.failed"} == {"A-1", "A-2", "A-3"}
    assert vendors.replays(result)


# -- what a model refuses --


def test_a_refused_option_is_a_mistake_of_the_scenario(vendors: Vendors) -> None:
    providers = {
        "default": {"use": "vendor", "temperature": 0.5, "fallback": ["cold"]},
        "cold": {"use": "cold", "temperature": 0.7},
    }
    with pytest.raises(ScenarioError) as caught:
        vendors.run(providers=providers, provider__cold=Cold)
    direct, below = sorted(map(str, caught.value.mistakes), key=len)
    assert re.search(r"scenario\.json:13:\d+: providers\.cold\.temperature: this model takes none", direct)
    assert re.search(r"scenario\.json:6:\d+: .* its fallback 'cold' refuses it: this model takes none", below)
    assert Vendor.asked == []


def test_a_refused_option_of_a_request_is_not_sent(vendors: Vendors) -> None:
    class Warm(Reasoning):
        async def reason(self, request: Request, turn: Turn) -> Completion:
            return await turn.complete(request.but(sampling=Sampling(temperature=0.9)))

    more = {"provider__cold": Cold, "reasoning__warm": Warm, "agents": {"A": {"reasoning": "warm"}}}
    result = vendors.run(use="cold", **more)
    assert (result.status, Vendor.asked) == ("failed", [])
    assert "provider 'default': temperature: this model takes none" in result.error


def test_prices_are_loaded_before_the_first_request(play: Any) -> None:
    """Loading a list takes long: an answer that waited for it would be paid twice after a kill."""
    done: list[str] = []

    class Priced(Provider):
        async def complete(self, request: Request, sink: Sink | None = None) -> Completion:
            done.append("complete")
            return Completion("Hello.")

        def cost(self, usage: Usage, model: str = "") -> float | None:
            done.append("cost")
            return 0.5

    agents, schedule = {"A": {}}, {"use": "round-robin", "rounds": 1}
    made = {"providers": {"default": "priced"}, "agents": agents, "schedule": schedule}
    assert play(made, provider__priced=Priced).cost.dollars == 0.5
    assert done == ["cost", "complete", "cost"]
