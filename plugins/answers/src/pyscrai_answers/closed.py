"""The closed choices of a structured answer: what of its schema has few possible values, and which.

An answer is written from left to right. `part_of` tells what stands at a place: one of several options, an
object whose parts are looked at in turn, or anything else, which is the provider's to write.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import orjson
from attrs import frozen

from pyscrai_language.schemas import schema_at
from pyscrai_records.canonical import canonical

from .options import Option

#: The most options that a choice can have; with more, the provider draws.
MOST_OPTIONS = 100
#: The deepest nesting of choices that is looked at.
MOST_LEVELS = 20
#: Keywords that say nothing about the value.
_REMARKS = {"title", "description", "default", "examples", "$comment", "$defs", "definitions", "deprecated"}
_OBJECT = {"type", "properties", "required", "additionalProperties"}


@frozen
class Alternative:
    """One option of a choice, and the schema that remains when it is chosen."""

    option: Option
    label: str
    schema: dict[str, Any]


@frozen
class Choice:
    """A place with several options."""

    alternatives: tuple[Alternative, ...]


@frozen
class Members:
    """An object; its parts follow each other in this order."""

    schemas: dict[str, Any]


@frozen
class TooMany:
    """A choice with more options than are scored."""

    count: int


#: What stands at a place; None: anything else.
Part: TypeAlias = Choice | Members | TooMany | None


def write(value: Any) -> str:
    """A JSON value as most models write one: in one line, with a blank behind commas and colons."""
    return json.dumps(value, ensure_ascii=False)


def part_of(schema: Any, root: Mapping[str, Any]) -> Part:
    """What stands where `schema`, a part of the schema `root`, applies."""
    schema = resolved(schema, root)
    if schema is None:
        return None
    values = _values(schema)
    if isinstance(values, int):
        return TooMany(values)
    if values:
        return Choice(tuple(map(_scalar, values)))
    return _members(schema) or _alternatives(schema, root)


def resolved(schema: Any, root: Mapping[str, Any]) -> dict[str, Any] | None:
    """`schema` without a reference and remarks; None if it is none that is understood here."""
    for _ in range(MOST_LEVELS):
        if not isinstance(schema, dict):
            return None
        known = {key: part for key, part in schema.items() if key not in _REMARKS}
        if known.keys() != {"$ref"}:
            return known
        schema = schema_at(root, known["$ref"])
    return None


def _values(schema: dict[str, Any]) -> list[Any] | int | None:
    """The values of a scalar that a schema admits; their number if there are too many, None if it is open."""
    rest = {key: part for key, part in schema.items() if key != "type"}
    kind = schema.get("type")
    values: list[Any] | None = None
    if rest.keys() == {"const"}:
        values = [rest["const"]]
    elif rest.keys() == {"enum"}:
        values = list(rest["enum"])
    elif not rest and kind == "boolean":
        return [True, False]
    elif not rest and kind == "null":
        return [None]
    elif kind == "integer" and rest.keys() == {"minimum", "maximum"}:
        low, high = rest["minimum"], rest["maximum"]
        if low != int(low) or high != int(high):
            return None
        count = int(high) - int(low) + 1
        return count if count > MOST_OPTIONS else list(range(int(low), int(high) + 1))
    if values is None or any(isinstance(one, dict | list) for one in values):
        return None
    kinds = [kind] if isinstance(kind, str) else kind
    if kinds is not None:
        values = [one for one in values if any(_is(one, name) for name in kinds)]
    return len(values) if len(values) > MOST_OPTIONS else values


def _is(value: Any, kind: Any) -> bool:
    if kind == "null":
        return value is None
    if kind == "boolean":
        return type(value) is bool
    if kind == "integer":
        return type(value) is int
    if kind == "number":
        return type(value) in (int, float)
    return kind == "string" and type(value) is str


def _scalar(value: Any) -> Alternative:
    text = write(value)
    return Alternative(Option(text), value if isinstance(value, str) else text, {"const": value})


def _members(schema: dict[str, Any]) -> Members | None:
    """The parts of an object that has exactly these."""
    properties = schema.get("properties")
    if not properties or schema.get("type") != "object" or schema.keys() - _OBJECT:
        return None
    if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(properties):
        return None
    return Members(dict(properties))


def _alternatives(schema: dict[str, Any], root: Mapping[str, Any]) -> Choice | TooMany | None:
    """The options of an `anyOf`, or a `oneOf`: values, and objects by what tells them from the others."""
    for keyword in ("anyOf", "oneOf"):
        if schema.keys() == {keyword}:
            found: list[Alternative] = []
            for one in schema[keyword]:
                part = part_of(one, root)
                if isinstance(part, TooMany):
                    return part
                if isinstance(part, Choice):
                    found += part.alternatives
                elif isinstance(part, Members):
                    inner = resolved(one, root)
                    assert inner is not None
                    found.append(Alternative(*_opening(part, root), inner))
                else:
                    return None
            keys = [one.option.key for one in found if one.option.opening]
            if any(one != other and one.startswith(other) for one in keys for other in keys) or len(
                set(keys)
            ) < len(keys):
                return None
            return TooMany(len(found)) if len(found) > MOST_OPTIONS else Choice(tuple(found))
    return None


def _opening(members: Members, root: Mapping[str, Any]) -> tuple[Option, str]:
    """How an object begins up to its first choice, and what to call that."""
    text, label = "{", ""
    for name, schema in members.schemas.items():
        text += ("" if text == "{" else ", ") + write(name)
        label = label or name
        part = part_of(schema, root)
        if not isinstance(part, Choice) or len(part.alternatives) > 1:
            return Option(text, opening=True), label
        (only,) = part.alternatives
        if only.option.opening:
            return Option(text, opening=True), label
        text, label = f"{text}: {only.option.text}", only.label
    return Option(text + "}", opening=True), label


def indistinct(options: Sequence[Option]) -> str:
    """What is wrong with options that are the same after normalisation, or empty; "" if nothing is."""
    seen: dict[str, Option] = {}
    for option in options:
        other = seen.setdefault(option.key, option)
        if other is not option:
            return (
                f"the options {other.text} and {option.text} are the same apart from case, blanks and "
                "quotes, expected different ones; rename one, or set `draw: provider` for the provider"
            )
        if not option.key:
            return (
                f"the option {option.text} is empty, expected a text; name it, or set `draw: provider` for "
                "the provider"
            )
    return ""


def places_of(schema: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Part]]:
    """What stands in a schema's answers: the path of each part in the schema, and the part."""
    yield from _places(schema, schema, (), MOST_LEVELS)


def _places(
    schema: Any, root: Mapping[str, Any], path: tuple[str, ...], levels: int
) -> Iterator[tuple[tuple[str, ...], Part]]:
    part = part_of(schema, root) if levels else None
    yield path, part
    if isinstance(part, Choice):
        for one in part.alternatives:
            if one.option.opening:
                yield from _places(one.schema, root, path, levels - 1)
    elif isinstance(part, Members):
        for name, each in part.schemas.items():
            yield from _places(each, root, (*path, name), levels - 1)


def too_many(schema: Mapping[str, Any]) -> int:
    """How many options the first choice has that has too many; 0: there is none."""
    return _too_many(canonical(schema))


@lru_cache(maxsize=1024)
def _too_many(written: bytes) -> int:
    parts = places_of(orjson.loads(written))
    return next((part.count for _, part in parts if isinstance(part, TooMany)), 0)


def has_choices(schema: Mapping[str, Any]) -> bool:
    """Whether an answer of this form has a choice that can be drawn."""
    return _has_choices(canonical(schema))


@lru_cache(maxsize=1024)
def _has_choices(written: bytes) -> bool:
    parts = places_of(orjson.loads(written))
    return any(isinstance(part, Choice) and len(part.alternatives) > 1 for _, part in parts)


def plain_copy(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a schema whose parts can be replaced."""
    return copy.deepcopy(dict(schema))
