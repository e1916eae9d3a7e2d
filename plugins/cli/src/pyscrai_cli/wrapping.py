"""Text in columns of a terminal: wide characters take two, marks that join others none."""

from __future__ import annotations

from itertools import pairwise

#: Joins emoji to one.
JOINER = "\u200d"


def breaks(text: str, width: int) -> list[int]:
    """Where to break a text into lines of so many columns: at spaces unless that leaves a line half empty."""
    from rich.cells import cell_len

    breaks: list[int] = []
    start = space = used = 0
    for index, character in enumerate(text):
        cells = cell_len(character)
        joined = index > 0 and text[index - 1] == JOINER
        if used + cells > width and index > start and not joined:
            start = space if 2 * (space - start) > index - start else index
            breaks.append(start)
            used = cell_len(text[start:index])
        used += cells
        if character == " ":
            space = index + 1
    return breaks


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text of one paragraph, of so many columns at most."""
    edges = [0, *breaks(text, width), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def head_of(text: str, width: int) -> str:
    """The beginning of a text that has room in so many columns."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    return f"{wrapped(text[: width + 1], max(1, width - 1))[0]}…"


def tail_of(text: str, width: int) -> str:
    """The end of a text that has room in so many columns."""
    from rich.cells import cell_len

    # Each character by itself: not every terminal shows joined emoji as one.
    left = width - sum(map(cell_len, text[-width:]))
    if left >= 0 and len(text) <= width:
        return text
    start = max(0, len(text) - width)
    while start < len(text) and left < 1:
        left += cell_len(text[start])
        start += 1
    return f"…{text[start:]}"
