"""Thoughts that a model writes into its text, between tags: they are not its words."""

from __future__ import annotations

import re

from ..contracts import Sink

_NAMES = "think|thinking|thoughts?|reasoning"
_OPEN = re.compile(rf"<({_NAMES})>|\[THINK\]|◁think▷", re.IGNORECASE)
_CLOSE = re.compile(rf"</({_NAMES})>|\[/THINK\]|◁/think▷", re.IGNORECASE)
#: The characters that a tag begins with, and the length of the longest one.
_BEGIN = "<[◁"
_LONGEST = len("</reasoning>")


def has_thoughts(text: str) -> bool:
    """Whether there is a tag of thoughts in a text."""
    return _OPEN.search(text) is not None or _CLOSE.search(text) is not None


def split_thoughts(text: str) -> tuple[list[str], str]:
    """The thoughts in an answer, and its words.

    Thoughts stand between tags such as `<think>` and `</think>`. Without an opening tag they begin with the
    text, because some servers put that tag into the prompt; without a closing one they end with it.
    """
    thoughts: list[str] = []
    words = ""
    while text:
        begin, end = _OPEN.search(text), _CLOSE.search(text)
        if end is not None and (begin is None or end.start() < begin.start()):
            # Everything before a lone closing tag was thought.
            thoughts.append(words + text[: end.start()])
            words, text = "", text[end.end() :]
        elif begin is None:
            words, text = words + text, ""
        else:
            words += text[: begin.start()]
            inner = text[begin.end() :]
            end = _CLOSE.search(inner)
            thoughts.append(inner if end is None else inner[: end.start()])
            text = "" if end is None else inner[end.end() :]
    found = [thought.strip() for thought in thoughts if thought.strip()]
    return found, words.strip() if thoughts else words


class WordsSink:
    """Passes the words of a streamed answer on to `sink`, without the thoughts between tags."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._held = ""
        self._thinking = False

    def write(self, text: str) -> None:
        self._held += text
        while found := (_CLOSE if self._thinking else _OPEN).search(self._held):
            if not self._thinking:
                self._pass_on(found.start())
            self._held = self._held[found.end() :].lstrip() if self._thinking else self._held[len(found[0]) :]
            self._thinking = not self._thinking
        if self._thinking:
            self._held = self._held[-_LONGEST:]
            return
        # What may be the beginning of a tag waits for the rest of it.
        tail = max(self._held.rfind(mark) for mark in _BEGIN)
        partial = tail >= 0 and len(self._held) - tail < _LONGEST
        self._pass_on(tail if partial else len(self._held))

    def end(self) -> None:
        """Pass on what was held back. Call it when the answer is complete."""
        if not self._thinking:
            self._pass_on(len(self._held))

    def _pass_on(self, end: int) -> None:
        if end:
            self._sink.write(self._held[:end])
        self._held = self._held[end:]
