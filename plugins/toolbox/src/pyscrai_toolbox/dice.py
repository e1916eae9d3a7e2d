"""The tool `dice`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pyscrai_core import ToolFailed, Turn, tool

MAX_DICE = 100
MAX_SIDES = 1000

_DICE = re.compile(r"([0-9]{0,4})d([0-9]{1,5})(?:([+-])([0-9]{1,6}))?", re.IGNORECASE)


@tool(external=False)
def dice(
    turn: Turn, dice: Annotated[str, "the number of dice, their sides, and a number to add: 2d6+1"]
) -> dict[str, Any]:
    """Roll dice. Returns each roll and the total."""
    found = _DICE.fullmatch("".join(dice.split()))
    if found is None:
        raise ToolFailed(f"dice: {dice[:40]!r} is not a valid roll; expected for example d6, 2d6 or 3d20+5")
    count, sides = int(found[1] or 1), int(found[2])
    if not (1 <= count <= MAX_DICE and 1 <= sides <= MAX_SIDES):
        raise ToolFailed(
            f"dice: {dice!r} is out of range; expected 1 to {MAX_DICE} dice with 1 to {MAX_SIDES} sides"
        )
    rolls = [turn.random.randint(1, sides) for _ in range(count)]
    return {"rolls": rolls, "total": sum(rolls) + int((found[3] or "") + (found[4] or "0"))}
