"""The arguments of tool calls between marks, in the forms that are no JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pyscrai_language.parsing import parse_json
from pyscrai_records.base.suggest import quote
from pyscrai_records.errors import AnswerRejected
from pyscrai_records.messages import ToolCall
from pyscrai_records.records import ToolSpec

_INVOKED = re.compile(r'<((?:\w{1,40}:)?)invoke name="([^"<>]{1,100})"[^<>]{0,100}>')
_GIVEN = re.compile(r'<((?:\w{1,40}:)?)parameter name="([^"<>]{1,100})"([^<>]{0,100})>')
_FUNCTION = re.compile(r"<function=([\w.:-]{1,100})>")
_PARAMETER = re.compile(r"<parameter=([\w.:-]{1,100})>")
ESCAPED_CALL = re.compile(r"call:([\w.-]{1,100})\{(.*)\}", re.DOTALL)
_ESCAPED = re.compile(
    r"\s*(\w{1,100}):(?:(?P<quote><escape>|<\|\"\|>)(.*?)(?P=quote)|([^,<>{}\[\]]+))\s*(?:,|\Z)", re.DOTALL
)


def given_once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Arguments as an object. Raises `AnswerRejected` for one that stands twice with different values."""
    given: dict[str, Any] = {}
    for key, value in pairs:
        if given.setdefault(key, value) != value:
            raise AnswerRejected(f"the argument {quote(key)} stands twice in its call of a tool")
    return given


def invoked(body: str, tools: Mapping[str, ToolSpec]) -> list[ToolCall]:
    """Calls as `<invoke name="stock"><parameter name="of">apples</parameter></invoke>`."""
    calls = []
    for found, inner in _elements(body, _INVOKED, "</{0}invoke>"):
        given = given_once(
            (one[2], text if 'string="true"' in one[3] else parameter(text, tools.get(found[2]), one[2]))
            for one, text in _elements(inner, _GIVEN, "</{0}parameter>")
        )
        calls.append(ToolCall("", found[2], given))
    return calls


def functions(body: str, tools: Mapping[str, ToolSpec]) -> list[ToolCall]:
    """Calls as `<function=stock><parameter=of>apples</parameter></function>`, or with JSON in it."""
    calls = []
    for found, inner in _elements(body, _FUNCTION, "</function>"):
        given: Any = given_once(
            (one[1], parameter(text.strip(), tools.get(found[1]), one[1]))
            for one, text in _elements(inner, _PARAMETER, "</parameter>")
        )
        calls.append(ToolCall("", found[1], given or inner.strip()))
    return calls


def keyed(body: str, tools: Mapping[str, ToolSpec]) -> list[ToolCall]:
    """A call as `stock <arg_key>of</arg_key> <arg_value>apples</arg_value>`."""
    name, begun, rest = body.partition("<arg_key>")
    if not begun:
        return []
    given = []
    for piece in rest.split("<arg_key>"):
        key, _, value = piece.partition("</arg_key>")
        value = value.partition("<arg_value>")[2].partition("</arg_value>")[0]
        given.append((key.strip(), parameter(value.strip(), tools.get(name.strip()), key.strip())))
    return [ToolCall("", name.strip(), given_once(given))]


def escaped(found: re.Match[str], tools: Mapping[str, ToolSpec]) -> list[ToolCall]:
    """A call as `call:stock{of:<escape>apples<escape>,day:1}`, which `ESCAPED_CALL` found."""
    given: list[tuple[str, Any]] = []
    place, rest = 0, found[2].strip()
    while place < len(rest):
        one = _ESCAPED.match(rest, place)
        if one is None:
            return []
        name, _, quoted, bare = one.groups()
        given.append((name, quoted if bare is None else parameter(bare.strip(), tools.get(found[1]), name)))
        place = one.end()
    return [ToolCall("", plain_name(found[1]), given_once(given))]


def _elements(text: str, opening: re.Pattern[str], closing: str) -> Iterator[tuple[re.Match[str], str]]:
    """What begins with `opening`, with the text in it; `{0}` in `closing` is the first group.

    What is not closed ends where the next one begins.
    """
    found = opening.search(text)
    while found is not None:
        after = opening.search(text, found.end())
        mark, until = closing.format(found[1]), after.start() if after else len(text)
        end = text.find(mark, found.end(), until)
        yield found, text[found.end() : end if end >= 0 else until]
        found = after


def parameter(text: str, tool: ToolSpec | None, key: str) -> Any:
    """A parameter's value: JSON, or text, which also stands for itself where the tool wants text."""
    wanted = {} if tool is None else tool.parameters.get("properties", {}).get(key, {})
    if isinstance(wanted, dict) and wanted.get("type") == "string":
        return text
    value, wrong = parse_json(text)
    return text if wrong else value


def plain_name(name: str) -> str:
    """A tool's name without what some models put before it."""
    return name.removeprefix("functions.").strip(".")
