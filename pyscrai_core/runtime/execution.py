"""Executing: a new run, a recorded one again, a fork of one."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from types import FrameType

import attrs

from pyscrai_records.base.collector import passed_over
from pyscrai_records.base.log import clean
from pyscrai_records.base.time_limit import LeftBehind
from pyscrai_records.errors import ConfigError, Divergence, StoreError
from pyscrai_records.store.maintenance import remove_runs
from pyscrai_records.store.runs import RecordedRun, as_labels
from pyscrai_records.store.store import Prefix

from ..agent import OnUncertain
from ..calls.prices import Prices, check_prices
from ..calls.reuse import Reuse, Source
from ..display.shown import Result
from ..scenario import plan as planning
from ..scenario.manifest import Fork, Manifest
from ..scenario.overrides import Override
from ..scenario.plan import Plan
from ..scenario.trust import Approval, Gate
from .components import Components, watch_components, who_draws
from .rules import state_changes
from .run import Run
from .session import Running, Session


def approve(gate: Gate, plan: Plan, where: str) -> Approval:
    """The approval of what a plan demands. Raises `TrustRequired`."""
    return gate.approve(where, plan.content, plan.demands)


def approve_recorded(session: Session, recorded: RecordedRun, plan: Plan) -> Approval:
    """The same for a recorded run, as which `plan` is executed.

    What ran here was approved when it began; what came from elsewhere was not, whatever it says of itself.
    """
    where = f"run {recorded.id} (its files: pyscrai show {recorded.id} --file NAME)"
    demands = [demand for part in plan.all for demand in part.demands]
    return session.gate.approve(where, Manifest.to_execute(recorded).content, demands)


def ask_first(session: Session, recorded: RecordedRun, *, replay: bool) -> None:
    """Ask a person for the approval that a recorded run needs, before anything else is shown to them."""
    if session.gate.confirm is not None:
        manifest = Manifest.to_execute(recorded)
        approve_recorded(session, recorded, planning.from_manifest(manifest, session.host, replay=replay))


async def start(
    session: Session,
    plan: Plan,
    where: str,
    *,
    reuse: bool | Sequence[str] = False,
    labels: Mapping[str, str] | None = None,
) -> Result:
    """Execute a plan from `where` as a new run with these labels.

    With `reuse`, answers of other runs are taken over: of all but imported ones, or of those that are named.
    """
    store, named = session.store, as_labels(labels)
    source = "all" if reuse is True else ",".join(store.ids(reuse or ())) or "none"
    approval = approve(session.gate, plan, where)
    session.gate.remember(where, plan.manifest.content, plan.source.recorded_demands)

    with ExitStack() as owned:

        def new(components: Components) -> Run:
            draws, _ = who_draws(plan.scenario, components.providers, None)
            manifest = attrs.evolve(plan.manifest, reuse=source, draws=draws).to_dict()
            run = store.create_run(plan.scenario.name, plan.scenario.seed, manifest, labels=named)
            owned.callback(store.release, run)
            return Run(components, session, run, reuse=Reuse.of(store, run, source, ""))

        return await _perform(session, plan, approval, new)


async def resume(
    session: Session,
    ref: str,
    *,
    overrides: Sequence[Override] = (),
    on_uncertain: OnUncertain | None = None,
    accept_changes: bool = False,
) -> Result:
    """Go on with a recorded run, or with a fork of it where this execution differs and that is accepted."""
    store = session.store
    recorded = store.run(ref)
    _check_unfinished(recorded)
    store.own(recorded.id)
    try:
        recorded = store.run(recorded.id)  # as it is now that nobody else can change it
        _check_unfinished(recorded)
        last = recorded.last_call()
        manifest = Manifest.to_execute(recorded)
        changes = {**manifest.changes, **{one.path: one.value for one in overrides}}
        settled = manifest.settled(changes)
        # What was run once stays as it is; what is changed now is checked before anything is spent.
        check = any(one.has_expression for one in overrides)
        plan = planning.from_manifest(settled, session.host, replay=False, check=check)
        approval = approve_recorded(session, recorded, plan)

        def old(components: Components) -> Run:
            store.reopen_run(recorded.id, manifest.resumed(changes, plan.manifest).to_dict())
            session.new_forks.discard(recorded.id)
            return Run(
                components, session, recorded.id, recorded=recorded, on_uncertain=on_uncertain,
                reuse=Reuse.of(store, recorded.id, manifest.reuse, recorded.parent),
            )  # fmt: skip

        return await _perform(session, plan, approval, old)
    except Divergence as difference:
        if not accept_changes or difference.step is None:
            store.remove_answers(recorded.id, last)
            raise Divergence(
                f"{difference}\nto continue with the change, in a fork: pyscrai resume {recorded.id} "
                "--accept-changes",
                difference.step,
            ) from difference
        kept = difference.step - 1
        fork = Fork(recorded.id, kept, recorded.events_until(kept), accepted=str(difference))
        forked = settled.forked(fork, plan.last.manifest, "parent")
        session.gate.remember(f"a fork of run {recorded.id}", forked.content, approval.demands)
        run = _write_fork(session, recorded, forked)
    finally:
        store.release(recorded.id)
        if recorded.id in session.new_forks:  # what cannot begin is not left behind
            with suppress(StoreError):  # where that fails too, the first error says why
                remove_runs(store, [recorded.id])
    return await resume(session, run, on_uncertain=on_uncertain)


async def replay(session: Session, ref: str, *, until: int | None = None) -> Result:
    """Execute a recorded run again (to the end of step `until`) and compare; nothing is asked or written."""
    recorded = session.store.run(ref)
    manifest = Manifest.to_execute(recorded)
    settled = manifest.settled(manifest.changes).without_limits()
    plan = planning.from_manifest(settled, session.host, replay=True)
    approval = approve_recorded(session, recorded, plan)

    def old(components: Components) -> Run:
        return Run(components, session, recorded.id, recorded=recorded, replay=True, until=until)

    return await _perform(session, plan, approval, old, replay=True)


def _check_unfinished(recorded: RecordedRun) -> None:
    if recorded.status == "completed":
        raise StoreError(
            f"run {recorded.id}: it is completed, there is nothing to resume; see: pyscrai replay, and "
            "pyscrai fork"
        )


# -- forks --


async def fork(
    session: Session,
    ref: str,
    at: int,
    *,
    overrides: Sequence[Override] = (),
    seed: int | None = None,
    reuse: Source = "parent",
) -> str:
    """Write a fork of a run behind the step of the event `at`, ready to be resumed; its id.

    What comes before is executed again and compared first, so that nothing is written if it is not as it was.
    """
    store, host = session.store, session.host
    recorded = store.run(ref)
    manifest = Manifest.to_execute(recorded)
    manifest = manifest.settled(manifest.changes)
    step = _step_of(recorded, at)
    changes = bool(overrides) or seed is not None
    # Unless it changes, the fork asks the providers of the run: a fork that is refused must not be left.
    before = planning.from_manifest(manifest, host, replay=changes)
    approval = approve_recorded(session, recorded, before)
    plan = None
    if changes:
        if later := [one for one in manifest.changing_forks if one.after > step]:
            raise StoreError(
                f"run {recorded.id}: event {at} is before step {later[0].after}, behind which it was "
                f"forked from another run; fork that one: pyscrai fork {later[0].parent} --at {at}"
            )
        plan = planning.changed(manifest, overrides, seed, host)
        _check_history(recorded, step, plan)
        try:
            list(state_changes(before.last.scenario, plan.scenario))
        except ValueError as error:
            raise ConfigError(f"the fork of {recorded.id}: {error}") from None
        files = manifest.known_files
        same = all(files.get(name) == text for name, text in plan.source.files.items())
        if not (same and approval.demands.issuperset(plan.demands)):
            approval |= approve(session.gate, plan, f"the fork of {recorded.id}")
    executed: list[Running] = []
    try:
        whole = attrs.evolve(session, observers=(), begin=executed.append)
        with store.snapshot():  # the run may be executed meanwhile
            await replay(whole, recorded.id, until=step)
    except Divergence as difference:
        raise Divergence(
            f"{difference}\na fork keeps what was, and with these plugins it would not be the same",
            difference.step,
        ) from difference
    if not executed[0].reached:
        raise StoreError(
            f"run {recorded.id}: event {at} belongs to step {step}, which is not finished; resume the run "
            f"first, or fork it at {recorded.events_until(step - 1)}, the last event before that step"
        )
    given = Fork(recorded.id, step, at, {one.path: one.text for one in overrides}, seed)
    if plan is not None:
        files = {
            name: text for name, text in plan.source.files.items() if manifest.known_files.get(name) != text
        }
        given = attrs.evolve(given, scenario=plan.scenario.document, files=files)
    forked = manifest.forked(given, plan.manifest if plan else None, reuse)
    demands = {*approval.demands, *(plan.source.recorded_demands if plan else ())}
    session.gate.remember(f"a fork of run {recorded.id}", forked.content, demands)
    return _write_fork(session, recorded, forked)


def _step_of(recorded: RecordedRun, at: int) -> int:
    """The step of the event `at`. Raises `StoreError` if nothing could follow on it."""
    count = recorded.count_events()
    if not count:
        raise StoreError(
            f"run {recorded.id}: it has no event yet, so there is nothing to fork at; continue it with: "
            f"pyscrai resume {recorded.id}"
        )
    if not 1 <= at <= count:
        raise StoreError(
            f"run {recorded.id}: it has no event {at}; expected a number from 1 to {count}, as pyscrai log "
            f"{recorded.id} shows them"
        )
    step = next(recorded.events(after=at - 1)).step
    if recorded.status == "completed" and step > recorded.steps:
        raise StoreError(
            f"run {recorded.id}: event {at} belongs to the closing turns (acts: end), behind which nothing "
            f"follows; fork it at {recorded.events_until(recorded.steps)}, the last event before them"
        )
    return step


def _check_history(recorded: RecordedRun, step: int, plan: Plan) -> None:
    """Raise `ConfigError` if an agent is taken away that did something before the fork."""
    for name in recorded.sources(step):
        if not name.startswith("@") and name not in plan.scenario.agents:
            raise ConfigError(
                f"the fork of {recorded.id}: agents.{name} is taken away, and it has a history; let it be "
                "silent instead, such as with: acts: end"
            )


def _write_fork(session: Session, recorded: RecordedRun, manifest: Manifest) -> str:
    """Write the fork of a run that a manifest ends with; its id. Not owned any more."""
    fork = manifest.forks[-1]
    seed = recorded.seed if fork.scenario is None else fork.scenario["seed"]
    # An event that came too late for the parent comes as late in the fork.
    waits = recorded.steps + 2 if recorded.status == "completed" else recorded.last_recorded_step() + 1
    prefix = Prefix(recorded.id, fork.after, waits)
    run = session.store.create_run(recorded.scenario, seed, manifest.to_dict(), prefix=prefix)
    session.new_forks.add(run)
    session.store.release(run)
    return run


# -- executing --


async def _perform(
    session: Session,
    plan: Plan,
    approval: Approval,
    make: Callable[[Components], Run],
    *,
    replay: bool = False,
) -> Result:
    # Components are opened first: what cannot be opened leaves no run behind.
    components, made, passing = Components(plan, approval, replay=replay), list[Run](), ExitStack()

    async def work() -> Result:
        try:
            await components.open(watch)
            if not replay:
                prices = Prices(session.prices, components.providers)
                prices.load()
                check_prices(prices, plan.last.scenario)
            run = make(components)
            made.append(run)
            if session.begin is not None:
                session.begin(run)
            passing.enter_context(passed_over())
            return await run.execute(watch)
        except Exception as error:  # whatever it is, a caller who shows it must not show a key
            clean(error)
            raise
        finally:
            await components.close(watch)

    def ended(blocked: FrameType | None = None) -> Result:
        """How it ended, where plugin code does not."""
        if not made:
            raise components.not_opened(watch.cancelled)
        if made[0].result is None:
            return made[0].leave(blocked)
        if components.closing:
            components.not_closed(TimeoutError("it does not end, and was left behind"))
            components.closing = ""
        return made[0].result

    def stuck() -> None:
        passing.close()
        frame = sys._current_frames().get(thread)
        session.leave(lambda: ended(frame))

    thread = threading.get_ident()
    watch = watch_components(stuck)
    try:
        with passing:
            return await watch.oversee(work())
    except LeftBehind:
        if watch.cancelled and not made:
            raise asyncio.CancelledError from None
        result = watch.context.run(ended)
    closing = watch_components(stuck)
    with suppress(LeftBehind):
        await closing.oversee(components.close(closing))
    if watch.cancelled:
        raise asyncio.CancelledError
    return result
