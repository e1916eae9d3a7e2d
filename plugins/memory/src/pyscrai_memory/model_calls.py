"""Calls of a model by memories: for summaries and for ratings of importance."""

from __future__ import annotations

import re
from typing import Any

from pyscrai_core import (
    AnswerRejected,
    AnswerTruncated,
    Completion,
    ContractError,
    Message,
    Prompt,
    Refused,
    Request,
    Turn,
)

#: How often the call is repeated if the answer is empty.
REPEATS = 2


#: What most models say that have no finish reason for a refusal. A summary may begin with `I can't`, so that
#: an apology before it, or what is declined, has to tell it from one.
_CANNOT = (
    r"i(?:\scan['’]?t|\scan\s?not|(?:\sam|['’]m)\s(?:not able|unable)|\swon['’]t|\smust decline)"
    r"(?:\sbe able)?(?:\sto)?\s"
)
_REFUSES = re.compile(
    r"(?:(?:(?:i['’]?m|i am)?\s?(?:very |so |really )?sorry|i apologi[sz]e|my apologies|unfortunately"
    r"|as an ai\b)"
    rf"[^.!?]{{0,60}}?{_CANNOT}"
    r"(?:help|assist|provide|summari[sz]e|create|write|fulfil|comply|do that|generate))"
    rf"|{_CANNOT}(?:(?:assist|help|comply) with (?:this|that)|(?:fulfil|summari[sz]e) (?:this|that))"
    r"|(?:(?:es )?tut mir leid|je suis désolée?|lo siento|mi dispiace|desculpe)[^.!?]{0,30}"
    r"(?:kann|ne peux pas|no puedo|non posso|não posso)"
    r"|(?:很?抱歉|对不起|對不起)[^。]{0,12}(?:无法|無法|不能)"
    r"|申し訳[^。]{0,20}できません|죄송[^.]{0,30}수 없",
    re.IGNORECASE,
)


class Unanswered(Exception):
    """The model gave no answer that a memory can use; the message is the reason, and what to do."""


async def ask_model(
    turn: Turn, provider: str, prompt: Prompt, schema: dict[str, Any] | None = None, **values: Any
) -> Completion:
    """The answer to `prompt`, rendered with `values`.

    Raises `Unanswered` if the model refuses, also in words where a text was asked for, if its answer was cut
    off at `max_tokens` or does not fit the schema, and if all answers are empty.
    """
    agent = turn.agent
    try:
        text = prompt.render(name=agent.name, persona=agent.persona, **values)
    except ValueError as error:
        raise ContractError(f"{error}; correct the template") from error
    request = Request((Message.user(text),), schema=schema, provider=provider)
    remedy = "set another `provider` for the memory"
    for _ in range(REPEATS + 1):
        try:
            completion = await turn.complete(request)
        except (AnswerRejected, AnswerTruncated, Refused) as error:
            raise Unanswered(f"{error}; {remedy}") from error
        if schema is None and completion.truncated:
            raise Unanswered(
                f"the answer of the model ({completion.model}) was cut off after "
                f"{completion.usage.output_tokens} tokens; raise `max_tokens`, or {remedy}"
            )
        if schema is None and _REFUSES.match(completion.text.strip()):
            raise Unanswered(
                f"the model ({completion.model}) refused: {completion.text.strip()[:120]!r}; {remedy}"
            )
        if completion.text.strip():
            return completion
    raise Unanswered(
        f"the model ({completion.model}) answers nothing: {REPEATS + 1} empty answers in a row (finish "
        f"reason: {completion.finish_reason}); {completion.why_empty or 'raise `max_tokens`'}, or {remedy}"
    )


def tell(turn: Turn, text: str, by: str) -> None:
    """Tell the researcher, and nobody else, what became of a memory."""
    turn.emit("thought", {"text": text, "by": by}, audience=())
