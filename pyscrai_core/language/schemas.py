"""JSON Schema, compiled once: what actions, events and answers are checked with.

A schema may come from a stranger, so what could make a check last for ever is bounded: references are
counted while a value is checked, and regular expressions must not repeat what repeats.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from ..canonical import canonical
from ..suggest import format_json
from .explain import Explained, explain
from .misfit import Misfit, Path, dotted

#: Keywords that are not available, and what to write instead.
REFUSED = {
    "$dynamicRef": "use $ref",
    "$dynamicAnchor": "use $defs and $ref",
    "$anchor": "use $defs and $ref",
    "$id": "leave it out",
    "unevaluatedProperties": "use additionalProperties",
    "unevaluatedItems": "use items",
}
#: The keywords that hold a schema, and those that hold several, in a list or by name.
_WITH_A_SCHEMA = ("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then")
_WITH_SCHEMAS = (
    *("$defs", "definitions", "dependentSchemas", "patternProperties", "properties"),
    *("allOf", "anyOf", "oneOf", "prefixItems"),
)
#: How many references are followed while one value is checked.
MAX_REFERENCES = 10_000
#: The longest text that a pattern is searched in, by how often the pattern repeats without a bound.
MAX_TEXT = (1_000_000, 100_000, 5_000, 500, 150)
#: The longest text about a value that does not fit, in characters.
MAX_MESSAGE = 600

_compiled: dict[int, tuple[Any, Callable[[Any], str | None]]] = {}


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise `Misfit` if `schema` is not a JSON Schema (draft 2020-12) that can be checked with safely."""
    found = _mistake(canonical(schema))
    if found is not None:
        raise Misfit(*found)


@functools.lru_cache(maxsize=1024)
def _mistake(written: bytes) -> tuple[str, Path] | None:
    """What is wrong with a schema, and where. (A population repeats the same few.)"""
    from jsonschema import Draft202012Validator

    schema = orjson.loads(written)
    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    if errors := list(meta.iter_errors(schema)):
        path, what = explain(errors)
        return f"not a JSON Schema: {what}", path
    try:
        parts = list(_parts(schema, ()))
        places = {tuple(map(str, path)) for path, _ in parts}
        for path, part in parts:
            if isinstance(part, dict):
                _check_part(part, places, path)
        check = _compile(schema)
        samples: tuple[Any, ...] = (None, 0, "", [], {})
        for value in samples:
            check(value)
    except Misfit as refused:
        return str(refused), refused.below
    return None


def _parts(schema: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """The schema itself and all schemas in it, each with its place. What else stands in it is only data."""
    yield path, schema
    if not isinstance(schema, dict):
        return
    for key, part in schema.items():
        if key in _WITH_A_SCHEMA:
            yield from _parts(part, (*path, key))
        elif key in _WITH_SCHEMAS:
            for step, each in part.items() if isinstance(part, dict) else enumerate(part):
                yield from _parts(each, (*path, key, step))


def _check_part(part: dict[str, Any], places: Container[Path], path: Path) -> None:
    for key, remedy in REFUSED.items():
        if key in part:
            raise Misfit(f"{key!r} is not available; {remedy}", (*path, key))
    reference = part.get("$ref")
    # A reference to anything but a schema in this one would be fetched, or lead to what nobody has checked.
    if reference is not None and _place(reference) not in places:
        what = f"$ref {reference!r} names no schema in this one; expected one such as #/$defs/NAME"
        raise Misfit(what, (*path, "$ref"))
    if isinstance(pattern := part.get("pattern"), str):
        _check_pattern(pattern, len(MAX_TEXT) - 1, (*path, "pattern"))
    for pattern in part.get("patternProperties", ()):
        _check_pattern(pattern, 1, (*path, "patternProperties", pattern))


def _place(reference: str) -> tuple[str, ...] | None:
    """Where a JSON pointer in a reference leads to; None if it is no reference within the same schema."""
    pointer = unquote(reference)
    if not reference.startswith("#") or pointer[1:2] not in ("", "/"):
        return None
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def _check_pattern(pattern: str, most: int, path: Path) -> None:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise Misfit(f"{pattern!r} is not a regular expression: {error}", path) from None
    verbose = re.search(r"\(\?[a-z]*x", pattern)  # blanks and comments would hide what belongs together
    if verbose or _repetitions(pattern) > most:
        what = "it repeats what repeats or varies itself, or too often; a search could last for ever"
        raise Misfit(f"the pattern {pattern!r}: {what}; write a simpler one, or an enum", path)


#: What can stand in a regular expression, as far as repetitions are concerned.
_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?(?:[:=!>]|<[=!]|P<\w+>))?|\)|\{\d*,?\d*\}|[*+?|]|.", re.S
)


@functools.lru_cache(maxsize=1024)
def _repetitions(pattern: str) -> int:
    """How often a pattern repeats without a close bound; 100 if it repeats what repeats or varies itself."""
    count = 0
    varies = [False]  # for each group that is open: whether what is in it can match in several ways
    closed = False  # whether the last group that was closed can
    before = ""
    for token in _TOKEN.findall(pattern):
        if token.startswith("(") and token != "(?":
            varies.append(False)
        elif token == ")" and len(varies) > 1:
            closed = varies.pop()
            varies[-1] |= closed
        elif token in ("*", "+") or (token[0] == "{" and len(token) > 2 and before):
            low, _, high = token[1:-1].partition(",")
            fixed = token[0] == "{" and "," not in token
            most = int(high or 1_000) if "," in token else int(low or 1) if fixed else 1_000
            if before == ")" and closed and most > 1:
                return 100
            if not fixed:
                varies[-1] = True
            count += most > 30 and not fixed
        elif token == "|" or (token == "?" and before not in ("*", "+", "?") and before[:1] != "{"):
            varies[-1] = True
        before = token
    return count


def check_value(schema: dict[str, Any], value: Any) -> str | None:
    """What is wrong with `value` by a JSON Schema (draft 2020-12), in one line; None if it fits.

    The text is our own, and the same for every version of Python and of the libraries.
    """
    # Keyed by identity, with the schema kept alive. Equal schemas, which a population has, are compiled once.
    found = _compiled.get(id(schema))
    if found is None:
        if len(_compiled) > 100_000:
            _compiled.clear()
        found = _compiled[id(schema)] = (schema, _shared(canonical(schema)))
    return found[1](value)


@functools.lru_cache(maxsize=4096)
def _shared(written: bytes) -> Callable[[Any], str | None]:
    schema = orjson.loads(written)
    compiled = functools.cache(lambda: _compile(schema))

    def told(value: Any) -> str | None:
        if _surely_fits(schema, value):
            return None
        try:
            return compiled()(value)
        except Misfit as error:
            return str(error)

    return told


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def _surely_fits(schema: Any, value: Any) -> bool:
    """Whether a value fits a simple schema; False: jsonschema, which takes long to import, has to tell."""
    if type(schema) is not dict or schema.keys() - {"type", "properties", "required", "additionalProperties"}:
        return False
    if schema.get("type") != "object":
        return schema.keys() == {"type"} and type(value) in _TYPES.get(str(schema["type"]), ())
    named = schema.get("properties", {})
    return (
        type(value) is dict
        and value.keys() >= set(schema.get("required", ()))
        and (value.keys() <= named.keys() or schema.get("additionalProperties", True) is True)
        and all(_surely_fits(named[key], part) for key, part in value.items() if key in named)
    )


def _compile(schema: dict[str, Any]) -> Callable[[Any], str | None]:
    """The check itself, which raises `Misfit` where the schema asks for too much."""
    from jsonschema import Draft202012Validator, validators
    from jsonschema.exceptions import ValidationError

    extend: Any = validators.extend
    plain = Draft202012Validator.VALIDATORS
    followed = 0

    def reference(validator: Any, target: str, value: Any, within: Any) -> Any:
        nonlocal followed
        if not target.startswith("#"):  # jsonschema would fetch it; a tool's schema was not checked before
            raise Misfit(f"its $ref {format_json(target)} leads out of the schema, and is not followed")
        followed += 1
        if followed > MAX_REFERENCES:
            raise Misfit("its references lead to too much work, or never end; make them simpler")
        return plain["$ref"](validator, target, value, within)

    def pattern(validator: Any, expression: str, value: Any, within: Any) -> Any:
        if isinstance(value, str) and len(value) > MAX_TEXT[min(_repetitions(expression), len(MAX_TEXT) - 1)]:
            what = f"the text is too long to look for the pattern {format_json(expression)} in it"
            return [ValidationError(what, cause=Explained(what))]
        return plain["pattern"](validator, expression, value, within)

    def property_names(validator: Any, names: Any, value: Any, within: Any) -> Iterator[Any]:
        # The library's errors do not tell which key they are about.
        for name in sorted(value) if isinstance(value, dict) else ():
            if errors := list(validator.descend(name, names)):
                what = f"the key {format_json(name)}: {explain(errors)[1]}"
                yield ValidationError(what, cause=Explained(what))

    own = {"$ref": reference, "pattern": pattern, "propertyNames": property_names}
    validator = extend(Draft202012Validator, own)(_without_false(schema))

    def check(value: Any) -> str | None:
        nonlocal followed
        followed = 0
        try:
            if validator.is_valid(value):
                return None
            path, what = explain(validator.iter_errors(value))
        except RecursionError:
            raise Misfit("its references never end; make them simpler") from None
        what = f"{dotted(path)}: {what}" if path else what
        return what if len(what) <= MAX_MESSAGE else what[: MAX_MESSAGE - 1] + "…"

    return check


def _without_false(schema: Any) -> Any:
    """`schema` with `{"not": {}}` for `false`: the errors of the latter do not tell where they are."""
    if not isinstance(schema, dict):
        return {"not": {}} if schema is False else schema
    # Of these two, the library makes a single error for all the keys or items.
    single = ("additionalProperties", "items")
    return map_schemas(
        schema, lambda key, part: part if part is False and key in single else _without_false(part)
    )


def map_schemas(schema: Mapping[str, Any], change: Callable[[str, Any], Any]) -> dict[str, Any]:
    """`schema` with what `change` makes of each schema directly in it, given the keyword that holds it."""
    new = dict(schema)
    for key, part in schema.items():
        if key in _WITH_A_SCHEMA:
            new[key] = change(key, part)
        elif key in _WITH_SCHEMAS and isinstance(part, dict):
            new[key] = {name: change(key, each) for name, each in part.items()}
        elif key in _WITH_SCHEMAS and isinstance(part, list):
            new[key] = [change(key, each) for each in part]
    return new


def schema_at(schema: Any, reference: str) -> Any:
    """The schema in `schema` to which a reference leads; True, which anything fits, if there is none."""
    for step in _place(reference) or ():
        schema = schema[int(step)] if isinstance(schema, list) else schema.get(step, True)
    return schema


def relocate_refs(schema: Any, place: str) -> Any:
    """`schema` as it reads when it stands at `place` (`#/…`) in another one: its references lead there."""
    if isinstance(schema, list):
        return [relocate_refs(part, place) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: place + part[1:] if key == "$ref" and isinstance(part, str) else relocate_refs(part, place)
        for key, part in schema.items()
    }
