"""What becomes of the shape of a state when something in it is set, or added to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import evolve, frozen

from pyscrai_records.base.suggest import TYPO, closest

from .misfit import Misfit
from .schemas import LIKE
from .shapes import (
    ANY,
    BOOLEAN,
    LIST,
    MAPPING,
    NOTHING,
    NULL,
    NUMBER,
    NUMERIC,
    REMEDY,
    STRING,
    TEXT,
    UNSET,
    Shape,
    mapping,
)

#: The kinds of values that have no parts.
_SIMPLE = frozenset((NULL, BOOLEAN, NUMBER, STRING))
_ANYTHING = _SIMPLE | {MAPPING, LIST}


@frozen
class Key:
    """A key in a path: as it is written, or the shape of the value that it is made from."""

    literal: str | None
    shape: Shape = TEXT


def assigned(
    old: Shape | None, keys: Sequence[Key], op: Literal["set", "add"], value: Shape, grows: bool
) -> Shape:
    """A shape (None: there is nothing yet) after a change. Raises `Misfit` if it has no such key.

    If it `grows`, it may get new keys. Those that are computed are always new ones.
    """
    if not keys:
        return _changed(old, op, value)
    old = old or mapping({})
    if old.kinds == ANY.kinds or (NULL in old.kinds and MAPPING not in old.kinds):
        return ANY
    if MAPPING not in old.kinds:
        raise Misfit(f"what it leads to is {old.words}, which has no keys; {REMEDY}")
    (key, *rest), known = keys, old.keys
    if key.literal is not None and key.literal not in known and not grows:
        old.find(key.literal, "the state")
    if key.literal is None and key.shape.strings is None:
        parts = {name: assigned(part, rest, op, value, False) for name, part in known.items()}
        return evolve(old, keys=parts, others=assigned(old.others, rest, op, value, True))
    names = [key.literal] if key.literal is not None else sorted(key.shape.strings or ())
    for name in names if key.literal is None and not key.shape.loose else ():
        # A computed key is a new one, unless it looks like one that is never computed.
        if name not in known and (meant := closest(name, known.keys() - set(names), TYPO)):
            raise Misfit(
                f"it may be {name!r}, and the state has no such key; did you mean {meant!r}? {REMEDY}"
            )
    parts = {
        name: assigned(known.get(name, old.others), rest, op, value, name not in known) for name in names
    }
    return evolve(old, keys={**known, **parts})


def _changed(old: Shape | None, op: Literal["set", "add"], value: Shape) -> Shape:
    if old == UNSET:
        if value.keys and value.others is None and value.kinds <= _ANYTHING:
            # It may get anything else from outside, but hardly a key that looks like one of these.
            return evolve(value.loosened(), kinds=_ANYTHING, strings=None)
        return NOTHING | value if value.kinds <= _SIMPLE else ANY
    if old is None or old == ANY or op == "set":
        return value if old is None else old | value
    if LIST in old.kinds:
        return evolve(old, items=value if old.items is None else old.items | value)
    if {NUMBER, NULL} & old.kinds and NUMBER in value.kinds:
        return old | NUMERIC
    what = f"{value.words} cannot be added to {old.words}"
    raise Misfit(f"{what}; expected two numbers, or a list to append to")


def settable(value: Shape) -> Shape:
    """The shape of what may be set to a value: of its texts, there may be others from outside."""
    return evolve(value, loose=True, near=LIKE) if value.strings and value.kinds <= _SIMPLE else value.wide()
