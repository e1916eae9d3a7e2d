"""The marks around tool calls that a model writes as text, in the form that it was trained for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from .thoughts import CLOSING_QUOTES, QUOTES

_BEGIN = re.compile(
    r"""(?=[<\[`✿>Acft]) (?:
      <(?P<tag> (?:\w{1,40}[:_])?(?:tool[_-]?(?:calls?|code|use)|function_?calls?|start_function_call)
        | function(?=\ name=) )(?P<more>\ [^<>]{1,200})?>
    | <(?P<result> [|/]?(?:\w{1,40}:)?(?:tool|function)[_-]?(?:response|result|output)s?[|]? )>
    | <(?P<bar> \|/?tool_calls? )(?: \|>|> )
    | <function[=(] | <(?P<invoke> (?:\w{1,40}:)?invoke )(?=\ name=)
    | (?P<dsml> <[|｜]DSML[|｜](?:function_calls|tool_calls|invoke) )
    | (?P<recipient> (?:(?:<\|from\|>\s{0,9}assistant\s{0,9})?
          <\|recipient\|>\s{0,9}[\w.-]{1,100}\s{0,9}<\|content\|>
        | (?: \A | (?<=\n) )>>>[\w.-]{1,100}\n)(?=\s{0,9}\{) )
    | \[TOOL_CALLS?\] | <\|python_(?:tag|start)\|>
    | <\|tool_calls?(?:_section)?_(?:begin|start)\|> | ✿FUNCTION✿
    | <[|｜]tool[▁_]calls?[▁_]begin[|｜]> | <\|START_ACTION\|> | <\|action_start\|>
    | (?P<harmony> (?:<\|start\|>\s{0,9}assistant[^<]{0,200})?<\|channel\|>\s{0,9}\w{1,40}[^<]{0,200}
        (?:<\|constrain\|>[^<]{0,50})?(?:<\|message\|>)?
        | \b(?:(?:commentary|assistant)\ )?to=functions\.[\w.-]{1,100}(?:\ ?(?:commentary|json|code)\b){0,2}
        | \b(?:commentary|assistant)\ to=[\w.-]{1,100}(?:\ ?(?:commentary|json|code)\b){0,2}(?=\s{0,9}\{) )
    | (?P<fence> ```tool_code\s )
    | (?: \A | (?<=\n) ) Action:(?=[^\n]{1,200}\n\s{0,20}Action\ Input:)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
#: Without one of these there is no mark.
_SIGNS = re.compile("[<>=:`✿\\[]")
_HARMONY_END = re.compile(r"<\|(?:call|end|return|start|channel)\|>")
RECIPIENT = re.compile(r"to=([\w.-]{1,100})")
#: Marks of a call whose beginning is missing or hidden; with no JSON in them they are never words.
_BAR_END = re.compile(r"<\|/tool_calls?\|>|<tool_calls?\|>")


@frozen
class Marked:
    """A call between marks: the mark it begins with, and what stands between them."""

    mark: re.Match[str]
    body: str


def marked_calls(text: str) -> Iterator[Marked]:
    """The calls between marks. One without a mark at its end goes to the end of the text."""
    place = 0
    while (mark := next_mark(text, place)) is not None:
        if mark["harmony"] and not RECIPIENT.search(mark[0]):
            place = mark.end()
            continue
        begin = mark.end()
        start, end = _end_of(text, mark)
        yield Marked(mark, text[begin:start])
        place = end


def next_mark(text: str, place: int) -> re.Match[str] | None:
    """The next mark of a call that is not only spoken of, in quotes."""
    sign = _SIGNS.search(text, place)
    while sign and (mark := _BEGIN.search(text, place)) is not None:
        begin, place = mark.start(), mark.end()
        if not (begin and text[begin - 1] in QUOTES and text[place : place + 1] in [*CLOSING_QUOTES]):
            return mark
    return None


def _end_of(text: str, mark: re.Match[str]) -> tuple[int, int]:
    """Where the mark at the end of a call begins and ends."""
    place = mark.end()
    if mark["result"]:
        return place, place
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
