"""Running scenarios from Python, and reading what was recorded: what the command does too.

::

    import pyscrai_core

    result = pyscrai_core.run("scenario.yaml", seed=7)
    result.outcomes["price"]
    result.events.to_pandas()

    pyscrai_core.runs(labels={"study": "pilot"}).to_pandas("outcomes")

All functions that execute something take the same further options:

store
    where runs are kept (default: as `pyscrai.toml` says, else `.pyscrai/runs.db`)
observers
    watch the run: objects, or names of observers, or `{"use": NAME, …}` with options
ask
    asks a person for agents that a person plays: an async function of the agent's name and the question,
    which may be cancelled
trust
    True allows the scenario's own code and its access to the outside
host
    the plugins to use (default: those that are installed and chosen in `pyscrai.toml`)
classes
    classes of engines, tools, schedules, … that a recorded run was given, and functions that are its tools

They raise `InputError` and its kinds for bad input, before anything is run. A run that fails or spends its
budget is a result too: see `RunResult.status` and `.error`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, Unpack

from pyscrai_records.base.log import cleaned
from pyscrai_records.base.suggest import unknown_key
from pyscrai_records.base.time_limit import run_alone
from pyscrai_records.records import as_audience
from pyscrai_records.store.store import Store

from .agent import OnUncertain
from .calls.prices import Prices, check_prices
from .config import Settings, load_settings
from .contracts import Ask, Observer
from .display.shown import Result
from .plugins import Host
from .runtime import execution, inputs
from .runtime.recorded import export as export
from .runtime.recorded import open_store as open_store
from .runtime.recorded import runs as runs
from .runtime.session import Session, configured_observers, made_observers
from .scenario import given
from .scenario import plan as planning
from .scenario.given import Given
from .scenario.model import Scenario
from .scenario.overrides import Override
from .scenario.plan import Plan
from .scenario.source import Source
from .scenario.trust import Gate

#: What can be run: the path of a file, what such a file would have as data, or a `Scenario`.
AnyScenario: TypeAlias = str | Path | Mapping[str, Any] | Scenario


class Options(TypedDict, total=False):
    """The options that all executions take; see above."""

    store: str | Path | None
    observers: Sequence[Observer | str | Mapping[str, Any]]
    ask: Ask | None
    trust: bool
    host: Host | None
    classes: Sequence[Given]


def run(
    scenario: AnyScenario,
    *,
    seed: int | None = None,
    set: Mapping[str, Any] | None = None,
    reuse: bool | Sequence[str] = False,
    labels: Mapping[str, str] | None = None,
    **options: Unpack[Options],
) -> Result:
    """Run a scenario and return its result.

    scenario
        the path of its file; or a mapping with what a file would have, in which a class of an engine, tool,
        schedule, … may stand for its name, and a function for a tool; or a `Scenario`. Paths in it start at
        the current folder. To resume or replay the run of a class, give it again: `classes=[MyEngine]`

    seed
        overrules the scenario's own
    set
        overrides by dotted path, as `--set` has them, with plain values: `{"agents.Mara.goals": ["win"]}`
    reuse
        take the answers that other runs of the store have to the same requests at the same positions under
        the same seed, instead of asking again: True for all runs but imported ones, or the ids of some
    labels
        texts by name that the run can be found by: `{"arm": "control"}`

    Where an event loop runs already, as in a notebook, use `await arun(…)`.
    """
    return _blocking(arun(scenario, seed=seed, set=set, reuse=reuse, labels=labels, **options), "arun")


@cleaned
async def arun(
    scenario: AnyScenario,
    *,
    seed: int | None = None,
    set: Mapping[str, Any] | None = None,
    reuse: bool | Sequence[str] = False,
    labels: Mapping[str, str] | None = None,
    **options: Unpack[Options],
) -> Result:
    """The awaitable twin of `run`."""
    settings = _settings(options)
    where = str(scenario) if isinstance(scenario, (str, Path)) else "the scenario"
    plain, options = _with_classes(settings, set, options)
    plan = prepare(scenario, settings=settings, host=options["host"], seed=seed, overrides=_overrides(plain))
    options["host"] = plan.host
    gate = _gate(options)
    execution.approve(gate, plan, where)  # before there is a store
    with open_session(settings, gate, **options) as session:
        return await execution.start(session, plan, where, reuse=reuse, labels=labels)


def resume(
    ref: str = "last",
    *,
    set: Mapping[str, Any] | None = None,
    on_uncertain: OnUncertain | None = None,
    accept_changes: bool = False,
    **options: Unpack[Options],
) -> Result:
    """Continue an unfinished run; what was journaled is not asked again.

    ref
        a run's id, a unique prefix of it, or `last`
    set
        replaces limits, outcomes, rules, `on_error` and how providers may be called, by dotted path:
        `{"limits.calls": 500, "agents.Mara.limits.tokens": 9000}`
    on_uncertain
        what becomes of a tool that must not be called twice and was being called when the run ended: `retry`,
        `skip` or `stop` (default: as the scenario says, else `stop`)
    accept_changes
        where this execution differs from the record, continue in a fork that keeps what is the same

    Raises `StoreError` if there is no such run, if it is completed, or if another process executes it;
    `Divergence` if it cannot be the same.
    """
    return _blocking(
        aresume(ref, set=set, on_uncertain=on_uncertain, accept_changes=accept_changes, **options), "aresume"
    )


@cleaned
async def aresume(
    ref: str = "last",
    *,
    set: Mapping[str, Any] | None = None,
    on_uncertain: OnUncertain | None = None,
    accept_changes: bool = False,
    **options: Unpack[Options],
) -> Result:
    """The awaitable twin of `resume`."""
    settings = _settings(options)
    _, options = _with_classes(settings, {}, options)
    with open_session(settings, _gate(options), create=False, **options) as session:
        return await execution.resume(
            session,
            ref,
            overrides=_overrides(set),
            on_uncertain=on_uncertain,
            accept_changes=accept_changes,
        )


def replay(ref: str = "last", **options: Unpack[Options]) -> Result:
    """Execute a recorded run again from its journal alone, and compare every event.

    Nothing is asked and nothing written; the providers' plugins need not be installed. Raises
    `Divergence` where this execution differs from the record.
    """
    return _blocking(areplay(ref, **options), "areplay")


@cleaned
async def areplay(ref: str = "last", **options: Unpack[Options]) -> Result:
    """The awaitable twin of `replay`."""
    settings = _settings(options)
    _, options = _with_classes(settings, {}, options)
    host = options["host"] or settings.host()
    with Store.open(settings.store, create=False) as store, store.snapshot():
        # Only the given observers watch: those of the settings saw the run itself.
        gate = _gate(options)
        session = Session(
            store, host, observers=made_observers(options.get("observers", ()), host, gate), gate=gate
        )
        return await execution.replay(session, ref)


def fork(
    ref: str = "last",
    *,
    at: int,
    set: Mapping[str, Any] | None = None,
    seed: int | None = None,
    reuse: Literal["parent", "all", "none"] = "parent",
    **options: Unpack[Options],
) -> Result:
    """Fork a run at an event, with changes, and execute the fork; the run itself stays as it is.

    ref
        a run's id, a unique prefix of it, or `last`
    at
        the number of an event; all up to the end of its step stays, and is not paid for again
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
    return _blocking(afork(ref, at=at, set=set, seed=seed, reuse=reuse, **options), "afork")


@cleaned
async def afork(
    ref: str = "last",
    *,
    at: int,
    set: Mapping[str, Any] | None = None,
    seed: int | None = None,
    reuse: Literal["parent", "all", "none"] = "parent",
    **options: Unpack[Options],
) -> Result:
    """The awaitable twin of `fork`."""
    settings = _settings(options)
    plain, options = _with_classes(settings, set, options)
    with open_session(settings, _gate(options), create=False, **options) as session:
        made = await execution.fork(session, ref, at, overrides=_overrides(plain), seed=seed, reuse=reuse)
        return await execution.resume(session, made)


def pause(ref: str = "last", *, store: str | Path | None = None) -> str:
    """Pause a run that is being executed before its next step; its id. `proceed` lets it continue.

    Raises `StoreError` if no process executes it.
    """
    with Store.open(load_settings(store=_text(store)).store, create=False) as opened:
        return inputs.pause(opened, ref).id


def proceed(ref: str = "last", *, store: str | Path | None = None) -> str:
    """Let a run that is paused continue in its process; its id. Raises `StoreError` if it is not paused."""
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


# -- the parts that the command uses too --


@contextmanager
def open_session(
    settings: Settings, gate: Gate, *, create: bool = True, **options: Unpack[Options]
) -> Iterator[Session]:
    """A session on the store of the settings, with their observers and prices. `create`: a missing store."""
    host = options.get("host") or settings.host()
    observers = [  # before there is a store
        *made_observers(options.get("observers", ()), host, gate),
        *configured_observers(settings, host, gate),
    ]
    with Store.open(settings.store, create=create) as store:
        yield Session(
            store,
            host,
            prices=settings.prices,
            observers=observers,
            ask=options.get("ask"),
            gate=gate,
        )


def prepare(
    scenario: AnyScenario,
    *,
    settings: Settings,
    host: Host | None = None,
    seed: int | None = None,
    overrides: Sequence[Override] = (),
) -> Plan:
    """Check the scenario and make everything ready; executes and writes nothing."""
    host = host or settings.host()
    if isinstance(scenario, (str, Path)):
        plan = planning.from_file(
            Path(scenario), host, overrides=overrides, defaults=settings.providers, seed=seed
        )
    else:
        document, classes = given.read(scenario)
        plan = planning.from_document(
            document, given.add_classes(host, classes), Source(Path.cwd()),
            overrides=overrides, defaults=settings.providers, seed=seed,
        )  # fmt: skip
    # A scenario's own code is not executed here; what it costs is looked at before it runs.
    made = {name: one.examine() for name, one in plan.providers.items() if not one.deferred}
    if len(made) == len(plan.providers):
        check_prices(Prices(settings.prices, made), plan.scenario)
    return plan


def _with_classes(
    settings: Settings, changes: Mapping[str, Any] | None, options: Options
) -> tuple[dict[str, Any], Options]:
    """Changes with the names of the classes in them, and options whose host knows these and `classes`."""
    classes: list[Given] = list(options.get("classes", ()))
    plain = {path: given.named(value, classes) for path, value in (changes or {}).items()}
    host = options.get("host") or settings.host()
    return plain, {**options, "host": given.add_classes(host, classes)}


def _gate(options: Options) -> Gate:
    return Gate(options.get("trust", False))


def _settings(options: Options) -> Settings:
    """The settings in force. Raises `TypeError` for an option that there is not: it would have no effect."""
    for name in options:
        if name not in Options.__annotations__:
            raise TypeError(unknown_key(name, [*Options.__annotations__, "seed", "set", "labels"]))
    return load_settings(store=_text(options.get("store")))


def _text(store: str | Path | None) -> str | None:
    return None if store is None else str(store)


def _overrides(given: Mapping[str, Any] | None) -> list[Override]:
    return [Override.of(path, value) for path, value in (given or {}).items()]


def _blocking(work: Coroutine[Any, Any, Result], twin: str) -> Result:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run_alone(work)
    work.close()
    where = "pyscrai_core" if twin == "arun" else "pyscrai_core.api"
    raise RuntimeError(f"an event loop is running already, as in a notebook: use `await {where}.{twin}(…)`")


__all__ = [
    "Session",
    *("afork", "areplay", "aresume", "arun", "export", "fork", "inject", "open_store", "pause", "proceed"),
    *("replay", "resume", "run", "runs"),
]
