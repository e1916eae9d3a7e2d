"""The keys of a scenario, as attrs classes: what is written, before names are resolved."""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs import field, frozen

from pyscrai_language.misfit import Misfit, Path
from pyscrai_records.base.suggest import did_you_mean, expected

from ..agent import Acts, AgentLimits, Use
from .model import DEFAULT_USES

#: What an agent or a scenario has if it does not say.
DEFAULT_ENGINE, DEFAULT_MEMORY, DEFAULT_SCHEDULE = (
    Use(DEFAULT_USES[kind]) for kind in ("engine", "memory", "schedule")
)
DEFAULT_ACTS = Acts(scheduled=True)
_TIMES = ("scheduled", "start", "end", "after-group")


@frozen
class WorldSpec:
    premise: str = ""
    state: dict[str, Any] = field(factory=dict)


@frozen
class AgentSpec:
    """An agent as written, with fields of `Agent`. Other keys are options of its engine."""

    persona: str = ""
    goals: tuple[str, ...] = ()
    engine: Use = DEFAULT_ENGINE
    provider: str = "default"
    reasoning: Use | None = None
    memory: Use | None = DEFAULT_MEMORY
    tools: tuple[Use, ...] = ()
    actions: dict[str, Any] = field(factory=dict)
    acts: Acts = DEFAULT_ACTS
    state: dict[str, Any] = field(factory=dict)
    on_error: Literal["fail", "skip"] = "fail"
    variables: dict[str, Any] = field(factory=dict)
    limits: AgentLimits = field(factory=AgentLimits)


@frozen
class GroupSpec:
    members: tuple[str, ...]
    state: dict[str, Any] = field(factory=dict)


@frozen
class RuleSpec:
    on: str
    when: str | None = None
    set: dict[str, Any] = field(factory=dict)
    add: dict[str, Any] = field(factory=dict)
    on_error: Literal["fail", "reject"] = "fail"


@frozen
class ScenarioSpec:
    """The top level. What consists of parts is structured part by part, so that one does not hide another."""

    scenario: str
    agents: dict[str, Any]
    description: str = ""
    seed: int = 0
    plugins: tuple[str, ...] | None = None
    world: dict[str, Any] = field(factory=dict)
    providers: dict[str, Any] = field(factory=dict)
    groups: dict[str, Any] = field(factory=dict)
    events: dict[str, Any] = field(factory=dict)
    rules: tuple[Any, ...] = ()
    schedule: Use = DEFAULT_SCHEDULE
    stop_when: str | None = None
    limits: dict[str, Any] = field(factory=dict)
    outcomes: dict[str, Any] = field(factory=dict)
    measures: dict[str, Any] = field(factory=dict)
    tables: dict[str, Any] = field(factory=dict)


AGENT_KEYS = frozenset(option.name for option in attrs.fields(AgentSpec))


def _use(value: Any, _: Any) -> Use:
    if isinstance(value, str) and value:
        return Use(value)
    if not isinstance(value, dict):
        raise Misfit(expected("the name of an extension, or {use: NAME, …}", value))
    if "use" not in value:
        raise Misfit("the key 'use' is missing; expected {use: NAME, …}")
    if not isinstance(value["use"], str) or not value["use"]:
        raise Misfit(expected("the name of an extension", value["use"]), ("use",))
    return Use(value["use"], {key: part for key, part in value.items() if key != "use"})


def _acts(value: Any, _: Any) -> Acts:
    chosen: dict[str, Any] = {}
    for index, one in enumerate(value if isinstance(value, list) else [value]):
        below: Path = (index,) if isinstance(value, list) else ()
        if one in _TIMES:
            chosen[str(one).replace("-", "_")] = True
        elif isinstance(one, dict) and one and one.keys() <= {"every", "on"}:
            if "every" in one:
                if type(one["every"]) is not int or one["every"] < 1:
                    raise Misfit(expected("a number of steps", one["every"]), (*below, "every"))
                chosen["every"] = one["every"]
            if "on" in one:
                kinds = [one["on"]] if isinstance(one["on"], str) else one["on"]
                if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
                    raise Misfit(expected("kinds of events", one["on"]), (*below, "on"))
                chosen["on"] = frozenset(kinds)
        else:
            near = did_you_mean(one, _TIMES) if isinstance(one, str) else ""
            forms = f"{', '.join(_TIMES)}, {{every: N}}, {{on: KIND}}, or a list of these"
            raise Misfit(expected(forms, one) + near, below)
    return Acts(**chosen)


#: The functions that structure the short ways of writing a choice of extension, and when an agent acts.
SPEC_HOOKS = {Use: _use, Acts: _acts}
