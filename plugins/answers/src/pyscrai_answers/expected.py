"""Expected values: what a value is on average over the kernel's draws, instead of for what was drawn.

A draw belongs to an event if its agent drafted the event in the same step, and the event has what was drawn:
as its kind (the choice of an action) or under the field's name in its payload. For each draw, the expression
is evaluated with every option in the event's place, all else as it is. The value is

    f(as drawn) + sum over draws of (sum over options of P(option) * f(with the option) - f(as drawn))

which is the mean exactly for sums, counts and means over events, and for a value of one event. It keeps the
effects of draws on the state and on later answers as they were: no rule is applied again, nobody is asked. So
nobody knows which arguments another action would have had: where the value depends on them, the choice of the
action stays as it was drawn.

Where several draws of one event matter and their effects do not add up, as in `tram and way == 'bus'`, only
the last of them is varied: its probabilities are those behind the others as they were drawn. On average over
runs this is the mean, too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, Protocol, TypeAlias

from attrs import evolve

from pyscrai_records.errors import ContractError
from pyscrai_records.records import EVERYONE, Event

#: The draws in the answers of an agent in a step, as `draws` records them.
Drawn: TypeAlias = Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]
#: What may stand in an event's place (None: nothing), and how probable that is.
Place: TypeAlias = list[tuple[float, Event | None]]
#: So many combinations of an event's draws are tried, to see whether their effects add up.
MOST_TOGETHER = 256
#: What rounding may make of a sum, as a difference of values.
TOLERANCE = 1e-9
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
    may_read: Callable[[str], bool],
    begun: bool = True,
) -> float | None:
    """The expected value of an expression, which `evaluate` computes with some names replaced.

    `may_read` tells whether it may depend on a field of a payload. `row` is the event of a table's row, which
    alone varies then. Raises `ContractError` if the value is no number, or if no draw has to do with it.
    Before the first draw (not `begun`), it is as it is.
    """

    def value_with(seq: int, other: Event | None) -> float | None:
        given = {"events": _with(events, seq, other)} if row is None else {"event": other}
        return _number(evaluate(given), where)

    base = _number(evaluate({}), where)
    places: list[tuple[int, Place]] = []
    for event in events if row is None else [row]:
        value_of = partial(value_with, event.seq)
        varied = [*_places(event, drawn, agents, where)]
        apart = [place for name, place in varied if not (name and may_read(name))]
        together = [place for name, place in varied if name and may_read(name)]
        if len(together) > 1 and not _add_up(event, together, value_of):
            del together[:-1]
        places += [(event.seq, place) for place in (*apart, *together)]
    if row is None:
        places += [(len(events) + 1, place) for place in _absent(events, drawn, agents)]
    else:
        places = [(seq, [one for one in place if one[1] is not None]) for seq, place in places]
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
            try:
                values.append((share, value_with(seq, one)))
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


def _add_up(event: Event, places: Sequence[Place], value_of: Callable[[Event | None], float | None]) -> bool:
    """Whether the effects of an event's draws on a value add up, whatever is drawn."""
    if math.prod(map(len, places)) > MOST_TOGETHER:
        return False
    own = dict(event.payload)
    changes = [[_changes(own, one) for _, one in place] for place in places]
    try:
        base = value_of(event)
        alone = [[value_of(one) for _, one in place] for place in places]
        for chosen in product(*map(range, map(len, places))):
            payload = own | {key: value for n, k in enumerate(chosen) for key, value in changes[n][k].items()}
            effects = [alone[n][k] for n, k in enumerate(chosen)]
            value = value_of(evolve(event, payload=payload))
            if base is None or value is None or None in effects:
                return False
            if abs(value - base - math.fsum(one - base for one in effects if one is not None)) > TOLERANCE:
                return False
    except ContractError:  # it has no value for some of them; for the one that is varied, this is told
        return False
    return True


def _changes(own: Mapping[str, Any], other: Event | None) -> dict[str, Any]:
    """What of a payload is another."""
    there = {} if other is None else other.payload
    return {key: value for key, value in there.items() if key not in own or own[key] is not value}


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


def _places(
    event: Event, drawn: Drawn, agents: Mapping[str, Acting], where: str
) -> Iterator[tuple[str, Place]]:
    """What might stand in an event's place, for each of the draws that belong to it.

    Each has the name of its field in the payload; the choice of the action has none.
    """
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
            name, place = "", [(share, _of_kind(event, label, agents)) for label, share in chances]
        else:
            continue
        if field in seen:
            raise ContractError(
                f"{where}.expected: several answers of {event.source} in step {event.step} have the field "
                f"{field!r}, expected one; use a reasoning that asks once, or leave `expected` out"
            )
        seen.add(field)
        yield name, place


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
