"""JSON that a model wrote, and where it stops being JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyscrai_language.parsing import parse_json

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(), part, max_size=4),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "line 1, column 1: expected a value, got the end of the text"),
        ("I would sell.", 'line 1, column 1: expected a value, got "I would sell."'),
        ('{"a": 1', "line 1, column 8: expected ',' or '}', got the end of the text"),
        ('{"a": 1,}', 'line 1, column 9: expected a key in double quotes, got "}"'),
        ("{a: 1}", "line 1, column 2: expected a key in double quotes or '}', got \"a: 1}\""),
        ('{"a" 1}', "line 1, column 6: expected ':', got \"1}\""),
        ("[1 2]", "line 1, column 4: expected ',' or ']', got \"2]\""),
        ("[1,\n 2,\n ]", 'line 3, column 2: expected a value, got "]"'),
        ('{"a": 1} and so', 'line 1, column 10: expected nothing more, got "and so"'),
        ('{"a": "x', "line 1, column 7: expected a value, got a string that does not end"),
        ("'a'", "line 1, column 1: expected a value, got \"'a'\""),
        ("[01]", "line 1, column 2: expected a value or ']', got \"01]\""),
        ("[NaN]", "line 1, column 2: expected a value or ']', got \"NaN]\""),
        ("[1e999]", "a number is too large, an escape gives half of a character, or it is nested too deeply"),
        ('["\\ud800"]', "a number is too large, an escape gives half of a character, or"),
        ("[" * 100_000, "line 1, column 100001: expected a value or ']', got the end of the text"),
    ],
)
def test_where_a_text_stops_being_json_is_told(text: str, wrong: str) -> None:
    assert parse_json(text)[0] is None
    assert (parse_json(text)[1] or "").startswith(f"it is not JSON: {wrong}")


def test_an_integer_of_more_than_53_bits_is_refused() -> None:
    assert parse_json('{"n": 9007199254740993}')[1] == "value.n: 9007199254740993 does not fit into 53 bits"


@given(PLAIN, st.sampled_from([None, 2]))
def test_what_json_writes_is_read_back(value: Any, indent: int | None) -> None:
    assert parse_json(json.dumps(value, indent=indent)) == (value, None)


@given(st.text(st.sampled_from('[]{},:"\\ue0123-+.ntrf \n\x00é'), max_size=20))
def test_a_text_is_json_exactly_if_python_reads_it(text: str) -> None:
    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        value = json.loads(text, parse_constant=refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, UnicodeEncodeError):
        assert parse_json(text)[1]
    else:
        if not (isinstance(value, float) and math.isinf(value)):
            assert parse_json(text) == (value, None)
