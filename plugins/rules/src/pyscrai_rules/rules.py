"""The engine `rules`: an agent without a model that follows a declared policy."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import Attribute, field, frozen

from pyscrai_core import Engine, Mistake, ScenarioError, Turn

from .expressions import applies, evaluate, fill_in, is_chance, is_expression, is_text

#: The variables that a policy can use.
NAMES = frozenset(
    {"state", "self", "groups", "events", "observed", "heard", "did", "step", "turn", "name", "others"}
)


@frozen
class Move:
    """One entry of a policy. Raises `ValueError` for a mistake.

    when
        An expression. The entry only applies if it is true. None: it always applies.
    chance
        The probability that the entry then applies.
    do
        The action to take. None: no action.
    arguments
        The action's arguments. Texts are expressions, other values are used unchanged.
    say
        What to say. Expressions in braces are replaced.
    """

    when: str | None = field(default=None, validator=is_expression(NAMES))
    chance: float = field(default=1.0, validator=is_chance)
    do: str | None = None
    arguments: dict[str, Any] = field(factory=dict, validator=is_expression(NAMES))
    say: str = field(default="", validator=is_text(NAMES))

    def __attrs_post_init__(self) -> None:
        if self.arguments and self.do is None:
            raise ValueError("arguments: they need an action; name it with `do`")


@frozen
class RulesConfig:
    """The option of `rules`: the `policy`. In each turn, its first entry that applies is used."""

    policy: list[Move] = field()

    @policy.validator
    def _check_policy(self, attribute: Attribute[Any], value: list[Move]) -> None:
        if not value:
            raise ValueError("policy: the list is empty; add at least one entry, such as {do: ACTION}")


class Rules(Engine):
    """Uses the first entry of the policy that applies. Entries whose action is not open are skipped."""

    Config: ClassVar[type] = RulesConfig
    config: RulesConfig

    async def run(self, turn: Turn) -> None:
        check_actions(turn, self.config)
        values, possible = variables(turn), turn.actions
        for index, move in enumerate(self.config.policy):
            where = f"policy[{index}]"
            closed = move.do is not None and move.do not in possible
            if closed or not applies(move, values, turn.random, where):
                continue
            if move.say:
                turn.say(fill_in(move.say, values, f"{where}.say"))
            if move.do is not None:
                given = move.arguments.items()
                turn.emit(move.do, {key: evaluate(part, values, f"{where}.{key}") for key, part in given})
            return


def variables(turn: Turn) -> dict[str, Any]:
    """The values of `NAMES`, or functions that return them."""
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
    """Raise `ScenarioError` with all mistakes if the policy names unknown actions."""
    where, known = f"agents.{turn.agent.name}", ", ".join(turn.agent.actions) or "none"
    unknown = [
        Mistake(where, f"policy[{index}].do", f"there is no action {move.do!r}; the agent's actions: {known}")
        for index, move in enumerate(config.policy)
        if move.do is not None and move.do not in turn.agent.actions
    ]
    if unknown:
        raise ScenarioError(unknown)
