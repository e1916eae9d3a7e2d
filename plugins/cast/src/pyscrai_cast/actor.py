"""The engine `actor`: a person of the scenario, who speaks and acts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import field, frozen, validators

from pyscrai_core import Agent, Engine, Message, Prompt, Turn

from .prompting import (
    CHANGING,
    PER_WORD,
    STANDING,
    Opening,
    changing,
    heard_last,
    parsed,
    standing,
    takes_nothing,
    tidy,
    words_of,
)

MORE = frozenset({"speak", "must_act"})
SYSTEM = Prompt.packaged("pyscrai_cast", "prompts/actor-system.j2", STANDING | MORE)
PROMPT = Prompt.packaged("pyscrai_cast", "prompts/actor.j2", STANDING | CHANGING | MORE | {"heard"})


@frozen
class ActorConfig:
    """The options of `actor`.

    words
        how many words an utterance may have; told to the model, and ten times as many characters are the
        bound of structured answers
    style
        how the agent speaks, in words
    speak
        whether the agent speaks; if not, it only acts
    must_act
        whether it has to take an action if one is open
    system, prompt
        the templates of the first and of the last message
    """

    words: int = field(default=60, validator=validators.ge(1))
    style: str = ""
    speak: bool = True
    must_act: bool = False
    system: Prompt = SYSTEM
    prompt: Prompt = PROMPT


class Actor(Engine):
    """Says something, or takes one of the agent's open actions, or both.

    With no action open the model answers in plain words. Otherwise it answers a JSON object: `say`, the
    words, and `action`: null for none, the name of an action without arguments, or an object with the
    action's name as its key and the arguments as its value.
    """

    Config: ClassVar[type] = ActorConfig
    config: ActorConfig

    def __init__(self, config: ActorConfig) -> None:
        super().__init__(config)
        self._opening = Opening()
        # Schemas are kept, since whoever checks answers compiles each object once.
        self._schemas: dict[tuple[Any, ...], tuple[Agent, dict[str, Any]]] = {}

    async def run(self, turn: Turn) -> None:
        config = self.config
        names = turn.actions
        if not names and not config.speak:
            return
        more = {"speak": config.speak, "must_act": config.must_act}
        recalled = await turn.recall()
        messages = [self._opening.message(turn, config, **more), *recalled]
        heard = heard_last(turn, messages)
        values = {**standing(turn, config), **changing(turn, recalled), **more, "heard": heard}
        closing = config.prompt.render(**values)
        # Where others spoke last and nothing is to be shown, their words ask by themselves. The next prompt
        # then begins with this one and its answer, so that the answer is read from the cache too.
        if closing or not heard:
            messages.append(Message.user(closing))
        if not names:
            turn.say(await words_of(turn, messages))
            return
        answer = parsed(turn, await turn.think(messages, schema=self._schema(turn.agent, names)))
        if words := tidy(answer.get("say", ""), turn.agent.name):
            turn.say(words)
        chosen = answer["action"]
        if isinstance(chosen, str):
            turn.emit(chosen, {})
        elif chosen is not None:
            ((action, arguments),) = chosen.items()
            turn.emit(action, arguments)

    def _schema(self, agent: Agent, names: Sequence[str]) -> dict[str, Any]:
        config = self.config
        key = (tuple(names), config.words, config.speak, config.must_act)
        known = self._schemas.get(key)
        if known is None or known[0] is not agent:
            schema = answer_schema(agent, names, config.words, config.speak, config.must_act)
            known = self._schemas[key] = (agent, schema)
        return known[1]


def answer_schema(
    agent: Agent, names: Sequence[str], words: int = 60, speak: bool = True, must_act: bool = False
) -> dict[str, Any]:
    """The JSON Schema of an answer: words, and one of the actions `names`.

    It keeps to what the strict modes of vendors take, as far as the actions' own schemas do: an object at
    the root, every property required, and alternatives that differ in their first key.
    """
    length = words * PER_WORD
    definitions: dict[str, Any] = {}
    plain: list[str] = []
    choices: list[dict[str, Any]] = []
    for name in names:
        arguments = agent.actions[name].schema
        if takes_nothing(arguments):
            # A bare name: models fumble for the inside of an object that has none.
            plain.append(name)
            continue
        inner = bounded(arguments, length)
        here = moved(inner, f"#/$defs/{name}")
        if here != inner:
            definitions[name] = here
            inner = {"$ref": f"#/$defs/{name}"}
        choices.append(_object({name: inner}))
    if plain:
        choices.append({"type": "string", "enum": plain})
    if not must_act:
        choices.append({"type": "null"})
    action = choices[0] if len(choices) == 1 else {"anyOf": choices}
    # `say` comes first: words are easier to stand by than a number is to explain.
    said = {"say": {"type": "string", "maxLength": length}} if speak else {}
    schema = _object({**said, "action": action})
    return {**schema, "$defs": definitions} if definitions else schema


def bounded(schema: dict[str, Any], length: int) -> dict[str, Any]:
    """`schema` with a bound for arguments that are free text: small models would not end them."""
    properties = {
        key: {**part, "maxLength": length} if _is_free_text(part) else part
        for key, part in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties} if properties else schema


def _is_free_text(schema: Any) -> bool:
    shaped = {"maxLength", "enum", "const", "pattern", "format"}
    return isinstance(schema, dict) and schema.get("type") == "string" and not schema.keys() & shaped


def moved(schema: Any, place: str) -> Any:
    """`schema` as it reads when it stands at `place` in another one: its references lead there."""
    if isinstance(schema, list):
        return [moved(part, place) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: moved(part, place) for key, part in schema.items()}
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
