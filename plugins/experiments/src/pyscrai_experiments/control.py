"""Control of an experiment that another process runs: pause, continue, new limits, failed trials again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from attrs import asdict, define, field, frozen

from pyscrai_core import ConfigError, ContractError, StoreError
from pyscrai_core.agent import positive
from pyscrai_core.runtime.inputs import author
from pyscrai_core.runtime.trials import Trials
from pyscrai_core.scenario.spec import SPEC_HOOKS
from pyscrai_core.scenario.structure import Structurer
from pyscrai_language.misfit import Misfit
from pyscrai_records.base.suggest import did_you_mean, expected, list_some
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store

from .registry import lock_of, registrations, trials_of

ACTIONS = ("pause", "continue", "limits", "retry", "status")
#: Seconds between two looks for what another process wrote.
POLL = 0.3
#: Seconds that a command waits until the experiment has taken it in.
PATIENCE = 15.0


@frozen
class BoundsSpec:
    """New limits of a provider's account; what is not named stays."""

    requests_per_minute: int | None = field(default=None, validator=positive)
    tokens_per_minute: int | None = field(default=None, validator=positive)
    concurrency: int | None = field(default=None, validator=positive)


@frozen
class LimitsSpec:
    """New limits: how many replicates are run at the same time, and those of providers."""

    concurrency: int | None = field(default=None, validator=positive)
    providers: dict[str, BoundsSpec] = field(factory=dict)


def read_limits(text: str, known: Iterable[str]) -> dict[str, Any]:
    """The limits in a JSON text, as plain data. Raises `ConfigError` for what cannot be used.

    known
        the names of the providers that can be limited
    """
    try:
        given = orjson.loads(text)
    except ValueError as error:
        raise ConfigError(f"limits: expected a JSON object, such as {_EXAMPLE}; {error}") from None

    def build(kind: str, value: Any) -> Any:
        raise ContractError(f"limits name no {kind}")

    if not isinstance(given, dict) or not given:
        raise ConfigError(f"limits: {expected(f'a JSON object, such as {_EXAMPLE}', given)}")
    try:
        spec = Structurer(SPEC_HOOKS, build).structure(given, LimitsSpec)
    except Misfit as error:
        first = error.found[0]
        raise ConfigError(f"limits: {'.'.join(map(str, first.below))}: {first}") from None
    names = list(known)
    for name in spec.providers:
        if name not in names:
            what = f"there is no provider {name!r}{did_you_mean(name, names)}"
            raise ConfigError(f"limits: {what}; its trials have: {list_some(names) or 'none yet'}")
    found: dict[str, Any] = asdict(spec, filter=lambda _, value: value not in (None, {}))
    return found


_EXAMPLE = '{"concurrency": 4, "providers": {"default": {"requests_per_minute": 30}}}'


def control(
    store: Store, name: str, action: str, limits: str | None = None, *, file: Path | str = "FILE"
) -> dict[str, Any]:
    """Tell the process that runs an experiment, wait until it has taken that in, and return the status.

    limits
        for the action `limits`: the new ones, as a JSON text
    file
        the experiment's file, as messages name it

    Raises `StoreError` if no process runs it, or if it takes nothing in; `ConfigError` for bad limits.
    """
    if (limits is not None) != (action == "limits"):
        what = "expected LIMITS, a JSON object" if action == "limits" else "only the action limits has LIMITS"
        raise ConfigError(f"control {action}: {what}; see: pyscrai experiment control --help")
    given = read_limits(limits, providers_of(trials_of(store, name))) if limits is not None else {}
    if action == "status":
        return status_of(store, name, file=file)
    key = lock_of(name)
    if not store.locks.held(key):
        raise StoreError(
            f"experiment {name!r}: no process runs it in the store {store.path}, so there is "
            f"nothing to control; run it with: pyscrai experiment run {file}"
        )
    if action == "pause" and _state(store, key).get("paused"):
        raise StoreError(f"experiment {name!r}: it is paused already")
    if action == "continue" and not _state(store, key).get("paused"):
        raise StoreError(f"experiment {name!r}: it is not paused")
    store.put_input(key, action, given, author())
    deadline = time.monotonic() + PATIENCE
    while any(kind == action for _, kind, _, _ in store.inputs(key)):
        if time.monotonic() > deadline or not store.locks.held(key):
            raise StoreError(
                f"experiment {name!r}: its process did not take in {action!r} within "
                f"{PATIENCE:g} seconds; it may have ended: look with: pyscrai experiment control "
                f"{file} status"
            )
        time.sleep(POLL / 3)
    return status_of(store, name, file=file)


def status_of(store: Store, name: str, *, file: Path | str = "FILE") -> dict[str, Any]:
    """How far an experiment is, whether a process runs it, and the limits that were set while it ran."""
    registered = registrations(store, name)
    if not registered:
        raise ConfigError(f"{file}: of the experiment {name!r} nothing was run in the store {store.path}")
    body = registered[-1].body
    known = trials_of(store, name)
    statuses = [run.status for run in known.values()]
    trials = len(body["arms"]) * len(body["seeds"])
    key = lock_of(name)
    running = store.locks.held(key)
    state = _state(store, key) if running else {}
    return {
        "experiment": name,
        "running": running,
        "paused": bool(state.get("paused")),
        "limits": state.get("limits", {}),
        "providers": providers_of(known),
        "trials": trials,
        "completed": statuses.count("completed"),
        "failed": statuses.count("failed"),
        "under_way": sum(run.owner is not None for run in known.values()),
        "left": trials - statuses.count("completed") - statuses.count("failed"),
        "retrying": bool(state.get("retrying")),
    }


def providers_of(known: Mapping[tuple[str, int], RecordedRun]) -> list[str]:
    """The names of the providers in the trials of an experiment, of which those of an arm have the same."""
    arms = {arm: run for (arm, _), run in known.items()}
    return sorted({name for run in arms.values() for name in run.manifest["scenario"].get("providers") or ()})


def _state(store: Store, key: str) -> dict[str, Any]:
    """What the process that runs an experiment says of itself."""
    found: dict[str, Any] = {}
    for _, kind, body, _ in store.inputs(key):
        if kind == "state":
            found = orjson.loads(body)
    return found


@define
class Listener:
    """Takes in what other processes tell an experiment that is run here."""

    store: Store
    key: str
    trials: Trials
    #: Whether failed trials are to be tried again when the others are over.
    retry: bool = False
    paused: bool = False
    limits: dict[str, Any] = field(factory=dict)

    async def listen(self) -> None:
        """Look for orders, until it is cancelled."""
        while True:
            await asyncio.sleep(POLL)
            for number, kind, body, _ in self._waiting():
                self._obey(kind, orjson.loads(body))
                self._show()
                self.store.remove_input(number)
            await self.store.writer.committed()

    def _waiting(self) -> Iterator[tuple[int, str, str, str]]:
        yield from (one for one in self.store.inputs(self.key) if one[1] in ACTIONS)

    def _obey(self, kind: str, body: Mapping[str, Any]) -> None:
        if kind in ("pause", "continue"):
            self.paused = kind == "pause"
            self.trials.obey(kind)
        elif kind == "retry":
            self.retry = True
        elif kind == "limits":
            providers = self.limits.get("providers", {})
            for name, given in body.get("providers", {}).items():
                providers = {**providers, name: {**providers.get(name, {}), **given}}
            self.limits = {**self.limits, **body, **({"providers": providers} if providers else {})}
            self.trials.concurrency = body.get("concurrency", self.trials.concurrency)
            self.trials.obey(dict(body.get("providers", {})))

    def _show(self) -> None:
        """Write what other processes can see of it."""
        for number, kind, _, _ in self.store.inputs(self.key):
            if kind == "state":
                self.store.remove_input(number)
        state = {"paused": self.paused, "limits": self.limits, "retrying": self.retry}
        self.store.put_input(self.key, "state", state, author())

    def clear(self) -> None:
        """Forget what was told, at the beginning and at the end."""
        for number, *_ in self.store.inputs(self.key):
            self.store.remove_input(number)


def failed_trials(known: Mapping[tuple[str, int], RecordedRun]) -> list[tuple[tuple[str, int], RecordedRun]]:
    """The trials that failed, in the order of their replicates."""
    return sorted(
        ((key, run) for key, run in known.items() if run.status == "failed"), key=lambda one: one[0][::-1]
    )
