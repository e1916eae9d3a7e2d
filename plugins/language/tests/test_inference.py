"""What is certain to be wrong with an expression on values of which only the shapes are known."""

from __future__ import annotations

from typing import Any

import pytest

from pyscrai_language.expressions import Expression
from pyscrai_language.inference import Events, infer
from pyscrai_language.shapes import ANY, EVENT, Shape, list_of, one_of, shape_of, shape_of_schema

OFFER = {
    "type": "object",
    "properties": {"price": {"type": "integer"}, "to": {"enum": ["Ann", "Ben"]}, "note": {}},
}
EVENTS = Events(
    {
        "offer": shape_of_schema(OFFER),
        "say": shape_of({"text": ""}),
        "free": shape_of_schema({"type": "object"}),
    },
    one_of(("offer", "say", "free")),
    one_of(("Ann", "Ben")),
    list_of(one_of(("*", "Ann", "Ben", "team"))),
)
SHAPES = {
    "state": shape_of(
        {"n": 0, "text": "fog", "later": None, "empty": {}, "list": [], "on": True,
         "votes": {"yes": 0, "no": 0}, "rows": [{"a": 1}, {"b": 2}]}
    ),
    "agents": shape_of({"Ann": {"coins": 1}, "Ben": {"coins": 2, "age": 3}}),
    "event": Shape(frozenset((EVENT,)), events=frozenset(("offer",))),
    "events": list_of(Shape(frozenset((EVENT,)))),
    "free": ANY,
}  # fmt: skip


def found(source: str) -> list[str]:
    return infer(Expression(source, SHAPES), SHAPES, EVENTS)[1]


@pytest.mark.parametrize(
    "source",
    [
        "state.n + 1",
        "state.later.anything[0].at['all'] + len(state.later)",
        "state.empty.key + state.list[0].key",
        "state.votes['yes'] / max(1, sum([state.votes[k] for k in state.votes]))",
        "state.votes[event.payload.note]",
        "state.votes[free]",
        "state.rows[0].a + state.rows[1].b",
        "agents[event.source].coins + agents[event.payload.to].age",
        "agents[state.later].coins if state.later else 0",
        "[agents[n].age for n in agents if 'age' in agents[n]]",
        "event.payload.to == 'Ann' and event.source in ('Ann', 'Ben', '@outside')",
        "len([e for e in events if e.kind == 'offer' and e.payload.price > 3])",
        "[e for e in events if e.kind in ('offer', 'say')][-1].payload.text",
        "[e.payload.price if e.kind == 'offer' else e.payload.text for e in events]",
        "[e.payload.whatever for e in events]",  # an event of the kind `free` may have it
        "any(e.kind != 'say' and e.payload.price for e in events)",
        "'team' in event.audience or 'Ann' in agents",
        "{n: agents[n].coins for n in agents}['Ann']",
        "sorted(state.votes)[0] == 'yes'",
        "max([e.payload.price for e in events if e.kind == 'offer'], default=null)",
        "state.text + 'x' * 3 < f'{state.n}'",
        "sum([e.kind == 'say' for e in events]) + (1 if state.on else 2.5)",
        "[1] + [x for x in state.list] + state.later",
        "event.seq > 1 and event.cause is null and state.later is not null",
        "len(event.payload.note) + event.payload.note.deep",
        "[a + b for a, b in state.later]",
        "state.text == 'anything'",
        "state.n == null or state.on == 1 or state.later == 'a' or event.payload.note == [1]",
        "state.text in [] or state.n in ['a', 3] or free == {'a': 1}",
    ],
)
def test_what_may_be_right(source: str) -> None:
    assert found(source) == []


@pytest.mark.parametrize(
    "source, what",
    [
        ("state.m", "'state' has no key 'm'; it has empty"),
        ("state.vote.yes", "(did you mean 'votes'?)"),
        ("state.n == '3'", "compares a number with a string, which are never equal"),
        ("state.on != 'yes' or state.n > 1", "compares a boolean with a string, which are never equal"),
        ("state.n in ('1', '2')", "compares a number with a string, which are never equal"),
        ("[e for e in events if e.kind == 'offer' and e.payload.price == 'a']", "which are never equal"),
        ("state.votes.yess", "'state.votes' has no key 'yess' (did you mean 'yes'?); it has no, yes"),
        ("state['votes']['noo']", "has no key 'noo'"),
        ("'yess' in state.votes", "has no key 'yess'"),
        ("state.rows[0].c", "has no key 'c'"),
        ("agents.Anna.coins", "has no key 'Anna' (did you mean 'Ann'?)"),
        ("agents[event.source].coin", "has no key 'coin' (did you mean 'coins'?)"),
        ("[agents[n].coin for n in agents]", "has no key 'coin'"),
        ("event.payload.prize", "'event.payload' has no key 'prize' (did you mean 'price'?)"),
        ("event.pay", "'event' has no field 'pay' (did you mean 'payload'?)"),
        ("event.payload.text", "has no key 'text'"),
        ("[e.payload.text for e in events if e.kind == 'offer']", "has no key 'text'"),
        ("[e for e in events if e.kind == 'offer'][0].payload.text", "has no key 'text'"),
        ("e.payload.text if e.kind == 'offer' else 0", "has no key 'text'"),
        ("[e for e in events if e.kind == 'ofer']", "'e.kind' is never 'ofer' (did you mean 'offer'?)"),
        ("[e for e in events if e.kind in ('say', 'ofer')]", "'e.kind' is never 'ofer'"),
        ("[e for e in events if not e.kind != 'ofer']", "'e.kind' is never 'ofer'"),
        ("[len([e for e in events if e.kind == k]) for k in ['say', 'ofer']]", "'e.kind' is never 'ofer'"),
        ("[state.votes[k] for k in ('yes', 'noo')]", "'state.votes' has no key 'noo'"),
        ("event.kind == 'say'", "'event.kind' is never 'say'"),
        ("'Bean' == event.source", "'event.source' is never 'Bean' (did you mean 'Ben'?)"),
        ("event.payload.to == 'Cem'", "'event.payload.to' is never 'Cem'; it can be Ann, Ben"),
        ("'teem' in event.audience", "'event.audience' never holds 'teem'"),
        ("len(3)", "'3' is a number, where a list was expected"),
        ("len(state.n)", "'state.n' is a number, where a list was expected"),
        ("state.n.deep", "'state.n' is a number, so it has no 'deep'"),
        ("[x for x in state.n]", "'state.n' is a number, where a list was expected"),
        ("state.n + state.text", "combines a number with a string"),
        ("state.n < state.text", "compares a number with a string"),
        ("abs(state.text)", "'state.text' is a string, where a number was expected"),
        ("sum([e.kind for e in events])", "needs numbers, and gets a string"),
        ("state.list['a']", "''a'' is a string, where a whole number was expected"),
        ("-state.votes", "'state.votes' is a mapping, where a number was expected"),
        ("state.m if state.on else state.k", "has no key 'k'"),
    ],
)
def test_what_is_certain_to_be_wrong(source: str, what: str) -> None:
    if source.startswith("e."):
        source = f"[{source} for e in events]"
    assert any(what in one for one in found(source)), found(source)


def test_everything_that_is_wrong_is_found_at_once() -> None:
    assert len(found("state.a + state.b if state.c else len(3)")) == 4


@pytest.mark.parametrize(
    "schema, expression, wrong",
    [
        (
            {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "number"}},
            "x.b",
            False,
        ),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, "x.b", True),
        ({"type": "object", "patternProperties": {"^b": {}}}, "x.b", False),
        ({"anyOf": [{"type": "null"}, {"type": "object", "properties": {"a": {}}}]}, "x.b", True),
        ({"anyOf": [{"type": "null"}, {"type": "object", "properties": {"a": {}}}]}, "x.a", False),
        ({"type": ["string", "null"], "enum": ["a", None]}, "x == 'b'", True),
        ({"const": "a"}, "x == 'b'", True),
        ({"$ref": "#/$defs/x"}, "x.b", False),
        ({"type": "array", "items": {"enum": ["a"]}}, "x[0] == 'b'", True),
        ({"type": "array", "items": {"enum": ["a"]}}, "'b' in x", True),
        ({"type": "array"}, "x[0].b", False),
        ({"type": "integer"}, "x < 'a'", True),
        ({}, "x.b + len(x)", False),
        (True, "x.b", False),
    ],
)
def test_shapes_of_schemas(schema: Any, expression: str, wrong: bool) -> None:
    shapes = {"x": shape_of_schema(schema)}
    assert bool(infer(Expression(expression, shapes), shapes, EVENTS)[1]) is wrong
