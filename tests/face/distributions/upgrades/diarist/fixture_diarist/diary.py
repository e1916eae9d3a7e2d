"""What a release may change: how it asks in the first days, and in the later ones."""

from typing import Any

from pyscrai_core import Engine, Message

EARLY = "Write two words.\nWhat happened today?"
LATER = "Write two words.\nWhat happened today?"


class Diarist(Engine):
    async def run(self, turn: Any) -> None:
        answer = await turn.think([Message.user(EARLY if turn.step < 3 else LATER)])
        turn.say(answer.text)
