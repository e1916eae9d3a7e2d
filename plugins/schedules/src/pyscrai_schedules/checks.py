"""Checks of options that several schedules use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import Attribute

from pyscrai_core import Mistake, ScenarioError
from pyscrai_records.base.suggest import closest


def positive(instance: Any, attribute: Attribute[Any], value: int | None) -> None:
    """An attrs validator: the value is None, or 1 or more."""
    if value is not None and value < 1:
        raise ValueError(f"{attribute.name}: expected 1 or more, got {value}")


def mistake(option: str, what: str) -> ScenarioError:
    """The error for an option that does not match the scenario's agents."""
    return ScenarioError([Mistake("schedule", f"schedule.{option}", what)])


def check_names(option: str, names: Sequence[str], known: Sequence[str], what: str) -> None:
    """Raise `ScenarioError` with all mistakes if some of `names` are not among the `known`.

    `what` is the message for such a name, for example `no agent {name} acts by schedule`.
    """
    mistakes = []
    for index, name in enumerate(names):
        if name not in known:
            match = closest(name, known)
            guess = f"did you mean {match!r}? " if match else ""
            text = f"{what.format(name=repr(name))}; {guess}known: {', '.join(known) or 'none'}"
            mistakes.append(Mistake("schedule", f"schedule.{option}[{index}]", text))
    if mistakes:
        raise ScenarioError(mistakes)
