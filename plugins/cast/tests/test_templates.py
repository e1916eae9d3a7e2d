"""What becomes of a model's words, and how templates show values."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from pyscrai_cast.answers import tidy
from pyscrai_cast.templates import describe_type, plain, show


@pytest.mark.parametrize(
    "given, kept",
    [
        ("  Three coins.\n", "Three coins."),
        ("Mara: Three coins.", "Three coins."),
        ("mara : no", "mara : no"),
        ("**Mara:** Three coins.", "Three coins."),
        ('"Three coins."', "Three coins."),
        ('Mara: "Three coins."', "Three coins."),
        ('"Mara: Three coins."', "Three coins."),
        ("“Three coins.”", "Three coins."),
        ("Mara: Mara: hm", "hm"),
        # All else is the model's own and stays.
        ('"Three," she said. "No less."', '"Three," she said. "No less."'),
        ("Jon: Three coins.", "Jon: Three coins."),
        ("Marathon: a long way.", "Marathon: a long way."),
        ("He said Mara: yes", "He said Mara: yes"),
        ('"', '"'),
        ("It's 'fine'", "It's 'fine'"),
        ('Mara: ""', ""),
        ("   ", ""),
    ],
)
def test_tidy(given: str, kept: str) -> None:
    assert tidy(given, "Mara") == kept


@pytest.mark.parametrize(
    "schema, words",
    [
        ({"type": "integer", "minimum": 1, "maximum": 20}, "whole number from 1 up to 20"),
        ({"type": "number", "maximum": 1.5}, "number up to 1.5"),
        ({"type": "string", "description": "why"}, "text"),
        ({"enum": ["red", 2, None]}, "one of red, 2, none"),
        ({"type": "boolean"}, "true or false"),
        ({"type": "array", "items": {"type": "string"}}, '{"type":"array","items":{"type":"string"}}'),
        ({"type": "string", "pattern": "^a"}, '{"type":"string","pattern":"^a"}'),
        ({"type": ["string", "null"]}, '{"type":["string","null"]}'),
        ({}, "anything"),
        (True, "anything"),
    ],
)
def test_the_form_of_an_argument_in_words(schema: Any, words: str) -> None:
    assert describe_type(schema) == words


def test_states_are_shown_as_plain_data() -> None:
    frozen = MappingProxyType({"price": None, "stalls": (MappingProxyType({"of": "Mara"}), 2)})
    assert plain(frozen) == {"price": None, "stalls": [{"of": "Mara"}, 2]}
    assert [show(value) for value in (None, "red", 3, True, {"a": [1]})] == [
        "none",
        "red",
        "3",
        "true",
        '{"a":[1]}',
    ]
