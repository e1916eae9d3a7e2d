"""Converts JSON Schemas to the subset of OpenAI's strict mode, and answers back to the original's form.

In strict mode every property is required and no others are allowed. An optional property becomes nullable,
and its null is removed from the answer again. Bounds that the subset does not support move to the
description; the kernel checks answers against the original schema. A schema whose root is not an object is
wrapped in an object with the property `answer`.
"""

from __future__ import annotations

import json
from typing import Any

from attrs import frozen

Schema = dict[str, Any]

#: Keywords that are sent unchanged.
_KEPT = (
    *("type", "enum", "const", "title", "description", "minItems", "maxItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
)
#: Keywords that are converted or dropped. All others are added to the description.
_STRUCTURE = {
    *("$defs", "$ref", "$schema", "$id", "$comment", "properties", "required", "additionalProperties"),
    *("items", "anyOf", "oneOf"),
}
_NULL: Schema = {"type": "null"}
_PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


@frozen
class Strict:
    """A schema for strict mode. `wrapped`: the answer is in its property `answer`."""

    schema: Schema
    wrapped: bool


class _Unsupported(Exception):
    """The schema uses something that strict mode does not support."""


def strict(schema: Schema) -> Strict | None:
    """`schema` for strict mode. None if strict mode cannot express it (any key, any value)."""
    wrapped = _types(schema) != ["object"] or "$ref" in schema or _union(schema) is not None
    try:
        made = _strict(schema, schema)
        defs = {name: _strict(part, schema) for name, part in schema.get("$defs", {}).items()}
    except _Unsupported:
        return None
    if wrapped:
        if '"#"' in json.dumps(made) + json.dumps(defs):
            return None  # it refers to its own root, which the wrapper would replace
        made = _closed({"answer": made})
    return Strict({**made, "$defs": defs} if defs else made, wrapped)


def restore_text(schema: Schema, text: str) -> str:
    """Convert an answer to the strict form of `schema` back to the form of `schema`."""
    made = strict(schema)
    if made is None:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text  # truncated, or a refusal
    if made.wrapped and not (isinstance(value, dict) and "answer" in value):
        return text
    restored = restore(schema, value["answer"] if made.wrapped else value)
    return text if restored == value else json.dumps(restored, ensure_ascii=False)


def restore(schema: Schema, value: Any) -> Any:
    """`value` without the nulls of optional properties."""
    return _restored(schema, value, schema)


def _strict(schema: Any, root: Schema) -> Schema:
    if not isinstance(schema, dict) or schema.keys() & {"allOf", "patternProperties", "prefixItems"}:
        raise _Unsupported
    made = {key: schema[key] for key in _KEPT if key in schema}
    notes = [f"{key}: {json.dumps(schema[key])}" for key in schema if key not in {*_KEPT, *_STRUCTURE}]
    if notes:
        made["description"] = " ".join([*filter(None, [made.get("description")]), f"({', '.join(notes)})"])
    if (ref := schema.get("$ref")) is not None:
        if ref != "#" and not str(ref).startswith("#/$defs/"):
            raise _Unsupported
        target = {"$ref": ref}
        # A reference must stand alone.
        return {"anyOf": [target], "description": made["description"]} if "description" in made else target
    if (branches := _union(schema)) is not None:
        if "properties" in schema:
            raise _Unsupported
        return {**made, "anyOf": [_strict(branch, root) for branch in branches]}
    types = _types(schema)
    if not types:
        raise _Unsupported
    made["type"] = types[0] if len(types) == 1 else types
    if "object" in types:
        made = {**_object(schema, root), **made}
    if "array" in types:
        made["items"] = _strict(schema.get("items"), root)
    return made


def _object(schema: Schema, root: Schema) -> Schema:
    properties, required = schema.get("properties", {}), schema.get("required", [])
    closed = schema.get("additionalProperties", not properties) is False
    if not closed or not properties.keys() >= set(required):
        raise _Unsupported
    parts = {}
    for name, part in properties.items():
        parts[name] = _strict(part, root)
        if name not in required and not _takes_null(part, root):
            parts[name] = {"anyOf": [parts[name], _NULL]}
    return _closed(parts)


def _closed(properties: Schema) -> Schema:
    names = list(properties)
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def _types(schema: Schema) -> list[str]:
    """The types that a schema allows. Without `type`, its other keywords decide."""
    given = schema.get("type", [])
    if given:
        return [given] if isinstance(given, str) else list(given)
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        # In this order, 1 is an integer and true is not.
        order = ("null", "boolean", "integer", "number", "string", "array", "object")
        return list(dict.fromkeys(next(name for name in order if _is(value, name)) for value in values))
    return ["object"] if "properties" in schema else ["array"] if "items" in schema else []


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _PYTHON.get(kind, ()))


def _union(schema: Schema) -> list[Any] | None:
    return schema.get("anyOf", schema.get("oneOf"))


def _resolved(schema: Schema, root: Schema) -> Schema:
    defs = root.get("$defs", {})
    for _ in range(len(defs) + 1):
        if "$ref" not in schema:
            break
        schema = root if schema["$ref"] == "#" else defs.get(schema["$ref"].removeprefix("#/$defs/"), {})
    return schema


def _takes_null(schema: Schema, root: Schema) -> bool:
    schema = _resolved(schema, root)
    if (branches := _union(schema)) is not None:
        return any(_takes_null(branch, root) for branch in branches)
    return "null" in _types(schema) and None in schema.get("enum", [None])


def _restored(schema: Schema, value: Any, root: Schema) -> Any:
    schema = _resolved(schema, root)
    if (branches := _union(schema)) is not None:
        fitting = next((branch for branch in branches if _matches(branch, value, root)), None)
        return value if fitting is None else _restored(fitting, value, root)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_restored(schema["items"], part, root) for part in value]
    if not isinstance(value, dict):
        return value
    properties, required = schema.get("properties", {}), schema.get("required", [])
    return {
        name: _restored(properties.get(name, {}), part, root)
        for name, part in value.items()
        if part is not None or name in required or _takes_null(properties.get(name, _NULL), root)
    }


def _matches(schema: Schema, value: Any, root: Schema) -> bool:
    """Whether `value` fits `schema`. In strict mode, a branch is recognized by its keys."""
    schema = _resolved(schema, root)
    if (branches := _union(schema)) is not None:
        return any(_matches(branch, value, root) for branch in branches)
    if ("const" in schema and value != schema["const"]) or value not in schema.get("enum", [value]):
        return False
    if not any(_is(value, kind) for kind in _types(schema)):
        return False
    if isinstance(value, dict):
        properties, required = schema.get("properties", {}), schema.get("required", [])
        return properties.keys() == value.keys() and all(
            _matches(properties[name], part, root) or (part is None and name not in required)
            for name, part in value.items()
        )
    return not isinstance(value, list) or all(_matches(schema["items"], part, root) for part in value)
