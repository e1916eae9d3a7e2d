"""Tables with their rows: what exporters write, and data frames are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import frozen

from pyscrai_core import Event, StoredRun

from .rows import (
    Row,
    agent_rows,
    call_rows,
    event_row,
    measure_rows,
    outcome_rows,
    run_rows,
    scenario_of,
)
from .schema import (
    AGENTS,
    CALLS,
    DECLARED,
    DICTIONARY,
    EVENTS,
    MEASURES,
    OUTCOMES,
    RUNS,
    Column,
    Table,
    Type,
)

#: So many columns the events' payloads get at most, unless an option says otherwise.
PAYLOAD_COLUMNS = 200

_ROWS: tuple[tuple[Table, Callable[[StoredRun], Iterator[Row]]], ...] = (
    (RUNS, run_rows),
    (AGENTS, agent_rows),
    (CALLS, call_rows),
    (MEASURES, measure_rows),
    (OUTCOMES, outcome_rows),
)


@frozen
class Filled:
    """A table with its rows, which can be iterated over more than once."""

    table: Table
    rows: Callable[[], Iterator[Row]]


def fill(runs: Sequence[StoredRun], payload_columns: int = PAYLOAD_COLUMNS) -> list[Filled]:
    """All tables of the runs: those of `BASE`, those that the scenarios declare, and the dictionary.

    payload_columns
        how many columns the events' payloads get at most; 0: none
    """
    plain = {table.name: Filled(table, partial(_each, runs, rows)) for table, rows in _ROWS}
    found = [
        plain["runs"], plain["agents"], fill_events(runs, payload_columns),
        plain["calls"], plain["measures"], plain["outcomes"], *_declared(runs),
    ]  # fmt: skip
    tables = [one.table for one in found]
    return [*found, Filled(DICTIONARY, partial(iter, dictionary([*tables, DICTIONARY])))]


def fill_one(runs: Sequence[StoredRun], name: str, payload_columns: int = PAYLOAD_COLUMNS) -> Filled:
    """One of the tables of the runs. Raises `ValueError` with the names that there are."""
    if name == EVENTS.name:
        return fill_events(runs, payload_columns)
    for table, rows in _ROWS:
        if table.name == name:
            return Filled(table, partial(_each, runs, rows))
    declared = _declared(runs)
    for one in declared:
        if one.table.name in (name, f"{DECLARED.name}{name}"):
            return one
    known = [RUNS.name, AGENTS.name, EVENTS.name, *(table.name for table, _ in _ROWS[2:])]
    known += [one.table.name for one in declared]
    raise ValueError(f"table {name!r}: there is no such table; expected one of {', '.join(known)}")


def dictionary(tables: Iterable[Table]) -> list[Row]:
    """The rows of the data dictionary: each column of each table, with its type, unit and meaning."""
    return [
        (table.name, column.name, column.type, column.unit, column.meaning)
        for table in tables
        for column in table.columns
    ]


def _each(runs: Sequence[StoredRun], rows: Callable[[StoredRun], Iterator[Row]]) -> Iterator[Row]:
    for run in runs:
        yield from rows(run)


# -- events --


def fill_events(runs: Sequence[StoredRun], payload_columns: int = PAYLOAD_COLUMNS) -> Filled:
    """The table of events, with columns for the payloads of each kind. It reads the logs once for those."""
    events = partial(_events, runs)
    columns = _payload_columns((event for _, event in events()), payload_columns, partial(_meanings, runs))
    return _events_with(columns, events)


def fill_log(run: str, log: Sequence[Event], payload_columns: int = PAYLOAD_COLUMNS) -> Filled:
    """The same of a log in memory."""
    columns = _payload_columns(log, payload_columns, dict)
    return _events_with(columns, lambda: ((run, event) for event in log))


def _events(runs: Sequence[StoredRun]) -> Iterator[tuple[str, Event]]:
    for run in runs:
        for event in run.events():
            yield run.id, event


def _events_with(
    columns: Mapping[tuple[str, str], Column], events: Callable[[], Iterator[tuple[str, Event]]]
) -> Filled:
    table = EVENTS.with_columns(list(columns.values()))
    places: dict[str, list[tuple[str, int]]] = {}
    for place, (kind, key) in enumerate(columns):
        places.setdefault(kind, []).append((key, place))
    nothing = (None,) * len(columns)

    def rows() -> Iterator[Row]:
        for run, event in events():
            own = places.get(event.kind)
            if own is None:
                yield event_row(run, event) + nothing
                continue
            more: list[Any] = list(nothing)
            for key, place in own:
                value = event.payload.get(key)
                more[place] = None if key == "text" and isinstance(value, str) else value
            yield (*event_row(run, event), *more)

    return Filled(table, rows)


def _payload_columns(
    events: Iterable[Event], most: int, meanings: Callable[[], Mapping[tuple[str, str], str]]
) -> dict[tuple[str, str], Column]:
    """The columns of the payloads by kind and key: kinds as they first appear, their keys sorted.

    A `text` is in the column of that name.
    """
    if most <= 0:
        return {}
    found: dict[str, dict[str, set[Type]]] = {}
    count = 0
    for event in events:
        keys = found.get(event.kind)
        if keys is None:
            keys = found[event.kind] = {}
        for key, value in event.payload.items():
            if key == "text" and isinstance(value, str):
                continue
            types = keys.get(key)
            if types is None:
                if count == most:
                    continue
                count += 1
                types = keys[key] = set()
            if value is not None:
                types.add(type_of(value))
    said = meanings()
    return {
        (kind, key): Column(
            f"{kind}.{key}",
            common(types),
            said.get((kind, key)) or f"`{key}` in the payload of events of the kind `{kind}`",
        )
        for kind, keys in found.items()
        for key, types in sorted(keys.items())
    }


def type_of(value: Any) -> Type:
    """The type of a JSON value that is not null."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (int, float)):
        return "integer" if isinstance(value, int) else "number"
    return "json"


def common(types: set[Type]) -> Type:
    """The type that fits values of all these types."""
    if types == {"integer", "number"}:
        return "number"
    return next(iter(types)) if len(types) == 1 else "json"


def _meanings(runs: Sequence[StoredRun]) -> dict[tuple[str, str], str]:
    """What the scenarios say about the keys of payloads, in the `description` of their schemas."""
    found: dict[tuple[str, str], str] = {}
    for run in runs:
        scenario = scenario_of(run)
        schemas = {kind: one.get("properties", {}) for kind, one in scenario.get("events", {}).items()}
        for agent in scenario.get("agents", {}).values():
            schemas |= agent.get("actions", {})
        for kind, keys in schemas.items():
            for key, schema in keys.items():
                said = schema.get("description") if isinstance(schema, dict) else None
                if isinstance(said, str) and said:
                    found.setdefault((kind, key), " ".join(said.split()))
    return found


# -- the tables that scenarios declare --


def _declared(runs: Sequence[StoredRun]) -> list[Filled]:
    """The tables `table-NAME`; of runs of several scenarios, one has the columns of all."""
    found: dict[str, dict[str, set[Type]]] = {}
    about: dict[tuple[str, str], Any] = {}
    for run in runs:
        tables = run.tables
        declared = scenario_of(run).get("tables", {}) if tables else {}
        for name, rows in tables.items():
            columns = found.setdefault(name, {})
            # A table without rows has its columns too.
            for key, given in declared.get(name, {}).get("columns", {}).items():
                columns.setdefault(key, set())
                about.setdefault((name, key), given)
            for row in rows:
                for key, value in row.items():
                    types = columns.setdefault(key, set())
                    if value is not None:
                        types.add(type_of(value))
    filled = []
    for name, columns in found.items():
        own = [_declared_column(name, key, types, about) for key, types in columns.items()]
        table = Table(f"{DECLARED.name}{name}", DECLARED.meaning, DECLARED.columns).with_columns(own)
        filled.append(Filled(table, partial(_declared_rows, runs, name, tuple(columns))))
    return filled


def _declared_column(name: str, key: str, types: set[Type], about: Mapping[tuple[str, str], Any]) -> Column:
    given = about.get((name, key), "")
    expression, unit = (given["value"], given.get("unit", "")) if isinstance(given, dict) else (given, "")
    meaning = f"the scenario's `{' '.join(str(expression).split())}`" if expression else f"`{key}`"
    return Column(key, common(types), meaning, unit)


def _declared_rows(runs: Sequence[StoredRun], name: str, columns: tuple[str, ...]) -> Iterator[Row]:
    for run in runs:
        for row in run.tables.get(name, ()):
            yield (run.id, *(row.get(key) for key in columns))
