"""Reading what was recorded, from Python: the store, its runs, and their export."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store
from pyscrai_records.stored_run import StoredRun

from ..config import load_settings
from ..display.shown import Runs, html
from ..plugins import Host
from ..scenario.trust import Gate
from . import exporting


class ShownRun(RecordedRun):
    """A run that a notebook shows as HTML."""

    def _repr_html_(self) -> str | None:
        return html(self)


class ShownStore(Store):
    """A store whose runs a notebook shows as HTML."""

    run_class = ShownRun


def open_store(store: str | Path | None = None) -> Store:
    """Open a store to read its runs: `with open_store() as store: store.run("last")`.

    store
        a path or URL (default: as `pyscrai.toml` says, else `.pyscrai/runs.db`)

    Raises `StoreError` if there is none.
    """
    return ShownStore.open(load_settings(store=None if store is None else str(store)).store, create=False)


def runs(
    *,
    labels: Mapping[str, str] | None = None,
    scenario: str | None = None,
    status: str | None = None,
    since: float | None = None,
    store: str | Path | None = None,
) -> Runs:
    """The runs of a store, newest first, as `Store.runs` chooses them; with `to_pandas` and the like.

    The store stays open as long as they are used. Raises `StoreError` if there is none.
    """
    opened = open_store(store)
    # Not the database itself, which would then live as long as the process.
    weakref.finalize(opened.database, opened.connection.close)
    return Runs(opened.runs(labels=labels, scenario=scenario, status=status, since=since))


def export(
    runs: str | Sequence[str | StoredRun] = (),
    *,
    format: str,
    out: str | Path,
    options: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    store: str | Path | None = None,
    trust: bool = False,
    host: Host | None = None,
) -> list[Path]:
    """Write runs in some format; the files that were written.

    runs
        a run's id or the name of an experiment, or several of them, or runs of a store (default: the last
        run, or all that have the `labels`)
    format
        an exporter, such as `parquet`, or one of your own: `./FILE.py:CLASS`
    out
        a folder, which is created if it is missing
    options
        those of the exporter

    Raises `StoreError` if there is no such run, `ScenarioError` for a wrong exporter or option, and
    `ConfigError` if nothing can be written there. Then the folder is as it was.
    """
    settings = load_settings(store=None if store is None else str(store))
    exporter = exporting.make_exporter(format, options or {}, host or settings.host(), Gate(trust))
    given = [runs] if isinstance(runs, str) else list(runs)
    stored = [run for run in given if not isinstance(run, str)]
    if given and len(stored) == len(given):
        return exporting.write(exporter, stored, Path(out))
    with open_store(store) as opened, opened.snapshot():
        found = exporting.find_runs(opened, [run for run in given if isinstance(run, str)], labels or {})
        return exporting.write(exporter, [*stored, *found], Path(out))
