"""The tool `world`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import field, frozen, validators

from pyscrai_core import Tool, ToolFailed, Turn
from pyscrai_records.base.suggest import did_you_mean


@frozen
class WorldConfig:
    """The option of `world`: the maximum number of `characters` of an answer as JSON. Longer ones are cut."""

    characters: int = field(default=2000, validator=validators.ge(1))


class World(Tool):
    """Looks up the state: the public one, the agent's private one, and those of its groups.

    The answer is the state at the beginning of the turn.
    """

    Config: ClassVar[type] = WorldConfig
    config: WorldConfig

    name = "world"
    description = "Look up the state of the world."
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "path": {
                "type": "string",
                "description": "the path to look up: market.price; self.KEY is your private state, "
                "groups.NAME.KEY your group's; empty for a list of all keys",
            }
        },
        "required": ["path"],
        "additionalProperties": False,
    }
    external = False

    async def call(self, arguments: dict[str, Any], turn: Turn) -> Any:
        path = arguments["path"].strip()
        answer = plain(_look_up(path, turn)) if path else _paths(turn)
        text = json.dumps(answer, ensure_ascii=False)
        limit = self.config.characters
        if len(text) <= limit:
            return answer
        return f"{text[:limit]}… (truncated: {len(text) - limit} more characters; look up a part of it)"


def plain(value: Any) -> Any:
    """The plain data of a read-only view."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, tuple) else value


def _paths(turn: Turn) -> list[str]:
    own = (f"self.{key}" for key in turn.own)
    shared = (f"groups.{name}.{key}" for name, state in turn.groups.items() for key in state)
    return [*turn.state, *own, *shared]


def _look_up(path: str, turn: Turn) -> Any:
    value: Any = {**turn.state, "self": turn.own, "groups": turn.groups}
    seen = ""
    for key in path.split("."):
        parts = dict(enumerate(value)) if isinstance(value, tuple) else value
        if not isinstance(parts, Mapping):
            raise ToolFailed(f"world: {seen} has no parts, it is {json.dumps(value)}; look up {seen} itself")
        names = {str(name): part for name, part in parts.items()}
        if key not in names:
            there = ", ".join(names) or "nothing"
            raise ToolFailed(
                f"world: {seen or 'the state'} has no {key!r}{did_you_mean(key, names)}; its keys: {there}"
            )
        value, seen = names[key], f"{seen}.{key}" if seen else key
    return value
