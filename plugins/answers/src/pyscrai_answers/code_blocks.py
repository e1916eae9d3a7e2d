"""Fenced blocks of code in a text. Tokens of chat templates that stand in one are quoted."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from operator import itemgetter

#: A line that opens a block, or closes one if there is nothing but the fence.
_FENCE = re.compile(r"(?:\A|(?<=\n))[ \t]{0,9}```(?P<info>[^`\n]{0,100})(?:\n|\Z)")
#: How far the end of a block is waited for.
LONGEST_BLOCK = 4000


def code_blocks(text: str) -> Iterator[tuple[int, int]]:
    """Where the blocks of a text begin and end. One that is not closed before another begins is none."""
    begin = -1
    for fence in _FENCE.finditer(text):
        if begin >= 0 and not fence["info"].strip():
            yield begin, fence.start()
            begin = -1
        else:
            begin = fence.end()


def is_within(place: int, blocks: list[tuple[int, int]]) -> bool:
    """Whether a place in a text is in one of its blocks."""
    found = bisect_right(blocks, place, key=itemgetter(0))
    return found > 0 and place < blocks[found - 1][1]


def opens_block(line: str, inside: bool) -> bool:
    """Whether the text behind a line is in a block; `inside`: whether the line is."""
    fence = _FENCE.match(line)
    return inside if fence is None else not inside or bool(fence["info"].strip())


def closes_block(text: str, place: int, last: bool) -> bool | None:
    """Whether the block that is open at a place is closed behind it. None: the text has to go on for that."""
    fence = _FENCE.search(text, place, place + LONGEST_BLOCK)
    if fence is None:
        return False if last or len(text) - place >= LONGEST_BLOCK else None
    if fence.end() == len(text) and not last and not fence[0].endswith("\n"):
        return None
    return not fence["info"].strip()
