"""What becomes of a model's words, and how templates show values."""

from __future__ import annotations

from types import MappingProxyType, SimpleNamespace

import pytest

from pyscrai_cast.answers import tidy
from pyscrai_cast.templates import describe_action, plain, show
from pyscrai_core import Action


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


def test_an_action_is_described_with_what_its_arguments_mean() -> None:
    schema = {
        "properties": {
            "mood": {"type": "integer", "maximum": 5, "title": "Mood", "description": "5 is best"},
            "why": {"type": "array", "items": {"enum": ["a", "b"], "description": "one reason"}},
        },
        "required": ["mood"],
    }
    action = Action("tell", "say how you are", schema, None, ("*",))
    assert describe_action(SimpleNamespace(actions={"tell": action}), "tell") == {
        "name": "tell",
        "description": "say how you are",
        "answer": '{"tell": {"mood": whole number up to 5, "why": list, each one of a, b}}',
        "arguments": [
            {"name": "mood", "form": "whole number up to 5", "description": "5 is best", "required": True},
            {"name": "why", "form": "list, each one of a, b", "description": "", "required": False},
        ],
        "meanings": ["mood: 5 is best", "why[]: one reason"],
    }


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
