"""The tool `sample`."""

from __future__ import annotations

from typing import Annotated

from pyscrai_core import ToolFailed, Turn, tool

MAX_ITEMS = 1000


@tool(external=False)
def sample(
    turn: Turn,
    items: Annotated[list[str], "what to draw from"],
    count: Annotated[int, "how many to draw"] = 1,
    again: Annotated[bool, "whether an item can be drawn more than once"] = False,
) -> list[str]:
    """Draw items at random, each with the same chance."""
    if not 1 <= len(items) <= MAX_ITEMS or not 1 <= count <= MAX_ITEMS:
        raise ToolFailed(f"sample: {count} of {len(items)} items; 1 to {MAX_ITEMS} of either")
    if again:
        return [items[turn.random.randrange(len(items))] for _ in range(count)]
    if count > len(items):
        raise ToolFailed(f"sample: {count} cannot be drawn from {len(items)} items unless `again` is true")
    return turn.random.sample(items, count)
