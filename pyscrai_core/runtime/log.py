"""The log of a run in memory: events once, indexed by who may see them."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import orjson

from pyscrai_records.base.frozen import freeze_list
from pyscrai_records.canonical import LOG_HEAD
from pyscrai_records.errors import Divergence
from pyscrai_records.records import EVERYONE, Event
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store

from ..calls.divergence import diff


class Log:
    """All events of the run `run` so far, the running fingerprint, and who may see which of them.

    `hear` says who belongs to which audiences. What is `recorded` already has to be the same; what is not is
    written, unless this is a `replay`.
    """

    def __init__(self, store: Store, run: str, recorded: RecordedRun | None, replay: bool) -> None:
        self._store = store
        self._run = run
        self._replay = replay
        self._stored: Iterator[Event] | None = recorded.raw_events() if recorded else None
        #: The next recorded event, if somebody looked at it already.
        self._ahead: list[Event] = []
        self._completed = recorded is not None and recorded.status == "completed"
        #: A schedule looks at this list itself, so nobody but `add` may change it.
        self.events: list[Event] = freeze_list()
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

    def recorded(self) -> Event | None:
        """The recorded event in the place of the next one; None if there is none."""
        if not self._ahead and self._stored is not None:
            self._ahead = list(islice(self._stored, 1))
        return self._ahead[0] if self._ahead else None

    def _next_recorded(self) -> Event | None:
        event = self.recorded()
        self._ahead = []
        return event

    def __len__(self) -> int:
        return len(self.events)

    def add(self, event: Event) -> None:
        """Add an event. Raises `Divergence` if the record has another one in its place."""
        line = event.line()
        self._keep(event, line)
        list.append(self.events, event)
        self._hash.update(line + b"\n")
        if EVERYONE in event.audience:
            self._by_audience[EVERYONE].append(event.seq)
            return
        for name in {*event.audience, event.source}:
            self._by_audience.setdefault(name, []).append(event.seq)

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
        return [self.events[seq - 1] for seq in found]

    def _slice(self, name: str, after: int, until: int) -> Sequence[int]:
        numbers = self._by_audience.get(name)
        if not numbers or numbers[-1] <= after:
            return ()
        return numbers[bisect_right(numbers, after) : bisect_right(numbers, until)]

    # -- the record --

    def rest(self) -> int:
        """Take in what is recorded behind the end of this execution, into the fingerprint alone.

        Returns the last step of it, 0 if there is nothing. An execution that is stopped early takes nothing
        back.
        """
        step = 0
        while (event := self._next_recorded()) is not None:
            self._hash.update(event.line() + b"\n")
            step = event.step
        self._stored = None
        return step

    def _keep(self, event: Event, line: bytes) -> None:
        """Write the event, or compare it with the one that is there."""
        if self._stored is not None:
            stored = self._next_recorded()
            if stored is not None:
                if stored.line() != line:
                    raise Divergence(
                        f"event {event.seq}, agents.{event.source}, step {event.step}: this execution "
                        "derives another one than the record has; a plugin, a rule or the scenario has "
                        "changed since:\n" + diff(_lines(stored), _lines(event)),
                        event.step,
                    )
                return
            self._stored = None
            if self._replay and self._completed:
                raise Divergence(
                    f"event {event.seq}, agents.{event.source}, step {event.step}: the record ends before it",
                    event.step,
                )
        if not self._replay:
            self._store.put_event(self._run, event)

    def check_complete(self) -> None:
        """The record must not hold more events than this execution came to."""
        stored = self._next_recorded()
        # Events of a step that was derived but whose calls were not all journaled cannot be there.
        if stored is not None:
            what = f"the record continues with {_clip(stored.line())}, this execution has ended"
            raise Divergence(f"event {stored.seq}: {what}", stored.step)


def _lines(event: Event) -> list[str]:
    return (
        orjson.dumps(event.to_dict(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode().splitlines()
    )


def _clip(line: bytes) -> str:
    text = line.decode()
    return text if len(text) <= 200 else text[:200] + "…"
