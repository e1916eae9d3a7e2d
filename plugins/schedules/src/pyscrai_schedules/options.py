"""Checks of options that the schedules share."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from attrs import Attribute

from pyscrai_core import Mistake, ScenarioError


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
            close = difflib.get_close_matches(name, known, n=1)
            guess = f"did you mean {close[0]!r}? " if close else ""
            words = f"{what.format(name=repr(name))}; {guess}known: {', '.join(known) or 'none'}"
            mistakes.append(Mistake("schedule", f"schedule.{option}[{index}]", words))
    if mistakes:
        raise ScenarioError(mistakes)
