"""Tool calls that a model wrote as text, in the form of the model that it was trained as.

Everything here takes time in proportion to the text's length: marks are found one behind the other, and what
stands between them is read once.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from attrs import evolve, frozen

from pyscrai_language.parsing import find_json, json_parts, parse_json
from pyscrai_language.schemas import check_value
from pyscrai_records.base.suggest import quote
from pyscrai_records.base.syntax import parse_module
from pyscrai_records.errors import AnswerRejected
from pyscrai_records.messages import ToolCall
from pyscrai_records.records import Completion, Request, ToolSpec

#: How many characters of an answer a message shows.
SHOWN = 120
#: The longest call in Python's form, in characters.
MAX_PYTHON = 10_000

_BEGIN = re.compile(
    r"""(?=[<\[`✿Acft]) (?:
      <(?P<tag> (?:\w{1,40}[:_])?(?:tool[_-]?(?:calls?|code|use)|function_?calls?|start_function_call) )>
    | <(?P<bar> \|/?tool_calls? )(?: \|>|> )
    | <function[=(] | <(?P<invoke> (?:\w{1,40}:)?invoke )(?=\ name=)
    | (?P<dsml> <[|｜]DSML[|｜](?:function_calls|tool_calls|invoke) )
    | \[TOOL_CALLS\] | <\|python_tag\|> | <\|tool_calls?(?:_section)?_(?:begin|start)\|> | ✿FUNCTION✿
    | <[|｜]tool▁calls?▁begin[|｜]> | <\|START_ACTION\|> | <\|action_start\|>
    | (?P<harmony> (?:<\|start\|>\s{0,9}assistant[^<]{0,200})?<\|channel\|>\s{0,9}\w{1,40}[^<]{0,200}
        (?:<\|constrain\|>[^<]{0,50})?(?:<\|message\|>)?
        | \b(?:(?:commentary|assistant)\ )?to=functions\.[\w.-]{1,100}(?:\ ?(?:commentary|json|code)\b){0,2} )
    | (?P<fence> ```tool_code\s )
    | (?: \A | (?<=\n) ) Action:(?=[^\n]{1,200}\n\s{0,20}Action\ Input:)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
#: The end of a text that may begin a mark, and the beginning of a text that may be a call alone.
_MAY_BEGIN = re.compile(
    r"<[^<>\n]{0,160}\Z|\b(?:(?:c[omentary]{0,9}|a[sitan]{0,8})(?: |\Z))?(?:to?=?[\w.]{0,20})?\Z"
    r"|\[[^\[\]\n]{0,60}\Z|`{1,2}\Z|```\w{0,20}\Z|✿\w{0,20}\Z"
    r"|(?:\A|(?<=\n))A(?:c(?:t(?:i(?:o(?:n(?::[^\n]{0,200}(?:\n\s{0,20}[Action Input]{0,12})?)?)?)?)?)?)?\Z"
)
_MAY_BE_JSON = re.compile(r"\s*(?:```\w{0,20}\s*)?(?:\{|\[\s*(?:\{|\Z))|\s*`{0,3}\Z|\s*```\w{0,20}\s*\Z")
_MAY_BE_PYTHON = re.compile(
    r"\s*(?:```\w{0,20}\s*)?\[?\s*[\w.]{1,100}\s*(?:\Z|\(\s*(?:\Z|[\"')]|\w{1,100}\s*(?:\Z|=|[.(])))|\s*functools\["
    r"|\s*[\w.-]{1,100}(?::\d{0,4})?(?:\[[ARGS]{0,4}\]?)?\s*(?:\Z|\{)"
)
_HARMONY_END = re.compile(r"<\|(?:call|end|return|start|channel)\|>")
_RECIPIENT = re.compile(r"to=([\w.-]{1,100})")
#: Marks of a call whose beginning is missing or hidden; with no JSON in them they are never words.
_BAR_END = re.compile(r"<\|/tool_calls?\|>|<tool_calls?\|>")
_SPECIAL = re.compile(r"<[|｜]?[^<>]{1,60}[|｜]?>|\[(?:CALL_ID|ARGS)\]|✿\w{1,20}✿")
_LAST_TOKEN = re.compile(r"<\|\w{1,40}\|>\s{0,9}\Z")
_WORD = re.compile(r"[\w.-]+")
_NO_NAMES = {"json", "function", "functions", "tool", "call", "action", "input", "arguments", "args"}
_INVOKED = re.compile(r'<((?:\w{1,40}:)?)invoke name="([^"<>]{1,100})"[^<>]{0,100}>')
_GIVEN = re.compile(r'<((?:\w{1,40}:)?)parameter name="([^"<>]{1,100})"([^<>]{0,100})>')
_FUNCTION = re.compile(r"<function=([\w.:-]{1,100})>")
_PARAMETER = re.compile(r"<parameter=([\w.:-]{1,100})>")
_CALL = re.compile(r"call:([\w.-]{1,100})\{(.*)\}", re.DOTALL)
_ESCAPED = re.compile(r"\s*(\w{1,100}):(?:<escape>(.*?)<escape>|([^,<>{}\[\]]+))\s*(?:,|\Z)", re.DOTALL)
_PYTHON = re.compile(r"\[?\s*(?:print\(\s*)?([\w.]{1,100})\s*\(\s*(?:\w{1,100}\s*=|[\"')])")
_PYTHON_FENCE = re.compile(r"\s*```(?:py(?:thon)?)?\s(.*)```\s*", re.DOTALL)
_BEGUN = re.compile(
    r'\s*(?:```\w{0,20}\s*)?(?:\[\s*)?\{\s*"(?:name|tool|tool_name|function|function_call|tool_calls|next)"\s*:'
)
#: A tool's name just before its arguments, with what templates put around it, and what may stand behind them.
_BEFORE = re.compile(r"\s*([\w.-]{1,100})(?::\d{1,4})?(?:\[ARGS\])?\s*(?=\{)")
_CLOSED = re.compile(r"\s*(?:</\w{1,40}>)?\s*")
_KEYS_OF_NAME = ("name", "tool", "tool_name", "function", "function_call", "action")
_KEYS_OF_ARGUMENTS = ("arguments", "parameters", "args", "input", "tool_input", "action_input")
_OTHER_KEYS = {"type", "id", "index", "tool_call_id", "call_id"}


@frozen
class Marked:
    """A call between marks: the mark it begins with, and what stands between them."""

    mark: re.Match[str]
    body: str


def begin_of_call(text: str, request: Request, whole: bool, last: bool) -> int:
    """Up to where a text, which may go on unless it is the `last`, is certainly no call of a tool.

    `whole`: nothing stands before it, so that it may also be a call alone, without marks.
    """
    if whole and (_MAY_BE_JSON.match(text) or (request.tools and _MAY_BE_PYTHON.match(text))):
        return 0
    mark = _BEGIN.search(text) or (None if last else _MAY_BEGIN.search(text, max(0, len(text) - 400)))
    return len(text) if mark is None else mark.start()


def has_marks(text: str) -> bool:
    """Whether there are marks of calls in a text."""
    return next(_marked(text), None) is not None


def with_textual_calls(answer: Completion, request: Request) -> Completion:
    """The answer with the tool calls that the model wrote as text; their arguments are not checked.

    The form that `emulation` asks for is read wherever it comes: a model also repeats it later. Raises
    `AnswerRejected` if such a call cannot be made: its text is never said.
    """
    if answer.tool_calls or not answer.text:
        return answer
    text = answer.text
    tools = {tool.name: tool for tool in request.tools}
    marked = list(_marked(text))
    if marked:
        calls = [call for one in marked for call in _calls_of(one, tools)]
        readable = bool(calls)
        # What a model goes on with behind a call, it made up: it does not know the result.
        rest = text[: marked[0].mark.start()].strip()
    elif named := _named_call(text, tools):
        calls, rest, readable = [named], "", True
    elif python := _python_of(text, tools):
        calls, rest = _python_calls(python), ""
        readable = bool(calls)
    else:
        return _with_bare_calls(answer, request, tools)
    if not readable:
        raise _unreadable(text)
    return _with_calls(answer, rest, calls, tools)


def _with_bare_calls(answer: Completion, request: Request, tools: Mapping[str, ToolSpec]) -> Completion:
    """The answer with the calls that stand there as JSON alone, without marks."""
    text = answer.text
    if not any(f'"{key}"' in text for key in ("next", *_KEYS_OF_ARGUMENTS, *_KEYS_OF_NAME, *tools)):
        return answer
    whole = find_json(text)
    value, wrong = parse_json(whole)
    if wrong is None:
        values = [value]
    else:
        parsed = [parse_json(part) for _, part in json_parts(text)]
        values = [] if any(fault for _, fault in parsed) else [one for one, _ in parsed]
    if request.schema is not None and any(check_value(request.schema, one) is None for one in values):
        return answer
    if len(values) == 1 and (told := _answer_in(values[0])) is not None:
        said = told if isinstance(told, str) and request.schema is None else orjson.dumps(told).decode()
        return evolve(answer, text=said, raw=answer.raw or text)
    found = [_calls_in(one, tools, strict=True) for one in values]
    if found and all(found):
        return _with_calls(answer, "", [call for calls in found for call in calls], tools)
    if wrong is not None and not values and request.schema is None and _BEGUN.match(text):
        raise _unreadable(text)
    return answer


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


# -- marks --


def _marked(text: str) -> Iterator[Marked]:
    """The calls between marks. One without a mark at its end goes to the end of the text."""
    place = 0
    while (mark := _BEGIN.search(text, place)) is not None:
        if mark["harmony"] and not _RECIPIENT.search(mark[0]):
            place = mark.end()
            continue
        begin = mark.end()
        start, end = _end_of(text, mark)
        yield Marked(mark, text[begin:start])
        place = end


def _end_of(text: str, mark: re.Match[str]) -> tuple[int, int]:
    """Where the mark at the end of a call begins and ends."""
    place = mark.end()
    if mark["harmony"] or mark["bar"]:
        found = (_HARMONY_END if mark["harmony"] else _BAR_END).search(text, place)
        if found is None:
            return len(text), len(text)
        keeps = found[0].lower() in ("<|start|>", "<|channel|>")
        return found.start(), found.start() if keeps else found.end()
    closing = ""
    if mark["tag"]:
        closing = f"</{mark['tag']}>"
        if mark["tag"].lower() == "start_function_call":
            closing = "<end_function_call>"
    elif mark["fence"]:
        closing = "```"
    elif mark["invoke"]:
        closing = f"</{mark['invoke']}>"
    elif mark[0].lower() == "<function=":
        closing = "</function>"
    at = text.find(closing, place) if closing else -1
    return (len(text), len(text)) if at < 0 else (at, at + len(closing))


def _calls_of(marked: Marked, tools: Mapping[str, ToolSpec]) -> list[ToolCall]:
    """The calls between marks; none if they cannot be read."""
    mark, body = marked.mark, marked.body
    if mark["harmony"]:
        name = _RECIPIENT.search(mark[0])
        return [ToolCall("", _plain(name[1]), find_json(body) or {})] if name else []
    if mark["fence"]:
        return _python_calls(body.strip())
    if mark["invoke"] or mark["dsml"] or mark[0].lower() == "<function=":
        body = mark[0] + body
    body = body.replace("｜DSML｜", "").replace("|DSML|", "")
    if found := _CALL.fullmatch(body.strip()):
        return _escaped(found, tools)
    for read in (_invoked, _functions, _keyed):
        if calls := read(body, tools):
            return calls
    return _json_calls(body, tools) or _python_calls(_LAST_TOKEN.sub("", body).strip())


def _invoked(body: str, tools: Mapping[str, ToolSpec]) -> list[ToolCall]:
    """Calls as `<invoke name="stock"><parameter name="of">apples</parameter></invoke>`."""
    calls = []
    for found, inner in _elements(body, _INVOKED, "</{0}invoke>"):
        given = {
            one[2]: text if 'string="true"' in one[3] else _parameter(text, tools.get(found[2]), one[2])
            for one, text in _elements(inner, _GIVEN, "</{0}parameter>")
        }
        calls.append(ToolCall("", found[2], given))
    return calls


def _functions(body: str, tools: Mapping[str, ToolSpec]) -> list[ToolCall]:
    """Calls as `<function=stock><parameter=of>apples</parameter></function>`, or with JSON in it."""
    calls = []
    for found, inner in _elements(body, _FUNCTION, "</function>"):
        given: Any = {
            one[1]: _parameter(text.strip(), tools.get(found[1]), one[1])
            for one, text in _elements(inner, _PARAMETER, "</parameter>")
        }
        calls.append(ToolCall("", found[1], given or inner.strip()))
    return calls


def _keyed(body: str, tools: Mapping[str, ToolSpec]) -> list[ToolCall]:
    """A call as `stock <arg_key>of</arg_key> <arg_value>apples</arg_value>`."""
    name, begun, rest = body.partition("<arg_key>")
    if not begun:
        return []
    given: dict[str, Any] = {}
    for piece in rest.split("<arg_key>"):
        key, _, value = piece.partition("</arg_key>")
        value = value.partition("<arg_value>")[2].partition("</arg_value>")[0]
        given[key.strip()] = _parameter(value.strip(), tools.get(name.strip()), key.strip())
    return [ToolCall("", name.strip(), given)]


def _escaped(found: re.Match[str], tools: Mapping[str, ToolSpec]) -> list[ToolCall]:
    """A call as `call:stock{of:<escape>apples<escape>,day:1}`."""
    given: dict[str, Any] = {}
    place, rest = 0, found[2].strip()
    while place < len(rest):
        one = _ESCAPED.match(rest, place)
        if one is None:
            return []
        name, quoted, bare = one.groups()
        given[name] = quoted if bare is None else _parameter(bare.strip(), tools.get(found[1]), name)
        place = one.end()
    return [ToolCall("", _plain(found[1]), given)]


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


def _parameter(text: str, tool: ToolSpec | None, key: str) -> Any:
    """A parameter's value: JSON, or text, which also stands for itself where the tool wants text."""
    wanted = {} if tool is None else tool.parameters.get("properties", {}).get(key, {})
    if isinstance(wanted, dict) and wanted.get("type") == "string":
        return text
    value, wrong = parse_json(text)
    return text if wrong else value


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
    words = [_plain(word) for word in _WORD.findall(_SPECIAL.sub(" ", text[-400:]))]
    offered = [word for word in words if word in tools]
    names = offered[-1:] or [word for word in words if word.lower() not in _NO_NAMES]
    return names[0] if names else ""


def _plain(name: str) -> str:
    return name.removeprefix("functions.").strip(".")


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


def _answer_in(value: Any) -> Any:
    """The answer in the form that `emulation` asks for; None if it is another one."""
    form = value["next"] if isinstance(value, dict) and value.keys() == {"next"} else None
    return form["answer"] if isinstance(form, dict) and form.keys() == {"answer"} else None


def _named(value: Any, tools: Mapping[str, ToolSpec]) -> Any:
    """A call in the usual form, if a tool's name and an object are all that an object has: `{"stock": {…}}`,
    or both under any keys, or if arguments of the tool stand beside its name: `{"name": "stock", "of": "a"}`;
    else the value itself."""
    given = (
        {key: one for key, one in value.items() if key not in _OTHER_KEYS} if isinstance(value, dict) else {}
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
    return value


def _calls_in(value: Any, tools: Mapping[str, ToolSpec], strict: bool) -> list[ToolCall]:
    """The calls in a value; all of a list's elements must be calls. `strict`: with no other keys."""
    if isinstance(value, dict) and len(value) == 1:
        [(key, inner)] = value.items()
        value = inner if key in ("tool_calls", "next") or isinstance(inner, list) else value
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
    if strict and value.keys() - {*_KEYS_OF_NAME, *_KEYS_OF_ARGUMENTS, *_OTHER_KEYS}:
        return None
    return ToolCall("", _plain(name), {} if arguments is None else arguments)


# -- Python's form --


def _python_of(text: str, tools: Mapping[str, ToolSpec]) -> str:
    """The call in Python's form that a text is; empty if it is none. That is also the form of a stage
    direction, so such a tool must be offered."""
    fenced = _PYTHON_FENCE.fullmatch(text)
    bare = (fenced[1] if fenced else text).strip()
    found = _PYTHON.match(bare) if len(bare) <= MAX_PYTHON and bare.endswith((")", ")]")) else None
    return bare if found is not None and _offered(found[1].removesuffix(".call"), tools) else ""


def _python_calls(text: str) -> list[ToolCall]:
    """The calls in Python's form with plain values; none if there is anything else."""
    if len(text) > MAX_PYTHON:
        return []
    try:
        tree = parse_module(text)
        nodes = [part.value for part in tree.body if isinstance(part, ast.Expr)]
        if len(nodes) != len(tree.body):
            return []
        listed = [each for one in nodes for each in (one.elts if isinstance(one, ast.List) else [one])]
        return [_python_call(node) for node in listed]
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return []


def _python_call(node: ast.expr) -> ToolCall:
    """A call. Raises `ValueError` if it is none, or none with plain values."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
        node = node.args[0] if len(node.args) == 1 else node
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("no call with named arguments")
    given = {str(one.arg): ast.literal_eval(one.value) for one in node.keywords if one.arg}
    if len(given) != len(node.keywords):
        raise ValueError("an argument without a name")
    return ToolCall("", ast.unparse(node.func).removesuffix(".call"), given)
