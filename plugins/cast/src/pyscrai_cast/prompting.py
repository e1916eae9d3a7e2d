"""What the engines share: how a prompt is laid out, and what its templates may use.

A prompt is a system message that never changes, then what the agent remembers, then one closing message
with what is new, if there is anything. The first two only grow at their end, so that vendors can cache them
as a prefix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pyscrai_core import Agent, AnswerRejected, Completion, ContractError, Event, Message, Turn

#: What never changes: the variables of every `system` template.
STANDING = frozenset({"name", "persona", "goals", "premise", "others", "actions", "words", "style"})
#: What every closing template (`prompt`) may use beside them.
CHANGING = frozenset({"first", "step", "news", "state", "own", "groups", "show"})

#: How often an empty answer is asked for again.
REPEATS = 2
#: Characters allowed for each word of the bound: generous, so that it only ends what rambles.
PER_WORD = 10


#: Types in words, and the keys of a schema that add nothing to these words.
KINDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
SILENT = ("description", "title", "default", "minLength", "maxLength")


class Opening:
    """The system message of one agent: rendered once, then the same object in every request."""

    def __init__(self) -> None:
        self._made_from: tuple[Any, ...] = ()
        self._message: Message | None = None

    def message(self, turn: Turn, config: Any, **more: Any) -> Message:
        """The message for `turn`, with the values `more` beside the standing ones.

        It is rendered anew only if the agent or its options are others, as they are behind a fork.
        """
        made_from = (turn.agent, config)
        if self._message is None or any(a is not b for a, b in zip(made_from, self._made_from, strict=True)):
            text = config.system.render(**standing(turn, config), **more)
            self._message, self._made_from = Message.system(text), made_from
        return self._message


def standing(turn: Turn, config: Any) -> dict[str, Any]:
    """The variables of a `system` template."""
    agent = turn.agent
    return {
        "name": agent.name,
        "persona": agent.persona,
        "goals": list(agent.goals),
        "premise": turn.premise,
        "others": list(turn.others),
        "actions": [describe_action(agent, name) for name in agent.actions],
        "words": config.words,
        "style": config.style,
    }


def changing(turn: Turn, recalled: Sequence[Message]) -> dict[str, Any]:
    """The variables of a closing template that are not standing ones (its `actions` are the open ones).

    `news` is for an agent that remembers nothing; one that does reads the same in what it `recalled`.
    """
    agent = turn.agent
    return {
        "actions": [describe_action(agent, name) for name in turn.actions],
        "first": turn.number == 0 and not turn.observed,
        "step": turn.step,
        "news": [] if recalled else news(turn),
        "state": thaw(turn.state),
        "own": thaw(turn.own),
        "groups": thaw(turn.groups),
        "show": show,
    }


def news(turn: Turn) -> list[str]:
    """What happened since the agent's last turn, a line for each event; changed states show by themselves."""
    return [event.describe() for event in turn.observed if _is_news(event)]


def heard_last(turn: Turn, messages: list[Message]) -> bool:
    """Whether `messages` end with something that another said or did since the agent's last turn.

    Not every memory ends so: some put notes or what they looked up there.
    """
    newest = next(filter(_is_news, reversed(turn.observed)), None)
    return (
        newest is not None
        and newest.source != turn.agent.name
        and messages[-1].role == "user"
        and messages[-1].text.endswith(newest.describe())
    )


def _is_news(event: Event) -> bool:
    return event.kind not in ("change", "turn.failed") and not event.kind.startswith("thought")


def describe_action(agent: Agent, name: str) -> dict[str, Any]:
    """An action as templates see it; `answer` is how a structured answer names it, with forms in words."""
    action = agent.actions[name]
    properties = action.schema.get("properties", {})
    required = action.schema.get("required", ())
    inner = ", ".join(f'"{key}": {form(schema)}' for key, schema in properties.items())
    return {
        "name": name,
        "description": action.description,
        "answer": f'"{name}"' if takes_nothing(action.schema) else f'{{"{name}": {{{inner}}}}}',
        "arguments": [
            {
                "name": key,
                "form": form(schema),
                "description": schema.get("description", "") if isinstance(schema, dict) else "",
                "required": key in required,
            }
            for key, schema in properties.items()
        ],
    }


def takes_nothing(schema: Mapping[str, Any]) -> bool:
    """Whether an action has no arguments at all."""
    return not schema.keys() - {"type", "properties", "required", "additionalProperties"} and not (
        schema.get("properties") or schema.get("required") or schema.get("additionalProperties", False)
    )


def form(schema: Any) -> str:
    """What a value has to be, in words where a few suffice, else as its JSON Schema."""
    if not isinstance(schema, dict) or not schema:
        return "anything"
    kind = schema.get("type")
    if "enum" in schema and schema.keys() <= {"enum", "type", *SILENT}:
        return "one of " + ", ".join(map(show, schema["enum"]))
    if isinstance(kind, str) and kind in KINDS and schema.keys() <= {"type", "minimum", "maximum", *SILENT}:
        low, high = (schema.get(bound) for bound in ("minimum", "maximum"))
        return (
            KINDS[kind]
            + (f" from {low}" if low is not None else "")
            + (f" up to {high}" if high is not None else "")
        )
    return show({key: value for key, value in schema.items() if key != "description"})


def show(value: Any) -> str:
    """Plain data as a reader likes it: text as it is, nothing as `none`, the rest as JSON."""
    if isinstance(value, str):
        return value
    return "none" if value is None else orjson.dumps(value).decode()


def thaw(value: Any) -> Any:
    """The plain data behind a read-only view."""
    if isinstance(value, Mapping):
        return {key: thaw(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [thaw(part) for part in value]
    return value


def tidy(text: str, name: str) -> str:
    """`text` without what models put around their words: blanks, `Name:`, one pair of quotes."""
    while True:
        before = text
        text = text.strip()
        for mark in (f"{name}:", f"**{name}:**", f"**{name}**:"):
            if text.lower().startswith(mark.lower()):
                text = text[len(mark) :].strip()
        for left, right in ('""', "“”", "«»", "„“"):
            inner = text[1:-1]
            if len(text) > 1 and text[0] == left and text[-1] == right and not {left, right} & set(inner):
                text = inner
        if text == before:
            return text


async def words_of(turn: Turn, messages: list[Message]) -> str:
    """The model's words, tidied. Raises `AnswerRejected` if it answers nothing, however often it is asked."""
    for _ in range(REPEATS + 1):
        completion = await turn.think(messages)
        if text := tidy(completion.text, turn.agent.name):
            return text
        messages = [*messages, Message.user("Your answer was empty. Answer in words.")]
    raise AnswerRejected(
        f"agents.{turn.agent.name}: the model ({completion.model}) answered nothing, asked {REPEATS + 1} "
        f"times (finish reason: {completion.finish_reason}), expected words; "
        "look at the prompt with `pyscrai show`, or give max_tokens more room"
    )


def parsed(turn: Turn, completion: Completion) -> dict[str, Any]:
    """The value of a structured answer, which reasoning must not lose."""
    if not isinstance(completion.parsed, dict):
        raise ContractError(
            f"agents.{turn.agent.name}: the reasoning returned an answer without `parsed`, "
            "expected the object that the schema demands; return a completion of a request with that schema"
        )
    return completion.parsed
