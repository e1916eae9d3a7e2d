"""The reasoning `react`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import field, frozen, validators

from pyscrai_core import Completion, Message, Prompt, Reasoning, Request, ToolFailed, Turn

#: Characters allowed for each word of a thought: generous, so that it only ends what rambles.
PER_WORD = 10
STEPS = Prompt.packaged("pyscrai_react", "prompts/steps.j2", {"rounds", "words", "tools"})
ANSWER = Prompt.packaged("pyscrai_react", "prompts/answer.j2", ())


@frozen
class ReactConfig:
    """The options of `react`.

    rounds
        how many steps there may be before the answer
    words
        how many words a thought may have; told to the model, and ten times as many characters are a bound
    characters
        so much of a tool's answer is told to the model
    prompt, answer
        the templates of what asks for the steps, and for the answer after them
    """

    rounds: int = field(default=6, validator=validators.ge(1))
    words: int = field(default=40, validator=validators.ge(1))
    characters: int = field(default=4000, validator=validators.ge(1))
    prompt: Prompt = STEPS
    answer: Prompt = ANSWER


class React(Reasoning):
    """Thinks, uses a tool, sees what it answers, and so on; then answers.

    After Yao et al., ReAct: Synergizing Reasoning and Acting in Language Models (2022, arXiv:2210.03629).

    Each step is one structured answer, a thought and what is next, so that small models manage it and a
    vendor needs no tools of its own. One call for each step, at most `rounds`, and one for the answer;
    without tools there is one step. Each thought is an event `thought` for the researcher alone.
    """

    Config: ClassVar[type] = ReactConfig
    config: ReactConfig

    def __init__(self, config: ReactConfig) -> None:
        super().__init__(config)
        #: The last schema, and what it was made from: an agent's tools are the same objects always, and
        #: whoever checks answers compiles each schema once.
        self._made: tuple[Any, int, dict[str, Any]] = (None, 0, {})

    async def reason(self, request: Request, turn: Turn) -> Completion:
        config = self.config
        tools = [tool.to_dict() for tool in request.tools]
        opening = config.prompt.render(rounds=config.rounds, words=config.words, tools=tools)
        messages = (*request.messages, Message.user(opening))
        schema = self._schema(request)
        for _ in range(config.rounds):
            step = await turn.complete(request.but(messages=messages, schema=schema, tools=()))
            turn.emit("thought", {"text": step.parsed["thought"], "by": "react"}, audience=())
            messages = (*messages, step.message())
            chosen = step.parsed["next"]
            if chosen == "answer":
                break
            seen = await self._use(chosen["tool"], chosen["arguments"], turn)
            messages = (*messages, Message.user(seen))
        closing = Message.user(config.answer.render())
        return await turn.complete(request.but(messages=(*messages, closing), tools=()))

    async def _use(self, name: str, arguments: dict[str, Any], turn: Turn) -> str:
        """What the tool answers, in words; a failure is for the model to mend."""
        try:
            result = await turn.call_tool(name, arguments)
            text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
            said = "says"
        except ToolFailed as error:
            text, said = str(error), "failed"
        left = len(text) - self.config.characters
        cut = f"… (cut here: {left:,} more characters)" if left > 0 else ""
        return f"{name} {said}: {text[: self.config.characters]}{cut}"

    def _schema(self, request: Request) -> dict[str, Any]:
        if self._made[0] is not request.tools or self._made[1] != self.config.words:
            self._made = (request.tools, self.config.words, _form(request, self.config.words * PER_WORD))
        return self._made[2]


def _form(request: Request, length: int) -> dict[str, Any]:
    """The JSON Schema of a step: a thought of at most `length` characters, and a tool to use or the end."""
    choices: list[dict[str, Any]] = []
    parts = {}
    for number, tool in enumerate(request.tools):
        place = f"#/$defs/tool_{number}"
        parts[f"tool_{number}"] = _moved(tool.parameters, place)
        choices.append(_object(tool={"type": "string", "enum": [tool.name]}, arguments={"$ref": place}))
    choices.append({"type": "string", "enum": ["answer"]})
    thought = {"type": "string", "maxLength": length}
    return {**_object(thought=thought, next={"anyOf": choices}), "$defs": parts}


def _object(**properties: Any) -> dict[str, Any]:
    closed = {"required": list(properties), "additionalProperties": False}
    return {"type": "object", "properties": properties, **closed}


def _moved(schema: Any, place: str) -> Any:
    """`schema` as it reads when it stands at `place` in another one: its references lead there."""
    if isinstance(schema, list):
        return [_moved(part, place) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: place + part[1:] if key == "$ref" and isinstance(part, str) else _moved(part, place)
        for key, part in schema.items()
    }
