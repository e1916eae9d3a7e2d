"""The log of a run in memory: events once, indexed by who may see them."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

from ..records import EVERYONE, LOG_HEAD, Event


class Log:
    """All events so far, the running fingerprint, and for each audience the numbers of its events.

    `hear` says who belongs to which audiences.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._by_audience: dict[str, list[int]] = {EVERYONE: []}
        #: For each agent the audiences that it belongs to, each from the events behind a number on.
        self._ears: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
        self._hash = hashlib.sha256(LOG_HEAD)

    def hear(self, memberships: Mapping[str, Sequence[str]]) -> None:
        """From the next event on, whom each agent hears beside everyone: its groups, and itself."""
        for agent, groups in memberships.items():
            heard = self._ears.setdefault(agent, [])
            if not heard or heard[-1][1] != (*groups, agent):
                heard.append((len(self.events), (*groups, agent)))

    def __len__(self) -> int:
        return len(self.events)

    def add(self, event: Event, line: bytes) -> None:
        self.events.append(event)
        self.extend_fingerprint(line)
        if EVERYONE in event.audience:
            self._by_audience[EVERYONE].append(event.seq)
            return
        for name in {*event.audience, event.source}:
            self._by_audience.setdefault(name, []).append(event.seq)

    def extend_fingerprint(self, line: bytes) -> None:
        """Take an event's line into the fingerprint."""
        self._hash.update(line + b"\n")

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the canonical log so far, as 64 hexadecimal digits."""
        return self._hash.hexdigest()

    def visible(self, agent: str, after: int = 0, until: int | None = None) -> list[Event]:
        """The events that `agent` may see, with numbers above `after` and up to `until`."""
        until = len(self.events) if until is None else until
        found = self._slice(EVERYONE, after, until)
        more, end = [], until
        for start, names in reversed(self._ears[agent]):
            more += [part for name in names if (part := self._slice(name, max(after, start), end))]
            if start <= after:
                break
            end = min(end, start)
        if more:
            found = sorted({*found, *(seq for part in more for seq in part)})
        return self.at(found)

    def at(self, numbers: Iterable[int]) -> list[Event]:
        return [self.events[seq - 1] for seq in numbers]

    def _slice(self, name: str, after: int, until: int) -> Sequence[int]:
        numbers = self._by_audience.get(name)
        if not numbers or numbers[-1] <= after:
            return ()
        return numbers[bisect_right(numbers, after) : bisect_right(numbers, until)]
