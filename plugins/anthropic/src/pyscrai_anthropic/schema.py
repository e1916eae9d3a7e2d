"""Reduces JSON Schemas to the subset that Anthropic's structured outputs support."""

from __future__ import annotations

import json
from typing import Any

_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
)
_SCALARS = ("string", "number", "boolean", "null")
#: Keywords that do not describe the answer.
_IRRELEVANT = frozenset(("$schema", "$id", "$comment", "additionalProperties"))


def reduced(schema: Any, where: str = "schema") -> dict[str, Any]:
    """`schema` without additional properties, and with unsupported keywords moved to the descriptions.

    The result may allow more than `schema`: the kernel checks the answer against the original. A schema that
    allows any value becomes one that allows any scalar. Raises `ValueError` for an object without named
    properties, which the API does not support. `where` is the place of `schema` in the whole schema.
    """
    left = {} if isinstance(schema, bool) else dict(schema)
    made: dict[str, Any] = {}
    for key in ("$defs", "definitions"):
        if key in left:
            parts = left.pop(key).items()
            made[key] = {name: reduced(part, f"{where}.{key}.{name}") for name, part in parts}
    if "$ref" in left:
        return {**made, "$ref": left["$ref"]}
    if len(left.get("allOf", ())) == 1:
        (only,) = left.pop("allOf")
        return {**made, **reduced({**left, **only}, where)}

    for key in ("title", "description"):
        if key in left:
            made[key] = left.pop(key)
    kind = left.pop("type", None) or ("object" if "properties" in left else None)
    options = next((key for key in ("anyOf", "oneOf") if key in left), "")
    if "enum" in left or "const" in left:
        key = "enum" if "enum" in left else "const"
        made[key] = left.pop(key)
    elif options and "properties" not in left:
        made["anyOf"] = [reduced(part, f"{where}.{options}") for part in left.pop(options)]
    elif isinstance(kind, list):
        alone, left = left, {}
        made["anyOf"] = [
            reduced({**alone, "type": one}, where) if one != "null" else {"type": "null"} for one in kind
        ]
    elif kind == "object":
        made |= _object(left, where)
    elif kind == "array":
        made |= {"type": "array", "items": reduced(left.pop("items", {}), f"{where}.items")}
        if left.get("minItems") in (0, 1):
            made["minItems"] = left.pop("minItems")
    elif kind is not None:
        made["type"] = kind
        if left.get("format") in _FORMATS:
            made["format"] = left.pop("format")
    else:
        made["anyOf"] = [{"type": one} for one in _SCALARS]

    notes = ", ".join(f"{key}: {json.dumps(value)}" for key, value in left.items() if key not in _IRRELEVANT)
    if notes:
        made["description"] = f"{made.get('description', '')} ({notes})".strip()
    return made


def _object(left: dict[str, Any], where: str) -> dict[str, Any]:
    properties = left.pop("properties", {})
    if not properties and left.get("additionalProperties", True) is not False:
        raise ValueError(f"{where}: an object without named properties")
    return {
        "type": "object",
        "properties": {name: reduced(part, f"{where}.{name}") for name, part in properties.items()},
        "required": [name for name in left.pop("required", ()) if name in properties],
        "additionalProperties": False,
    }
