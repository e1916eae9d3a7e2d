"""What the plugin offers; imported when it is first used."""

from typing import Any

from pyscrai_core import Engine, Tool, Toolset


class Parrot(Engine):
    async def run(self, turn: Any) -> None:
        turn.say(turn.observed[-1].payload["text"])


class Clock(Tool):
    async def call(self, arguments: dict[str, Any], turn: Any) -> str:
        return "noon"


class Shed(Toolset):
    async def list(self) -> list[Tool]:
        return [Clock(None)]
