"""From an experiment file to plans that can be run: one for each arm, checked, and approved once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from pyscrai_core import Mistake, ScenarioError, api
from pyscrai_core.config import Settings
from pyscrai_core.plugins import Host
from pyscrai_core.scenario.overrides import Override
from pyscrai_core.scenario.plan import Plan
from pyscrai_core.scenario.quantities import Quantity
from pyscrai_core.scenario.trust import Gate
from pyscrai_language import yaml
from pyscrai_language.document import Document
from pyscrai_records.base.suggest import did_you_mean, list_some
from pyscrai_records.canonical import canonical, digest

from .arms import Arm, Setting
from .choices import questions_of
from .experiment import Experiment, misfits_of
from .later import check, is_later
from .names import check_mixed, check_references
from .series import check_series, is_series
from .spec import OutcomeSpec

#: Mappings whose keys are the scenario's own: a new key in them is hardly ever meant.
_OWN_KEYS = ("state", "variables")
#: The kinds of outcomes that have a mean (None: not declared).
NUMERIC = (None, "number", "proportion")


@frozen
class Prepared:
    """An experiment that is ready to run.

    `plans` are named by `plan_of`: one for each arm, or one for each arm and seed where the seed samples its
    agents. `digests` tell whether an arm is still what it was.
    """

    experiment: Experiment
    plans: Mapping[str, Plan]
    seeds: list[int]
    digests: Mapping[str, str]

    def plan_of(self, arm: str, seed: int) -> str:
        sampled = f"{arm} @ {seed}"
        return sampled if sampled in self.plans else arm

    def approve(self, gate: Gate) -> None:
        """Have all that the arms demand approved, with one question. Raises `TrustRequired`."""
        plans = list(self.plans.values())
        content = digest(canonical(sorted({plan.content for plan in plans})))
        demands = list(dict.fromkeys(demand for plan in plans for demand in plan.demands))
        where = str(self.experiment.path)
        if demands:
            gate.approve(where, content, demands)
        for plan in plans if not gate.trust else ():
            if recorded := plan.source.recorded_demands:
                gate.remember(where, plan.content, plan.demands)
                gate.remember(where, plan.manifest.content, recorded)  # as which other processes run it


def prepare(experiment: Experiment, settings: Settings, host: Host) -> Prepared:
    """Check every arm; executes and writes nothing. Raises `ScenarioError`."""
    written = _written(experiment)
    plans: dict[str, Plan] = {}
    digests: dict[str, str] = {}
    mistakes: dict[Mistake, set[str]] = {}
    seeds = []
    for arm in experiment.arms:
        try:
            _check_paths(experiment, arm, written, settings)
            plan = _plan(experiment, arm, settings, host, None)
            seeds = experiment.seeds(plan.scenario.seed)
            digests[arm.name] = content_of(plan.manifest.to_dict())
            if plan.source.sampled:
                for seed in seeds:
                    plans[f"{arm.name} @ {seed}"] = _plan(experiment, arm, settings, host, seed)
            else:
                plans[arm.name] = plan
        except ScenarioError as error:
            for mistake in error.mistakes:
                mistakes.setdefault(mistake, set()).add(arm.name)
    if mistakes:
        raise ScenarioError(list(mistakes))
    _check_equal(experiment, digests)
    for name in experiment.outcomes:
        _check_outcome(experiment, name, next(iter(plans.values())), written)
    _check_kinds(experiment, next(iter(plans.values())).scenario.outcomes, settings, host)
    _check_names(experiment, plans)
    return Prepared(experiment, plans, seeds, digests)


def content_of(manifest: Mapping[str, Any]) -> str:
    """The hash of what a run is made of, by its manifest, whatever its seed."""
    parts = [manifest.get(key) for key in ("files", "prompts", "modules")]
    return digest(canonical([{**manifest["scenario"], "seed": 0}, *parts]))


def content_of_arm(experiment: Experiment, arm: Arm, settings: Settings, host: Host) -> str:
    """The hash of what an arm's runs would be made of now. Raises `ScenarioError`."""
    return content_of(_plan(experiment, arm, settings, host, None).manifest.to_dict())


def _written(experiment: Experiment) -> Document | None:
    """The scenario as it is written, for the places in it; None if a plugin reads it."""
    try:
        document = yaml.load(experiment.scenario)
    except ScenarioError:
        return None  # making a plan of it tells what is wrong
    return document if isinstance(document.value, dict) else None


def _plan(experiment: Experiment, arm: Arm, settings: Settings, host: Host, seed: int | None) -> Plan:
    by_flag: dict[str, Setting] = {}
    overrides = []
    for setting in arm.settings:
        try:
            overrides.append(Override.of(setting.path, setting.value))
        except ScenarioError as error:
            what = error.mistakes[0].what
            raise experiment.error(setting.place, what) from None
        by_flag[overrides[-1].flag] = setting
        if overrides[-1].keys == ("seed",):
            what = "the seeds are those of the replicates; set them with `seeds`"
            raise experiment.error(setting.place, what, on_key=True)
    try:
        return api.prepare(experiment.scenario, settings=settings, host=host, seed=seed, overrides=overrides)
    except ScenarioError as error:
        written = _written(experiment)
        found = []
        for mistake in error.mistakes:
            setting_at = by_flag.get(mistake.where)
            if setting_at is None:
                found.append(mistake)
                continue
            below = _below(setting_at.path, mistake.path)
            where = experiment.document.place((*setting_at.place, *below), on_key=not below)
            beside = f" (in the scenario: {_nearest(written, setting_at.path)})" if written else ""
            found.append(Mistake(where, mistake.path, f"{mistake.what}{beside}"))
        raise ScenarioError(found) from error


def _below(path: str, mistake: str) -> tuple[str | int, ...]:
    """The keys that lead from what an arm sets at `path` to the place of a mistake in it."""
    above, keys = (Override(one, None, "").keys for one in (path, mistake))
    below = keys[len(above) :] if keys[: len(above)] == above else ()
    return tuple(int(key) if key.isdecimal() else key for key in below)


def _nearest(written: Document, path: str) -> str:
    return written.place(Override(path, None, "").keys)


def _check_paths(experiment: Experiment, arm: Arm, written: Document | None, settings: Settings) -> None:
    """Raise `ScenarioError` for paths that name what the scenario does not have, and that it would accept."""
    if written is None:
        return
    for setting in arm.settings:
        keys = Override(setting.path, None, "").keys
        if keys[0] == "providers" and len(keys) > 2:
            known = {**settings.providers, **(written.value.get("providers") or {})}
            if keys[1] not in known:
                _no_such(experiment, setting, written, "provider", keys[1], known, ("providers",))
        if "template" in _at(written, keys[:2]):
            continue  # which says more than is written here
        for end in range(1, len(keys)):
            parent = _at(written, keys[:end])
            if any(key in _OWN_KEYS for key in keys[:end]) and parent and keys[end] not in parent:
                _no_such(experiment, setting, written, "key", keys[end], parent, keys[:end])


def _at(written: Document, keys: tuple[str, ...]) -> Mapping[str, Any]:
    """The mapping at some keys; an empty one if there is none."""
    value: Any = written.value
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _no_such(
    experiment: Experiment,
    setting: Setting,
    written: Document,
    kind: str,
    name: str,
    known: Mapping[str, Any],
    place: tuple[str, ...],
) -> None:
    what = f"there is no {kind} {name!r}{did_you_mean(name, known)}"
    there = f"{written.place(place)} has: {list_some(known)}"
    raise experiment.error(setting.place, f"{what}; {there}", on_key=True)


def _check_equal(experiment: Experiment, digests: Mapping[str, str]) -> None:
    """Raise `ScenarioError` if two arms are the same."""
    first: dict[str, Arm] = {}
    for arm in experiment.arms:
        other = first.setdefault(digests[arm.name], arm)
        if other is arm:
            continue
        place = experiment.document.place(other.place, on_key=True)
        what = f"the arms {other.name!r} ({place}) and {arm.name!r} are equal"
        if arm.variant and other.of == arm.of:
            what = f"the variant {arm.variant!r} changes nothing in the arm {arm.of!r}"
        raise experiment.error(arm.place, f"{what}; expected a difference; take one out", on_key=True)


def _check_outcome(experiment: Experiment, name: str, plan: Plan, written: Document | None) -> None:
    """Raise `ScenarioError` for an outcome that the scenario does not have, or not of this kind."""
    given = experiment.outcomes[name]
    known = plan.scenario.outcomes
    path = given.value or name
    source = path.split(".")[0]
    place: tuple[str, ...] = ("outcomes", name, "value") if given.value else ("outcomes", name)
    if source not in known and is_series(path):
        try:
            check_series(path, plan.scenario)
        except ValueError as error:
            raise experiment.error(place, str(error)) from error
        return
    if is_later(path, known, plan.host):
        try:
            check(path, plan.host)
        except ValueError as error:
            raise experiment.error(place, str(error)) from error
        if experiment.spec.stopping and experiment.spec.stopping.outcome == name:
            what = f"{path} is computed when all trials have ended; expected an outcome of the scenario"
            raise experiment.error(("stopping", "outcome"), f"{what}; stop by another one")
        return
    if source not in known:
        there = written.place(("outcomes",)) if written else str(experiment.scenario)
        what = f"there is no outcome {source!r}{did_you_mean(source, known)}"
        raise experiment.error(place, f"{what}; {there} has: {list_some(known) or 'none'}")
    _check_declared(experiment, name, known[source] if not given.value else None, written)
    kind = given.kind or (known[path].kind if path in known else None)
    if experiment.spec.stopping and experiment.spec.stopping.outcome == name and kind not in NUMERIC:
        what = f"the outcome {name!r} is of the kind {kind}; expected a number or a proportion"
        raise experiment.error(("stopping", "outcome"), f"{what}; stop by another one")


def _check_declared(
    experiment: Experiment, name: str, declared: Quantity | None, written: Document | None
) -> None:
    """Raise `ScenarioError` for what does not go with the kind and the levels that the scenario declares."""
    given = experiment.outcomes[name]
    if declared is None or declared.kind is None:
        return
    there = written.place(("outcomes", name)) if written else str(experiment.scenario)
    is_of = f"the scenario's outcome {name!r} is of the kind {declared.kind} ({there})"
    same = declared.kind == given.kind or (declared.kind, given.kind) == ("proportion", "number")
    if given.kind and not same:
        what = f"{is_of}, not {given.kind}; use its kind, or leave `kind` out"
        raise experiment.error(("outcomes", name, "kind"), what)
    levels = [str(level) for level in declared.levels]
    if given.levels and levels and sorted(given.levels) != sorted(levels):
        what = f"{is_of} with the levels {', '.join(levels)}; expected the same ones, in the order you want"
        raise experiment.error(("outcomes", name, "levels"), what)
    for one in experiment.comparisons:
        kind = given.kind or declared.kind
        for what in misfits_of(kind, one.direction, one.smallest) if one.outcome == name else ():
            raise experiment.error(("outcomes", name, "compare", one.arm), f"{is_of}: {what}")


def _check_kinds(
    experiment: Experiment, outcomes: Mapping[str, Quantity], settings: Settings, host: Host
) -> None:
    """Raise `ScenarioError` for a kind that no value of an outcome can have, if the scenario says no kind."""
    places: dict[str, tuple[str, ...]] = {}
    overrides = []
    for name, given in experiment.outcomes.items():
        declared = outcomes.get(given.value or name)
        if given.kind and declared is not None and declared.kind is None:
            meant: dict[str, Any] = {"value": declared.expression.source, "kind": given.kind}
            meant |= {"levels": list(given.levels)} if given.levels else {}
            overrides.append(Override.of(f"outcomes.{given.value or name}", meant))
            places[overrides[-1].flag] = ("outcomes", name, "kind")
    try:
        api.prepare(experiment.scenario, settings=settings, host=host, overrides=overrides)
    except ScenarioError as error:
        # Of other mistakes, each arm was told.
        for mistake in error.mistakes:
            if mistake.where in places:
                raise experiment.error(places[mistake.where], mistake.what) from error


def _check_names(experiment: Experiment, plans: Mapping[str, Plan]) -> None:
    """Raise `ScenarioError` for references and mixed models of what the scenario does not have."""
    if not (experiment.spec.references or experiment.spec.mixed):
        return
    choices, _ = questions_of(plan.manifest.to_dict() for plan in plans.values())
    scenario = next(iter(plans.values())).scenario.outcomes
    levels: dict[str, tuple[Any, ...]] = {}
    kinds: dict[str, str | None] = {}
    for name in experiment.outcomes or scenario:
        given = experiment.outcomes.get(name, OutcomeSpec())
        declared = scenario.get(given.value or name)
        levels[name] = given.levels or (declared.levels if declared else ())
        kinds[name] = given.kind or (declared.kind if declared else None)
    check_references(experiment, choices, levels)
    check_mixed(experiment, choices, kinds)


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two JSON values differ: path, old and new value (`...`: it is not there)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            inner = f"{path}.{key}" if path else key
            yield from differences(old.get(key, ...), new.get(key, ...), inner)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif old != new:
        yield path, old, new
