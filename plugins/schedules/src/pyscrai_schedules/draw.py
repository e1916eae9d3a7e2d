"""The schedule `random`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import field, frozen

from pyscrai_core import Schedule, Stage

from .options import mistake, positive


@frozen
class DrawConfig:
    """The options of `random`. Raises `ValueError` for a mistake.

    steps
        how many steps there are
    group
        how many agents act in a step, at the same time
    repeat
        whether an agent may act in two steps running
    """

    steps: int = field(default=10, validator=positive)
    group: int = field(default=1, validator=positive)
    repeat: bool = True


class Draw(Schedule):
    """Agents drawn by lot, each with the same chance; the same seed draws the same ones."""

    Config: ClassVar[type] = DrawConfig

    config: DrawConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._steps = 0
        self._last: Sequence[str] = ()

    async def next(self, stage: Stage) -> Sequence[str]:
        """Raises `ScenarioError` if there are too few agents for the options."""
        group, repeat = self.config.group, self.config.repeat
        count = len(stage.agents)
        if self._steps >= self.config.steps or not count:
            return ()
        if group > count:
            raise mistake("group", f"{group} agents are to act at a time, and only {count} act by schedule")
        if not repeat and 2 * group > count:
            what = f"without repeats, {group} at a time need {2 * group} agents that act by schedule"
            raise mistake("repeat", f"{what}; there are {count}: add agents, or leave `repeat` out")
        self._steps += 1
        pool = list(stage.agents) if repeat else [name for name in stage.agents if name not in self._last]
        # Random.random() is the one draw that Python promises to keep the same in every version.
        draw = stage.random.random
        self._last = [pool.pop(int(draw() * len(pool))) for _ in range(group)]
        return self._last
