"""The components of one execution: made from a plan, opened, closed, and what stays of them behind a fork."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
from attrs import define

from ..canonical import canonical
from ..contracts import Component, Memory, Provider, Reasoning, Schedule, Tool, Toolset
from ..scenario.blueprints import Blueprint
from ..scenario.options import inside
from ..scenario.plan import Plan


def with_inner(made: Component) -> Iterator[Component]:
    """A component and those inside its options, the inner ones first."""
    for value in inside(made.config):
        if isinstance(value, Component):
            yield from with_inner(value)
    yield made


def _identity(blueprint: Blueprint) -> tuple[Any, ...]:
    return blueprint.kind, blueprint.use, canonical(blueprint.options), canonical(blueprint.code)


def _stay(blueprint: Any, former: Any, component: Any) -> Any:
    """The component for a blueprint: the former one, with its options if they changed, or a new one."""
    if former is None or (former.kind, former.use) != (blueprint.kind, blueprint.use):
        return blueprint.make()
    if _identity(former) == _identity(blueprint):
        return component
    new = blueprint.make()
    outside = isinstance(new, (Tool, Toolset)) and new.external
    if outside or not _alike(component, new):
        return new  # what it reaches, its code, or the components in its options are others
    _take_over(component, new.config)
    return component


def _parts(config: Any) -> dict[str, Component]:
    """The components that are options themselves."""
    values = {option.alias: getattr(config, option.name) for option in attrs.fields(type(config))}
    return {name: value for name, value in values.items() if isinstance(value, Component)}


def _alike(old: Component, new: Component) -> bool:
    """Whether two components have the same components in their options, so that the old ones can continue."""
    before, after = _parts(old.config), _parts(new.config)
    deeper = len(after) < sum(isinstance(value, Component) for value in inside(new.config))
    return (
        type(old).__name__ == type(new).__name__
        and before.keys() == after.keys()
        and not deeper  # in a list, where nothing tells which is which
        and all(_alike(before[name], after[name]) for name in after)
    )


def _take_over(component: Component, config: Any) -> None:
    """Give a component new options; the components in them stay those that it has."""
    parts = _parts(component.config)
    for name, part in _parts(config).items():
        _take_over(parts[name], part.config)
    component.config = attrs.evolve(config, **parts)


@define
class Components:
    """The components of one execution."""

    providers: dict[str, Provider]
    schedule: Schedule
    engines: dict[str, Any]
    reasoning: dict[str, Reasoning | None]
    memories: dict[str, Memory | None]
    tools: dict[str, list[Tool | Toolset]]
    opened: list[Component]

    @classmethod
    def make(cls, plan: Plan) -> Components:
        """New components for a plan, with the providers of its last segment."""
        return cls._made(plan, None)

    @classmethod
    def _made(cls, plan: Plan, former: tuple[Plan, Components] | None) -> Components:
        """The components for `plan`; those of a `former` plan and its components stay where they can."""
        if former is None:
            outside: dict[Any, Any] = {}
        else:
            old, before = former
            # A tool that reaches outside keeps nothing of an agent, and may be a whole program: one for all.
            outside = {
                _identity(blueprint): component
                for name, listed in old.tools.items()
                for blueprint, component in zip(listed, before.tools[name], strict=True)
                if component.external
            }

        def part(name: str, kind: str, role: str) -> Any:
            blueprint = plan.agents[name][kind]
            if blueprint is None or former is None or name not in old.agents:
                return blueprint and blueprint.make()
            return _stay(blueprint, old.agents[name][kind], getattr(before, role)[name])

        def tool(blueprint: Any, index: int, name: str) -> Any:
            identity = _identity(blueprint)
            if identity in outside:
                return outside[identity]
            if former is not None and index < len(old.tools.get(name, ())):
                made = _stay(blueprint, old.tools[name][index], before.tools[name][index])
            else:
                made = blueprint.make()
            if made.external:
                outside[identity] = made
            return made

        def parts(kind: str, role: str) -> dict[str, Any]:
            return {name: part(name, kind, role) for name in plan.agents}

        return cls(
            providers=(
                {name: one.make() for name, one in plan.last.providers.items()}
                if former is None
                else before.providers
            ),
            schedule=(
                plan.schedule.make()
                if former is None
                else _stay(plan.schedule, old.schedule, before.schedule)
            ),
            engines=parts("engine", "engines"),
            reasoning=parts("reasoning", "reasoning"),
            memories=parts("memory", "memories"),
            tools={
                name: [tool(one, index, name) for index, one in enumerate(listed)]
                for name, listed in plan.tools.items()
            },
            opened=[] if former is None else before.opened,
        )

    async def shifted(self, old: Plan, new: Plan, *, replay: bool) -> Components:
        """The components behind a fork: made for `new`, opened; what `old` had and `new` has too stays."""
        components = self._made(new, (old, self))
        await components.open(replay=replay)
        return components

    def all(self) -> Iterator[Component]:
        """Every component, providers first."""
        outer: list[Component | None] = [
            *self.providers.values(),
            self.schedule,
            *self.engines.values(),
            *self.reasoning.values(),
            *self.memories.values(),
            *(tool for listed in self.tools.values() for tool in listed),
        ]
        seen: set[int] = set()
        for component in outer:
            if component is not None and id(component) not in seen:
                seen.add(id(component))  # agents share the tools that reach outside
                yield from with_inner(component)

    async def open(self, *, replay: bool = False) -> None:
        """Open all components; for a replay, all but the tools that reach outside."""
        there = {id(component) for component in self.opened}
        for component in self.all():
            if id(component) in there:
                continue
            if replay and isinstance(component, (Tool, Toolset)) and component.external:
                continue
            if type(component).aopen is not Component.aopen:
                await component.aopen()
            self.opened.append(component)

    async def close(self) -> list[Exception]:
        """Close what was opened, in reverse; the errors of those that could not be closed."""
        errors: list[Exception] = []
        while self.opened:
            component = self.opened.pop()
            if type(component).aclose is Component.aclose:
                continue
            try:
                await component.aclose()
            except Exception as error:  # noqa: BLE001  the others still have to be closed; the caller reports it
                errors.append(error)
        return errors
