"""The outcomes of an experiment: where they are in a run's outcomes, of which kind, and their values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from pyscrai_records.base.suggest import format_json

from .collect import Collected
from .experiment import Experiment
from .spec import OutcomeSpec


@frozen
class Resolved:
    """An outcome with all that is known of it. `path` is where in a run's outcomes it is."""

    name: str
    path: str
    kind: str
    unit: str
    levels: tuple[str, ...]


def resolve(experiment: Experiment, data: Collected, name: str) -> Resolved:
    """An outcome with all that is known of it. Raises `ScenarioError` for values that are not of its kind."""
    given = experiment.outcomes.get(name, OutcomeSpec())
    path = given.value or name
    declared = data.declared.get(path, {})
    values = [
        value
        for arm in experiment.arms
        for value in data.values(arm.name, path).values()
        if value is not None
    ]
    levels = given.levels or tuple(declared.get("levels", ()))
    kind = given.kind or declared.get("kind") or _kind_of(values)
    if not given.kind and kind == "proportion" and any(value not in (0, 1) for value in values):
        kind = "number"  # a share within each run; proportions are those of runs
    place = ("outcomes", name)
    for value in values:
        problem = _misfit(kind, value, levels)
        if problem:
            found = f"its value {format_json(value)} is {problem}"
            raise experiment.error(
                place,
                f"the outcome is of the kind {kind}, and {found}; set another `kind`, or mend the outcome",
            )
    return Resolved(name, path, kind, given.unit or declared.get("unit", ""), levels)


def _kind_of(values: Sequence[Any]) -> str:
    if not values:
        return "text"
    if all(isinstance(value, bool) for value in values):
        return "proportion"
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return "number"
    if all(isinstance(value, str) for value in values) and len(set(values)) <= 20:
        return "category"
    return "text"


def _misfit(kind: str, value: Any, levels: Sequence[str]) -> str:
    """What is wrong with a value of this kind; "" if nothing is."""
    if kind == "number":
        return "" if isinstance(value, int | float) and not isinstance(value, bool) else "no number"
    if kind == "proportion":
        return "" if value in (0, 1) else "neither true nor false"
    if kind in ("category", "ordered"):
        if isinstance(value, dict | list):
            return "no category"
        if levels and str(value) not in levels:
            return f"none of its levels ({', '.join(levels)})"
    return ""


def _plain(outcome: Resolved, value: Any) -> Any:
    return (
        int(value) if outcome.kind == "proportion" else str(value) if outcome.kind in ("category", "ordered")
        else value
    )  # fmt: skip


def values_of(data: Collected, outcome: Resolved, arm: str) -> dict[int, Any]:
    """The values of an outcome in an arm by replicate, without those that are missing."""
    found = data.values(arm, outcome.path)
    return {key: _plain(outcome, value) for key, value in found.items() if value is not None}
