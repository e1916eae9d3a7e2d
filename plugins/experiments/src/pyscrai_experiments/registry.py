"""Experiments in a store: the registered plan with its changes, and the trials that there are."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
from attrs import asdict, frozen
from peewee import CharField, CompositeKey, FloatField, IntegerField, Model, TextField

from pyscrai_core import ConfigError, ScenarioError, StoreError
from pyscrai_core.config import load_settings
from pyscrai_records.base.files import read_bytes
from pyscrai_records.base.suggest import format_json, list_some
from pyscrai_records.canonical import canonical, digest
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store

from .experiment import Experiment
from .prepare import Prepared, content_of, content_of_arm, differences

#: Differences that an error lists.
LISTED = 8


class RegistrationRow(Model):
    """What an experiment was to be. The number 0 was registered before the first trial, the others later."""

    name = CharField()
    number = IntegerField()
    created = FloatField()
    hash = CharField()
    body = TextField()

    class Meta:
        table_name = "experiments"
        primary_key = CompositeKey("name", "number")


@frozen
class Registration:
    """The plan of an experiment at a time. `hash` is the SHA-256 of `body` in its canonical form."""

    number: int
    created: float
    hash: str
    body: dict[str, Any]


def analysis_of(experiment: Experiment) -> dict[str, Any]:
    """What will be computed, as plain JSON."""
    outcomes = {name: asdict(given) for name, given in experiment.outcomes.items()}
    for given in outcomes.values():
        del given["compare"]
    return _json(
        {
            "outcomes": outcomes,
            "comparisons": [one.to_dict() for one in experiment.comparisons],
            "alpha": experiment.spec.alpha,
            "level": experiment.spec.level,
            "correction": "holm",
            "claim": asdict(experiment.claim) if experiment.claim else None,
            "stopping": asdict(experiment.spec.stopping) if experiment.spec.stopping else None,
            # Beside the plan's comparisons, so that they are only there if the file has them.
            **({"mixed": list(experiment.spec.mixed)} if experiment.spec.mixed else {}),
            **({"references": _references(experiment)} if experiment.spec.references else {}),
        }
    )


def _references(experiment: Experiment) -> dict[str, Any]:
    """The references; of a file, the hash of its content."""
    found: dict[str, Any] = {}
    for name, given in experiment.spec.references.items():
        if isinstance(given, str):
            found[name] = {given: digest(read_bytes(experiment.path.parent / given, given))}
        else:
            found[name] = {str(category): weight for category, weight in given.items()}
    return found


def body_of(prepared: Prepared) -> dict[str, Any]:
    """The plan of an experiment, as plain JSON."""
    experiment = prepared.experiment
    return _json(
        {
            "experiment": experiment.name,
            "scenario": experiment.spec.scenario,
            "arms": {
                arm.name: {
                    "set": {one.path: one.value for one in arm.settings},
                    "content": prepared.digests[arm.name],
                }
                for arm in experiment.arms
            },
            "seeds": prepared.seeds,
            "share_answers": experiment.spec.share_answers,
            "analysis": analysis_of(experiment),
        }
    )


def _json(value: dict[str, Any]) -> dict[str, Any]:
    """A value as it is once it was stored."""
    stored: dict[str, Any] = orjson.loads(canonical(value))
    return stored


def registrations(store: Store, name: str) -> list[Registration]:
    """What is registered under the name of an experiment, in its order."""
    if RegistrationRow._meta.table_name not in store.database.get_tables():
        return []
    query = RegistrationRow.select().where(RegistrationRow.name == name).order_by(RegistrationRow.number)
    return [
        Registration(row.number, row.created, row.hash, orjson.loads(row.body))
        for row in query.bind(store.database)
    ]


def registered_seeds(experiment: Experiment, store: Store) -> list[int]:
    """The seeds of an experiment's replicates. Raises `ConfigError` if nothing of it was run."""
    known = registrations(store, experiment.name)
    if not known:
        raise ConfigError(
            f"{experiment.path}: of the experiment {experiment.name!r} nothing was run in the store "
            f"{store.path}; run it with: pyscrai experiment run {experiment.path}"
        )
    seeds: list[int] = known[-1].body["seeds"]
    return seeds


def check_reported(experiment: Experiment, known: list[Registration]) -> None:
    """Raise `ConfigError` if what was run is not what the file says: a report leaves no arm out."""
    where = f"{experiment.path}: experiment {experiment.name!r}"
    arms = {arm.name: {one.path: one.value for one in arm.settings} for arm in experiment.arms}
    for name, given in known[-1].body["arms"].items():
        if name not in arms:
            raise ConfigError(
                f"{where}: the arm {name!r} was registered and is not in the file; put it back, as a report "
                "leaves no arm out, or use the file of that experiment"
            )
        if _json(arms[name]) != given["set"]:
            path, old, new = next(differences(given["set"], _json(arms[name])))
            raise ConfigError(
                f"{where}: the arm {name!r} is not what was run: {path}: {_shown(old)} -> {_shown(new)}; "
                "undo the change, or give the experiment another name"
            )


def changed_since(experiment: Experiment, known: list[Registration]) -> Iterator[str]:
    """A warning if the scenario, as its first arm shows, is not what was run any more."""
    arms = known[-1].body["arms"]
    arm = next((arm for arm in experiment.arms if arm.name in arms), None)
    if arm is None:
        return
    settings = load_settings(tell=False)
    try:
        same = content_of_arm(experiment, arm, settings, settings.host()) == arms[arm.name]["content"]
    except ScenarioError as error:
        yield f"the scenario cannot be read any more; this report is of the trials as they were run ({error})"
        return
    if not same:
        yield (
            f"the scenario ({experiment.spec.scenario}) or one of its files changed after trials were run; "
            "this report is of the trials as they were run"
        )


def register(store: Store, body: Mapping[str, Any], *, anew: bool = False) -> None:
    """Register a plan, unless it is the last one registered. `anew`: nothing was run, forget the others."""
    name, text = body["experiment"], canonical(body).decode()
    with store.transaction():
        with RegistrationRow.bind_ctx(store.database):
            RegistrationRow.create_table(safe=True)
        if anew:
            RegistrationRow.delete().where(RegistrationRow.name == name).execute(store.database)
        known = registrations(store, name)
        if not known or known[-1].hash != digest(text.encode()):
            RegistrationRow.insert(
                name=name, number=len(known), created=time.time(), hash=digest(text.encode()), body=text
            ).execute(store.database)


def forget(store: Store, name: str) -> None:
    """Remove all that is registered under the name of an experiment of which nothing was run."""
    with store.transaction():
        RegistrationRow.delete().where(RegistrationRow.name == name).execute(store.database)


def trials_of(store: Store, name: str) -> dict[tuple[str, int], RecordedRun]:
    """The runs of an experiment, by arm and replicate. Forks of them are no trials."""
    found: dict[tuple[str, int], RecordedRun] = {}
    for run in store.runs(labels={"experiment": name}):
        if not run.parent and "arm" in run.labels:
            found[run.labels["arm"], int(run.labels["replicate"])] = run
    return found


def lock_of(name: str) -> str:
    """The name of an experiment's lock, under which other processes also leave orders for it."""
    return f"experiment-{digest(name.encode())[:16]}"


@contextmanager
def alone(store: Store, name: str) -> Iterator[None]:
    """Let this process alone run an experiment. Raises `StoreError` if another one does."""
    key = lock_of(name)
    lock = store.locks.acquire(key)
    if lock is None:
        raise StoreError(
            f"experiment {name!r}: another process is running it in the store {store.path}; wait for it, or "
            "stop it there with Ctrl-C; another experiment needs another name"
        )
    try:
        yield
    finally:
        store.locks.remove(key)
        lock.release()


def check_unchanged(
    prepared: Prepared,
    known: list[Registration],
    trials: Mapping[tuple[str, int], RecordedRun],
    *,
    extend: bool,
) -> None:
    """Raise `ConfigError` if what was run is not what the files say now, or if `extend` is needed."""
    experiment, body = prepared.experiment, known[-1].body
    arms = body["arms"]
    where = f"{experiment.path}: experiment {experiment.name!r}"
    if body["scenario"] != experiment.spec.scenario or not arms.keys() & prepared.digests.keys():
        raise ConfigError(
            f"{where}: another experiment of this name was run in the store: with the scenario "
            f"{body['scenario']} and the arms {list_some(arms)}; give this one another name, or use another "
            "store"
        )
    for name in arms:
        if name not in prepared.digests and any(arm == name for arm, _ in trials):
            raise ConfigError(
                f"{where}: the arm {name!r} was run and is not in the file any more; put it back, or give "
                "the experiment another name"
            )
    for name, given in arms.items():
        if name not in prepared.digests or prepared.digests[name] == given["content"]:
            continue
        run = next((run for (arm, _), run in sorted(trials.items(), key=str) if arm == name), None)
        if run is None:
            continue  # nothing of it was run
        shown = "\n".join(_changes(run, prepared, name))
        raise ConfigError(
            f"{where}: the scenario of the arm {name!r} changed after trials were run:\n{shown}\n"
            "undo the change, or give the experiment another name"
        )
    new = [name for name in prepared.digests if name not in arms]
    seeds = body["seeds"]
    count = min(len(seeds), len(prepared.seeds))
    if seeds[:count] != prepared.seeds[:count]:
        raise ConfigError(
            f"{where}: its seeds changed after trials were run: they were {format_json(seeds)}; put them "
            "back, or give the experiment another name"
        )
    last = max((number for _, number in trials), default=0)
    if len(prepared.seeds) < last:
        raise ConfigError(
            f"{where}: it has {len(prepared.seeds)} replicates, and {last} were begun; no trial is dropped: "
            f"set replicates to {last} or more, or give the experiment another name"
        )
    more = [f"the arm {name!r}" for name in new]
    if len(prepared.seeds) > len(seeds):
        more.append(f"{len(prepared.seeds)} replicates instead of {len(seeds)}")
    if more and not extend:
        raise ConfigError(
            f"{where}: the file has more than was registered: {', '.join(more)}; to run what is new: pyscrai "
            f"experiment extend {experiment.path}"
        )


def _changes(run: RecordedRun, prepared: Prepared, arm: str) -> Iterator[str]:
    plan = prepared.plans[prepared.plan_of(arm, run.seed)]
    before, now = run.manifest, plan.manifest.to_dict()
    if content_of(before) == content_of(now):  # only agents that were drawn with another seed differ
        return
    keys = ("scenario", "files", "prompts", "modules")
    old, new = ({key: one.get(key) for key in keys} for one in (before, now))
    for part in (old, new):
        part["scenario"] = {**(part["scenario"] or {}), "seed": 0}
    found = list(differences(old, new))
    for path, one, other in found[:LISTED]:
        yield f"  {path.removeprefix('scenario.')}: {_shown(one)} -> {_shown(other)}"
    if len(found) > LISTED:
        yield f"  and {len(found) - LISTED} more"


def _shown(value: Any) -> str:
    return "(nothing)" if value is ... else format_json(value)
