"""The schedule `interrupt`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import field, frozen

from pyscrai_core import Schedule, Stage

from .options import positive
from .rounds import RoundRobin


@frozen
class InterruptConfig:
    """The options of `interrupt`. Raises `ValueError` for a mistake.

    inner
        the schedule that decides where nobody claims the next turn (None: `round-robin`)
    claim
        the kind of the events that claim it: usually an action that agents have
    in_a_row
        how many claimed turns may follow one another before the inner schedule decides again
    """

    inner: Schedule | None = None
    claim: str = "interrupt"
    in_a_row: int = field(default=3, validator=positive)


class Interrupt(Schedule):
    """Who claimed the next turn acts next, alone; of several, the last. Otherwise the inner schedule decides.

    What is claimed is not taken from the inner schedule: it goes on where it was, and it ends the run.
    """

    Config: ClassVar[type] = InterruptConfig

    config: InterruptConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._round_robin = RoundRobin(RoundRobin.Config())
        self._seen: int | None = None
        self._claimed = 0

    @property
    def _inner(self) -> Schedule:
        return self.config.inner or self._round_robin

    @property
    def schedules_reactions(self) -> bool:  # type: ignore[override]
        """As the inner schedule has it."""
        return self._inner.schedules_reactions

    async def next(self, stage: Stage) -> Sequence[str]:
        log = stage.log
        if self._seen is None:  # where a fork begins with this schedule, what is long past claims nothing
            self._seen = bisect_left(log, stage.step - 1, key=lambda event: event.step)
        fresh, self._seen = log[self._seen :], len(log)
        claims = [
            event for event in fresh if event.kind == self.config.claim and event.source in stage.everyone
        ]
        # Bounded, so that a run in which somebody always claims ends with its inner schedule.
        if claims and self._claimed < self.config.in_a_row:
            self._claimed += 1
            return (claims[-1].source,)
        self._claimed = 0
        return await self._inner.next(stage)
