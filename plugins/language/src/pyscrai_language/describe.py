"""JSON Schemas in words: the form of a value and what it means, for prompts and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from .schemas import map_schemas, schema_at

#: The keywords that say what a value means.
MEANING = ("title", "description")
#: The keywords that restrict no value.
_ANNOTATIONS = {*MEANING, "default", "examples", "deprecated", "$comment", "$defs", "definitions"}
_TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
}
_BOUNDS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "up to {}",
    "exclusiveMaximum": "below {}",
    "multipleOf": "in steps of {}",
    "minLength": "with at least {} characters",
    "maxLength": "with up to {} characters",
}


#: How many references are written out in one form.
MAX_REFERENCES = 1_000


def describe_schema(
    schema: Any, name: str = "", within: Mapping[str, Any] | None = None
) -> tuple[str, list[tuple[str, str]]]:
    """The form of the value `name`, and the meanings of the value and its parts, as their author wrote them.

    The form is such as `whole number from 1 up to 5`, `one of bus, tram` or `{"price": number}`, and the JSON
    Schema itself, without these meanings, where words would be too long. A meaning is a place and a text:
    `("q1", "I feel safe (1 disagree, 5 agree)")`, and `q1.of`, `q1[]` (each item) or `q1 = bus` for parts.
    References lead into the schema `within`, which is `schema` itself by default.
    """
    reader = _Reader(schema if within is None else within)
    try:
        return reader.form(schema, name, ()), list(dict.fromkeys(reader.meanings))
    except _TooLong:
        return _json(schema), []


def without_meanings(schema: Any) -> Any:
    """`schema` without titles and descriptions, for a prompt that has them in words."""
    if not isinstance(schema, dict):
        return schema
    rest = {key: part for key, part in schema.items() if key not in MEANING}
    return map_schemas(rest, lambda _, part: without_meanings(part))


class _TooLong(Exception):
    """A form in words would be too long, as references within references are written out."""


class _Reader:
    def __init__(self, root: Any) -> None:
        self.root = root
        self.followed = 0
        self.meanings: list[tuple[str, str]] = []

    def form(self, schema: Any, place: str, references: tuple[str, ...]) -> str:
        """The form of a value; what it and its parts mean is noted. `references` were followed already."""
        if not isinstance(schema, dict):
            return "nothing" if schema is False else "anything"
        self._note(schema, place, place)
        rest = {key: part for key, part in schema.items() if key not in _ANNOTATIONS}
        if (reference := rest.get("$ref")) is not None and len(rest) == 1:
            if reference in references:
                return "the same again"
            self.followed += 1
            if self.followed > MAX_REFERENCES:
                raise _TooLong
            return self.form(schema_at(self.root, reference), place, (*references, reference))
        noted = len(self.meanings)
        form = self._words(rest, place, references) if rest else "anything"
        if form is None:
            # In full, and then what its parts mean stands in it.
            del self.meanings[noted:]
            form = _json({key: part for key, part in schema.items() if key not in MEANING})
        return form

    def _words(self, rest: dict[str, Any], place: str, references: tuple[str, ...]) -> str | None:
        """The form in words; None: it is not that simple."""
        kind, keys = rest.get("type"), rest.keys() - {"type"}
        if keys in ({"enum"}, {"const"}):
            return _one_of(rest.get("enum", [rest.get("const")]))
        if keys == {"oneOf"} or keys == {"anyOf"}:
            return self._alternatives(next(rest[key] for key in keys), place, references)
        if kind == "array" and keys <= {"items", "minItems", "maxItems", "uniqueItems"}:
            return _list(rest, self.form(rest.get("items", True), f"{place}[]", references))
        if kind == "object" and keys <= {"properties", "required", "additionalProperties"}:
            if rest.get("additionalProperties") not in (None, False):
                return None
            before = f"{place}." if place else ""
            parts = rest.get("properties", {}).items()
            return _object({key: self.form(part, f"{before}{key}", references) for key, part in parts})
        kinds = [kind] if isinstance(kind, str) else kind or []
        if kinds and all(one in _TYPES for one in kinds) and keys <= _BOUNDS.keys():
            said = (key for key in _BOUNDS if key in rest and not (key == "minLength" and rest[key] < 2))
            bounds = [_BOUNDS[key].format(rest[key]) for key in said]
            return " ".join([" or ".join(_TYPES[one] for one in kinds), *bounds])
        return None

    def _alternatives(self, options: Sequence[Any], place: str, references: tuple[str, ...]) -> str:
        if all(isinstance(option, dict) and "const" in option for option in options):
            for option in options:
                self._note(option, f"{place} = {_show(option['const'])}", _show(option["const"]))
            return _one_of([option["const"] for option in options])
        return " or ".join(dict.fromkeys(self.form(option, place, references) for option in options))

    def _note(self, schema: Mapping[str, Any], place: str, name: str) -> None:
        """Note what a value means. A title that repeats its name or its description says no more."""
        title, description = (str(schema.get(key) or "").strip() for key in MEANING)
        if _bare(title) in (_bare(name), _bare(name.rpartition(".")[2])) or title in description:
            title = ""
        if text := ": ".join(filter(None, (title, description))):
            self.meanings.append((place, text.replace("\n", "\n  ")))


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _show(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _one_of(values: Sequence[Any]) -> str:
    return f"one of {', '.join(map(_show, values))}" if len(values) > 1 else ", ".join(map(_json, values))


def _object(parts: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'"{key}": {form}' for key, form in parts.items()) + "}"


def _list(schema: Mapping[str, Any], form: str) -> str:
    low, high = schema.get("minItems", 0), schema.get("maxItems")
    count = f"{low}" if low == high else f"{low} to {high}" if low and high is not None else ""
    count = count or (f"up to {high}" if high is not None else f"at least {low}" if low else "")
    words = " ".join(filter(None, (count, "different" if schema.get("uniqueItems") else "")))
    each = f", each {form}" if form != "anything" else ""
    return f"list of {words} values{each}" if words else f"list{each}"
