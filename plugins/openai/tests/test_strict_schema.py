"""Schemas in the form of strict mode, and answers back in the form of the original."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from pyscrai_openai.strict_schema import restore_text, strict

TEXT = {"type": "string"}
NESTED = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8, "description": "Who."},
        "age": {"type": "integer", "minimum": 0, "default": 3},
        "mood": {"enum": ["glad", "sad"]},
        "note": {"type": ["string", "null"]},
        "tags": {"type": "array", "items": {"type": "object", "properties": {"tag": TEXT}}, "maxItems": 3},
        "next": {"$ref": "#/$defs/Step"},
        "plain": {"$ref": "#/$defs/Point", "description": "Where."},
    },
    "required": ["name"],
    "$defs": {
        "Step": {"type": "object", "properties": {"step": TEXT, "then": {"$ref": "#/$defs/Step"}}},
        "Point": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
    },
}
ANIMAL = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"kind": {"const": kind}, name: {"type": "integer"}, "name": TEXT},
            "required": ["kind"],
        }
        for kind, name in (("cat", "lives"), ("dog", "legs"))
    ]
}
SAME = {
    "anyOf": [
        {"type": "object", "properties": {"kind": {"const": kind}, "of": part}, "required": ["kind"]}
        for kind, part in (("a", {"type": ["string", "null"]}), ("b", TEXT))
    ]
}
TREE = {"type": "object", "properties": {"left": {"$ref": "#"}, "value": {"type": "integer"}}}


def check_strict(schema: dict[str, Any], root: bool = True) -> None:
    """The rules of OpenAI's strict mode."""
    allowed = {"type", "enum", "const", "title", "description", "minimum", "maximum", "minItems", "maxItems"}
    allowed |= {"properties", "required", "additionalProperties", "items", "anyOf", "$ref", "$defs"}
    assert schema.keys() <= allowed
    assert schema.keys() & {"type", "anyOf", "$ref"}
    assert not root or schema["type"] == "object"
    if "$ref" in schema:
        assert len(schema) == 1
        assert schema["$ref"] == "#" or schema["$ref"].startswith("#/$defs/")
    if "object" in schema.get("type", ()):
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])
    below = [
        *schema.get("properties", {}).values(),
        *schema.get("$defs", {}).values(),
        *schema.get("anyOf", ()),
    ]
    for part in [*below, *([schema["items"]] if "items" in schema else [])]:
        check_strict(part, root=False)


CASES: list[tuple[dict[str, Any], Any, Any]] = [
    (
        NESTED,
        {
            "name": "Mara",
            "age": None,
            "mood": None,
            "note": None,
            "tags": [{"tag": "a"}, {"tag": None}],
            "next": {"step": None, "then": {"step": "on", "then": None}},
            "plain": {"x": 1.5},
        },
        {
            "name": "Mara",
            "note": None,
            "tags": [{"tag": "a"}, {}],
            "next": {"then": {"step": "on"}},
            "plain": {"x": 1.5},
        },
    ),
    (ANIMAL, {"answer": {"kind": "dog", "legs": 4, "name": None}}, {"kind": "dog", "legs": 4}),
    ({"type": "array", "items": ANIMAL}, {"answer": [{"kind": "cat", "lives": None, "name": "Tom"}]},
     [{"kind": "cat", "name": "Tom"}]),
    (SAME, {"answer": {"kind": "b", "of": None}}, {"kind": "b"}),
    (SAME, {"answer": {"kind": "a", "of": None}}, {"kind": "a", "of": None}),
    (
        {"anyOf": [{"type": "object", "properties": {name: SAME}} for name in ("x", "y")]},
        {"answer": {"y": {"kind": "b", "of": None}}},
        {"y": {"kind": "b"}},
    ),
    ({"enum": ["yes", "no"]}, {"answer": "no"}, "no"),
    ({"$ref": "#/$defs/A", "$defs": {"A": TREE["properties"]["value"]}}, {"answer": 3}, 3),
    (TREE, {"left": {"left": None, "value": 1}, "value": None}, {"left": {"value": 1}}),
    ({"type": "object", "additionalProperties": False}, {}, {}),
]  # fmt: skip


@pytest.mark.parametrize("schema, answer, original", CASES)
def test_there_and_back(schema: dict[str, Any], answer: Any, original: Any) -> None:
    before = json.dumps(schema)
    made = strict(schema)
    assert made is not None
    check_strict(made.schema)
    jsonschema.validate(answer, made.schema)
    restored = json.loads(restore_text(schema, json.dumps(answer)))
    assert restored == original
    jsonschema.validate(restored, schema)
    assert json.dumps(schema) == before


def test_what_strict_mode_lacks_is_told_in_words() -> None:
    made = strict(NESTED)
    assert made is not None
    name, age = (made.schema["properties"][key] for key in ("name", "age"))
    assert name["description"] == "Who. (maxLength: 8)"
    assert made.schema["properties"]["note"] == {"type": ["string", "null"]}
    assert age["anyOf"][0] == {"type": "integer", "minimum": 0, "description": "(default: 3)"}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "object", "properties": {"a": TEXT}, "additionalProperties": True},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": TEXT}, "required": ["b"]},
        {"type": "object", "properties": {"a": {"$ref": "other.json"}}},
        {"type": "array"},
        {"type": "array", "prefixItems": [TEXT], "items": TEXT},
        {"type": "object", "properties": {"a": {"allOf": [TEXT, {"minLength": 2}]}}},
        {"anyOf": [TEXT, {"type": "array", "items": {"$ref": "#"}}]},
    ],
)
def test_what_strict_mode_cannot_say(schema: dict[str, Any]) -> None:
    assert strict(schema) is None
    assert restore_text(schema, '{"a": null}') == '{"a": null}'


@pytest.mark.parametrize("text", ['{"name": "Ma', "I cannot do that.", '{"name":"Mara","tags":[]}'])
def test_an_answer_that_needs_nothing_stays_as_it_is(text: str) -> None:
    assert restore_text(NESTED, text) == text


def test_words_stay_readable() -> None:
    assert restore_text(NESTED, '{"name": "Zoë", "age": null}') == '{"name": "Zoë"}'
