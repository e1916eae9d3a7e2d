"""The engine `rules`: an agent without a model that follows a declared policy."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import Attribute, field, frozen

from pyscrai_core import Engine, ScenarioNames, Turn
from pyscrai_records.base.suggest import did_you_mean, unknown_key

from .expressions import applies, author_mistakes, evaluate, fill_in, is_chance, is_expression, is_text

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

    @classmethod
    def check_names(cls, config: RulesConfig, names: ScenarioNames) -> None:
        agent = names.agent
        if agent is None:
            return
        events, others = [names.event()], [name for name in names.agents if name != agent.name]
        given: dict[str, Any] = {
            "events": events,
            "observed": events,
            "heard": [names.event(heard=True)],
            "turn": 0,
            "did": [names.event(*agent.actions)],
            "name": names.one_of(agent.name),
            "others": [names.one_of(*others)],
        }
        for index, move in enumerate(config.policy):
            where = ("policy", index)
            if move.when is not None:
                names.expression(move.when, *where, "when", **given)
            names.text(move.say, *where, "say", **given)
            if move.do is None:
                continue
            if move.do not in agent.actions:
                known = ", ".join(agent.actions) or "none"
                what = f"there is no action {move.do!r}{did_you_mean(move.do, agent.actions)}"
                names.mistake(f"{what}; the agent's actions: {known}", *where, "do")
                continue
            schema = agent.actions[move.do].schema
            for key, value in move.arguments.items():
                if key in schema["properties"]:
                    names.value(schema["properties"][key], value, *where, "arguments", key, **given)
                else:
                    names.mistake(unknown_key(key, schema["properties"]), *where, "arguments", key)
            for key in schema["required"]:
                if key not in move.arguments:
                    names.mistake(f"the argument {key!r} of {move.do!r} is missing; add it", *where)

    async def run(self, turn: Turn) -> None:
        with author_mistakes(self, turn):
            self._follow(turn)

    def _follow(self, turn: Turn) -> None:
        """Use the first entry that applies. Raises `Failed`."""
        values, possible = variables(turn), turn.actions
        for index, move in enumerate(self.config.policy):
            where = ("policy", index)
            closed = move.do is not None and move.do not in possible
            if closed or not applies(move, values, turn.random, *where):
                continue
            if move.say:
                turn.say(fill_in(move.say, values, *where, "say"))
            if move.do is not None:
                given = move.arguments.items()
                found = {key: evaluate(part, values, *where, "arguments", key) for key, part in given}
                turn.emit(move.do, found)
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
