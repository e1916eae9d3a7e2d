"""Measures and judgements as outcomes of an experiment: `measures.NAME` and `judge.RUBRIC.QUESTION`.

Behind both, the name of an agent may follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyscrai_core import StoredRun
from pyscrai_core.suggest import there_is_no

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


def judge(runs: Sequence[StoredRun], paths: Sequence[str], store: Any) -> Found:
    """The scores of judgements, by run and path; of a run that was not judged, nothing."""
    from .judging import judgements_of
    from .scores import questions_of, ratings_of, score

    found: Found = {}
    for path in paths:
        rubric, _, rest = path.partition(".")
        name, _, item = rest.partition(".")
        if not name:
            raise ValueError(f"judge.{path}: the question is missing; expected judge.RUBRIC.QUESTION")
        known = judgements_of(store, rubric) if runs else {}
        items: dict[str, None] = {}
        for run in runs:
            judgement = known.get(run.id)
            if judgement is None or judgement.status != "completed":
                continue
            questions = questions_of(judgement)
            if name not in questions:
                raise ValueError(f"judge.{path}: {there_is_no('question', name, questions)}")
            ratings = [one for one in ratings_of(judgement) if one.question == name]
            items |= dict.fromkeys(one.item for one in ratings)
            chosen = [one for one in ratings if item in ("", one.item)]
            found.setdefault(run.id, {})[path] = score(questions[name], chosen)
        if item and items and item not in items:
            raise ValueError(f"judge.{path}: {there_is_no('judged item', item, items)}")
    return found
