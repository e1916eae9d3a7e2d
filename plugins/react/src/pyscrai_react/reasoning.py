"""The reasoning `react`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import field, frozen, validators

from pyscrai_core import Completion, Message, Prompt, Reasoning, Request, ToolFailed, Turn

#: The maximum length of a thought, as characters per word. This is generous: it only ends text that is much
#: too long.
CHARACTERS_PER_WORD = 10
TOOL = {"name": "", "description": "", "parameters": {}}
STEPS = Prompt.packaged("pyscrai_react", "prompts/steps.j2", {"rounds": 0, "words": 0, "tools": [TOOL]})
ANSWER = Prompt.packaged("pyscrai_react", "prompts/answer.j2", ())


@frozen
class ReactConfig:
    """The options of `react`.

    rounds
        The maximum number of steps before the answer.
    words
        The maximum length of a thought, as told to the model. A thought may have ten times as many
        characters.
    characters
        The maximum length of a tool's answer for the model.
    prompt, answer
        The templates that ask for the steps, and for the answer.
    """

    rounds: int = field(default=6, validator=validators.ge(1))
    words: int = field(default=40, validator=validators.ge(1))
    characters: int = field(default=4000, validator=validators.ge(1))
    prompt: Prompt = STEPS
    answer: Prompt = ANSWER


class React(Reasoning):
    """Alternates thoughts and tool calls, then answers.

    After Yao et al., ReAct: Synergizing Reasoning and Acting in Language Models (2022, arXiv:2210.03629).

    Each step is one structured answer: a thought, and what is next. This works with small models, and without
    the vendor's tool calls. It needs one call for each step, at most `rounds`, and one for the answer.
    Without tools there is one step. Each thought is an event `thought`, which only the researcher sees.
    """

    Config: ClassVar[type] = ReactConfig
    config: ReactConfig

    def __init__(self, config: ReactConfig) -> None:
        super().__init__(config)
        #: The last schema, and what it was made from. It is cached, because each schema object is compiled
        #: once.
        self._made: tuple[Any, int, dict[str, Any]] = (None, 0, {})

    async def reason(self, request: Request, turn: Turn) -> Completion:
        config = self.config
        tools = [tool.to_dict() for tool in request.tools]
        opening = config.prompt.render(rounds=config.rounds, words=config.words, tools=tools)
        messages = (*request.messages, Message.user(opening))
        schema = self._schema(request)
        for _ in range(config.rounds):
            step = await turn.complete(request.but(messages=messages, schema=schema, tools=(), speaks=False))
            turn.emit("thought", {"text": step.parsed["thought"], "by": "react"}, audience=())
            messages = (*messages, step.message())
            chosen = step.parsed["next"]
            if chosen == "answer":
                break
            answer = await self._use(chosen["tool"], chosen["arguments"], turn)
            messages = (*messages, Message.user(answer))
        closing = Message.user(config.answer.render())
        return await turn.complete(request.but(messages=(*messages, closing), tools=()))

    async def _use(self, name: str, arguments: dict[str, Any], turn: Turn) -> str:
        """The tool's answer as text. The model gets errors as well."""
        try:
            result = await turn.call_tool(name, arguments)
            text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
            said = "says"
        except ToolFailed as error:
            text, said = str(error), "failed"
        left = len(text) - self.config.characters
        cut = f"… (truncated: {left:,} more characters)" if left > 0 else ""
        return f"{name} {said}: {text[: self.config.characters]}{cut}"

    def _schema(self, request: Request) -> dict[str, Any]:
        if self._made[0] is not request.tools or self._made[1] != self.config.words:
            self._made = (
                request.tools,
                self.config.words,
                _step_schema(request, self.config.words * CHARACTERS_PER_WORD),
            )
        return self._made[2]


def _step_schema(request: Request, length: int) -> dict[str, Any]:
    """The JSON Schema of a step: a thought of at most `length` characters, and a tool call or the end."""
    choices: list[dict[str, Any]] = []
    parts = {}
    for number, tool in enumerate(request.tools):
        place = f"#/$defs/tool_{number}"
        parts[f"tool_{number}"] = _relocate_refs(tool.parameters, place)
        choices.append(_object(tool={"type": "string", "enum": [tool.name]}, arguments={"$ref": place}))
    choices.append({"type": "string", "enum": ["answer"]})
    thought = {"type": "string", "maxLength": length}
    return {**_object(thought=thought, next={"anyOf": choices}), "$defs": parts}


def _object(**properties: Any) -> dict[str, Any]:
    closed = {"required": list(properties), "additionalProperties": False}
    return {"type": "object", "properties": properties, **closed}


def _relocate_refs(schema: Any, place: str) -> Any:
    """`schema` for the place `place` in another schema, with its references adjusted."""
    if isinstance(schema, list):
        return [_relocate_refs(part, place) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: place + part[1:] if key == "$ref" and isinstance(part, str) else _relocate_refs(part, place)
        for key, part in schema.items()
    }
