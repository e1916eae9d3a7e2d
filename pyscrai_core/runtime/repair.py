"""Structured answers: whether one fits its schema, and what a model is told if it does not."""

from __future__ import annotations

from typing import Any

from ..errors import AnswerRejected
from ..language.parsing import parse_json
from ..language.schemas import check_value
from ..messages import Message
from ..records import Completion
from .answers import cut_off

#: How often an answer that does not fit its schema is asked for again.
REPAIRS = 2


def check_answer(completion: Completion, schema: dict[str, Any]) -> tuple[str | None, Any]:
    """What is wrong with a structured answer (None: nothing), and its value."""
    value, wrong = parse_json(completion.text)
    if wrong is None:
        wrong = check_value(schema, value)
    return wrong and wrong + cut_off(completion), value


def repair_prompt(wrong: str, schema: dict[str, Any] | None) -> Message:
    """What a model is told of an answer that does not fit."""
    form = ", as JSON of the demanded form alone" if schema is not None else ""
    return Message.user(f"That is not a valid answer: {wrong}. Answer again{form}.")


def rejection(provider: str, completion: Completion, wrong: str) -> AnswerRejected:
    """The error for an answer that does not fit after all repairs."""
    what = f"the answer does not fit its schema, after {REPAIRS} repairs: {wrong}"
    if completion.text.strip():
        what += f"; it began: {completion.text[:120]!r}"
    else:
        what = f"the model answers nothing, after {REPAIRS} repairs{cut_off(completion)}; use another model"
    error = AnswerRejected(f"provider {provider!r} ({completion.model}): {what}")
    error.given_up = True
    return error
