"""Running an experiment: which trials are left, in which order, and when it stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Protocol

from attrs import define, evolve, field, frozen

from pyscrai_core import CallRecord, ContractError, Executor, InputError, Trial, TrialResult
from pyscrai_core.config import Settings
from pyscrai_core.plugins import Host
from pyscrai_core.runtime.session import Session
from pyscrai_core.runtime.trials import MOST_SHARED, Meter, Trials, was_made
from pyscrai_core.scenario.spec import SPEC_HOOKS
from pyscrai_core.scenario.structure import Structurer
from pyscrai_language.misfit import Misfit
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store

from .control import Listener, failed_trials
from .experiment import Experiment
from .prepare import Prepared
from .registry import alone, body_of, check_unchanged, forget, lock_of, register, registrations, trials_of
from .spec import BudgetSpec
from .stopping import stopping_of


@define
class Progress:
    """How far an experiment is. `spent` and `calls` are those of all its executions, in US dollars."""

    trials: int
    done: int = 0
    failed: int = 0
    running: int = 0
    paused: bool = False
    calls: int = 0
    spent: float = 0.0
    #: What this execution added, and since when.
    ended_now: int = 0
    spent_now: float = 0.0
    began: float = field(factory=time.monotonic)

    @property
    def left(self) -> int:
        return self.trials - self.done - self.failed

    @property
    def expected(self) -> float | None:
        """What all trials will have cost, in US dollars, as far as can be told."""
        if not self.ended_now:
            return None
        return self.spent + self.spent_now / self.ended_now * self.left

    @property
    def seconds_left(self) -> float | None:
        if not self.ended_now:
            return None
        return (time.monotonic() - self.began) / self.ended_now * self.left


class Watcher(Protocol):
    """Sees an experiment run."""

    def begin(self, stop: Callable[[], None], progress: Progress) -> None: ...
    def moved(self, progress: Progress) -> None: ...


@frozen
class Summary:
    """What an execution of an experiment came to.

    `status` is `completed` (all trials are), `failed` (some trials failed), `stopped` (by a budget, which
    `reason` names) or `interrupted`.
    """

    experiment: str
    status: str
    trials: int
    done: int
    failed: int
    left: int
    ran: int
    calls: int
    spent: float
    reason: str = ""
    failures: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "experiment": self.experiment, "status": self.status, "trials": self.trials, "done": self.done,
            "failed": self.failed, "left": self.left, "ran": self.ran, "calls": self.calls,
            "dollars": round(self.spent, 9), "reason": self.reason, "failures": list(self.failures),
        }  # fmt: skip


def blocks_of(
    prepared: Prepared, known: Mapping[tuple[str, int], RecordedRun], *, retry_failed: bool, limit: int | None
) -> list[list[Trial]]:
    """The trials that are left, by replicate: the arms of one are run one after another.

    So it does not depend on chance who pays for an answer that several arms need.
    """
    experiment = prepared.experiment
    blocks: list[list[Trial]] = []
    for number, seed in enumerate(prepared.seeds[:limit], 1):
        block: list[Trial] = []
        there: list[str] = []
        for arm in experiment.arms:
            run = known.get((arm.name, number))
            labels = {"experiment": experiment.name, "arm": arm.name, "replicate": str(number)}
            if run is None:
                trial = Trial(prepared.plan_of(arm.name, seed), seed, labels, reuse=tuple(there))
                block.append(trial)
                continue
            if run.status != "completed" and (run.status != "failed" or retry_failed):
                block.append(Trial("", seed, labels, run.id))
            else:
                there = [*there, run.id][:MOST_SHARED]
        if experiment.spec.share_answers:
            blocks.append(block)
        else:
            blocks.extend([evolve(trial, reuse=())] for trial in block)
    return [block for block in blocks if block]


def executor_of(experiment: Experiment, host: Host) -> Executor:
    """The executor that an experiment names. Raises `ScenarioError`."""
    use = experiment.executor
    try:
        cls = host.load("executor", use.use)
    except InputError as error:
        raise experiment.error(("executor",), str(error)) from error

    def build(kind: str, value: Any) -> Any:
        raise ContractError(f"an executor names no {kind}")

    try:
        made: Executor = cls(Structurer(SPEC_HOOKS, build).structure(use.options, cls.Config))
    except Misfit as error:
        first = error.found[0]
        raise experiment.error(("executor", *first.below), str(first), first.on_key) from None
    return made


def spent_on(store: Store, runs: Iterable[RecordedRun]) -> tuple[int, float]:
    """How many calls some runs made, and what they paid, in US dollars."""
    calls, dollars = 0, 0.0
    ids = [run.id for run in runs]
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        query = f"""SELECT COUNT(*), COALESCE(SUM("cost"), 0) FROM "calls" WHERE "kind"='complete'
            AND "reused"='' AND "provider"!='' AND "run" IN ({",".join("?" * len(part))})"""
        row = store.connection.execute(query, part).fetchone()
        calls, dollars = calls + row[0], dollars + row[1]
    return calls, dollars


class _Budget(Meter):
    """Stops the experiment before the call that would be one too many."""

    def __init__(self, budget: BudgetSpec, progress: Progress) -> None:
        super().__init__()
        self._budget = budget
        self._progress = progress
        self._under_way = 0
        self.reason = ""
        self.stop: Callable[[], None] = lambda: None

    def on_call(self, call: CallRecord) -> None:
        if call.kind != "complete" or call.journaled:
            return
        if call.status == "started":
            self._under_way += 1
            self.check()
        elif call.status in ("answered", "failed"):
            self._under_way -= 1
            if was_made(call):
                self.add(1, call.cost or 0.0)

    def add(self, calls: int, dollars: float) -> None:
        progress = self._progress
        progress.calls += calls
        progress.spent += dollars
        progress.spent_now += dollars
        self.check()

    def check(self) -> None:
        budget, progress = self._budget, self._progress
        if budget.calls is not None and progress.calls + self._under_way > budget.calls:
            self.spent(f"budget.calls: all of its {budget.calls:,} calls are used")
        if budget.money is not None and progress.spent >= budget.money:
            self.spent(f"budget.money: the experiment has spent ${progress.spent:.6g}")

    def spent(self, reason: str) -> None:
        if not self.reason:
            self.reason = reason
            self.stop()


async def perform(
    prepared: Prepared,
    session: Session,
    settings: Settings,
    *,
    extend: bool = False,
    retry_failed: bool = False,
    limit: int | None = None,
    watcher: Watcher | None = None,
) -> Summary:
    """Run what is left of an experiment (of its first `limit` replicates).

    Its plan is registered before the first trial. Raises `InputError` if it cannot be run, or is not what it
    was.
    """
    experiment, store = prepared.experiment, session.store
    executor = executor_of(experiment, session.host)
    with alone(store, experiment.name):
        known = trials_of(store, experiment.name)
        registered = registrations(store, experiment.name)
        if registered and known:
            check_unchanged(prepared, registered, known, extend=extend)
        elif extend:
            raise experiment.error((), "nothing of it was run yet; begin with: pyscrai experiment run")
        register(store, body_of(prepared), anew=not known)
        try:
            return await _perform(
                prepared, session, settings, executor, known,
                retry_failed=retry_failed, limit=limit, watcher=watcher,
            )  # fmt: skip
        except BaseException:
            if not known and not trials_of(store, experiment.name):
                forget(store, experiment.name)  # as if it had never been tried
            raise


async def _perform(
    prepared: Prepared,
    session: Session,
    settings: Settings,
    executor: Executor,
    known: Mapping[tuple[str, int], RecordedRun],
    *,
    retry_failed: bool,
    limit: int | None,
    watcher: Watcher | None,
) -> Summary:
    experiment, budget = prepared.experiment, prepared.experiment.spec.budget
    stopping = stopping_of(experiment, known)
    if (look := stopping.look()) and look["stopped"]:
        limit = min(limit or look["stopped"], look["stopped"])
    blocks = blocks_of(prepared, known, retry_failed=retry_failed, limit=limit)
    todo = {trial.run for block in blocks for trial in block}
    replicates = len(prepared.seeds[:limit])
    ours = {key: run for key, run in known.items() if key[1] <= replicates}
    progress = Progress(trials=len(experiment.arms) * replicates)
    progress.done = sum(run.status == "completed" for run in ours.values())
    progress.failed = sum(run.status == "failed" and run.id not in todo for run in ours.values())
    progress.calls, progress.spent = spent_on(session.store, known.values())
    meter = _Budget(budget, progress)
    trials = Trials(session, settings, prepared.plans, str(experiment.scenario), meter)
    meter.stop = trials.stop
    stops = 0

    def stop() -> None:
        nonlocal stops
        stops += 1
        trials.stop()

    listener = Listener(session.store, lock_of(experiment.name), trials)
    listener.clear()
    listening = asyncio.ensure_future(listener.listen())
    timer = None
    if budget.seconds is not None:
        reason = f"budget.seconds: this execution has lasted {budget.seconds:g} seconds"
        timer = asyncio.get_running_loop().call_later(budget.seconds, meter.spent, reason)
    failures: list[str] = []
    ran = reached = 0
    concurrency = experiment.spec.concurrency
    progress.running = min(concurrency, len(blocks))
    if watcher is not None:
        watcher.begin(stop, progress)
    meter.check()

    async def results() -> AsyncIterator[TrialResult]:
        trials.approve(blocks)
        async for result in executor.run(blocks, trials, concurrency):
            yield result
        while listener.retry and not trials.stops:
            listener.retry = False
            failed = failed_trials(trials_of(session.store, experiment.name))
            progress.failed -= len(failed)
            again = [
                [Trial("", run.seed, run.labels, run.id)]
                for (_, number), run in failed
                if number <= replicates
            ]
            trials.approve(again)
            async for result in executor.run(again, trials, concurrency):
                yield result

    try:
        async for result in results():
            ran += 1
            progress.ended_now += 1
            if result.run not in trials.here:
                meter.add(result.asked, result.dollars)
            if result.status == "completed":
                progress.done += 1
            elif result.status == "failed":
                progress.failed += 1
                failures.append(_failure(result))
            elif result.status != "interrupted" or not trials.stops:
                failures.append(_failure(result))
            if experiment.spec.stopping and result.run:
                labels = result.trial.labels
                stopping.add(labels["arm"], int(labels["replicate"]), session.store.run(result.run))
                if (look := stopping.look()) and look["stopped"]:
                    trials.enough = True
                    reached = look["stopped"]
            progress.paused = listener.paused
            progress.running = trials.under_way or min(concurrency, sum(map(len, blocks)) - ran)
            if watcher is not None:
                watcher.moved(progress)
    finally:
        listening.cancel()
        listener.clear()
        if timer is not None:
            timer.cancel()
    left = progress.left
    if reached:
        left = max(0, sum(n <= reached for _, n in _unfinished(session.store, experiment, replicates)))
    if stops and left:
        status, reason = "interrupted", "interrupted by a person"
    elif meter.reason and left:
        status = "stopped"
        small = ""
        if not progress.done:
            begun = len(trials_of(session.store, experiment.name))
            small = (
                ", which is too little for one trial"
                if begun == 1
                else f"; {begun} trials had begun, and none had ended: it is too little for one, or too many "
                "are run at the same time (`concurrency`)"
            )
        reason = f"{meter.reason}{small}; continue with a larger one: it is in {experiment.path}"
    else:
        status, reason = ("failed" if progress.failed or left else "completed"), ""
        if meter.reason:
            reason = f"{meter.reason}, when no trial was left"
        if reached:
            reason = f"stopping: the interval excludes zero after replicate {reached}; no more are needed"
    return Summary(
        experiment.name, status, progress.trials, progress.done, progress.failed, left, ran, progress.calls,
        progress.spent, reason, tuple(failures),
    )  # fmt: skip


def _unfinished(store: Store, experiment: Experiment, replicates: int) -> list[tuple[str, int]]:
    """The trials that have neither completed nor failed, by arm and replicate."""
    known = trials_of(store, experiment.name)
    every = [(arm.name, number) for arm in experiment.arms for number in range(1, replicates + 1)]
    return [key for key in every if key not in known or known[key].status not in ("completed", "failed")]


def _failure(result: TrialResult) -> str:
    labels = result.trial.labels
    where = f"{labels['arm']}, replicate {labels['replicate']}"
    return f"{where} (run {result.run}): {result.status}: {result.error.replace('RUN', result.run)}"
