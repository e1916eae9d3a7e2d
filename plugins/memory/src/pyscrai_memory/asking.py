"""What memories ask a model: with words from a template, of the agent's own provider or of another."""

from __future__ import annotations

from typing import Any

from pyscrai_core import AnswerRejected, Completion, ContractError, Message, Prompt, Request, Turn

#: How often an empty answer is asked for again.
REPEATS = 2


async def ask(
    turn: Turn, provider: str, prompt: Prompt, schema: dict[str, Any] | None = None, **values: Any
) -> Completion:
    """The answer to `prompt`, filled with `values`. Raises `AnswerRejected` if it is empty time and again."""
    agent = turn.agent
    try:
        words = prompt.render(name=agent.name, persona=agent.persona, **values)
    except ValueError as error:
        raise ContractError(f"{error}; correct the template") from error
    request = Request((Message.user(words),), schema=schema, provider=provider)
    for _ in range(REPEATS + 1):
        completion = await turn.complete(request)
        if completion.text.strip():
            return completion
    raise AnswerRejected(
        f"agents.{agent.name}.memory: the model ({completion.model}) answered nothing, asked {REPEATS + 1} "
        f"times (finish reason: {completion.finish_reason}), expected words; "
        "give max_tokens more room, or name another `provider` for the memory"
    )
