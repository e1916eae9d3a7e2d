"""What every function returns, and the error that every function raises."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class StatisticsError(ValueError):
    """The input cannot be used. The message says where, what is wrong, what was expected and what to do."""

    def __init__(self, where: str, wrong: str, expected: str, remedy: str) -> None:
        super().__init__(f"{where}: {wrong}; expected {expected}; {remedy}")


def plain(value: Any) -> Any:
    """A value as plain JSON: dataclasses and mappings become objects; a number that is not finite, null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if hasattr(value, "tolist"):  # numpy's arrays and scalars
        return plain(value.tolist())
    number = float(value)
    return number if math.isfinite(number) else None


class Result:
    """The base of all results."""

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values. A number that is not finite becomes null."""
        content: dict[str, Any] = plain(self)
        return content


@dataclass(frozen=True)
class Interval(Result):
    """A confidence interval.

    `low` and `high` have the unit of the estimate, `level` is the confidence level (0.95), `method` the name
    of the method that was used.
    """

    low: float
    high: float
    level: float
    method: str

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Estimate(Result):
    """An estimate with its interval.

    `n` is the number of independent values (of pairs, if paired; of both samples together, if not).
    `interval` is None where none can be computed; `warnings` then say why. `details` holds plain values.
    """

    name: str
    estimate: float | None
    interval: Interval | None
    n: int
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Test(Result):
    """The result of a test of no difference.

    `p_value` keeps its error rate at every n. `p_mid` (mid-p: outcomes as extreme as the observed one count
    half) is less conservative for discrete data; its error rate is close to the level, but not guaranteed.
    """

    __test__ = False  # not a test of pytest

    name: str
    statistic: float
    p_value: float
    p_mid: float
    direction: str
    n: int
    method: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contrast(Result):
    """The comparison of two arms, first minus second.

    `n` are the values of both arms (the pairs twice, if paired). `difference` is that of means or
    proportions, or Cliff's delta, or Cramér's V. `p_adjusted` is the test's p-value after the family's
    correction. `verdict` is `supported`, `not supported` or `undecided`; `sentence` says in words what
    follows and what does not. `contrary` is the one-sided test against a claim that has a direction: that the
    difference does not reach the smallest one of interest or, without one, that its sign is the other.
    """

    first: str
    second: str
    kind: str
    paired: bool
    n: tuple[int, int]
    difference: Estimate
    test: Test
    p_adjusted: float
    effects: Mapping[str, Estimate]
    equivalence: Test | None
    contrary: Test | None
    variance_ratio: Estimate | None
    direction: str
    alpha: float
    smallest: tuple[float, float] | None
    verdict: str
    sentence: str
    warnings: tuple[str, ...]
