"""The schedules with rounds: `round-robin` and `simultaneous`."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import Attribute, field, frozen

from pyscrai_core import ScenarioNames, Schedule, Stage

from .checks import check_names, positive


@frozen
class RoundRobinConfig:
    """The options of `round-robin`. Raises `ValueError` for a mistake.

    rounds
        The number of rounds.
    order
        The agents of a round, in this order. An agent may be named several times; agents that are not named
        do not act. None: each scheduled agent once, in the scenario's order.
    """

    rounds: int = field(default=10, validator=positive)
    order: list[str] | None = field(default=None)

    @order.validator
    def _check_order(self, attribute: Attribute[Any], value: list[str] | None) -> None:
        if value == []:
            raise ValueError("order: the list is empty; name at least one agent, or remove `order`")


class RoundRobin(Schedule):
    """One agent per step. In a round, each agent acts once."""

    Config: ClassVar[type] = RoundRobinConfig

    config: RoundRobinConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._rounds = 0
        #: The options and the agents of this round.
        self._given: tuple[Any, Any] = (None, None)
        #: The agents that had their turn in this round, and those that did not.
        self._done: list[str] = []
        self._left: deque[str] = deque()

    @classmethod
    def check_names(cls, config: RoundRobinConfig, names: ScenarioNames) -> None:
        for index, name in enumerate(config.order or ()):
            names.name("agent", name, "order", index)

    @classmethod
    def most_steps(cls, config: RoundRobinConfig, agents: Sequence[str]) -> int:
        return config.rounds * len(agents if config.order is None else config.order)

    async def next(self, stage: Stage) -> Sequence[str]:
        """Raises `ScenarioError` if `order` names an agent that the schedule may not choose."""
        order: Sequence[str] = stage.agents if self.config.order is None else self.config.order
        config, agents = self._given
        if config is not self.config or agents is not stage.agents:  # at the start, and after a fork
            check_names("order", self.config.order or (), stage.agents, "no agent {name} acts by schedule")
            self._given, self._left = (self.config, stage.agents), deque(_without(order, self._done))
        if not self._left:
            self._rounds, self._done, self._left = self._rounds + 1, [], deque(order)
        if not order or self._rounds >= self.config.rounds:
            return ()
        self._done.append(self._left.popleft())
        return (self._done[-1],)


def _without(order: Sequence[str], done: Sequence[str]) -> list[str]:
    """`order` without the first occurrences of the names in `done`."""
    times = Counter(done)
    left = []
    for name in order:
        if times[name]:
            times[name] -= 1
        else:
            left.append(name)
    return left


@frozen
class SimultaneousConfig:
    """The option of `simultaneous`: the number of `rounds`. Raises `ValueError` for a mistake."""

    rounds: int = field(default=10, validator=positive)


class Simultaneous(Schedule):
    """All agents act in each step, at the same time. They do not see what the others do in it."""

    Config: ClassVar[type] = SimultaneousConfig

    config: SimultaneousConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._rounds = 0

    @classmethod
    def most_steps(cls, config: SimultaneousConfig, agents: Sequence[str]) -> int:
        return config.rounds

    async def next(self, stage: Stage) -> Sequence[str]:
        if self._rounds >= self.config.rounds:
            return ()
        self._rounds += 1
        return stage.agents
