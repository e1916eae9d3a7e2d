"""An agent speaks for itself alone: its own name as a prefix goes, and so do lines of other agents."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ..errors import AnswerRejected

#: What stands before a colon, and the decoration behind it; at the beginning of a line.
_BREAKS = "\\n\\r\\x0b\\x0c\\x85\\u2028\\u2029"
PREFIX = re.compile(rf"(?P<head>[^{_BREAKS}:：]{{1,200}})[:：][*_]*(?:</\w{{1,40}}>)?[ \t]*")
#: A line that may begin with a speaker: with a name and a colon, or a heading of a name alone.
LINE = re.compile(
    rf"(?:\[\d{{1,2}}:\d\d(?::\d\d)?\]|\(\d{{1,2}}:\d\d(?::\d\d)?\)|\d{{1,2}}:\d\d)?(?:{PREFIX.pattern}"
    rf"|[ \t]{{0,3}}\#{{1,6}}[ \t](?P<title>[^{_BREAKS}:：]{{1,200}})(?:[{_BREAKS}]+|\Z))"
)
_LINE = re.compile(rf"(?:^|(?<=[{_BREAKS}])){LINE.pattern}")
#: What may stand around a name: space, quotation marks, brackets, Markdown, HTML, numbers, bullets, and
#: behind it how or to whom it is said.
_BEFORE = """ \t>*_#"'“„«[(-\u2013\u2014\u2022\u00b7\u2023\u25e6\u25aa\u25cf\u25cb"""
_AROUND = """ \t>*_#"'“”„«»‹›[](){}-\u2013\u2014\u2022\u00b7\u2023\u25e6\u25aa\u25cf\u25cb"""
_UNSEEN = re.compile("[\u200b-\u200f\u2060\ufeff]|<[^<>]{1,40}>")
_NUMBER = re.compile(r"\s{0,9}\d{1,3}[.)]\s+")
_PAIRS = {")": "(", "]": "["}


@lru_cache(maxsize=16)
def speakers(agents: tuple[str, ...]) -> Mapping[str, str]:
    """The names of a scenario's agents, by how they are found."""
    return {name.casefold(): name for name in agents}


def own_words(text: str, name: str, others: Mapping[str, str]) -> str:
    """What the agent `name` says itself, without its own name at the beginning of lines.

    The text ends where a line of another one of the `speakers` begins. Raises `AnswerRejected` if it begins
    with one.
    """
    kept: list[str] = []
    place = 0
    for line in _LINE.finditer(text):
        if line.start() < place:
            continue
        speaker = speaker_of(line["head"] or line["title"], others)
        if speaker is None:
            continue
        kept.append(text[place : line.start()])
        if speaker != name:
            said = "".join(kept)
            if not said.strip():
                raise AnswerRejected(
                    f"it begins with a line of {speaker}; answer as {name}, and for nobody else"
                )
            return said.rstrip()
        place = line.end()
        # The own name may stand before somebody else's: `Mara: Jon: Five.`
        inner = PREFIX.match(text, place)
        other = speaker_of(inner["head"], others) if inner else None
        if inner and other == name:
            place = inner.end()
        elif inner and other is not None:
            raise AnswerRejected(f"it begins with a line of {other}; answer as {name}, and for nobody else")
    return "".join([*kept, text[place:]])


def speaker_of(head: str, known: Mapping[str, str]) -> str | None:
    """The agent whose name stands at the beginning of a line, if it is one."""
    bare = _UNSEEN.sub("", head)
    if number := _NUMBER.match(bare):
        bare = bare[number.end() :]
    for name in (head, bare, _unaddressed(bare)):
        for form in (name.strip(), name.lstrip(_BEFORE).rstrip("*_ \t"), name.strip(_AROUND)):
            if (found := known.get(form.casefold())) is not None:
                return found
    return None


def _unaddressed(head: str) -> str:
    """A name without what stands behind it in brackets or between asterisks, such as `(smiling)`."""
    bare = head.rstrip("*_ \t")
    begin = bare.rfind(_PAIRS[bare[-1]]) if bare[-1:] in _PAIRS else -1
    if begin < 0 and head.rstrip().endswith("*"):
        begin = bare.rfind("*")
        begin = begin if begin > 0 and head[begin - 1].isspace() else -1
    return head if begin < 0 else head[:begin].rstrip("*_ \t")


def may_be_speaker(begin: str, known: Mapping[str, str]) -> bool:
    """Whether a line that begins so may have the name of an agent before a colon."""
    bare = _NUMBER.sub("", begin.lstrip(_BEFORE), count=1).lstrip(_BEFORE + "0123456789:])").casefold()
    return any(name.startswith(bare) or bare.startswith(name) for name in known)


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A structured answer with its texts changed. Texts in lists are left as they are: they may be names."""
    if isinstance(value, dict):
        return {
            key: change(one) if isinstance(one, str) else map_texts(one, change) for key, one in value.items()
        }
    if isinstance(value, list):
        return [one if isinstance(one, str) else map_texts(one, change) for one in value]
    return value
