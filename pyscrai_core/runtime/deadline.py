"""The end of a run's seconds."""

from __future__ import annotations

from ..base.time_limit import AGAIN, Limit, Watch
from .call_pipeline import CallPipeline


class Deadline(Limit):
    """Ends a run when its seconds are over. Calls under way may take the time that they have.

    late
        whether it did
    paused
        whether a person has paused the run
    """

    def __init__(self, calls: CallPipeline) -> None:
        super().__init__(self._left, self._end)
        self.late = self.paused = False
        self._calls = calls

    def begin(self, watch: Watch) -> None:
        if self._calls.budget.seconds_left() is not None:
            watch.begin(self)

    def _left(self) -> float:
        left = self._calls.budget.seconds_left()
        assert left is not None
        return AGAIN if left <= 0 and (self.paused or self._calls.in_time(-left)) else left

    def _end(self) -> None:
        self.late = self._calls.late = True
