"""The templates of prompts: the system message, and the variables that templates can use.

A prompt consists of a system message that never changes, the agent's memory, and a closing message with what
is new, if anything. The first two are only appended to, so vendors can cache them as a prefix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import orjson

from pyscrai_core import Agent, Event, Message, Turn, describe_schema

#: What stands for an action in templates (see `describe_action`).
ACTION = {
    "name": "",
    "description": "",
    "answer": "",
    "arguments": [{"name": "", "form": "", "description": "", "required": True}],
    "meanings": [""],
}
#: The variables of every `system` template, with what stands for their values. They never change.
SYSTEM_NAMES: dict[str, Any] = {
    **dict.fromkeys(("name", "persona", "premise", "style"), ""),
    **{key: [""] for key in ("goals", "others")},
    "actions": [ACTION],
    "words": 0,
}
#: The additional variables of every `prompt` template.
PROMPT_NAMES: dict[str, Any] = {
    "first": True,
    "step": 0,
    "news": [""],
    **{key: {} for key in ("state", "own", "groups")},
    "show": None,
}


class SystemMessage:
    """An agent's system message. It is rendered once, and then the same object in every request.

    It and its variables are only made again if the agent or its options changed, as after a fork.
    """

    def __init__(self) -> None:
        self._agent: Agent | None = None
        self._config: Any = None
        self._variables: dict[str, Any] = {}
        self._message: Message | None = None

    def variables(self, turn: Turn, config: Any) -> dict[str, Any]:
        """The values of `SYSTEM_NAMES` for `turn`."""
        if turn.agent is not self._agent or config is not self._config:
            self._agent, self._config, self._message = turn.agent, config, None
            self._variables = _system_variables(turn, config)
        return self._variables

    def render(self, turn: Turn, config: Any, **more: Any) -> Message:
        """The message for `turn`. `more` are additional variables."""
        values = self.variables(turn, config)
        if self._message is None:
            self._message = Message.system(config.system.render(**values, **more))
        return self._message

    def prompt_variables(self, turn: Turn, recalled: Sequence[Message], config: Any) -> dict[str, Any]:
        """The values of `SYSTEM_NAMES` and of `PROMPT_NAMES`. `actions` are only those that are open.

        `news` is for an agent without memory. Otherwise, the same events are part of what it `recalled`.
        """
        values, names = self.variables(turn, config), turn.actions
        return {
            **values,
            "actions": [action for action in values["actions"] if action["name"] in names],
            "first": turn.number == 0 and not turn.observed,
            "step": turn.step,
            "news": [] if recalled else news(turn),
            "state": plain(turn.state),
            "own": plain(turn.own),
            "groups": plain(turn.groups),
            "show": show,
        }


def _system_variables(turn: Turn, config: Any) -> dict[str, Any]:
    agent = turn.agent
    return {
        "name": agent.name,
        "persona": agent.persona,
        "goals": list(agent.goals),
        "premise": turn.premise,
        "others": list(turn.others),
        "actions": [describe_action(agent, name, config) for name in agent.actions],
        "words": config.words,
        "style": config.style,
    }


def ask_with_examples(closing: str, examples: Sequence[str]) -> list[Message]:
    """The closing message, after examples of answers to it. Only the model sees them: nobody said them."""
    asked = Message.user(closing)
    return [message for text in examples for message in (asked, Message.assistant(text))] + [asked]


def news(turn: Turn) -> list[str]:
    """The events since the agent's last turn as lines, without changes of states, which are shown anyway."""
    return [event.describe() for event in turn.observed if _is_news(event)]


def heard_last(turn: Turn, messages: list[Message]) -> bool:
    """Whether `messages` end with something that another agent said or did since this agent's last turn.

    Some memories end with notes or recalled events instead.
    """
    newest = next(filter(_is_news, reversed(turn.observed)), None)
    return (
        newest is not None
        and newest.source != turn.agent.name
        and messages[-1].role == "user"
        and messages[-1].text.endswith(newest.describe(named=False))
    )


def _is_news(event: Event) -> bool:
    return event.kind not in ("change", "turn.failed") and not event.kind.startswith("thought")


def describe_action(agent: Agent, name: str, config: Any = None) -> dict[str, Any]:
    """An action for templates. `answer` is its form in a structured answer, with the types described.

    `meanings` are lines that say what the arguments and their parts mean.
    """
    action = agent.actions[name]
    required = action.schema.get("required", ())
    arguments, forms, meant = [], [], []
    for key, schema in action.schema.get("properties", {}).items():
        form, meanings = describe_schema(schema, key, action.schema)
        forms.append(f'"{key}": {form}')
        meant += [f"{place}: {text}" for place, text in meanings]
        description = next((text for place, text in meanings if place == key), "")
        arguments.append({"name": key, "form": form, "description": description, "required": key in required})
    inner = "{" + ", ".join(forms) + "}"
    plain = has_no_arguments(action.schema)
    if getattr(config, "lines", {}).get(name):
        # Not the lines: the schema has them, and a small model reads slowly.
        inner, plain = ("one of your lines" if plain else f'{inner}, "say": one of your lines'), False
    return {
        "name": name,
        "description": action.description,
        "answer": f'"{name}"' if plain else f'{{"{name}": {inner}}}',
        "arguments": arguments,
        "meanings": meant,
    }


def has_no_arguments(schema: Mapping[str, Any]) -> bool:
    """Whether an action has no arguments."""
    return not schema.keys() - {"type", "properties", "required", "additionalProperties"} and not (
        schema.get("properties") or schema.get("required") or schema.get("additionalProperties", False)
    )


def show(value: Any) -> str:
    """Plain data for prompts: text unchanged, None as `none`, everything else as JSON."""
    if isinstance(value, str):
        return value
    return "none" if value is None else orjson.dumps(value).decode()


def plain(value: Any) -> Any:
    """The plain data of a read-only view."""
    if type(value) is MappingProxyType or isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return value
