"""Checks of values against JSON Schemas."""

from __future__ import annotations

import random
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pyscrai_core.language import schemas
from pyscrai_core.language.schemas import checker

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
            "text: 3 is not of type",
        ),
        ({"type": "object", "required": ["text"]}, {}, "'text' is a required property"),
        ({"type": "integer"}, True, "True is not of type 'integer'"),
        ({"type": "integer"}, 2.0, None),
        ({"type": ["string", "null"]}, None, None),
        ({"type": "string", "maxLength": 2}, "abc", "'abc' is too long"),
    ],
)
def test_what_does_not_surely_fit_is_told_by_jsonschema(schema: Any, value: Any, wrong: str | None) -> None:
    told = checker(schema)(value)
    assert told is None if wrong is None else wrong in str(told)
