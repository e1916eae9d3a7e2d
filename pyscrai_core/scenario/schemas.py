"""JSON Schema, compiled once: what actions, events and answers are checked with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..records import canonical, digest

_compiled: dict[int, tuple[Any, Callable[[Any], str | None]]] = {}


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise `ValueError` if `schema` is not a JSON Schema (draft 2020-12), or refers outside itself."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path))
        raise ValueError(f"not a JSON Schema: {place + ': ' if place else ''}{error.message}") from None
    _refuse_references(schema)


def _refuse_references(schema: Any) -> None:
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            raise ValueError(f"$ref {reference!r} points outside the schema; expected one that begins with #")
        for part in schema.values():
            _refuse_references(part)
    elif isinstance(schema, list):
        for part in schema:
            _refuse_references(part)


def checker(schema: dict[str, Any]) -> Callable[[Any], str | None]:
    """A function that tells what is wrong with a value, in one line, or None if nothing is."""
    # Keyed by identity, with the schema kept alive: a scenario's schemas are few and live as long as it.
    found = _compiled.get(id(schema))
    if found is None:
        if len(_compiled) > 4096:
            _compiled.clear()
        found = _compiled[id(schema)] = (schema, _compile(schema))
    return found[1]


def _compile(schema: dict[str, Any]) -> Callable[[Any], str | None]:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    validator = Draft202012Validator(schema)

    def check(value: Any) -> str | None:
        if validator.is_valid(value):
            return None
        error = best_match(validator.iter_errors(value))
        place = ".".join(map(str, error.absolute_path))
        message = error.message if len(error.message) < 300 else error.message[:300] + " …"
        return f"{place}: {message}" if place else message

    return check


def schema_digest(schema: dict[str, Any]) -> str:
    return digest(canonical(schema))
