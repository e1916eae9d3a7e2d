"""A run as a sample of an Inspect log, piece by piece, so that a long run needs little memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson

from pyscrai_core import Event, StoredRun
from pyscrai_records.secret import redact
from pyscrai_tabular.rows import scenario_of

from .convert import at, info_event, model_event, moment, tool_event, transcript, usage


def sample(run: StoredRun, last_messages: int) -> Iterator[bytes]:
    """The sample as JSON (`EvalSample` in inspect_ai.log).

    last_messages
        how many of the last messages of each request it has
    """
    for number, (key, value) in enumerate(_head(run).items()):
        yield (b"," if number else b"{") + orjson.dumps(key) + b":" + orjson.dumps(value)
    yield b',"messages":['
    yield from _listed(map(transcript, run.events()))
    yield b'],"events":['
    yield from _listed(_events(run, last_messages))
    yield b"]}"


def summary(run: StoredRun) -> dict[str, Any]:
    """What a list of samples shows of the run (`EvalSampleSummary`)."""
    head = _head(run)
    wanted = ("id", "epoch", "input", "target", "metadata", "scores", "model_usage", "uuid", "started_at",
              "completed_at", "total_time")  # fmt: skip
    error = {"error": head["error"]["message"]} if "error" in head else {}
    kept = {name: head[name] for name in wanted if name in head}
    return {**kept, **error, "completed": run.status == "completed"}


def scores(run: StoredRun) -> dict[str, Any]:
    """The outcomes of the run as scores; a missing value has none."""
    return {
        name: {"value": value, "metadata": {}} for name, value in run.outcomes.items() if _is_score(value)
    }


def _is_score(value: Any) -> bool:
    """Whether Inspect takes the value as a score: a plain one, or a list or object of plain ones."""
    parts = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else [value]
    return all(isinstance(part, (str, int, float)) for part in parts)


def model_usage(run: StoredRun) -> dict[str, Any]:
    """The tokens of a run's completions, under its model."""
    return {model_of(run): usage(run.usage(), run.cost().dollars)}


def model_of(run: StoredRun) -> str:
    """The model of a run's first provider, as Inspect names models: `openai/gpt-5-mini`."""
    providers = scenario_of(run).get("providers", {})
    for given in providers.values():
        if isinstance(given, str):
            return given
        return "/".join(str(given[key]) for key in ("use", "model") if given.get(key))
    return "none"


def _head(run: StoredRun) -> dict[str, Any]:
    scenario = scenario_of(run)
    ended = {} if run.ended is None else {
        "completed_at": moment(run.ended), "total_time": run.ended - run.created,
    }  # fmt: skip
    said = redact(run.error) or run.status
    failed = {} if run.status in ("completed", "running", "paused") else {
        "error": {"message": said, "traceback": said, "traceback_ansi": said}
    }  # fmt: skip
    world = scenario.get("world", {})
    return {
        "id": run.id,
        "epoch": 1,
        "uuid": run.id,
        "input": redact(str(world.get("premise") or scenario.get("description") or run.scenario)),
        "target": "",
        "metadata": {
            "seed": run.seed,
            "labels": run.labels,
            "status": run.status,
            "steps": run.steps,
            "fingerprint": run.fingerprint,
            "draws": run.manifest.get("draws", {}),
            "agents": list(scenario.get("agents", {})),
        },
        "scores": scores(run),
        "store": {},
        "output": {"model": model_of(run), "choices": [], "completion": ""},
        "model_usage": model_usage(run),
        "started_at": moment(run.created),
        **ended,
        **failed,
    }


def _events(run: StoredRun, last_messages: int) -> Iterator[dict[str, Any]]:
    """The calls and the events of each step, in a span of its own, and in it those of each agent in another.

    Inspect's viewer then shows the agents as such. Without their spans, it takes the calls of all but one for
    helpers', and hides them.
    """
    now = run.created
    for step, parts in groupby(_by_step(run), key=itemgetter(0)):
        made: dict[str, list[Mapping[str, Any]]] = {}
        events: list[Event] = []
        for _, part in parts:
            if isinstance(part, Event):
                events.append(part)
            else:
                made.setdefault(part["agent"], []).append(part)
        span = f"step-{step}"
        yield _begin(span, "step", f"step {step}", now)
        for number, (agent, own) in enumerate(_turns(made, events)):
            inner = span if agent.startswith("@") else f"{span}-{number}"
            if inner != span:
                yield _begin(inner, "agent", agent, now, span)
            for call in made.pop(agent, ()):
                now = max(now, call["started"] + call["seconds"])
                asked = run.messages(call["number"], last_messages) if last_messages else []
                yield {**model_event(call, asked), "span_id": inner}
            for event in own:
                shown = tool_event(event, now) if event.kind == "tool" else info_event(event, now)
                yield {**shown, "span_id": inner}
            if inner != span:
                yield _end(inner, now)
        yield _end(span, now)


def _by_step(run: StoredRun) -> Iterator[tuple[int, Any]]:
    """The completions and the events, each with its step; steps only grow."""
    calls = ((call["step"], call) for call in run.calls() if call["kind"] == "complete")
    events = ((event.step, event) for event in run.events())
    last = 0
    for step, part in merge(calls, events, key=itemgetter(0)):
        last = max(last, step)
        yield last, part


def _turns(
    made: Mapping[str, Sequence[Any]], events: Iterable[Event]
) -> Iterator[tuple[str, Sequence[Event]]]:
    """Who made something in a step, in order, each with its events; last of all who only made calls."""
    seen = set()
    if "@schedule" in made:  # it chose who acts
        seen.add("@schedule")
        yield "@schedule", ()
    for source, own in groupby(events, key=lambda event: event.source):
        seen.add(source)
        yield source, list(own)
    for agent in [agent for agent in made if agent not in seen]:
        yield agent, ()


def _begin(span: str, kind: str, name: str, when: float, parent: str | None = None) -> dict[str, Any]:
    begin = {**at(when), "event": "span_begin", "id": span, "type": kind, "name": name, "span_id": span}
    return {**begin, "parent_id": parent}


def _end(span: str, when: float) -> dict[str, Any]:
    return {**at(when), "event": "span_end", "id": span, "span_id": span}


def _listed(values: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """The values of a JSON list."""
    for number, value in enumerate(values):
        yield b"," * bool(number) + orjson.dumps(value)
