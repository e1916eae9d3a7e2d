"""The comparison of the arms of a table with a reference arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .checks import choice
from .contrasts import CORRECTIONS, adjust, contrast
from .resampling import RESAMPLES
from .results import Contrast, Result, StatisticsError
from .summary import ArmSummary, summarize_values
from .tables import Columns, column, columns
from .units import Units, values_of_arms


@dataclass(frozen=True)
class Comparison(Result):
    """All arms of a table, and the contrast of each with the reference.

    `dropped` are units without a partner, by arm (only with `incomplete="drop"`). `sentence` joins the
    sentences of the contrasts.
    """

    outcome: str
    kind: str
    reference: str
    arms: Mapping[str, ArmSummary]
    contrasts: tuple[Contrast, ...]
    correction: str
    dropped: Mapping[str, tuple[str, ...]]
    sentence: str
    warnings: tuple[str, ...]


def compare(
    table: Any,
    *,
    outcome: str,
    arm: str,
    pair: str | None = None,
    unit: str | None = None,
    reference: str | None = None,
    kind: str = "number",
    success: Any = None,
    order: Sequence[Any] | None = None,
    direction: str = "two-sided",
    alpha: float = 0.05,
    level: float = 0.95,
    smallest: float | tuple[float, float] | None = None,
    correction: str = "holm",
    incomplete: str = "error",
    failures: Mapping[str, int] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare each arm of a table with a reference arm.

    Args:
        table: a tidy table: a list of mappings, a mapping of columns, or a data frame.
        outcome: the column of the outcome. Rows in which it is None are failures.
        arm: the column that names the arm.
        pair: the column that pairs units across arms, such as the seed. Without it, arms are compared
            unpaired.
        unit: the column that names the unit of replication, such as the run. Rows of one unit are averaged
            first.
        reference: the arm with which the others are compared (default: the first in the table).
        kind: `number`, `proportion`, `category` or `ordered`: see `contrast`.
        success: for `proportion`: the value that is a success, if the outcome is not 0 and 1.
        order: for `ordered`: the categories from the lowest to the highest.
        direction: the claim: `two-sided`, `greater` (each arm is greater than the reference) or `less`.
        alpha, level, smallest: see `contrast`.
        correction: for more than one contrast: `holm`, `benjamini-hochberg` or `none`.
        incomplete: what to do with pairs that lack an arm: `error`, or `drop` them from the contrast.
        failures: units without a row, by arm; they are added to those found.
        seed, resamples: of the resamples and permutations.

    Raises:
        StatisticsError: no such column or arm, fewer than two arms, pairs without a partner, and as
            `contrast`.
    """
    where = "compare"
    choice(f"{where}, correction", correction, CORRECTIONS)
    choice(f"{where}, incomplete", incomplete, ("error", "drop"))
    found = columns(table)
    units = values_of_arms(found, outcome=outcome, arm=arm, unit=unit or pair, kind=kind, success=success)
    if pair is not None and unit is not None:
        units = _by_pair(found, units, arm, unit, pair)
    names = list(units.values)
    if len(names) < 2:
        raise StatisticsError(
            where, f"there is one arm, {names[0]!r}", "at least two", "check the column of the arm"
        )
    base = names[0] if reference is None else str(reference)
    unknown = [name for name in (base, *(failures or {})) if name not in names]
    if unknown:
        raise StatisticsError(
            where, f"there is no arm {unknown[0]!r}", "one of " + ", ".join(names), "mend the name"
        )
    shown = "number" if units.averaged and kind == "proportion" else kind
    everything = sorted({one for each in units.values.values() for one in each.values()}, key=str)
    arms = {
        name: summarize_values(
            list(each.values()), arm=name, kind=shown, order=order,
            categories=everything if kind == "category" else None,
            failures=units.failures[name] + (failures or {}).get(name, 0),
            level=level, seed=seed, resamples=resamples,
        )
        for name, each in units.values.items()
    }  # fmt: skip
    warnings = []
    if units.averaged:
        warnings.append(f"some units ({unit or pair}) have several rows: the mean of each unit was compared")
    dropped: dict[str, list[str]] = {}
    contrasts = []
    for name in names:
        if name == base:
            continue
        first, second = _lists(units, name, base, pair, incomplete, dropped)
        contrasts.append(
            contrast(
                first, second, paired=pair is not None, names=(name, base), kind=shown, order=order,
                direction=direction, alpha=alpha, level=level, smallest=smallest,
                seed=seed, resamples=resamples,
            )
        )  # fmt: skip
    for name, keys in dropped.items():
        warnings.append(f"arm {name}: {len(keys)} units without a partner were left out of a contrast")
    family = adjust(contrasts, correction=correction)
    return Comparison(
        outcome, kind, base, arms, family, correction, {name: tuple(keys) for name, keys in dropped.items()},
        " ".join(each.sentence for each in family), tuple(warnings),
    )  # fmt: skip


def _lists(
    units: Units, name: str, base: str, pair: str | None, incomplete: str, dropped: dict[str, list[str]]
) -> tuple[list[Any], list[Any]]:
    """The values of two arms; paired, in the order of the pairs."""
    first, second = units.values[name], units.values[base]
    if pair is None:
        return list(first.values()), list(second.values())
    alone = {
        name: [str(key) for key in first if key not in second],
        base: [str(key) for key in second if key not in first],
    }
    for arm, keys in alone.items():
        if keys and incomplete == "error":
            listed = ", ".join(keys[:5]) + (", …" if len(keys) > 5 else "")
            raise StatisticsError(
                f"compare, {name} - {base}",
                f"{len(keys)} units of arm {arm!r} have no partner ({pair}: {listed})",
                "each pair with both arms",
                "run what is missing, or say incomplete='drop'",
            )
        if keys:
            dropped[arm] = list(dict.fromkeys([*dropped.get(arm, []), *keys]))
    both = [key for key in first if key in second]
    return [first[key] for key in both], [second[key] for key in both]


def _by_pair(found: Columns, units: Units, arm: str, unit: str, pair: str) -> Units:
    """The units of a table by their pair. Several units of one arm and pair are averaged."""
    pairs: dict[tuple[str, Any], Any] = {}
    for name, key, value in zip(
        column(found, arm, "arm"), column(found, unit, "unit"), column(found, pair, "pair"), strict=True
    ):
        if pairs.setdefault((str(name), key), value) != value or value is None:
            raise StatisticsError(
                f"compare, unit {key}",
                f"its pair is {pairs[str(name), key]!r} and {value!r}",
                "one pair per unit",
                f"mend the column {pair}",
            )
    table: Columns = {arm: [], pair: [], "value": []}
    for name, each in units.values.items():
        for key, value in each.items():
            for column_name, cell in ((arm, name), (pair, pairs[name, key]), ("value", value)):
                table[column_name].append(cell)
    text = any(isinstance(value, str) for value in table["value"])
    again = values_of_arms(table, outcome="value", arm=arm, unit=pair, kind="category" if text else "number")
    return Units(again.values, units.failures, units.averaged or again.averaged)
