"""Generates random values that satisfy a JSON Schema."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

_MAX_DEPTH = 32
_MAX_VALUES = 10_000
_MAX_CHARACTERS = 10_000
#: From this depth on, only required parts are generated, so that recursive schemas end.
_REQUIRED_ONLY_DEPTH = 4
_SPAN = 100

#: Keywords that are not supported.
_UNSUPPORTED = (
    "not",
    "if",
    "pattern",
    "patternProperties",
    "propertyNames",
    "contains",
    "dependentRequired",
    "dependentSchemas",
    "$dynamicRef",
)


def generate(schema: Any, seed: int) -> Any:
    """A random value that satisfies `schema`, determined by `seed`.

    Supports `type`, `enum`, `const`, `anyOf`, `oneOf`, `allOf`, local `$ref`, `properties`, `required`,
    `additionalProperties`, `items`, `prefixItems`, `minItems`, `maxItems`, `uniqueItems`, `minLength`,
    `maxLength`, `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum` and `multipleOf`. Raises
    `ValueError`, which names the place in the schema, for any other restriction and for a schema that no
    value satisfies.
    """
    return _Generator(schema, Random(seed)).value(schema, "schema", 0)


class _Generator:
    def __init__(self, root: Any, random: Random) -> None:
        self._root = root
        self._random = random
        self._values = 0

    def _below(self, bound: int) -> int:
        # Python only guarantees random() to give the same values in every version.
        return int(self._random.random() * bound)

    def value(self, schema: Any, where: str, depth: int) -> Any:
        self._values += 1
        if depth > _MAX_DEPTH or self._values > _MAX_VALUES:
            raise ValueError(f"{where}: the schema is too large; make it smaller")
        schema = self._resolved(schema, where)
        for keyword in _UNSUPPORTED:
            if keyword in schema:
                raise ValueError(f"{where}: `{keyword}` is not supported; write this reply yourself")
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            if not schema["enum"]:
                raise ValueError(f"{where}.enum: nothing to choose from")
            return schema["enum"][self._below(len(schema["enum"]))]
        kind = self._kind(schema, where)
        make: dict[str, Callable[[dict[str, Any], str, int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._float,
            "boolean": lambda *_: self._below(2) == 1,
            "null": lambda *_: None,
        }
        if kind not in make:
            raise ValueError(f"{where}.type: unknown type {kind!r}")
        return make[kind](schema, where, depth)

    def _resolved(self, schema: Any, where: str) -> dict[str, Any]:
        """`schema` with resolved references, and one branch of each alternative."""
        for _ in range(_MAX_DEPTH):
            if schema is True:
                return {}
            if not isinstance(schema, dict):
                raise ValueError(f"{where}: nothing satisfies {schema!r}")
            rest = dict(schema)
            if "$ref" in rest:
                schema = _merged(rest, self._referred(rest.pop("$ref"), where), where)
            elif "allOf" in rest:
                for part in rest.pop("allOf"):
                    rest = _merged(rest, self._resolved(part, where), where)
                schema = rest
            elif branches := rest.pop("anyOf", None) or rest.pop("oneOf", None):
                branch = branches[self._below(len(branches))]
                schema = _merged(rest, self._resolved(branch, where), where)
            else:
                return rest
        raise ValueError(f"{where}: the schema refers to itself endlessly")

    def _referred(self, reference: str, where: str) -> Any:
        found = self._root
        if not reference.startswith("#"):
            raise ValueError(f"{where}.$ref: {reference!r} is not in this schema, expected #/…")
        for part in reference.removeprefix("#").split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or key not in found:
                raise ValueError(f"{where}.$ref: there is no {reference!r} in the schema")
            found = found[key]
        return found

    def _kind(self, schema: dict[str, Any], where: str) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            if not kind:
                raise ValueError(f"{where}.type: nothing to choose from")
            kind = kind[self._below(len(kind))]
        if kind is None:
            if "properties" in schema or "required" in schema:
                return "object"
            if "items" in schema or "prefixItems" in schema or "minItems" in schema:
                return "array"
            if schema.keys() & {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}:
                return "number"
            return "string"
        return str(kind)

    def _object(self, schema: dict[str, Any], where: str, depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        made = {}
        for name, part in properties.items():
            if name in required or (depth < _REQUIRED_ONLY_DEPTH and self._below(2)):
                made[name] = self.value(part, f"{where}.{name}", depth + 1)
        for name in required:
            if name not in made:
                made[name] = self.value(
                    schema.get("additionalProperties", True), f"{where}.{name}", depth + 1
                )
        if not schema.get("minProperties", 0) <= len(made) <= schema.get("maxProperties", len(made)):
            raise ValueError(f"{where}: a number of properties is not supported; write this reply yourself")
        return made

    def _array(self, schema: dict[str, Any], where: str, depth: int) -> list[Any]:
        first = schema.get("prefixItems", [])
        low = schema.get("minItems", 0)
        high = schema.get("maxItems", max(low, len(first)) + 2)
        if low > high:
            raise ValueError(f"{where}: minItems is above maxItems")
        if schema.get("items") is False:
            high = min(high, len(first))
        count = max(low, min(high, len(first)))
        if depth < _REQUIRED_ONLY_DEPTH:
            count += self._below(min(high - count, 2) + 1) if high > count else 0
        made: list[Any] = []
        for index in range(count):
            part = first[index] if index < len(first) else schema.get("items", True)
            place = f"{where}[{index}]"
            item = self.value(part, place, depth + 1)
            if schema.get("uniqueItems"):
                tries = 0
                while item in made and tries < _SPAN:
                    item, tries = self.value(part, place, depth + 1), tries + 1
                if item in made:
                    if index >= low:
                        break
                    raise ValueError(f"{place}: no further unique item was found")
            made.append(item)
        return made

    def _string(self, schema: dict[str, Any], where: str, depth: int) -> str:
        low = schema.get("minLength", 0)
        high = schema.get("maxLength", max(low, 8))
        if low > high or low > _MAX_CHARACTERS:
            raise ValueError(f"{where}: no text is from {low} to {high} characters long")
        low = max(low, min(high, 3))
        length = low + self._below(min(high - low, 8) + 1)
        return "".join(chr(ord("a") + self._below(26)) for _ in range(length))

    def _integer(self, schema: dict[str, Any], where: str, depth: int) -> int:
        low, high = _bounds(schema)
        if "exclusiveMinimum" in schema and low == schema["exclusiveMinimum"]:
            low = math.floor(low) + 1
        if "exclusiveMaximum" in schema and high == schema["exclusiveMaximum"]:
            high = math.ceil(high) - 1
        step = schema.get("multipleOf", 1)
        if step != int(step):
            raise ValueError(f"{where}.multipleOf: {step} is not an integer; write this reply yourself")
        step = int(step)
        first, last = math.ceil(low / step), math.floor(high / step)
        if first > last:
            raise ValueError(f"{where}: no integer lies between {low} and {high}")
        return (first + self._below(last - first + 1)) * step

    def _float(self, schema: dict[str, Any], where: str, depth: int) -> float:
        if "multipleOf" in schema:
            return self._integer(schema, where, depth)
        low, high = _bounds(schema)
        share = self._random.random()
        drawn = low * (1 - share) + high * share
        # A rounded number is easier to read. It is not used if it is out of bounds.
        for number in (round(drawn, 2), drawn, (low + high) / 2):
            if (
                low <= number <= high
                and number != schema.get("exclusiveMinimum")
                and number != schema.get("exclusiveMaximum")
            ):
                return float(number)
        raise ValueError(f"{where}: no number lies between {low} and {high}")


def _bounds(schema: dict[str, Any]) -> tuple[float, float]:
    """The smallest and the largest number that the schema allows, both inclusive."""
    lows = [schema[key] for key in ("minimum", "exclusiveMinimum") if key in schema]
    highs = [schema[key] for key in ("maximum", "exclusiveMaximum") if key in schema]
    if lows and highs:
        return max(lows), min(highs)
    if lows:
        return max(lows), max(lows) + _SPAN * max(1, schema.get("multipleOf", 1))
    if highs:
        return min(highs) - _SPAN * max(1, schema.get("multipleOf", 1)), min(highs)
    return 0, _SPAN * max(1, schema.get("multipleOf", 1))


def _merged(outer: dict[str, Any], inner: Any, where: str) -> dict[str, Any]:
    """Merge two schemas: `properties` and `required` are combined, other keywords come from `inner`."""
    if inner is True:
        return outer
    if not isinstance(inner, dict):
        raise ValueError(f"{where}: nothing satisfies {inner!r}")
    both = {**outer, **inner}
    if "properties" in outer and "properties" in inner:
        both["properties"] = {**outer["properties"], **inner["properties"]}
    if "required" in outer and "required" in inner:
        both["required"] = list(dict.fromkeys([*outer["required"], *inner["required"]]))
    return both
