"""Reaching into a run that another process executes: pausing it, letting it go on, adding an event.

What is wanted is written into the store; the run looks for it at the beginning of each step.
"""

from __future__ import annotations

import getpass
from typing import Any

from ..errors import ConfigError, ContractError, StoreError
from ..plugins import Host
from ..store.reading import StoredRun
from ..store.store import Store
from . import plan as planning
from .rules import Rules


def pause(store: Store, ref: str) -> StoredRun:
    """Let a run stand still before its next step. Raises `StoreError` if nobody executes it."""
    run = _meant(store, ref)
    if run.owner is None:
        raise StoreError(
            f"run {run.id}: no process executes it, so there is nothing to pause; it is {run.status}"
        )
    store.put_input(run.id, "pause", {}, author())
    return run


def pausing(store: Store, run: StoredRun) -> bool:
    """Whether a run that is executed is paused, or about to be."""
    kinds = [kind for _, kind, _, _ in store.inputs(run.id) if kind != "event"]
    return run.owner is not None and bool(kinds) and kinds[-1] == "pause"


def proceed(store: Store, ref: str) -> StoredRun:
    """Let a run that is paused go on in its process. Raises `StoreError` if it is not paused."""
    run = _meant(store, ref)
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
) -> StoredRun:
    """Let an event be added at the beginning of a run's next step.

    Raises `StoreError` if there is no such run or it is completed, `ConfigError` if the event does not fit.
    """
    run = _meant(store, ref)
    if run.status == "completed":
        raise StoreError(
            f"run {run.id}: it is completed, and takes no more events; start from a moment of it: "
            f"pyscrai fork {run.id} --at SEQ"
        )
    plan = planning.from_manifest(run.manifest, host, replay=True).last
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


def withdraw(store: Store, ref: str) -> tuple[StoredRun, int]:
    """Take back the events that wait for a run; the run, and how many there were. Raises `StoreError`."""
    run = _meant(store, ref)
    return run, store.drop_inputs(run.id)


def _meant(store: Store, ref: str) -> StoredRun:
    """The run `ref`; `last` is the last one that is being executed, if one is."""
    live = [run for run in store.runs() if run.owner is not None] if ref == "last" else []
    return live[0] if live else store.run(ref)


def author() -> str:
    """The name of the person at this machine."""
    try:
        return getpass.getuser().encode("utf-8", "replace").decode()
    except (KeyError, OSError, ImportError):  # a user without a name, as in some containers; on Windows
        return "unknown"
