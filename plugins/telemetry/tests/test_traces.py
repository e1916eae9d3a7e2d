"""The spans that a collector gets, beside what the run's record says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pyscrai_core import Engine, Message, Request, Schedule, Tool, api
from pyscrai_records.store.store import Store
from pyscrai_telemetry import conventions as names
from pyscrai_telemetry.spans import trace_of

#: The kind of a span, as OTLP numbers it.
CLIENT = 3


class Adds(Tool):
    """A pure tool, which asks the model too."""

    name = "adds"
    external = False
    parameters = {"type": "object"}

    async def call(self, arguments: dict[str, Any], turn: Any) -> Any:
        await turn.complete(Request((Message.user("inside of a tool"),)))
        return arguments["a"] + 1


class Fetches(Tool):
    """An external tool."""

    name = "fetches"
    parameters = {"type": "object"}

    async def call(self, arguments: dict[str, Any], turn: Any) -> Any:
        await asyncio.sleep(0.01)
        return {"found": arguments["what"]}


class Works(Engine):
    """Uses tools, and thinks twice side by side."""

    async def run(self, turn: Any) -> None:
        await turn.call_tool("adds", {"a": turn.number})
        await turn.call_tool("fetches", {"what": f"sk-content-{turn.number}"})
        first, second = await turn.gather(*[lambda one: one.think("What now?")] * 2)
        turn.say(f"{first.text} {second.text}")


class Tries(Engine):
    async def run(self, turn: Any) -> None:
        turn.say((await turn.think("Tell me your secret.")).text)


PARTS = {"engine__works": Works, "engine__tries": Tries, "tool__adds": Adds, "tool__fetches": Fetches}
SCENARIO: dict[str, Any] = {
    "scenario": "working",
    "seed": 5,
    "providers": {
        "default": {
            "use": "scripted",
            "temperature": 0.5,
            "replies": ["an answer"],
            "latency": {"min": 0, "max": 0.02},
            "faults": [
                {"kind": "rate-limit", "at": [{"agent": "Retried", "turn": 0}], "retry_after": 0, "times": 2},
                {"kind": "reject", "at": [{"agent": "Skipped", "turn": 1}], "times": -1},
            ],
        }
    },
    "agents": {
        "Worker": {"engine": "works", "tools": ["adds", "fetches"], "count": 4},
        "Retried": {"engine": "tries"},
        "Skipped": {"engine": "tries", "on_error": "skip"},
    },
    "schedule": {"use": "simultaneous", "rounds": 3},
}


def recorded(store: Path, run: str) -> list[dict[str, Any]]:
    with Store.open(str(store), create=False) as opened:
        return list(opened.run(run).calls())


def check_tree(collector: Any, calls: list[dict[str, Any]], trace: bytes | None = None) -> None:
    """Each recorded completion has one span, and each is where its position says."""
    spans = {one.id: one for one in collector.spans if trace in (None, one.trace)}
    assert len(spans) == len([one for one in collector.spans if trace in (None, one.trace)])
    asked = [one for one in spans.values() if one.kind == CLIENT]
    by_place = {
        (one.attributes[names.AGENT], one.attributes[names.STEP], one.attributes[names.PATH]): one
        for one in asked
    }
    assert len(by_place) == len(asked)
    completions = [one for one in calls if one["kind"] == "complete"]
    assert set(by_place) == {(one["agent"], one["step"], one["path"]) for one in completions}
    for call in completions:
        span = by_place[call["agent"], call["step"], call["path"]]
        found = span.attributes
        assert span.failed == (call["status"] != "answered")
        assert found.get(names.ERROR_TYPE, "") == call["error"]
        assert found[names.INPUT_TOKENS] == call["input_tokens"]
        assert found[names.OUTPUT_TOKENS] == call["output_tokens"]
        assert found[names.PROVIDER] == "scripted"
        assert span.name == "chat"
        assert abs(span.ended / 1e9 - call["started"] - call["seconds"]) < 2e-6
        retried = [one for one in call["attempts"] if one["wait"] is not None]
        told = [one for name, one in span.events if name == "retry"]
        assert [one[names.ERROR_TYPE] for one in told] == [one["error"] for one in retried]
    for span in spans.values():
        if span.parent:
            parent = spans[span.parent]
            assert parent.began <= span.began <= span.ended <= parent.ended, (span.name, parent.name)
            check_parent(span, parent)
        else:
            assert span.name == "invoke_workflow working"


def check_parent(span: Any, parent: Any) -> None:
    own, its = span.attributes, parent.attributes
    operation = own.get(names.OPERATION, span.name)
    if operation in ("chat", "execute_tool"):
        path = own[names.PATH].partition("#")[0]
        # The innermost use of a tool around it, else the turn.
        around = path.rpartition("/")[0] if operation == "execute_tool" else path
        tools = [part for part in around.split("/") if part.startswith("tool.")]
        assert parent.name.split(" ")[0] == ("execute_tool" if tools else "invoke_agent")
        assert around == its[names.PATH] or around.startswith(f"{its[names.PATH]}/")
        assert (own[names.AGENT], own[names.STEP]) == (its[names.AGENT], its[names.STEP])
    elif operation == "invoke_agent":
        assert parent.name == "step"
        assert own[names.STEP] == its[names.STEP]
    else:
        assert (operation, parent.name) == ("step", "invoke_workflow working")


def test_the_tree_is_what_the_record_says(play: Any, telemetry: Any, collector: Any, tmp_path: Path) -> None:
    observer = telemetry()
    result = play(SCENARIO, **PARTS, observers=[observer], labels={"arm": "plain"})
    assert result.status == "completed", result.error
    assert observer.flush()
    calls = recorded(tmp_path / "runs.db", result.run)
    check_tree(collector, calls)
    # 4 workers: two tools each in 3 rounds; six turns a round; three steps.
    assert len(collector.named("execute_tool")) == 24
    assert len(collector.named("invoke_agent")) == 18
    assert sorted(one.attributes[names.STEP] for one in collector.named("step")) == [1, 2, 3]
    external = [one for one in calls if one["kind"] == "tool"]
    assert len(external) == 12
    (skipped,) = [one for one in collector.named("invoke_agent") if one.failed]
    assert skipped.attributes[names.SKIPPED] is True
    assert (skipped.attributes[names.AGENT], skipped.attributes[names.STEP]) == ("Skipped", 2)
    assert skipped.attributes[names.ERROR_TYPE] == "RequestRejected"
    retried = [one for one in collector.spans if one.events]
    assert [len(one.events) for one in retried] == [2]
    (root,) = collector.named("invoke_workflow")
    assert (int.from_bytes(root.trace), int.from_bytes(root.id)) == trace_of(result.run)
    found = root.attributes
    assert (found[names.RUN], found[names.SEED], found[names.STATUS]) == (result.run, 5, "completed")
    assert (found["pyscrai.label.arm"], found[names.CALLS], found[names.RESUMED]) == (
        "plain",
        result.calls,
        False,
    )
    assert found[names.FINGERPRINT] == result.fingerprint
    chat = collector.named("chat")[0].attributes
    assert (chat[names.REQUEST_TEMPERATURE], chat[names.FINISH_REASONS], chat[names.RESPONSE_MODEL]) == (
        0.5, ["stop"], "scripted",
    )  # fmt: skip
    assert collector.resource["service.name"] == "pyscrai"
    assert collector.scope.schema_url.endswith(f"/gen-ai/{names.VERSION}")


def test_no_content_is_sent_unless_it_is_wanted(
    play: Any, telemetry: Any, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = {
        **SCENARIO,
        "agents": {"Worker": SCENARIO["agents"]["Worker"], "Retried": {"engine": "tries"}},
    }
    observer = telemetry()
    play(scenario, **PARTS, observers=[observer])
    assert observer.flush()
    sent = repr(collector.spans)
    for said in ("an answer", "sk-content", "inside of a tool", "What now?", "secret"):
        assert said not in sent
    # With content, but without keys: this one is known from the environment.
    monkeypatch.setenv("SOME_API_KEY", "sk-content-1")
    collector.spans.clear()
    observer = telemetry(content=True)
    play(scenario, **PARTS, observers=[observer])
    assert observer.flush()
    tools = [one.attributes for one in collector.spans if one.name == "execute_tool fetches"]
    arguments = {one[names.TOOL_ARGUMENTS] for one in tools}
    assert arguments == {'{"what":"sk-content-0"}', '{"what":"[SOME_API_KEY]"}', '{"what":"sk-content-2"}'}
    assert json.loads(tools[0][names.TOOL_RESULT])["found"]
    chats = [one.attributes for one in collector.named("chat")]
    asked = [json.loads(one[names.INPUT_MESSAGES]) for one in chats]
    assert {"role": "user", "parts": [{"type": "text", "content": "What now?"}]} in [one[-1] for one in asked]
    answer = {
        "role": "assistant",
        "parts": [{"type": "text", "content": "an answer"}],
        "finish_reason": "stop",
    }
    assert all(json.loads(one[names.OUTPUT_MESSAGES]) == [answer] for one in chats)


def test_a_resume_sends_what_is_new_in_a_trace_of_its_own(
    play: Any, host_with: Any, telemetry: Any, collector: Any, tmp_path: Path
) -> None:
    store = tmp_path / "runs.db"
    scenario = {**SCENARIO, "limits": {"calls": 30}}
    observer = telemetry()
    result = play(scenario, **PARTS, observers=[observer])
    assert result.status == "stopped"
    assert observer.flush()
    before = recorded(store, result.run)
    first = collector.named("invoke_workflow")[0]
    assert first.attributes[names.STATUS] == "stopped"
    host = host_with(**PARTS)
    collector.spans, early = [], collector.spans
    resumed = api.resume(result.run, store=store, set={"limits.calls": 1000}, host=host, observers=[observer])
    assert resumed.status == "completed", resumed.error
    assert observer.flush()
    after = recorded(store, result.run)
    new = [one for one in after if one["number"] > len(before)]
    assert 0 < len(new) == resumed.asked
    check_tree(collector, new)
    (root,) = collector.named("invoke_workflow")
    assert root.trace != first.trace
    assert root.links == [(first.trace, first.id)]
    assert root.attributes[names.RESUMED] is True
    assert root.attributes[names.RECORDED] == len([one for one in before if one["status"] == "answered"])
    # Each call is in one of the two traces, and no more.
    both = [one for one in [*early, *collector.spans] if not one.attributes.get(names.ERROR_TYPE)]
    places = [
        (one.attributes[names.AGENT], one.attributes[names.STEP], one.attributes[names.PATH])
        for one in both
        if one.kind == CLIENT
    ]
    wanted = [
        (one["agent"], one["step"], one["path"])
        for one in after
        if one["kind"] == "complete" and one["status"] == "answered"
    ]
    assert sorted(places) == sorted(wanted)
    tools = [one for one in both if one.name == "execute_tool fetches"]
    assert len(tools) == len([one for one in after if one["kind"] == "tool"])


def test_a_replay_sends_nothing(
    play: Any, host_with: Any, telemetry: Any, collector: Any, tmp_path: Path
) -> None:
    result = play(SCENARIO, **PARTS)
    observer = telemetry()
    api.replay(result.run, store=tmp_path / "runs.db", host=host_with(**PARTS), observers=[observer])
    assert observer.flush()
    assert collector.spans == []
    assert collector.metrics == {}


def test_two_runs_at_the_same_time_have_a_trace_each(
    play: Any, host_with: Any, telemetry: Any, collector: Any, tmp_path: Path
) -> None:
    play(SCENARIO, **PARTS)  # writes the file
    observer, host = telemetry(), host_with(**PARTS)

    async def both() -> list[Any]:
        return await asyncio.gather(
            *[
                api.arun(
                    tmp_path / "scenario.json",
                    seed=n,
                    store=tmp_path / f"{n}.db",
                    host=host,
                    observers=[observer],
                )
                for n in (1, 2)
            ]
        )

    results = asyncio.run(both())
    assert observer.flush()
    for number, result in enumerate(results, 1):
        trace = trace_of(result.run)[0].to_bytes(16)
        check_tree(collector, recorded(tmp_path / f"{number}.db", result.run), trace)


def test_the_schedules_calls_are_in_their_step(play: Any, telemetry: Any, collector: Any) -> None:
    class Asks(Schedule):
        async def next(self, stage: Any) -> Any:
            if stage.step > 2:
                return []
            await stage.complete(Request((Message.user("Who?"),)))
            return ["A"]

    scenario = {
        "providers": {"default": {"use": "scripted", "replies": ["x"]}},
        "agents": {"A": {"engine": "tries"}},
        "schedule": "asks",
    }
    observer = telemetry()
    result = play(scenario, engine__tries=Tries, schedule__asks=Asks, observers=[observer])
    assert result.status == "completed", result.error
    assert observer.flush()
    steps = {one.id: one for one in collector.named("step")}
    asked = [one for one in collector.named("chat") if names.AGENT not in one.attributes]
    assert [steps[one.parent].attributes[names.STEP] for one in asked] == [1, 2]
    assert all(one.kind == CLIENT for one in asked)
