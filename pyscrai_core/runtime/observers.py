"""Those who watch a run. They never change it: one that raises is reported and left out from then on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from ..base.log import report
from ..contracts import Observer, Sink
from ..records import CallRecord, Event, Position, RunResult, RunStatus
from .blame import describe, origin


@frozen
class _Sink:
    """The sink of one call."""

    observers: Observers
    position: Position

    def write(self, text: str) -> None:
        if not text.isascii():
            # A piece may end in the middle of a character.
            text = text.encode(errors="replace").decode()
        self.observers.on_words(self.position, text)


class Observers:
    """The observers of the run `run`; false if there are none."""

    def __init__(self, run: str, observers: Sequence[Observer]) -> None:
        self._run = run
        self._observers = list(observers)
        self._take_text = any(type(one).on_words is not Observer.on_words for one in observers)

    def __bool__(self) -> bool:
        return bool(self._observers)

    def sink(self, position: Position) -> Sink | None:
        """Takes the text of a call's answer as it comes; None if no observer wants it."""
        return _Sink(self, position) if self._take_text else None

    async def __aenter__(self) -> None:
        await self._each("aopen")

    async def __aexit__(self, *exc: object) -> None:
        await self._each("aclose")

    async def _each(self, method: str) -> None:
        for observer in list(self._observers):
            try:
                await getattr(observer, method)()
            except Exception as error:  # noqa: BLE001  an observer may raise anything; it is reported
                self._leave_out(observer, error)

    def on_run(self, status: RunStatus, result: RunResult | None) -> None:
        self._tell("on_run", self._run, status, result)

    def on_event(self, event: Event) -> None:
        self._tell("on_event", event)

    def on_call(self, call: CallRecord) -> None:
        self._tell("on_call", call)

    def on_words(self, position: Position, text: str) -> None:
        self._tell("on_words", position, text)

    def _tell(self, method: str, *what: Any) -> None:
        for observer in tuple(self._observers):
            try:
                getattr(observer, method)(*what)
            except Exception as error:  # noqa: BLE001  an observer may raise anything; it is reported
                self._leave_out(observer, error)

    def _leave_out(self, observer: Observer, error: Exception) -> None:
        report("ERROR", error, "{} raised and is left out: {}", origin(observer), describe(error))
        self._observers.remove(observer)
