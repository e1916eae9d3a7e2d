"""The components of one execution: made from a plan, opened, closed, and what stays of them behind a fork."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs

from pyscrai_records.base.log import report
from pyscrai_records.base.time_limit import OutOfTime, Watch
from pyscrai_records.canonical import canonical
from pyscrai_records.errors import BudgetSpent, ConfigError, PyscraiError
from pyscrai_records.store.runs import RecordedRun

from ..contracts import Component, Provider, Schedule, Tool, Toolset
from ..discovery.blame import awaitable, describe, executing, origin, raised
from ..scenario.blueprints import Blueprint
from ..scenario.manifest import Manifest
from ..scenario.model import Scenario
from ..scenario.options import inside
from ..scenario.plan import Plan
from ..scenario.trust import Approval

#: The roles of an agent's components, beside its tools.
ROLES = ("engine", "reasoning", "memory")

#: Seconds that a component may take to close, and that all may take to open for a replay, without limits.
CLOSING, OPENING = 10.0, 60.0

#: What a component is for: the schedule, or an agent's role, or an agent's tool by its index.
Place: TypeAlias = tuple[str, str | int]

SCHEDULE: Place = ("", "schedule")


def with_inner(made: Component) -> Iterator[Component]:
    """A component and those inside its options, the inner ones first."""
    for value in inside(made.config):
        if isinstance(value, Component):
            yield from with_inner(value)
    yield made


def _blueprints(plan: Plan) -> Iterator[tuple[Place, Blueprint]]:
    yield SCHEDULE, plan.schedule
    for role in ROLES:
        for name, blueprints in plan.agents.items():
            if (blueprint := blueprints[role]) is not None:
                yield (name, role), blueprint
    for name, listed in plan.tools.items():
        for index, blueprint in enumerate(listed):
            yield (name, index), blueprint


def _identity(blueprint: Blueprint) -> tuple[Any, ...]:
    return blueprint.kind, blueprint.use, canonical(blueprint.options), canonical(blueprint.code)


def _external(component: Component) -> bool:
    """Whether it is a tool, or a toolset, that reaches outside."""
    return isinstance(component, (Tool, Toolset)) and component.external


def _stay(blueprint: Blueprint, former: Blueprint, component: Component, approval: Approval) -> Component:
    """The component for a blueprint: the former one, with its options if they changed, or a new one."""
    if _identity(former) == _identity(blueprint):
        return component
    new: Component = blueprint.make(approval)
    if (former.kind, former.use) != (blueprint.kind, blueprint.use):
        return new
    if _external(new) or not _alike(component, new):
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


def watch_components(stuck: Callable[[], object]) -> Watch:
    """A watch that interrupts the code of components, and no other."""
    return Watch(lambda frame: executing(frame) is not None, stuck)


def who_draws(
    scenario: Scenario, providers: Mapping[str, Provider], run: RecordedRun | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Who draws the closed choices of each provider, and who did when the run began.

    That is the `kernel` or the `provider`.

    A recorded `run` goes on as it began, unless its scenario says otherwise. Raises `ConfigError` if the
    kernel is to draw and cannot.
    """
    draws = {}
    recorded = Manifest.from_dict(run.manifest) if run else None
    for name, use in scenario.providers.items():
        wanted, provider = use.policy.draw, providers.get(name)
        can = provider is not None and "options" in provider.capabilities
        if provider is not None and wanted == "kernel" and not can:
            raise ConfigError(
                f"providers.{name}.draw: {origin(provider)} does not tell the probabilities of options, "
                "expected one that does, such as llamacpp; leave `draw` out, or write `draw: provider`"
            )
        if provider is not None:
            began = can and (recorded is None or recorded.changing_forks or name in recorded.draws)
            draws[name] = (
                wanted
                or (recorded.draws.get(name) if recorded and can else "")
                or ("kernel" if began else "provider")
            )
    return draws, draws if recorded is None else recorded.draws


class Components:
    """The components of `plan`, and the providers of its last segment, made with a person's `approval`.

    Behind a fork, the `former` ones that the plan has too stay. For a replay, tools that reach outside stay
    closed.
    """

    def __init__(
        self, plan: Plan, approval: Approval, former: Components | None = None, *, replay: bool = False
    ) -> None:
        approval.check("the scenario", plan.demands)
        self.plan, self.approval, self.replay = plan, approval, replay
        # A run that goes on behind a fork has a limit already.
        self._seconds = OPENING if replay else None if former else plan.last.scenario.limits.seconds
        self.providers: dict[str, Provider] = (
            former.providers
            if former
            else {name: one.make(approval) for name, one in plan.last.providers.items()}
        )
        for name, provider in self.providers.items():
            provider.max_answer_bytes = plan.last.scenario.providers[name].policy.max_answer_bytes
        self.opening, self.closing = "", "an observer"  # what is being opened or closed
        self._made: dict[Place, tuple[Blueprint, Any]] = {}
        self._opened: list[Component] = former._opened if former else []
        before = former._made if former else {}
        # A tool that reaches outside keeps nothing of an agent, and may be a whole program: one for all.
        shared = {_identity(one): component for one, component in before.values() if _external(component)}
        for place, blueprint in _blueprints(plan):
            component = shared.get(_identity(blueprint))
            if component is None:
                component = (
                    _stay(blueprint, *before[place], approval)
                    if place in before
                    else blueprint.make(approval)
                )
            if _external(component):
                shared[_identity(blueprint)] = component
            self._made[place] = blueprint, component

    @property
    def schedule(self) -> Schedule:
        schedule: Schedule = self._made[SCHEDULE][1]
        return schedule

    def of(self, agent: str) -> dict[str, Any]:
        """An agent's components by their role; None for a role that nothing plays."""
        return {role: self._made.get((agent, role), (None, None))[1] for role in ROLES}

    def tools(self, agent: str) -> list[Tool | Toolset]:
        """An agent's tools and toolsets, in the scenario's order."""
        return [self._made[agent, index][1] for index in range(len(self.plan.tools.get(agent, ())))]

    def _all(self) -> Iterator[Component]:
        """Every component, providers first; one that agents share comes more than once."""
        for component in (*self.providers.values(), *(component for _, component in self._made.values())):
            yield from with_inner(component)

    async def open(self, watch: Watch) -> None:
        """Open all components. Raises `not_opened` if that takes too long."""
        there = {id(component) for component in self._opened}
        with watch.limit(self._seconds, self.not_opened):
            for component in self._all():
                if id(component) not in there and not (self.replay and _external(component)):
                    there.add(id(component))
                    await self._open(component)

    async def _open(self, component: Component) -> None:
        self.opening = origin(component)
        if type(component).aopen is not Component.aopen:
            try:
                await awaitable(component, "aopen", component.aopen())
            except (PyscraiError, asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:  # a plugin may raise anything, or exit
                report("INFO", error, "{} could not be opened: {}", origin(component), describe(error))
                failure = raised(error, origin(component))
                failure.args = (f"aopen: {failure}",)
                raise failure from error
        self._opened.append(component)

    def not_opened(self, interrupted: bool = False) -> PyscraiError:
        """Why nothing was run: what is being opened does not end, in time or when it is `interrupted`."""
        seconds = None if interrupted else self._seconds
        if seconds is None:
            what = "was being opened, and does not end when it is interrupted"
            return PyscraiError(f"{self.opening} {what}; nothing was run")
        what = f"{self.opening} could not be opened within {seconds:g} seconds; nothing was run"
        return PyscraiError(what) if self.replay else BudgetSpent(f"limits.seconds: {what}")

    async def close(self, watch: Watch) -> None:
        """Close what was opened, in reverse. What cannot be closed is reported."""
        while self._opened:
            component = self._opened.pop()
            if type(component).aclose is Component.aclose:
                continue
            self.closing = origin(component)
            try:
                with watch.limit(CLOSING):
                    await awaitable(component, "aclose", component.aclose())
            except OutOfTime:
                self.not_closed(TimeoutError(f"it did not end within {CLOSING:g} seconds"))
            except (Exception, SystemExit) as error:  # noqa: BLE001  the others still have to be closed
                self.not_closed(error)

    def not_closed(self, problem: BaseException) -> None:
        report("WARNING", problem, "{} could not be closed: {}", self.closing, problem)
