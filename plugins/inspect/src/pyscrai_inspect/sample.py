"""A run as a sample of an Inspect log, piece by piece, so that a long run needs little memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from pyscrai_tabular.rows import scenario_of

from pyscrai_core import Event, StoredRun
from pyscrai_core.secret import redact

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
    """The calls and the events of each step, in a span of its own; a step's calls come first."""
    calls = (call for call in run.calls() if call["kind"] == "complete")
    waiting = next(calls, None)
    now, step = run.created, -1
    for event in _and_then(run.events()):
        until = None if event is None else event.step
        while waiting is not None and (until is None or waiting["step"] <= until):
            if waiting["step"] > step:
                yield from _span(step, waiting["step"], now)
                step = waiting["step"]
            now = max(now, waiting["started"] + waiting["seconds"])
            asked = run.messages(waiting["number"], last_messages) if last_messages else []
            yield model_event(waiting, asked)
            waiting = next(calls, None)
        if event is not None:
            if event.step > step:
                yield from _span(step, event.step, now)
                step = event.step
            yield tool_event(event, now) if event.kind == "tool" else info_event(event, now)
    yield from _span(step, None, now)


def _and_then(events: Iterator[Event]) -> Iterator[Event | None]:
    """The events, and None at the end."""
    yield from events
    yield None


def _span(before: int, after: int | None, when: float) -> Iterator[dict[str, Any]]:
    """The end of the span of one step, and the beginning of the next one's."""
    if before >= 0:
        yield {**at(when), "event": "span_end", "id": f"step-{before}"}
    if after is not None:
        span = f"step-{after}"
        yield {**at(when), "event": "span_begin", "id": span, "type": "step", "name": f"step {after}"}


def _listed(values: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """The values of a JSON list."""
    for number, value in enumerate(values):
        yield b"," * bool(number) + orjson.dumps(value)
