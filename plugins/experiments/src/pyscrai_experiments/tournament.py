"""The table of a tournament: what each strategy got against each."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pyscrai_statistics as st

from .collect import Collected
from .experiment import Experiment


def tournament_of(experiment: Experiment, data: Collected) -> dict[str, Any]:
    """The mean score of each strategy against each, and the strategies by their mean over all opponents.

    `table[row][column]` is what the strategy of the row got against that of the column. A strategy against
    itself plays at both places; both count. Each of `ranking` has the interval of its mean, whose unit is the
    replicate, and by how much it is `ahead` of the next one, paired by replicate.
    """
    pairings = experiment.spec.pairings
    assert pairings
    scores: dict[tuple[str, str], list[float]] = {}
    runs: dict[str, dict[int, dict[str, list[float]]]] = {}
    for arm in experiment.arms:
        if arm.pair is None or arm.variant:
            continue
        first, second = arm.pair
        for own, other, path in ((first, second, pairings.scores[0]), (second, first, pairings.scores[1])):
            for replicate, value in data.values(arm.name, path).items():
                if isinstance(value, int | float):
                    scores.setdefault((own, other), []).append(value)
                    of_run = runs.setdefault(own, {}).setdefault(replicate, {})
                    of_run.setdefault(other, []).append(value)
    names = list(pairings.strategies)
    table = {
        row: {column: _mean(scores.get((row, column), ())) for column in names} for row in names
    }  # fmt: skip
    means = {row: _mean([value for value in table[row].values() if value is not None]) for row in names}
    ranked = sorted(names, key=lambda name: (-(means[name] or 0.0), names.index(name)))
    whole = {
        name: {
            replicate: fmean(fmean(values) for values in found.values())
            for replicate, found in runs.get(name, {}).items()
            if len(found) == len([one for one in table[name].values() if one is not None])
        }
        for name in names
    }
    level = experiment.spec.level
    ranking = []
    for name, following in zip(ranked, [*ranked[1:], None], strict=True):
        ahead = _ahead(whole[name], whole[following], level) if following is not None else None
        interval = ahead["interval"] if ahead else None
        ranking.append(
            {
                "strategy": name,
                "mean": means[name],
                "interval": _interval(list(whole[name].values()), level),
                "ahead": ahead,
                "ahead_surely": bool(interval and interval["low"] > 0),
            }
        )
    return {"strategies": names, "table": table, "ranking": ranking, "level": level}


def _interval(values: list[float], level: float) -> dict[str, Any] | None:
    """The interval of a mean; None if the values are too few or equal."""
    if len(values) < 2:
        return None
    found = st.mean(values, level=level).interval
    return found.to_dict() if found else None


def _ahead(one: dict[int, float], other: dict[int, float], level: float) -> dict[str, Any] | None:
    both = sorted(one.keys() & other.keys())
    if len(both) < 2:
        return None
    return st.paired_difference(
        [one[key] for key in both], [other[key] for key in both], level=level
    ).to_dict()


def _mean(values: Any) -> float | None:
    return fmean(values) if values else None
