"""Stopping early, by a confidence sequence: an interval that may be looked at after every replicate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field

from pyscrai_records.store.runs import RecordedRun

from .collect import value_at
from .experiment import Experiment
from .series import is_series, summary_at

if TYPE_CHECKING:  # whoever runs an experiment needs no statistics until a rule is applied
    import pyscrai_statistics as st

#: Of an arm and a replicate that ended: the outcome's value, or None if it has none.
Values = Mapping[tuple[str, int], Any]


@define
class Stopping:
    """Watches the difference that an experiment stops by.

    Replicates count in their order, also if a later one ends first, so that where it stops does not depend on
    how fast they are.
    """

    experiment: Experiment
    values: dict[tuple[str, int], Any] = field(factory=dict)

    def add(self, arm: str, replicate: int, run: RecordedRun) -> None:
        """Take in a trial that ended."""
        rule = self.experiment.spec.stopping
        if rule is None or arm not in (rule.arm, rule.against) or run.status not in ("completed", "failed"):
            return
        path = self.experiment.outcomes[rule.outcome].value or rule.outcome
        found = _value_of(run, path) if run.status == "completed" else None
        if not (found is None or isinstance(found, int | float)):
            what = f"{path} is {found!r:.40} in run {run.id}; expected numbers, or true and false"
            raise self.experiment.error(("stopping", "outcome"), f"{what}; stop by another outcome")
        self.values[arm, replicate] = found

    def look(self) -> dict[str, Any] | None:
        """The interval after the replicates in order, and where it excludes zero (`stopped`)."""
        rule = self.experiment.spec.stopping
        if rule is None:
            return None
        differences: list[float] = []
        replicates: list[int] = []
        number = 1
        while all((arm, number) in self.values for arm in (rule.arm, rule.against)):
            first, second = (self.values[arm, number] for arm in (rule.arm, rule.against))
            if first is not None and second is not None:
                differences.append(float(first) - float(second))
                replicates.append(number)
            number += 1
        if not differences:
            return None
        import pyscrai_statistics as st

        try:
            sequence = st.betting_sequence(
                differences, bounds=rule.bounds, level=1 - self.experiment.spec.alpha
            )
        except st.StatisticsError as error:
            raise self.experiment.error(("stopping", "bounds"), str(error)) from error
        last, stopped = len(differences) - 1, None
        for index, (low, high) in enumerate(zip(sequence.low, sequence.high, strict=True)):
            if index + 1 >= rule.minimum and (low > 0 or high < 0):
                last, stopped = index, replicates[index]
                break
        return {
            "outcome": rule.outcome, "arm": rule.arm, "against": rule.against, "pairs": last + 1,
            "estimate": sequence.means[last], "low": sequence.low[last], "high": sequence.high[last],
            "level": 1 - self.experiment.spec.alpha, "stopped": stopped,
        }  # fmt: skip


def _value_of(run: RecordedRun, path: str) -> Any:
    if not is_series(path):
        return value_at(run.outcomes, path)
    series = {("measure", name): rows for name, rows in run.measures.items()}
    return summary_at(path, series | {("table", name): rows for name, rows in run.tables.items()})


def stopping_of(experiment: Experiment, known: Mapping[tuple[str, int], RecordedRun]) -> Stopping:
    """The watch over an experiment, with the trials that there are."""
    found = Stopping(experiment)
    if experiment.spec.stopping is not None:
        for (arm, replicate), run in known.items():
            found.add(arm, replicate, run)
    return found


def stops_by(experiment: Experiment, outcome: str, contrast: st.Contrast) -> bool:
    """Whether an experiment stops by the difference of a comparison, in either direction."""
    rule = experiment.spec.stopping
    return (
        rule is not None
        and rule.outcome == outcome
        and {rule.arm, rule.against} == {contrast.first, contrast.second}
    )


def by_sequence(found: dict[str, Any], contrast: st.Contrast) -> dict[str, Any]:
    """The verdict on a comparison by its confidence sequence, and the sentence with it.

    Unlike a test of a fixed number of replicates, the sequence keeps its error rate wherever one stops.
    """
    low, high, estimate = found["low"], found["high"], found["estimate"]
    if found["arm"] != contrast.first:
        low, high, estimate = -high, -low, -estimate
    verdict, reason = _verdict(low, high, contrast)
    claim = {
        "two-sided": f"{contrast.first} and {contrast.second} differ",
        "greater": f"{contrast.first} is greater than {contrast.second}",
        "less": f"{contrast.first} is less than {contrast.second}",
    }[contrast.direction]
    head = {"supported": "Supported: that", "not supported": "Not supported: that"}
    sentence = (
        f"{head.get(verdict, 'Undecided: whether')} {claim}. The mean difference is {estimate:.3g} "
        f"({found['level'] * 100:g} % confidence sequence {low:.3g} to {high:.3g}; {found['pairs']} pairs): "
        f"{reason}. The verdict rests on the sequence, which allows for stopping early; the p-values do not."
    )
    return {"verdict": verdict, "sentence": sentence, "by_sequence": True}


def _verdict(low: float, high: float, contrast: st.Contrast) -> tuple[str, str]:
    smallest = contrast.smallest
    if smallest and smallest[0] < low and high < smallest[1]:
        return "not supported", "it lies between the smallest differences of interest"
    if contrast.direction == "greater" and high < (smallest[1] if smallest else 0):
        return "not supported", "it excludes what is claimed"
    if contrast.direction == "less" and low > (smallest[0] if smallest else 0):
        return "not supported", "it excludes what is claimed"
    if (low > 0 and contrast.direction != "less") or (high < 0 and contrast.direction != "greater"):
        return "supported", "it excludes zero"
    return "undecided", "it does not exclude zero"
