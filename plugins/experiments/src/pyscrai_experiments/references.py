"""Distributions of outcomes and of agents' choices, beside a reference such as a survey of people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyscrai_statistics as st

from .choices import as_category
from .collect import Collected
from .experiment import Experiment
from .names import check_references, levels_of, weights_of
from .outcomes import Resolved, values_of


def compared_with_references(
    experiment: Experiment, data: Collected, outcomes: Sequence[Resolved]
) -> tuple[list[dict[str, Any]], list[str]]:
    """For each reference and arm, how far the answers are from it, and what could not be compared.

    Raises `ScenarioError` for references to what is not there.
    """
    by_name = {outcome.name: outcome for outcome in outcomes}
    levels = {outcome.name: outcome.levels for outcome in outcomes}
    check_references(experiment, data.choices, levels)
    found, problems = [], []
    for name in experiment.spec.references:
        known = levels_of(name, data.choices, levels)
        weights = weights_of(experiment, name, known)
        ordered = [as_category(one) for one in known] if _has_order(name, data, by_name) else None
        for arm in (arm.name for arm in experiment.arms if not arm.variant):
            if name in by_name:
                values = list(values_of(data, by_name[name], arm).values())
                runs = len(values)
            else:
                answers = data.choices.answers.get(name, {}).get(arm, [])
                values, runs = [one.value for one in answers], len({one.run for one in answers})
            if len(values) < 2:
                continue
            try:
                one = st.compare_to_reference(
                    [as_category(value) for value in values], weights, order=ordered,
                    level=experiment.spec.level,
                )  # fmt: skip
            except st.StatisticsError as error:
                problems.append(f"the reference {name} is not compared with {arm}: {error}")
                continue
            notes = list(one.warnings)
            if runs < len(values):
                notes.append(
                    "answers of one run count as independent; if they depend on each other, p is too small"
                )
            found.append({"name": name, "arm": arm, **one.to_dict(), "notes": notes})
    return found, problems


def _has_order(name: str, data: Collected, outcomes: Mapping[str, Resolved]) -> bool:
    if name in outcomes:
        return outcomes[name].kind == "ordered"
    question = data.choices.questions[name]
    numbers = [one for one in question.options if isinstance(one, int | float) and not isinstance(one, bool)]
    return bool(question.scale) or len(numbers) == len(question.options)
