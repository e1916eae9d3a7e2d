"""The answers of the model: texts without decoration, and values of structured answers."""

from __future__ import annotations

import shlex
from typing import Any

from pyscrai_core import AnswerRejected, Completion, ContractError, Message, Turn

#: How often the request is repeated if the answer is empty.
REPEATS = 2
#: The maximum length of a text in structured answers, as characters per word. This is generous: it only ends
#: answers that are much too long.
CHARACTERS_PER_WORD = 10
#: Quotes around a whole text: what opens them, and what closes them.
QUOTES = {'"': '"', "“": "”", "«": "»", "„": "“"}


def tidy(text: str, name: str) -> str:
    """`text` without decoration that models add: white space, `Name:`, and one pair of quotes."""
    while True:
        before = text
        text = text.strip()
        if ":" in (begin := text[: len(name) + len("****:")]):
            for mark in (f"{name}:", f"**{name}:**", f"**{name}**:"):
                if begin.lower().startswith(mark.lower()):
                    text = text[len(mark) :].strip()
                    break
        right, inner = QUOTES.get(text[:1]), text[1:-1]
        if len(text) > 1 and text[-1] == right and not {text[0], right} & set(inner):
            text = inner
        if text == before:
            return text


async def ask_for_text(turn: Turn, messages: list[Message]) -> str:
    """The model's answer as tidy text. Raises `AnswerRejected` if all answers are empty."""
    for _ in range(REPEATS + 1):
        completion = await turn.think(messages)
        if text := tidy(completion.text, turn.agent.name):
            return text
        messages = [*messages, Message.user("Your answer was empty. Answer with text.")]
    asked = f"pyscrai prompt RUN --agent {shlex.quote(turn.agent.name)}"
    what = completion.why_empty or f"look at what it was asked, with `{asked}`, or use another model"
    raise AnswerRejected(
        f"the model ({completion.model}) answers nothing: {REPEATS + 1} empty answers in a row (finish "
        f"reason: {completion.finish_reason}), expected text; {what}"
    )


def parsed(turn: Turn, completion: Completion) -> dict[str, Any]:
    """The value of a structured answer. Raises `ContractError` if the reasoning returned none."""
    if not isinstance(completion.parsed, dict):
        raise ContractError(
            f"agents.{turn.agent.name}: the reasoning returned an answer without `parsed`, "
            "expected an object that fits the schema; return a completion of a request with that schema"
        )
    return completion.parsed
