"""The log of an execution as it grows: written, or compared with the one that is recorded."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from ..errors import Divergence
from ..records import Event
from ..store.reading import StoredRun
from ..store.store import Store
from .difference import difference
from .log import Log


class Chronicle:
    """Adds the events of the run `run` to its log. What is `recorded` already has to be the same.

    A `replay` writes nothing.
    """

    def __init__(self, store: Store, run: str, recorded: StoredRun | None, replay: bool) -> None:
        self.log = Log()
        self._store = store
        self._run = run
        self._replay = replay
        self._stored: Iterator[Event] | None = recorded.events() if recorded else None
        self._completed = recorded is not None and recorded.status == "completed"

    def add(self, event: Event) -> None:
        """Add an event. Raises `Divergence` if the record has another one in its place."""
        line = event.line()
        self._keep(event, line)
        self.log.add(event, line)

    def rest(self) -> int:
        """Take in what is recorded behind the end of this execution, into the fingerprint alone.

        Returns the last step of it, 0 if there is nothing. An execution that is stopped early takes nothing
        back.
        """
        step = 0
        for event in self._stored or ():
            self.log.extend_fingerprint(event.line())
            step = event.step
        self._stored = None
        return step

    def _keep(self, event: Event, line: bytes) -> None:
        """Write the event, or compare it with the one that is there."""
        if self._stored is not None:
            stored = next(self._stored, None)
            if stored is not None:
                if stored.line() != line:
                    raise Divergence(
                        f"event {event.seq}, agents.{event.source}, step {event.step}: this execution "
                        "derives another one than the record has; a plugin, a rule or the scenario has "
                        "changed since:\n" + difference(_lines(stored), _lines(event)),
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
        stored = next(self._stored, None) if self._stored is not None else None
        # Events of a step that was derived but whose calls were not all journaled cannot be there.
        if stored is not None:
            raise Divergence(
                f"event {stored.seq}: the record goes on with {_clip(stored.line())}, this execution is over",
                stored.step,
            )


def _lines(event: Event) -> list[str]:
    return orjson.dumps(event.to_dict(), option=orjson.OPT_INDENT_2).decode().splitlines()


def _clip(line: bytes) -> str:
    text = line.decode()
    return text if len(text) <= 200 else text[:200] + "…"
