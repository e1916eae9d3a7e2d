"""Seconds that plugin code may take."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

#: A plugin may catch that its code is cancelled. After so many seconds it is cancelled again.
AGAIN = 1.0


class OutOfTime(Exception):
    """A block took longer than its seconds."""


@contextmanager
def seconds_limit(seconds: float | None) -> Iterator[None]:
    """Cancel the block once `seconds` are over, and again until it ends. Raises `OutOfTime` then."""
    if seconds is None:
        yield
        return
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    cancelled, before = 0, task.cancelling()
    timer: asyncio.TimerHandle

    def cancel() -> None:
        nonlocal cancelled, timer
        cancelled += 1
        task.cancel()
        timer = loop.call_later(AGAIN, cancel)

    timer = loop.call_later(seconds, cancel)
    try:
        yield
    except asyncio.CancelledError:
        if cancelled and task.cancelling() - cancelled <= before:  # nobody else wants it to end
            raise OutOfTime from None
        raise
    finally:
        timer.cancel()
        for _ in range(cancelled):
            task.uncancel()
