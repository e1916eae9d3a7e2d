"""Checks of values against JSON Schemas."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pyscrai_core.language import schemas
from pyscrai_core.language.misfit import Misfit
from pyscrai_core.language.schemas import check_schema, check_value

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


HOSTILE = {"type": "string", "pattern": "(a+)+$"}


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
