"""What is measured of a run: outcomes at its end, measures after its steps, and tables.

Each value may have a kind, which says how it can be compared across runs, and a unit.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from attrs import field, frozen

from pyscrai_language.expressions import Expression
from pyscrai_records.base.suggest import expected

from ..agent import positive

#: `proportion`: true or false, or a share from 0 to 1. `ordered`: one of `levels`, the lowest first.
QuantityKind: TypeAlias = Literal["number", "proportion", "category", "ordered", "text"]
Level: TypeAlias = str | int | float
_WORDS = {
    "number": "a number",
    "proportion": "true, false, or a number from 0 to 1",
    "category": "text, an integer, true or false",
    "text": "text",
}
#: The names that a column may use in addition to those of an outcome, by what the rows are.
ROW_NAMES: dict[str, tuple[str, ...]] = {
    "agents": ("self", "name", "variables"),
    "groups": ("self", "name"),
    "steps": (),
    "events": ("self", "event", "variables"),
}


@frozen
class QuantitySpec:
    """How an outcome, a measure or a column is written.

    `every` is a number of steps, for measures; `expected`: the mean over what the kernel could have drawn.
    """

    value: str
    kind: QuantityKind | None = None
    unit: str = ""
    levels: tuple[Level, ...] = ()
    every: int = field(default=1, validator=positive)
    expected: bool = False

    def __attrs_post_init__(self) -> None:
        if self.expected and self.kind not in (None, "number", "proportion"):
            raise ValueError(
                f"expected: a mean is a number, and the kind is {self.kind}; write `kind: number` or "
                "`kind: proportion`, or compare with one option: value == 'yes'"
            )
        if self.levels and self.kind != "ordered":
            raise ValueError("levels: they belong to `kind: ordered`; leave them out, or add that")
        if self.kind == "ordered" and len(set(self.levels)) < max(2, len(self.levels)):
            raise ValueError("kind: `ordered` needs `levels`: two or more different ones, the lowest first")


@frozen
class TableSpec:
    """How a table is written: `rows` is `agents`, `groups`, `steps`, `events` or `events.KIND`."""

    rows: str
    columns: dict[str, Any]
    when: str | None = None


@frozen
class Quantity:
    """A value that an expression has, once (an outcome), after steps (a measure) or in rows (a column)."""

    expression: Expression
    kind: QuantityKind | None = None
    unit: str = ""
    levels: tuple[Level, ...] = ()
    every: int = 1
    expected: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of what the value can be, roughly: `check` decides. Null is a missing value."""
        types = {
            "number": ["number", "null"],
            "proportion": ["boolean", "number", "null"],
            "category": ["string", "integer", "boolean", "null"],
            "text": ["string", "null"],
        }
        if self.kind == "ordered":
            return {"enum": [*self.levels, None]}
        return {"type": types[self.kind]} if self.kind else {}

    def check(self, value: Any) -> None:
        """Raise `ValueError` if a value is not of the kind. None is a value that is missing."""
        number = type(value) in (int, float)
        fits = {
            None: True,
            "number": number,
            "proportion": type(value) is bool or (number and 0 <= value <= 1),
            "category": type(value) in (str, int, bool),
            "ordered": any(type(value) is type(one) and value == one for one in self.levels),
            "text": type(value) is str,
        }
        if value is not None and not fits[self.kind]:
            listed = "one of " + ", ".join(map(str, self.levels))
            raise ValueError(
                f"its kind is {self.kind}: {expected(_WORDS.get(self.kind or '', listed), value)}"
            )


@frozen
class Table:
    """A table: a row for each agent, group, step or event for which `when` holds.

    `event` is the kind of the events that have rows, or empty for all.
    """

    rows: str
    columns: dict[str, Quantity]
    when: Expression | None = None
    event: str = ""
