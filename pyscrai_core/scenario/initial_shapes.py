"""The shapes of the states with which a scenario begins, before anything sets them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pyscrai_language.expressions import Expression
from pyscrai_language.misfit import Path
from pyscrai_language.schemas import LIKE
from pyscrai_language.shapes import UNSET, Shape, mapping, one_of, shape_of

from .model import Scenario
from .options import walk

#: A part of a path: plain text, or an expression in braces.
Piece = str | Expression
#: Up to how many texts that agents begin with under the same key are a choice, such as of roles.
MOST_TEXTS = 20


def initial_shapes(
    scenario: Scenario, initial: Mapping[str, Mapping[str, dict[str, Any]]], loose: bool
) -> dict[str, dict[str, Shape]]:
    """The shapes of `initial`, the states by part (`world`, `agents`, `groups`) and name.

    `loose`: the scenario has code of its own, which may set other keys.
    """
    # The members of a population share one shape, so that many are handled as one.
    made: dict[Any, Shape] = {}
    assigned = set(_assigned_paths(scenario))
    for part, states in initial.items():
        choices = _choices(scenario, part, states, {path for one, path in assigned if one == part})
        for state in states.values():
            if (outline := (part, _outline(state))) not in made:
                shapes = {key: shape_of(value) for key, value in state.items()}
                known = {key: _initial(value, (key,), choices) for key, value in state.items()}
                made[outline] = mapping(shapes).loosened() if loose else mapping(known)
    return {
        part: {name: made[part, _outline(state)] for name, state in states.items()}
        for part, states in initial.items()
    }


def split_path(pieces: Iterable[Piece]) -> list[list[Piece]]:
    """The pieces of a path, by key."""
    keys: list[list[Piece]] = [[]]
    for piece in pieces:
        if isinstance(piece, Expression):
            keys[-1].append(piece)
            continue
        first, *more = piece.split(".")
        keys[-1] += [first] if first else []
        keys += [[part] if part else [] for part in more]
    return keys


def _assigned_paths(scenario: Scenario) -> Iterator[tuple[str, Path]]:
    """The parts of the state and the paths in them that rules set, as far as these are written out."""
    for rule in scenario.rules:
        for one in rule.assignments:
            keys: Sequence[Any] = [key[0] if len(key) == 1 else None for key in split_path(one.path)]
            part = "world"
            if keys[0] == "self":
                part, keys = "agents", keys[1:]
            elif keys[0] in ("agents", "groups"):
                part, keys = str(keys[0]), keys[2:]
            if one.op == "set" and all(isinstance(key, str) for key in keys):
                yield part, tuple(keys)


def _choices(
    scenario: Scenario, part: str, states: Mapping[str, dict[str, Any]], assigned: Container[Path]
) -> dict[Path, frozenset[str]]:
    """The texts with which states begin, by path, where they are a choice.

    That is where agents begin with different ones, such as roles, and where rules set others, such as
    phases. Of what a population varies, other values might have been drawn.
    """
    found: dict[Path, set[str]] = {}
    drawn: set[Path] = set()
    for name, state in states.items():
        agent = scenario.agents.get(name) if part == "agents" else None
        variables = [*map(str, agent.variables.values())] if agent else []
        for path, text in walk(state):
            if isinstance(text, str):
                found.setdefault(path, set()).add(text)
                drawn |= {path} if any(one in text for one in variables) else set()
    return {
        path: frozenset(texts)
        for path, texts in found.items()
        if path not in drawn
        and len(texts) <= MOST_TEXTS
        and (path in assigned or (part == "agents" and len(texts) > 1))
    }


def _initial(value: Any, path: Path, choices: Mapping[Path, frozenset[str]]) -> Shape:
    """The shape of a value with which a state begins, before anything sets it."""
    if value is None:
        return UNSET
    if isinstance(value, Mapping) and value:
        return mapping({key: _initial(part, (*path, key), choices) for key, part in value.items()})
    if isinstance(value, str) and path in choices:
        return one_of(choices[path], loose=True, near=LIKE)
    return shape_of(value)


def _outline(value: Any) -> Any:
    """What the shape of a value depends on."""
    if isinstance(value, dict):
        return tuple((key, _outline(part)) for key, part in value.items())
    return ("list", *map(_outline, value)) if isinstance(value, list) else type(value)
