"""Comparisons of two arms: as they were planned, the other ones, and which of them are exploratory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyscrai_statistics as st

from .claims import Comparison
from .collect import Collected
from .experiment import Experiment
from .methods import NOT_REGISTERED
from .outcomes import Resolved, values_of
from .registry import Registration, analysis_of
from .stopping import stops_by


def contrasts(
    experiment: Experiment, data: Collected, outcomes: Sequence[Resolved]
) -> tuple[dict[tuple[str, str, str, str], st.Contrast], dict[tuple[str, str, str], st.Contrast]]:
    """The planned comparisons, corrected as one family by Holm, and the other ones with the first arm."""
    by_name = {outcome.name: outcome for outcome in outcomes}
    planned: dict[tuple[str, str, str, str], st.Contrast] = {}
    for one in experiment.comparisons:
        contrast = contrast_of(experiment, data, by_name[one.outcome], one)
        if contrast is not None:
            planned[one.outcome, one.arm, one.against, one.direction] = contrast
    explored: dict[tuple[str, str, str], st.Contrast] = {}
    arms = [arm.name for arm in experiment.arms if not arm.variant]
    if not (experiment.spec.factors or experiment.spec.pairings):
        for outcome in outcomes:
            for arm in arms[1:] if outcome.kind != "text" else ():
                both = {(outcome.name, arm, arms[0]), (outcome.name, arms[0], arm)}
                if not both & {key[:3] for key in planned}:
                    other = Comparison(outcome.name, arm, arms[0], "two-sided", None)
                    contrast = contrast_of(experiment, data, outcome, other)
                    if contrast is not None:
                        explored[outcome.name, arm, arms[0]] = contrast
    return _adjusted(planned, "holm"), _adjusted(explored, "benjamini-hochberg")


def _adjusted(found: dict[Any, st.Contrast], correction: str) -> dict[Any, st.Contrast]:
    if not found:
        return {}
    return dict(zip(found, st.adjust(list(found.values()), correction=correction), strict=True))


def contrast_of(
    experiment: Experiment, data: Collected, outcome: Resolved, one: Comparison
) -> st.Contrast | None:
    """The comparison of the pairs that both arms have; None if there are fewer than two."""
    if outcome.kind == "text":
        return None
    first, second = (values_of(data, outcome, arm) for arm in (one.arm, one.against))
    both = sorted(first.keys() & second.keys())
    if len(both) < 2:
        return None
    try:
        return st.contrast(
            [first[key] for key in both],
            [second[key] for key in both],
            paired=True,
            names=(one.arm, one.against),
            kind=outcome.kind,
            order=outcome.levels or None,
            direction=one.direction,
            alpha=experiment.spec.alpha,
            level=experiment.spec.level,
            smallest=one.smallest,
        )
    except st.StatisticsError as error:
        raise experiment.error(("outcomes", outcome.name), str(error)) from error


def why_exploratory(
    experiment: Experiment, registered: Sequence[Registration], contrast: st.Contrast, outcome: Resolved
) -> str:
    """Why a planned comparison is exploratory nevertheless; "" if it is as it was registered."""
    first = registered[0].body
    analysis, now = first["analysis"], analysis_of(experiment)
    if experiment.claim and experiment.claim.status == "exploratory":
        return "the claim is exploratory"
    same = [
        one for one in analysis["comparisons"]
        if one in now["comparisons"] and one["outcome"] == outcome.name
        and (one["arm"], one["against"]) == (contrast.first, contrast.second)
        and one["direction"] == contrast.direction
    ]  # fmt: skip
    if not same:
        return NOT_REGISTERED
    if analysis["outcomes"].get(outcome.name) != now["outcomes"].get(outcome.name):
        return "its outcome was changed after the first trial"
    if any(analysis[key] != now[key] for key in ("alpha", "level", "correction")):
        return "the error rate, the level or the correction was changed after the first trial"
    if stops_by(experiment, outcome.name, contrast):  # a sequence may be looked at whenever one likes
        same_rule = analysis["stopping"] == now["stopping"]
        return "" if same_rule else "the rule of stopping was changed after the first trial"
    if experiment.spec.stopping:
        return "the experiment may stop early, which only the comparison that it stops by allows for"
    if len(analysis["comparisons"]) > len(now["comparisons"]):
        return "planned comparisons were taken out after the first trial"
    if registered[-1].body["seeds"] != first["seeds"]:
        return "the number of replicates was changed after results could be seen"
    return ""
