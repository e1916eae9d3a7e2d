"""Regular expressions that strangers write: one dialect, in linear time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pyscrai_language.patterns import compile_pattern
from pyscrai_language.schemas import check_schema, check_value


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"^\d+$", "12", True),
        (r"^\d+$", "12\n", False),  # Python's $ also stands before the last line end
        (r"^\d+$", "٣", False),
        (r"^\w+$", "Zoë", False),
        (r"^[\p{L}_]+$", "Zoë", True),
        (r"^\p{Script=Greek}+$", "αβ", True),
        (r"^\s$", "\u2003", True),
        (r"^\S$", "\u00a0", False),
        (r"^[^\S\n]$", "\u2003", True),
        (r"^[\s\S]*$", "a\u00a0\n", True),
        (r"^.$", "\n", False),
        (r"^.$", "😀", True),
        (r"^\ud83d\ude00\u00e9\u{e9}$", "😀éé", True),
        (r"^[\u{1F600}-\u{1F64F}]$", "😀", True),
        (r"^[[:alpha:]]$", ":]", True),  # no class of POSIX
        (r"^[\b[]+\/\-$", "\b[/-", True),
        (r"(?i)^ABC\Z", "abc", True),
        (r"(?<year>\d{4})", "1984", True),
        ("", "", True),
        ("a", "\ud800a", True),
    ],
)
def test_the_dialect(pattern: str, text: str, found: bool) -> None:
    assert compile_pattern(pattern).search(text) is found
    check_schema({"pattern": pattern})
    assert (check_value({"pattern": pattern}, text) is None) is found


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("a(?=b)", r"character 2: '\(\?=': a look-ahead is not available; leave it out, and test"),
        ("a(?!b)", "look-ahead .*`allOf`, `not`"),
        ("(?<=a)b", "character 1: .*a look-behind is not available"),
        ("(?<!a)b", "a look-behind is not available"),
        (r"(a)\1", "character 4: .*a back-reference is not available; write the alternatives"),
        ("(?P<x>a)(?P=x)", "a back-reference"),
        (r"(?<x>a)\k<x>", "a back-reference"),
        ("(?>a)b", r"an atomic group is not available; write '\(\?:'"),
        ("(a)?(?(1)b|c)", "a conditional group"),
        ("a++", "not a regular expression: bad repetition operator"),
        ("a{,3}", r"has no lower bound; write '\{0,3\}'"),
        ("(?x) a # b", "not a regular expression"),
        (r"\C", "write '.'"),
        (r"\u12", "four hexadecimal digits were expected"),
        ("[b-a]", "not a regular expression"),
        ("(", "not a regular expression: missing"),
        ("a{1001}", "too large; write a simpler one, with at most 1,000 repetitions"),
        ("(a{100}){100}", "too large"),
        (r"(\p{L}{50}){20}", "too large"),
        ("a" * 10_001, "longer than 10,000 characters"),
    ],
)
def test_what_cannot_be_searched_for_is_refused_with_its_place(pattern: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_schema({"properties": {"a": {"pattern": pattern}}})
    with pytest.raises(ValueError, match=told):
        check_schema({"patternProperties": {pattern: {}}})


BOMBS = [
    *("(a+)+$", "(a*)*$", "(a|a)*$", "(a|aa)+$", "(a|a?)+$", "([a-z]+)*$", "(.*a){20}$", "(.*)*x"),
    *("a?" * 40 + "a" * 40, "(?:a|aa)" * 40 + "$", "a{0,30}" * 10 + "$", "[ab]?" * 40 + "$", "a*" * 9 + "b"),
    *("(?:a?){1000}a{1000}$", "^(([a-z])+.)+[A-Z]([a-z])+$", r"^(\w+\s?)*$", "(x+x+)+y", "(a{1,30}){1,30}$"),
    *("(?s).*.*.*.*=.*", "(a?b?c?){300}$", "((((a*)*)*)*)*$", r"(\p{L}|a)*$", "(a.*|.*a.*)*$", "(|a)+$"),
    *("(?i)(a+)+$", "(a+|b)*c", "((a+)+)+$"),
]  # fmt: skip


@pytest.mark.parametrize("pattern", BOMBS)
@pytest.mark.usefixtures("ends")
def test_no_search_takes_for_ever(pattern: str) -> None:
    for text in ("a" * 60 + "!", "ab" * 5_000 + "!"):
        check_value({"pattern": pattern}, text)
        check_value({"patternProperties": {pattern: {}}, "additionalProperties": False}, {text: 1})
        check_value({"items": {"propertyNames": {"pattern": pattern}}}, [{text: 1}] * 10)


@pytest.mark.usefixtures("ends")
def test_many_searches_are_bounded_together() -> None:
    told = check_value({"items": {"pattern": "(a?){900}b"}}, ["a" * 10_000] * 10_000)
    assert told is not None
    assert told.startswith(
        "it takes too much work to check it by the schema's items.pattern; make the schema"
    )


def test_the_engine_is_loaded_only_for_a_pattern() -> None:
    code = """
import sys
from pyscrai_language.schemas import check_schema, check_value
check_schema({"type": "object", "properties": {"a": {"enum": [1]}}})
assert check_value({"enum": [1]}, 2)
assert "re2" not in sys.modules
check_schema({"pattern": "a"})
assert "re2" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
