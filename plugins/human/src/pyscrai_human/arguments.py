"""Describes an action's arguments to a person, and parses what the person enters."""

from __future__ import annotations

import shlex
from typing import Any

import orjson

from pyscrai_core import check_value


class InvalidAnswer(Exception):
    """An answer is invalid. The message tells the person why, and what is valid."""


def usage(name: str, schema: dict[str, Any]) -> str:
    """How to enter an action: `/offer price=… [note=…]`."""
    required = schema.get("required", ())
    keys = (f"{key}=…" if key in required else f"[{key}=…]" for key in schema.get("properties", {}))
    return " ".join([f"/{name}", *keys])


def show(value: Any) -> str:
    """Plain data for the question: text unchanged, None as `none`, everything else as JSON."""
    if isinstance(value, str):
        return value
    return "none" if value is None else orjson.dumps(value).decode()


def parse_arguments(given: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The valid arguments in the text after an action's name. Raises `InvalidAnswer`."""
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
        raise InvalidAnswer("an integer is too large: it needs more than 53 bits") from None
    if wrong := check_value(schema, arguments):
        raise InvalidAnswer(wrong)
    return arguments


def _object(given: str) -> dict[str, Any]:
    try:
        return dict(orjson.loads(given))
    except orjson.JSONDecodeError as error:
        raise InvalidAnswer(f"that is not JSON ({error})") from None


def _pairs(given: str) -> dict[str, str]:
    """Parse `key=value …` with quotes as in a shell."""
    try:
        parts = shlex.split(given)
    except ValueError:
        raise InvalidAnswer('a quote is not closed; put text with spaces or apostrophes in "…"') from None
    pairs: dict[str, str] = {}
    for part in parts:
        key, equals, text = part.partition("=")
        if not equals:
            raise InvalidAnswer(f'{part!r} is not KEY=VALUE; put text with spaces in quotes: KEY="two words"')
        if key in pairs:
            raise InvalidAnswer(f"{key!r} is given twice")
        pairs[key] = text
    return pairs


def _value(text: str, key: str, schema: dict[str, Any]) -> Any:
    """The value of `text` for a parameter: parsed as JSON if that is valid, otherwise the text itself."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    # Within the whole schema, so that references can be resolved, and without the other parameters.
    alone = {name: part for name, part in schema.items() if name != "required"}
    return text if check_value(alone, {key: value}) and not check_value(alone, {key: text}) else value
