"""Checks that need a whole scenario: keys of states, kinds of events, and what providers refuse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..language.misfit import Path
from ..suggest import did_you_mean, list_some
from .blueprints import Blueprint
from .document import Mistakes
from .model import COMMON_KINDS, Scenario
from .options import walk


def check_states(scenario: Scenario, mistakes: Mistakes) -> None:
    """Note the keys of states that cannot be reached by a path."""
    for key in scenario.state.keys() & {"agents", "groups", "self"}:
        mistakes.add(("world", "state", key), f"{key!r} is reserved; choose another name", on_key=True)
    parts: list[tuple[Path, Any]] = [(("world", "state"), scenario.state)]
    parts += [(("agents", name, "state"), agent.state) for name, agent in scenario.agents.items()]
    parts += [(("groups", name, "state"), group.state) for name, group in scenario.groups.items()]
    for path, state in parts:
        for key in state:
            if "." in key or not key:
                mistakes.add((*path, key), "a key of a state has no dots, which separate keys", on_key=True)


def check_kinds(scenario: Scenario, declared: Iterable[str], mistakes: Mistakes) -> None:
    """Note the kinds of events in rules and in `acts: {on: …}` that do not exist. Raises `ScenarioError`.

    `declared` are the kinds that the scenario's engines and other components declare.
    """
    actions = {action for agent in scenario.agents.values() for action in agent.actions}
    known = {*actions, *scenario.events, *declared, *COMMON_KINDS}
    there = f"known: {list_some(sorted(known))}"
    for index, rule in enumerate(scenario.rules):
        if rule.on not in known:
            what = f"no agent has an action {rule.on!r} and no such event is declared"
            mistakes.add(("rules", index, "on"), f"{what}{did_you_mean(rule.on, known)}; {there}")
    for name, agent in scenario.agents.items():
        for kind in sorted(agent.acts.on - known - {"change"}):
            acts = walk(scenario.document["agents"][name].get("acts"))
            path = next((path for path, value in acts if value == kind and "on" in path), ())
            what = f"there is no kind of events {kind!r}{did_you_mean(kind, known)}; {there}"
            mistakes.add(("agents", name, "acts", *path), what)
    mistakes.check()


def check_sampling(scenario: Scenario, providers: Mapping[str, Blueprint], mistakes: Mistakes) -> None:
    """Note the sampling options that a provider's model, or that of one of its fallbacks, would refuse.

    Raises `ScenarioError`.
    """
    for name in providers:
        use = scenario.providers[name]
        for asked in (name, *use.policy.fallback):
            if providers[asked].deferred:
                continue  # its code is not approved yet; the runtime asks it before each request
            for option, why in providers[asked].make().refuses(use.sampling).items():
                about = "" if asked == name else f"its fallback {asked!r} refuses it: "
                mistakes.add(("providers", name, option), f"{about}{why}")
    mistakes.check()
