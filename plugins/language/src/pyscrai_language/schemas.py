"""JSON Schema, compiled once: what actions, events and answers are checked with.

A schema may come from a stranger, so what could make a check last for ever is bounded: see `keywords` for the
work and `patterns` for regular expressions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from pyscrai_records.base.log import logger
from pyscrai_records.base.suggest import TYPO, closest
from pyscrai_records.canonical import canonical

from .explain import explain
from .metaschema import keywords, metaschema
from .misfit import Misfit, Path, dotted
from .patterns import compile_pattern

#: Keywords that are not available, and what to write instead.
REFUSED = {
    "$dynamicRef": "use $ref",
    "$dynamicAnchor": "use $defs and $ref",
    "$anchor": "use $defs and $ref",
    "$id": "leave it out",
    "unevaluatedProperties": "use additionalProperties",
    "unevaluatedItems": "use items",
}
#: Keywords of other dialects that are written like one of JSON Schema.
_OF_OTHERS = ("example", "id", "note", "notes")
#: What is often written for a keyword.
_MEANT = {
    "min": "minimum",
    "max": "maximum",
    "regex": "pattern",
    "optional": "default",
    **dict.fromkeys(("choices", "options", "values", "one_of"), "enum"),
}
#: How like a property a required name must be to be taken for a mistyped one.
LIKE = 0.65
#: The keywords that hold a schema, and those that hold several, in a list or by name.
_WITH_A_SCHEMA = ("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then")
_WITH_SCHEMAS = (
    *("$defs", "definitions", "dependentSchemas", "patternProperties", "properties"),
    *("allOf", "anyOf", "oneOf", "prefixItems"),
)
#: The largest schema, in bytes of JSON.
MAX_SCHEMA = 1_000_000
#: The work that may be done to check a schema itself, and how large its compiled patterns may be together.
MAX_META_WORK = 8_000_000
MAX_PATTERNS = 200_000
#: The longest text about a value that does not fit, in characters.
MAX_MESSAGE = 600

_compiled: dict[int, tuple[Any, Callable[[Any], str | None]]] = {}


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise `Misfit` if `schema` is not a JSON Schema (draft 2020-12) that can be checked with safely."""
    found = _mistake(canonical(schema))
    if found is not None:
        raise Misfit(*found)


def check_tool_schema(schema: Mapping[str, Any]) -> None:
    """Raise `Misfit` if `schema` is not a JSON Schema.

    What a scenario may not write, a tool may, which checks its arguments itself: see `_prepared`.
    """
    if not _is_simple(schema) and (found := _tool_mistake(canonical(schema))) is not None:
        raise Misfit(*found)


@functools.lru_cache(maxsize=1024)
def _tool_mistake(written: bytes) -> tuple[str, Path] | None:
    found = _meta_mistake(orjson.loads(written))
    return found and (f"{dotted(found[1])}: {found[0]}" if found[1] else found[0], found[1])


def _is_simple(schema: Any) -> bool:
    """Whether it is surely a schema; False: jsonschema, which takes long to import, has to tell."""
    return (
        isinstance(schema, dict)
        and schema.keys() <= {"type", "properties", "required", "additionalProperties", "description"}
        and schema.get("type") in (*_TYPES, "object")
        and isinstance(schema.get("additionalProperties", True), bool)
        and isinstance(schema.get("description", ""), str)
        and isinstance(named := schema.get("properties", {}), dict)
        and isinstance(required := schema.get("required", []), list)
        and all(isinstance(name, str) for name in required)
        and len(required) == len(set(required))
        and all(map(_is_simple, named.values()))
    )


@functools.lru_cache(maxsize=1024)
def _mistake(written: bytes) -> tuple[str, Path] | None:
    """What is wrong with a schema, and where. (A population repeats the same few.)"""
    if len(written) > MAX_SCHEMA:
        return f"the schema has {len(written):,} bytes, and {MAX_SCHEMA:,} are the most; make it smaller", ()
    schema = orjson.loads(written)
    if mistake := _meta_mistake(schema):
        return mistake
    try:
        parts = list(_parts(schema, ()))
        places = {tuple(map(str, path)) for path, _ in parts}
        size = 0
        for path, part in parts:
            if isinstance(part, dict):
                size += _check_part(part, places, path)
            if size > MAX_PATTERNS:
                raise Misfit("its patterns are too large together; write simpler ones, or an enum", path)
        check = _compile(schema)
        samples: tuple[Any, ...] = (None, 0, "", [], {})  # some references never end, whatever the value
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


def _check_part(part: dict[str, Any], places: Container[Path], path: Path) -> int:
    """Check a schema alone, without those in it. Returns the size of its patterns. Raises `Misfit`."""
    for key, remedy in REFUSED.items():
        if key in part:
            raise Misfit(f"{key!r} is not available; {remedy}", (*path, key))
    known = keywords()
    for key in part:
        # Other keywords mean nothing, and are allowed; a mistyped one would mean nothing as well.
        if key in known or key in _OF_OTHERS:
            continue
        if meant := _MEANT.get(key) or closest(key, known, TYPO):
            what = f"there is no keyword {key!r} in JSON Schema; did you mean {meant!r}?"
            raise Misfit(f"{what} Correct it, or leave it out", (*path, key), on_key=True)
    _check_possible(part, path)
    properties = part.get("properties")
    if isinstance(properties, dict):
        closed = part.get("additionalProperties") is False and not part.get("patternProperties")
        for name in part.get("required", ()):
            if name in properties:
                continue
            meant = closest(name, properties, LIKE)
            if closed or (meant and meant not in part.get("required", ())):
                guess = f"; did you mean {meant!r}?" if meant else "."
                why = ", and no others are allowed, so that no value fits" if closed else ""
                what = f"{name!r} is required, and is none of the `properties`{why}{guess}"
                raise Misfit(f"{what} Correct it, or add it to them", (*path, "required"))
    reference = part.get("$ref")
    # A reference to anything but a schema in this one would be fetched, or lead to what nobody has checked.
    if reference is not None and _place(reference) not in places:
        what = f"$ref {reference!r} names no schema in this one; expected one such as #/$defs/NAME"
        raise Misfit(what, (*path, "$ref"))
    patterns: dict[Path, str] = {("pattern",): part["pattern"]} if "pattern" in part else {}
    patterns |= {("patternProperties", pattern): pattern for pattern in part.get("patternProperties", ())}
    size = 0
    for step, pattern in patterns.items():
        try:
            size += compile_pattern(pattern).size
        except Misfit as error:
            raise Misfit(str(error), (*path, *step)) from None
    return size


#: Keywords of which the first may not be above the second.
_BOUNDS = (
    *(("minimum", "maximum"), ("exclusiveMinimum", "maximum"), ("minimum", "exclusiveMaximum")),
    *(("minLength", "maxLength"), ("minItems", "maxItems"), ("minProperties", "maxProperties")),
)


def _check_possible(part: dict[str, Any], path: Path) -> None:
    """Raise `Misfit` if it is plain that no value fits a schema, so that every answer would be refused."""
    for low, high in _BOUNDS:
        if low in part and high in part and part[low] > part[high]:
            what = f"no value fits: {low} {part[low]:g} is above {high} {part[high]:g}"
            raise Misfit(f"{what}; correct one of them", (*path, low))
    if part.get("enum") == []:
        raise Misfit("no value fits: the enum is empty; list the values", (*path, "enum"))
    if part.get("enum") and "type" in part:
        wrong = _compile({"type": part["type"]})
        if all(wrong(one) is not None for one in part["enum"]):
            kind = " or ".join([part["type"]] if isinstance(part["type"], str) else part["type"])
            what = f"no value fits: none of the enum is of the type {kind}"
            raise Misfit(f"{what}; correct one of them", (*path, "enum"))
    items = part.get("items")
    choices = items.get("enum") if isinstance(items, dict) else None
    if choices and part.get("uniqueItems") and part.get("minItems", 0) > len(choices):
        what = f"no value fits: it has at least {part['minItems']:g} different items of {len(choices)}"
        raise Misfit(f"{what}; correct one of them", (*path, "minItems"))


def _place(reference: str) -> tuple[str, ...] | None:
    """Where a JSON pointer in a reference leads to; None if it is no reference within the same schema."""
    pointer = unquote(reference)
    if not reference.startswith("#") or pointer[1:2] not in ("", "/"):
        return None
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


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


def prepare(schema: dict[str, Any]) -> None:
    """Load and compile now what the first `check_value` needs: about 50 ms if the schema is not simple."""
    if id(schema) not in _compiled:
        check_value(schema, None)


@functools.lru_cache(maxsize=4096)
def _shared(written: bytes) -> Callable[[Any], str | None]:
    if len(written) > MAX_SCHEMA:  # a tool's schema was not checked before
        return lambda value: f"its schema has {len(written):,} bytes, and {MAX_SCHEMA:,} are the most"
    schema = orjson.loads(written)
    compiled, surely_fits = functools.cache(lambda: _compile(schema)), _fitting(schema)

    def told(value: Any) -> str | None:
        if surely_fits(value):
            return None
        try:
            return compiled()(value)
        except Misfit as error:
            return str(error)

    return told


_SIMPLE = {"type", "properties", "required", "additionalProperties"}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def _surely_fits(schema: Any, value: Any) -> bool:
    """Whether a value fits a simple schema; False: jsonschema, which takes long to import, has to tell."""
    return _fitting(schema)(value)


def _fitting(schema: Any) -> Callable[[Any], bool]:
    """`_surely_fits` of one schema."""
    if type(schema) is not dict or schema.keys() - _SIMPLE:
        return lambda value: False
    named, required = schema.get("properties", {}), schema.get("required", [])
    if type(named) is not dict or type(required) is not list or not all(type(key) is str for key in required):
        return lambda value: False
    if schema.get("type") != "object":
        types = _TYPES.get(str(schema["type"]), ()) if schema.keys() == {"type"} else ()
        return lambda value: type(value) in types
    parts, needed = {key: _fitting(part) for key, part in named.items()}, set(required)
    others = schema.get("additionalProperties", True) is True

    def fits(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and value.keys() >= needed
            and (others or value.keys() <= parts.keys())
            and all(parts[key](part) for key, part in value.items() if key in parts)
        )

    return fits


def _compile(schema: dict[str, Any]) -> Callable[[Any], str | None]:
    """The check itself, which raises `Misfit` where the schema asks for too much."""
    errors_of = _errors_by(schema)

    def check(value: Any) -> str | None:
        try:
            errors = errors_of(value)
        except Misfit:
            raise
        except RecursionError:
            raise Misfit("its references never end; make them simpler") from None
        except Exception:  # the library raises anything for a schema that is none; the rest is raised again
            if mistake := _meta_mistake(schema):  # a tool's schema was not checked before
                raise Misfit(f"its schema is {mistake[0]}", mistake[1]) from None
            raise
        if not errors:
            return None
        path, what = explain(errors)
        what = f"{dotted(path)}: {what}" if path else what
        return what if len(what) <= MAX_MESSAGE else what[: MAX_MESSAGE - 1] + "…"

    return check


def _errors_by(schema: dict[str, Any], *bounds: int) -> Callable[[Any], list[Any]]:
    """What finds the errors of a value, within the `bounds` of a `Check`."""
    from .keywords import Check, errors_of

    prepared = _prepared(schema)
    parts = list(_parts(prepared, ()))
    places = {id(part): path for path, part in parts}
    targets: dict[Any, Any] = {tuple(map(str, path)): part for path, part in parts}
    resolve = functools.cache(lambda reference: targets.get(_place(reference)))
    return lambda value: errors_of(prepared, value, Check(places, resolve, *bounds))


@functools.cache
def _meta_errors() -> Callable[[Any], list[Any]]:
    return _errors_by(metaschema(), MAX_META_WORK, MAX_META_WORK)


def _meta_mistake(schema: Any) -> tuple[str, Path] | None:
    """What is wrong with a schema by the schema of schemas, and where."""
    try:
        errors = _meta_errors()(schema)
    except Misfit:
        return "a JSON Schema that is too large; make it smaller", ()
    except RecursionError:
        return "a JSON Schema that is nested too deeply; make it simpler", ()
    if not errors:
        return None
    path, what = explain(errors)
    return f"not a JSON Schema: {what}", path


def _prepared(schema: Any) -> Any:
    """`schema` as it is checked with.

    `false` becomes `{"not": {}}`, as the errors of the former do not tell where they are. What a scenario's
    schema does not have, and a tool's may, is left out: what names another dialect or place, which would lead
    jsonschema around our bounds, and what cannot be searched for. The tool checks its arguments itself.
    """
    if not isinstance(schema, dict):
        return {"not": {}} if schema is False else schema
    # Of these two, the library makes a single error for all the keys or items.
    single = ("additionalProperties", "items")
    new = map_schemas(schema, lambda key, part: part if part is False and key in single else _prepared(part))
    for key in ("$schema", *REFUSED):
        new.pop(key, None)
    if not _can_search(new.get("pattern")):
        del new["pattern"]
    if isinstance(patterns := new.get("patternProperties"), dict):
        found = {pattern: part for pattern, part in patterns.items() if _can_search(pattern)}
        if len(found) < len(patterns):  # of which some key might be
            new.pop("additionalProperties", None)
        new["patternProperties"] = found
    return new


def _can_search(pattern: Any) -> bool:
    try:
        if isinstance(pattern, str):
            compile_pattern(pattern)
    except Misfit as error:
        logger.warning("a schema of a tool: {}; the tool alone checks it", error)
        return False
    return True


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
