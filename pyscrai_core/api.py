"""Running scenarios from Python: what the command does too.

::

    import pyscrai_core

    result = pyscrai_core.run("scenario.yaml", seed=7)
    result.outcomes["price"]
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from .config import Settings, load_settings
from .contracts import Observer
from .errors import ConfigError
from .plugins import Host
from .records import RunResult, as_audience
from .runtime import execution, inputs
from .runtime.calls import Ask, OnUncertain
from .runtime.execution import check_trust
from .runtime.reuse import Source
from .scenario import plan as planning
from .scenario.overrides import Override
from .scenario.plan import Blueprint, Plan
from .store.store import Store


def run(
    scenario: str | Path,
    *,
    seed: int | None = None,
    set: Mapping[str, Any] | None = None,
    store: str | Path | None = None,
    observers: Sequence[Observer] = (),
    trust: bool = False,
    reuse: bool = False,
    ask: Ask | None = None,
    host: Host | None = None,
) -> RunResult:
    """Run the scenario in the file `scenario` and return its result.

    seed
        overrules the scenario's own
    set
        overrides by dotted path, as `--set` has them, with plain values: `{"agents.Mara.goals": ["win"]}`
    store
        where the run is kept (default: as `pyscrai.toml` says, else `.pyscrai/runs.db`)
    observers
        watch it
    trust
        a yes to all that the scenario wants beyond being data
    reuse
        take the answers that other runs of the store have to the same requests at the same positions under
        the same seed, instead of asking again
    ask
        asks a person for agents that a person plays: an async function of the agent's name and the question,
        which may be cancelled
    host
        the plugins to use (default: those that are installed and chosen in `pyscrai.toml`)

    Raises `InputError` and its kinds for bad input, before anything is run. A run that fails or spends
    its budget is a result too: see `RunResult.status` and `.error`. Where an event loop runs already, as
    in a notebook, use `await arun(…)`.
    """
    return _blocking(
        arun(
            scenario,
            seed=seed,
            set=set,
            store=store,
            observers=observers,
            trust=trust,
            reuse=reuse,
            ask=ask,
            host=host,
        )
    )


async def arun(
    scenario: str | Path,
    *,
    seed: int | None = None,
    set: Mapping[str, Any] | None = None,
    store: str | Path | None = None,
    observers: Sequence[Observer] = (),
    trust: bool = False,
    reuse: bool = False,
    ask: Ask | None = None,
    host: Host | None = None,
) -> RunResult:
    """The awaitable twin of `run`."""
    settings = load_settings(store=_text(store))
    plan = prepare(scenario, settings=settings, host=host, seed=seed, overrides=_overrides(set))
    check_trust(plan, str(scenario), trusted=trust)
    with Store.open(settings.store) as opened:
        return await execution.start(
            plan,
            opened,
            observers=[*observers, *configured_observers(settings, plan.host)],
            prices=settings.prices,
            reuse=reuse,
            ask=ask,
        )


def resume(
    ref: str = "last",
    *,
    store: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    observers: Sequence[Observer] = (),
    on_uncertain: OnUncertain | None = None,
    accept_changes: bool = False,
    trust: bool = False,
    ask: Ask | None = None,
    host: Host | None = None,
) -> RunResult:
    """Go on with an unfinished run; what was journaled is not asked again.

    ref
        a run's id, a unique prefix of it, or `last`
    set
        replaces limits, outcomes, and how providers may be called, by dotted path:
        `{"limits.calls": 500, "agents.Mara.limits.tokens": 9000}`
    on_uncertain
        what becomes of a tool that must not be called twice and was being called when the run ended: `retry`,
        `skip` or `stop` (default: as the scenario says, else `stop`)
    accept_changes
        where this execution differs from the record, go on in a fork that keeps what is the same

    Raises `StoreError` if there is no such run, if it is completed, or if another process executes it;
    `Divergence` if it cannot be the same.
    """
    settings = load_settings(store=_text(store))
    host = host or settings.host()
    with Store.open(settings.store, create=False) as opened:
        return _blocking(
            execution.again(
                opened, ref, host, overrides=_overrides(set), prices=settings.prices,
                on_uncertain=on_uncertain, accept_changes=accept_changes, trusted=trust, ask=ask,
                observers=[*observers, *configured_observers(settings, host)],
            )
        )  # fmt: skip


def fork(
    ref: str = "last",
    *,
    at: int,
    set: Mapping[str, Any] | None = None,
    seed: int | None = None,
    store: str | Path | None = None,
    observers: Sequence[Observer] = (),
    reuse: Source = "parent",
    trust: bool = False,
    ask: Ask | None = None,
    host: Host | None = None,
) -> RunResult:
    """Make a moment of a run the start of a different story; the run itself stays as it is.

    ref
        a run's id, a unique prefix of it, or `last`
    at
        the number of an event; all up to the end of its step stays, unpaid
    set
        what is different from then on, by dotted path, as for `run`. A changed `world.state.KEY` (or an
        agent's or a group's) is an event that sets it
    seed
        another seed from then on
    reuse
        whose answers are taken where a request is the same: those of the `parent`, of `all` runs in the
        store, or of `none`

    Raises `StoreError` if there is no such run or event, `ScenarioError` for changes that are not possible.
    """
    settings = load_settings(store=_text(store))
    host = host or settings.host()
    with Store.open(settings.store, create=False) as opened:
        return _blocking(
            execution.forked(
                opened, ref, at, host, overrides=_overrides(set), seed=seed, reuse=reuse, trusted=trust,
                ask=ask, prices=settings.prices,
                observers=[*observers, *configured_observers(settings, host)],
            )
        )  # fmt: skip


def pause(ref: str = "last", *, store: str | Path | None = None) -> str:
    """Let a run that is being executed stand still before its next step; its id. `proceed` lets it go on.

    Raises `StoreError` if no process executes it.
    """
    with Store.open(load_settings(store=_text(store)).store, create=False) as opened:
        return inputs.pause(opened, ref).id


def proceed(ref: str = "last", *, store: str | Path | None = None) -> str:
    """Let a run that is paused go on in its process; its id. Raises `StoreError` if it is not paused."""
    with Store.open(load_settings(store=_text(store)).store, create=False) as opened:
        return inputs.proceed(opened, ref).id


def inject(
    ref: str = "last",
    *,
    event: str,
    payload: Mapping[str, Any],
    audience: str | Sequence[str] | None = None,
    author: str | None = None,
    store: str | Path | None = None,
    host: Host | None = None,
) -> str:
    """Add an event to an unfinished run, at the beginning of its next step; the run's id.

    event
        its kind; `change` changes the state (`{"path": "price", "op": "set", "value": 3}`)
    payload
        plain JSON that fits the kind's schema
    audience
        names of agents and groups (default: everyone)
    author
        who adds it, for the record (default: the name of this user)

    Raises `StoreError` if there is no such run or it is completed, `ConfigError` if the event does not fit.
    """
    settings = load_settings(store=_text(store))
    with Store.open(settings.store, create=False) as opened:
        return inputs.inject(
            opened, ref, host or settings.host(), event,
            dict(payload) if isinstance(payload, Mapping) else payload,
            None if audience is None else as_audience(audience), author,
        ).id  # fmt: skip


def replay(
    ref: str = "last",
    *,
    store: str | Path | None = None,
    observers: Sequence[Observer] = (),
    trust: bool = False,
    host: Host | None = None,
) -> RunResult:
    """Execute a recorded run again from its journal alone, and compare every event.

    Nothing is asked and nothing written; the providers' plugins need not be installed. Raises
    `Divergence` where this execution differs from the record.
    """
    settings = load_settings(store=_text(store))
    with Store.open(settings.store, create=False) as opened, opened.snapshot():
        return _blocking(
            execution.again(
                opened, ref, host or settings.host(), replay=True, observers=observers, trusted=trust
            )
        )


# -- the parts that the command uses too --


def prepare(
    scenario: str | Path,
    *,
    settings: Settings,
    host: Host | None = None,
    seed: int | None = None,
    overrides: Sequence[Override] = (),
) -> Plan:
    """Check the scenario and make everything ready; executes and writes nothing."""
    plan = planning.from_file(
        Path(scenario), host or settings.host(), overrides=overrides, defaults=settings.providers, seed=seed
    )
    # A scenario's own code is not executed here; what it costs is looked at before it runs.
    made = {name: one.make() for name, one in plan.providers.items() if isinstance(one, Blueprint)}
    if len(made) == len(plan.providers):
        execution.check_prices(plan, made, settings.prices)
    return plan


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


def _text(store: str | Path | None) -> str | None:
    return None if store is None else str(store)


def _overrides(given: Mapping[str, Any] | None) -> list[Override]:
    return [Override.of(path, value) for path, value in (given or {}).items()]


def _blocking(work: Coroutine[Any, Any, RunResult]) -> RunResult:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    work.close()
    raise RuntimeError("an event loop is running already, as in a notebook: use `await pyscrai_core.arun(…)`")


__all__ = ["arun", "fork", "inject", "pause", "proceed", "replay", "resume", "run"]
