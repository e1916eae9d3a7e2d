"""From the rows of a table to one value per arm and unit of replication."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .checks import choice, name_list, number_list
from .results import StatisticsError
from .tables import Columns, column

KINDS = ("number", "proportion", "category", "ordered")


@dataclass(frozen=True)
class Units:
    """Values by arm and unit, in the order of the table; failures (units without a value) by arm.

    `averaged` says whether a unit had several values, of which the mean was taken.
    """

    values: dict[str, dict[Any, Any]]
    failures: dict[str, int]
    averaged: bool


def values_of_arms(
    found: Columns,
    *,
    outcome: str,
    arm: str | None,
    unit: str | None,
    kind: str,
    success: Any = None,
    role: str = "unit",
) -> Units:
    """One value per arm and unit. Without a unit, each row is one.

    Raises:
        StatisticsError: no such column; an arm or a unit without a name; categories of one unit that differ.
    """
    choice("table, kind", kind, KINDS)
    outcomes = column(found, outcome, "outcome")
    arms = column(found, arm, "arm") if arm is not None else ["all"] * len(outcomes)
    units = column(found, unit, role) if unit is not None else list(range(len(outcomes)))
    if unit is not None:
        name_list(f"table, {role} {unit}", units)
    grouped: dict[str, dict[Any, list[Any]]] = {}
    for number, (name, key, value) in enumerate(zip(arms, units, outcomes, strict=True), 1):
        if name is None:
            raise StatisticsError(
                f"table, data row {number}", "its arm is missing", "a name", "fill it, or drop the row"
            )
        listed = grouped.setdefault(str(name), {}).setdefault(key, [])
        if value is not None:
            listed.append(_coded(number, value, kind, success))
    several = any(len(listed) > 1 for each in grouped.values() for listed in each.values())
    return Units(
        {
            name: {key: _one(name, key, listed, kind) for key, listed in each.items() if listed}
            for name, each in grouped.items()
        },
        {name: sum(not listed for listed in each.values()) for name, each in grouped.items()},
        several,
    )


def _coded(number: int, value: Any, kind: str, success: Any) -> Any:
    """A value as it is compared: a success as 1, else 0."""
    if kind == "proportion":
        if success is not None:
            return float(value == success)
        if not isinstance(value, str) and value in (0, 1):
            return float(value)
        raise StatisticsError(
            f"table, data row {number}",
            f"the outcome is {value!r}",
            "0 and 1, or false and true",
            "name the value of success",
        )
    if kind == "number":
        if isinstance(value, float) and not math.isfinite(value):
            raise StatisticsError(
                f"table, data row {number}",
                f"the outcome is {value}",
                "a finite number",
                "set it to None for a failure",
            )
        number_list(f"table, data row {number}", [value])
    return value


def _one(arm: str, unit: Any, listed: list[Any], kind: str) -> Any:
    """The value of a unit: the mean of numbers; of categories, the only one."""
    if len(listed) == 1:
        return listed[0]
    if kind in ("number", "proportion"):
        return sum(listed) / len(listed)
    raise StatisticsError(
        f"table, arm {arm}, unit {unit}",
        f"it has {len(listed)} rows",
        f"one row per unit for the kind {kind!r}, since a mean of categories does not exist",
        "choose a finer unit, or reduce the rows to one value",
    )
