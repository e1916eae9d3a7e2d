"""The reasoning `reflection`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

from attrs import field, frozen, validators

from pyscrai_core import (
    AnswerRejected,
    AnswerTruncated,
    Completion,
    Message,
    Prompt,
    Reasoning,
    Refused,
    Request,
    Turn,
)

#: The maximum length of a critique, as characters per word. This is generous: it only ends text that is much
#: too long.
CHARACTERS_PER_WORD = 10
#: Failures after which the draft stays as it is.
UNUSABLE = (AnswerRejected, AnswerTruncated, Refused)
CRITIQUE = Prompt.packaged("pyscrai_reflection", "prompts/critique.j2", {"words": 0, "criteria": ""})
REVISE = Prompt.packaged("pyscrai_reflection", "prompts/revise.j2", {"critique": ""})


@frozen
class ReflectionConfig:
    """The options of `reflection`.

    rounds
        The maximum number of critiques and revisions.
    words
        The maximum length of a critique, as told to the model. It may have ten times as many characters.
    criteria
        What the critic should focus on.
    inner
        The reasoning that drafts and revises. None: the model, with the agent's tools.
    critique, revise
        The templates that ask for a critique, and for a revision.
    """

    rounds: int = field(default=1, validator=validators.ge(1))
    words: int = field(default=60, validator=validators.ge(1))
    criteria: str = ""
    inner: Reasoning | None = None
    critique: Prompt = CRITIQUE
    revise: Prompt = REVISE


class Reflection(Reasoning):
    """Drafts an answer, criticizes it and revises it, until the critic is satisfied or the rounds are over.

    After Madaan et al., Self-Refine: Iterative Refinement with Self-Feedback (2023, arXiv:2303.17651), and
    Shinn et al., Reflexion: Language Agents with Verbal Reinforcement Learning (2023, arXiv:2303.11366).

    It needs one call for the draft, and in each round one for the critique and, unless the critic is
    satisfied, one for the revision. Drafts and critiques are events `thought`, which only the researcher
    sees. If the model refuses a critique or a revision, or its answer is cut off or empty, the draft stays as
    it is, and a thought says why.
    """

    Config: ClassVar[type] = ReflectionConfig
    config: ReflectionConfig

    async def reason(self, request: Request, turn: Turn) -> Completion:
        config = self.config
        answer = await self._answer(request, turn)
        messages = request.messages
        question = Message.user(config.critique.render(words=config.words, criteria=config.criteria))
        schema = _critique_schema(config.words * CHARACTERS_PER_WORD)
        for _ in range(config.rounds):
            # Vendors reject empty messages.
            draft = answer.text if answer.text.strip() else "(empty)"
            asked = (*messages, Message.assistant(draft), question)
            try:
                judged = await turn.complete(
                    request.but(messages=asked, schema=schema, tools=(), speaks=False)
                )
            except UNUSABLE as error:
                _tell(turn, f"Draft: {draft}\nIt stays as it is, without a critique: {error}")
                break
            critique, satisfied = judged.parsed["critique"].strip(), judged.parsed["satisfied"]
            verdict = "satisfied" if satisfied else "not satisfied"
            _tell(turn, f"Draft: {draft}\nCritique ({verdict}): {critique or 'none'}")
            if satisfied or not critique:
                break
            again = Message.user(config.revise.render(critique=critique))
            messages = (*asked, judged.message(), again)
            try:
                revised = await self._answer(request.but(messages=messages), turn)
                why = _unusable(revised)
            except UNUSABLE as error:
                why = str(error)
            if why:
                _tell(turn, f"The draft stays as it is, without a revision: {why}")
                break
            answer = revised
        return answer

    async def _answer(self, request: Request, turn: Turn) -> Completion:
        inner = self.config.inner
        return await (turn.converse(request) if inner is None else inner.reason(request, turn))


def _unusable(answer: Completion) -> str:
    """Why a revision is not taken; empty if it is."""
    if answer.parsed is None and answer.truncated:
        return f"it was cut off after {answer.usage.output_tokens} tokens; raise `max_tokens`"
    return "" if answer.text.strip() else "it is empty"


def _tell(turn: Turn, text: str) -> None:
    turn.emit("thought", {"text": text, "by": "reflection"}, audience=())


@lru_cache(maxsize=16)
def _critique_schema(length: int) -> dict[str, Any]:
    """The JSON Schema of a critique. The text comes first, so that the verdict follows from it."""
    return {
        "type": "object",
        "properties": {
            "critique": {"type": "string", "maxLength": length},
            "satisfied": {"type": "boolean"},
        },
        "required": ["critique", "satisfied"],
        "additionalProperties": False,
    }
