"""Demands, as they are shown to the person who approves them: nothing in one passes for something else."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from contextlib import suppress

#: What is demanded of a host, which is shown under the name that is looked up.
CONNECT = "connect to"
#: The length of a value with more characters is told.
LONG = 200


def demand(what: str, value: str) -> str:
    """A demand as a person reads it: on one line, and nothing in it can pass for something else."""
    text = shown(value)
    if not value.isascii():
        text += f" (in ASCII: {_ascii(what, value)})"
    if len(value) > LONG:
        text += f" (these are {len(value):,} characters)"
    return f"{what}: {text}"


def shown(text: str) -> str:
    """Text on one line: what a terminal would obey is escaped, and blanks that make one line look like two.

    A long one is broken by the terminal, so that nothing in it may begin as a number of the list does.
    """
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return re.sub(r"(?<= ) |(?<=\d\.) ", r"\\x20", text)


def _ascii(what: str, value: str) -> str:
    if what == CONNECT:
        with suppress(UnicodeError):
            return re.sub("[^:/]+", lambda part: part[0].encode("idna").decode(), value)
    return ascii(value)[1:-1]


def listed(demands: Iterable[str]) -> str:
    return "\n".join(f"  {number}. {one}" for number, one in enumerate(demands, 1))


def counted(demands: Collection[str]) -> str:
    return "this" if len(demands) == 1 else f"these {len(demands)} things"
