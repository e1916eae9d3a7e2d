"""Spread beside the mean: how different agents and runs are in what they chose, and habits of answering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pyscrai_statistics as st

from .choices import ACTION, Choice, Choices, Question, as_category


def spread_of(choices: Choices, arms: Sequence[str], level: float) -> dict[str, list[dict[str, Any]]]:
    """For each question and arm: the entropy of categories, or the variances of numbers, with intervals.

    `categories`, `numbers` and `sheets` (the same answer to all items of an action) are rows of plain data.
    What cannot be estimated is None, and `notes` say why.
    """
    found: dict[str, list[dict[str, Any]]] = {"categories": [], "numbers": [], "sheets": []}
    for question in choices.questions.values():
        for arm in arms:
            answers = choices.answers.get(question.name, {}).get(arm, [])
            if not answers:
                continue
            head = {
                "question": question.name, "arm": arm, "n": len(answers),
                "runs": len({one.run for one in answers}),
            }  # fmt: skip
            if question.options:
                found["categories"].append({**head, **_category(question, answers, level)})
            else:
                found["numbers"].append({**head, **_number(answers, level)})
    _mark_first_options(found["categories"], level)
    for action, items in choices.items.items():
        for arm in arms:
            sheets = choices.sheets.get(action, {}).get(arm, [])
            if not sheets:
                continue
            runs = _several([run for run, _ in sheets])
            answers_to = [[as_category(one) for one in answers] for _, answers in sheets]
            notes: list[str] = []
            share = _try(notes, partial(st.straight_lining_share, answers_to, runs, level=level))
            found["sheets"].append(
                {"question": action, "arm": arm, "n": len(sheets), "items": list(items), "share": share,
                 "notes": notes}
            )  # fmt: skip
    return found


def _mark_first_options(rows: Sequence[dict[str, Any]], level: float) -> None:
    """Mark where the first option is chosen above chance, at a level for all rows together (Bonferroni)."""
    tried = [one for one in rows if one["first"]]
    together = 1 - (1 - level) / max(1, len(tried))
    for one in rows:
        again = one.pop("again")
        found = again(together).interval if one["first"] else None
        one["first_above_chance"] = bool(found and found.low > 1 / one["options"])


def _category(question: Question, answers: Sequence[Choice], level: float) -> dict[str, Any]:
    values = [as_category(one.value) for one in answers]
    runs = _several([one.run for one in answers])
    options = [as_category(one) for one in question.options]
    known = options if set(values) <= set(options) else None
    notes: list[str] = []
    entropy = _try(notes, partial(st.entropy, values, categories=known, runs=runs, level=level))
    first = None

    def share_of_first(level: float) -> st.Estimate:
        return st.first_option_share(values, options[0], runs, level=level)

    if question.name != ACTION:  # guards decide which actions are offered, and so which is the first
        first = _try(notes, partial(share_of_first, level))
    counts = {str(option): values.count(option) for option in dict.fromkeys([*options, *values])}
    return {"options": len(options), "counts": counts, "entropy": entropy, "first": first, "notes": notes,
            "again": share_of_first}  # fmt: skip


def _number(answers: Sequence[Choice], level: float) -> dict[str, Any]:
    values = [one.value for one in answers]
    runs = [one.run for one in answers]
    agents = [one.agent for one in answers]
    notes: list[str] = []
    repeated = len(set(zip(runs, agents, strict=True))) < len(values)
    found: st.Components | None = None
    try:
        if repeated:
            found = st.variance_components(values, agents, _several(runs), level=level)
            parts = {
                "between_runs": found.between_runs,
                "between_agents": found.between_agents,
                "within_agents": found.within_agents,
            }
        else:  # one value of each agent: what is within a run is between its agents
            found = st.variance_components(values, runs, level=level)
            parts = {
                "between_runs": found.between_agents, "between_agents": found.within_agents,
                "within_agents": None,
            }  # fmt: skip
            notes.append("each agent chose once in a run: nothing is known of the variance within agents")
        notes += found.warnings
    except st.StatisticsError as error:
        parts = dict.fromkeys(("between_runs", "between_agents", "within_agents"))
        notes.append(str(error))
    return {**{name: one and one.to_dict() for name, one in parts.items()}, "notes": notes}


def _try(notes: list[str], estimate: Callable[[], st.Estimate]) -> dict[str, Any] | None:
    """An estimate as plain data, with its warnings among the notes; None if there is none."""
    try:
        found = estimate()
    except st.StatisticsError as error:
        notes.append(str(error))
        return None
    notes += found.warnings
    return found.to_dict()


def _several(runs: Sequence[int]) -> Sequence[int] | None:
    return runs if len(set(runs)) > 1 else None
