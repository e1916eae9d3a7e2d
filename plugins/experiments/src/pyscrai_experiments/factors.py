"""The effects of factors: main effects and interactions, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyscrai_statistics as st

from .collect import Collected
from .experiment import Experiment
from .outcomes import Resolved, values_of


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
        found.append({"outcome": outcome.name, **_effects(experiment, rows, factors)})
    return found


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
                level=experiment.spec.level,
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
