"""Checks that every name exists which a scenario's expressions, rules, options and prompts use.

The shape of the state is that of its initial value with what rules and components may set. These use the
state themselves, so everything is gone through until its shape stays the same.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from pyscrai_language.document import Mistakes
from pyscrai_language.misfit import Misfit, Path
from pyscrai_language.schemas import LIKE
from pyscrai_language.shapes import ANY, Shape, join, mapping, one_of, shape_of, shape_of_schema
from pyscrai_language.templates import Prompt
from pyscrai_records.base.suggest import closest, did_you_mean, list_some

from ..agent import Agent
from ..contracts import Component, Tool
from .blueprints import Blueprint, Resolver
from .model import Scenario
from .names import Note, ScenarioNames
from .options import walk
from .quantities import ROW_NAMES, Quantity, Table

#: How often everything is gone through at most; in the last two rounds, what is set can be anything.
ROUNDS = 6
#: Up to how many whole numbers from a lowest to a highest one are gone through.
MOST_LISTED = 100
#: The class and the Config of a component, and its path in the options of the one that holds it.
Part = tuple[type[Component], Any, Path]


@frozen
class Place:
    """Where a component is used: by an agent (None: as the schedule), at a path of the document."""

    agent: Agent | None
    kind: str
    path: Path
    blueprint: Blueprint


def check_names(scenario: Scenario, places: Sequence[Place], resolver: Resolver, mistakes: Mistakes) -> None:
    """Note the names that cannot exist.

    The scenario's own code is not executed before a person has approved it. Where there is any, it may set
    other keys and emit other kinds of events than those that are known.
    """
    own_code = any(place.blueprint.deferred for place in places)

    def note(misfit: Misfit) -> None:
        mistakes.note((), [misfit])

    names = ScenarioNames(scenario, resolver.declared, _tool_names(places), own_code, note)
    parts: dict[int, list[Part]] = {}
    for place in places:
        if not place.blueprint.deferred and id(place.blueprint) not in parts:
            parts[id(place.blueprint)] = list(_unfold(*place.blueprint.load(), ()))
    for round_ in range(ROUNDS):
        before, names.found, names.emitted = (names.states, names.events), [], {}
        names.settle = round_ >= ROUNDS - 2
        _check_scenario(names, note)
        checked: set[Any] = set()
        for place in places:
            _check_component(names, place, parts.get(id(place.blueprint), []), resolver, checked)
        payloads = {kind: join(shapes) for kind, shapes in names.emitted.items()}
        names.events = evolve(names.events, payloads={**names.events.payloads, **payloads})
        if (names.states, names.events) == before:
            break
    for noted, misfit in names.found:
        noted(misfit)


def _tool_names(places: Sequence[Place]) -> Shape:
    """The names of the tools that agents are offered; those of a server, or of own code, show in a run."""
    blueprints = {id(one.blueprint): one.blueprint for one in places if one.kind == "tool"}
    made = [None if one.deferred else one.examine() for one in blueprints.values()]
    known = [one.name for one in made if isinstance(one, Tool)]
    return one_of(known, loose=len(known) < len(made))


def _unfold(component: type[Component], config: Any, path: Path) -> Iterator[Part]:
    """A component and those in its options."""
    yield component, config, path
    for below, value in walk(config):
        if isinstance(value, Component):
            yield from _unfold(type(value), value.config, (*path, *below))


def _note(resolver: Resolver, place: Place, path: Path, misfit: Misfit) -> None:
    resolver.note(place.kind, place.path, misfit.under(path))


def _check_scenario(names: ScenarioNames, note: Note) -> None:
    """Check what the scenario itself has: `stop_when`, outcomes, rules, guards and `acts`."""
    names.agent, names.note = None, note
    scenario = names.scenario
    if scenario.stop_when is not None:
        names.expression(scenario.stop_when, "stop_when")
    for part, quantities in (("outcomes", scenario.outcomes), ("measures", scenario.measures)):
        for name, quantity in quantities.items():
            _check_quantity(names, quantity, (part, name), {})
    for name, table in scenario.tables.items():
        _check_table(names, name, table)
    for index, rule in enumerate(scenario.rules):
        if rule.on not in names.kinds:
            what = f"no agent has an action {rule.on!r} and no such event is declared"
            what += f"{did_you_mean(rule.on, names.kinds)}; known: {list_some(sorted(names.kinds))}"
            names.mistake(what, "rules", index, "on")
            continue
        sources = names.senders.get(rule.on) or list(scenario.agents.values())
        for some in names.alike(rule.on, sources) if rule.on_error == "fail" and not rule.when else [sources]:
            given = {"event": names.event(rule.on)}
            given["self"] = join(names.states["agents"][agent.name] for agent in some)
            with names.sent_by(rule.on, some):
                if rule.when is not None:
                    names.expression(rule.when, "rules", index, "when", **given)
                for one in rule.assignments:
                    target = one.text.removeprefix(f"{one.op} ")
                    value = names.expression(one.value, "rules", index, one.op, target, **given)
                    names.change_at(one.op, one.path, value, some, ("rules", index, one.op, target), given)
    guarded = set()
    for name, agent in scenario.agents.items():
        names.agent = agent
        for action in agent.actions.values():
            key = (id(action), id(names.states["agents"][name]))
            if action.when is not None and key not in guarded:
                guarded.add(key)
                given = {part: mapping(names.states[part]) for part in ("agents", "groups")}
                given["event"] = names.event(action.name)
                with names.sent_by(action.name, [agent]):
                    names.expression(action.when, "agents", name, "actions", action.name, "when", **given)
        for kind in sorted(agent.acts.on - {"change"}):
            acts = walk(scenario.document["agents"][name].get("acts"))
            below = next((path for path, value in acts if value == kind and "on" in path), ())
            names.kind(kind, "agents", name, "acts", *below, heard=True)
    names.agent = None


def _check_table(names: ScenarioNames, name: str, table: Table) -> None:
    """Check the expressions of a table, with what a row knows."""
    if table.event and table.event not in names.kinds:
        names.kind(table.event, "tables", name, "rows")
        return
    agents = names.senders.get(table.event) or list(names.scenario.agents.values())
    states = names.states["groups" if table.rows == "groups" else "agents"]
    # Without a condition, each of them has a row.
    if table.rows == "groups":
        for one in states.values() if table.when is None else [join(states.values())]:
            _check_rows(names, name, table, {"self": one, "name": one_of(states)})
        return
    certain = table.when is None and (table.event or table.rows == "agents")
    for part in names.alike(table.event, agents) if certain else [agents]:
        varied = (mapping({key: shape_of(one) for key, one in agent.variables.items()}) for agent in part)
        known = {"self": join(states[one.name] for one in part), "variables": join(varied)}
        known |= {"event": names.event(*filter(None, [table.event])), "name": one_of(states)}
        with names.sent_by(table.event, part):
            _check_rows(names, name, table, {key: known[key] for key in ROW_NAMES[table.rows]})


def _check_rows(names: ScenarioNames, name: str, table: Table, given: Mapping[str, Shape]) -> None:
    """Check the expressions of a table for rows that know `given`."""
    if table.when is not None:
        names.expression(table.when, "tables", name, "when", **given)
    for key, column in table.columns.items():
        option = ("tables", name, "columns", key)
        before = len(names.found)
        _check_quantity(names, column, option, given)
        if len(names.found) > before or table.when is not None:
            continue
        parameter = column.expression.source.strip().removeprefix("event.payload.")
        for agent in names.senders.get(table.event, ()):
            schema = agent.actions[table.event].schema["properties"].get(parameter, {})
            if wrong := next(filter(None, (_misfit(column, value) for value in _listed(schema))), ""):
                names.mistake(f"{parameter}: {wrong}", *option, *(["levels"] if column.levels else []))
                break


def _listed(schema: Mapping[str, Any]) -> Sequence[Any]:
    """The values that fit a schema, if it lists them, or few whole numbers."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema.get("type") == "integer" and type(low) is type(high) is int and high - low < MOST_LISTED:
        return range(low, high + 1)
    listed: Sequence[Any] = schema.get("enum", ())
    return listed


def _misfit(quantity: Quantity, value: Any) -> str:
    """Why a value is not of a quantity's kind; empty if it is."""
    try:
        quantity.check(value)
    except ValueError as error:
        return str(error)
    return ""


def _check_quantity(names: ScenarioNames, quantity: Quantity, option: Path, given: Mapping[str, Any]) -> None:
    """Check the expression of an outcome, a measure or a column, and that its value can be of the kind."""

    def check(literal: Any) -> str | None:
        return _misfit(quantity, literal) or None

    start = [("begins as", value) for value in names.initial_of(quantity.expression)]
    start += [("may be set to", value) for value in names.set_by_rules(quantity.expression)]
    for how, value in start if quantity.kind == "ordered" else ():
        meant = closest(str(value), map(str, quantity.levels), LIKE)
        if check(value) is not None and meant:
            what = f"it {how} {value!r}, which is none of the levels; did you mean {meant!r}?"
            names.mistake(f"{what} Levels: {list_some([*map(str, quantity.levels)])}", *option, "levels")
    names.value_of_shape(shape_of_schema(quantity.schema), check, quantity.expression, option, given)


def _check_component(
    names: ScenarioNames, place: Place, parts: Iterable[Part], resolver: Resolver, checked: set[Any]
) -> None:
    """Check the options and prompts of a component, once for all members of a population."""
    names.agent = agent = place.agent
    key: Any = id(place.blueprint)
    if agent is not None:
        state = names.states["agents"][agent.name]
        named = agent.name if agent.name in names.audiences else ""
        key = (key, id(agent.actions), id(state), agent.groups, named)
    if key in checked:
        return  # that of another member of the same population
    checked.add(key)
    known = names.known()
    # In all prompts these variables are what the turn has by the same names.
    shapes = {"state": known["state"], "groups": known["groups"], "own": known.get("self", ANY)}
    for component, config, path in parts:
        names.note = functools.partial(_note, resolver, place, path)
        component.check_names(config, names)
        for option, value in walk(config):
            if isinstance(value, Prompt):
                for what in value.find_unknown(shapes):
                    names.mistake(what, *option)
