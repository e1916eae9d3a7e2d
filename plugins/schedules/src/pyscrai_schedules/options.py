"""Checks of options that the schedules share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import Attribute

from pyscrai_core import Mistake, ScenarioError
from pyscrai_core.suggest import closest


def positive(instance: Any, attribute: Attribute[Any], value: int | None) -> None:
    """An attrs validator: 1 or more, or no value at all."""
    if value is not None and value < 1:
        raise ValueError(f"{attribute.name}: expected 1 or more, got {value}")


def mistake(option: str, what: str) -> ScenarioError:
    """The error for an option that does not fit the scenario's agents."""
    return ScenarioError([Mistake("schedule", f"schedule.{option}", what)])


def check_names(option: str, names: Sequence[str], known: Sequence[str], what: str) -> None:
    """Raise `ScenarioError`, with all mistakes at once, if one of `names` is not among the `known`.

    `what` says of a name that it is not, such as `no agent {name} acts by schedule`.
    """
    mistakes = []
    for index, name in enumerate(names):
        if name not in known:
            match = closest(name, known)
            guess = f"did you mean {match!r}? " if match else ""
            words = f"{what.format(name=repr(name))}; {guess}known: {', '.join(known) or 'none'}"
            mistakes.append(Mistake("schedule", f"schedule.{option}[{index}]", words))
    if mistakes:
        raise ScenarioError(mistakes)
