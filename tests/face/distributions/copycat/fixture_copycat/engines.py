"""Two engines."""

from typing import Any

from pyscrai_core import Engine


class Parrot(Engine):
    async def run(self, turn: Any) -> None:
        turn.say("Polly!")


class Starling(Engine):
    async def run(self, turn: Any) -> None:
        turn.say("ring, ring")
