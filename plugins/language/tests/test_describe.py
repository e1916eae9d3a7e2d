"""JSON Schemas in words: nothing that an author wrote is lost, and nothing is said twice."""

from __future__ import annotations

from typing import Any

import pytest

from pyscrai_language.describe import describe_schema, without_meanings

TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 20}, "whole number from 1 up to 20"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1.5}, "number above 0 up to 1.5"),
        ({"type": "string", "description": "why", "default": ""}, "text"),
        ({"type": "string", "minLength": 1, "maxLength": 9}, "text with up to 9 characters"),
        ({"type": ["integer", "null"], "minimum": 0}, "whole number or null from 0"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "whole number or null"),
        ({"enum": ["red", 2, None]}, "one of red, 2, null"),
        ({"oneOf": [{"const": 1, "title": "never"}, {"const": 2, "title": "often"}]}, "one of 1, 2"),
        ({"const": "x"}, '"x"'),
        ({"type": "boolean"}, "true or false"),
        ({"type": "array"}, "list"),
        ({"type": "array", "items": TEXT, "minItems": 2, "maxItems": 2}, "list of 2 values, each text"),
        (
            {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True, "maxItems": 2},
            "list of up to 2 different values, each one of a, b",
        ),
        ({"type": "object", "properties": {"a": TEXT, "b": {"type": "null"}}}, '{"a": text, "b": null}'),
        (
            {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}},
            "list, each the same again",
        ),
        # What would take many words stays what it is.
        ({"type": "string", "pattern": "^a", "title": "A"}, '{"type":"string","pattern":"^a"}'),
        ({"type": "integer", "x-scale": "Likert"}, '{"type":"integer","x-scale":"Likert"}'),
        ({"type": "object", "minProperties": 1}, '{"type":"object","minProperties":1}'),
        ({}, "anything"),
        (True, "anything"),
        (False, "nothing"),
    ],
)  # fmt: skip
def test_forms(schema: Any, form: str) -> None:
    assert describe_schema(schema)[0] == form


def test_every_meaning_is_told_with_its_place_and_once() -> None:
    why = {"type": "string", "description": "in your own words"}
    schema = {
        "title": "Your day",
        "description": "Think of yesterday.\nAll of it.",
        "type": "object",
        "properties": {
            "mood": {"type": "integer", "title": "Mood", "description": "5 is best"},
            "food": {"type": "string", "title": "Meals", "description": "Meals that you had"},
            "way": {"oneOf": [{"const": "bus", "description": "or coach"}, {"const": 2, "title": "Two"}]},
            "people": {
                "type": "array",
                "description": "whom you met",
                "items": {"type": "object", "description": "one of them", "properties": {"why": why}},
            },
            "now": {"$ref": "#/$defs/now", "title": "This minute"},
            "maybe": {"anyOf": [why, {"type": "null", "description": "nothing to say"}], **why},
            "odd": {"type": "object", "minProperties": 1, "properties": {"why": why}, "title": "The rest"},
        },
    }
    schema["properties"]["maybe"].pop("type")
    form, meanings = describe_schema(schema, "day", {"$defs": {"now": {"description": "by the clock"}}})
    assert meanings == [
        ("day", "Your day: Think of yesterday.\n  All of it."),
        ("day.mood", "5 is best"),
        ("day.food", "Meals that you had"),
        ("day.way = bus", "or coach"),
        ("day.way = 2", "Two"),
        ("day.people", "whom you met"),
        ("day.people[]", "one of them"),
        ("day.people[].why", "in your own words"),
        ("day.now", "This minute"),
        ("day.now", "by the clock"),
        ("day.maybe", "in your own words"),
        ("day.maybe", "nothing to say"),
        ("day.odd", "The rest"),
    ]
    assert form.endswith('"odd": {"type":"object","minProperties":1,"properties":'
                         '{"why":{"type":"string","description":"in your own words"}}}}')  # fmt: skip


def test_a_schema_without_meanings_fits_the_same_values() -> None:
    schema = {
        "title": "x",
        "properties": {"title": {"type": "string", "description": "y"}, "description": TEXT},
        "anyOf": [{"required": ["title"], "description": "z"}, True],
        "default": {"title": "kept"},
    }
    assert without_meanings(schema) == {
        "properties": {"title": TEXT, "description": TEXT},
        "anyOf": [{"required": ["title"]}, True],
        "default": {"title": "kept"},
    }


def test_references_within_references_are_not_written_out_for_ever() -> None:
    steps = {
        f"d{n}": {"type": "object", "properties": {key: {"$ref": f"#/$defs/d{n + 1}"} for key in "ab"}}
        for n in range(40)
    }
    schema = {"$ref": "#/$defs/d0", "$defs": {**steps, "d40": {"type": "integer"}}}
    form, meanings = describe_schema(schema)
    assert form.startswith('{"$ref":"#/$defs/d0"')
    assert meanings == []
