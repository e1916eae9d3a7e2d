"""What a person sees while an experiment is run, and how they stop it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from pyscrai_core.runtime.run import DRAIN

if TYPE_CHECKING:
    from .perform import Progress

#: Seconds between two plain lines of progress.
INTERVAL = 5.0
#: Seconds after which an event loop that has not heard of a signal is blocked: for a person's second Ctrl-C,
#: and for a SIGTERM.
BLOCKED, PATIENCE = 0.5, 3.0
#: Seconds that the trials may take to end after the second signal.
LEAVE = 10.0


class Shown:
    """Shows the progress, and passes Ctrl-C on: once stops cleanly, twice at once, three times leaves."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._line = not quiet and sys.stderr.isatty()
        self._last = 0.0
        self._stop: Callable[[], None] | None = None
        self._count = 0
        self._heard = False  # whether the event loop has seen a signal
        self._since = 0.0  # when the first one came
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Shown:
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        except ValueError:  # not the main thread: nobody can press Ctrl-C here
            self._before = {}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._line and self._last:
            click.echo("", err=True)

    def _on_signal(self, number: int, _: object) -> None:
        self._count += 1
        if self._count > 2:
            os._exit(130)
        now = time.monotonic()
        # Code of a plugin that blocks the event loop is interrupted where it is.
        blocked = self._count == 2 and not self._heard and now - self._since > BLOCKED
        if self._count == 2:
            _later(LEAVE, lambda: os._exit(130))
        if self._stop is None or blocked:
            raise KeyboardInterrupt
        self._since = self._since or now
        self._loop.call_soon_threadsafe(self._hear)
        if number == signal.SIGTERM and self._count == 1:  # whoever sent it may not send another
            _later(PATIENCE, self._insist)
            _later(DRAIN + PATIENCE, self._insist_anyway)
        what = "stopping; trials under way end soon; again: leave at once"
        os.write(2, f"\n{what}\n".encode())

    def _hear(self) -> None:
        self._heard = True
        if self._stop is not None:
            self._stop()

    def _insist(self) -> None:
        if not self._heard:
            self._insist_anyway()

    def _insist_anyway(self) -> None:
        if self._count == 1 and self._before:
            os.kill(os.getpid(), signal.SIGTERM)

    def begin(self, stop: Callable[[], None], progress: Progress) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = stop
        self.moved(progress)

    def moved(self, progress: Progress) -> None:
        now = time.monotonic()
        over = progress.left == 0
        if self._quiet or (now - self._last < (0.1 if self._line else INTERVAL) and not over):
            return
        self._last = now
        text = progress_line(progress)
        click.echo(f"\r\x1b[K{text}" if self._line else text, nl=not self._line, err=True)


def _later(seconds: float, do: Callable[[], object]) -> None:
    timer = threading.Timer(seconds, do)
    timer.daemon = True
    timer.start()


def progress_line(progress: Progress) -> str:
    """`12/40 trials, 8 running, 1 failed; $0.12 of about $0.40; 2:10 left`."""
    parts = [f"{progress.done}/{progress.trials} trials"]
    if progress.left:
        parts[0] += ", paused" if progress.paused else f", {progress.running} running"
    if progress.failed:
        parts[0] += f", {progress.failed} failed"
    if progress.spent:
        expected = f" of about ${progress.expected:.4f}" if progress.expected and progress.left else ""
        parts.append(f"${progress.spent:.4f}{expected}")
    else:
        parts.append(f"{progress.calls:,} calls")
    if progress.seconds_left is not None and progress.left:
        minutes, seconds = divmod(int(progress.seconds_left), 60)
        hours, minutes = divmod(minutes, 60)
        parts.append(f"{hours}:{minutes:02}:{seconds:02} left" if hours else f"{minutes}:{seconds:02} left")
    return "; ".join(parts)
