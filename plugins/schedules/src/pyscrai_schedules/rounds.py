"""The schedules that go in rounds: `round-robin` and `simultaneous`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import Attribute, field, frozen

from pyscrai_core import Schedule, Stage

from .options import check_names, positive


@frozen
class RoundRobinConfig:
    """The options of `round-robin`. Raises `ValueError` for a mistake.

    rounds
        how many rounds there are
    order
        who acts in a round, in this order; an agent may be named several times, and one that is not named
        does not act (None: each of the scheduled agents once, in the scenario's order)
    """

    rounds: int = field(default=10, validator=positive)
    order: list[str] | None = field(default=None)

    @order.validator
    def _check_order(self, attribute: Attribute[Any], value: list[str] | None) -> None:
        if value == []:
            raise ValueError("order: the list is empty; name at least one agent, or leave `order` out")


class RoundRobin(Schedule):
    """One agent a step; a round lets everyone act once."""

    Config: ClassVar[type] = RoundRobinConfig

    config: RoundRobinConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._round = 0
        self._index = 0
        self._checked: list[str] | None = None

    async def next(self, stage: Stage) -> Sequence[str]:
        """Raises `ScenarioError` if `order` names an agent that the schedule may not choose."""
        order: Sequence[str] = stage.agents
        # Read each time: a fork may give a running schedule other options.
        if self.config.order is not None:
            order = self.config.order
            if self._checked is not order:
                check_names("order", order, stage.agents, "no agent {name} acts by schedule")
                self._checked = self.config.order
        if self._index >= len(order):
            self._round, self._index = self._round + 1, 0
        if not order or self._round >= self.config.rounds:
            return ()
        self._index += 1
        return (order[self._index - 1],)


@frozen
class SimultaneousConfig:
    """The options of `simultaneous`: how many `rounds` there are. Raises `ValueError` for a mistake."""

    rounds: int = field(default=10, validator=positive)


class Simultaneous(Schedule):
    """All agents in each step, at the same time: nobody sees what the others do in it."""

    Config: ClassVar[type] = SimultaneousConfig

    config: SimultaneousConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._rounds = 0

    async def next(self, stage: Stage) -> Sequence[str]:
        if self._rounds >= self.config.rounds:
            return ()
        self._rounds += 1
        return stage.agents
