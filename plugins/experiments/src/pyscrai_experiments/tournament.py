"""The table of a tournament: what each strategy got against each."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from .collect import Collected
from .experiment import Experiment


def tournament_of(experiment: Experiment, data: Collected) -> dict[str, Any]:
    """The mean score of each strategy against each, and the strategies by their mean over all opponents.

    `table[row][column]` is what the strategy of the row got against that of the column. A strategy against
    itself plays at both places; both count.
    """
    pairings = experiment.spec.pairings
    assert pairings
    scores: dict[tuple[str, str], list[float]] = {}
    for arm in experiment.arms:
        if arm.pair is None or arm.variant:
            continue
        first, second = arm.pair
        for own, other, path in ((first, second, pairings.scores[0]), (second, first, pairings.scores[1])):
            for value in data.values(arm.name, path).values():
                if isinstance(value, int | float):
                    scores.setdefault((own, other), []).append(value)
    names = list(pairings.strategies)
    table = {
        row: {column: _mean(scores.get((row, column), ())) for column in names} for row in names
    }  # fmt: skip
    means = {row: _mean([value for value in table[row].values() if value is not None]) for row in names}
    ranked = sorted(names, key=lambda name: (-(means[name] or 0.0), names.index(name)))
    return {
        "strategies": names,
        "table": table,
        "ranking": [{"strategy": name, "mean": means[name]} for name in ranked],
    }


def _mean(values: Any) -> float | None:
    return fmean(values) if values else None
