"""Thoughts that a model writes into its text, between tags: they are not its words."""

from __future__ import annotations

import re

_NAMES = r"(?:\w+:)?(?:think|thinking|thoughts?|reasoning)"
#: The tags before and behind thoughts; the last form of each is that of OpenAI's open models ("harmony").
OPENING = re.compile(
    rf"<\s*{_NAMES}(?:\s[^<>]{{0,100}})?>|\[THINK\]|◁think▷|<\|channel\|>\s*analysis\b[^<]{{0,100}}<\|message\|>",
    re.IGNORECASE,
)
CLOSING = re.compile(
    rf"</\s*{_NAMES}\s*>|\[/THINK\]|◁/think▷"
    r"|(?:<\|end\|>)?(?:<\|start\|>\s*assistant)?<\|channel\|>\s*final\b[^<]{0,100}<\|message\|>",
    re.IGNORECASE,
)


def has_thoughts(text: str) -> bool:
    """Whether there is a tag of thoughts in a text."""
    return OPENING.search(text) is not None or CLOSING.search(text) is not None


def split_thoughts(text: str) -> tuple[list[str], str]:
    """The thoughts in an answer, and its words.

    Thoughts stand between tags such as `<think>` and `</think>`. Without an opening tag they begin with the
    text, because some servers put that tag into the prompt; without a closing one they end with it.
    """
    thoughts: list[str] = []
    words = ""
    while text:
        begin, end = OPENING.search(text), CLOSING.search(text)
        if end is not None and (begin is None or end.start() < begin.start()):
            # Everything before a lone closing tag was thought.
            thoughts.append(words + text[: end.start()])
            words, text = "", text[end.end() :]
        elif begin is None:
            words, text = words + text, ""
        else:
            words += text[: begin.start()]
            inner = text[begin.end() :]
            end = CLOSING.search(inner)
            thoughts.append(inner if end is None else inner[: end.start()])
            text = "" if end is None else inner[end.end() :]
    found = [thought.strip() for thought in thoughts if thought.strip()]
    return found, words.strip() if thoughts else words
