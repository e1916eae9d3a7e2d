"""The lines of a transcript, and observers that print them or write them to a log."""

from __future__ import annotations

from typing import TextIO

from pyscrai_core import CallRecord, Event, RunResult, RunStatus
from pyscrai_core.contracts import NoConfig, Observer

from .output import duration, in_lines, mute


def line(event: Event) -> str:
    """An event as a transcript shows it, safe to print."""
    return in_lines(event.describe())


def held_up(call: CallRecord) -> str:
    """That a call waits or is tried again, and why."""
    again = f"trying again in {duration(call.wait)}; " if call.status == "retrying" else ""
    return in_lines(f"({call.position.agent}: {again}{call.error})")


class Plain(Observer):
    """Each event as a line, as soon as it happens. Events up to number `after` were printed before."""

    def __init__(self, out: TextIO, after: int = 0) -> None:
        super().__init__(NoConfig())
        self._out: TextIO | None = out
        self._after = after
        #: The limits of which it was said that calls wait for them.
        self._told: set[str] = set()

    def on_event(self, event: Event) -> None:
        if event.seq <= self._after:
            return
        self._write(line(event))

    def on_run(self, run: str, status: RunStatus, result: RunResult | None) -> None:
        if status == "paused":
            self._write(f"(paused; continue: pyscrai resume {run})")

    def on_call(self, call: CallRecord) -> None:
        if call.journaled:
            return
        if call.status == "retrying":
            self._write(held_up(call))
        elif call.status == "waiting" and call.error not in self._told:
            self._told.add(call.error)
            self._write(f"{held_up(call)[:-1]}; others may wait as well, which is not said again)")

    def _write(self, text: str) -> None:
        if self._out is None:
            return
        try:
            self._out.write(f"{text}\n")
            self._out.flush()
        except BrokenPipeError:
            # Nobody reads any more. A run that costs money continues all the same.
            self._out = None
            mute()
        except OSError:
            self._out = None  # its disk is full, say; the command says so at its end

    def show_from(self, after: int) -> None:
        """Show the events with numbers above `after`."""
        self._after = after

    def say(self, words: str) -> None:
        """Progress is not shown: only events are printed."""

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *exc: object) -> None:
        pass
