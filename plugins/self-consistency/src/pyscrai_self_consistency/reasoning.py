"""The reasoning `self-consistency`."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from attrs import evolve, field, frozen, validators

from pyscrai_core import AnswerRejected, Completion, Message, Prompt, Reasoning, Request, Turn

#: Characters allowed for each word of the judge: generous, so that it only ends what rambles.
PER_WORD = 10
JUDGE = Prompt.packaged("pyscrai_self_consistency", "prompts/judge.j2", {"answers", "words"})


@frozen
class SelfConsistencyConfig:
    """The options of `self-consistency`.

    samples
        how many answers are asked for, side by side
    temperature
        that of the samples, above 0; None: the provider's own
    choose
        `majority`: the answer that most samples agree on; `judge`: one more call says which is best
    compare
        the keys of a structured answer that have to agree; empty: all of it
    words
        how many words the judge may have; told to the model, and ten times as many characters are a bound
    inner
        the reasoning that makes each sample; None: the model, with the agent's tools
    prompt
        the template of what asks the judge
    """

    samples: int = field(default=5, validator=validators.ge(2))
    temperature: float | None = field(default=None, validator=validators.optional(validators.gt(0)))
    choose: Literal["majority", "judge"] = "majority"
    compare: tuple[str, ...] = ()
    words: int = field(default=40, validator=validators.ge(1))
    inner: Reasoning | None = None
    prompt: Prompt = JUDGE


class SelfConsistency(Reasoning):
    """Asks for several answers side by side, each at its own seed, and takes the one most agree on.

    After Wang et al., Self-Consistency Improves Chain of Thought Reasoning in Language Models (2022,
    arXiv:2203.11171).

    `samples` calls (with `inner`, so many times its own), and one for a judge if they differ. A sample
    whose answer cannot be used has no vote; if none can, the first one's `AnswerRejected` is raised. How
    the votes went is an event `thought` for the researcher alone.
    """

    Config: ClassVar[type] = SelfConsistencyConfig
    config: SelfConsistencyConfig

    async def reason(self, request: Request, turn: Turn) -> Completion:
        config = self.config
        sampled = request
        if config.temperature is not None:
            sampled = request.but(sampling=evolve(request.sampling, temperature=config.temperature))

        async def sample(branch: Turn) -> Completion | AnswerRejected:
            inner = config.inner
            try:
                return await (branch.converse(sampled) if inner is None else inner.reason(sampled, branch))
            except AnswerRejected as error:
                return error

        samples = await turn.gather(*[sample] * config.samples)
        answers = [one for one in samples if isinstance(one, Completion)]
        if not answers:
            raise next(one for one in samples if isinstance(one, AnswerRejected))
        ballots = [_ballot(one, request.schema is not None, config.compare) for one in answers]
        votes = Counter(ballots)
        different = list(votes)  # in the order in which they first appear, so the earliest wins a tie
        best, why = different.index(max(different, key=votes.__getitem__)), ""
        if config.choose == "judge" and len(different) > 1:
            firsts = [answers[ballots.index(ballot)] for ballot in different]
            best, why = await self._judge(firsts, request, turn)
        lines = [f"{n}. ({votes[one]} of {config.samples}) {one}" for n, one in enumerate(different, 1)]
        if unusable := len(samples) - len(answers):
            lines.append(f"({unusable} of {config.samples} could not be used)")
        lines.append(f"The best: {best + 1}. {why}".strip())
        turn.emit("thought", {"text": "\n".join(lines), "by": "self-consistency"}, audience=())
        return answers[ballots.index(different[best])]

    async def _judge(self, answers: Sequence[Completion], request: Request, turn: Turn) -> tuple[int, str]:
        """The index of the best answer, and why it is."""
        texts, words = [answer.text for answer in answers], self.config.words
        question = self.config.prompt.render(answers=texts, words=words)
        schema = {
            "type": "object",
            "properties": {
                "why": {"type": "string", "maxLength": words * PER_WORD},
                "best": {"type": "integer", "enum": [*range(1, len(answers) + 1)]},
            },
            "required": ["why", "best"],
            "additionalProperties": False,
        }
        messages = (*request.messages, Message.user(question))
        judged = (await turn.complete(request.but(messages=messages, schema=schema, tools=()))).parsed
        return int(judged["best"]) - 1, judged["why"]


def _ballot(answer: Completion, structured: bool, keys: Sequence[str]) -> str:
    """What two answers share that say the same: canonical JSON, or text without what is mere writing."""
    if not structured:
        words = unicodedata.normalize("NFKC", answer.text).casefold().split()
        return " ".join(words).strip(" .!?\"'*`")
    value = answer.parsed
    if keys and isinstance(value, Mapping):
        value = {key: value.get(key) for key in keys}
    # Written and read once more, so that 42.0 is 42.
    whole = json.loads(json.dumps(value), parse_float=lambda text: _whole(float(text)))
    return json.dumps(whole, sort_keys=True, ensure_ascii=False)


def _whole(number: float) -> float:
    return int(number) if number.is_integer() else number
