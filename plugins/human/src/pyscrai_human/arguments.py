"""An action's arguments: how a person is told of them, and how they write them."""

from __future__ import annotations

import shlex
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

#: Types in words, and the keys of a schema that these words leave out.
KINDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
SILENT = ("type", "description", "title", "default")
BOUNDS = {"minimum": "from {}", "maximum": "up to {}", "maxLength": "of up to {} characters"}


class Unclear(Exception):
    """An answer cannot be understood; the message tells the person why, and what would be."""


def usage(name: str, schema: dict[str, Any]) -> str:
    """How an action is written: `/offer price=… [note=…]`."""
    required = schema.get("required", ())
    keys = (f"{key}=…" if key in required else f"[{key}=…]" for key in schema.get("properties", {}))
    return " ".join([f"/{name}", *keys])


def form(schema: dict[str, Any]) -> str:
    """What a value has to be, in words where a few suffice, else as its JSON Schema."""
    kind, rest = schema.get("type"), {key: part for key, part in schema.items() if key not in SILENT}
    if rest.keys() == {"enum"}:
        return "one of " + ", ".join(map(show, rest["enum"]))
    if isinstance(kind, str) and kind in KINDS and rest.keys() <= BOUNDS.keys():
        return " ".join([KINDS[kind], *(BOUNDS[key].format(rest[key]) for key in BOUNDS if key in rest)])
    return (
        show({key: part for key, part in schema.items() if key not in SILENT[1:]}) if schema else "anything"
    )


def show(value: Any) -> str:
    """Plain data as a reader likes it: text as it is, nothing as `none`, the rest as JSON."""
    if isinstance(value, str):
        return value
    return "none" if value is None else orjson.dumps(value).decode()


def arguments_in(given: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The arguments that a person wrote behind an action's name; they fit. Raises `Unclear`."""
    properties, required = schema.get("properties", {}), schema.get("required", ())
    if given.startswith("{"):
        arguments = _object(given)
    elif len(required) == 1 and given and given.partition("=")[0] not in properties:
        quoted = len(given) > 1 and given[0] == given[-1] and given[0] in "\"'"
        arguments = {required[0]: _value(given[1:-1] if quoted else given, required[0], schema)}
    else:
        arguments = {key: _value(text, key, schema) for key, text in _pairs(given).items()}
    try:
        orjson.dumps(arguments, option=orjson.OPT_STRICT_INTEGER)
    except TypeError:
        raise Unclear("a whole number is too large, it takes more than 53 bits") from None
    if error := best_match(Draft202012Validator(schema).iter_errors(arguments)):
        place = ".".join(map(str, error.absolute_path))
        raise Unclear(f"{place}: {error.message}" if place else error.message)
    return arguments


def _object(given: str) -> dict[str, Any]:
    try:
        return dict(orjson.loads(given))
    except orjson.JSONDecodeError as error:
        raise Unclear(f"that is not JSON ({error})") from None


def _pairs(given: str) -> dict[str, str]:
    """`key=value …`, with quotes as in a shell."""
    try:
        parts = shlex.split(given)
    except ValueError:
        raise Unclear('a quote has no end; text with blanks or apostrophes stands in "…"') from None
    pairs: dict[str, str] = {}
    for part in parts:
        key, equals, text = part.partition("=")
        if not equals:
            raise Unclear(f'{part!r} is not KEY=VALUE; text with blanks stands in quotes: KEY="two words"')
        if key in pairs:
            raise Unclear(f"{key!r} stands there twice")
        pairs[key] = text
    return pairs


def _value(text: str, key: str, schema: dict[str, Any]) -> Any:
    """`text` as the parameter takes it: as JSON has it if that fits, otherwise as it stands."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    # The part is looked at inside of the whole, where its references lead.
    parameter = Draft202012Validator(schema).evolve(schema=schema.get("properties", {}).get(key, {}))
    return text if not parameter.is_valid(value) and parameter.is_valid(text) else value
