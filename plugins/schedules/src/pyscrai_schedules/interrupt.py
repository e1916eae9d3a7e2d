"""The schedule `interrupt`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import field, frozen

from pyscrai_core import ScenarioNames, Schedule, Stage

from .checks import positive
from .rounds import RoundRobin


@frozen
class InterruptConfig:
    """The options of `interrupt`. Raises `ValueError` for a mistake.

    inner
        The schedule that decides if no agent claims the next turn. None: `round-robin`.
    claim
        The kind of event that claims the next turn, usually an action of agents.
    in_a_row
        The maximum number of consecutive claimed turns. Then the inner schedule decides again.
    """

    inner: Schedule | None = None
    claim: str = "interrupt"
    in_a_row: int = field(default=3, validator=positive)


class Interrupt(Schedule):
    """The agent that claimed the next turn acts next, alone. If several did, the last one acts.

    Without a claim, the inner schedule decides. After claimed turns it continues where it was, and it ends
    the run.
    """

    Config: ClassVar[type] = InterruptConfig

    config: InterruptConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._round_robin = RoundRobin(RoundRobin.Config())
        self._seen: int | None = None
        self._claimed = 0

    @classmethod
    def check_names(cls, config: InterruptConfig, names: ScenarioNames) -> None:
        if config.claim != InterruptConfig().claim:
            names.kind(config.claim, "claim")

    @property
    def _inner(self) -> Schedule:
        return self.config.inner or self._round_robin

    @property
    def schedules_reactions(self) -> bool:  # type: ignore[override]
        """The inner schedule's value."""
        return self._inner.schedules_reactions

    async def next(self, stage: Stage) -> Sequence[str]:
        log = stage.log
        if self._seen is None:  # a fork may start with this schedule: older events claim nothing
            self._seen = bisect_left(log, stage.step - 1, key=lambda event: event.step)
        fresh, self._seen = log[self._seen :], len(log)
        claims = [
            event for event in fresh if event.kind == self.config.claim and event.source in stage.everyone
        ]
        # Limited, so that the inner schedule can end a run in which an agent always claims the turn.
        if claims and self._claimed < self.config.in_a_row:
            self._claimed += 1
            return (claims[-1].source,)
        self._claimed = 0
        return await self._inner.next(stage)
