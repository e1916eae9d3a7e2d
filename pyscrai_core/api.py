"""Running scenarios from Python: what the command does too.

::

    import pyscrai_core

    result = pyscrai_core.run("scenario.yaml", seed=7)
    result.outcomes["price"]
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from loguru import logger

from .config import Settings, load_settings
from .contracts import Observer, Provider
from .errors import ConfigError, StoreError
from .plugins import Host
from .records import Price, RunResult
from .runtime import plan as planning
from .runtime.plan import Blueprint, Ensemble, Plan
from .runtime.prices import Prices, check_known
from .runtime.road import Ask
from .runtime.run import Run
from .scenario import trust as trusting
from .scenario.model import Access
from .store.reading import StoredRun
from .store.store import Store

#: The options of a provider that say how it may be called; another value changes no answer.
ACCESS = {option.name for option in attrs.fields(Access)}
#: Called with the run that is about to be executed: how a command gets hold of `Run.stop`.
Begin = Callable[[Run], None]


def run(
    scenario: str | Path,
    *,
    seed: int | None = None,
    set: Mapping[str, Any] | None = None,
    store: str | Path | None = None,
    observers: Sequence[Observer] = (),
    trust: bool = False,
    host: Host | None = None,
) -> RunResult:
    """Run the scenario in the file `scenario` and return its result.

    seed
        overrules the scenario's own
    set
        overrides by dotted path, as `--set` does: `{"agents.Mara.reasoning": "react"}`
    store
        where the run is kept (default: as `pyscrai.toml` says, else `.pyscrai/runs.db`)
    observers
        watch it
    trust
        a yes to all that the scenario wants beyond being data
    host
        the plugins to use (default: those that are installed and chosen in `pyscrai.toml`)

    Raises `InputError` and its kinds for bad input, before anything is run. A run that fails or spends
    its budget is a result too: see `RunResult.status` and `.error`. Where an event loop runs already, as
    in a notebook, use `await arun(…)`.
    """
    return _blocking(
        arun(scenario, seed=seed, set=set, store=store, observers=observers, trust=trust, host=host)
    )


async def arun(
    scenario: str | Path,
    *,
    seed: int | None = None,
    set: Mapping[str, Any] | None = None,
    store: str | Path | None = None,
    observers: Sequence[Observer] = (),
    trust: bool = False,
    host: Host | None = None,
) -> RunResult:
    """The awaitable twin of `run`."""
    settings = load_settings(store=str(store) if store is not None else None)
    plan = prepare(scenario, settings=settings, host=host, seed=seed, set=_texts(set or {}))
    check_trust(plan, str(scenario), trusted=trust)
    with Store.open(settings.store) as opened:
        return await start(
            plan,
            opened,
            observers=[*observers, *configured_observers(settings, plan.host)],
            prices=settings.prices,
        )


def resume(
    ref: str = "last",
    *,
    store: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    observers: Sequence[Observer] = (),
    host: Host | None = None,
) -> RunResult:
    """Go on with an unfinished run; what was journaled is not asked again.

    `ref` is a run's id, a unique prefix of it, or `last`. `set` replaces limits and how providers may be
    called, by dotted path: `{"limits.calls": 500, "agents.Mara.limits.tokens": 9000}`. Raises `StoreError` if
    there is no such run or it is completed, `Divergence` if it cannot be the same.
    """
    settings = load_settings(store=str(store) if store is not None else None)
    host = host or settings.host()
    with Store.open(settings.store, create=False) as opened:
        return _blocking(
            again(
                opened, ref, host, replay=False, set=set, prices=settings.prices,
                observers=[*observers, *configured_observers(settings, host)],
            )
        )  # fmt: skip


def replay(
    ref: str = "last",
    *,
    store: str | Path | None = None,
    observers: Sequence[Observer] = (),
    host: Host | None = None,
) -> RunResult:
    """Execute a recorded run again from its journal alone, and compare every event.

    Nothing is asked and nothing written; the providers' plugins need not be installed. Raises
    `Divergence` where this execution differs from the record.
    """
    settings = load_settings(store=str(store) if store is not None else None)
    with Store.open(settings.store, create=False) as opened:
        return _blocking(again(opened, ref, host or settings.host(), replay=True, observers=observers))


# -- the parts that the command uses too --


def prepare(
    scenario: str | Path,
    *,
    settings: Settings,
    host: Host | None = None,
    seed: int | None = None,
    set: Mapping[str, str] | None = None,
) -> Plan:
    """Check the scenario and make everything ready; executes and writes nothing."""
    plan = planning.from_file(
        Path(scenario), host or settings.host(), overrides=set, defaults=settings.providers, seed=seed
    )
    # A scenario's own code is not executed here; what it costs is looked at before it runs.
    made = {name: one.make() for name, one in plan.providers.items() if isinstance(one, Blueprint)}
    if len(made) == len(plan.providers):
        _check_prices(plan, made, settings.prices)
    return plan


def _check_prices(plan: Plan, providers: Mapping[str, Provider], given: Mapping[str, Price]) -> None:
    prices = Prices(given)
    prices.open(providers)
    check_known(prices, plan.scenario)


def check_trust(plan: Plan, where: str, *, trusted: bool, ask: Callable[[str], bool] | None = None) -> None:
    """Raise `TrustRequired` unless a person allows what the scenario wants."""
    content = trusting.key(plan.scenario.document, plan.files, plan.demands)
    trusting.check(where, plan.demands, content, trusted=trusted, ask=ask)


async def start(
    plan: Plan,
    store: Store,
    *,
    observers: Sequence[Observer] = (),
    ask: Ask | None = None,
    begin: Begin | None = None,
    prices: Mapping[str, Price] | None = None,
) -> RunResult:
    """Execute a plan as a new run in `store`."""

    def new() -> Run:
        run = store.create_run(plan.scenario.name, plan.scenario.seed, plan.manifest)
        created.append(run)
        return Run(plan, store, run, observers=observers, ask=ask, prices=prices)

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
    replay: bool,
    set: Mapping[str, Any] | None = None,
    observers: Sequence[Observer] = (),
    ask: Ask | None = None,
    begin: Begin | None = None,
    prices: Mapping[str, Price] | None = None,
) -> RunResult:
    """Execute a recorded run again: a resume, or with `replay` a comparison."""
    recorded = store.run(ref)
    if not replay:
        store.own(recorded.id)
        recorded = store.run(recorded.id)  # what it is now that nobody else can change it
    try:
        return await _again(store, recorded, host, replay, set or {}, observers, ask, begin, prices or {})
    finally:
        store.release(recorded.id)


async def _again(
    store: Store,
    recorded: StoredRun,
    host: Host,
    replay: bool,
    set: Mapping[str, Any],
    observers: Sequence[Observer],
    ask: Ask | None,
    begin: Begin | None,
    prices: Mapping[str, Price],
) -> RunResult:
    if not replay and recorded.status == "completed":
        raise StoreError(
            f"run {recorded.id}: it is completed, there is nothing to resume; see: pyscrai replay"
        )
    manifest = recorded.manifest
    changes = {**manifest.get("changes", {}), **set}
    for path, value in changes.items():
        _change(manifest["scenario"], path, value)
    if replay:
        manifest["scenario"]["limits"] = {}  # it spends nothing
    plan = planning.from_manifest(manifest, host, replay=replay)

    def old() -> Run:
        if not replay:
            store.reopen_run(recorded.id, changes)
        return Run(
            plan, store, recorded.id, recorded=recorded, replay=replay, observers=observers, ask=ask,
            prices=prices,
        )  # fmt: skip

    return await _perform(plan, old, begin, prices, replay)


def _change(document: dict[str, Any], path: str, value: Any) -> None:
    """Change what changes no event, as a resume may: limits, outcomes, how providers are called."""
    match path.split("."):
        case ["limits", name]:
            document.setdefault("limits", {})[name] = value
            return
        case ["outcomes", *name] if ".".join(name) in document.get("outcomes", {}):
            document["outcomes"][".".join(name)] = value
            return
        case ["agents", agent, "limits", name]:
            if agent not in document["agents"]:
                known = ", ".join(document["agents"])
                raise ConfigError(f"--set {path}: there is no agent {agent!r}; the run's: {known}")
            document["agents"][agent].setdefault("limits", {})[name] = value
            return
        case ["providers", provider, name, *below] if (
            provider in document.get("providers", {}) and name in ACCESS and len(below) <= 1
        ):
            options = document["providers"][provider]
            if isinstance(options, str):
                options = document["providers"][provider] = {"use": options}
            if below:
                options.setdefault(name, {})[below[0]] = value
            else:
                options[name] = value
            return
    raise ConfigError(
        f"--set {path}: a resume cannot change that, expected limits.NAME, agents.NAME.limits.NAME, "
        f"outcomes.NAME or providers.NAME.KEY with one of {', '.join(sorted(ACCESS))}; for another scenario, "
        "make a new run"
    )


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
            _check_prices(plan, ensemble.providers, given)
        run = make()
        if begin is not None:
            begin(run)
        return await run.execute(ensemble)
    finally:
        for problem in await ensemble.close():
            logger.opt(exception=problem).warning("a component could not be closed: {}", problem)


def configured_observers(settings: Settings, host: Host) -> list[Observer]:
    """The observers that the settings name, ready to watch a run."""
    observers = []
    for name in settings.observers:
        cls = host.load("observer", name)
        try:
            observers.append(cls(cls.Config()))
        except TypeError as error:
            raise ConfigError(f"observers: {name!r} cannot be used without options: {error}") from None
    return observers


def _texts(overrides: Mapping[str, Any]) -> dict[str, str]:
    import orjson

    return {
        path: value if isinstance(value, str) else orjson.dumps(value).decode()
        for path, value in overrides.items()
    }


def _blocking(work: Coroutine[Any, Any, RunResult]) -> RunResult:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    work.close()
    raise RuntimeError("an event loop is running already, as in a notebook: use `await pyscrai_core.arun(…)`")


__all__ = ["arun", "replay", "resume", "run"]
