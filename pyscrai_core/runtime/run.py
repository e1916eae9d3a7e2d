"""The run loop: one execution of a scenario, live, resumed or replayed.

All three are the same execution from the start. What the journal answers is not asked again, what the log
holds already is compared instead of written; a replay asks nobody and writes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pyscrai_records.base.log import logger, report
from pyscrai_records.errors import (
    BudgetSpent,
    CallFailed,
    ContractError,
    Divergence,
    EndOfRecord,
    InputError,
    PyscraiError,
    RunStopping,
    StoreError,
    Uncertain,
)
from pyscrai_records.records import RunResult, RunStatus
from pyscrai_records.secret import redact
from pyscrai_records.store.runs import RecordedRun

from ..agent import OnUncertain
from ..calls.call import OUTSIDE
from ..calls.divergence import other_versions
from ..calls.journal import Journal
from ..calls.reuse import Reuse
from ..contracts import Component
from ..discovery.blame import awaitable, check_list, origin, raised, raiser, wrong
from ..display.shown import Events, Result
from ..scenario.plan import Plan, identities
from .binding import Binding
from .call_pipeline import CallPipeline
from .components import Components
from .deadline import Deadline
from .inputs import POLL, Inputs
from .log import Log
from .observers import Observers
from .participant import Participant
from .results import NOTHING, Results
from .rules import Draft
from .session import Session
from .turn import RunScope, RunStage, RunTurn
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
        self.result: RunResult | None = None
        #: For what it waits.
        self._waiting = "the list of tools"
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
        #: How many turns each agent has taken in this step.
        self._ordinals: dict[str, int] = {}
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
        self._deadline = Deadline(self._calls)

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
        if self._main is not None:
            self._main.cancel()

    async def execute(self) -> Result:
        """Run to the end, and return what it came to.

        Failures, spent budgets and interruptions are results too. Raises `Divergence` if this execution
        differs from the recorded one, `StoreError` if the store fails.
        """
        self._main = asyncio.current_task()
        assert self._main is not None
        self._deadline.watch(self._main)
        with logger.contextualize(run=self.id):
            async with self._observers:
                return await self._execute()

    async def _execute(self) -> Result:
        self._observers.begin(self._store, self._components, self._recorded, self._replay)
        self._observers.on_run("running", None)
        status: RunStatus = "completed"
        error, found = "", NOTHING
        try:
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
        except asyncio.CancelledError:
            if self._deadline.late and not self.stopping:
                status, error = "stopped", str(self._calls.budget.late(self._waiting))
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
            if isinstance(failure, Exception) and raiser(failure) is not None:
                status, error = "failed", str(self._broken(None, failure))
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
        self._components = Components(plan, self._components.approval, self._components)
        await self._components.open(replay=self._replay)
        changes = world.enter(plan)
        self._entered += 1
        await self._binding.bind(self._components, f"fork.{self._entered}/tools", world.step)
        for change in changes:
            world.commit(change, OUTSIDE, world.step + 1)
        world.refresh()

    async def _loop(self) -> None:
        await self._run_group(self._world.acting(lambda acts: acts.start))
        self._results.after_step()
        while True:
            await self._before_step()
            scenario = self._world.scenario
            if scenario.stop_when and self._world.value(scenario.stop_when, "stop_when"):
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
            self._ordinals.clear()
            await self._run_group(group)
            await self._run_group(self._world.acting(lambda acts: acts.after_group))
            if not self._components.schedule.schedules_reactions:
                await self._run_group(self._world.pending())
            await self._run_group(self._world.acting(self._world.due))
            self._results.after_step()
        self._world.step += 1
        self._ordinals.clear()
        await self._run_group(self._world.acting(lambda acts: acts.end))
        self._world.step -= 1

    async def _next(self) -> list[str]:
        if self.stopping:
            raise RunStopping
        self._waiting = "the schedule"
        stage = RunStage(self._world, self._calls)
        schedule = self._components.schedule
        try:
            chosen = await awaitable(schedule, "next", schedule.next(stage))
            check_list(schedule, "next", chosen, str, "a list of agents' names")
            group = list(chosen)
        except (PyscraiError, RunStopping, asyncio.CancelledError) as error:
            self._reopen(stage, error)
            raise
        except Exception as error:  # a plugin's schedule may raise anything: the run fails, and names it
            raise self._broken(schedule, error) from error
        if stage.failure.error is not None:
            self._reopen(stage, stage.failure.error)
            raise stage.failure.error
        if unknown := [name for name in group if name not in self._world.participants]:
            raise ContractError(f"{origin(schedule)}: there is no agent {unknown[0]!r}")
        if len(set(group)) != len(group):
            raise ContractError(f"{origin(schedule)}: {group} names an agent twice")
        return group

    async def _run_group(self, names: Sequence[str]) -> None:
        """The turns of some agents at the same time, on the same snapshot, and then their events."""
        if not names:
            return
        # A step is not begun when the run is being stopped; one that is under way may use the journal.
        if self.stopping:
            raise RunStopping
        self._waiting = f"step {self._world.step} ({', '.join(names[:3])})"
        turns = [self._begin(self._world.participants[name]) for name in names]
        if len(turns) == 1:
            errors = [await self._observers.turn(turns[0], self._run_turn(turns[0]))]
        else:
            tasks = [asyncio.ensure_future(self._observers.turn(one, self._run_turn(one))) for one in turns]
            try:
                await asyncio.wait(tasks)
            except asyncio.CancelledError:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                raise
            errors = [task.result() for task in tasks]
        failures = [(turn, error) for turn, error in zip(turns, errors, strict=True) if error is not None]
        for turn, error in failures:
            self._reopen(turn, error)
        if failures:
            # Of several, the one that says most: a stop is only a consequence.
            raise min((error for _, error in failures), key=lambda error: isinstance(error, RunStopping))
        for turn in turns:
            for draft in turn.drafts:
                self._world.commit(draft, turn.agent.name)
            turn.participant.turns += 1
        self._world.refresh()

    def _reopen(self, scope: RunScope, end: BaseException) -> None:
        """The calls whose failure ended a turn are asked again when the run is resumed."""
        self._journal.reopen(scope.failure.calls, end, scope.position.agent, scope.step)

    def _begin(self, participant: Participant) -> RunTurn:
        name = participant.agent.name
        participant.look()
        if participant.triggers:
            cause: int | None = participant.triggers[-1]
            participant.triggers.clear()
        else:
            heard = (event.seq for event in reversed(participant.observed) if event.source != name)
            cause = next(heard, None)
        ordinal = self._ordinals[name] = self._ordinals.get(name, 0) + 1
        return RunTurn(self._world, self._calls, participant, str(ordinal), cause)

    async def _run_turn(self, turn: RunTurn) -> BaseException | None:
        """One turn; how it failed."""
        turn.task = asyncio.current_task()
        agent = turn.agent
        with logger.contextualize(step=self._world.step, agent=agent.name):
            error: BaseException | None = None
            try:
                engine = turn.participant.engine
                returned = await awaitable(engine, "run", engine.run(turn))
                if returned is not None:  # what nobody would hear
                    raise wrong(engine, "run", returned, "nothing: call `turn.say` or `turn.emit`")
            except (PyscraiError, RunStopping) as failure:
                error = failure
            except asyncio.CancelledError as failure:
                error = turn.failure.error or (RunStopping() if self.stopping else failure)
                if asyncio.current_task() is self._main:
                    raise
            except (Exception, SystemExit) as failure:  # noqa: BLE001  a component may raise anything, or exit
                error = self._broken(turn.participant.engine, failure)
            error = turn.failure.error or error
            if agent.on_error == "skip" and isinstance(error, CallFailed):
                turn.drafts = [Draft("turn.failed", {"error": type(error).__name__}, (), turn.cause)]
                return None
            if isinstance(error, PyscraiError) and not isinstance(error, StoreError):
                # Named once, here, wherever it came from.
                error.args = (f"agents.{agent.name}, step {self._world.step}: {error}",)
            return error

    def _broken(self, component: Component | None, error: BaseException) -> ContractError:
        """The failure for what a component raised: `component`, unless the traceback tells of another."""
        # The message is the run's error; the traceback is for who reads the log, or wants to debug.
        failure = raised(error, origin(component) if component else "a component")
        report("INFO", error, "a component raised: {}", failure)
        return failure

    # -- ending and telling --

    def _explained(self, failure: Divergence) -> Divergence:
        """The same, with the plugins that have other versions than they had."""
        assert self._recorded is not None
        changed = other_versions(self._recorded, self._world.plan.host)
        return Divergence(f"run {self.id}: {failure}{changed}", failure.step)

    def _end(self, status: RunStatus, error: str, found: Mapping[str, Any] = NOTHING) -> Result:
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
            self._store.end_run(result)
        self.result, self._deadline.over = result, True
        self._observers.on_run(status, result)
        return result
