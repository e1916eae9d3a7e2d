"""What of an answer is passed on while it is streamed: the agent's own words, as far as they can be told."""

from __future__ import annotations

from collections.abc import Mapping

from ..contracts import Sink
from .own_words import PREFIX, may_be_speaker, speaker_of
from .thoughts import CLOSING, OPENING

#: The characters that a tag of thoughts begins with, and the length of the longest one.
_BEGIN = "<[◁"
_LONGEST = len("</reasoning>")


class WordsSink:
    """Passes streamed text on to `sink`, but for a half of a character, which waits for the other one."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._held = ""

    def write(self, text: str) -> None:
        self._held += text
        self._look(last=False)

    def end(self) -> None:
        """Pass on what was held back. Call it when the answer is complete."""
        self._look(last=True)
        if isinstance(self._sink, WordsSink):
            self._sink.end()

    def _look(self, last: bool) -> None:
        half = not last and "\ud800" <= self._held[-1:] <= "\udbff"
        self._held = self._held.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        self._pass_on(len(self._held) - half)

    def _pass_on(self, end: int) -> None:
        if end:
            self._sink.write(self._held[:end])
        self._held = self._held[end:]


class ThoughtlessSink(WordsSink):
    """Leaves out the thoughts between tags."""

    _thinking = False

    def _look(self, last: bool) -> None:
        while found := (CLOSING if self._thinking else OPENING).search(self._held):
            if not self._thinking:
                self._pass_on(found.start())
            self._held = self._held[found.end() :].lstrip() if self._thinking else self._held[len(found[0]) :]
            self._thinking = not self._thinking
        if self._thinking:
            self._held = self._held[-_LONGEST:]
            return
        # What may be the beginning of a tag waits for the rest of it.
        tail = max(self._held.rfind(mark) for mark in _BEGIN)
        partial = not last and tail >= 0 and len(self._held) - tail < _LONGEST
        self._pass_on(tail if partial else len(self._held))


class OwnWordsSink(WordsSink):
    """Leaves out the agent's own name before a line, and everything from another agent's line on."""

    def __init__(self, sink: Sink, name: str, agents: Mapping[str, str]) -> None:
        super().__init__(sink)
        self._name, self._agents = name, agents
        # What is longer has no name before a colon. Only rare decoration is longer than this.
        self._longest = max(map(len, agents), default=0) + len("**(to all)**: ")
        self._begins, self._ended = True, False

    def _look(self, last: bool) -> None:
        while self._held and not self._ended:
            line, newline, rest = self._held.partition("\n")
            if self._begins:
                prefix = PREFIX.match(line)
                whole = last or newline or len(line) > self._longest or not may_be_speaker(line, self._agents)
                if not whole and (prefix is None or prefix.end() == len(line)):
                    return
                speaker = speaker_of(prefix["head"], self._agents) if prefix else None
                if prefix and speaker is not None:
                    self._ended = speaker != self._name
                    line = line[prefix.end() :]
            self._begins = bool(newline)
            if not self._ended:
                self._held = line + newline
                self._pass_on(len(self._held))
            self._held = rest
