"""Plain sentences, in which there is nothing to find: most of what agents say."""

from __future__ import annotations

import re

#: Any sign but letters and those of sentences: markup, code, data, calls and labels begin with such a sign.
_SIGNS = re.compile("[^0-9A-Za-zÀ-ÖØ-öø-ɏͰ-ӿ \n.,;!?…'’\"“”„«»%€$/+-]")
#: A dash that is not within a word.
_DASH = re.compile(r"(?<!\w)-|-(?!\w)")
#: Words with which a turn or thoughts may begin without any sign.
_WORDS = ("assistant", "user", "model", "system", "analysis", "thinking")


def is_plain(text: str) -> bool:
    """Whether there are no thoughts, tokens, calls or labels in a text, as its signs and words show."""
    if _SIGNS.search(text) or ("-" in text and _DASH.search(text)):
        return False
    lowered = text.lower()
    return not any(map(lowered.__contains__, _WORDS))
