"""The engine `rules`: an agent without a model, which acts by a declared policy."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import Attribute, field, frozen

from pyscrai_core import Engine, Mistake, ScenarioError, Turn

from .language import applies, filled, is_chance, is_expression, is_text, value_of

#: What a policy may use.
NAMES = frozenset(
    {"state", "self", "groups", "events", "observed", "heard", "did", "step", "turn", "name", "others"}
)


@frozen
class Move:
    """One entry of a policy. Raises `ValueError` for a mistake.

    when
        an expression: the entry is for the turns in which it holds (None: for all)
    chance
        the probability with which it is taken then
    do
        the action to take (None: none)
    arguments
        the action's arguments: text is an expression, all else stands for itself
    say
        what to say; expressions stand in braces
    """

    when: str | None = field(default=None, validator=is_expression(NAMES))
    chance: float = field(default=1.0, validator=is_chance)
    do: str | None = None
    arguments: dict[str, Any] = field(factory=dict, validator=is_expression(NAMES))
    say: str = field(default="", validator=is_text(NAMES))

    def __attrs_post_init__(self) -> None:
        if self.arguments and self.do is None:
            raise ValueError("arguments: there is no action that takes them; name it with `do`")


@frozen
class RulesConfig:
    """The options of `rules`: the `policy`, of whose entries the first that applies is taken in a turn."""

    policy: list[Move] = field()

    @policy.validator
    def _check_policy(self, attribute: Attribute[Any], value: list[Move]) -> None:
        if not value:
            raise ValueError("policy: the list is empty; give at least one entry, such as {do: ACTION}")


class Rules(Engine):
    """Takes the first entry of the policy that applies; an action that is not open now is passed over."""

    Config: ClassVar[type] = RulesConfig
    config: RulesConfig

    async def run(self, turn: Turn) -> None:
        check_actions(turn, self.config)
        values, possible = known(turn), turn.actions
        for index, move in enumerate(self.config.policy):
            where = f"policy[{index}]"
            closed = move.do is not None and move.do not in possible
            if closed or not applies(move, values, turn.random, where):
                continue
            if move.say:
                turn.say(filled(move.say, values, f"{where}.say"))
            if move.do is not None:
                given = move.arguments.items()
                turn.emit(move.do, {key: value_of(part, values, f"{where}.{key}") for key, part in given})
            return


def known(turn: Turn) -> dict[str, Any]:
    """The values of the names that a policy may use, or how to get them."""
    name = turn.agent.name
    return {
        "state": turn.state,
        "self": turn.own,
        "groups": lambda: turn.groups,
        "events": lambda: turn.log,
        "observed": turn.observed,
        "heard": lambda: [event for event in turn.observed if event.source != name],
        "did": lambda: [e for e in turn.log if e.source == name and e.kind in turn.agent.actions],
        "step": turn.step,
        "turn": turn.number,
        "name": name,
        "others": turn.others,
    }


def check_actions(turn: Turn, config: RulesConfig) -> None:
    """Raise `ScenarioError`, with all mistakes at once, if the policy names actions that there are not."""
    where, there = f"agents.{turn.agent.name}", ", ".join(turn.agent.actions) or "none"
    unknown = [
        Mistake(where, f"policy[{index}].do", f"there is no action {move.do!r}; the agent's actions: {there}")
        for index, move in enumerate(config.policy)
        if move.do is not None and move.do not in turn.agent.actions
    ]
    if unknown:
        raise ScenarioError(unknown)
