"""Who asked how much, when: tokens, latency and cost of completions, by agent and step, and by provider."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from attrs import define, field, fields

from pyscrai_records.store.store import Store

from .reading import find

#: Runs whose sums are kept, and rows that are read at once.
KEPT, PAGE = 8, 5000
#: The most groups of steps, and of these times agents. A run may have many thousands of both.
BINS, CELLS = 500, 50_000
QUERY = """SELECT "number", "agent", "step", CASE "provider" WHEN '' THEN "target" ELSE "provider" END,
    "model", "input_tokens", "output_tokens", "cached_tokens", "seconds", "cost", "error"!='',
    "attempts"!='[]'
    FROM "calls" WHERE "run"=? AND "number">? AND "kind"='complete' ORDER BY "number" LIMIT ?"""


@define
class Sums:
    """Sums of some completions."""

    calls: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    seconds: float = 0.0
    dollars: float = 0.0
    priced: int = 0
    failed: int = 0
    retried: int = 0

    def add(
        self, given: int, taken: int, cached: int, seconds: float, cost: float | None, *flags: int
    ) -> None:
        self.calls += 1
        self.input += given
        self.output += taken
        self.cached += cached
        self.seconds += seconds
        self.dollars += cost or 0.0
        self.priced += cost is not None
        self.failed += flags[0]
        self.retried += flags[1]

    def merge(self, other: Sums) -> None:
        for option in fields(Sums):
            setattr(self, option.name, getattr(self, option.name) + getattr(other, option.name))

    def shown(self) -> dict[str, Any]:
        return {
            "calls": self.calls, "input": self.input, "output": self.output, "cached": self.cached,
            "latency": self.seconds / self.calls, "dollars": round(self.dollars, 9) if self.priced else None,
            "cached_share": self.cached / self.input if self.input else None,
        }  # fmt: skip


@define
class Book:
    """The sums of a run, by agent and group of `width` steps."""

    owner: str
    number: int = 0
    width: int = 1
    cells: dict[str, dict[int, Sums]] = field(factory=dict)
    providers: dict[tuple[str, str], Sums] = field(factory=dict)

    def read(self, store: Store, run: str) -> None:
        """Take in the calls that are new."""
        while rows := store.connection.execute(QUERY, (run, self.number, PAGE)).fetchall():
            for number, agent, step, provider, model, *values in rows:
                bins = self.cells.setdefault(agent, {})
                bins.setdefault(step // self.width, Sums()).add(*values)
                self.providers.setdefault((provider, model), Sums()).add(*values)
                self.number = number
            while len(self._bins()) > max(20, min(BINS, CELLS // len(self.cells))):
                self._double()

    def _bins(self) -> set[int]:
        return {place for bins in self.cells.values() for place in bins}

    def _double(self) -> None:
        self.width *= 2
        for agent, bins in self.cells.items():
            merged: dict[int, Sums] = {}
            for place, sums in bins.items():
                merged.setdefault(place // 2, Sums()).merge(sums)
            self.cells[agent] = merged

    def shown(self) -> dict[str, Any]:
        places = sorted(self._bins())
        return {
            "steps": [place * self.width for place in places],
            "width": self.width,
            "agents": {agent: self._series(bins, places) for agent, bins in sorted(self.cells.items())},
            "sums": {agent: _total(bins).shown() for agent, bins in sorted(self.cells.items())},
            "providers": dict(self._by_provider()),
        }

    @staticmethod
    def _series(bins: dict[int, Sums], places: list[int]) -> dict[str, list[Any]]:
        rows = [bins[place].shown() if place in bins else {} for place in places]
        names = ("calls", "input", "output", "latency", "dollars", "cached_share")
        return {name: [row.get(name) for row in rows] for name in names}

    def _by_provider(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for (provider, model), sums in sorted(self.providers.items()):
            found.setdefault(provider, []).append(
                {"model": model, **sums.shown(), "failed": sums.failed, "retried": sums.retried}
            )
        yield from found.items()


def _total(bins: dict[int, Sums]) -> Sums:
    total = Sums()
    for sums in bins.values():
        total.merge(sums)
    return total


class Usages:
    """The books of the runs that were looked at last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Book] = OrderedDict()
        self._guard = threading.Lock()

    def forget(self) -> None:
        with self._guard:
            self._kept.clear()

    def of(self, store: Store, run: str) -> dict[str, Any]:
        """The usage of a run. Raises `Refused` if there is none."""
        owner = find(store, run).last_owner
        with self._guard:
            book = self._kept.get(run)
            if book is None or book.owner != owner:  # a resume may have replaced failed calls
                book = self._kept[run] = Book(owner)
            self._kept.move_to_end(run)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            book.read(store, run)
            return book.shown()
