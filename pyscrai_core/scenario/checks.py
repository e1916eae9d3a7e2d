"""Checks that need a whole scenario: keys of states, names that look alike, and what providers refuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pyscrai_language.document import Mistakes
from pyscrai_language.lookalikes import find_lookalikes
from pyscrai_language.misfit import Path

from .blueprints import Blueprint
from .model import COMMON_KINDS, KERNEL_KINDS, Scenario

#: The parts of a scenario that name what a run comes to.
QUANTITIES = ("outcomes", "measures", "tables")


def check_states(scenario: Scenario, mistakes: Mistakes) -> None:
    """Note the keys of states that cannot be reached by a path."""
    for key in scenario.state.keys() & {"agents", "groups", "self"}:
        mistakes.add(("world", "state", key), f"{key!r} is reserved; choose another name", on_key=True)
    for path, state in _states(scenario):
        for key in state:
            if "." in key or not key:
                mistakes.add((*path, key), "a key of a state has no dots, which separate keys", on_key=True)


def check_lookalikes(scenario: Scenario, mistakes: Mistakes) -> None:
    """Note the names that look like another one of their kind, or that hold what cannot be seen."""
    agents = {name: ("agents", name) for name in scenario.agents}
    actions = {
        name: ("agents", agent.name, "actions", name)
        for agent in reversed(scenario.agents.values())
        for name in agent.actions
    }
    kinds: dict[str, Path] = {**dict.fromkeys((*COMMON_KINDS, *KERNEL_KINDS), ()), **actions}
    places: list[Mapping[str, Path]] = [
        {name: ("providers", name) for name in scenario.providers},
        agents | {name: ("groups", name) for name in scenario.groups},
        kinds | {kind: ("events", kind) for kind in scenario.events},
    ]
    for _, agent, _, action in actions.values():
        parameters = scenario.agents[agent].actions[action].schema["properties"]
        places.append({name: ("agents", agent, "actions", action, name) for name in parameters})
        for path, options in _enumerations(("agents", agent, "actions", action), parameters):
            texts = (one for one in options if isinstance(one, str))
            for option, what in find_lookalikes(texts, free=True):
                mistakes.add((*path, options.index(option)), what)
    for path, state in _states(scenario):
        places += _keys(path, state)
    places += [{name: (part, name) for name in getattr(scenario, part)} for part in QUANTITIES]
    for name, table in scenario.tables.items():
        places.append({column: ("tables", name, "columns", column) for column in table.columns})
    varied = {tuple(agent.variables): agent.name for agent in reversed(scenario.agents.values())}
    for variables, agent in varied.items():
        places.append({variable: ("agents", agent, "vary", variable) for variable in variables})
    for names in places:
        for name, what in find_lookalikes(names):
            mistakes.add(names[name], what, on_key=True)


def _enumerations(path: Path, schema: Any) -> Iterator[tuple[Path, list[Any]]]:
    """The options of each enumeration in schemas, with its place."""
    if isinstance(schema, dict):
        for key, part in schema.items():
            if key == "enum" and isinstance(part, list):
                yield (*path, key), part
            else:
                yield from _enumerations((*path, key), part)
    elif isinstance(schema, list):
        for index, part in enumerate(schema):
            yield from _enumerations((*path, index), part)


def _states(scenario: Scenario) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The states of the world, of agents and of groups, with their places."""
    yield ("world", "state"), scenario.state
    for part in ("agents", "groups"):
        for name, one in getattr(scenario, part).items():
            yield (part, name, "state"), one.state


def _keys(path: Path, value: Any) -> Iterator[dict[str, Path]]:
    """The keys of a mapping with their places, and those of each mapping in it."""
    if isinstance(value, dict):
        yield {key: (*path, key) for key in value}
        for key, part in value.items():
            yield from _keys((*path, key), part)


def check_sampling(scenario: Scenario, providers: Mapping[str, Blueprint], mistakes: Mistakes) -> None:
    """Note the sampling options that a provider's model, or that of one of its fallbacks, would refuse.

    Raises `ScenarioError`.
    """
    for name in providers:
        use = scenario.providers[name]
        for asked in (name, *use.policy.fallback):
            if providers[asked].deferred:
                continue  # its code is not approved yet; the runtime asks it before each request
            for option, why in providers[asked].examine().refuses(use.sampling).items():
                about = "" if asked == name else f"its fallback {asked!r} refuses it: "
                mistakes.add(("providers", name, option), f"{about}{why}")
    mistakes.check()
