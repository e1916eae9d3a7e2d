"""The schedule `reactive`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from attrs import Attribute, field, frozen

from pyscrai_core import ScenarioNames, Schedule, Stage

from .checks import positive


@frozen
class ReactiveConfig:
    """The options of `reactive`. Raises `ValueError` for a mistake.

    opening
        The agents that act in the first step. None: all that act by schedule.
    max_steps
        The maximum number of steps.
    per_agent
        The maximum number of turns for each agent, including the opening. None: no limit.
    """

    opening: list[str] | None = field(default=None)
    max_steps: int = field(default=100, validator=positive)
    per_agent: int | None = field(default=None, validator=positive)

    @opening.validator
    def _check_opening(self, attribute: Attribute[Any], value: list[str] | None) -> None:
        twice = [name for name, count in Counter(value or ()).items() if count > 1]
        if twice:
            raise ValueError(f"opening: {twice[0]!r} is named twice; name each agent once")


class Reactive(Schedule):
    """The agents that have events to react to (`acts: {on: …}`) act together.

    The run ends when no agent has events to react to, or only agents that used all of their turns do.
    """

    Config: ClassVar[type] = ReactiveConfig
    schedules_reactions = True

    config: ReactiveConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._steps = 0
        self._turns: Counter[str] = Counter()

    @classmethod
    def check_names(cls, config: ReactiveConfig, names: ScenarioNames) -> None:
        for index, name in enumerate(config.opening or ()):
            names.name("agent", name, "opening", index)

    @classmethod
    def most_steps(cls, config: ReactiveConfig, agents: Sequence[str]) -> int:
        return config.max_steps

    async def next(self, stage: Stage) -> Sequence[str]:
        # Read in each step, because a fork may change the options.
        config = self.config
        if self._steps >= config.max_steps:
            return ()
        group: Sequence[str] = ()
        if not self._steps:
            group = stage.agents if config.opening is None else config.opening
        if not group:
            group = stage.pending
        if config.per_agent is not None:
            group = [name for name in group if self._turns[name] < config.per_agent]
        self._steps += 1
        self._turns.update(group)
        return group
