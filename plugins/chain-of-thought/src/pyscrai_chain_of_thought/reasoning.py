"""The reasoning `chain-of-thought`."""

from __future__ import annotations

from typing import ClassVar, Literal

from attrs import field, frozen, validators

from pyscrai_core import Completion, Message, Prompt, Reasoning, Request, Turn

NAME = "chain-of-thought"
#: Who a thought is by that the model had by itself, without being told to.
NATIVE = "model"
THINK = Prompt.packaged("pyscrai_chain_of_thought", "prompts/think.j2", {"words", "tools"})
ANSWER = Prompt.packaged("pyscrai_chain_of_thought", "prompts/answer.j2", ())


@frozen
class ChainOfThoughtConfig:
    """The options of `chain-of-thought`.

    words
        how many words the thoughts may have; told to the model
    native
        whether a model that thinks by itself is left to it: `auto` (as soon as it shows that it does),
        `always`, `never`
    inner
        the reasoning that answers once the thoughts are there; None: the model, with the agent's tools
    prompt, answer
        the templates of what asks for the thoughts, and for the answer after them
    """

    words: int = field(default=120, validator=validators.ge(1))
    native: Literal["auto", "always", "never"] = "auto"
    inner: Reasoning | None = None
    prompt: Prompt = THINK
    answer: Prompt = ANSWER


class ChainOfThought(Reasoning):
    """Thinks step by step, privately, and then answers with the thoughts before it.

    After Wei et al., Chain-of-Thought Prompting Elicits Reasoning in Large Language Models (2022,
    arXiv:2201.11903), and Kojima et al., Large Language Models are Zero-Shot Reasoners (2022,
    arXiv:2205.11916).

    Two calls and those of the answer's tools; one fewer where the model is left to think by itself. The
    thoughts are an event `thought` for the researcher alone.
    """

    Config: ClassVar[type] = ChainOfThoughtConfig
    config: ChainOfThoughtConfig

    def __init__(self, config: ChainOfThoughtConfig) -> None:
        super().__init__(config)
        self._native = False

    async def reason(self, request: Request, turn: Turn) -> Completion:
        config = self.config
        if self._left_to_itself(turn):
            completion = await self._answer(request, turn)
            if completion.thinking:
                _record(turn, completion, NATIVE)
            else:
                turn.emit("thought", {"text": "(answered without thinking)", "by": NAME}, audience=())
            return completion
        tools = [{"name": tool.name, "description": tool.description} for tool in request.tools]
        asked = (*request.messages, Message.user(config.prompt.render(words=config.words, tools=tools)))
        thoughts = await turn.complete(request.but(messages=asked, schema=None, tools=()))
        native = bool(thoughts.thinking) and config.native == "auto"
        if not native and not thoughts.text.strip():
            return await self._answer(request, turn)  # it has no thoughts, and vendors refuse empty messages
        _record(turn, thoughts, NATIVE if native else NAME)
        said = thoughts.message() if native else Message.assistant(thoughts.text)
        closing = Message.user(config.answer.render())
        return await self._answer(request.but(messages=(*asked, said, closing)), turn)

    def _left_to_itself(self, turn: Turn) -> bool:
        """Whether the model thinks by itself, as far as the last recorded thought tells.

        It is read from the log and not from the answers as they come: branches that run side by side
        would learn of these sooner or later, as it happens.
        """
        for event in turn.observed:
            if event.kind == "thought" and event.source == turn.agent.name:
                by = event.payload.get("by")
                self._native = by == NATIVE if by in (NAME, NATIVE) else self._native
        return self.config.native == "always" or (self.config.native == "auto" and self._native)

    async def _answer(self, request: Request, turn: Turn) -> Completion:
        inner = self.config.inner
        return await (turn.converse(request) if inner is None else inner.reason(request, turn))


def _record(turn: Turn, completion: Completion, by: str) -> None:
    """The thoughts as a private event: the model's own, or what it wrote when it was asked for them."""
    own = "\n\n".join(part.text for part in completion.thinking if part.text)
    text = completion.text if by == NAME else own or "(the vendor does not show its thoughts)"
    turn.emit("thought", {"text": text.strip(), "by": by}, audience=())
