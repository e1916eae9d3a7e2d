"""The report of an experiment, as plain data: the same for the same finished experiment, to the byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import define

import pyscrai_statistics as st
from pyscrai_core.discovery.installed import version
from pyscrai_records.base.suggest import format_json
from pyscrai_records.store.store import Store

from .arms import VARIANT
from .claims import judge
from .collect import Collected, collect
from .contrasts import contrasts, why_exploratory
from .experiment import Experiment
from .factors import effects_of
from .later import reliability_of
from .methods import methods_of
from .mixed import mixed_models
from .outcomes import Resolved, resolve, values_of
from .prepare import differences
from .references import compared_with_references
from .registry import (
    Registration,
    analysis_of,
    changed_since,
    check_reported,
    registered_seeds,
    registrations,
    trials_of,
)
from .robustness import fragile, robustness_of
from .series import why_none
from .spread import spread_of
from .stopping import by_sequence, stopping_of, stops_by
from .tournament import tournament_of

#: Fewer trials than this in an arm are pointed out.
FEW = 10
FORMAT = 1


@define
class Report:
    """A report: `content` is plain data, which every form of it is made from."""

    content: dict[str, Any]


def make_report(experiment: Experiment, store: Store) -> Report:
    """The report of an experiment, from what the store has of it. Raises `ConfigError` if that is nothing."""
    seeds = registered_seeds(experiment, store)
    registered = registrations(store, experiment.name)
    check_reported(experiment, registered)
    known = trials_of(store, experiment.name)
    sequence = stopping_of(experiment, known).look()
    if sequence and sequence["stopped"]:
        seeds = seeds[: sequence["stopped"]]
    data = collect(experiment, store, seeds, known)
    changes = list(_changes(experiment, registered))
    outcomes = [resolve(experiment, data, name) for name in _names(experiment, data)]
    content: dict[str, Any] = {
        "format": FORMAT,
        "experiment": experiment.name,
        "description": experiment.spec.description,
        "scenario": data.scenario,
        "registration": {"hash": registered[0].hash, "changes": changes},
        "claim": _claim(experiment),
        "design": _design(experiment, seeds),
        "warnings": [*changed_since(experiment, registered), *_warnings(experiment, data, outcomes)],
        "arms": [
            _arm(arm.name, data) | ({"levels": dict(arm.levels)} if arm.levels else {})
            for arm in experiment.arms
            if not arm.variant
        ],
        "outcomes": [],
        "failures": [
            {"arm": one.arm, "replicate": one.replicate, "seed": one.seed, "status": one.status,
             "error": one.error}
            for one in data.trials
            if one.status not in ("completed", "missing")
        ],
    }  # fmt: skip
    planned, explored = contrasts(experiment, data, outcomes)
    for outcome in outcomes:
        content["outcomes"].append(
            _outcome(experiment, data, outcome, registered, planned, explored, sequence)
        )
    if experiment.claim:
        of_first = registered[0].body["analysis"]["claim"]
        content["claim"] |= judge(experiment.claim, experiment.comparisons, of_first, content)
    if experiment.spec.factors:
        content["factors"] = effects_of(experiment, data, outcomes)
    if experiment.spec.pairings:
        content["tournament"] = tournament_of(experiment, data)
    arms = [arm.name for arm in experiment.arms if not arm.variant]
    content["spread"] = spread_of(data.choices, arms, experiment.spec.level)
    if experiment.spec.references:
        content["references"], problems = compared_with_references(experiment, data, outcomes)
        content["warnings"] += problems
    if experiment.spec.mixed:
        content["mixed"] = mixed_models(experiment, data, outcomes)
    if experiment.spec.robustness:
        content["robustness"] = robustness_of(experiment, data, outcomes)
        for one in content["robustness"]:
            content["warnings"] += fragile(one)
        if content["claim"]:
            content["claim"]["robust"] = all(
                one["same_verdict"] == one["variants"]
                for one in content["robustness"]
                if f"{one['outcome']}: {one['arm']} - {one['against']}" in content["claim"]["about"]
            )
    completed = {one.run for one in data.trials if one.status == "completed"}
    reliable = reliability_of(experiment, [run for run in known.values() if run.id in completed], store)
    for of_outcome, outcome in zip(content["outcomes"], outcomes, strict=True):
        if told := reliable.get(outcome.path):
            of_outcome["reliability"] = told
            content["warnings"] += [f"{outcome.name}: {note}" for note in told["notes"]]
    if sequence:
        content["stopping"] = sequence
    content["models"] = data.served
    content["draws"] = data.draws
    content["versions"] = {**data.versions, "pyscrai-statistics": [version("pyscrai-statistics")]}
    content["warnings"] += [
        f"{name} was used in the versions {', '.join(several)}"
        for name, several in data.versions.items()
        if len(several) > 1
    ]
    content["methods"] = methods_of(content)
    return Report(content)


# -- outcomes --


def _names(experiment: Experiment, data: Collected) -> list[str]:
    """The outcomes to report: those of the file, or else all that the runs have."""
    if experiment.outcomes:
        return list(experiment.outcomes)
    return list(dict.fromkeys(name for trial in data.trials for name in trial.outcomes))


def _outcome(
    experiment: Experiment,
    data: Collected,
    outcome: Resolved,
    registered: Sequence[Registration],
    planned: Mapping[tuple[str, str, str, str], st.Contrast],
    explored: Mapping[tuple[str, str, str], st.Contrast],
    sequence: dict[str, Any] | None,
) -> dict[str, Any]:
    arms = [arm.name for arm in experiment.arms if not arm.variant]
    categories = sorted({str(value) for arm in arms for value in values_of(data, outcome, arm).values()})
    found: dict[str, Any] = {
        "name": outcome.name,
        "kind": outcome.kind,
        "unit": outcome.unit,
        "arms": [_summary(experiment, data, outcome, arm, categories) for arm in arms],
        "comparisons": [],
    }
    for (name, *_), contrast in planned.items():
        if name == outcome.name:
            why = why_exploratory(experiment, registered, contrast, outcome)
            by_rule = stops_by(experiment, name, contrast) and sequence
            more = by_sequence(sequence, contrast) if by_rule and sequence else {}
            found["comparisons"].append({"planned": True, "exploratory": why, **contrast.to_dict(), **more})
    for (name, *_), contrast in explored.items():
        if name == outcome.name:
            found["comparisons"].append(
                {"planned": False, "exploratory": "it was not planned", **contrast.to_dict()}
            )
    return found


def _summary(
    experiment: Experiment, data: Collected, outcome: Resolved, arm: str, categories: Sequence[str]
) -> dict[str, Any]:
    values = list(values_of(data, outcome, arm).values())
    ended = [one for one in data.trials if one.arm == arm and one.status in ("completed", "failed")]
    if not values or outcome.kind == "text":
        return {"arm": arm, "n": len(values), "failures": len(ended) - len(values), "kind": outcome.kind}
    summary = st.summarize_values(
        values, arm=arm, kind=outcome.kind, order=outcome.levels or None, failures=len(ended) - len(values),
        level=experiment.spec.level,
        categories=(outcome.levels or categories) if outcome.kind == "category" else None,
    )  # fmt: skip
    return summary.to_dict()


def _changes(experiment: Experiment, registered: Sequence[Registration]) -> Iterator[str]:
    """What differs from the plan that was registered before the first trial."""
    first, last = registered[0].body, registered[-1].body
    for name in last["arms"]:
        if name not in first["arms"]:
            yield f"the arm {name!r} was added"
    if len(last["seeds"]) != len(first["seeds"]):
        yield f"the number of replicates was changed: {len(first['seeds'])} -> {len(last['seeds'])}"
    for path, old, new in differences(first["analysis"], analysis_of(experiment)):
        if old in (None, ...) and new in (None, ...):
            continue  # not there in either
        yield f"{path}: {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    return "(nothing)" if value is ... else format_json(value)


# -- the rest --


def _claim(experiment: Experiment) -> dict[str, Any] | None:
    claim = experiment.claim
    return None if claim is None else {"text": claim.text, "because": claim.because, "status": claim.status}


def _design(experiment: Experiment, seeds: Sequence[int]) -> dict[str, Any]:
    spec = experiment.spec
    kind = "pairings" if spec.pairings else "factors" if spec.factors else "arms"
    return {
        "kind": kind,
        "arms": len([arm for arm in experiment.arms if not arm.variant]),
        "replicates": len(seeds),
        "seeds": list(seeds),
        "paired": True,
        "planned_comparisons": len(experiment.comparisons),
        "shared_answers": spec.share_answers,
        "alpha": spec.alpha,
        "level": spec.level,
        "unit": "the run; agents are nested in runs",
    }


def _arm(name: str, data: Collected) -> dict[str, Any]:
    statuses = [one.status for one in data.trials if one.arm == name]
    return {
        "arm": name,
        "trials": len(statuses),
        "completed": statuses.count("completed"),
        "failed": statuses.count("failed"),
        "unfinished": len(statuses) - statuses.count("completed") - statuses.count("failed"),
        **data.answers[name].to_dict(),
    }


def _warnings(experiment: Experiment, data: Collected, outcomes: Sequence[Resolved]) -> Iterator[str]:
    arms = {arm.name: _arm(arm.name, data) for arm in experiment.arms}
    unfinished = sum(arm["unfinished"] for arm in arms.values())
    if unfinished:
        trials = sum(arm["trials"] for arm in arms.values())
        yield f"the experiment is not finished: {unfinished} of {trials} trials are left"
    failed = {name: arm["failed"] for name, arm in arms.items() if arm["failed"]}
    if failed:
        yield f"trials failed: {_listed(failed)}; they have no outcomes, and are counted"
        yield from _unequal(experiment, {name: arm["failed"] for name, arm in arms.items()}, "failed")
    few = {name: arm["completed"] for name, arm in arms.items() if arm["completed"] < FEW}
    if few:
        some = _listed(few) if len(few) <= 6 else f"{len(few)} arms"
        yield f"fewer than {FEW} completed trials: {some}; intervals are wide, and tests can hardly reject"
    for word, key in (
        ("were cut off", "truncated"), ("were refusals of the model", "refused"),
        ("were rejected for good", "rejected"),
    ):  # fmt: skip
        counts = {name: f"{arm[key]} of {arm['calls']}" for name, arm in arms.items() if arm[key]}
        if counts:
            yield f"answers {word}: {_listed(counts)}"
    if data.served and all(models == ["scripted"] for models in data.served.values()):
        yield "the answers are scripted: this shows the method, and says nothing about models or people"
    for outcome in outcomes:
        missing: dict[str, int] = {}
        constant: dict[str, list[str]] = {}
        for arm in experiment.arms:
            values = data.values(arm.name, outcome.path)
            if count := sum(value is None for value in values.values()):
                missing[arm.name] = count
            there = [value for value in values.values() if value is not None]
            if len(there) > 1 and all(value == there[0] for value in there) and not arm.variant:
                constant.setdefault(format_json(there[0]), []).append(arm.name)
        if missing:
            yield f"{outcome.name}: completed trials have no value: {_listed(missing)}"
            if not any(values_of(data, outcome, arm.name) for arm in experiment.arms):
                yield f"{outcome.name}: no trial has a value{why_none(outcome.path)}"
            none = {arm.name: missing.get(arm.name, 0) for arm in experiment.arms}
            yield from _unequal(experiment, none, f"had no value of {outcome.name}", outcome.name)
        for value, several in constant.items() if outcome.kind != "text" else ():
            some = _joined(several) if len(several) <= 6 else f"{len(several)} arms"
            yield f"{outcome.name} is {value} in every trial of {some}: nothing is known of its spread there"
    for one in experiment.comparisons:
        outcome = next(each for each in outcomes if each.name == one.outcome)
        first, second = (values_of(data, outcome, arm).keys() for arm in (one.arm, one.against))
        if alone := len(first ^ second):
            yield (
                f"{one.outcome}: {alone} trials of {one.arm} and {one.against} have no partner under the "
                "same seed, and are not compared"
            )
        if len(first & second) < 2:
            yield f"{one.outcome}: {one.arm} and {one.against} have fewer than two pairs: not compared"


def _unequal(
    experiment: Experiment, counts: Mapping[str, int], what: str, outcome: str = ""
) -> Iterator[str]:
    """A warning if arms that are compared have other counts of trials without a value."""
    compared = [(one.arm, one.against) for one in experiment.comparisons if outcome in ("", one.outcome)] or [
        (arm.name, experiment.arms[0].name) for arm in experiment.arms if not arm.variant
    ]
    suffixes = ("", *(VARIANT + variant for variant in experiment.spec.robustness))
    pairs = [(one + suffix, other + suffix) for one, other in compared for suffix in suffixes]
    unequal = [
        f"{one} and {other}" for one, other in dict.fromkeys(pairs)
        if counts.get(one, 0) != counts.get(other, 0)
    ]  # fmt: skip
    if unequal:
        some = _joined(unequal[:6]) + (f" and {len(unequal) - 6} more pairs" if len(unequal) > 6 else "")
        yield f"trials {what} unequally often in {some}: if that depends on the outcome, this is biased"


def _listed(counts: Mapping[str, Any]) -> str:
    return _joined([f"{count} in {name}" for name, count in counts.items()])


def _joined(names: Sequence[str]) -> str:
    """A list of names, those of points in a design hold commas."""
    return ("; " if any("," in name for name in names) else ", ").join(names)
