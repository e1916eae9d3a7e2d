"""What judges came to: their ratings, the scores of runs, and how far the judges agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import asdict, frozen

import pyscrai_statistics as st
from pyscrai_core import StoredRun

from .rubric import Question

#: How differences of ratings count for Krippendorff's alpha.
METRICS = {"number": "interval", "ordered": "ordinal", "category": "nominal", "yes-no": "nominal"}


@frozen
class Rating:
    """An answer of a judge about an item of a run; None: it gave none, for the `reason`.

    `rater` is the judge with the number of its repetition: two raters may be the same model.
    """

    run: str
    item: str
    rater: str
    judge: str
    question: str
    value: Any
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@frozen
class Agreement:
    """How far raters agree on a question: Krippendorff's alpha, with its interval.

    `of` is empty for all raters, or the judge whose repetitions are compared. `items` are those with two
    ratings or more. `alpha` is None if it is not defined; `notes` say why.
    """

    question: str
    of: str
    alpha: float | None
    low: float | None
    high: float | None
    items: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "notes": list(self.notes)}


def questions_of(judgement: StoredRun) -> dict[str, Question]:
    """The questions that a judgement answered."""
    agents = judgement.manifest["scenario"]["agents"]
    written = next(iter(agents.values()))["questions"]
    found = {}
    for name, given in written.items():
        scale = tuple(given["range"]) if given["range"] else None
        found[name] = Question(**{**given, "range": scale, "labels": tuple(given["labels"])})
    return found


def ratings_of(judgement: StoredRun) -> list[Rating]:
    """The ratings of a judgement: the run in which a run was judged."""
    agents = judgement.manifest["scenario"]["agents"]
    run = judgement.labels["judged"]
    found = []
    for event in judgement.events():
        judge = agents[event.source]["provider"] if event.source in agents else ""
        given = event.payload
        if event.kind == "judgement":
            found += [
                Rating(run, given["item"], event.source, judge, name, value, given["reasons"].get(name, ""))
                for name, value in given["answers"].items()
            ]
        elif event.kind == "no-judgement":
            found += [
                Rating(run, given["item"], event.source, judge, name, None, given["reason"])
                for name in given["questions"]
            ]
    return found


def score(question: Question, ratings: Iterable[Rating]) -> Any:
    """What several ratings come to; None if there is none, or no most frequent category.

    Numbers: the mean. Yes and no: the share of yes. Ordered: the lower median. Categories: the most frequent
    one.
    """
    values = [one.value for one in ratings if one.value is not None]
    if not values:
        return None
    if question.kind in ("number", "yes-no"):
        return sum(values) / len(values)
    if question.kind == "ordered":
        return sorted(values, key=question.labels.index)[(len(values) - 1) // 2]
    (first, count), *others = Counter(values).most_common(2)
    return None if others and others[0][1] == count else first


def agreement_of(questions: Mapping[str, Question], ratings: Sequence[Rating]) -> list[Agreement]:
    """How far the raters agree on each question, and with themselves where they were asked repeatedly."""
    found = []
    for name, question in questions.items():
        there = [one for one in ratings if one.question == name]
        found.append(_agreement(name, question, "", there))
        judges = dict.fromkeys(one.judge for one in there)
        if len(judges) > 1 and any(one.rater != one.judge for one in there):
            found += [
                _agreement(name, question, judge, [one for one in there if one.judge == judge])
                for judge in judges
            ]
    return found


def _agreement(name: str, question: Question, of: str, ratings: Sequence[Rating]) -> Agreement:
    raters = list(dict.fromkeys(one.rater for one in ratings))
    given = {(one.rater, one.run, one.item): one.value for one in ratings}
    units = list(dict.fromkeys((one.run, one.item) for one in ratings))
    text = question.kind in ("category", "yes-no")
    rows = []
    for rater in raters:
        row = [given.get((rater, *unit)) for unit in units]
        rows.append([str(value) if text and value is not None else value for value in row])
    several = [[row[place] for row in rows if row[place] is not None] for place in range(len(units))]
    pairable = [values for values in several if len(values) > 1]
    note = ""
    if len(raters) < 2:
        note = "one rater: alpha is not defined; name a second provider, or set repeats"
    elif len(pairable) < 2:
        note = f"{len(pairable)} items with two ratings: alpha is not defined; judge two items or more"
    elif len({value for values in pairable for value in values}) == 1:
        note = "all ratings are equal: alpha is not defined; it needs items that differ"
    if note:
        return Agreement(name, of, None, None, None, len(pairable), (note,))
    order = list(question.labels) if question.kind == "ordered" else None
    alpha = st.krippendorff_alpha(rows, metric=METRICS[question.kind], order=order)
    notes = list(alpha.warnings)
    if alpha.estimate is not None and alpha.estimate <= 0:
        notes.insert(0, "the raters agree no better than by chance: scores of this question mean nothing")
    interval = alpha.interval
    return Agreement(
        name, of, alpha.estimate, interval.low if interval else None, interval.high if interval else None,
        len(pairable), tuple(notes),
    )  # fmt: skip
