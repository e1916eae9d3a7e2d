"""The schedule `random`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import field, frozen

from pyscrai_core import Schedule, Stage

from .checks import mistake, positive


@frozen
class RandomChoiceConfig:
    """The options of `random`. Raises `ValueError` for a mistake.

    steps
        The number of steps.
    group
        How many agents act in a step, at the same time.
    repeat
        Whether an agent may act in two consecutive steps.
    """

    steps: int = field(default=10, validator=positive)
    group: int = field(default=1, validator=positive)
    repeat: bool = True


class RandomChoice(Schedule):
    """Chooses agents at random, with equal probabilities. The same seed gives the same choice."""

    Config: ClassVar[type] = RandomChoiceConfig

    config: RandomChoiceConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._steps = 0
        self._last: Sequence[str] = ()

    @classmethod
    def most_steps(cls, config: RandomChoiceConfig, agents: Sequence[str]) -> int:
        return config.steps

    async def next(self, stage: Stage) -> Sequence[str]:
        """Raises `ScenarioError` if there are too few agents for the options."""
        group, repeat = self.config.group, self.config.repeat
        count = len(stage.agents)
        if self._steps >= self.config.steps or not count:
            return ()
        if group > count:
            raise mistake("group", f"{group} agents should act at a time, but only {count} act by schedule")
        if not repeat and 2 * group > count:
            what = f"without repeats, {group} at a time need {2 * group} agents that act by schedule"
            raise mistake("repeat", f"{what}; there are {count}: add agents, or remove `repeat`")
        self._steps += 1
        pool = list(stage.agents) if repeat else [name for name in stage.agents if name not in self._last]
        # Python only guarantees random() to give the same values in every version.
        self._last = [pool.pop(int(stage.random.random() * len(pool))) for _ in range(group)]
        return self._last
