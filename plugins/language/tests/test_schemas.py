"""Checks of values against JSON Schemas."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pyscrai_language import schemas
from pyscrai_language.misfit import Misfit
from pyscrai_language.schemas import check_schema, check_value

KINDS = ["string", "integer", "number", "boolean", "null", "object"]
VALUES = ["text", "", 3, -1, 2.0, 2.5, True, False, None, [], {}]


def some_schema(draw: random.Random, depth: int = 2) -> dict[str, Any]:
    kind = draw.choice(KINDS if depth else KINDS[:-1])
    if kind != "object":
        return {"type": kind}
    properties = {name: some_schema(draw, depth - 1) for name in draw.sample("abc", draw.randrange(4))}
    extra = draw.choice([{}, {"additionalProperties": False}, {"required": draw.sample("abc", 1)}])
    return {"type": kind, "properties": properties, **extra}


def some_value(draw: random.Random, depth: int = 2) -> Any:
    if depth and draw.random() < 0.7:
        return {name: some_value(draw, depth - 1) for name in draw.sample("abc", draw.randrange(4))}
    return draw.choice(VALUES)


def test_a_value_that_surely_fits_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(7)
    fits = 0
    for _ in range(20_000):
        schema, value = some_schema(draw), some_value(draw)
        if schemas._surely_fits(schema, value):
            fits += 1
            assert Draft202012Validator(schema).is_valid(value), (schema, value)
    assert fits > 500


@pytest.mark.parametrize(
    ("schema", "value", "wrong"),
    [
        (
            {"type": "object", "properties": {"text": {"type": "string"}}},
            {"text": 3},
            "text: expected a string, got 3",
        ),
        ({"type": "object", "required": ["text"]}, {}, 'the key "text" is missing'),
        ({"type": "integer"}, True, "expected an integer, got true"),
        ({"type": "integer"}, 2.0, None),
        ({"type": ["string", "null"]}, None, None),
        ({"type": "string", "maxLength": 2}, "abc", 'expected at most 2 characters, got 3: "abc"'),
    ],
)
def test_what_does_not_surely_fit_is_told_by_jsonschema(schema: Any, value: Any, wrong: str | None) -> None:
    told = check_value(schema, value)
    assert told is None if wrong is None else wrong in str(told)


HOSTILE = {"type": "string", "pattern": "(?=a)b"}


@pytest.mark.parametrize("name", ["const", "enum", "default", "examples", "properties", "$id", "$ref"])
def test_a_property_may_have_the_name_of_a_keyword_and_is_checked_as_any_other(name: str) -> None:
    check_schema({"properties": {name: {"type": "string"}}})
    for hostile in (HOSTILE, {"$ref": "http://example.test/schema"}, {"$dynamicRef": "#x"}, {"$id": "x"}):
        with pytest.raises(Misfit) as caught:
            check_schema({"properties": {name: {"anyOf": [hostile]}}})
        assert caught.value.below[:4] == ("properties", name, "anyOf", 0)


@pytest.mark.parametrize("key", ["const", "default", "examples", "x-note"])
def test_what_is_no_schema_is_only_data(key: str) -> None:
    value = [HOSTILE, {"$ref": "http://example.test/schema", "$id": 3, "patternProperties": 1}]
    check_schema({key: value})
    assert check_value({"const": value}, value) is None


@pytest.mark.parametrize(
    "reference",
    [
        *(
            "#/const",
            "#/enum/0",
            "#/x-note",
            "#/properties",
            "#/anyOf",
            "#/anyOf/3",
            "#/anyOf/²",
            "#/",
            "#name",
        ),
        *("", "#/$defs/%31", "#/properties/a~1b", "http://example.test/schema", "//example.test/#", "other"),
    ],
)
def test_a_reference_has_to_lead_to_a_schema_that_was_checked(reference: str) -> None:
    schema = {
        "const": HOSTILE,
        "enum": [HOSTILE],
        "x-note": {"type": 3},
        "anyOf": [True, {"properties": {"a": {"$ref": reference}}}],
        "$defs": {"%31": {}},
        "properties": {},
    }
    with pytest.raises(Misfit, match="names no schema in this one; expected one such as #/") as caught:
        check_schema(schema)
    assert caught.value.below == ("anyOf", 1, "properties", "a", "$ref")


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("a", "#/$defs/a"),
        ("a b", "#/$defs/a%20b"),
        ("a/b~", "#/$defs/a~1b~0"),
        ("é", "#/$defs/é"),
        ("%", "#/$defs/%25"),
    ],
)
def test_a_reference_may_be_escaped(name: str, reference: str) -> None:
    schema = {"$defs": {name: {"type": "string"}}, "properties": {"x": {"$ref": reference}}}
    check_schema(schema)
    check = partial(check_value, schema)
    assert check({"x": "text"}) is None
    assert check({"x": 3}) is not None


# -- work ---------------------------------------------------------------------------------------


def references(keyword: str, leaf: Any = None) -> dict[str, Any]:
    """A schema in which each definition stands twice in the one before it."""
    steps = {f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    return {"$ref": "#/$defs/d0", "$defs": {**steps, "d40": leaf or {"type": "integer"}}}


def nested(keyword: str, times: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(times):
        schema = {keyword: [schema, schema]}
    return schema


NAMES = [f"name{n}" for n in range(3_000)]
EMPTY: dict[str, Any] = {name: {} for name in NAMES}
OBJECTS = [{"a": n, "b": [n]} for n in range(20_000)]
SPECIAL: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
OLD: dict[str, Any] = {"$schema": "http://json-schema.org/draft-07/schema#"}
COSTLY: dict[str, tuple[Any, Any, str]] = {
    "references, anyOf": (references("anyOf"), "x", "its references lead to too much work"),
    "references, oneOf": (references("oneOf"), 1, "its references lead to too much work"),
    "references, allOf": (references("allOf"), 1, "its references lead to too much work"),
    "references, if": (
        {
            "$ref": "#/$defs/d0",
            "$defs": {
                **{
                    f"d{n}": {key: {"$ref": f"#/$defs/d{n + 1}"} for key in ("if", "then")} for n in range(40)
                },
                "d40": True,
            },
        },
        1,
        "its references lead to too much work",
    ),
    "doubled on each level of a value": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"items": {"$ref": "#/$defs/a"}}] * 2}}},
        eval("[" * 90 + "]" * 90),
        "its references lead to too much work",
    ),
    "a text in many errors": (
        {"anyOf": [{"type": "integer", "title": name} for name in NAMES]},
        "x" * 1_000_000,
        "too much work to check it by the schema's anyOf[",
    ),
    "a list in many errors": (
        {"anyOf": [{"type": "integer", "title": name} for name in NAMES]},
        OBJECTS,
        "too much work to check it by the schema's anyOf[",
    ),
    "many names for many objects": (
        {"items": {"required": NAMES, "properties": EMPTY}},
        [{}] * 20_000,
        "too much work to check it by the schema's items.",
    ),
    "long values compared": (
        {"items": {"enum": [[name] * 50 for name in NAMES[:1_000]]}},
        [["name1"] * 50] * 1_000,
        "too much work to check it by the schema's items.enum",
    ),
    "contains within contains": (
        {"contains": {"contains": {"contains": {"const": 1}}}},
        [[[2] * 300] * 300] * 300,
        "too much work to check it by the schema's contains.",
    ),
    "many keys by many patterns": (
        {"patternProperties": {f"{name}.*{name}": {} for name in NAMES[:300]}},
        dict.fromkeys([f"key{n}" for n in range(20_000)], 1),
        "too much work to check it by the schema's patternProperties",
    ),
    "many rules for many items": (
        {"items": {"allOf": [{"minimum": 0}] * 1_000}},
        list(range(20_000)),
        "too much work to check it by the schema's items.allOf",
    ),
    "rules that lead around the bounds": (
        {"allOf": [{**SPECIAL, "pattern": "(a+)+$"}, {**OLD, "pattern": "(a+)+$"}]},
        "a" * 60 + "b",
        'expected a match of the pattern "(a+)+$"',
    ),
    "a reference to what is no schema": (
        {"x-note": {"pattern": "(a+)+$"}, "$ref": "#/x-note"},
        "a" * 60 + "b",
        "leads out of the schema",
    ),
    "equal items": ({"uniqueItems": True}, [*OBJECTS, {"b": [7.0], "a": 7}], "two items are equal"),
    "equal lists of items": (
        {"items": {"uniqueItems": True}, "uniqueItems": True},
        [OBJECTS[:2_000]] * 10,
        "two items are equal",
    ),
    "many unknown keys": (
        {"properties": EMPTY, "additionalProperties": False},
        {f"{name}x": 1 for name in NAMES},
        'unknown keys "name0x"',
    ),
    "one rule, reached often": (
        {
            "allOf": [{"$ref": "#/$defs/a"}] * 50,
            "$defs": {"a": {"properties": EMPTY, "additionalProperties": False}},
        },
        {"name1x": 1},
        "unknown key \"name1x\" (did you mean 'name1'?)",
    ),
    "many keys that are none of many": (
        {"propertyNames": {"enum": NAMES}},
        {f"{name}x": 1 for name in NAMES},
        'the key "name0x": expected one of',
    ),
    "many missing keys": ({"required": NAMES}, {}, 'the keys "name0"'),
    "forms within forms": (nested("oneOf", 10), "x", "none of the 2 possible forms fits"),
}


@pytest.mark.parametrize("name", COSTLY)
@pytest.mark.usefixtures("ends")
def test_no_check_of_a_value_takes_for_ever(name: str) -> None:
    schema, value, told = COSTLY[name]
    assert told in str(check_value(schema, value))


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (nested("allOf", 14), "a JSON Schema that is too large"),
        ({"description": "x" * 1_000_000}, "the schema has 1,000,018 bytes, and 1,000,000 are the most"),
        (
            {"allOf": [{"pattern": f"a.{{0,900}}{name}"} for name in NAMES]},
            "its patterns are too large together",
        ),
        (references("not", {}), "its references lead to too much work|not a JSON Schema"),
    ],
)
@pytest.mark.usefixtures("ends")
@pytest.mark.slow
def test_no_check_of_a_schema_takes_for_ever(schema: dict[str, Any], told: str) -> None:
    with pytest.raises(Misfit, match=told):
        check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "value", "told"),
    [
        ({"type": "strin"}, 1, "its schema is not a JSON Schema: expected one of"),
        ({"items": [{}]}, [1], "its schema is not a JSON Schema: expected an object or a boolean"),
        ({"pattern": "(?=a)b"}, "b", None),  # what only the tool can check
        ({"patternProperties": {"(?=a)b": {}}, "additionalProperties": False}, {"b": 1}, None),
        ({"$dynamicRef": "#x", "type": "integer"}, "b", "expected an integer"),
        (
            {"unevaluatedProperties": False, "properties": {"a": {"type": "integer"}}},
            {"a": "b"},
            "expected an",
        ),
    ],
)
def test_the_schema_of_a_tool_that_nobody_has_checked(
    schema: dict[str, Any], value: Any, told: str | None
) -> None:
    found = check_value(schema, value)
    assert found is None if told is None else told in str(found)


@pytest.mark.parametrize(
    ("wanted", "value", "fits"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ([1], [True], False),
        ({"a": [1.0]}, {"a": [1]}, True),
        (["1"], [1], False),
        (None, None, True),
        ([10**30], [10**30], True),
    ],
)
def test_values_are_equal_as_json_schema_says(wanted: Any, value: Any, fits: bool) -> None:
    from pyscrai_language.keywords import _identity

    assert (_identity(wanted) == _identity(value)) is fits
