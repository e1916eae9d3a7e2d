"""The reasoning `chain-of-thought`."""

from __future__ import annotations

from typing import ClassVar, Literal

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

NAME = "chain-of-thought"
#: The `by` of a thought that the model had without being asked.
NATIVE = "model"
THINK = Prompt.packaged(
    "pyscrai_chain_of_thought", "prompts/think.j2", {"words": 0, "tools": [{"name": "", "description": ""}]}
)
ANSWER = Prompt.packaged("pyscrai_chain_of_thought", "prompts/answer.j2", ())


@frozen
class ChainOfThoughtConfig:
    """The options of `chain-of-thought`.

    words
        The maximum length of the thoughts, as told to the model.
    native
        Whether a reasoning model only uses its own thinking: `auto` (as soon as it shows thinking), `always`,
        `never`.
    inner
        The reasoning that answers after the thoughts. None: the model, with the agent's tools.
    prompt, answer
        The templates that ask for the thoughts, and for the answer.
    """

    words: int = field(default=120, validator=validators.ge(1))
    native: Literal["auto", "always", "never"] = "auto"
    inner: Reasoning | None = None
    prompt: Prompt = THINK
    answer: Prompt = ANSWER


class ChainOfThought(Reasoning):
    """Asks for private thoughts first, and then for the answer.

    After Wei et al., Chain-of-Thought Prompting Elicits Reasoning in Large Language Models (2022,
    arXiv:2201.11903), and Kojima et al., Large Language Models are Zero-Shot Reasoners (2022,
    arXiv:2205.11916).

    It needs two calls and those for tools, or one call less for a model with its own thinking. The thoughts
    are an event `thought`, which only the researcher sees. If the model refuses to think aloud, or its
    thoughts are empty, it answers without them, and the event says why.
    """

    Config: ClassVar[type] = ChainOfThoughtConfig
    config: ChainOfThoughtConfig

    def __init__(self, config: ChainOfThoughtConfig) -> None:
        super().__init__(config)
        self._native = False

    async def reason(self, request: Request, turn: Turn) -> Completion:
        config = self.config
        if self._thinks_natively(turn):
            completion = await self._answer(request, turn)
            if completion.thinking:
                _record(turn, completion, NATIVE)
            else:
                turn.emit("thought", {"text": "(answered without thinking)", "by": NAME}, audience=())
            return completion
        tools = [{"name": tool.name, "description": tool.description} for tool in request.tools]
        asked = (*request.messages, Message.user(config.prompt.render(words=config.words, tools=tools)))
        try:
            thoughts = await turn.complete(request.but(messages=asked, schema=None, tools=(), speaks=False))
        except (AnswerRejected, AnswerTruncated, Refused) as error:
            return await self._answer_at_once(request, turn, str(error))
        native = bool(thoughts.thinking) and config.native == "auto"
        if not native and not thoughts.text.strip():  # vendors reject empty messages
            return await self._answer_at_once(request, turn, "the model's thoughts are empty")
        _record(turn, thoughts, NATIVE if native else NAME)
        thought = thoughts.message() if native else Message.assistant(thoughts.text)
        closing = Message.user(config.answer.render())
        return await self._answer(request.but(messages=(*asked, thought, closing)), turn)

    def _thinks_natively(self, turn: Turn) -> bool:
        """Whether the model has its own thinking, according to the last recorded thought.

        This depends on the log, not on the answers themselves, because the order of answers in concurrent
        branches may vary.
        """
        for event in turn.observed:
            if event.kind == "thought" and event.source == turn.agent.name:
                by = event.payload.get("by")
                self._native = by == NATIVE if by in (NAME, NATIVE) else self._native
        return self.config.native == "always" or (self.config.native == "auto" and self._native)

    async def _answer_at_once(self, request: Request, turn: Turn, why: str) -> Completion:
        turn.emit("thought", {"text": f"(answered without thoughts: {why})", "by": NAME}, audience=())
        return await self._answer(request, turn)

    async def _answer(self, request: Request, turn: Turn) -> Completion:
        inner = self.config.inner
        return await (turn.converse(request) if inner is None else inner.reason(request, turn))


def _record(turn: Turn, completion: Completion, by: str) -> None:
    """Record thoughts as a private event: the model's own thinking, or the text that it was asked for."""
    own = "\n\n".join(part.text for part in completion.thinking if part.text)
    text = completion.text if by == NAME else own or "(the vendor does not return the model's thinking)"
    turn.emit("thought", {"text": text.strip(), "by": by}, audience=())
