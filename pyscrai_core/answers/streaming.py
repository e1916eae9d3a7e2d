"""What of an answer is passed on while it is streamed: the agent's own words, as far as they can be told."""

from __future__ import annotations

from collections.abc import Mapping

from ..contracts import Sink
from .own_words import LINE, may_be_speaker, speaker_of
from .thoughts import Kind, Markup


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
        whole = self._held.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        end = len(whole) - half
        self._held = whole[end:]
        if end:
            self._sink.write(whole[:end])


class ThoughtlessSink(WordsSink):
    """Leaves out thoughts, calls of tools in channels, and what comes behind the end of the turn."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink)
        self._markup = Markup(self._take, nested=True)
        #: Whether there was anything but words just before.
        self._fresh = False

    def _look(self, last: bool) -> None:
        text, self._held = self._held, ""
        self._markup.feed(text, last)

    def _take(self, kind: Kind, text: str) -> None:
        if kind != "words":
            self._fresh = True
            return
        if self._fresh:
            text = text.lstrip()
        if text:
            self._fresh = False
            self._sink.write(text)


class OwnWordsSink(WordsSink):
    """Leaves out the agent's own name before a line, and everything from another agent's line on."""

    def __init__(self, sink: Sink, name: str, agents: Mapping[str, str]) -> None:
        super().__init__(sink)
        self._name, self._agents = name, agents
        # What is longer has no name before a colon. Only rare decoration is longer than this.
        self._longest = max(map(len, agents), default=0) + len("[10:02:30] **(to all)**: ")
        self._begins, self._ended = True, False

    def _look(self, last: bool) -> None:
        lines = self._held.splitlines(keepends=True)
        self._held = ""
        for number, line in enumerate(lines, 1):
            if self._ended:
                return
            newline = line[-1] in "\r\n\x0b\x0c\x85\u2028\u2029"
            if self._begins:
                prefix = LINE.match(line)
                whole = (
                    last
                    or newline
                    or number < len(lines)
                    or len(line) > self._longest
                    or not may_be_speaker(line, self._agents)
                )
                if not whole and (prefix is None or prefix.end() == len(line)):
                    self._held = line
                    return
                speaker = speaker_of(prefix["head"] or prefix["title"], self._agents) if prefix else None
                if prefix and speaker is not None:
                    self._ended = speaker != self._name
                    line = line[prefix.end() :]
            self._begins = newline
            if line and not self._ended:
                self._sink.write(line)
