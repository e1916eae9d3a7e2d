"""What of an answer is passed on while it is streamed: the agent's own words, as far as they can be told."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress

import orjson

from pyscrai_language.parsing import find_json
from pyscrai_records.errors import AnswerRejected
from pyscrai_records.records import Completion, Request, Sink

from .own_words import OwnWords, ends_line, lines_of
from .textual_calls import begin_of_call, with_textual_calls
from .thoughts import Kind, Markup, split_thoughts
from .tokens import unread_token, unread_tokens

_JSON_BEGIN = re.compile(r"\s*(?:```\w{0,20}\s*)?[{\[]")


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

    @property
    def closed(self) -> bool:
        """Whether a tag closed thoughts that no tag opened."""
        return isinstance(self._sink, WordsSink) and self._sink.closed

    def _look(self, last: bool) -> None:
        half = not last and "\ud800" <= self._held[-1:] <= "\udbff"
        whole = self._held.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        end = len(whole) - half
        self._held = whole[end:]
        if end:
            self._sink.write(whole[:end])


class ThoughtlessSink(WordsSink):
    """Leaves out thoughts, calls of tools in channels, and what comes behind the end of the turn.

    From a token on that is not read, words wait for the end of the answer: such an answer is rejected, unless
    the token stands in a block of code.

    `waits`: all words wait for the end of the answer, because a tag may close thoughts that no tag opened:
    the server put that one into the prompt. Behind such a tag, words wait as well: another one may follow.
    """

    def __init__(self, sink: Sink, waits: bool = False) -> None:
        super().__init__(sink)
        self._markup = Markup(self._take, nested=True)
        #: Whether there was anything but words just before.
        self._fresh = False
        self._waits, self._closed = waits, False
        #: All words, and how many pieces of them were passed on.
        self._words: list[str] = []
        self._passed = 0
        #: The last words, and whether there was a token that is not read.
        self._tail, self._unread = "", False

    def end(self) -> None:
        self._look(last=True)
        if self._unread and unread_token("".join(self._words)) is None:
            self._unread = False
        if not self._unread:
            self._pass_on()
        super().end()

    @property
    def closed(self) -> bool:
        return self._closed

    def _look(self, last: bool) -> None:
        text, self._held = self._held, ""
        self._markup.feed(text, last)

    def _take(self, kind: Kind, text: str) -> None:
        if kind == "lone":
            self._closed, self._unread, self._tail = True, False, ""
            self._words.clear()
            self._passed = 0
        if kind != "words":
            self._waits = self._waits or kind in ("lone", "preamble")
            self._fresh = True
            return
        if self._fresh:
            text = text.lstrip()
        if not text:
            return
        self._fresh = False
        if not self._unread and (token := next(unread_tokens(self._tail + text), None)):
            # What stands before it is passed on.
            self._unread = True
            begin = max(0, token.start() - len(self._tail))
            self._words.append(text[:begin])
            if not self._waits:
                self._pass_on()
            text = text[begin:]
        self._words.append(text)
        self._tail = (self._tail + text)[-80:]
        if not (self._waits or self._unread):
            self._pass_on()

    def _pass_on(self) -> None:
        if text := "".join(self._words[self._passed :]):
            self._sink.write(text)
        self._passed = len(self._words)


class FieldsSink(WordsSink):
    """Passes on a structured answer value by value, each text as `own` reads it once it is complete.

    What does not begin as JSON comes as a whole: it may begin with thoughts. Nothing is passed on from a text
    on that is no JSON, or that `own` rejects.
    """

    def __init__(self, sink: Sink, own: Callable[[str], str]) -> None:
        super().__init__(sink)
        self._own = own
        self._begun, self._broken = False, False
        #: Up to where the end of a text that is held was sought.
        self._sought = 0

    def _look(self, last: bool) -> None:
        if not self._begun:
            self._begun = last or _JSON_BEGIN.match(self._held) is not None
            if not self._begun:
                return
            if _JSON_BEGIN.match(self._held) is None:
                self._held = find_json(split_thoughts(self._held)[1])
        held, place = self._held, 0
        while not self._broken and place < len(held):
            start = held.find('"', place)
            if start < 0:
                start = len(held)
            if start > place:
                self._sink.write(held[place:start])
                place, self._sought = start, 0
                continue
            end = self._end_of_text(held, start)
            rest = held[end : end + 100].lstrip() if end else ""
            if not rest and not last:
                break
            if text := self._read(held[start:end], is_key=rest.startswith(":")) if end else "":
                self._sink.write(text)
            place, self._sought = end or len(held), 0
        self._held = "" if self._broken else held[place:]
        self._sought = max(0, self._sought - place)

    def _end_of_text(self, held: str, start: int) -> int:
        """The place behind the quote that ends a text; 0 if it is not there yet."""
        at = max(start + 1, self._sought)
        while (at := held.find('"', at)) >= 0:
            before = at
            while held[before - 1] == "\\":
                before -= 1
            if (at - before) % 2 == 0:
                return at + 1
            at += 1
        self._sought = len(held)
        return 0

    def _read(self, text: str, is_key: bool) -> str:
        if is_key:
            return text
        try:
            return orjson.dumps(self._own(orjson.loads(text))).decode()
        except (AnswerRejected, ValueError):  # who checks the whole answer says why
            self._broken = True
            return ""


class CallsSink(WordsSink):
    """Leaves out calls of tools that the model writes as text, in an answer to `request`.

    What begins as a call waits for the end of the answer, because only the whole can be read.
    """

    def __init__(self, sink: Sink, request: Request) -> None:
        super().__init__(sink)
        self._request = request
        self._passed = False

    def _look(self, last: bool) -> None:
        if begin := begin_of_call(self._held, self._request, whole=not self._passed, last=last):
            self._sink.write(self._held[:begin])
            self._passed = self._passed or not self._held[:begin].isspace()
            self._held = self._held[begin:]
        if last and self._held:
            held, self._held = self._held, ""
            with suppress(AnswerRejected):
                self._sink.write(with_textual_calls(Completion(held), self._request).text)


class OwnWordsSink(WordsSink):
    """Leaves out the agent's own name before a line, and everything from another agent's line on."""

    def __init__(self, sink: Sink, name: str, agents: Mapping[str, str]) -> None:
        super().__init__(sink)
        self._reader = OwnWords(name, agents)
        #: Whether the beginning of this line was passed on already.
        self._inside = False

    def _look(self, last: bool) -> None:
        lines = list(lines_of(self._held))
        self._held = ""
        for number, line in enumerate(lines, 1):
            whole = ends_line(line)
            if not whole and not last and number == len(lines):
                undecided = not self._inside and self._reader.undecided(line)
                end = 0 if undecided else self._reader.open_end(line, self._inside)
                line, self._held = line[:end], line[end:]
                if not line:
                    return
            if said := self._reader.read(line, self._inside):
                self._sink.write(said)
            self._inside = not whole
