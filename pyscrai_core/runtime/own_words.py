"""An agent speaks for itself alone: its own name as a prefix goes, and so do lines of other agents."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ..errors import AnswerRejected

#: What stands before a colon, and the decoration behind it; at the beginning of a line.
_BREAKS = "\\n\\r\\x0b\\x0c\\x85\\u2028\\u2029"
PREFIX = re.compile(rf"(?P<head>[^{_BREAKS}:：]{{1,200}})[:：][*_]*(?:</\w+>)?[ \t]*")
_LINE = re.compile(rf"(?:^|(?<=[{_BREAKS}])){PREFIX.pattern}")
#: What may stand around a name: space, quotation marks, brackets, Markdown, HTML, numbers, and behind it how
#: or to whom it is said.
_BEFORE = """ \t>*_#"'“„«[(-"""
_AROUND = """ \t>*_#"'“”„«»‹›[](){}-"""
_UNSEEN = re.compile("[\u200b-\u200f\u2060\ufeff]|<[^<>]{1,40}>")
_NUMBER = re.compile(r"^\s*\d{1,3}[.)]\s+")
_ADDRESSED = [
    re.compile(rf"[*_ \t]*{said}[*_ \t]*$") for said in (r"\([^)]*\)", r"\[[^\]]*\]", r"(?<=\s)\*[^*]+\*")
]


@lru_cache(maxsize=16)
def speakers(agents: tuple[str, ...]) -> Mapping[str, str]:
    """The names of a scenario's agents, by how they are found."""
    return {name.casefold(): name for name in agents}


def own_words(text: str, name: str, others: Mapping[str, str]) -> str:
    """What the agent `name` says itself, without its own name at the beginning of lines.

    The text ends where a line of another one of the `speakers` begins. Raises `AnswerRejected` if it begins
    with one.
    """
    kept, place = "", 0
    for line in _LINE.finditer(text):
        if line.start() < place:
            continue
        speaker = speaker_of(line["head"], others)
        if speaker is None:
            continue
        kept += text[place : line.start()]
        if speaker != name:
            if not kept.strip():
                raise AnswerRejected(
                    f"it begins with a line of {speaker}; answer as {name}, and for nobody else"
                )
            return kept.rstrip()
        place = line.end()
        # The own name may stand before somebody else's: `Mara: Jon: Five.`
        inner = PREFIX.match(text, place)
        other = speaker_of(inner["head"], others) if inner else None
        if inner and other == name:
            place = inner.end()
        elif inner and other is not None:
            raise AnswerRejected(f"it begins with a line of {other}; answer as {name}, and for nobody else")
    return kept + text[place:]


def speaker_of(head: str, known: Mapping[str, str]) -> str | None:
    """The agent whose name stands at the beginning of a line, if it is one."""
    bare = _NUMBER.sub("", _UNSEEN.sub("", head))
    for name in (head, bare, *(said.sub("", bare) for said in _ADDRESSED)):
        for form in (name.strip(), name.lstrip(_BEFORE).rstrip("*_ \t"), name.strip(_AROUND)):
            if (found := known.get(form.casefold())) is not None:
                return found
    return None


def may_be_speaker(begin: str, known: Mapping[str, str]) -> bool:
    """Whether a line that begins so may have the name of an agent before a colon."""
    bare = begin.lstrip(_BEFORE).casefold()
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
