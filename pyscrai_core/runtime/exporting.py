"""Exporting runs: finding them, making the exporter, and answering for what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyscrai_records.base.private import make_folder, private_files
from pyscrai_records.errors import ConfigError, ContractError, PyscraiError, StoreError
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store
from pyscrai_records.stored_run import StoredRun

from ..contracts import Exporter
from ..plugins import Host
from ..scenario.plan import component_of
from ..scenario.trust import Gate


def find_runs(store: Store, refs: Sequence[str], labels: Mapping[str, str]) -> list[RecordedRun]:
    """The runs that are named, oldest first, without repetition; of those, the ones with these labels.

    refs
        ids, unique prefixes of them, `last`, and names of experiments, which stand for all their runs. Empty:
        all runs with the labels, or `last` without labels

    Raises `StoreError` if there is no such run.
    """
    if not refs and not labels:
        return [store.run("last")]
    if not refs:
        found = store.runs(labels=labels)
    else:
        found = [run for ref in refs for run in _named(store, ref)]
        found = [run for run in found if labels.items() <= run.labels.items()]
    if not found:
        text = ", ".join(f"{name}={value}" for name, value in labels.items())
        raise StoreError(f"label {text}: no run has it{_known(store, labels)}; `pyscrai runs` lists them")
    return sorted({run.id: run for run in found}.values(), key=lambda run: (run.created, run.id))


def _named(store: Store, ref: str) -> list[RecordedRun]:
    trials = [] if ref == "last" else store.runs(labels={"experiment": ref})
    if trials:
        return trials
    try:
        return [store.run(ref)]
    except StoreError as error:
        if "no such run" not in str(error):
            raise
        experiments = sorted({run.labels["experiment"] for run in store.runs() if "experiment" in run.labels})
        listed = f"; its experiments: {', '.join(experiments[:8])}" if experiments else ""
        raise StoreError(
            f"run {ref!r}: the store {store.path} has no such run and no runs of such an experiment{listed}; "
            "`pyscrai runs` lists the runs"
        ) from None


def _known(store: Store, labels: Mapping[str, str]) -> str:
    """The texts that the labels of these names have, so that a wrong one can be corrected."""
    runs = store.runs()
    for name in labels:
        texts = sorted({run.labels[name] for run in runs if name in run.labels})
        if not texts:
            names = sorted({known for run in runs for known in run.labels})
            return f" (no run has a label {name!r}; labels: {', '.join(names[:8]) or 'none'})"
        if labels[name] not in texts:
            return f" ({name} is one of: {', '.join(texts[:8])})"
    return ""


def make_exporter(name: str, options: Mapping[str, Any], host: Host, gate: Gate) -> Exporter:
    """The exporter with this name (or of a file, `./mine.py:Mine`) and these options. Raises `InputError`."""
    exporter: Exporter = component_of("exporter", {**options, "use": name}, host, gate, f"--format {name}")
    return exporter


def write(exporter: Exporter, runs: Sequence[StoredRun], destination: Path) -> list[Path]:
    """Let the exporter write the runs; the files. Raises `ConfigError` for a place that cannot be written."""
    try:
        for place in (destination, *destination.parents):
            if place.exists() and not place.is_dir():
                what = "a file" if place.is_file() else "a device or a pipe"
                raise ConfigError(f"--out {destination}: {place} is {what}; name a folder")
        new = not destination.exists()
        make_folder(destination)
        try:
            with private_files():
                files = exporter.export(runs, destination)
        except BaseException:
            if new and not any(destination.iterdir()):
                destination.rmdir()
            raise
    except PyscraiError:
        raise
    except OSError as error:
        raise ConfigError(
            f"--out {destination}: {error.strerror or error}; make room, change its permissions, or choose "
            "another place"
        ) from error
    except Exception as error:  # an exporter may raise anything; it is named as what failed
        raise ContractError(
            f"{exporter.origin} raised {type(error).__name__}: {error}; tell its author; for the "
            "traceback: pyscrai --debug …"
        ) from error
    if not isinstance(files, (list, tuple)):
        raise ContractError(
            f"{exporter.origin}: export returned {type(files).__name__}, expected a list of the files "
            "that were written; tell its author"
        )
    return list(files)
