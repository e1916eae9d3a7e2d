"""Reading YAML: values mean what they look like, have a place, and mistakes are told with it."""

from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pyscrai_language import yaml
from pyscrai_language.document import Mark, Marks
from pyscrai_language.lookalikes import normalize
from pyscrai_language.misfit import Path, dotted
from pyscrai_language.yaml import load, loads, parse_scalar
from pyscrai_records.base.files import MAX_BYTES
from pyscrai_records.errors import ScenarioError


@pytest.fixture(params=["C", "Python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both of PyYAML's parsers: a machine may lack the one that is written in C."""
    if request.param == "Python":
        monkeypatch.setattr(yaml, "_Loader", pyyaml.SafeLoader)
    elif not hasattr(pyyaml, "CSafeLoader"):
        pytest.skip("this PyYAML was built without libyaml")
    return str(request.param)


def mistake(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        loads(text, "f.yaml")
    return str(caught.value)


# -- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *((word, None) for word in ("~", "null", "Null", "NULL")),
        *(
            (word, word)
            for word in ("yes", "Yes", "no", "NO", "on", "On", "off", "y", "n", "tRue", "nULL", "none")
        ),
        *(
            (text, text)
            for text in ("12:30", "1:30:45", "190:20:30.15", "2026-11-01", "2026-11-01T10:00:00Z")
        ),
        *(
            (text, text)
            for text in ("010", "-007", "00", "0b11", "1_000", "08", "1.2.3", "+", "-x", ".", "1e", "e5")
        ),
        *(
            (text, text)
            for text in ("0X1F", "0o8", "0xg", "1,5", "٣", "=", "<<", "inf", "nan", "infinity", "1__0")
        ),
        ("0", 0),
        ("-0", 0),
        ("42", 42),
        ("+42", 42),
        ("-7", -7),
        ("0x1F", 31),
        ("0o17", 15),
        ("9007199254740991", 2**53 - 1),
        ("1.5", 1.5),
        ("1e5", 1e5),
        ("1.5e3", 1500.0),
        ("1E-3", 0.001),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("0.0", 0.0),
        ("1e-400", 0.0),
        ("'3'", "3"),
        ('"true"', "true"),
        ('"a\\tb\\u00e9\\/"', "a\tbé/"),
        ("'it''s'", "it's"),
        ("|\n two\n lines\n", "two\nlines\n"),
        (">-\n two\n lines\n", "two lines"),
        ("é 😀 日本", "é 😀 日本"),
        ("[1, [a, {b: 2}], {}]", [1, ["a", {"b": 2}], {}]),
        ("", None),
    ],
)
def test_values(text: str, value: Any, parser: str) -> None:
    result = loads(f"key: {text}\n", "f.yaml").value["key"]
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("9007199254740992", "does not fit into 53 bits; quote it"),
        ("-9007199254740992", "does not fit into 53 bits"),
        ("0x20000000000000", "does not fit into 53 bits"),
        ("9" * 10_000, "the integer 9999999999999999999999999999999999999... does not fit"),
        ("0x" + "f" * 100_000, "does not fit into 53 bits"),
        ("1e400", "too large for a float"),
        ("-1e999999999", "too large for a float"),
        (".inf", "not a finite number"),
        ("-.Inf", "not a finite number"),
        (".NaN", "not a finite number"),
        ("!!str 5", "the tag !!str is not read"),
        ("!!python/object/apply:os.system [true]", "the tag !!python/object/apply:os.system is not read"),
        ("!custom {a: 1}", "the tag !custom is not read"),
        ("! x", "the tag ! is not read"),
        ("!!binary aGk=", "the tag !!binary is not read"),
    ],
)
def test_refused_values(text: str, words: str, parser: str) -> None:
    message = mistake(f"top:\n  key: {text}\n")
    assert message.startswith("f.yaml:2:8: top.key: ")
    assert words in message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("1: x", "1"),
        ("on: x", "on"),
        ("true: x", "true"),
        ("1.50: x", "1.50"),
        ("'<<': x", "<<"),
        ('"": x', ""),
    ],
)
def test_keys_are_their_source_text(text: str, key: str, parser: str) -> None:
    assert loads(text, "f.yaml").value == {key: "x"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: a: the key appears twice in this mapping, first at f.yaml:1:1"),
        ("{1: x, '1': y}", "f.yaml:1:8: 1: the key appears twice"),
        (
            "x:\n  - {a: 1, a: 2}\n",
            "f.yaml:2:12: x[0].a: the key appears twice in this mapping, first at f.yaml:2:6",
        ),
        ("null: 1\n", "f.yaml:1:1: null is null and cannot be a key"),
        ("x: {~: 1}\n", "f.yaml:1:5: x: ~ is null and cannot be a key"),
        ("? \n: 1\n", "an empty key cannot be a key"),
        ("? [a]\n: 1\n", "f.yaml:1:3: a list or a mapping cannot be a key"),
        ("a: &a [1]\n*a : 2\n", "f.yaml:2:1: a list or a mapping cannot be a key"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n  d: 2\n", "f.yaml:3:3: c: merge keys (<<) are not supported"),
        ("!!str a: 1\n", "the tag !!str is not read"),
    ],
)
def test_refused_keys(text: str, words: str) -> None:
    assert words in mistake(text)


def test_all_mistakes_are_told_at_once() -> None:
    message = mistake("a: .inf\nb: !x 1\n? {c: 1}\n: .nan\na: 1e999\nd: 2\n")
    assert [line.split(": ")[0] for line in message.splitlines()] == [
        "f.yaml:1:4",
        "f.yaml:2:4",
        "f.yaml:3:3",
        "f.yaml:4:3",
        "f.yaml:5:1",
        "f.yaml:5:4",
    ]
    assert len(mistake("- .nan\n" * 1000).splitlines()) == yaml.MAX_MISTAKES


#: What is read comes in the form NFC.
_text = st.text(st.characters(exclude_categories=["Cs"])).map(normalize)
_keys = st.text(max_size=5).map(normalize)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=300, deadline=None)
@given(_json)
def test_json_is_read_as_json_reads_it(value: Any) -> None:
    text = json.dumps(value)
    assert loads(text, "f.json").value == value
    assert loads(json.dumps(value, indent="\t"), "f.json").value == value
    try:
        raw = loads(json.dumps(value, ensure_ascii=False), "f.json").value
    except ScenarioError as error:
        assert "write it as an escape" in str(error)  # noqa: PT017 - it may be read, too
    else:
        assert raw == value


@settings(max_examples=300, deadline=None)
@given(_json)
def test_what_pyyaml_writes_is_read_back(value: Any) -> None:
    text = pyyaml.safe_dump(value)
    # Left out: what YAML 1.1 needs for odd strings, and long keys; and `1e5`, which is text in YAML 1.1.
    if "!!" not in text and "? " not in text and not re.search(r"[0-9.][eE][0-9]", text):
        assert loads(text, "f.yaml").value == value


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from("ab1:-[]{},&*!|>'\"%@`#?~ \t\n\\\u00e9"), max_size=40) | st.text(max_size=20))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        document = loads(text, "f.yaml")
    except ScenarioError as error:
        for one in error.mistakes:
            assert one.where.startswith("f.yaml:")
            assert one.what
    else:
        assert document.has_mark(())


def test_json_may_write_one_character_as_two_escapes() -> None:
    value = {"name": "😀 é", "raw": "\\ud83d\\ude00"}
    assert loads(json.dumps(value), "f.json").value == value
    assert "half of a character" in mistake('{"a": "\\ud83d"}') or "not an escape" in mistake(
        '{"a": "\\ud83d"}'
    )


# -- marks --------------------------------------------------------------------------------------

TEXT = """\
# a comment
agents:
  Mara:
    goals: [sell, "keep, one"]
    note: |
      text
  Jon:
rules:
- {on: offer, set: {price: 3}}
-
  on: accept
"""


def walk(marks: Marks, path: Path = ()) -> Iterator[tuple[Path, Marks]]:
    """All marks of a document, by the path of each value."""
    yield path, marks
    for key, part in marks.parts.items():
        yield from walk(part, (*path, key))


def test_marks(parser: str) -> None:
    document = loads(TEXT, "f.yaml")
    assert document.value == {
        "agents": {"Mara": {"goals": ["sell", "keep, one"], "note": "text\n"}, "Jon": None},
        "rules": [{"on": "offer", "set": {"price": 3}}, {"on": "accept"}],
    }
    places = {dotted(path): (one.own.line, one.own.column) for path, one in walk(document.marks) if one.own}
    assert places == {
        "": (2, 1),
        "agents": (3, 3),
        "agents.Mara": (4, 5),
        "agents.Mara.goals": (4, 12),
        "agents.Mara.goals[0]": (4, 13),
        "agents.Mara.goals[1]": (4, 19),
        "agents.Mara.note": (5, 11),
        "agents.Jon": (7, 7),
        "rules": (9, 1),
        "rules[0]": (9, 3),
        "rules[0].on": (9, 8),
        "rules[0].set": (9, 20),
        "rules[0].set.price": (9, 28),
        "rules[1]": (11, 3),
        "rules[1].on": (11, 7),
    }
    keys = {dotted(path): (one.key.line, one.key.column) for path, one in walk(document.marks) if one.key}
    assert keys["agents"] == (2, 1)
    assert keys["agents.Jon"] == (7, 3)
    assert keys["rules[0].set.price"] == (9, 21)
    assert keys.keys() == {path for path in places if path and not path.endswith("]")}


def test_columns_count_characters(parser: str) -> None:
    document = loads("é😀: [日本, {b: c}]\r\nx: y\r\n", "f.yaml")
    assert document.place(("é😀", 1, "b")) == "f.yaml:1:14"
    assert document.place(("x",)) == "f.yaml:2:4"


def test_a_mark_in_words() -> None:
    assert str(Mark("a/b.yaml", 3, 7)) == "a/b.yaml:3:7"
    assert str(Mark("--set a.b=c", 0, 0)) == "--set a.b=c"


# -- aliases ------------------------------------------------------------------------------------


def test_aliases_are_copies(parser: str) -> None:
    document = loads("a: &x {n: [1]}\nb: *x\nc: [*x, &y z, *y]\n*y : k\n", "f.yaml")
    assert document.value == {"a": {"n": [1]}, "b": {"n": [1]}, "c": [{"n": [1]}, "z", "z"], "z": "k"}
    document.value["b"]["n"].append(2)
    assert document.value["a"] == {"n": [1]}
    assert document.place(("b",)) == "f.yaml:2:4"
    assert document.place(("b", "n")) == "f.yaml:1:11"
    assert document.place(("c", 0, "n"), on_key=True) == "f.yaml:1:8"


def test_an_anchor_may_be_set_again(parser: str) -> None:
    text = "a: &x [&y 1]\nb: &y 2\nc: *x\nd: *y\n"
    assert loads(text, "f.yaml").value == {"a": [1], "b": 2, "c": [1], "d": 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: *x\n", "f.yaml:1:4: there is no anchor &x before this alias; quote text that begins with '*'"),
        (
            "a: &buyer 1\nb: *buyers\n",
            "f.yaml:2:4: there is no anchor &buyers before this alias (did you mean *buyer?)",
        ),
        ("a: &r [*r]\n", "f.yaml:1:8: the alias *r is inside of what it repeats"),
        ("a: &r {b: {c: [*r]}}\n", "f.yaml:1:16: the alias *r is inside"),
        ("&r [a, *r]", "f.yaml:1:8: the alias *r is inside"),
    ],
)
def test_refused_aliases(text: str, words: str, parser: str) -> None:
    assert words in mistake(text)


def test_a_billion_laughs_end_early() -> None:
    lines = ["a0: &a0 [" + ", ".join(["ha"] * 10) + "]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    message = mistake("\n".join(lines))
    assert "more than 200,000 values, what its aliases repeat included" in message


def test_aliases_do_not_deepen_without_end() -> None:
    lines = ["a0: &a0 [" + "[" * 60 + "]" * 60 + "]"]
    lines += [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 60)]
    assert "nested more than 100 levels deep" in mistake("\n".join(lines))


# -- bounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", '{"a":['])
def test_depth_is_bounded(opening: str, parser: str) -> None:
    message = mistake(opening * (200_000 if parser == "C" else 2_000))
    assert "nested more than 100 levels deep; make the document flatter" in message


def test_depth_is_found_before_a_mistake_that_the_parser_meets_by_reading_ahead(parser: str) -> None:
    assert mistake("[" * 150 + "@").startswith("f.yaml:1:101: lists and mappings are nested")
    assert "text cannot begin with @" in mistake("[" * 100 + "@")
    assert "text cannot begin with @" in mistake("'" + "[" * 150 + "': @")


def test_what_the_parser_says_beyond_our_list_picks_no_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(text: str, Loader: Any) -> Any:
        mark = pyyaml.Mark("f", 2, 0, 2, None, 0)
        raise pyyaml.MarkedYAMLError("while scanning it", mark, "exceeded the maximum moon phase", mark)

    monkeypatch.setattr(pyyaml, "parse", parse)
    what = "this is not valid YAML (exceeded the maximum moon phase); check this line"
    assert mistake("a: b") == f"f.yaml:1:3: {what} and the one before it"


def test_depth_up_to_the_bound_is_fine(parser: str) -> None:
    value = loads("[" * 100 + "]" * 100, "f.yaml").value
    for _ in range(99):
        (value,) = value
    assert value == []


def test_the_number_of_values_is_bounded() -> None:
    assert "more than 200,000 values" in mistake("[" + "1," * 200_001 + "]")
    assert len(loads("[" + "1," * 199_000 + "]", "f.yaml").value) == 199_000


# -- syntax -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a:\n\tb: 1\n", "f.yaml:2:1: a tab is used for indentation"),
        ("a: x\n\tb: 2\n", "f.yaml:2:1: a tab is used for indentation"),
        ("a: b: c\n", "f.yaml:1:5: a ':' is where no key can be; quote text"),
        ("a: 1\n b: 2\n", "f.yaml:2:3: a ':' is where no key can be"),
        ("a: [1, 2\nb: 3\n", "f.yaml:2:2: the list that begins at line 1, column 4 is not closed"),
        ("a: {b: 1\n", "the mapping that begins at line 1, column 4 is not closed"),
        ("x: 1\na: 'b\n", "f.yaml:2:4: the quote that is opened at line 2, column 4 is never closed"),
        ("a: @x\n", "f.yaml:1:4: text cannot begin with @; put it in quotes"),
        ("a: `x`\n", "f.yaml:1:4: text cannot begin with `; put it in quotes"),
        ("a: %x\n", "f.yaml:1:4: text cannot begin with %; put it in quotes"),
        ('a: "\\q"\n', "this is not an escape that YAML knows"),
        ('a: "\\xzz"\n', "this is not an escape that YAML knows"),
        ('a: "\\ud8"\n', "this is not an escape that YAML knows"),
        ('a: "\\U99999999"\n', "escape"),
        ('a: "\\U00110000"\n', "escape"),
        ("a: !<%zz> b\n", "a tag begins with '!'"),
        ("a: !e%zz b\n", "a tag begins with '!'"),
        ("a: !b!c d\n", "f.yaml:1:4: a tag begins with '!'"),
        ("a: !<b c\n", "a tag begins with '!'"),
        ("%YAML 1.1 1\n---\na\n", "f.yaml:1:11: a line that begins with '%'"),
        ("a:\n  - x\n y: 2\n", "f.yaml:3:2: "),
        ("- a\nb: 1\n", "f.yaml:2:1: "),
        ("a: - b\n", "f.yaml:1:4: a list cannot begin here"),
        ("a: > x\n", "f.yaml:1:6: text cannot follow '|' or '>' on the same line"),
        ("[a]]\n", "f.yaml:1:4: the document ends before this"),
        ("[,]\n", "f.yaml:1:2: a value was expected here"),
        ("a: x\n---\nb: 1\n", "f.yaml:2:1: a second document begins here; keep one document in a file"),
        ("--- 1\n--- 2\n", "f.yaml:2:1: a second document"),
        ("a: b\nc: \x00\n", "f.yaml:2:4: the character U+0000 is not allowed in YAML"),
        ("a: é\x07", "f.yaml:1:5: the character U+0007"),
        ("a: 'x\u2028y'", "f.yaml:1:6: the character U+2028"),
        ("a: 'x\x85y'", "f.yaml:1:6: the character U+0085"),
        ("a: \ud800", "f.yaml:1:4: the character U+D800"),
        ("", "f.yaml:1:1: the file is empty, where a YAML document was expected"),
        ("# only a comment\n\n", "the file is empty"),
        ("\ufeff", "the file is empty"),
    ],
)
def test_syntax_errors(text: str, words: str, parser: str) -> None:
    assert words in mistake(text)


def test_tabs_inside_of_brackets_are_fine_where_the_parser_allows_them() -> None:
    assert loads('{\n\t"a": 1,\n\t"b": [\n\t\t2\n\t]\n}\n', "f.json").value == {"a": 1, "b": [2]}


# -- files --------------------------------------------------------------------------------------


def unreadable(path: pathlib.Path) -> str:
    with pytest.raises(ScenarioError) as caught:
        load(path)
    return str(caught.value)


def test_a_file_is_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "market.yaml"
    path.write_bytes(b"\xef\xbb\xbfscenario: caf\xc3\xa9\r\nseed: 7\r\n")
    document = load(path)
    assert document.value == {"scenario": "café", "seed": 7}
    assert document.place(("seed",)) == f"{path}:2:7"


def test_a_missing_file_is_guessed(tmp_path: pathlib.Path) -> None:
    right, wrong = tmp_path / "market.yaml", tmp_path / "markt.yaml"
    right.write_text("a: 1")
    assert unreadable(wrong) == f"{wrong}: there is no such file (did you mean '{right}'?); check the path"
    assert unreadable(tmp_path / "zzz") == f"{tmp_path / 'zzz'}: there is no such file; check the path"
    assert "nor a folder" in unreadable(tmp_path / "no" / "market.yaml")


def test_a_folder_is_not_a_file(tmp_path: pathlib.Path) -> None:
    assert "this is a folder, where a file was expected; name the file in it" in unreadable(tmp_path)


def test_binary_files_are_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes("a: é\nb: ".encode() + b"\xff\xfe")
    assert unreadable(path) == f"{path}:2:4: byte 0xff is not UTF-8 text; save the file in UTF-8"
    path.write_bytes("a: b".encode("utf-16"))
    assert "f.yaml:1:1: byte 0xff is not UTF-8" in unreadable(path)
    path.write_bytes(b"GIF89a\x00\x01")
    assert "f.yaml:1:7: the character U+0000" in unreadable(path)


def test_a_large_file_is_not_read_to_its_end(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "f.yaml"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert "larger than the 10,000,000 bytes that are read" in unreadable(path)
    if os.path.exists("/dev/zero"):
        assert "a device or a pipe" in unreadable(pathlib.Path("/dev/zero"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    assert "the file cannot be read (Permission denied)" in unreadable(path)


def test_what_is_no_path(tmp_path: pathlib.Path) -> None:
    (tmp_path / "f").write_text("a: 1")
    assert "the file cannot be read (Not a directory)" in unreadable(tmp_path / "f" / "g.yaml")
    assert "cannot be the name of a file" in unreadable(pathlib.Path("a\x00b"))
    assert "the file cannot be read (File name too long)" in unreadable(tmp_path / ("x" * 5000))


# -- values from the command line ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-1.5", -1.5),
        ("true", True),
        ("no", "no"),
        ("null", None),
        ("~", None),
        ("[a, b]", ["a", "b"]),
        ("{use: window, tokens: 2000}", {"use": "window", "tokens": 2000}),
        ("react", "react"),
        ("", ""),
        ("  ", ""),
        (" 3 ", 3),
        ('"3"', "3"),
        ("''", ""),
        ("She said: hello # twice", "She said: hello # twice"),
        ("a: b", "a: b"),
        ("- x", "- x"),
        ("*x", "*x"),
        ("&x", "&x"),
        ("!x", "!x"),
        ("| x", "| x"),
        ("@me", "@me"),
        ("12:30", "12:30"),
        ("010", "010"),
    ],
)
def test_parse_scalar(text: str, value: Any) -> None:
    result = parse_scalar(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "text", ["[a", "{a: 1", "'a", '"a', "[a] b", "{a: 1, a: 2}", "[!!x a]", ".inf", "9" * 30]
)
def test_refused_scalars(text: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scalar(text)
    assert str(caught.value).startswith("--set")


def test_dotted() -> None:
    assert dotted(()) == ""
    assert dotted(("agents", "Mara", "goals", 0, "x")) == "agents.Mara.goals[0].x"
    assert dotted((0, "a")) == "[0].a"
