"""Scenarios for tests of ways to reason, whose model is a rule (of the provider `scripted`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyscrai_core import RunResult


def scenarios(rule: str, private: str) -> Callable[..., dict[str, Any]]:
    """A function `make(reasoning, rule=rule, rounds=1, **ann)` that makes a scenario for the fixture `play`.

    Ann has the reasoning, and the further options `ann`; Ben has none. The text `private` belongs to Ann's
    thoughts: if Ben is shown it, he says "leak".
    """
    leak = f"'leak' if agent == 'Ben' and any({private!r} in m.text for m in messages)"

    def make(reasoning: Any, rule: str = rule, rounds: int = 1, **ann: Any) -> dict[str, Any]:
        return {
            "scenario": "test",
            "providers": {"default": {"use": "scripted", "rule": f"({leak} else {rule})"}},
            "agents": {"Ann": {"persona": "Ann.", "reasoning": reasoning, **ann}, "Ben": {"persona": "Ben."}},
            "schedule": {"use": "round-robin", "rounds": rounds},
        }

    return make


def texts(result: RunResult, kind: str, who: str = "Ann") -> list[Any]:
    """What somebody's events of a kind hold: the text, or without one the whole payload."""
    found = [event for event in result.events if event.kind == kind and event.source == who]
    return [event.payload.get("text", event.payload) for event in found]
