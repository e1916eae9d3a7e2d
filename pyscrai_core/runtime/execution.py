"""Executing: a new run, a recorded one again, a fork of one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from loguru import logger

from ..contracts import Observer, Provider
from ..errors import ConfigError, Divergence, StoreError
from ..plugins import Host
from ..records import Price, RunResult
from ..scenario import plan as planning
from ..scenario import trust as trusting
from ..scenario.overrides import Override
from ..scenario.plan import Plan
from ..store.runs import StoredRun
from ..store.store import Prefix, Store
from .calls import Ask, OnUncertain
from .components import Ensemble
from .prices import Prices, check_known
from .reuse import Reuse, Source
from .rules import state_changes
from .run import Run

#: Called with the run that is about to be executed: how a command gets hold of `Run.stop`.
Begin = Callable[[Run], None]
#: Asks a person for a yes to what a scenario wants.
Confirm = Callable[[str], bool]


def check_trust(plan: Plan, where: str, *, trusted: bool, ask: Confirm | None = None) -> None:
    """Raise `TrustRequired` unless a person allows what the scenario wants."""
    content = trusting.key(plan.scenario.document, plan.files, plan.demands)
    trusting.check(where, plan.demands, content, trusted=trusted, ask=ask)


def allow(recorded: StoredRun, host: Host, *, trusted: bool, ask: Confirm | None = None) -> None:
    """The same for a recorded run: what was allowed where it was run is; what came from elsewhere is not."""
    if not recorded.manifest.get("trusted"):
        for plan in planning.from_manifest(recorded.manifest, host, replay=True).all:
            where = f"run {recorded.id} (its files: pyscrai show {recorded.id} --file NAME)"
            check_trust(plan, where, trusted=trusted, ask=ask)


def check_prices(plan: Plan, providers: Mapping[str, Provider], given: Mapping[str, Price]) -> None:
    """Raise `ConfigError` if a budget of money cannot be kept, since a price is not known."""
    prices = Prices(given)
    prices.open(providers)
    check_known(prices, plan.scenario)


async def start(
    plan: Plan,
    store: Store,
    *,
    observers: Sequence[Observer] = (),
    ask: Ask | None = None,
    begin: Begin | None = None,
    prices: Mapping[str, Price] | None = None,
    reuse: bool = False,
) -> RunResult:
    """Execute a plan, which is trusted, as a new run in `store`."""
    manifest = {**plan.manifest, "trusted": True, "reuse": "all" if reuse else "none"}

    def new() -> Run:
        run = store.create_run(plan.scenario.name, plan.scenario.seed, manifest)
        created.append(run)
        others = Reuse(store, run, "") if reuse else None
        return Run(plan, store, run, observers=observers, ask=ask, prices=prices, reuse=others)

    created: list[str] = []
    try:
        return await _perform(plan, new, begin, prices or {})
    finally:
        for run in created:
            store.release(run)


async def again(
    store: Store,
    ref: str,
    host: Host,
    *,
    replay: bool = False,
    overrides: Sequence[Override] = (),
    observers: Sequence[Observer] = (),
    ask: Ask | None = None,
    begin: Begin | None = None,
    prices: Mapping[str, Price] | None = None,
    until: int | None = None,
    on_uncertain: OnUncertain | None = None,
    accept_changes: bool = False,
    trusted: bool = False,
) -> RunResult:
    """Execute a recorded run again: a resume, or with `replay` a comparison (to the end of step `until`)."""
    recorded = store.run(ref)
    if not replay:
        _check_unfinished(recorded)
        store.own(recorded.id)
    try:
        if not replay:
            recorded = store.run(recorded.id)  # as it is now that nobody else can change it
            _check_unfinished(recorded)
        last = recorded.last_call()
        manifest = recorded.manifest
        changes = {**manifest.get("changes", {}), **{one.path: one.value for one in overrides}}
        settled = _settled(manifest, changes)
        if replay:
            for document in _documents(settled):
                document["limits"] = {}  # it spends nothing
        plan = planning.from_manifest(settled, host, replay=replay)
        allow(recorded, host, trusted=trusted)

        def old() -> Run:
            if not replay:
                store.reopen_run(recorded.id, _resumed(manifest, changes, plan))
            source = manifest.get("reuse", "none")
            reuse = Reuse(store, recorded.id, recorded.parent if source == "parent" else "")
            return Run(
                plan, store, recorded.id, recorded=recorded, replay=replay, observers=observers, ask=ask,
                prices=prices, until=until, on_uncertain=on_uncertain,
                reuse=None if replay or source == "none" else reuse,
            )  # fmt: skip

        return await _perform(plan, old, begin, prices or {}, replay)
    except Divergence as difference:
        if replay:
            raise
        if not accept_changes or difference.step is None:
            store.forget_answers(recorded.id, last)
            raise Divergence(
                f"{difference}\nto go on with the change, in a fork: pyscrai resume {recorded.id} "
                "--accept-changes",
                difference.step,
            ) from difference
        kept = difference.step - 1
        told = {"at": recorded.events_until(kept), "accepted": str(difference)}
        run = _write_fork(store, recorded, settled, kept, plan.last, told)
    finally:
        if not replay:
            store.release(recorded.id)
    return await again(
        store, run, host, observers=observers, ask=ask, begin=begin, prices=prices, on_uncertain=on_uncertain
    )


def _check_unfinished(recorded: StoredRun) -> None:
    if recorded.status == "completed":
        raise StoreError(
            f"run {recorded.id}: it is completed, there is nothing to resume; see: pyscrai replay, and "
            "pyscrai fork"
        )


def _resumed(manifest: dict[str, Any], changes: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The manifest of a run that is resumed: what was changed, and the versions that it goes on with."""
    now = {key: plan.manifest[key] for key in ("kernel", "plugins")}
    resumes = manifest.get("resumes", [])
    before = resumes[-1] if resumes else {key: manifest[key] for key in now}
    more = {"resumes": [*resumes, now]} if before != now else {}
    return {**manifest, **({"changes": dict(changes)} if changes else {}), **more}


async def forked(
    store: Store,
    ref: str,
    at: int,
    host: Host,
    *,
    overrides: Sequence[Override] = (),
    seed: int | None = None,
    reuse: Source = "parent",
    observers: Sequence[Observer] = (),
    ask: Ask | None = None,
    begin: Begin | None = None,
    prices: Mapping[str, Price] | None = None,
    trusted: bool = False,
) -> RunResult:
    """Fork a run behind the step of the event `at`, and execute the fork to its end."""
    run = await fork(store, ref, at, host, overrides=overrides, seed=seed, reuse=reuse, trusted=trusted)
    return await again(store, run, host, observers=observers, ask=ask, begin=begin, prices=prices)


# -- forks --


async def fork(
    store: Store,
    ref: str,
    at: int,
    host: Host,
    *,
    overrides: Sequence[Override] = (),
    seed: int | None = None,
    reuse: Source = "parent",
    trusted: bool = False,
    confirm: Confirm | None = None,
) -> str:
    """Write a fork of a run, ready to be resumed; its id.

    What comes before is executed again and compared first, so that nothing is written if it is not as it was.
    """
    recorded = store.run(ref)
    manifest = _settled(recorded.manifest, recorded.manifest.get("changes", {}))
    step = _step_of(recorded, at)
    before = planning.from_manifest(manifest, host, replay=True)
    allow(recorded, host, trusted=trusted, ask=confirm)
    plan = None
    if overrides or seed is not None:
        if later := [one for one in planning.changing(manifest) if one["after"] > step]:
            raise StoreError(
                f"run {recorded.id}: event {at} is before step {later[0]['after']}, behind which it was "
                "forked from another run; fork that one: "
                f"pyscrai fork {later[0]['parent']} --at {at}"
            )
        plan = planning.changed(manifest, overrides, seed, host)
        _check_history(recorded, step, plan)
        try:
            list(state_changes(before.last.scenario, plan.scenario))
        except ValueError as error:
            raise ConfigError(f"the fork of {recorded.id}: {error}") from None
        known = {demand for part in before.all for demand in part.demands}
        files = planning.known_files(manifest)
        if {*plan.demands} - known or any(files.get(name) != text for name, text in plan.files.items()):
            check_trust(plan, f"the fork of {recorded.id}", trusted=trusted, ask=confirm)
    executed: list[Run] = []
    try:
        with store.snapshot():  # the run may be executed meanwhile
            await again(
                store, recorded.id, host, replay=True, until=step, trusted=True, begin=executed.append
            )
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
    told = {"at": at, "set": {one.path: one.text for one in overrides}, "seed": seed}
    return _write_fork(store, recorded, manifest, step, plan, told, reuse)


def _step_of(recorded: StoredRun, at: int) -> int:
    """The step of the event `at`. Raises `StoreError` if nothing could follow on it."""
    count = recorded.count_events()
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


def _check_history(recorded: StoredRun, step: int, plan: Plan) -> None:
    """Raise `ConfigError` if an agent is taken away that did something before the fork."""
    for name in recorded.sources(step):
        if not name.startswith("@") and name not in plan.scenario.agents:
            raise ConfigError(
                f"the fork of {recorded.id}: agents.{name} is taken away, and it has a history; let it be "
                "silent instead, such as with: acts: end"
            )


def _write_fork(
    store: Store,
    recorded: StoredRun,
    manifest: Mapping[str, Any],
    step: int,
    plan: Plan | None,
    told: Mapping[str, Any],
    reuse: Source = "parent",
) -> str:
    """Write the fork of a run behind a step, as `plan` says if it is another; its id. Not owned any more."""
    fork = {"parent": recorded.id, "after": step, **told, "scenario": None}
    seed = recorded.seed
    more: dict[str, Any] = {}
    if plan is not None:
        more = {key: plan.manifest[key] for key in ("kernel", "plugins", "extensions", "prompts", "modules")}
        if "accepted" not in told:
            files = planning.known_files(manifest)
            fork["files"] = {name: text for name, text in plan.files.items() if files.get(name) != text}
            fork["scenario"], seed = plan.scenario.document, plan.scenario.seed
    forks = [*manifest.get("forks", []), fork]
    # What the parent was allowed, its fork is: whoever forks was asked about both.
    full = {**manifest, **more, "forks": forks, "reuse": reuse, "trusted": True}
    full.pop("resumes", None)
    # An event that came too late for the parent comes as late in the fork.
    waits = recorded.steps + 2 if recorded.status == "completed" else recorded.frontier() + 1
    run = store.create_run(recorded.scenario, seed, full, prefix=Prefix(recorded.id, step, waits))
    store.release(run)
    return run


def _documents(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The scenarios of a manifest: the first, and those of its forks."""
    return [manifest["scenario"], *(fork["scenario"] for fork in planning.changing(manifest))]


def _settled(manifest: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest whose scenarios have the changes of its resumes. Raises `InputError`."""
    settled = copy.deepcopy({key: value for key, value in manifest.items() if key != "changes"})
    for path, value in changes.items():
        for document in _documents(settled):
            Override.of(path, value).apply_to_recorded(document)
    return settled


# -- executing --


async def _perform(
    plan: Plan,
    make: Callable[[], Run],
    begin: Begin | None,
    given: Mapping[str, Price],
    replay: bool = False,
) -> RunResult:
    # Components are opened first: what cannot be opened leaves no run behind.
    ensemble = Ensemble.make(plan)
    try:
        await ensemble.open(replay=replay)
        if not replay:
            check_prices(plan.last, ensemble.providers, given)
        run = make()
        if begin is not None:
            begin(run)
        return await run.execute(ensemble)
    finally:
        for problem in await ensemble.close():
            logger.opt(exception=problem).warning("a component could not be closed: {}", problem)
