"""Mixed models of outcomes and of agents' choices, with seed and agent as random effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyscrai_statistics as st

from .collect import Collected
from .experiment import Experiment
from .names import check_mixed
from .outcomes import Resolved, values_of


def mixed_models(
    experiment: Experiment, data: Collected, outcomes: Sequence[Resolved]
) -> list[dict[str, Any]]:
    """For each name of `mixed`, the effects of arms or factors. Raises `ScenarioError`."""
    by_name = {outcome.name: outcome for outcome in outcomes}
    check_mixed(experiment, data.choices, {name: one.kind for name, one in by_name.items()})
    arms = [arm for arm in experiment.arms if not arm.variant]
    fixed = list(experiment.spec.factors) or ["arm"]
    found = []
    for name in experiment.spec.mixed:
        outcome = by_name.get(name)
        rows: list[dict[str, Any]] = []
        for arm in arms:
            # Named apart from the columns of a row, as a factor may have any name.
            levels = {f"fixed {key}": arm.levels.get(key, arm.name) for key in fixed}
            if outcome:
                rows += [
                    {"value": value, "seed": str(run), **levels}
                    for run, value in values_of(data, outcome, arm.name).items()
                ]
            else:
                rows += [
                    {"value": one.value, "seed": str(one.run), "agent": f"{one.run}/{one.agent}", **levels}
                    for one in data.choices.answers.get(name, {}).get(arm.name, [])
                ]
        random = ["seed"] if outcome else ["seed", "agent"]
        try:
            model = st.mixed_model(
                rows, outcome="value", fixed=[f"fixed {key}" for key in fixed], random=random,
                categorical=[f"fixed {key}" for key in fixed] if experiment.design.use == "grid" else (),
                level=experiment.spec.level,
            )  # fmt: skip
        except st.StatisticsError as error:
            found.append(
                {
                    "name": name,
                    "agents": not outcome,
                    "effects": {},
                    "variances": {},
                    "n": len(rows),
                    "notes": [str(error)],
                }
            )
            continue
        content = model.to_dict()
        notes = list(model.warnings)
        effects = {key.removeprefix("fixed "): one for key, one in content["effects"].items()}
        found.append(
            {
                "name": name,
                "agents": not outcome,
                "effects": effects,
                "variances": content["variances"],
                "n": model.n,
                "notes": notes,
            }
        )
    return found
