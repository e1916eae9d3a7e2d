"""The tool `sample`."""

from __future__ import annotations

from typing import Annotated

from pyscrai_core import ToolFailed, Turn, tool

MAX_ITEMS = 1000


@tool(external=False)
def sample(
    turn: Turn,
    items: Annotated[list[str], "the items to choose from"],
    count: Annotated[int, "how many to choose"] = 1,
    again: Annotated[bool, "whether an item can be chosen more than once"] = False,
) -> list[str]:
    """Choose items at random, with equal probabilities."""
    if not 1 <= len(items) <= MAX_ITEMS or not 1 <= count <= MAX_ITEMS:
        what = f"cannot choose {count} of {len(items)} items"
        raise ToolFailed(f"sample: {what}; expected 1 to {MAX_ITEMS} of both")
    if again:
        return [items[turn.random.randrange(len(items))] for _ in range(count)]
    if count > len(items):
        raise ToolFailed(f"sample: cannot choose {count} of {len(items)} items unless `again` is true")
    return turn.random.sample(items, count)
