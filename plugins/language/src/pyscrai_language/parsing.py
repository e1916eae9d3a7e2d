"""JSON that a model wrote: its value, or where it stops being JSON.

What is wrong is told to models and logged, so it is worked out here: the texts and the positions of a library
that parses differ between its versions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from pyscrai_records.base.strict_json import load_json
from pyscrai_records.base.suggest import format_json
from pyscrai_records.canonical import check_json

_TOKEN = re.compile(
    r"""(?P<string> "(?: [^"\\\x00-\x1f] | \\(?:["\\/bfnrt] | u[0-9a-fA-F]{4}) )*" )
      | (?P<scalar> (?: true | false | null | -?(?:0 | [1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)? )
                    (?![\w.+-]) )
      | [][{},:]
      | \Z""",
    re.VERBOSE,
)
_SPACE = re.compile(r"[ \t\n\r]*")

_VALUE = {"string": "next", "scalar": "next", "{": "first key", "[": "first value"}
#: For each state of the parser, which tokens may come and to which state they lead.
_STATES = {
    "value": _VALUE,
    "first value": {**_VALUE, "]": "next"},
    "key": {"string": "colon"},
    "first key": {"string": "colon", "}": "next"},
    "colon": {":": "value"},
}
_EXPECTED = {
    "value": "a value",
    "first value": "a value or ']'",
    "key": "a key in double quotes",
    "first key": "a key in double quotes or '}'",
    "colon": "':'",
    "end": "nothing more",
}


#: The beginning of a text in a Markdown fence.
_FENCE = re.compile(r"```[\w-]{0,40}[ \t]{0,40}\n")
#: How many places of a text are tried as the beginning of JSON.
_TRIES = 200
#: The beginning of an object or a list, which is JSON if it goes on.
_BEGUN = re.compile(r'\{\s{0,99}"|\[\s{0,99}(?:[\[{"]|\Z)')
_BRACKET = re.compile(r"[{[]")
_DECODER = json.JSONDecoder()


def parse_json(text: str) -> tuple[Any, str | None]:
    """The value of a JSON text, and what is wrong with it; that is None if nothing is.

    A key that stands twice with different values, and a number that would be rounded, are wrong: which value
    was meant is not known.
    """
    try:
        orjson.loads(text)  # is it JSON?
        return check_json(load_json(text)), None
    except (orjson.JSONDecodeError, RecursionError):
        return None, f"it is not JSON: {_find_fault(text)}"
    except ValueError as error:
        return None, str(error)


def find_json(text: str) -> str:
    """The JSON in a text, if it is unambiguous: the only fenced text, or the only object, or the only list.

    The text itself if it is JSON as a whole, or if there is no such part. A repeated part counts once.
    What stands in an object that was begun and never ended is no part: the answer was cut off.
    """
    text = text.strip()
    if parse_json(text)[1] is None:
        return text
    fenced = _fenced(text)
    if len(fenced) == 1:
        return fenced[0].strip()
    pairs = list(json_parts(text))
    tail = text[sum(len(before) + len(part) for before, part in pairs) :]
    if _is_cut_off([*(before for before, _ in pairs), tail]):
        return text
    parts = [part for _, part in pairs]
    objects = [part for part in parts if part.startswith("{")]
    found = list(dict.fromkeys(objects or parts))
    return found[0] if len(found) == 1 else text


def _is_cut_off(pieces: Iterable[str]) -> bool:
    """Whether the pieces of a text between JSON begin an object or a list that they do not end."""
    begun, depth = False, 0
    for piece in pieces:
        begun = begun or _BEGUN.search(piece) is not None
        depth = max(0, depth + sum(map(piece.count, "{[")) - sum(map(piece.count, "}]")))
        if begun and depth:
            return True
    return False


def _fenced(text: str) -> list[str]:
    """The texts in Markdown's fences."""
    found, place = [], 0
    while (begin := _FENCE.search(text, place)) is not None:
        end = text.find("```", begin.end())
        if end < 0:
            break
        found.append(text[begin.end() : end])
        place = end + 3
    return found


def json_parts(text: str) -> Iterator[tuple[str, str]]:
    """The JSON objects and lists in a text, without those inside of others, each with the text before it.

    A bounded number of places is tried, in a time that is bounded by the text's length.
    """
    work, place, before = 4 * len(text) + 10_000, 0, 0
    for _ in range(_TRIES):
        begin = _BRACKET.search(text, place)
        if begin is None or work < 0:
            return
        try:
            _, place = _DECODER.raw_decode(text, begin.start())
        except (ValueError, RecursionError) as error:
            work -= getattr(error, "pos", begin.end()) - begin.start()
            place = begin.end()
        else:
            yield text[before : begin.start()], text[begin.start() : place]
            before = place


def _find_fault(text: str) -> str:
    """Where a text stops being JSON, and what was expected there."""
    closing: list[str] = []  # the brackets that end what has begun
    state, place = "value", 0
    while True:
        place = _SPACE.match(text, place).end()  # type: ignore[union-attr]
        token = _TOKEN.match(text, place)
        kind = (token.lastgroup or token[0]) if token else None
        if state == "next" and not closing:
            state = "end"
        if state == "next":
            after = {",": "key" if closing[-1] == "}" else "value", closing[-1]: "next"}
        else:
            after = _STATES.get(state, {"": ""})
        if token is None or kind not in after:
            expected = f"',' or '{closing[-1]}'" if state == "next" else _EXPECTED[state]
            return f"{_locate(text, place)}: expected {expected}, got {_quote(text, place)}"
        if state == "end":
            return "a number is too large, an escape gives half of a character, or it is nested too deeply"
        if kind in ("{", "["):
            closing.append("}" if kind == "{" else "]")
        elif kind in ("}", "]"):
            closing.pop()
        state, place = after[kind], token.end()


def _locate(text: str, place: int) -> str:
    before = text[:place]
    return f"line {before.count(chr(10)) + 1}, column {place - before.rfind(chr(10))}"


def _quote(text: str, place: int) -> str:
    """What stands at a place where it does not fit."""
    if place == len(text):
        return "the end of the text"
    if text[place] == '"' and not _TOKEN.match(text, place):
        return "a string that does not end, or that holds a line break or an unknown escape"
    return format_json(text[place : place + 20])
