"""The state of the world at any step of a run: the fold of its log, as the kernel folds it."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any

import orjson
from attrs import define, field

from pyscrai_core import EVERYONE, ContractError, Event
from pyscrai_core.plugins import Host
from pyscrai_core.runtime.rules import Rejected, Rules, plain
from pyscrai_core.runtime.state import Root
from pyscrai_core.scenario import plan as planning
from pyscrai_core.scenario.manifest import Manifest
from pyscrai_core.scenario.plan import Plan, Segment
from pyscrai_records.store.runs import RecordedRun, read_json
from pyscrai_records.store.store import Store

from .events import last_seq
from .reading import find
from .replies import Refused
from .summaries import LAST_STEP

#: Runs whose states are kept in memory.
KEPT = 6
#: Events that are read at once.
PAGE = 2000
EVENTS = 'SELECT "seq","step","kind","source","audience","payload","cause" FROM "events" WHERE "run"=?'


@define
class World:
    """The states of one run, one for each step that changed something. They share what did not change.

    Only the events that can change the state are looked at.
    """

    run: str
    plan: Plan
    rules: Rules
    root: Root
    kinds: tuple[str, ...]
    segments: list[Segment]
    owner: str
    seq: int = 0
    #: The steps, the state after each, and the number of the event before it.
    steps: list[int] = field(factory=lambda: [-1])
    roots: list[Root] = field(factory=list)
    #: The state before the first event of each, and who is there by then.
    starts: list[Root] = field(factory=list)
    befores: list[int] = field(factory=lambda: [0])
    #: The measures of the steps below `measured`.
    series: dict[str, list[Any]] = field(factory=dict)
    measured: int = 0
    guard: threading.Lock = field(factory=threading.Lock)

    @classmethod
    def of(cls, recorded: RecordedRun, host: Host) -> World:
        plan = planning.from_manifest(Manifest.to_execute(recorded), host, replay=True)
        kinds = {"change", *(rule.on for one in plan.all for rule in one.scenario.rules)}
        root = _initial(plan)
        return cls(
            recorded.id, plan, Rules(plan.scenario, plan.declared), root, tuple(sorted(kinds)),
            list(plan.segments), recorded.last_owner, roots=[root], starts=[root],
        )  # fmt: skip

    def advance(self, store: Store, last: int) -> None:
        """Take in the events that are new; `last` is the step of the last one."""
        while events := self.changing(store, self.seq, PAGE):
            for event in events:
                self._enter(event.step)
                if event.step != self.steps[-1]:
                    self._add(event.step)
                self.root = self.roots[-1] = self.apply(event, self.root)
                self.seq = event.seq
        self._enter(last)

    def changing(self, store: Store, after: int, limit: int) -> list[Event]:
        """The next events that can change the state."""
        marks = ",".join("?" * len(self.kinds))
        query = f'{EVENTS} AND "seq">? AND "kind" IN ({marks}) ORDER BY "seq" LIMIT ?'
        return [_event(row) for row in store.connection.execute(query, (self.run, after, *self.kinds, limit))]

    def apply(self, event: Event, root: Root) -> Root:
        try:
            return self.rules.apply(event, root)
        except (Rejected, ContractError):
            # A rule that failed, and was corrected when the run was resumed.
            return root

    def _add(self, step: int) -> None:
        self.steps.append(step)
        self.roots.append(self.root)
        self.starts.append(self.root)
        self.befores.append(self.seq)

    def _enter(self, step: int) -> None:
        """Follow a fork's plan from its step on, as the run did."""
        while self.segments and step > self.segments[0].after:
            segment = self.segments.pop(0)
            self.rules = Rules(segment.plan.scenario, segment.plan.declared)
            fresh = _initial(segment.plan)
            self.root = {
                "world": self.root["world"],
                **{
                    part: {name: self.root[part].get(name, state) for name, state in fresh[part].items()}
                    for part in ("agents", "groups")
                },
            }
            self._add(segment.after + 1)

    def changes(self, store: Store, step: int) -> list[dict[str, Any]]:
        """What each of the events of a step changed."""
        place = bisect_left(self.steps, step)
        if place == len(self.steps) or self.steps[place] != step:
            return []
        rules, self.rules = self.rules, self._rules_at(step)
        try:
            return list(self._changes(store, place))
        finally:
            self.rules = rules

    def _changes(self, store: Store, place: int) -> Iterator[dict[str, Any]]:
        step, root, after = self.steps[place], self.starts[place], self.befores[place]
        for event in self.changing(store, after, PAGE):
            if event.step != step:
                break
            new = self.apply(event, root)
            for path, before, value in differences(root, new):
                shown = path[1:] if path[0] == "world" else path
                yield {"path": ".".join(shown), "before": before, "after": value, "seq": event.seq}
            root = new

    def at(self, step: int) -> Root:
        return self.roots[bisect_right(self.steps, step) - 1]

    def plan_at(self, step: int) -> Plan:
        """The plan in force in a step."""
        entered = [segment.plan for segment in self.plan.segments if step > segment.after]
        return entered[-1] if entered else self.plan

    def measure(self, until: int) -> None:
        """Evaluate the measures of the steps below `until`, but for those that look at all events."""
        for step in range(self.measured, until):
            root = self.at(step)
            values = {**root, "state": root["world"], "step": step}
            for name, measure in self.plan_at(step).scenario.measures.items():
                uses = measure.expression.uses
                if step % measure.every or not set(uses) <= values.keys():
                    continue
                try:
                    value = plain(measure.expression.evaluate(**{key: values[key] for key in uses}))
                except ValueError:
                    value = None  # the run itself tells what is wrong, when it gets there
                self.series.setdefault(name, []).append([step, value])
        self.measured = max(self.measured, until)

    def _rules_at(self, step: int) -> Rules:
        plan = self.plan_at(step)
        return Rules(plan.scenario, plan.declared)


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
        """The state after a step (the last one at most), what changed in it, and what an agent saw of it.

        Raises `Refused` if there is no such run or agent.
        """
        recorded = find(store, run)
        world = self._world(recorded)
        last = _last_step(store, run)
        step = min(step, last)
        with world.guard:
            world.advance(store, last)
            root, changes = world.at(step), world.changes(store, step)
        members = {name: one.groups for name, one in world.plan_at(step).scenario.agents.items()}
        if agent and agent not in members:
            known = ", ".join(list(members)[:20])
            what = f"run {run} has no such agent; expected one of: {known}"
            raise Refused(f"agent {agent[:60]!r}: {what}", 404)
        seen = [
            event.seq
            for event in _of_step(store, run, step)
            if not agent or _sees(event, agent, members[agent])
        ]
        shown: dict[str, Any] = {
            "step": step, "last": last, "state": root["world"], "agents": root["agents"],
            "groups": root["groups"], "changes": changes, "seen": seen, **views(root["world"]),
        }  # fmt: skip
        if agent:
            mine = members[agent]
            shown |= {
                "agents": {agent: root["agents"].get(agent, {})},
                "groups": {name: root["groups"].get(name, {}) for name in mine},
                "changes": [one for one in changes if _may_know(one["path"], agent, mine)],
            }
        return shown

    def measured(self, store: Store, recorded: RecordedRun) -> dict[str, list[Any]]:
        """The measures of a run that has not ended, of the steps that are over."""
        world, last = self._world(recorded), _last_step(store, recorded.id)
        with world.guard:
            world.advance(store, last)
            world.measure(last)
            return {name: list(series) for name, series in world.series.items()}

    def most_steps(self, store: Store, run: str) -> int | None:
        """How many steps a run makes at most; None: its schedule cannot tell, or is not installed here."""
        try:
            return planning.most_steps(find(store, run), self._host())
        except Refused:
            return None

    def _world(self, recorded: RecordedRun) -> World:
        with self._guard:
            world = self._kept.get(recorded.id)
            if world is None or world.owner != recorded.last_owner:
                world = self._kept[recorded.id] = World.of(recorded, self._host())
            self._kept.move_to_end(recorded.id)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return world


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


def _event(row: Sequence[Any]) -> Event:
    seq, step, kind, source, audience, payload, cause = row
    return Event(seq, step, kind, source, tuple(orjson.loads(audience)), read_json(payload), cause)


def _last_step(store: Store, run: str) -> int:
    row = store.connection.execute(LAST_STEP, (run,)).fetchone()
    return row[0] if row else 0


def _of_step(store: Store, run: str, step: int) -> list[Event]:
    """The events of a step. Its first one is found by halving, since steps only grow."""
    low, high = 1, last_seq(store, run) + 1
    query = 'SELECT "step" FROM "events" WHERE "run"=? AND "seq"=?'
    while low < high:
        middle = (low + high) // 2
        (found,) = store.connection.execute(query, (run, middle)).fetchone()
        low, high = (low, middle) if found >= step else (middle + 1, high)
    found_rows = store.connection.execute(f'{EVENTS} AND "seq">=? ORDER BY "seq"', (run, low))
    return [_event(row) for row in takewhile(lambda row: row[1] == step, found_rows)]


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
