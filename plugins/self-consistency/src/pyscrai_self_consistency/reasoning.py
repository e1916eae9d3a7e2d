"""The reasoning `self-consistency`."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from attrs import evolve, field, frozen, validators

from pyscrai_core import (
    AnswerRejected,
    AnswerTruncated,
    CallFailed,
    Completion,
    Message,
    Prompt,
    Reasoning,
    Refused,
    Request,
    Turn,
)

#: The maximum length of a judge's rationale, as characters per word. This is generous: it only ends text that
#: is much too long.
CHARACTERS_PER_WORD = 10
#: Failures that are no answer.
UNUSABLE = (AnswerRejected, AnswerTruncated, Refused)
JUDGE = Prompt.packaged("pyscrai_self_consistency", "prompts/judge.j2", {"answers": [""], "words": 0})


@frozen
class SelfConsistencyConfig:
    """The options of `self-consistency`.

    samples
        The number of answers.
    temperature
        The temperature of the samples, above 0. None: the provider's.
    choose
        `majority`: the most common answer. `judge`: an additional call decides which one is best.
    compare
        The keys of a structured answer that are compared. Empty: the whole answer.
    words
        The maximum length of the judge's rationale, as told to the model. It may have ten times as many
        characters.
    inner
        The reasoning for each sample. None: the model, with the agent's tools.
    prompt
        The template of the request to the judge.
    """

    samples: int = field(default=5, validator=validators.ge(2))
    temperature: float | None = field(default=None, validator=validators.optional(validators.gt(0)))
    choose: Literal["majority", "judge"] = "majority"
    compare: tuple[str, ...] = ()
    words: int = field(default=40, validator=validators.ge(1))
    inner: Reasoning | None = None
    prompt: Prompt = JUDGE


class SelfConsistency(Reasoning):
    """Asks for several answers concurrently, each with its own seed, and uses the most common one.

    After Wang et al., Self-Consistency Improves Chain of Thought Reasoning in Language Models (2022,
    arXiv:2203.11171).

    It needs `samples` calls (or `samples` times the calls of `inner`), and one for a judge if the answers
    differ. Invalid answers and refusals have no vote; if there is nothing else, the first is raised. If there
    is no judgement, the majority decides. The votes are an event `thought`, which only the researcher sees.
    """

    Config: ClassVar[type] = SelfConsistencyConfig
    config: SelfConsistencyConfig

    async def reason(self, request: Request, turn: Turn) -> Completion:
        config = self.config
        sampled = request
        if config.temperature is not None:
            sampled = request.but(sampling=evolve(request.sampling, temperature=config.temperature))

        async def sample(branch: Turn) -> Completion | CallFailed:
            inner = config.inner
            try:
                return await (branch.converse(sampled) if inner is None else inner.reason(sampled, branch))
            except UNUSABLE as error:
                return error

        samples = await turn.gather(*[sample] * config.samples)
        answers = [one for one in samples if isinstance(one, Completion)]
        if not answers:
            raise next(one for one in samples if isinstance(one, CallFailed))
        ballots = [_ballot(one, request.schema is not None, config.compare) for one in answers]
        votes = Counter(ballots)
        different = list(votes)  # in order of first appearance, so the earliest wins a tie
        best, why = different.index(max(different, key=votes.__getitem__)), ""
        if config.choose == "judge" and len(different) > 1:
            firsts = [answers[ballots.index(ballot)] for ballot in different]
            try:
                best, why = await self._judge(firsts, request, turn)
            except UNUSABLE as error:
                why = f"(By majority, as there is no judgement: {error})"
        lines = [f"{n}. ({votes[one]} of {config.samples}) {one}" for n, one in enumerate(different, 1)]
        if unusable := len(samples) - len(answers):
            lines.append(f"({unusable} of {config.samples} were invalid)")
        lines.append(f"The best: {best + 1}. {why}".strip())
        turn.emit("thought", {"text": "\n".join(lines), "by": "self-consistency"}, audience=())
        return answers[ballots.index(different[best])]

    async def _judge(self, answers: Sequence[Completion], request: Request, turn: Turn) -> tuple[int, str]:
        """The index of the best answer, and the rationale."""
        texts, words = [answer.text for answer in answers], self.config.words
        question = self.config.prompt.render(answers=texts, words=words)
        schema = {
            "type": "object",
            "properties": {
                "why": {"type": "string", "maxLength": words * CHARACTERS_PER_WORD},
                "best": {"type": "integer", "enum": [*range(1, len(answers) + 1)]},
            },
            "required": ["why", "best"],
            "additionalProperties": False,
        }
        messages = (*request.messages, Message.user(question))
        judged = (
            await turn.complete(request.but(messages=messages, schema=schema, tools=(), speaks=False))
        ).parsed
        return int(judged["best"]) - 1, judged["why"]


def _ballot(answer: Completion, structured: bool, keys: Sequence[str]) -> str:
    """A normalized form for comparison: canonical JSON, or text without case and punctuation."""
    if not structured:
        words = unicodedata.normalize("NFKC", answer.text).casefold().split()
        return " ".join(words).strip(" .!?\"'*`")
    value = answer.parsed
    if keys and isinstance(value, Mapping):
        value = {key: value.get(key) for key in keys}
    # Normalized through JSON, so that 42.0 equals 42.
    whole = json.loads(json.dumps(value), parse_float=lambda text: _whole(float(text)))
    return json.dumps(whole, sort_keys=True, ensure_ascii=False)


def _whole(number: float) -> float:
    return int(number) if number.is_integer() else number
