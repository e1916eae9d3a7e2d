"""The turns of the agents that act at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pyscrai_records.base.log import logger, report
from pyscrai_records.base.time_limit import Interrupted, ended, spawn
from pyscrai_records.errors import (
    CallFailed,
    ContractError,
    PyscraiError,
    RunStopping,
    StoreError,
    ToolFailed,
)

from ..calls.journal import Journal
from ..contracts import Component
from ..discovery.blame import awaitable, origin, raised, raiser, wrong
from .call_pipeline import CallPipeline
from .observers import Observers
from .participant import Participant
from .rules import Draft
from .turn import RunScope, RunTurn
from .world import World


class Groups:
    """Runs one group after another: the turns of its agents, and then their events."""

    def __init__(self, world: World, calls: CallPipeline, journal: Journal, observers: Observers) -> None:
        self._world, self._calls, self._journal, self._observers = world, calls, journal, observers
        #: The tasks of the turns that are taken at the same time; of one alone it is that of the run.
        self.tasks: Sequence[asyncio.Task[Any]] = ()
        #: For what the run waits, as messages say it.
        self.waiting = "an observer"
        #: The component in which the first turn ended that was cancelled.
        self.ended_in: Component | None = None
        self._main: asyncio.Task[Any] | None = None
        #: How many turns each agent has taken in this step.
        self._ordinals: dict[str, int] = {}

    def new_step(self) -> None:
        self._ordinals.clear()

    async def run(self, names: Sequence[str]) -> None:
        """The turns of some agents at the same time, on the same snapshot, and then their events."""
        if not names:
            return
        # A step is not begun when the run is being stopped; one that is under way may use the journal.
        if self._calls.stopping:
            raise RunStopping
        self.waiting = f"step {self._world.step} ({', '.join(names[:3])})"
        self._main = asyncio.current_task()
        turns = [self._begin(self._world.participants[name]) for name in names]
        if len(turns) == 1:
            errors = [await self._observers.turn(turns[0], self._run_turn)]
        else:
            tasks = self.tasks = [spawn(self._observers.turn(one, self._run_turn)) for one in turns]
            await ended(tasks)
            errors = [task.result() for task in tasks]
            self.tasks = ()
        if self._calls.over:  # it was left behind, and has come back
            raise RunStopping
        failures = [(turn, error) for turn, error in zip(turns, errors, strict=True) if error is not None]
        for turn, error in failures:
            self.reopen(turn, error)
        if failures:
            # Of several, the one that says most: a stop is only a consequence.
            raise min((error for _, error in failures), key=lambda error: isinstance(error, RunStopping))
        for turn in turns:
            for draft in turn.drafts:
                self._world.commit(draft, turn.agent.name)
            turn.participant.turns += 1
        self._world.refresh()

    def reopen(self, scope: RunScope, end: BaseException) -> None:
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
        assert turn.task is not None
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
                told = turn.task.cancelling() or self._calls.stopping or self._calls.late
                if not told and not isinstance(failure, Interrupted):
                    error = broken(turn.participant.engine, failure)  # a component raised it by itself
                else:
                    self.ended_in = self.ended_in or raiser(failure)
                    error = turn.failure.error or (RunStopping() if self._calls.stopping else failure)
                    if turn.task is self._main:
                        raise
            except (Exception, SystemExit) as failure:  # noqa: BLE001  a component may raise anything, or exit
                error = broken(turn.participant.engine, failure)
            error = turn.failure.error or error
            if agent.on_error == "skip" and isinstance(error, CallFailed):
                turn.drafts = [Draft("turn.failed", {"error": type(error).__name__}, (), turn.cause)]
                return None
            if isinstance(error, ToolFailed) and error.fault:
                error.args = (f"{error} ({error.fault})",)  # which an agent is not told
            if isinstance(error, PyscraiError) and not isinstance(error, StoreError):
                # Named once, here, wherever it came from.
                error.args = (f"agents.{agent.name}, step {self._world.step}: {error}",)
            return error


def broken(component: Component | None, error: BaseException) -> ContractError:
    """The failure for what a component raised: `component`, unless the traceback tells of another."""
    # The message is the run's error; the traceback is for who reads the log, or wants to debug.
    failure = raised(error, origin(component) if component else "a component")
    report("INFO", error, "a component raised: {}", failure)
    return failure
