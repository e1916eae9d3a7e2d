"""The end of a run's seconds."""

from __future__ import annotations

import asyncio
import sys
import threading

from pyscrai_records.base.time_limit import AGAIN, Limit, Watch

from ..contracts import Provider, Tool
from ..discovery.blame import executing
from .call_pipeline import CallPipeline


class Deadline(Limit):
    """Ends a run when its seconds are over. Calls that were sent may take the time that they have.

    late
        whether it did
    held
        the provider of a call that was not sent by then, as it waited for the limits or another attempt
    paused
        whether a person has paused the run
    """

    def __init__(self, calls: CallPipeline) -> None:
        super().__init__(self._left, self._end)
        self.late = self.paused = False
        self.held = ""
        self._calls = calls
        #: Whether the event loop has run since it was last looked at.
        self._alive = True

    def begin(self, watch: Watch) -> None:
        if self._calls.budget.seconds_left() is not None:
            self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
            watch.begin(self)

    def _left(self) -> float:
        left = self._calls.budget.seconds_left()
        assert left is not None
        if left > 0 or not (self.paused or self._may_answer(-left)) or self._is_blocked():
            return left
        return AGAIN

    def _may_answer(self, late: float) -> bool:
        """Whether a call may still be answered, `late` seconds after the end."""
        return any(seconds > late and not call.held for call, seconds in self._calls.under_way.values())

    def _is_blocked(self) -> bool:
        """Whether other code than that of a call keeps the event loop from hearing of any answer."""
        alive, self._alive = self._alive, False
        self._loop.call_soon_threadsafe(setattr, self, "_alive", True)
        found = executing(sys._current_frames().get(self._thread))
        return not alive and found is not None and not isinstance(found, (Provider, Tool))

    def _end(self) -> None:
        self.late = self._calls.late = True
        self.held = next((call.provider for call, _ in self._calls.under_way.values() if call.held), "")
