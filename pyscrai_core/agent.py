"""An agent as plugins see it: persona, actions, and the extensions that it uses. Plain data."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from attrs import Attribute, field, frozen

from pyscrai_records.base.frozen import Sealed, freeze, freeze_schema
from pyscrai_records.base.suggest import expected

#: What to do if it is unknown whether a tool acted that must not be called twice: call it again, tell the
#: agent that it failed, or stop the run and let you decide.
OnUncertain: TypeAlias = Literal["retry", "skip", "stop"]


def positive(instance: object, option: Attribute[Any], number: float | None) -> None:
    """A validator of attrs for a number above 0, or None."""
    if number is not None and number <= 0:
        raise ValueError(expected("more than 0", number))


@frozen
class Use(Sealed):
    """The name of an extension, and its options as the scenario gives them."""

    use: str
    options: dict[str, Any] = field(factory=dict, converter=freeze)


@frozen
class Action(Sealed):
    """An action of an agent. It is an event of the kind `name`, with the arguments as payload.

    `schema` is the JSON Schema of the arguments, `when` the guard (the text of an expression), and `audience`
    the names of the agents and groups that see the event. `place` is where the guard is in the scenario.
    """

    name: str
    description: str
    schema: dict[str, Any] = field(converter=freeze_schema)
    when: str | None
    audience: tuple[str, ...]
    place: str = field(default="", eq=False)


@frozen
class Acts(Sealed):
    """When an agent takes turns. `every` is a number of steps (0: never), `on` the kinds of events."""

    scheduled: bool = False
    start: bool = False
    end: bool = False
    after_group: bool = False
    every: int = 0
    on: frozenset[str] = frozenset()


@frozen
class ToolPolicy(Sealed):
    """How a tool may be called: the seconds for one external call, and the calls per minute (None: no limit).

    `on_uncertain` applies to a tool that must not be called twice, if the run ended during the call: call it
    again (`retry`), tell the agent that it failed (`skip`), or stop the run and let you decide (`stop`).
    """

    timeout: float = field(default=60, validator=positive)
    calls_per_minute: int | None = field(default=None, validator=positive)
    on_uncertain: OnUncertain = "stop"


@frozen
class ToolUse(Sealed):
    """An entry of `tools:`. `policy` has the options that the kernel applies, `options` those of the tool."""

    use: str
    policy: ToolPolicy
    options: dict[str, Any] = field(converter=freeze)


@frozen
class AgentLimits(Sealed):
    """The limits of one agent's calls: their number, tokens, US dollars, and seconds. None: no limit."""

    calls: int | None = field(default=None, validator=positive)
    tokens: int | None = field(default=None, validator=positive)
    money: float | None = field(default=None, validator=positive)
    seconds: float | None = field(default=None, validator=positive)


@frozen
class Agent(Sealed):
    """An agent. `variables` are the values that a population varies, `groups` the agent's groups."""

    name: str
    persona: str
    goals: tuple[str, ...]
    engine: Use
    provider: str
    reasoning: Use | None
    memory: Use | None
    tools: tuple[ToolUse, ...]
    actions: dict[str, Action] = field(converter=freeze)
    acts: Acts
    state: dict[str, Any] = field(converter=freeze)
    on_error: Literal["fail", "skip"]
    groups: tuple[str, ...]
    variables: dict[str, Any] = field(converter=freeze)
    limits: AgentLimits = AgentLimits()
