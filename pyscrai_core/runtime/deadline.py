"""The end of a run's seconds, which a call notices, and this where none is made."""

from __future__ import annotations

import asyncio
from typing import Any

from ..base.time_limit import AGAIN
from .call_pipeline import CallPipeline


class Deadline:
    """Cancels a run's task when its seconds are over and no call is under way.

    late
        whether it did
    paused, over
        whether a person has paused the run, and whether it has ended
    """

    def __init__(self, calls: CallPipeline) -> None:
        self.late = self.paused = self.over = False
        self._calls = calls

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Begin, with the task that executes the run."""
        left = self._calls.budget.seconds_left()
        if left is None or self.over:
            return
        if left <= 0 and not self._calls.under_way and not self.paused:
            self.late = True
            task.cancel()
        # Again, as a plugin may catch that.
        asyncio.get_running_loop().call_later(left if left > 0 else AGAIN, self.watch, task)
