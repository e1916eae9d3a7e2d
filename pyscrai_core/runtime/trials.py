"""The trials of an experiment: runs of a few plans under many seeds, in one process or in several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from attrs import define, evolve, field

from pyscrai_records.errors import PyscraiError, StoreError
from pyscrai_records.store.store import Store

from ..base.progress import CallRecord
from ..config import Settings
from ..contracts import Observer, Trial, TrialResult
from ..scenario import plan as planning
from ..scenario.manifest import Manifest
from ..scenario.plan import Plan
from ..scenario.trust import Gate
from . import execution
from .session import Controls, Running, Session, configured_observers

#: A trial takes over answers of so many others of its block at most, the first ones.
MOST_SHARED = 100


class Meter(Observer):
    """Counts the calls that are made, and what they cost: also those of which no answer came."""

    def __init__(self) -> None:
        self.asked, self.dollars = 0, 0.0

    def on_call(self, call: CallRecord) -> None:
        if was_made(call):
            self.asked += 1
            self.dollars += call.cost or 0.0


def was_made(call: CallRecord) -> bool:
    """Whether this is the end of a completion that somebody was asked for now, as the store counts them."""
    ended = call.status == "answered" or (call.status == "failed" and bool(call.provider))
    return ended and call.kind == "complete" and not call.journaled


@define(eq=False)
class Trials:
    """Runs blocks: trials one after another, each of which takes over answers of those before it.

    After `stop` no trial starts, and those that run end soon; after a second one at once. `stops` counts
    them. While it is paused, no trial starts, and those that run wait before their next step. A pickled one
    has the manifests of the plans and what a person approved, and works in another process, inside of
    `opened`. Whoever runs it there passes on each of its `orders` to `obey`.
    """

    session: Session | None
    settings: Settings
    plans: Mapping[str, Plan]
    where: str
    #: What all trials together made and paid in this process.
    meter: Meter = field(factory=Meter)
    stops: int = 0
    #: What it was told so far: `stop`, `pause`, `continue`, or limits by provider.
    orders: list[Any] = field(factory=list)
    #: What was changed by orders, for all trials of this process.
    controls: Controls = field(factory=Controls)
    #: Cleared while trials are paused.
    proceeding: asyncio.Event = field(factory=asyncio.Event)
    #: How many blocks may be run at the same time, if that was changed; executors look at it.
    concurrency: int | None = None
    #: Whether no further block is to be begun.
    enough: bool = False
    #: The runs that this process executed; what they cost, `meter` has counted.
    here: set[str] = field(factory=set)
    _running: set[Running] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.proceeding.set()

    def __reduce__(self) -> Any:
        assert self.session is not None
        manifests = {name: plan.manifest.to_dict() for name, plan in self.plans.items()}
        return _Closed, (self.settings, manifests, self.where, self.session.gate.for_workers())

    @property
    def under_way(self) -> int:
        """How many trials run in this process."""
        return len(self._running)

    def opened(self, processes: int) -> AbstractContextManager[Trials]:
        return nullcontext(self)  # where it was made, it is open

    def approve(self, blocks: Sequence[Sequence[Trial]]) -> None:
        """Have approved what the recorded runs among these trials demand, before any of them goes on.

        Each is what its own manifest says, whatever the plans are. Nobody can be asked in another process.
        Raises `TrustRequired`.
        """
        assert self.session is not None
        asked: set[str] = set()
        for run in (trial.run for block in blocks for trial in block if trial.run):
            recorded = self.session.store.run(run)
            manifest = Manifest.to_execute(recorded)
            if manifest.content not in asked:
                asked.add(manifest.content)
                settled = manifest.settled(manifest.changes)
                plan = planning.from_manifest(settled, self.session.host, replay=False)
                execution.approve_recorded(self.session, recorded, plan)

    def stop(self) -> None:
        self.obey("stop")

    def obey(self, order: Any) -> None:
        """Carry out an order. Limits are those of the whole experiment; each process takes its share."""
        self.orders.append(order)
        if order == "stop":
            self.stops += 1
            self.proceeding.set()
            for run in list(self._running):
                run.stop()
        elif order in ("pause", "continue"):
            self.controls.paused = order == "pause"
            self.proceeding.clear() if order == "pause" else self.proceeding.set()
        elif self.session is not None:
            for name, limits in order.items():
                share = {key: max(1, number // self.session.processes) for key, number in limits.items()}
                self.controls.limits.setdefault(name, {}).update(share)

    async def run(self, block: Sequence[Trial]) -> AsyncIterator[TrialResult]:
        done: list[str] = []
        for trial in block if not self.enough else ():
            await self.proceeding.wait()
            if self.stops:
                return
            result = await self._run(trial, done)
            done.append(result.run)
            yield result

    async def _run(self, trial: Trial, done: Sequence[str]) -> TrialResult:
        assert self.session is not None
        begun: list[Running] = []

        def begin(run: Running) -> None:
            begun.append(run)
            self._running.add(run)
            self.here.add(run.id)
            if self.stops:
                run.stop()

        meter = Meter()
        observers = (*self.session.observers, meter, self.meter)
        session = evolve(self.session, begin=begin, observers=observers, controls=self.controls)
        try:
            if trial.run:
                result = await execution.resume(session, trial.run)
            else:
                plan = self.plans[trial.plan]
                if plan.scenario.seed != trial.seed:
                    plan = plan.with_seed(trial.seed)
                reuse = [*trial.reuse, *done][:MOST_SHARED]
                result = await execution.start(session, plan, self.where, reuse=reuse, labels=trial.labels)
            run, status, error = result.run, result.status, result.error
        except StoreError:
            raise
        except PyscraiError as failure:
            if not begun:  # nothing was run, and other trials would not be either
                raise
            run, error = begun[0].id, str(failure)
            status = session.store.run(run).status
        finally:
            self._running.difference_update(begun)
        return TrialResult(trial, run, status, error, meter.asked, meter.dollars)


@define
class _Closed:
    """What `Trials` are in another process, until they are `opened`."""

    settings: Settings
    manifests: Mapping[str, dict[str, Any]]
    where: str
    gate: Gate

    @contextmanager
    def opened(self, processes: int) -> Iterator[Trials]:
        host = self.settings.host()
        plans = {
            name: planning.from_manifest(Manifest.from_dict(manifest), host, replay=False)
            for name, manifest in self.manifests.items()
        }
        with Store.open(self.settings.store, create=False) as store:
            session = Session(
                store, host, prices=self.settings.prices, gate=self.gate, processes=processes,
                observers=configured_observers(self.settings, host, self.gate),
            )  # fmt: skip
            yield Trials(session, self.settings, plans, self.where)
