"""What comes from outside into a run that is being executed: events, and the wish to pause or to continue.

It is written into the store by another process and looked for at the beginning of each step. SQLite tells in
a few microseconds whether anybody else has written since.
"""

from __future__ import annotations

import getpass
import math
from typing import Any

import orjson

from pyscrai_language.lookalikes import normalize
from pyscrai_records.errors import ConfigError, ContractError, StoreError
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store

from ..plugins import Host
from ..scenario import plan as planning
from ..scenario.manifest import Manifest
from .rules import Rules
from .session import Controls

#: Seconds between two looks while a run is paused.
POLL = 0.2


class Inputs:
    """The inputs that wait for `run`. Whoever executes it may have it paused, too."""

    def __init__(self, store: Store, run: str, controls: Controls) -> None:
        self._store = store
        self._run = run
        self._controls = controls
        self._version = -1
        self._later = False

    def arrived(self) -> bool:
        """Whether there may be something for the next step."""
        (version,) = self._store.connection.execute("PRAGMA data_version").fetchone()
        before, self._version = self._version, version
        return self._later or self._controls.paused or bool(version != before)

    def events(self, step: float = math.inf) -> list[tuple[int, dict[str, Any]]]:
        """The events that wait for a step up to `step`, each with its number in the table, oldest first.

        What was added to a run waits in its forks for the step at which the run took it in.
        """
        found, self._later = [], False
        for number, kind, body, author in self._store.inputs(self._run):
            if kind != "event":
                continue
            event = {**orjson.loads(body), "author": author}
            if event.pop("step", 0) <= step:
                found.append((number, event))
            else:
                self._later = True
        return found

    def pausing(self) -> bool:
        """Whether the run is to pause, or to stay paused."""
        return self._controls.paused or _pausing(self._store, self._run)


def pause(store: Store, ref: str) -> RecordedRun:
    """Pause a run before its next step. Raises `StoreError` if nobody executes it."""
    run = meant(store, ref)
    if run.owner is None:
        raise StoreError(
            f"run {run.id}: no process executes it, so there is nothing to pause; it is {run.status}"
        )
    store.put_input(run.id, "pause", {}, author())
    return run


def pausing(store: Store, run: RecordedRun) -> bool:
    """Whether a run that is executed is paused, or about to be."""
    return run.owner is not None and _pausing(store, run.id)


def _pausing(store: Store, run: str) -> bool:
    kinds = [kind for _, kind, _, _ in store.inputs(run) if kind != "event"]
    return kinds[-1:] == ["pause"]


def proceed(store: Store, ref: str) -> RecordedRun:
    """Let a run that is paused continue in its process. Raises `StoreError` if it is not paused."""
    run = meant(store, ref)
    if not pausing(store, run):
        raise StoreError(f"run {run.id}: it is not paused; it is {run.status}")
    store.put_input(run.id, "continue", {}, author())
    return run


def inject(
    store: Store,
    ref: str,
    host: Host,
    kind: str,
    payload: Any,
    audience: tuple[str, ...] | None,
    by: str | None,
) -> RecordedRun:
    """Let an event be added at the beginning of a run's next step.

    Raises `StoreError` if there is no such run or it is completed, `ConfigError` if the event does not fit.
    """
    run = meant(store, ref)
    if run.status == "completed":
        raise StoreError(
            f"run {run.id}: it is completed, and takes no more events; start from a moment of it: "
            f"pyscrai fork {run.id} --at SEQ"
        )
    plan = planning.from_manifest(Manifest.to_execute(run), host, replay=True).last
    kind, payload = normalize(kind), normalize(payload)
    audience = None if audience is None else tuple(map(normalize, audience))
    try:
        draft = Rules(plan.scenario, plan.declared).outside(kind, payload, audience)
    except ContractError as error:
        raise ConfigError(f"run {run.id}: {error}") from None
    who = by or author()
    try:
        who.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"--author {who!r}: it is not text; expected a name") from None
    body = {"kind": draft.kind, "payload": draft.payload, "audience": list(draft.audience)}
    store.put_input(run.id, "event", body, who)
    return run


def withdraw(store: Store, ref: str) -> tuple[RecordedRun, int]:
    """Take back the events that wait for a run; the run, and how many there were. Raises `StoreError`."""
    run = meant(store, ref)
    return run, store.drop_inputs(run.id)


def meant(store: Store, ref: str) -> RecordedRun:
    """The run `ref`; `last` is the last one that is being executed, if one is."""
    live = [run for run in store.runs() if run.owner is not None] if ref == "last" else []
    return live[0] if live else store.run(ref)


def author() -> str:
    """The name of the person at this machine."""
    try:
        return getpass.getuser().encode("utf-8", "replace").decode()
    except (KeyError, OSError, ImportError):  # a user without a name, as in some containers; on Windows
        return "unknown"
