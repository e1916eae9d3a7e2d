"""The schema of an actor's answer accepts exactly what the agent may answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pyscrai_cast.actor import answer_schema
from pyscrai_cast.analyst import AnalystConfig, Score, finding_schema

PRICE = {"type": "integer", "minimum": 1, "maximum": 20}

#: An argument's schema, values that fit it, and values that do not.
ARGUMENTS: list[tuple[dict[str, Any], list[Any], list[Any]]] = [
    (PRICE, [1, 20], [0, 21, 1.5, "3", None]),
    ({"type": "number", "minimum": 0}, [0, 2.5], [-1, "1"]),
    ({"type": "string"}, ["", "some words", "ß"], [1, None, "x" * 601]),
    ({"type": "string", "maxLength": 3}, ["abc"], ["abcd"]),
    ({"type": "string", "enum": ["red", "blue"]}, ["red"], ["green", 1]),
    ({"type": "boolean"}, [True, False], ["yes", 1]),
    ({"type": "array", "items": PRICE, "maxItems": 2}, [[], [3, 4]], [[0], [1, 2, 3], 3]),
    ({"anyOf": [{"type": "null"}, PRICE]}, [None, 7], [0, "none"]),
]


def agent(**actions: dict[str, Any]) -> Any:
    """An agent with these actions: name to schema of the arguments."""
    return SimpleNamespace(actions={name: SimpleNamespace(schema=schema) for name, schema in actions.items()})


def arguments(optional: Any = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [key for key in properties if key not in optional],
        "additionalProperties": False,
    }


@settings(deadline=None)
@given(
    kinds=st.lists(st.lists(st.integers(0, len(ARGUMENTS) - 1), max_size=3), min_size=1, max_size=4),
    speak=st.booleans(),
    must_act=st.booleans(),
    draw=st.randoms(use_true_random=False),
)
def test_it_accepts_exactly_the_right_answers(
    kinds: list[list[int]], speak: bool, must_act: bool, draw: Any
) -> None:
    actions = {
        f"do-{number}": arguments(**{f"a{place}": ARGUMENTS[kind][0] for place, kind in enumerate(chosen)})
        for number, chosen in enumerate(kinds)
    }
    schema = answer_schema(agent(**actions), list(actions), speak=speak, must_act=must_act)
    Draft202012Validator.check_schema(schema)
    fits = Draft202012Validator(schema).is_valid
    said = {"say": "Three coins."} if speak else {}

    assert fits({**said, "action": None}) is not must_act
    assert not fits({**said, "action": "none"})
    assert not fits({**said})
    assert not fits({**said, "action": None, "more": 1})
    assert fits({"action": None}) is (not speak and not must_act)
    assert not fits({"say": "x" * 601, "action": None})
    for number, chosen in enumerate(kinds):
        name = f"do-{number}"
        right = {f"a{place}": draw.choice(ARGUMENTS[kind][1]) for place, kind in enumerate(chosen)}
        if not chosen:
            assert fits({**said, "action": name})
            assert not fits({**said, "action": {name: {}}})
            continue
        assert fits({**said, "action": {name: right}})
        assert not fits({**said, "action": name})
        assert not fits({**said, "action": {name: {**right, "more": 1}}})
        assert not fits({**said, "action": {name: right, "do-9": right}})
        for place, kind in enumerate(chosen):
            wrong = {**right, f"a{place}": draw.choice(ARGUMENTS[kind][2])}
            assert not fits({**said, "action": {name: wrong}})
            del wrong[f"a{place}"]
            assert not fits({**said, "action": {name: wrong}})


def test_only_open_actions_are_offered() -> None:
    mara = agent(offer=arguments(price=PRICE), accept=arguments(), leave=arguments())
    fits = Draft202012Validator(answer_schema(mara, ["offer", "leave"])).is_valid
    assert fits({"say": "", "action": "leave"})
    assert not fits({"say": "", "action": "accept"})


def test_an_argument_with_a_default_may_be_left_out() -> None:
    mara = agent(offer=arguments(price=PRICE, note={"type": "string", "default": ""}, optional=("note",)))
    fits = Draft202012Validator(answer_schema(mara, ["offer"])).is_valid
    assert fits({"say": "", "action": {"offer": {"price": 3}}})
    assert fits({"say": "", "action": {"offer": {"price": 3, "note": "the last"}}})


def test_references_inside_an_action_still_lead_there() -> None:
    pair = {"type": "array", "items": {"$ref": "#/$defs/price"}, "minItems": 2, "maxItems": 2}
    schema = {**arguments(range=pair), "$defs": {"price": PRICE}}
    fits = Draft202012Validator(answer_schema(agent(offer=schema, ask=schema), ["offer", "ask"])).is_valid
    for name in ("offer", "ask"):
        assert fits({"say": "", "action": {name: {"range": [1, 20]}}})
        assert not fits({"say": "", "action": {name: {"range": [1, 21]}}})


def _objects(schema: Any) -> list[dict[str, Any]]:
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    own = [schema] if isinstance(schema, dict) and schema.get("type") == "object" else []
    return own + [found for part in inner for found in _objects(part)]


@pytest.mark.parametrize("speak", [True, False])
def test_strict_modes_of_vendors_take_it(speak: bool) -> None:
    mara = agent(offer=arguments(price=PRICE), ask=arguments(price=PRICE), accept=arguments())
    schema = answer_schema(mara, list(mara.actions), speak=speak)
    assert schema["type"] == "object"
    assert "anyOf" not in schema
    for part in _objects(schema):
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])
    choices = schema["properties"]["action"]["anyOf"]
    first = [next(iter(choice["properties"])) for choice in choices if choice["type"] == "object"]
    assert first == ["offer", "ask"], "alternatives with the same first key are refused by OpenAI"


def test_lines_belong_to_their_action_and_come_after_it() -> None:
    mara = agent(offer=arguments(price=PRICE), accept=arguments())
    schema = answer_schema(
        mara, ["offer", "accept"], speak=False, lines={"offer": ("Fresh!", "Red!"), "accept": ("A deal.",)}
    )
    fits = Draft202012Validator(schema).is_valid
    assert fits({"action": {"offer": {"price": 3}, "say": "Red!"}})
    assert fits({"action": {"accept": "A deal."}})
    assert fits({"action": None})
    assert not fits({"action": {"offer": {"price": 3}, "say": "A deal."}})
    assert not fits({"action": {"offer": {"price": 3}}})
    assert not fits({"action": "accept"})
    assert list(schema["properties"]["action"]["anyOf"][0]["properties"]) == ["offer", "say"]


def test_words_come_before_the_action() -> None:
    mara = agent(offer=arguments(price=PRICE))
    assert list(answer_schema(mara, ["offer"], words=12)["properties"]) == ["say", "action"]
    assert answer_schema(mara, ["offer"], words=12)["properties"]["say"]["maxLength"] == 120


def test_a_finding_has_all_scores_within_their_bounds() -> None:
    config = AnalystConfig(scores={"trust": Score(maximum=5), "share": Score("", 0, 1, "number")})
    fits = Draft202012Validator(finding_schema(config)).is_valid
    assert fits({"text": "They trade.", "scores": {"trust": 5, "share": 0.25}})
    assert not fits({"text": "They trade.", "scores": {"trust": 6, "share": 0.25}})
    assert not fits({"text": "They trade.", "scores": {"trust": 2.5, "share": 0.25}})
    assert not fits({"text": "They trade.", "scores": {"trust": 5}})
    assert not fits({"text": "", "scores": {"trust": 5, "share": 0.25}})


@pytest.mark.parametrize(
    "wrong",
    [{"minimum": 3, "maximum": 3}, {"maximum": float("inf")}, {"maximum": 2.5}],
)
def test_bounds_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="maximum|integer bounds"):
        Score(**wrong)
