"""Tool calls that a model wrote as text, in the form of the model that it was trained as.

Everything here takes time in proportion to the text's length: marks are found one behind the other, and what
stands between them is read once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from attrs import evolve

from pyscrai_language.parsing import find_json, json_parts, parse_json
from pyscrai_language.schemas import check_value
from pyscrai_records.base.suggest import quote
from pyscrai_records.errors import AnswerRejected
from pyscrai_records.messages import ToolCall
from pyscrai_records.records import Completion, Request, ToolSpec

from .call_marks import RECIPIENT, Marked, marked_calls, next_mark
from .marked_arguments import (
    ESCAPED_CALL,
    escaped,
    functions,
    given_once,
    invoked,
    keyed,
    parameter,
    plain_name,
)
from .python_calls import literal, python_calls, python_in, unfenced
from .thoughts import QUOTES

#: How many characters of an answer a message shows.
SHOWN = 120

#: The end of a text that may begin a mark, and the beginning of a text that may be a call alone.
_MAY_BEGIN = re.compile(
    r"<[^<>\n]{0,160}\Z|\b(?:(?:c[omentary]{0,9}|a[sitan]{0,8})(?: |\Z))?(?:to?=?[\w.]{0,20})?\Z"
    r"|\[[^\[\]\n]{0,60}\Z|`{1,2}\Z|```\w{0,20}\Z|✿\w{0,20}\Z"
    r"|(?:\A|(?<=\n))>{1,3}[\w.-]{0,100}\n?\s{0,9}\Z"
    r"|(?:\A|(?<=\n))A(?:c(?:t(?:i(?:o(?:n(?::[^\n]{0,200}(?:\n\s{0,20}[Action Input]{0,12})?)?)?)?)?)?)?\Z"
)
_MAY_BE_JSON = re.compile(r"\s*(?:```\w{0,20}\s*)?(?:\{|\[\s*(?:\{|\Z))|\s*`{0,3}\Z|\s*```\w{0,20}\s*\Z")
_MAY_BE_PYTHON = re.compile(
    r"\s*(?:```\w{0,20}\s*|`)?\[?\s*[\w.]{1,100}\s*(?:\Z|\(\s*(?:\Z|[\"'){]|\w{1,100}\s*(?:\Z|=|[.(])))|\s*functools\["
    r"|\s*[\w.-]{1,100}(?::\d{0,4})?(?:\[[ARGS]{0,4}\]?)?\s*(?:\Z|\{)"
)
#: What Functionary writes before words, and behind them.
_TO_ALL = re.compile(
    r"\s{0,9}(?:>>>all\n"
    r"|(?:<\|from\|>\s{0,9}assistant\s{0,9})?<\|recipient\|>\s{0,9}all\s{0,9}<\|content\|>)\s{0,9}"
)
_STOP = re.compile(r"<\|stop\|>\s{0,9}\Z")
_TO_ONE = re.compile(r"(?:>>>|<\|recipient\|>\s{0,9})([\w.-]{1,100})")
_SPECIAL = re.compile(r"<[|｜]?[^<>]{1,60}[|｜]?>|\[(?:CALL_ID|ARGS)\]|✿\w{1,20}✿")
_LAST_TOKEN = re.compile(r"<\|\w{1,40}\|>\s{0,9}\Z")
_WORD = re.compile(r"[\w.-]+")
_NO_NAMES = {"json", "function", "functions", "tool", "call", "action", "input", "arguments", "args"}
#: The name of a tool as an attribute, as in `<tool_call name="stock">`.
_NAME_IN_TAG = re.compile(r"""\sname=["']([\w.:-]{1,100})["']""")
#: An offered tool's name as a tag around its arguments.
_TAG_OF_TOOL = re.compile(r"\s*<([\w.-]{1,100})>(.*)</\1>\s*", re.DOTALL)
_TAG_OF_ARGUMENT = re.compile(r"\s*<(\w{1,100})>(.*?)</\1>\s*", re.DOTALL)
_TAG_WITH_ARGUMENTS = re.compile(
    r"\s*<([\w.-]{1,100})((?:\s+\w{1,100}=(?:\"[^\"]*\"|'[^']*')){1,50})\s*(?:/>|>\s*</\1>)\s*"
)
_ARGUMENT = re.compile(r"(\w{1,100})=(?:\"([^\"]*)\"|'([^']*)')")
_ANNOUNCES = (
    r"(?:\A|(?<=\n))[*_ \t]{0,4}(?:action|(?:(?:tool|function)[ _-]?)?call|tool|function)[*_ \t]{0,3}"
)
#: Where a call may begin behind words, if tools are offered: with JSON, or a line that announces it.
_BEHIND_WORDS = re.compile(
    rf"(?:```\w{{0,20}}\s{{0,9}})?(?:\[\s{{0,9}})?\{{\s{{0,9}}(?:[\"']|\Z)|```\w{{0,20}}\s{{0,9}}\Z"
    rf"|{_ANNOUNCES}:|(?:\A|(?<=\n))[*_ \t]{{0,4}}(?:[acft][a-z _-]{{0,14}}[*_ \t]{{0,3}})?\Z",
    re.IGNORECASE,
)
#: A line that announces a call of the tool that it names.
_ANNOUNCED = re.compile(
    rf"{_ANNOUNCES}:[*_` \t]{{0,6}}(?P<name>[\w.]{{1,100}})(?=\s?[\[({{])",
    re.IGNORECASE,
)
_BEGUN = re.compile(
    r'\s*(?:```\w{0,20}\s*)?(?:\[\s*)?\{\s*["\'](?:name|tool|tool_name|function|function_call|tool_calls|next)["\']\s*:'
)
#: A tool's name just before its arguments, with what templates put around it, and what may stand behind them.
_BEFORE = re.compile(r"\s*([\w.-]{1,100})(?::\d{1,4})?(?:\[ARGS\])?\s*(?:\(\s*)?(?=\{)")
_CLOSED = re.compile(r"\s*\)?;?\s*(?:</\w{1,40}>)?\s*")
_KEYS_OF_NAME = ("name", "tool", "tool_name", "function", "function_call", "action")
_KEYS_OF_ARGUMENTS = ("arguments", "parameters", "args", "input", "tool_input", "action_input")
_OTHER_KEYS = {"type", "id", "index", "tool_call_id", "call_id"}
#: Keys beside a call under which a model says why it makes it, and keys that hold a call alone.
_REMARKS = {"thought", "thoughts", "thinking", "reasoning", "explanation", "rationale", "comment"}
_KEYS_OF_CALLS = {"tool_call", "tool_calls", "function_calls", "calls", "call", "tool_use", "next"}


def begin_of_call(text: str, request: Request, whole: bool, last: bool) -> int:
    """Up to where a text, which may go on unless it is the `last`, is certainly no call of a tool.

    `whole`: nothing stands before it, so that it may also be a call alone, without marks.
    """
    if whole and (_MAY_BE_JSON.match(text) or (request.tools and _MAY_BE_PYTHON.match(text))):
        return 0
    if whole and any(_may_begin_with(text.lstrip(), f"<{tool.name}") for tool in request.tools):
        return 0
    mark = next_mark(text, 0)
    if mark is None and not last:
        mark = _MAY_BEGIN.search(text, max(0, len(text) - 400))
    behind = _BEHIND_WORDS.search(text) if request.tools else None
    if behind is not None and (mark is None or behind.start() < mark.start()):
        mark = behind
    begin = len(text) if mark is None else mark.start()
    # A quote before it stays with it: a name between quotes is only spoken of.
    return begin - (not (last and mark is None) and begin > 0 and text[begin - 1] in QUOTES)


def _may_begin_with(text: str, begin: str) -> bool:
    return text.startswith(begin) or begin.startswith(text)


def has_marks(text: str) -> bool:
    """Whether there are marks of calls in a text."""
    return next(marked_calls(text), None) is not None


def with_textual_calls(answer: Completion, request: Request) -> Completion:
    """The answer with the tool calls that the model wrote as text; their arguments are not checked.

    The form that `emulation` asks for is read wherever it comes: a model also repeats it later. Raises
    `AnswerRejected` if such a call cannot be made: its text is never said.
    """
    if answer.tool_calls or not answer.text:
        return answer
    text = answer.text
    if (to_all := _TO_ALL.match(text)) is not None:
        text = _STOP.sub("", text[to_all.end() :])
        answer = evolve(answer, text=text, raw=answer.raw or answer.text)
    tools = {tool.name: tool for tool in request.tools}
    marked = list(marked_calls(text))
    if marked:
        if marked[0].mark["result"]:
            raise AnswerRejected(
                f"it makes up what a tool answers; it began: {text[:SHOWN]!r}; call it, or answer in words"
            )
        calls = [call for one in marked for call in _calls_of(one, tools)]
        readable = bool(calls)
        # What a model goes on with behind a call, it made up: it does not know the result.
        rest = text[: marked[0].mark.start()].strip()
    elif named := _named_call(unfenced(text), tools) or _tagged_call(text, tools):
        calls, rest, readable = [named], "", True
    elif (python := python_in(text)) and _offered(python[0], tools):
        calls, rest = python_calls(python[1]), ""
        readable = bool(calls)
    elif (line := _ANNOUNCED.search(text)) and _offered(line["name"], tools):
        behind = text[line.start("name") :].strip("`* \t\n")
        given = find_json(behind)
        calls = [ToolCall("", line["name"], given)] if given.startswith("{") else python_calls(behind)
        rest, readable = text[: line.start()].strip(), bool(calls)
    else:
        return _with_bare_calls(answer, request, tools)
    if not readable:
        raise _unreadable(text)
    return _with_calls(answer, rest, calls, tools)


def _with_bare_calls(answer: Completion, request: Request, tools: Mapping[str, ToolSpec]) -> Completion:
    """The answer with the calls that stand there as JSON alone, without marks."""
    text = answer.text
    known = ("next", *_KEYS_OF_ARGUMENTS, *_KEYS_OF_NAME, *tools)
    if not any(f'"{key}"' in text or f"'{key}'" in text for key in known):
        return answer
    whole, open_end = find_json(text), False
    value, wrong = parse_json(whole)
    if wrong is None:
        values = [value]
    elif (bare := unfenced(text)).startswith(("{'", "[{'")):
        values = [found] if (found := literal(bare)) is not None else []
    else:
        parts = list(json_parts(text))
        parsed = [parse_json(part) for _, part in parts]
        values = [] if any(fault for _, fault in parsed) else [one for one, _ in parsed]
        # What an object is in that is never closed, is none of the values.
        open_end = bool(parts) and any(f'"{key}"' in parts[0][0] for key in _KEYS_OF_ARGUMENTS)
    if request.schema is not None and any(check_value(request.schema, one) is None for one in values):
        return answer
    if len(values) == 1 and (told := _answer_in(values[0])) is not None:
        said = told if isinstance(told, str) and request.schema is None else orjson.dumps(told).decode()
        return evolve(answer, text=said, raw=answer.raw or text)
    found = [_calls_in(one, tools, strict=True) for one in values]
    if found and all(found):
        return _with_calls(answer, "", [call for calls in found for call in calls], tools)
    if wrong is not None and request.schema is None and (not values or open_end) and _BEGUN.match(text):
        raise _unreadable(text)
    return answer


def _is_emulated(value: Any) -> bool:
    """Whether a value has the form that `emulation` asks for."""
    return isinstance(value, dict) and value.keys() == {"next"}


def _with_calls(
    answer: Completion, text: str, calls: Sequence[ToolCall], tools: Mapping[str, ToolSpec]
) -> Completion:
    calls = [evolve(call, name=_offered(call.name, tools) or call.name) for call in calls]
    for call in calls:
        if call.name not in tools:
            offered = f"the tools: {', '.join(tools)}" if tools else "no tool can be used now"
            raise AnswerRejected(
                f"it calls the tool {quote(call.name)} as text, which is not offered; {offered}"
            )
    return evolve(answer, text=text, raw=answer.raw or answer.text, tool_calls=tuple(calls))


def _unreadable(text: str) -> AnswerRejected:
    return AnswerRejected(f"it calls a tool in a form that cannot be read; it began: {text[:SHOWN]!r}")


# -- between marks --


def _calls_of(marked: Marked, tools: Mapping[str, ToolSpec]) -> list[ToolCall]:
    """The calls between marks; none if they cannot be read."""
    mark, body = marked.mark, marked.body
    if mark["result"]:
        return []
    if mark["recipient"] or (mark["more"] and _NAME_IN_TAG.search(mark["more"])):
        to = (_TO_ONE if mark["recipient"] else _NAME_IN_TAG).search(mark[0])
        given = find_json(_STOP.sub("", body))
        return [ToolCall("", plain_name(to[1]), given)] if to and given.startswith("{") else []
    if mark["harmony"]:
        name = RECIPIENT.search(mark[0])
        return [ToolCall("", plain_name(name[1]), find_json(body) or {})] if name else []
    if mark["fence"]:
        return python_calls(body.strip())
    if mark["invoke"] or mark["dsml"] or mark[0].lower() == "<function=":
        body = mark[0] + body
    body = body.replace("｜DSML｜", "").replace("|DSML|", "")
    if found := ESCAPED_CALL.fullmatch(body.strip()):
        return escaped(found, tools)
    for read in (invoked, functions, keyed):
        if calls := read(body, tools):
            return calls
    body = _LAST_TOKEN.sub("", body).strip()
    if calls := _json_calls(body, tools) or python_calls(body):
        return calls
    value = literal(body)
    return [] if value is None else _calls_in(value, tools, strict=False)


# -- JSON --


def _json_calls(body: str, tools: Mapping[str, ToolSpec]) -> list[ToolCall]:
    """Calls as JSON, with the tool's name in it or before it."""
    whole, wrong = parse_json(body)
    parts = [("", body)] if wrong is None and isinstance(whole, dict | list) else list(json_parts(body))
    calls: list[ToolCall] = []
    for before, part in parts:
        value, wrong = parse_json(part)
        found = [] if wrong else _calls_in(value, tools, strict=False)
        if not found and part.startswith("{") and (name := _name_before(before, tools)):
            found = [ToolCall("", name, part)]
        calls += found
    return calls


def _name_before(text: str, tools: Mapping[str, ToolSpec]) -> str:
    """The name of a tool in the text before its arguments: one that is offered, or the first word."""
    words = [plain_name(word) for word in _WORD.findall(_SPECIAL.sub(" ", text[-400:]))]
    offered = [word for word in words if word in tools]
    names = offered[-1:] or [word for word in words if word.lower() not in _NO_NAMES]
    return names[0] if names else ""


def _offered(name: str, tools: Mapping[str, ToolSpec]) -> str:
    """The offered tool of this name, which may have a space of names before it; empty if there is none."""
    return next((one for one in (name, re.split("[.:]", name)[-1]) if one in tools), "")


def _named_call(text: str, tools: Mapping[str, ToolSpec]) -> ToolCall | None:
    """The call in a text that is an offered tool's name and its arguments: `stock{"of": "apples"}`."""
    before = _BEFORE.match(text)
    if before is None or not (name := _offered(before[1], tools)):
        return None
    parts = [part for _, part in json_parts(text[before.end() :])]
    whole = len(parts) == 1 and _CLOSED.fullmatch(text, before.end() + len(parts[0]))
    return ToolCall("", name, parts[0]) if whole else None


def _tagged_call(text: str, tools: Mapping[str, ToolSpec]) -> ToolCall | None:
    """The call in a text that is an offered tool's name as a tag: `<stock><of>apples</of></stock>`, or
    `<stock of="apples"/>`."""
    alone = _TAG_WITH_ARGUMENTS.fullmatch(text)
    found = _TAG_OF_TOOL.fullmatch(text) if alone is None else alone
    if found is None or not (name := _offered(found[1], tools)):
        return None
    if alone is not None:
        parts = _ARGUMENT.findall(alone[2])
        each = ((key, parameter(one or other, tools[name], key)) for key, one, other in parts)
        return ToolCall("", name, given_once(each))
    given: list[tuple[str, Any]] = []
    place = 0
    while one := _TAG_OF_ARGUMENT.match(found[2], place):
        given.append((one[1], parameter(one[2].strip(), tools[name], one[1])))
        place = one.end()
    whole = given and place == len(found[2])
    return ToolCall("", name, given_once(given) if whole else find_json(found[2]))


def _answer_in(value: Any) -> Any:
    """The answer in the form that `emulation` asks for; None if it is another one."""
    form = value["next"] if _is_emulated(value) else None
    return form["answer"] if isinstance(form, dict) and form.keys() == {"answer"} else None


def _named(value: Any, tools: Mapping[str, ToolSpec]) -> Any:
    """A call in the usual form, if a tool's name and an object are all that an object has: `{"stock": {…}}`,
    or both under any keys, or if arguments of the tool stand beside its name: `{"name": "stock", "of": "a"}`;
    else the value itself."""
    given = (
        {key: one for key, one in value.items() if key not in _OTHER_KEYS | _REMARKS}
        if isinstance(value, dict)
        else {}
    )
    arguments = [one for one in given.values() if isinstance(one, dict)]
    texts = given if len(given) == 1 else [one for one in given.values() if isinstance(one, str)]
    names = [name for one in texts if (name := _offered(one, tools))]
    if len(arguments) == len(names) == 1 and len(given) <= 2:
        return {"name": names[0], "arguments": arguments[0]}
    named = {one: given[one] for one in _KEYS_OF_NAME if isinstance(given.get(one), str)}
    if key := next((one for one in named if _offered(named[one], tools)), ""):
        name = _offered(named[key], tools)
        known, needed = (tools[name].parameters.get(part, ()) for part in ("properties", "required"))
        beside = {one: each for one, each in given.items() if one != key}
        if set(needed) <= beside.keys() <= set(known):
            return {"name": name, "arguments": beside}
        odd = [beside[one] for one in _KEYS_OF_ARGUMENTS if one in beside]
        if len(odd) == len(beside) == 1:  # whether they can be used, is seen later
            return {"name": name, "arguments": orjson.dumps(odd[0]).decode() if odd[0] is not None else ""}
    return value


def _calls_in(value: Any, tools: Mapping[str, ToolSpec], strict: bool) -> list[ToolCall]:
    """The calls in a value; all of a list's elements must be calls. `strict`: with no other keys."""
    if isinstance(value, dict) and len(value) == 1:
        [(key, inner)] = value.items()
        value = inner if key in _KEYS_OF_CALLS or isinstance(inner, list) else value
    values = value if isinstance(value, list) else [value]
    calls = [call for one in values if (call := _as_call(_named(one, tools), strict)) is not None]
    return calls if len(calls) == len(values) else []


def _as_call(value: Any, strict: bool) -> ToolCall | None:
    if not isinstance(value, dict):
        return None
    if value.keys() == {"next"}:
        return _as_call(value["next"], strict)
    name = next((value[key] for key in _KEYS_OF_NAME if key in value), None)
    arguments = next((value[key] for key in _KEYS_OF_ARGUMENTS if key in value), None)
    if isinstance(name, dict):
        given = {key: value[key] for key in _KEYS_OF_ARGUMENTS if key in value}
        return _as_call({**given, **name}, strict)
    if not isinstance(name, str) or (strict and not isinstance(arguments, dict | str)):
        return None
    if strict and value.keys() - {*_KEYS_OF_NAME, *_KEYS_OF_ARGUMENTS, *_OTHER_KEYS, *_REMARKS}:
        return None
    return ToolCall("", plain_name(name), {} if arguments is None else arguments)
