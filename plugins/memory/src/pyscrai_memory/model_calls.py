"""Calls of a model by memories: for summaries and for ratings of importance."""

from __future__ import annotations

from typing import Any

from pyscrai_core import AnswerRejected, Completion, ContractError, Message, Prompt, Request, Turn

#: How often the call is repeated if the answer is empty.
REPEATS = 2


async def ask_model(
    turn: Turn, provider: str, prompt: Prompt, schema: dict[str, Any] | None = None, **values: Any
) -> Completion:
    """The answer to `prompt`, rendered with `values`. Raises `AnswerRejected` if all answers are empty."""
    agent = turn.agent
    try:
        text = prompt.render(name=agent.name, persona=agent.persona, **values)
    except ValueError as error:
        raise ContractError(f"{error}; correct the template") from error
    request = Request((Message.user(text),), schema=schema, provider=provider)
    for _ in range(REPEATS + 1):
        completion = await turn.complete(request)
        if completion.text.strip():
            return completion
    raise AnswerRejected(
        f"agents.{agent.name}.memory: the model ({completion.model}) gave {REPEATS + 1} empty answers "
        f"(finish reason: {completion.finish_reason}), expected text; raise `max_tokens`, or set another "
        "`provider` for the memory"
    )
