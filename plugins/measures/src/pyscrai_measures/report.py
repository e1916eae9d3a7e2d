"""What judges came to, as text and as rows."""

from __future__ import annotations

from typing import Any

from .api import Judgements, describe
from .output import as_table
from .scores import Agreement


def rating_rows(found: Judgements) -> list[dict[str, Any]]:
    """The ratings as rows, with the labels of their runs."""
    return [{**one.to_dict(), "labels": found.runs[one.run]} for one in found.ratings]


def as_text(found: Judgements) -> str:
    """The scores, how far the judges agree, and what it cost."""
    parts = []
    if found.estimate.calls:
        parts.append(f"expected: {describe(found.estimate)}\n")
    if found.scores:
        questions = list(dict.fromkeys(one["question"] for one in found.scores))
        labels = list(dict.fromkeys(name for given in found.runs.values() for name in given))
        values = {(one["run"], one["item"], one["question"]): one["value"] for one in found.scores}
        rows = [
            [run, *([item or "all"] if _has_items(found) else []),
             *(found.runs[run].get(name, "") for name in labels),
             *(values[run, item, question] for question in questions)]
            for run, item in dict.fromkeys((one["run"], one["item"]) for one in found.scores)
        ]  # fmt: skip
        head = ["run", *(["agent"] if _has_items(found) else []), *labels, *questions]
        parts.append(as_table(head, rows))
        head = ["agreement", "raters", "items", "alpha", "95% interval"]
        parts.append(as_table(head, [_agreement(one) for one in found.agreement]))
        notes = dict.fromkeys(note for one in found.agreement for note in _notes(one))
        parts.append("".join(f"{note}\n" for note in notes))
    missing = sum(one.value is None for one in found.ratings)
    cost = f"${found.cost.dollars:.4f}" + (
        f" and {found.cost.unpriced} calls of unknown price" * bool(found.cost.unpriced)
    )
    parts.append(
        f"{found.rubric}: {len(found.runs) - len(found.left)} of {len(found.runs)} runs judged, "
        f"{len(found.ratings)} ratings, {missing} missing; {found.asked} calls now, {cost} in all\n"
    )
    return "\n".join(parts)


def _agreement(one: Agreement) -> list[Any]:
    interval = None if one.low is None else f"[{one.low:.2f}, {one.high:.2f}]"
    return [one.question, one.of or "all", one.items, one.alpha, interval]


def _notes(one: Agreement) -> list[str]:
    where = f"{one.question}, {one.of}" if one.of else one.question
    return [f"warning: {where}: {note}" for note in one.notes]


def _has_items(found: Judgements) -> bool:
    return any(one["item"] for one in found.scores)
