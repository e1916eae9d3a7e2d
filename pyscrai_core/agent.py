"""An agent as plugins see it: who it is, what it may do, and which extensions it uses. Plain data."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from attrs import field, frozen

#: What becomes of a tool that must not be called twice if nobody knows whether it acted: it is called again,
#: the agent is told that it failed, or the run stops for a person to decide.
OnUncertain: TypeAlias = Literal["retry", "skip", "stop"]


@frozen
class Use:
    """A choice of extension: its name and its options as the scenario gives them."""

    use: str
    options: dict[str, Any] = field(factory=dict)


@frozen
class Action:
    """Something that an agent may do: an event of this kind, whose payload is the arguments.

    `schema` is the JSON Schema of the arguments, `when` the guard (an expression, as written), `audience` the
    names of the agents and groups that see the event.
    """

    name: str
    description: str
    schema: dict[str, Any]
    when: str | None
    audience: tuple[str, ...]


@frozen
class Acts:
    """When an agent takes turns. `every` counts steps (0: never), `on` names kinds of events."""

    scheduled: bool = False
    start: bool = False
    end: bool = False
    after_group: bool = False
    every: int = 0
    on: frozenset[str] = frozenset()


@frozen
class ToolPolicy:
    """How a tool may be called: seconds for one call outside, and calls a minute (None: no bound).

    `on_uncertain` is what becomes of a tool that must not be called twice if the run ended while it was
    called: it is called again (`retry`), the agent is told that it failed (`skip`), or a person decides.
    """

    timeout: float = 60
    calls_per_minute: int | None = None
    on_uncertain: OnUncertain = "stop"


@frozen
class ToolUse:
    """An entry of `tools:`; `policy` is the kernel's part of its options."""

    use: str
    policy: ToolPolicy
    options: dict[str, Any]


@frozen
class AgentLimits:
    """What one agent's calls may come to: their number, tokens, US dollars, seconds. None: no bound."""

    calls: int | None = None
    tokens: int | None = None
    money: float | None = None
    seconds: float | None = None


@frozen
class Agent:
    """A participant. `variables` are what a population varies; `groups` those that it belongs to."""

    name: str
    persona: str
    goals: tuple[str, ...]
    engine: Use
    provider: str
    reasoning: Use | None
    memory: Use | None
    tools: tuple[ToolUse, ...]
    actions: dict[str, Action]
    acts: Acts
    state: dict[str, Any]
    on_error: Literal["fail", "skip"]
    groups: tuple[str, ...]
    variables: dict[str, Any]
    limits: AgentLimits = AgentLimits()
