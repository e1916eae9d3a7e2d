"""How far a run is: what its observers are told, summed up. Nothing is drawn here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from pyscrai_core import CallRecord, Cost, Event, Position, RunStatus, Usage

if TYPE_CHECKING:
    from pyscrai_records.store.runs import RecordedRun

DOING = {"complete": "thinking", "embed": "thinking", "ask": "being asked", "tool": "acting"}


@frozen
class Plan:
    """What is known of a run before it ends.

    agents
        their names, in the scenario's order
    limits
        the run's limits that are set: of `calls`, `tokens`, `money` (US dollars), `seconds`, `steps`
    """

    agents: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(factory=dict)

    def with_steps(self, most: int | None) -> Plan:
        """The same for a schedule that makes at most so many steps; None: it does not tell."""
        known = [steps for steps in (self.limits.get("steps"), most) if steps]
        return evolve(self, limits={**self.limits, "steps": min(known)}) if known else self

    @classmethod
    def of(cls, run: RecordedRun) -> Plan:
        """That of a recorded run, with what its resumes changed."""
        from pyscrai_core.scenario.manifest import Manifest

        manifest = Manifest.from_dict(run.manifest)
        scenario = manifest.settled(manifest.changes).last_scenario
        limits = scenario.get("limits") or {}
        numbers = {name: limit for name, limit in limits.items() if isinstance(limit, (int, float))}
        return cls(tuple(scenario["agents"]), numbers)


@define
class Pending:
    """A call that is being made: since when it does what it does, and what is known of it.

    state
        `busy`, `waiting` for a provider's limits, or `retrying`: the next attempt is made at `until`
    words
        what was streamed of the answer so far
    """

    kind: str
    since: float
    state: str = "busy"
    why: str = ""
    until: float = 0.0
    words: str = ""


@define
class Progress:
    """The sums and the calls under way of one run; times are those of the monotonic clock, in seconds.

    calls, usage, cost
        of all calls so far, with those that an earlier execution made
    failed, retries
        how many calls failed for good, and how many attempts were followed by another
    spoke
        of whom there was news last, and when
    trouble
        the last attempt that failed, and when that was told
    """

    run: str = ""
    status: RunStatus = "running"
    step: int = 0
    events: int = 0
    calls: int = 0
    failed: int = 0
    retries: int = 0
    usage: Usage = field(factory=Usage)
    cost: Cost = field(factory=Cost)
    pending: dict[Position, Pending] = field(factory=dict)
    spoke: tuple[str, float] = ("", 0.0)
    trouble: tuple[str, float] = ("", 0.0)
    began: float = field(factory=time.monotonic)
    ended: float | None = None

    @property
    def seconds(self) -> float:
        """How long the run has taken; what it took, if it has ended."""
        return (time.monotonic() if self.ended is None else self.ended) - self.began

    def on_run(self, run: str, status: RunStatus) -> None:
        self.run, self.status = run, status
        if status not in ("running", "paused"):
            self.pending.clear()

    def on_event(self, event: Event) -> None:
        self.step, self.events = max(self.step, event.step), max(self.events, event.seq)
        if not event.source.startswith("@"):
            self.spoke = (event.source, time.monotonic())

    def on_call(self, call: CallRecord) -> None:
        now = time.monotonic()
        self.step = max(self.step, call.position.step)
        if call.status == "retrying":
            self.retries += 1
            self.trouble = (f"{call.position.agent}: {call.error}", now)
        if call.status in ("answered", "failed"):
            self.pending.pop(call.position, None)
            self._count(call)
        elif not call.journaled:
            self._change(call, now)

    def on_words(self, position: Position, text: str) -> None:
        if (pending := self.pending.get(position)) is not None:
            pending.words += text

    def in_state(self, state: str) -> list[tuple[str, Pending]]:
        """The calls that are in a state, the oldest first, each with its agent."""
        return [(position.agent, one) for position, one in self.pending.items() if one.state == state]

    def _change(self, call: CallRecord, now: float) -> None:
        if call.status == "started":
            self.pending[call.position] = Pending(call.kind, now)
        elif (pending := self.pending.get(call.position)) is not None:
            pending.state = call.status if call.status in ("waiting", "retrying") else "busy"
            pending.since, pending.why, pending.until = now, call.error, now + call.wait
            pending.words = ""

    def _count(self, call: CallRecord) -> None:
        if not call.position.agent.startswith("@"):
            self.spoke = (call.position.agent, time.monotonic())
        self.calls += 1
        self.failed += call.status == "failed"
        self.usage += call.usage
        if call.kind == "complete" and (call.status == "answered" or call.usage != Usage()):
            self.cost += Cost.of(call.cost)

    def share_of(self, plan: Plan) -> float | None:
        """The largest share of a limit of the run that is used, from 0 to 1; None without limits."""
        used: dict[str, Any] = {
            "steps": self.step, "calls": self.calls, "tokens": self.usage.total,
            "money": self.cost.dollars, "seconds": self.seconds,
        }  # fmt: skip
        shares = [
            min(1.0, used[name] / limit) for name, limit in plan.limits.items() if limit and name in used
        ]
        return max(shares, default=None)
