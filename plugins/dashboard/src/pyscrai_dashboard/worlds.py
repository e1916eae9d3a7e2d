"""The state of the world at any step of a run: the fold of its log, as the kernel folds it."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field

from pyscrai_core.errors import ContractError
from pyscrai_core.plugins import Host
from pyscrai_core.records import EVERYONE, Event
from pyscrai_core.runtime.rules import Rejected, Rules
from pyscrai_core.runtime.state import Root
from pyscrai_core.scenario import plan as planning
from pyscrai_core.scenario.manifest import Manifest
from pyscrai_core.scenario.plan import Plan, Segment
from pyscrai_core.store.runs import RecordedRun
from pyscrai_core.store.store import Store

from .reading import find
from .replies import Refused

#: Runs whose states are kept in memory.
KEPT = 6


@define
class World:
    """The states of one run, one for each step so far. States share what did not change."""

    plan: Plan
    rules: Rules
    root: Root
    segments: list[Segment]
    owner: str
    seq: int = 0
    #: The steps that have events, the state after each, and who was in which groups then.
    steps: list[int] = field(factory=list)
    roots: list[Root] = field(factory=list)
    groups: list[dict[str, tuple[str, ...]]] = field(factory=list)
    #: The first event of each of these steps.
    firsts: list[int] = field(factory=list)
    initial: Root = field(factory=dict)

    @classmethod
    def of(cls, recorded: RecordedRun, host: Host) -> World:
        plan = planning.from_manifest(Manifest.to_execute(recorded), host, replay=True)
        root = _initial(plan)
        return cls(
            plan,
            Rules(plan.scenario, plan.declared),
            root,
            list(plan.segments),
            recorded.last_owner,
            initial=root,
        )

    def advance(self, recorded: RecordedRun) -> None:
        """Take in the events that are new."""
        for event in recorded.events(after=self.seq):
            while self.segments and event.step > self.segments[0].after:
                self._enter(self.segments.pop(0).plan)
            if not self.steps or event.step != self.steps[-1]:
                self.steps.append(event.step)
                self.roots.append(self.root)
                self.groups.append(_groups(self.plan))
                self.firsts.append(event.seq)
            self.root = self.roots[-1] = self.apply(event, self.root)
            self.seq = event.seq

    def apply(self, event: Event, root: Root) -> Root:
        try:
            return self.rules.apply(event, root)
        except (Rejected, ContractError):
            # A rule that failed, and was corrected when the run was resumed.
            return root

    def _enter(self, plan: Plan) -> None:
        """Follow a fork's plan from here on, as the run did."""
        self.plan, self.rules = plan, Rules(plan.scenario, plan.declared)
        fresh = _initial(plan)
        self.root = {
            "world": self.root["world"],
            **{
                part: {name: self.root[part].get(name, state) for name, state in fresh[part].items()}
                for part in ("agents", "groups")
            },
        }

    def at(self, step: int) -> int:
        """The position in the lists of the last step with events up to `step`; -1 if there is none."""
        return bisect_right(self.steps, step) - 1


class Worlds:
    """The worlds of the runs that were looked at last."""

    def __init__(self, host: Callable[[], Host]) -> None:
        self._host = host
        self._kept: OrderedDict[str, World] = OrderedDict()
        self._guard = threading.Lock()

    def forget(self) -> None:
        with self._guard:
            self._kept.clear()

    def at(self, store: Store, run: str, step: int, agent: str) -> dict[str, Any]:
        """The state after a step, what changed in it, and what an agent saw of it. Raises `Refused`."""
        recorded = find(store, run)
        with self._guard:  # one at a time: they would do the same work twice
            world = self._kept.get(run)
            if world is None or world.owner != recorded.last_owner:
                world = self._kept[run] = World.of(recorded, self._host())
            self._kept.move_to_end(run)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            world.advance(recorded)
            place = world.at(step)
            root = world.roots[place] if place >= 0 else world.initial
            before = world.roots[place - 1] if place > 0 else world.initial
            members = world.groups[place] if place >= 0 else _groups(world.plan)
            there = place >= 0 and world.steps[place] == step
            last = world.steps[-1] if world.steps else 0
            if agent and agent not in members:
                known = ", ".join(list(members)[:20])
                raise Refused(
                    f"agent {agent[:60]!r}: run {run} has no such agent; expected one of: {known}", 404
                )
            events = _of_step(recorded, world.firsts[place], step) if there else []
            changes = list(_changes(world, before, events)) if there else []
        seen = [event.seq for event in events if not agent or _sees(event, agent, members[agent])]
        shown: dict[str, Any] = {
            "step": step,
            "last": last,
            "state": root["world"],
            "agents": root["agents"],
            "groups": root["groups"],
            "changes": changes,
            "seen": seen,
            **views(root["world"]),
        }
        if agent:
            mine = members[agent]
            shown |= {
                "agents": {agent: root["agents"].get(agent, {})},
                "groups": {name: root["groups"].get(name, {}) for name in mine},
                "changes": [one for one in changes if _may_know(one["path"], agent, mine)],
            }
        return shown


def views(state: dict[str, Any]) -> dict[str, Any]:
    """A map and a network, where the world's state has one in the form that the page can draw."""
    place, network = state.get("map"), state.get("network")
    return {
        "map": place if isinstance(place, dict) and "places" in place else None,
        "network": network if isinstance(network, dict) and "edges" in network else None,
    }


def _initial(plan: Plan) -> Root:
    scenario = plan.scenario
    return {
        "world": scenario.state,
        "agents": {name: agent.state for name, agent in scenario.agents.items()},
        "groups": {name: group.state for name, group in scenario.groups.items()},
    }


def _groups(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {name: agent.groups for name, agent in plan.scenario.agents.items()}


def _of_step(recorded: RecordedRun, first: int, step: int) -> list[Event]:
    found = []
    for event in recorded.events(after=first - 1):
        if event.step != step:
            break
        found.append(event)
    return found


def _changes(world: World, root: Root, events: list[Event]) -> Iterator[dict[str, Any]]:
    """What each of the events of a step changed."""
    for event in events:
        new = world.apply(event, root)
        if new is not root:
            for path, before, after in differences(root, new):
                shown = path[1:] if path[0] == "world" else path
                yield {"path": ".".join(shown), "before": before, "after": after, "seq": event.seq}
        root = new


def differences(old: Any, new: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Where two JSON values differ: path, the value before and after. What is not there is None."""
    if old is new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from differences(old.get(key), new.get(key), (*path, str(key)))
    elif old != new or type(old) is not type(new):
        yield path, old, new


def _sees(event: Event, agent: str, groups: tuple[str, ...]) -> bool:
    audience = event.audience
    return (
        EVERYONE in audience
        or agent in (event.source, *audience)
        or any(group in audience for group in groups)
    )


def _may_know(path: str, agent: str, groups: tuple[str, ...]) -> bool:
    """Whether a part of the state is open to an agent: the public one, its own, and that of its groups."""
    part, _, rest = path.partition(".")
    if part == "agents":
        return rest == agent or rest.startswith(f"{agent}.")
    if part == "groups":
        return any(rest == group or rest.startswith(f"{group}.") for group in groups)
    return True
