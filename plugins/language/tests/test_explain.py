"""What is said of a value that does not fit a schema: our own words, in an order that the schema decides."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from pyscrai_language.explain import _TELL
from pyscrai_language.schemas import check_value

PLACE = {"properties": {"x": {}}}
CASES: list[tuple[dict[str, Any], Any, str]] = [
    ({"const": 3}, 4, "expected 3, got 4"),
    ({"enum": ["red", "blue"]}, "rad", 'expected one of "red", "blue", got "rad" (did you mean \'red\'?)'),
    ({"enum": [1, None, True]}, "rad", 'expected one of 1, null, true, got "rad"'),
    ({"type": "integer"}, 1.5, "expected an integer, got 1.5"),
    ({"type": ["string", "null"]}, [], "expected a string or null, got []"),
    ({"type": "object"}, "é\n", 'expected an object, got "é\\n"'),
    ({"required": ["a", "b"]}, {}, 'the keys "a", "b" are missing'),
    ({"required": ["a", "b"]}, {"a": 1}, 'the key "b" is missing'),
    ({"dependentRequired": {"a": ["b"], "c": ["d"]}}, {"a": 1}, 'the key "b" is missing, as there is "a"'),
    (
        {"properties": {"name": {}}, "additionalProperties": False},
        {"nmae": 1},
        'unknown key "nmae" (did you mean \'name\'?); known keys: "name"',
    ),
    (
        {"patternProperties": {"^x-": {}}, "additionalProperties": False},
        {"b": 1, "a": 2, "x-c": 3},
        'unknown keys "a", "b"; known keys: those that match "^x-"',
    ),
    ({"additionalProperties": False}, {"a": 1}, 'unknown key "a"; known keys: none'),
    ({"minProperties": 1}, {}, "expected at least 1 key, got 0: {}"),
    ({"maxProperties": 1}, {"b": 1, "a": 2}, 'expected at most 1 key, got 2: {"a": 2, "b": 1}'),
    ({"prefixItems": [{}], "items": False}, [1, 2], "expected at most 1 item, got 2: [1, 2]"),
    ({"minItems": 2}, [1], "expected at least 2 items, got 1: [1]"),
    ({"maxItems": 0}, [1], "expected at most 0 items, got 1: [1]"),
    ({"uniqueItems": True}, [1, 1], "two items are equal, got [1, 1]"),
    ({"contains": {"type": "string"}}, [1], 'expected at least 1 item to fit {"type": "string"}, got [1]'),
    (
        {"contains": {"type": "string"}, "minContains": 2},
        ["a"],
        'expected at least 2 items to fit {"type": "string"}, got ["a"]',
    ),
    (
        {"contains": {"type": "string"}, "maxContains": 1},
        ["a", "b"],
        'expected at most 1 item to fit {"type": "string"}, got ["a", "b"]',
    ),
    ({"minLength": 2}, "a", 'expected at least 2 characters, got 1: "a"'),
    ({"maxLength": 2}, "abc", 'expected at most 2 characters, got 3: "abc"'),
    ({"pattern": "^a"}, "b", 'expected a match of the pattern "^a", got "b"'),
    ({"minimum": 1}, 0, "expected at least 1, got 0"),
    ({"maximum": 1}, 2, "expected at most 1, got 2"),
    ({"exclusiveMinimum": 1}, 1, "expected more than 1, got 1"),
    ({"exclusiveMaximum": 1}, 1, "expected less than 1, got 1"),
    ({"multipleOf": 5}, 7, "expected a multiple of 5, got 7"),
    ({"not": {"type": "string"}}, "a", 'expected a value that does not fit {"type": "string"}, got "a"'),
    ({"properties": {"x": False}}, {"x": 1}, "x: nothing is allowed here, got 1"),
    ({"propertyNames": {"maxLength": 1}}, {"ab": 1}, 'the key "ab": expected at most 1 character, got 2'),
    ({"if": {"type": "integer"}, "then": {"minimum": 3}}, 1, "expected at least 3, got 1"),
    (
        {"allOf": [{"minimum": 3}, {"multipleOf": 2}]},
        1,
        "expected at least 3, got 1; expected a multiple of 2",
    ),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, 1, "expected a string, got 1"),
]


@pytest.mark.parametrize(
    ("schema", "value", "text"),
    CASES,
    ids=lambda part: next(iter(part), "") if isinstance(part, dict) else "",
)
def test_each_keyword_has_its_own_text(schema: dict[str, Any], value: Any, text: str) -> None:
    assert (check_value(schema, value) or "").startswith(text)


def test_no_keyword_of_the_vocabulary_is_without_a_text() -> None:
    applied_by_others = {
        "$ref",
        "$dynamicRef",
        "allOf",
        "anyOf",
        "oneOf",
        "if",
        "dependentSchemas",
        "prefixItems",
    }
    applied_by_others |= {"patternProperties", "properties", "propertyNames", "unevaluatedItems"}
    known = set(jsonschema.Draft202012Validator.VALIDATORS) - {"unevaluatedProperties"}
    assert known - applied_by_others <= set(_TELL)
    tested = {key for schema, _, _ in CASES for key in schema}
    assert {key for key in _TELL if key} - {"format"} <= tested


def test_the_place_nearest_to_the_whole_is_told_whatever_the_order_of_the_schema() -> None:
    parts = {"b": {"type": "string"}, "a": {"properties": {"deep": {"type": "string"}}}, "c": {"maximum": 1}}
    value = {"a": {"deep": 1}, "b": 1, "c": 2}
    for order in ("abc", "cba", "bca"):
        schema = {"properties": {key: parts[key] for key in order}}
        assert check_value(schema, value) == "b: expected a string, got 1"


PRICE = {"type": "object", "properties": {"kind": {"const": "price"}, "amount": {"type": "integer"}}}
WORD = {"type": "object", "properties": {"kind": {"const": "word"}, "text": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "value", "text"),
    [
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "a", 'expected an integer or null, got "a"'),
        ({"anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}]}, 1, "expected at least 3, got 1"),
        ({"oneOf": [PRICE, WORD]}, {"kind": "price", "amount": "x"}, 'amount: expected an integer, got "x"'),
        (
            {"oneOf": [PRICE, WORD]},
            {"kind": "pric"},
            'kind: expected one of "price", "word", got "pric" (did you mean \'price\'?)',
        ),
        (
            {"oneOf": [{}, {"type": "string"}]},
            "a",
            "it fits several of the possible forms, where exactly one is",
        ),
        (
            {"anyOf": [{"minimum": 5}, {"multipleOf": 2}]},
            3,
            "none of the 2 possible forms fits: expected at least 5, got 3; or expected a multiple of 2",
        ),
        ({"anyOf": [False, False]}, 3, "none of the 2 possible forms fits: nothing is allowed here, got 3"),
        ({"oneOf": [False, {"type": "string"}]}, 3, "nothing is allowed here, got 3"),
    ],
)
def test_of_several_forms_the_one_that_was_meant_is_told(
    schema: dict[str, Any], value: Any, text: str
) -> None:
    assert (check_value(schema, value) or "").startswith(text)


def test_a_long_text_is_cut_and_half_a_character_is_shown() -> None:
    schema = {"anyOf": [{"const": "x" * 500}, {"pattern": "y" * 500}]}
    assert len(check_value(schema, "z" * 500) or "") <= 600
    assert check_value({"type": "integer"}, "\ud800") == 'expected an integer, got "\\ud800"'
