"""The run loop: one execution of a scenario, live, resumed or replayed.

All three are the same execution from the start. What the journal answers is not asked again, what the log
holds already is compared instead of written; a replay asks nobody and writes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

from pyscrai_records.base.log import logger
from pyscrai_records.base.time_limit import Watch
from pyscrai_records.errors import (
    BudgetSpent,
    ContractError,
    Divergence,
    EndOfRecord,
    InputError,
    PyscraiError,
    RunStopping,
    StoreError,
    Uncertain,
)
from pyscrai_records.records import RunStatus
from pyscrai_records.secret import redact
from pyscrai_records.store.runs import RecordedRun

from ..agent import OnUncertain
from ..calls.call import OUTSIDE
from ..calls.divergence import other_versions
from ..calls.journal import Journal
from ..calls.reuse import Reuse
from ..contracts import Component
from ..discovery.blame import awaitable, check_list, executing, origin, raiser, waiting
from ..display.shown import Events, Result
from ..scenario.plan import Plan, identities
from .binding import Binding
from .call_pipeline import CallPipeline
from .components import Components
from .deadline import Deadline
from .groups import Groups, broken
from .inputs import POLL, Inputs
from .log import Log
from .observers import Observers
from .results import NOTHING, Results
from .rules import Draft
from .session import Session
from .turn import RunStage
from .world import World

#: Seconds for which calls in flight may still be answered when a run is stopped.
DRAIN = 10.0


class _Reached(Exception):
    """The step up to which a part of a run is executed again is over."""


class Run:
    """One execution. `recorded` is the run as it is in the store, for a resume or a replay.

    The components are opened; those behind a fork replace them.

    With `until`, a replay ends when that step is over. `reuse` finds answers of other runs; `on_uncertain`
    decides on tools of which nobody knows whether they acted.
    """

    def __init__(
        self,
        components: Components,
        session: Session,
        run: str,
        *,
        recorded: RecordedRun | None = None,
        replay: bool = False,
        until: int | None = None,
        reuse: Reuse | None = None,
        on_uncertain: OnUncertain | None = None,
    ) -> None:
        self.id = run
        self.stopping = False
        #: Whether it came to the end of the step `until`.
        self.reached = False
        self.result: Result | None = None
        plan = components.plan
        self._components = components
        self._until = until
        self._segments = list(plan.segments)
        self._entered = 0
        self._store = session.store
        self._recorded = recorded
        self._replay = replay
        self._completed = recorded is not None and recorded.status == "completed"
        self._observers = Observers(run, session.observers)
        log = Log(self._store, run, recorded, replay)
        self._world = World(plan, log, self._observers.on_event)
        self._results = Results(self._world)
        self._main: asyncio.Task[Any] | None = None
        #: The last step of which anything is recorded: what arrives now is taken in behind it.
        self._last_recorded = recorded.last_recorded_step() if recorded else -1
        # A run that ended may have taken an event in before a step that it did not take.
        reached = self._last_recorded if recorded and recorded.ended is None else 0
        self._recorded_steps = max(recorded.steps, reached) if recorded else 0
        self._inputs = Inputs(self._store, run, session.controls)
        self._journal = Journal(self._store, run, recorded, replay)
        #: The events from outside that the recorded run took in.
        self._outside = recorded.inputs() if recorded else []
        self._calls = CallPipeline(
            self._world,
            self._journal,
            session,
            components.providers,
            self._observers,
            identities=identities(plan.last) if not (replay and plan.segments) else {},
            reuse=reuse,
            on_uncertain=on_uncertain,
        )
        self._binding = Binding(self._world, self._calls)
        self._groups = Groups(self._world, self._calls, self._journal, self._observers)
        self._deadline = Deadline(self._calls)
        self._watch: Watch | None = None

    # -- executing --

    def stop(self) -> None:
        """Stop soon: no new call starts, those in flight may still be answered for `DRAIN` seconds."""
        if self.stopping or self.result is not None:
            self.cancel()
            return
        self.stopping = True
        self._calls.stop()
        asyncio.get_running_loop().call_later(DRAIN, self.cancel)

    def cancel(self) -> None:
        """Stop at once. What was committed stays."""
        self.stopping = True
        self._calls.stop()
        if self._watch is not None:
            self._watch.end_now()

    async def execute(self, watch: Watch) -> Result:
        """Run to the end, and return what it came to.

        Failures, spent budgets and interruptions are results too. Raises `Divergence` if this execution
        differs from the recorded one, `StoreError` if the store fails.
        """
        self._main, self._watch = asyncio.current_task(), watch
        self._deadline.begin(watch)
        with logger.contextualize(run=self.id):
            await self._observers.open(watch)
            try:
                return await self._execute()
            finally:
                watch.begin(None)
                await self._observers.close(watch)

    def leave(self, blocked: FrameType | None = None) -> Result:
        """End it where plugin code does not: what that still does has no effect.

        blocked
            where the thread of the event loop is, if that is blocked; observers are not told then
        """
        late = self._deadline.late and not self.stopping
        found = [waiting(task.get_coro()) for task in (self._main, *self._groups.tasks) if task is not None]
        culprit = executing(blocked) if blocked else next(filter(None, reversed(found)), None)
        self.stopping = self._calls.over = True
        self._calls.stop()
        who = self._waits_for(culprit)
        left = f"{who} which catches that it is cancelled,"
        return self._end(
            "stopped" if late else "interrupted",
            str(self._calls.budget.late(left)) if late else f"interrupted, and {who} did not end",
            tell=blocked is None,
        )

    def _waits_for(self, culprit: Component | None) -> str:
        waiting = self._groups.waiting
        if self._deadline.held:
            return f"a call that waits for provider {self._deadline.held!r}, in {waiting},"
        return f"{origin(culprit)}, in {waiting}," if culprit else waiting

    async def _execute(self) -> Result:
        self._observers.begin(self._store, self._components, self._recorded, self._replay)
        self._observers.on_run("running", None)
        status: RunStatus = "completed"
        error, found = "", NOTHING
        try:
            self._groups.waiting = "the list of tools"
            await self._binding.bind(self._components, "tools", 0)
            await self._loop()
            found = self._results.finish()
            self._world.log.check_complete()
        except (BudgetSpent, Uncertain) as failure:
            status, error = "stopped", str(failure)
        except EndOfRecord as failure:
            assert self._recorded is not None
            if self._completed:
                raise Divergence(f"{failure}; the recorded run completed without this call") from None
            status, error = self._recorded.status, self._recorded.error
            try:
                self._world.log.check_complete()
            except Divergence as difference:
                raise self._explained(difference) from None
        except _Reached:
            status, self.reached = "interrupted", True
        except RunStopping:
            status, error = "interrupted", "interrupted by a person"
        except asyncio.CancelledError as failure:
            if self._deadline.late and not self.stopping:
                who = self._groups.ended_in or raiser(failure)
                status, error = "stopped", str(self._calls.budget.late(self._waits_for(who)))
            elif not self.stopping:
                self._end("interrupted", "cancelled")
                raise
            else:
                status, error = "interrupted", "interrupted by a person"
        except KeyboardInterrupt:
            self._end("interrupted", "interrupted by a person")
            raise
        except Divergence as failure:
            if self._recorded is not None and not self._replay:
                self._store.restore_run(self._recorded)
            raise self._explained(failure) from failure
        except StoreError:
            raise
        except InputError as failure:
            self._end("failed", str(failure))
            raise
        except PyscraiError as failure:
            status, error = "failed", str(failure)
        except BaseException as failure:  # recorded, and raised again if it is no plugin's fault
            if not isinstance(failure, GeneratorExit) and raiser(failure) is not None:
                status, error = "failed", str(broken(None, failure))
            else:
                self._end("failed", f"{type(failure).__name__}: {failure}")
                raise
        return self._end(status, error, found)

    # -- between two steps --

    async def _before_step(self) -> None:
        """Before a step: apply a fork's changes, and take in the events from outside."""
        if self._until is not None and self._world.step >= self._until:
            raise _Reached
        while self._segments and self._world.step >= self._segments[0].after:
            await self._enter_segment(self._segments.pop(0).plan)
        step = self._world.step + 1
        while self._outside and self._outside[0]["step"] == step:
            self._calls.made += 1
            self._add_input(self._outside.pop(0), step)
        if not self._replay and step > self._last_recorded and self._inputs.arrived():
            await self._pause()
            for number, (source, body) in enumerate(self._inputs.events(step), 1):
                self._add_input(await self._calls.take_in(step, number, body, source), step)

    def _add_input(self, body: dict[str, Any], step: int) -> None:
        draft = Draft(body["kind"], body["payload"], tuple(body["audience"]))
        try:
            draft = self._world.rules.outside(draft.kind, draft.payload, draft.audience)
        except ContractError as reason:
            # It was checked when it was sent, but for what the scenario's own code declares.
            draft = draft.rejected(reason)
        self._world.commit(draft, OUTSIDE, step)
        self._world.refresh()

    async def _pause(self) -> None:
        """Wait while a person wants the run to be paused."""
        if not self._inputs.pausing():
            return
        await self._store.writer.committed()
        began = time.monotonic()
        self._deadline.paused = True
        self._show("paused")
        while self._inputs.pausing():
            if self.stopping:
                raise RunStopping
            await asyncio.sleep(POLL)
        self._calls.budget.paused(time.monotonic() - began)
        self._deadline.paused = False
        self._show("running")

    def _show(self, status: RunStatus) -> None:
        self._store.set_status(self.id, status)
        self._observers.on_run(status, None)

    async def _enter_segment(self, plan: Plan) -> None:
        """Apply the changes of a fork."""
        world = self._world
        former, watch = self._components, self._watch
        assert watch is not None
        self._components = Components(plan, former.approval, former, replay=self._replay)
        await self._components.open(watch)
        changes = world.enter(plan)
        self._entered += 1
        await self._binding.bind(self._components, f"fork.{self._entered}/tools", world.step)
        for change in changes:
            world.commit(change, OUTSIDE, world.step + 1)
        world.refresh()

    def _stops(self) -> bool:
        """Whether `stop_when` holds. Raises `ContractError`."""
        stop_when = self._world.scenario.stop_when
        try:
            return stop_when is not None and bool(self._world.value(stop_when, "stop_when"))
        except ContractError as error:
            # A resume with another condition could have ended before.
            last = len(self._world.log.events)
            way = f"continue in a fork: pyscrai fork RUN --at {last}" if last else "run it again with"
            raise ContractError(f"{error}; correct it, and {way} --set stop_when=…") from None

    async def _loop(self) -> None:
        await self._groups.run(self._world.acting(lambda acts: acts.start))
        self._results.after_step()
        while True:
            await self._before_step()
            scenario = self._world.scenario
            if self._stops():
                break
            if scenario.limits.steps is not None and self._world.step >= scenario.limits.steps:
                raise BudgetSpent(
                    f"limits.steps: the run has taken {self._world.step} steps; "
                    "continue with more: pyscrai resume RUN --set limits.steps=…"
                )
            group = await self._next()
            if not group:
                break
            self._world.step += 1
            if self._replay and not self._completed and self._world.step > self._recorded_steps:
                self._world.step -= 1
                raise EndOfRecord(f"step {self._world.step + 1}: the recorded run ended before it")
            self._groups.new_step()
            await self._groups.run(group)
            await self._groups.run(self._world.acting(lambda acts: acts.after_group))
            if not self._components.schedule.schedules_reactions:
                await self._groups.run(self._world.pending())
            await self._groups.run(self._world.acting(self._world.due))
            self._results.after_step()
        self._world.step += 1
        self._groups.new_step()
        await self._groups.run(self._world.acting(lambda acts: acts.end))
        self._world.step -= 1

    async def _next(self) -> list[str]:
        if self.stopping:
            raise RunStopping
        self._groups.waiting = "the schedule"
        stage = RunStage(self._world, self._calls)
        schedule = self._components.schedule
        try:
            chosen = await awaitable(schedule, "next", schedule.next(stage))
            check_list(schedule, "next", chosen, str, "a list of agents' names")
            group = list(chosen)
        except (PyscraiError, RunStopping, asyncio.CancelledError) as error:
            self._groups.reopen(stage, error)
            raise
        except (Exception, SystemExit) as error:  # a plugin's schedule may raise anything
            raise broken(schedule, error) from error
        if stage.failure.error is not None:
            self._groups.reopen(stage, stage.failure.error)
            raise stage.failure.error
        if unknown := [name for name in group if name not in self._world.participants]:
            raise ContractError(f"{origin(schedule)}: there is no agent {unknown[0]!r}")
        if len(set(group)) != len(group):
            raise ContractError(f"{origin(schedule)}: {group} names an agent twice")
        return group

    # -- ending and telling --

    def _explained(self, failure: Divergence) -> Divergence:
        """The same, with the plugins that have other versions than they had."""
        assert self._recorded is not None
        changed = other_versions(self._recorded, self._world.plan.host)
        return Divergence(f"run {self.id}: {failure}{changed}", failure.step)

    def _end(
        self, status: RunStatus, error: str, found: Mapping[str, Any] = NOTHING, *, tell: bool = True
    ) -> Result:
        if self.result is not None:  # it was left behind
            return self.result
        error = redact(error)
        # What an earlier execution came to is kept, also if this one ended before it.
        steps = self._world.step if self._replay else max(self._world.step, self._world.log.rest())
        result = Result(
            run=self.id,
            scenario=self._world.scenario.name,
            seed=self._world.seed,
            status=status,
            fingerprint=self._world.log.fingerprint,
            steps=steps,
            events=Events(self._world.log.events, self.id),
            calls=self._calls.made,
            asked=self._calls.asked,
            usage=self._calls.usage,
            error=error,
            cost=self._calls.cost,
            truncated=self._calls.truncated,
            **found,
        )
        if status == "completed" and not self._replay:
            for _, late in self._inputs.events():
                logger.warning(
                    "the event {!r} by {} came too late: the run was over", late["kind"], late["author"]
                )
        if not self._replay:
            self._store.end_run(result, self._journal.number)
        self.result = result
        if tell:
            self._observers.on_run(status, result)
        return result
