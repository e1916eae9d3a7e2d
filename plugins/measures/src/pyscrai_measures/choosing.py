"""Which runs a command is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from pyscrai_core import ConfigError
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store


def choose(
    store: Store, refs: Sequence[str], labels: Mapping[str, str], *, what: str
) -> tuple[list[RecordedRun], list[str]]:
    """The completed runs that are named, or that have all the labels; and what was left out, and why.

    Runs in which models judged others are left out, unless they are named. `what` is done with them, for
    messages. Raises `StoreError` for a run that does not exist, `ConfigError` for one that is not completed,
    or if there is none.
    """
    runs = {run.id: run for run in map(store.run, refs or (() if labels else (_last(store),)))}
    for run in runs.values():
        if run.status != "completed":
            raise ConfigError(
                f"run {run.id}: it is {run.status}, and only completed runs are {what}; continue it: pyscrai "
                f"resume {run.id}"
            )
    notes = []
    if labels:
        found = [run for run in store.runs(labels=labels) if "judged" not in run.labels]
        if "experiment" in labels:  # forks of trials are no trials
            found = [run for run in found if not run.parent]
        left = [run for run in found if run.status != "completed"]
        if left:
            notes.append(
                f"not completed, and left out: {', '.join(f'{one.id} ({one.status})' for one in left)}"
            )
        runs |= {run.id: run for run in reversed(found) if run.status == "completed"}
        if not runs:
            listed = ", ".join(f"{name}={text}" for name, text in labels.items())
            raise ConfigError(
                f"--label: no completed run of the store {store.path} has {listed}; list what there is: "
                "pyscrai runs --outcomes"
            )
    return list(runs.values()), notes


def _last(store: Store) -> str:
    """The last run that is no judgement of another one."""
    return next((run.id for run in store.runs() if "judged" not in run.labels), "last")


def read_labels(context: click.Context, option: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    """`NAME=TEXT` strings as labels."""
    labels = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or '"' in name:
            raise click.BadParameter(f"{text!r}: expected NAME=TEXT, such as arm=control")
        labels[name.strip()] = value
    return labels
