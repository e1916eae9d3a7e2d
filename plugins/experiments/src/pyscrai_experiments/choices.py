"""What agents chose: the actions that they took, and the parameters of these, by arm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from attrs import define, field, frozen

from pyscrai_records.base.suggest import did_you_mean, list_some
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store

#: The name of the choice among an agent's actions.
ACTION = "action"
#: Runs, and kinds of events, that one query asks for.
PART = 200
#: The most values of an integer that are a scale.
SCALE = 100
TAKEN = """SELECT "run", "source", "kind", "payload" FROM "events"
    WHERE "run" IN ({runs}) AND "kind" IN ({kinds}) ORDER BY "run", "seq" """


@frozen
class Question:
    """Something that agents chose: a parameter of an action, such as `offer.price`, or the `action` itself.

    `options` are the values that were offered, in this order; none: it is a number. `scale` has the numbers
    that were possible, if they were few.
    """

    name: str
    options: tuple[Any, ...] = ()
    scale: tuple[int, ...] = ()


@frozen
class Choice:
    """One answer to a question. `run` is the replicate's number."""

    run: int
    agent: str
    value: Any


@define
class Choices:
    """The choices of all arms. `answers[question][arm]` are in the order of replicates and events.

    `items` has, for an action whose parameters are answered on the same scale, their names; `sheets[action]
    [arm]` the answers to all of them together.
    """

    questions: dict[str, Question] = field(factory=dict)
    answers: dict[str, dict[str, list[Choice]]] = field(factory=dict)
    items: dict[str, tuple[str, ...]] = field(factory=dict)
    sheets: dict[str, dict[str, list[tuple[int, list[Any]]]]] = field(factory=dict)


def no_such(name: str, known: Sequence[str]) -> str:
    """The message for a name that is neither an outcome nor a question."""
    what = f"there is no outcome and no parameter of an action {name!r}{did_you_mean(name, known)}"
    return f"{what}; there are: {list_some(known) or 'none'}"


def choices_of(store: Store, arms: Mapping[str, Sequence[tuple[int, RecordedRun]]]) -> Choices:
    """What agents chose in the runs of each arm, given with the numbers of their replicates."""
    # Runs of an arm have the same actions: the seed draws persons, not what they can do.
    found, offered = questions_of(run.manifest for runs in arms.values() for _, run in runs[:1])
    for arm, runs in arms.items():
        _add_answers(found, store, arm, runs, offered)
    return found


def questions_of(manifests: Iterable[Mapping[str, Any]]) -> tuple[Choices, dict[str, dict[str, Any]]]:
    """What agents of these runs could choose, without answers; and by action, the schemas of parameters."""
    found = Choices()
    several = 0
    offered: dict[str, dict[str, Any]] = {}
    for manifest in manifests:
        for agent in manifest["scenario"]["agents"].values():
            actions = {name: given or {} for name, given in (agent.get("actions") or {}).items()}
            several = max(several, len(actions))
            for name, given in actions.items():
                offered.setdefault(name, {}).update(_parameters(given))
    for name, parameters in offered.items():
        _add_questions(found, name, parameters)
    if several > 1:
        found.questions[ACTION] = Question(ACTION, tuple(offered))
    return found, offered


def _parameters(given: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The parameters of an action with their schemas; those within objects have dotted names."""
    for name, schema in given.items():
        if not isinstance(schema, Mapping):
            continue  # the action's own keys, such as `when`
        inner = schema.get("properties")
        if isinstance(inner, Mapping):
            yield from _parameters(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", schema


def _add_questions(found: Choices, action: str, parameters: Mapping[str, Any]) -> None:
    scales: dict[str, list[str]] = {}
    for name, schema in parameters.items():
        options = _options(schema)
        if options is None:
            continue
        bounds = [schema.get(key) for key in ("type", "minimum", "maximum")]
        scale = _scale(*bounds) if not options else ()
        found.questions[f"{action}.{name}"] = Question(f"{action}.{name}", options, scale)
        if options or None not in bounds:
            scales.setdefault(orjson.dumps([options, bounds]).decode(), []).append(name)
    for several in scales.values():
        # A scale that only two share could be by chance the same answer often.
        if len(several) > 2 and action not in found.items:
            found.items[action] = tuple(several)


def _options(schema: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The values that a schema offers; none for numbers, None for what is no choice."""
    if isinstance(schema.get("enum"), list):
        plain = all(isinstance(one, str | int | float) for one in schema["enum"])
        return tuple(schema["enum"]) if plain and len(schema["enum"]) > 1 else None
    kind = schema.get("type")
    if kind == "boolean":
        return (True, False)
    return () if kind in ("integer", "number") else None


def _scale(kind: Any, low: Any, high: Any) -> tuple[int, ...]:
    whole = kind == "integer" and isinstance(low, int) and isinstance(high, int)
    return tuple(range(low, high + 1)) if whole and high - low < SCALE else ()


def _add_answers(
    found: Choices,
    store: Store,
    arm: str,
    runs: Sequence[tuple[int, RecordedRun]],
    offered: Mapping[str, Any],
) -> None:
    number = {run.id: replicate for replicate, run in runs}
    rows: dict[int, list[tuple[str, str, Any]]] = {replicate: [] for replicate, _ in runs}
    for run, source, kind, payload in _taken(store, list(number), list(offered)):
        rows[number[run]].append((source, kind, payload))
    for replicate, events in rows.items():
        for agent, action, payload in events:
            if ACTION in found.questions:
                _answers(found, ACTION, arm).append(Choice(replicate, agent, action))
            values = orjson.loads(payload)
            for name in offered[action]:
                question = f"{action}.{name}"
                value = _value_at(values, name)
                if question in found.questions and value is not None:
                    _answers(found, question, arm).append(Choice(replicate, agent, value))
            items = [_value_at(values, name) for name in found.items.get(action, ())]
            if items and None not in items:
                found.sheets.setdefault(action, {}).setdefault(arm, []).append((replicate, items))


def _answers(found: Choices, question: str, arm: str) -> list[Choice]:
    return found.answers.setdefault(question, {}).setdefault(arm, [])


def _taken(store: Store, runs: Sequence[str], kinds: Sequence[str]) -> Iterable[tuple[str, str, str, str]]:
    for start in range(0, len(runs) if kinds else 0, PART):
        part = runs[start : start + PART]
        marks = {"runs": ",".join("?" * len(part)), "kinds": ",".join("?" * len(kinds))}
        yield from store.connection.execute(TAKEN.format(**marks), [*part, *kinds])


def _value_at(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return values


def as_category(value: Any) -> Any:
    """A value as a category: booleans are words, as true and 1 are the same number."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value
