"""Checks of closed choices, which the kernel draws: options that are alike, and values that have no mean."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from pyscrai_answers.closed import MOST_OPTIONS, Choice, TooMany, indistinct, places_of
from pyscrai_language.document import Mistakes
from pyscrai_language.misfit import Path, dotted

from ..agent import Agent
from .blueprints import Blueprint
from .model import Scenario
from .quantities import Quantity


def drawing(scenario: Scenario, providers: Mapping[str, Blueprint]) -> dict[str, str | None]:
    """Who draws the closed choices of each provider: the `kernel` or the `provider`.

    None: the provider is the scenario's own code, which is not executed here.
    """
    found: dict[str, str | None] = {}
    for name, blueprint in providers.items():
        wanted = scenario.providers[name].policy.draw
        if blueprint.deferred:
            found[name] = "provider" if wanted == "provider" else None
        else:
            can = "options" in blueprint.examine().capabilities
            found[name] = "kernel" if can and wanted != "provider" else "provider"
    return found


def check_choices(scenario: Scenario, providers: Mapping[str, Blueprint], mistakes: Mistakes) -> None:
    """Note options that cannot be told apart, and expected values of what has none.

    Raises `ScenarioError`.
    """
    draws = drawing(scenario, providers)
    for agent, action, path, part in _parameters(scenario, draws):
        if isinstance(part, Choice):
            what = indistinct([one.option for one in part.alternatives])
            if what:
                mistakes.add(("agents", agent.name, "actions", action, *path), what)
    for place, quantity in _quantities(scenario):
        if quantity.expected and (what := _no_mean(scenario, quantity, draws)):
            mistakes.add((*place, "expected"), what)
    mistakes.check()


def remarks(scenario: Scenario, draws: Mapping[str, str | None]) -> list[str]:
    """What is no mistake, but worth knowing: choices with too many options, which the provider draws."""
    found: dict[str, None] = {}
    for agent, action, path, part in _parameters(scenario, draws):
        if isinstance(part, TooMany):
            place = dotted(("agents", agent.name, "actions", action, *path))
            found[
                f"{place}: {part.count:,} options, and at most {MOST_OPTIONS} are scored, so the provider "
                f"{agent.provider!r} draws by itself; use fewer, or set `draw: provider`"
            ] = None
    return list(found)


def _parameters(
    scenario: Scenario, draws: Mapping[str, str | None]
) -> Iterator[tuple[Agent, str, tuple[str, ...], Any]]:
    """What stands in the parameters of the actions of agents for whom the kernel draws.

    Of a population, one agent stands for all: equal schemas are one object.
    """
    seen: set[int] = set()
    for agent in scenario.agents.values():
        if draws.get(agent.provider) == "kernel" and not agent.tools:
            for name, action in agent.actions.items():
                if id(action.schema) not in seen:
                    seen.add(id(action.schema))
                    for path, part in places_of(action.schema):
                        yield agent, name, path, part


def _quantities(scenario: Scenario) -> Iterator[tuple[Path, Quantity]]:
    for part in ("outcomes", "measures"):
        for name, quantity in getattr(scenario, part).items():
            yield (part, name), quantity
    for name, table in scenario.tables.items():
        for column, quantity in table.columns.items():
            yield ("tables", name, "columns", column), quantity


def _no_mean(scenario: Scenario, quantity: Quantity, draws: Mapping[str, str | None]) -> str:
    """Why a value has no mean over draws; "" if it may have one."""
    if all(who == "provider" for who in draws.values()):
        return (
            "no provider draws by the kernel, expected one that tells the probabilities of options, such as "
            "llamacpp, without `draw: provider`; change `providers`, or leave `expected` out"
        )
    name = _field(quantity.expression.tree)
    if name is None:
        return ""
    schemas = [
        action.schema["properties"][name]
        for agent in scenario.agents.values()
        for action in agent.actions.values()
        if name in action.schema.get("properties", {})
    ]
    if not schemas or any(_is_drawn(schema) for schema in schemas if not _is_text(schema)):
        return ""
    if not any(map(_is_text, schemas)):
        return (
            f"the kernel draws no value of {name!r}, expected a closed choice: an enumeration, a boolean, a "
            f"range of at most {MOST_OPTIONS} integers; change the parameter, or leave `expected` out"
        )
    free = not any("enum" in schema or "const" in schema for schema in schemas)
    kind = "a free text" if free else "one of several texts"
    advice = "leave `expected` out" if free else "compare with one option: value == 'yes'"
    return f"{name!r} is {kind}, which has no mean, expected a number, true or false; {advice}"


def _field(tree: Any) -> str | None:
    """The field of an event that is the whole value of an expression: `reason` of `event.payload.reason`."""
    node = tree.body if isinstance(tree, ast.Expression) else tree
    name: Any
    if isinstance(node, ast.Attribute):
        name, around = node.attr, node.value
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        name, around = node.slice.value, node.value
    else:
        return None
    return name if isinstance(around, ast.Attribute) and around.attr == "payload" else None


def _is_drawn(schema: Any) -> bool:
    """Whether a choice among values is in what a schema admits."""
    parts = places_of(schema) if isinstance(schema, Mapping) else ()
    return any(isinstance(part, Choice) and len(part.alternatives) > 1 for _, part in parts)


def _is_text(schema: Any) -> bool:
    """Whether a schema admits texts alone."""
    if not isinstance(schema, Mapping):
        return False
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values is not None:
        return all(isinstance(value, str) for value in values)
    return schema.get("type") == "string"
