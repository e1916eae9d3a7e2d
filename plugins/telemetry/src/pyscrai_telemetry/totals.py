"""The metrics of this process: added up in plain dictionaries, so that adding takes about a microsecond."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping

from attrs import define, frozen

from .conventions import Instrument

#: The attributes of a series, sorted by name.
Labels = tuple[tuple[str, str], ...]


def labels(given: Mapping[str, str]) -> Labels:
    """Attributes as the key of a series; empty ones are left out."""
    return tuple(sorted((name, value) for name, value in given.items() if value))


@define
class Distribution:
    """The values of a histogram: how many in each bucket, and in all, with their sum and their ends."""

    buckets: list[int]
    count: int = 0
    sum: float = 0.0
    least: float = 0.0
    most: float = 0.0

    def add(self, value: float, bounds: tuple[float, ...]) -> None:
        self.buckets[bisect_left(bounds, value)] += 1
        self.least = min(self.least, value) if self.count else value
        self.most = max(self.most, value) if self.count else value
        self.count += 1
        self.sum += value


@frozen
class Series:
    """A series as it was when it was read: a number, or a distribution."""

    instrument: Instrument
    labels: Labels
    value: float | Distribution


class Totals:
    """All series. Values come from the loops of runs; exporters read from other threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[tuple[Instrument, Labels], float] = {}
        self._distributions: dict[tuple[Instrument, Labels], Distribution] = {}

    def count(self, instrument: Instrument, labels: Labels, amount: float = 1) -> None:
        """Add to a counter."""
        key = (instrument, labels)
        with self._lock:
            self._numbers[key] = self._numbers.get(key, 0) + amount

    def record(self, instrument: Instrument, labels: Labels, value: float) -> None:
        """Add a value to a histogram."""
        key = (instrument, labels)
        with self._lock:
            found = self._distributions.get(key)
            if found is None:
                found = self._distributions[key] = Distribution([0] * (len(instrument.bounds) + 1))
            found.add(value, instrument.bounds)

    def read(self) -> list[Series]:
        """A copy of all series, by name."""
        with self._lock:
            series = [Series(*key, value) for key, value in self._numbers.items()]
            series += [
                Series(*key, Distribution(list(one.buckets), one.count, one.sum, one.least, one.most))
                for key, one in self._distributions.items()
            ]
        return sorted(series, key=lambda one: (one.instrument.name, one.labels))
