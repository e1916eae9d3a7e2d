"""The effects of factors: main effects and interactions, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import pyscrai_statistics as st

from .arms import Arm, names_of_points, sample, unit_bounds
from .collect import Collected
from .experiment import Experiment
from .outcomes import Resolved, values_of

#: The most levels of a factor whose means have intervals.
LEVELS = 20


def effects_of(experiment: Experiment, data: Collected, outcomes: Sequence[Resolved]) -> list[dict[str, Any]]:
    """For each number or proportion among the outcomes: what each factor, and each pair of them, does."""
    arms = [arm for arm in experiment.arms if not arm.variant]
    factors = list(experiment.spec.factors)
    found = []
    for outcome in outcomes:
        if outcome.kind not in ("number", "proportion"):
            continue
        rows = [
            {
                **{f"factor {name}": arm.levels[name] for name in factors},
                "outcome": value,
                "block": str(number),
            }
            for arm in arms
            for number, value in values_of(data, outcome, arm.name).items()
        ]
        found.append(
            {
                "outcome": outcome.name,
                "unit": outcome.unit,
                **_effects(experiment, rows, factors),
                "responses": [_response(experiment, data, outcome, arms, factor) for factor in factors],
                **_indices(experiment, data, outcome),
            }
        )
    return found


def _response(
    experiment: Experiment, data: Collected, outcome: Resolved, arms: Sequence[Arm], factor: str
) -> dict[str, Any]:
    """The outcome by the levels of a factor: means over all else; of sampled points, each point's mean."""
    levels: dict[Any, list[Arm]] = {}
    for arm in arms:
        levels.setdefault(arm.levels[factor], []).append(arm)
    points = []
    for level, several in levels.items():
        by_run: dict[int, list[float]] = {}
        for arm in several:
            for run, value in values_of(data, outcome, arm.name).items():
                by_run.setdefault(run, []).append(value)
        means = [fmean(values) for values in by_run.values()]
        if not means:
            continue
        found: dict[str, Any] = {"estimate": fmean(means), "interval": None}
        if len(levels) <= LEVELS and len(means) > 1:
            found = st.mean(means, level=experiment.spec.level).to_dict()
        points.append({"level": level, "estimate": found["estimate"], "interval": found["interval"]})
    return {"factor": factor, "points": points}


def _indices(experiment: Experiment, data: Collected, outcome: Resolved) -> dict[str, Any]:
    """Sobol or Morris indices of the factors, where the design is one for them."""
    design = experiment.design
    if design.use not in ("saltelli", "morris"):
        return {}
    factors = list(experiment.spec.factors)
    by_arm = {
        arm.name: values
        for arm in experiment.arms
        if not arm.variant and (values := values_of(data, outcome, arm.name))
    }
    found: dict[str, Any]
    names = names_of_points(experiment.spec.factors, design)
    missing = len({name for name in names if name not in by_arm})
    if missing:
        return {"indices": None, "index_note": f"no indices: {missing} points have no outcome"}
    at_points, notes = _replicates([by_arm[name] for name in names])
    bounds = unit_bounds(len(factors))
    level = experiment.spec.level
    try:
        if design.use == "saltelli":
            found = st.sobol_indices(bounds, at_points, level=level).to_dict()
            rows = [
                {"factor": factor, "first": found["first"][str(number)], "total": found["total"][str(number)]}
                for number, factor in enumerate(factors)
            ]
        else:
            points = [dict(zip(bounds, point, strict=True)) for point in sample(design, len(factors))]
            found = st.morris_indices(bounds, points, at_points, level=level).to_dict()
            rows = [
                {
                    "factor": factor,
                    **{key: found[key][str(number)] for key in ("importance", "mean", "sd")},
                }
                for number, factor in enumerate(factors)
            ]
    except st.StatisticsError as error:
        return {"indices": None, "index_note": f"no indices: {error}"}
    for row in rows:
        own = [
            one for key in ("first", "total", "importance") for one in row.get(key, {}).get("warnings", ())
        ]
        notes += [f"{row['factor']}: {one}" for one in dict.fromkeys(own)]
    indices = {
        "design": design.use, "rows": rows, "replicates": found["replicates"], "noise": found.get("noise"),
        "notes": [*notes, *found["warnings"]],
    }  # fmt: skip
    return {"indices": indices, "index_note": ""}


def _replicates(points: Sequence[Mapping[int, float]]) -> tuple[list[list[float]], list[str]]:
    """The values of each point in the replicates that all points have; without two, each point's mean."""
    every = set.union(*(set(one) for one in points))
    whole = sorted(set.intersection(*(set(one) for one in points)))
    if len(whole) > 1:
        lost = len(every) - len(whole)
        notes = (
            [f"{lost} replicates without an outcome at some point are left out of indices"] if lost else []
        )
        return [[one[number] for number in whole] for one in points], notes
    lacking = "fewer than two replicates have an outcome at every point, so that means of points are used"
    return [[fmean(one.values())] for one in points], [lacking] if len(every) > 1 else []


def _effects(experiment: Experiment, rows: list[dict[str, Any]], factors: Sequence[str]) -> dict[str, Any]:
    columns = [f"factor {name}" for name in factors]
    problem = ""
    # Where points do not suffice for interactions, or for blocks, they are left out, and that is told.
    for interactions, block in ((True, "block"), (False, "block"), (False, None)):
        if interactions and len(factors) < 2:
            continue
        try:
            effects = st.factor_effects(
                rows, outcome="outcome", factors=columns, interactions=interactions, block=block,
                categorical=columns if experiment.design.use == "grid" else (),
                level=experiment.spec.level, points="fixed" if experiment.design.use == "grid" else "auto",
            )  # fmt: skip
        except st.StatisticsError as error:
            problem = problem or str(error)
            continue
        notes = list(effects.warnings)
        if len(factors) > 1 and not interactions:
            notes.append(f"interactions are left out ({problem.replace('factor ', '')})")
        if block is None:
            notes.append("the replicates' seeds are not taken out as blocks")
        listed = [*effects.main, *effects.interactions]
        return {
            "effects": [_named(one.to_dict()) for one in listed],
            "residual_sd": effects.residual_sd,
            "points": effects.points,
            "lack_of_fit": effects.lack_of_fit and effects.lack_of_fit.to_dict(),
            "notes": notes,
        }
    return {"effects": [], "residual_sd": None, "notes": [f"no effects: {problem.replace('factor ', '')}"]}


def _named(effect: dict[str, Any]) -> dict[str, Any]:
    """An effect with the names of the factors as the file has them."""
    details = dict(effect["details"])
    for key, value in details.items():
        if key.startswith("factor"):
            strip = [one.removeprefix("factor ") for one in value] if isinstance(value, list) else value
            details[key] = strip.removeprefix("factor ") if isinstance(strip, str) else strip
    return {**effect, "name": effect["name"].replace("factor ", ""), "details": details}
