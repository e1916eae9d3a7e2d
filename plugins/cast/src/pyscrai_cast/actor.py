"""The engine `actor`: an agent that speaks and acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from attrs import field, frozen, validators

from pyscrai_core import Agent, Engine, Prompt, ScenarioNames, Turn, without_meanings
from pyscrai_records.base.suggest import there_is_no

from .answers import CHARACTERS_PER_WORD, ask_for_text, parsed, tidy
from .templates import (
    PROMPT_NAMES,
    SYSTEM_NAMES,
    SystemMessage,
    ask_with_examples,
    has_no_arguments,
    heard_last,
)

OWN_NAMES = {"speak": None, "must_act": True}
SYSTEM = Prompt.packaged("pyscrai_cast", "prompts/actor-system.j2", SYSTEM_NAMES | OWN_NAMES)
PROMPT = Prompt.packaged(
    "pyscrai_cast", "prompts/actor.j2", SYSTEM_NAMES | PROMPT_NAMES | OWN_NAMES | {"heard": True}
)


@frozen
class ActorConfig:
    """The options of `actor`.

    words
        The maximum length of an utterance, as told to the model. Texts in structured answers may have up to
        ten times as many characters.
    style
        A description of how the agent speaks.
    speak
        Whether the agent speaks. If not, it only acts. With `alone`, it speaks only if no action is open.
    must_act
        Whether the agent must take an action if one is open.
    lines
        What the agent may say with an action, by the action's name. The model chooses the action first, and
        then one of its lines. With `speak: false`, the agent says nothing else.
    examples
        Texts that the agent could say when no action is open. Small models follow them.
    system, prompt
        The templates of the first and of the last message.
    """

    words: int = field(default=60, validator=validators.ge(1))
    style: str = ""
    speak: bool | Literal["alone"] = True
    must_act: bool = False
    lines: dict[str, tuple[str, ...]] = field(factory=dict)
    examples: tuple[str, ...] = ()
    system: Prompt = SYSTEM
    prompt: Prompt = PROMPT


class Actor(Engine):
    """Says something, takes one of the agent's open actions, or both.

    If no action is open, the model answers with plain text. Otherwise it answers with a JSON object: `say` is
    the text. `action` is null for none, the name of an action without arguments, or an object with the
    action's name as its key and the arguments as its value.
    """

    Config: ClassVar[type] = ActorConfig
    config: ActorConfig

    def __init__(self, config: ActorConfig) -> None:
        super().__init__(config)
        self._system = SystemMessage()
        # Schemas are cached, because each schema object is compiled once.
        self._schemas: dict[tuple[str, ...], tuple[Agent, ActorConfig, dict[str, Any]]] = {}

    @classmethod
    def check_names(cls, config: ActorConfig, names: ScenarioNames) -> None:
        actions = names.agent.actions if names.agent is not None else config.lines
        for action in config.lines:
            if action not in actions:
                names.mistake(there_is_no("action", action, actions), "lines", action, on_key=True)

    async def run(self, turn: Turn) -> None:
        config = self.config
        names = turn.actions
        if not names and not config.speak:
            return
        more = {"speak": config.speak, "must_act": config.must_act}
        recalled = await turn.recall()
        values = {**self._system.prompt_variables(turn, recalled, config), **more}
        messages = [self._system.render(turn, config, **more), *recalled]
        examples = () if names else config.examples
        values["heard"] = heard = not examples and heard_last(turn, messages)
        closing = config.prompt.render(**values)
        # If another agent spoke last and there is nothing to show, no closing message is needed. The next
        # prompt then begins with this prompt and its answer, so the vendor's cache covers the answer too.
        if closing or not heard:
            messages += ask_with_examples(closing, examples)
        if not names:
            turn.say(await ask_for_text(turn, messages))
            return
        answer = parsed(turn, await turn.think(messages, schema=self._schema(turn.agent, names)))
        if text := tidy(answer.get("say", ""), turn.agent.name):
            turn.say(text)
        chosen = copy(answer["action"])
        if isinstance(chosen, str):
            turn.emit(chosen, {})
        elif chosen is not None:
            line = chosen.pop("say", None)
            ((action, arguments),) = chosen.items()
            if isinstance(arguments, str):  # the line of an action without arguments
                line, arguments = arguments, {}
            if line:
                turn.say(line)
            turn.emit(action, arguments)

    def _schema(self, agent: Agent, names: Sequence[str]) -> dict[str, Any]:
        config = self.config
        key = tuple(names)
        known = self._schemas.get(key)
        if known is None or known[0] is not agent or known[1] is not config:
            schema = answer_schema(
                agent, names, config.words, config.speak is True, config.must_act, lines=config.lines
            )
            if config.prompt == PROMPT:  # which says what the arguments mean
                schema = without_meanings(schema)
            known = self._schemas[key] = (agent, config, schema)
        return known[2]


def answer_schema(
    agent: Agent,
    names: Sequence[str],
    words: int = 60,
    speak: bool = True,
    must_act: bool = False,
    lines: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """The JSON Schema of an answer: a text, and one of the actions `names`, maybe with one of its `lines`.

    It only uses what vendors' strict modes support, as far as the actions' own schemas do: an object at the
    root, all properties required, and alternatives that differ in their first key.
    """
    length = words * CHARACTERS_PER_WORD
    definitions: dict[str, Any] = {}
    plain: list[str] = []
    choices: list[dict[str, Any]] = []
    for name in names:
        arguments = agent.actions[name].schema
        line = {"type": "string", "enum": list(lines.get(name, ()))}
        if has_no_arguments(arguments):
            # Only the name, or the name and a line: models make mistakes with empty objects.
            if line["enum"]:
                choices.append(_object({name: line}))
            else:
                plain.append(name)
            continue
        inner = with_length_limits(arguments, length)
        here = relocate_refs(inner, f"#/$defs/{name}")
        if here != inner:
            definitions[name] = here
            inner = {"$ref": f"#/$defs/{name}"}
        choices.append(_object({name: inner, **({"say": line} if line["enum"] else {})}))
    if plain:
        choices.append({"type": "string", "enum": plain})
    if not must_act:
        choices.append({"type": "null"})
    action = choices[0] if len(choices) == 1 else {"anyOf": choices}
    # `say` comes first, so that the action follows from the text.
    said = {"say": {"type": "string", "maxLength": length}} if speak else {}
    schema = _object({**said, "action": action})
    return {**schema, "$defs": definitions} if definitions else schema


def with_length_limits(schema: dict[str, Any], length: int) -> dict[str, Any]:
    """`schema` with a maximum length for free text. Small models may not end a text otherwise."""
    properties = {
        key: {**part, "maxLength": length} if _is_free_text(part) else part
        for key, part in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties} if properties else schema


def _is_free_text(schema: Any) -> bool:
    restricting = {"maxLength", "enum", "const", "pattern", "format"}
    return isinstance(schema, dict) and schema.get("type") == "string" and not schema.keys() & restricting


def relocate_refs(schema: Any, place: str) -> Any:
    """`schema` for the place `place` in another schema, with its references adjusted."""
    if isinstance(schema, list):
        return [relocate_refs(part, place) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: relocate_refs(part, place) for key, part in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str) and (reference == "#" or reference.startswith("#/")):
        found["$ref"] = place + reference[1:]
    return found


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
