"""Expected values: what a value is on average over the kernel's draws, instead of for what was drawn.

A draw belongs to an event if its agent drafted the event in the same step, and the event has what was drawn:
as its kind (the choice of an action) or under the field's name in its payload. For each draw, the expression
is evaluated with every option in the event's place, all else as it is. The value is

    f(as drawn) + sum over draws of (sum over options of P(option) * f(with the option) - f(as drawn))

which is the mean exactly for sums, counts and means over events, and for a value of one event, as far as one
draw of an event matters, or the effects of several add up. It keeps the effects of draws on the state and on
later answers as they were: no rule is applied again, nobody is asked. So nobody knows which arguments another
action would have had: where the value depends on them, the choice of the action stays as it was drawn.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from attrs import evolve

from pyscrai_records.errors import ContractError
from pyscrai_records.records import EVERYONE, Event

#: The draws in the answers of an agent in a step, as `draws` records them.
Drawn: TypeAlias = Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]
#: What may stand in an event's place (None: nothing), and how probable that is.
Place: TypeAlias = list[tuple[float, Event | None]]
Evaluate: TypeAlias = Callable[[Mapping[str, Any]], Any]


class _Action(Protocol):
    @property
    def schema(self) -> Mapping[str, Any]: ...


class Acting(Protocol):
    """An agent, as far as expected values are concerned: its actions by their names."""

    @property
    def actions(self) -> Mapping[str, _Action]: ...


class _Unknown(Mapping[str, Any]):
    """The arguments of an action that was not chosen; `read` tells whether a value depends on them."""

    def __init__(self) -> None:
        self.read = False

    def __getitem__(self, key: str) -> Any:
        self.read = True
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        self.read = True
        return iter(())

    def __len__(self) -> int:
        self.read = True
        return 0


def expected_value(
    evaluate: Evaluate,
    events: Sequence[Event],
    drawn: Drawn,
    row: Event | None,
    agents: Mapping[str, Acting],
    where: str,
    *,
    begun: bool = True,
) -> float | None:
    """The expected value of an expression, which `evaluate` computes with some names replaced.

    `row` is the event of a table's row, which alone varies then. Raises `ContractError` if the value is no
    number, or if no draw has to do with it. Before the first draw (not `begun`), it is as it is.
    """
    base = _number(evaluate({}), where)
    places: list[tuple[int, Place]]
    if row is not None:
        there = [[one for one in place if one[1] is not None] for place in _places(row, drawn, agents, where)]
        places = [(row.seq, place) for place in there]
    else:
        places = [(event.seq, place) for event in events for place in _places(event, drawn, agents, where)]
        places += [(len(events) + 1, place) for place in _absent(events, drawn, agents)]
    if not places and begun:
        raise ContractError(
            f"{where}.expected: no event that it could use has a value that the kernel drew, expected a "
            "closed choice (enum, boolean, a small range, an action) of a provider that tells the "
            "probabilities of options; leave `expected` out"
        )
    if base is None:
        return None
    total = base
    for seq, place in places:
        values, failed = [], None
        for share, one in place:
            given = {"events": _with(events, seq, one)} if row is None else {"event": one}
            try:
                values.append((share, _number(evaluate(given), where)))
            except ContractError as error:
                failed = failed or error
        if any(_was_read(one) for _, one in place):
            continue
        if failed is not None:
            raise failed
        # A row that would not be there has no value: the others count as much as they did.
        whole = math.fsum(share for share, _ in place)
        total += math.fsum(share / whole * (value - base) for share, value in values if value is not None)
    return total


def _was_read(event: Event | None) -> bool:
    """Whether a value depends on arguments of an event that nobody knows."""
    return event is not None and isinstance(event.payload, _Unknown) and event.payload.read


def _with(events: Sequence[Event], seq: int, other: Event | None) -> list[Event]:
    return [*events[: seq - 1], *([] if other is None else [other]), *events[seq:]]


def _number(value: Any, where: str) -> float | None:
    if value is not None and type(value) not in (bool, int, float):
        raise ContractError(
            f"{where}.expected: its value is {json.dumps(value)[:60]}, expected a number, true or false; for "
            "the probability of one option, compare with it: value == 'yes'"
        )
    return None if value is None else float(value)


def _places(event: Event, drawn: Drawn, agents: Mapping[str, Acting], where: str) -> Iterator[Place]:
    """What might stand in an event's place, for each of the draws that belong to it."""
    seen: set[str] = set()
    for draw in drawn.get((event.source, event.step), ()):
        field, name = draw["field"], draw["field"].rpartition(".")[2]
        chances = _chances(draw)
        if name in event.payload and _label(event.payload[name]) == draw["value"]:
            place: Place = [
                (share, evolve(event, payload={**event.payload, name: _value(label, event.payload[name])}))
                for label, share in chances
            ]
        elif draw["value"] == event.kind:
            place = [(share, _of_kind(event, label, agents)) for label, share in chances]
        else:
            continue
        if field in seen:
            raise ContractError(
                f"{where}.expected: several answers of {event.source} in step {event.step} have the field "
                f"{field!r}, expected one; use a reasoning that asks once, or leave `expected` out"
            )
        seen.add(field)
        yield place


def _absent(events: Sequence[Event], drawn: Drawn, agents: Mapping[str, Acting]) -> Iterator[Place]:
    """What might have been done where an agent chose to do nothing."""
    for (agent, step), draws in drawn.items():
        for draw in draws:
            chances = _chances(draw)
            known = {"null", *(agents[agent].actions if agent in agents else ())}
            if draw["value"] == "null" and all(label in known for label, _ in chances):
                event = Event(len(events) + 1, step, "", agent, (EVERYONE,), {})
                yield [(share, _of_kind(event, label, agents)) for label, share in chances]


def _chances(draw: Mapping[str, Any]) -> list[tuple[str, float]]:
    return list((draw.get("drawn_from") or draw["probabilities"]).items())


def _of_kind(event: Event, label: str, agents: Mapping[str, Acting]) -> Event | None:
    """The event, if this action had been chosen; None for none."""
    actions = agents[event.source].actions if event.source in agents else {}
    action = actions.get(label)
    if label == "null":
        return None
    if action is not None and action.schema.get("properties"):
        return evolve(event, kind=label, payload=_Unknown())
    return event if label == event.kind else evolve(event, kind=label, payload={})


def _label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _value(label: str, like: Any) -> Any:
    """The value of a label, which is JSON unless texts are drawn."""
    return label if isinstance(like, str) else json.loads(label)
