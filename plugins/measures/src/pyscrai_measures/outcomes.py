"""Measures and judgements as outcomes of an experiment: `measures.NAME` and `judge.RUBRIC.QUESTION`.

Behind both, the name of an agent may follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyscrai_core import StoredRun
from pyscrai_records.base.suggest import there_is_no

if TYPE_CHECKING:
    from .rubric import Question
    from .scores import Rating

Found = dict[str, dict[str, Any]]


def measures(runs: Sequence[StoredRun], paths: Sequence[str], store: Any) -> Found:
    """The values of measures, by run and path."""
    from .measuring import MEASURES
    from .talk import talk_of

    chosen = {}
    for path in paths:
        name, _, agent = path.partition(".")
        if name not in MEASURES:
            raise ValueError(there_is_no("measure", name, MEASURES))
        known = MEASURES[name]
        if not (known.each if agent else known.whole):
            which = f"add an agent, as measures.{name}.AGENT" if known.each else "take the agent out"
            raise ValueError(f"{name} is a measure of {'agents' if known.each else 'runs'} alone; {which}")
        chosen[path] = (known, agent)
    agents = dict.fromkeys(name for run in runs for name in run.manifest["scenario"]["agents"])
    for path, (_, agent) in chosen.items():
        if runs and agent and agent not in agents:
            raise ValueError(f"measures.{path}: {there_is_no('agent', agent, agents)}")
    found: Found = {}
    for run in runs:
        talk = talk_of(run)
        found[run.id] = {
            path: known.measure(talk, agent or None)
            for path, (known, agent) in chosen.items()
            if not agent or agent in talk.participants
        }
    return found


class Judge:
    """The scores of judgements, and how far the judges agree."""

    def __call__(self, runs: Sequence[StoredRun], paths: Sequence[str], store: Any) -> Found:
        """The scores, by run and path; of a run that was not judged, nothing."""
        from .scores import score

        found: Found = {}
        for path in paths:
            name, item, questions, ratings = _ratings(path, runs, store)
            items = dict.fromkeys(one.item for several in ratings.values() for one in several)
            for run, several in ratings.items():
                chosen = [one for one in several if item in ("", one.item)]
                found.setdefault(run, {})[path] = score(questions[name], chosen)
            if item and items and item not in items:
                raise ValueError(f"judge.{path}: {there_is_no('judged item', item, items)}")
        return found

    def reliability(self, runs: Sequence[StoredRun], paths: Sequence[str], store: Any) -> dict[str, Any]:
        """By path, Krippendorff's alpha of all raters of the runs, as plain data."""
        from .scores import agreement_of

        found: dict[str, Any] = {}
        for path in paths:
            name, item, questions, ratings = _ratings(path, runs, store)
            chosen = [one for several in ratings.values() for one in several if item in ("", one.item)]
            if chosen:
                one = agreement_of({name: questions[name]}, chosen)[0]
                found[path] = {"name": "Krippendorff's alpha", "estimate": one.alpha, **one.to_dict()}
        return found


judge = Judge()


def _ratings(
    path: str, runs: Sequence[StoredRun], store: Any
) -> tuple[str, str, dict[str, Question], dict[str, list[Rating]]]:
    """The question of a path, its item or "", the questions, and by run the ratings of the question."""
    from .judging import judgements_of
    from .scores import questions_of, ratings_of

    rubric, _, rest = path.partition(".")
    name, _, item = rest.partition(".")
    if not name:
        raise ValueError(f"judge.{path}: the question is missing; expected judge.RUBRIC.QUESTION")
    known = judgements_of(store, rubric) if runs else {}
    questions: dict[str, Question] = {}
    ratings: dict[str, list[Rating]] = {}
    for run in runs:
        judgement = known.get(run.id)
        if judgement is None or judgement.status != "completed":
            continue
        questions = questions_of(judgement)
        if name not in questions:
            raise ValueError(f"judge.{path}: {there_is_no('question', name, questions)}")
        ratings[run.id] = [one for one in ratings_of(judgement) if one.question == name]
    return name, item, questions, ratings
