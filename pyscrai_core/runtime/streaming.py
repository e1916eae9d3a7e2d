"""What of an answer is passed on while it is streamed: the agent's own words, as far as they can be told."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..contracts import Sink
from .own_words import PREFIX, may_be_speaker, speaker_of
from .thoughts import CLOSING, OPENING

#: The characters that a tag of thoughts begins with, and the length up to which one is waited for.
_BEGIN = ("<|channel", "<|end", "<|start", "<", "[", "◁")
_LONGEST = 80


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

    #: How many tags were opened and not closed.
    _depth = 0

    def _look(self, last: bool) -> None:
        while (found := self._next()) is not None:
            opens = OPENING.fullmatch(found[0]) is not None
            if not self._depth:
                self._pass_on(found.start())
                self._held = self._held[len(found[0]) :]
            else:
                self._held = self._held[found.end() :]
            self._depth = max(0, self._depth + (1 if opens else -1))
            if not self._depth:
                self._held = self._held.lstrip()
        if self._depth:
            self._held = self._held[-_LONGEST:]
            return
        # What may be the beginning of a tag waits for the rest of it.
        tail = next((at for mark in _BEGIN if self._waits(at := self._held.rfind(mark), mark)), -1)
        self._pass_on(len(self._held) if last or tail < 0 else tail)

    def _next(self) -> re.Match[str] | None:
        """The next tag; a closing one counts only inside of thoughts."""
        tags = (OPENING.search(self._held), CLOSING.search(self._held) if self._depth else None)
        return min((tag for tag in tags if tag), key=lambda tag: tag.start(), default=None)

    def _waits(self, at: int, mark: str) -> bool:
        """Whether a tag may begin there, of which the end is missing."""
        begun = self._held[at:] if at >= 0 else ""
        closed = len(mark) == 1 and any(end in begun for end in ">]▷")
        return bool(begun) and len(begun) < _LONGEST and not closed


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
