"""The markup in a model's text: its thoughts are not its words, and neither are tokens that end its turn.

Models and servers leave different marks in a text: tags around thoughts such as `<think>`, the channels of
OpenAI's open models ("harmony"), and tokens that begin or end a turn, such as `<|im_end|>`.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Callable
from typing import Literal

from .code_blocks import closes_block, opens_block

#: What a part of a text is: `words` are said; a `call` of a tool, with its marks, is read later. `lone` has
#: no text: a tag closes what no tag opened, so all before it were thoughts. `preamble` has none either: words
#: begin that turn out to be thoughts if an answer follows.
Kind = Literal["words", "thought", "call", "lone", "preamble"]

#: Names of tags around thoughts: `think`, `antThinking`, `inner_monologue`, `seed:think`, …
_NAMES = (
    r"(?:\w{1,40}:)?(?:[a-z]{1,20}[_-]?)??(?:think|thinking|thoughts?|thought[_-]?process|chain[_-]of[_-]thought"
    r"|reason|reasoning|scratch_?pad|reflection|reflect|deliberation|rationale|cot(?:_budget_reflect)?|monologue"
    r"|analysis|planning|brainstorm(?:ing)?|inner_voice)(?:[_-](?:process|content|steps?|trace))?"
)
#: A tag's brackets; some servers escape them.
_LT, _GT = r"(?:<|&lt;)", r"(?:>|&gt;)"
_ENDS = (
    *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>", "<end_of_turn>", "</s>"),
    *(
        "<|end_of_turn|>",
        "<｜end▁of▁sentence｜>",
        "<|END_OF_TURN_TOKEN|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
    ),
    *("<turn|>", "<|endofturn|>", "<|eot|>", "<|eom|>", "[|endofturn|]", "<eos>", "<pad>"),
)
#: Every repetition is bounded and each search goes on behind the last tag: the time is that of the length.
TAG = re.compile(
    rf"""(?=[<\[◁&]) (?:
      (?P<empty> {_LT}\s{{0,9}}{_NAMES}\s{{0,9}}/{_GT} )
    | (?P<open> {_LT}\s{{0,9}}{_NAMES}(?:\s[^<>&]{{0,100}})?{_GT} | \[THINK\] | ◁think▷
          | <unused94> | <\|begin_of_thought\|> | <\|inner_prefix\|> | <\|START_THINKING\|>
          | <\|channel>\s{{0,9}}(?:thought|analysis)\b )
    | (?P<close> (?:{_LT}/\s{{0,9}}{_NAMES}\s{{0,9}}{_GT} | \[/{_NAMES}\] | <\|/{_NAMES}\|>
          | ◁/think▷ | <unused95>
          | <\|end_of_thought\|> | <\|inner_suffix\|> | <\|END_THINKING\|> | <channel\|>)
          (?=(?P<goes_on> [,.;:!?)] | [ \t]{{1,9}}(?-i:[a-z]) )?) )
    | (?P<details> {_LT}details\s(?=[^<>]{{0,100}}(?:reasoning|thinking|thought))[^<>]{{0,200}}{_GT} )
    | (?P<undetails> {_LT}/details{_GT} )
    | (?P<header> (?:<\|start\|>\s{{0,9}}assistant(?P<to>[^<]{{0,200}}))?
          <\|channel\|>\s{{0,9}}(?P<channel>\w{{1,40}})(?P<more>[^<]{{0,200}})
          (?:<\|constrain\|>[^<]{{0,50}})?<\|message\|> )
    | (?P<end> {"|".join(map(re.escape, _ENDS))} )
    | (?P<start> <\|(?:im_start|start|header_start|start_header_id|start_of_role)\|>\w{{0,40}}\n?
          | <(?:start_of_turn|\|turn)>\w{{0,40}}\n? | <s> | \[/?INST\] )
    | (?P<mark> <\|(?:begin|end)_of_(?:solution|box)\|> | <\|(?:START|END)_(?:RESPONSE|TEXT)\|>
          | <\|channel>\w{{0,40}} | <\|(?:im_sep|header_end|end_header_id|end_of_role)\|>\n{{0,2}}
          | </?(?:(?:final_)?(?:answer|response|output|reply|message|result|speech|utterance)|final|conclusion
              |solution|say)> )
    )""",
    re.IGNORECASE | re.VERBOSE,
)
#: Thoughts without tags, where a text begins: harmony of which a server took the special tokens away, IBM's
#: Granite, and fenced ones. Each ends with the phrase behind it.
_PLAIN = {
    **dict.fromkeys((f"```{name}\n" for name in ("think", "thinking", "thoughts", "reasoning")), ("\n```",)),
    "analysis": ("assistantfinal",),
    "Here is my thought process:": ("Here is my response:", "Here's my response:"),
    "Here's my thought process:": ("Here is my response:", "Here's my response:"),
}
_PLAIN_BEGIN = re.compile(
    r"\s{0,20}(?P<phrase>analysis(?=[A-Z\"'])|Here(?: is|'s) my thought process:"
    r"|```(?:think|thinking|thoughts|reasoning)\n)",
)
_HEADING = (
    r"(?:\#{{1,6}}[ \t]{{1,4}}(?:\*\*)?(?:{0})[:：]?(?:\*\*)?[ \t]{{0,9}}(?=\n)"
    r"|(?P<b>\*\*|__)(?:{0})(?:[:：](?P=b)|(?P=b)[ \t]{{0,9}}(?:[:：]|(?=\n))))"
)
#: Thoughts under a heading, where a text begins. They are thoughts only if an answer's heading follows.
_HEADED = re.compile(
    r"\s{0,20}"
    + _HEADING.format(
        r"(?:my |internal |inner |private )?(?:thinking|thoughts?|reasoning|analysis|rationale|reflection)"
        r"(?: process)?"
    )
    + r"|\s{0,20}(?:(?:thinking|thoughts?)[:：]|thinking(?:\.\.\.|…)(?=\n))",
    re.IGNORECASE,
)
_HEADED_END = re.compile(
    r"(?:\A|(?<=\n))[ \t]{0,3}"
    + _HEADING.format(r"(?:my |final |the )?(?:response|answer|reply|output|final)")
    + r"|(?<=\n)(?:(?:final answer|answer|response)[:：]|(?:\.\.\.|…)\s?done thinking\.)",
    re.IGNORECASE,
)
_HEADS = ("thinking:", "thinking...\n", "thinking…\n", "thoughts:", "thought:")
#: What such a heading may begin with, and how far it is waited for.
_HEADED_BEGUN = re.compile(
    r"\s{0,20}(?:\#{1,6}[^\n]{0,40}|(?:\*|\*\*|_|__)(?:[^\n*_]{0,40}[*_]{0,2}[ \t]{0,9})?)?"
)
#: Between these, the name of a mark is only spoken of, as in `the tag "<tool_call>" is odd`.
QUOTES, CLOSING_QUOTES = "`'\"“„«", "`'\"”“»"
#: What a tag begins with, and the length up to which the rest of one is waited for.
_BEGINS = re.compile(r"[<\[◁&]")
_LONGEST = 400
#: The length up to which the end of thoughts within a sentence is waited for, and what stands between two
#: tags that are only mentioned.
_LONGEST_THOUGHT = 4000
_MENTIONS = re.compile(rf"[{QUOTES}]?,?\s+(?:[^\s.?!]{{1,20}},?\s+){{0,3}}[{QUOTES}]?")
#: A tag to which the word behind it belongs, which may go on.
_GOES_ON = re.compile(
    r"</[\w:]{1,60}>[ \t]{0,9}|<\|channel>\s{0,9}\w{0,40}"
    r"|<(?:\|(?:im_start|header_start|start_header_id|start_of_role)\||\|turn|start_of_turn)>\w{0,40}"
    r"|<\|(?:im_sep|header_end|end_header_id|end_of_role)\|>\n?"
)


class Markup:
    """Reads a text piece by piece, and gives `take` its parts, in order.

    With `nested`, thoughts end when as many tags are closed as were opened; else with the first closing one.
    """

    def __init__(self, take: Callable[[Kind, str], None], nested: bool = False) -> None:
        self._take, self._nested = take, nested
        self._held = ""
        #: Whether the text may begin with thoughts without tags, and with which phrases these end.
        self._undecided, self._ends = True, tuple[str, ...]()
        #: Up to where no heading of an answer was found behind a heading of thoughts; -1: there is none.
        self._sought = -1
        #: Where the text is: in `words`, a `thought`, a `call`, or where nothing counts: `between` messages,
        #: or behind the end of the turn (`over`).
        self._state: Literal["words", "thought", "call", "between", "over"] = "words"
        self._depth = 0
        #: Whether thoughts began with `<details type="reasoning">`.
        self._in_details = False
        #: Whether there were thoughts, words before the place, and tags that are only mentioned.
        self._thought, self._spoken, self._mentioned, self._struck = False, False, 0, 0
        #: The last words, and those of the line; and whether that stands in a block of code.
        self._tail, self._line, self._in_block = "", "", False

    def feed(self, text: str, last: bool = False) -> None:
        """Read on. What may be the beginning of a tag waits for the rest of it, unless this is the `last`."""
        held, place = self._held + text, 0
        if self._undecided:
            headed = _HEADED.match(held)
            found = None
            if headed is not None:
                # The words behind a heading are looked at once.
                found = _HEADED_END.search(held, max(headed.end(), self._sought - 80))
                self._sought = len(held)
            self._undecided = not last and (found is None if headed else _may_be_plain(held))
            if self._undecided:
                self._held = held
                return
            if headed is not None and found is not None:
                self._thought = True
                self._take("thought", held[headed.end() : found.start()])
                held = held[found.end() :].lstrip()
            if begin := _PLAIN_BEGIN.match(held):
                self._ends, self._thought = _PLAIN[begin["phrase"]], True
                self._take("thought", "")
                held = held[begin.end() :]
        if self._ends:
            held = self._plain_thoughts(held, last)
            if self._ends:
                self._held = held
                return
        until = len(held) if last else _waiting(held)
        tags = [*TAG.finditer(held)]
        closing = [tag.start() for tag in tags if tag["close"]]
        for tag in tags:
            if tag.start() >= until:
                break
            self._give(held[place : tag.start()])
            place = tag.start()
            if tag.lastgroup in ("end", "start", "mark") and self._state == "words" and self._in_block:
                closes = closes_block(held, tag.end(), last)
                if closes is None:
                    until = place
                    break
                if closes:
                    self._give(tag[0])
                    place = tag.end()
                    continue
            if tag.lastgroup in ("end", "start", "mark") and (sign := self._quotation()):
                line, goes_on, _ = held[tag.end() : tag.end() + _LONGEST].partition("\n")
                if sign in line:
                    self._give(tag[0])
                    place = tag.end()
                    continue
                if not goes_on and not last and len(line) < _LONGEST:
                    until = place
                    break
            if self._state == "words" and self._quotes():
                if tag.end() == len(held) and not last:
                    until = place
                    break
                if held[tag.end() : tag.end() + 1] in tuple(CLOSING_QUOTES):
                    self._mentioned += tag["open"] is not None
                    self._give(tag[0])
                    place = tag.end()
                    continue
            if tag["open"] and self._state == "words" and self._is_mentioned():
                behind = bisect(closing, place)
                end = closing[behind] if behind < len(closing) else None
                if end is None and not last and len(held) - place < _LONGEST_THOUGHT:
                    until = place
                    break
                # In `the <think> and </think> tags`, both are only mentioned.
                encloses = end is not None and _MENTIONS.fullmatch(held, tag.end(), end) is None
                self._mentioned += not encloses
                self._begin(tag[0], thought=encloses)
            else:
                self._turn(tag)
            place = tag.end()
        if until > place:
            self._give(held[place:until])
            place = until
        self._held = held[place:]

    def _plain_thoughts(self, text: str, last: bool) -> str:
        """What of a text follows thoughts without tags; what may be their end waits."""
        found = [(place, end) for end in self._ends if (place := text.find(end)) >= 0]
        if found:
            place, end = min(found)
            self._take("thought", text[:place])
            self._ends = ()
            return text[place + len(end) :]
        wait = 0 if last else max(map(len, self._ends)) - 1
        self._take("thought", text[: max(0, len(text) - wait)])
        return text[max(0, len(text) - wait) :]

    def _give(self, text: str) -> None:
        state = self._state
        if not text or state == "between" or state == "over":
            return
        if state == "words":
            self._spoken = self._spoken or not text.isspace()
            self._tail = (self._tail + text[-80:])[-80:]
            *lines, self._line = (self._line + text).rsplit("\n", maxsplit=1)
            if lines and "```" in lines[0]:
                for line in lines[0].split("\n"):
                    self._in_block = opens_block(line, self._in_block)
            self._line = self._line[-_LONGEST:]
        self._take(state, text)

    def _turn(self, tag: re.Match[str]) -> None:
        """Go on behind a tag."""
        kind, state = tag.lastgroup, self._state
        if tag["header"]:
            self._begin_message(tag)
        elif state == "over":
            return
        elif kind == "end":
            self._end(tag[0])
        elif kind == "start":
            if state == "words" and tag[0] == "<s>" and self._spoken:
                self._struck += 1
                self._give(tag[0])
            elif state == "words" and self._spoken:
                self._state = "over"
        elif kind == "open":
            self._open(tag[0])
        elif kind == "empty" and state == "words" and not self._is_mentioned():
            self._begin("", thought=True)
            self._state, self._depth = "words", 0
        elif kind == "empty":
            self._give(tag[0])
        elif kind == "details" and state == "words" and not self._is_mentioned():
            self._begin(tag[0], thought=True)
            self._in_details = True
        elif kind == "undetails" and state == "thought" and self._in_details:
            self._state, self._in_details = "words", False
        elif kind in ("details", "undetails"):
            self._give(tag[0])
        elif kind == "close":
            self._close(tag[0], bool(tag["goes_on"]))
        elif state != "words" or not (self._thought or tag[0].startswith("<|")):
            self._give(tag[0])

    def _begin_message(self, tag: re.Match[str]) -> None:
        """Begin a message of harmony, in its channel."""
        if "to=" in f"{tag['to'] or ''}{tag['more']}":
            self._state = "call"
            self._give(tag[0])
        elif tag["channel"].lower() == "analysis":
            self._state, self._thought = "thought", True
            self._depth = 0
        else:
            # What a model tells while it works is not its answer.
            if self._spoken and (not self._thought or tag["channel"].lower() == "final"):
                self._take("lone", "")
            self._state, self._thought, self._spoken = "words", True, False
            if tag["channel"].lower() == "commentary":
                self._take("preamble", "")

    def _end(self, token: str) -> None:
        if self._state == "call":
            self._give(token)
            self._state = "between"
        elif token == "</s>" and self._struck:
            self._struck -= 1
            self._give(token)
        elif self._state == "thought" and not self._depth:
            self._state = "between"
        elif self._state == "words" and self._spoken:
            self._state = "over"

    def _open(self, tag: str) -> None:
        if self._state == "thought":
            self._depth += self._nested
            self._give(tag)
        elif self._state == "words":
            self._begin(tag, thought=True)

    def _begin(self, tag: str, thought: bool) -> None:
        """Begin thoughts with a tag among words, or pass on a tag that is only mentioned."""
        if thought:
            self._state, self._depth, self._thought = "thought", 1, True
            self._take("thought", "")
        else:
            self._give(tag)

    def _close(self, tag: str, goes_on: bool) -> None:
        """`goes_on`: a sentence does, behind the tag."""
        if self._state == "thought" and self._depth:
            self._depth -= 1
            if self._depth:
                self._give(tag)
            else:
                self._state = "words"
        elif self._state == "words" and (self._mentioned or (goes_on and self._is_mentioned())):
            self._mentioned = max(0, self._mentioned - 1)
            self._give(tag)
        elif self._state == "words":
            self._take("lone", "")
            self._thought = True

    def _quotation(self) -> str:
        """What closes the quotation that is open in this line of the words; empty if none is."""
        if self._state != "words":
            return ""
        pairs = ("``", '""', "“”", "«»")
        opened = (sign[1] for sign in pairs if sum(map(self._line.count, {*sign})) % 2)
        return next(opened, "")

    def _quotes(self) -> bool:
        """Whether a quotation begins just here."""
        return self._tail[-1:] in tuple(QUOTES) and not self._tail[-2:-1].strip(" \t\n(")

    def _is_mentioned(self) -> bool:
        """Whether a tag stands in a sentence as a word, and the answer had no thoughts before."""
        if self._thought or len(self._tail) < 2:
            return False
        if self._tail[-1] in QUOTES:
            return True
        before = self._tail.rstrip(" \t")
        return before != self._tail and (before[-1:].isalnum() or before[-1:] == ",")


def _waiting(text: str) -> int:
    """Where a tag may begin of which the end is missing; the length of the text if there is none."""
    place = max(0, len(text) - _LONGEST)
    for begin in _BEGINS.finditer(text, place):
        rest = text[begin.start() :]
        if rest.startswith(("<|start|>"[: len(rest)], "<|channel|>"[: len(rest)])):
            if "<|message|>" not in rest:
                return begin.start()
        elif _GOES_ON.fullmatch(rest) or (len(rest) < 160 and not any(end in rest for end in ">]▷")):
            return begin.start()
    return len(text)


def _may_be_plain(begin: str) -> bool:
    """Whether a text that begins so may still turn out to begin with thoughts without tags."""
    bare = begin.lstrip()
    if bare and any(one.startswith(bare.lower()) for one in _HEADS):
        return True
    return any(one.startswith(bare) for one in _PLAIN) or _HEADED_BEGUN.fullmatch(begin) is not None


def has_thoughts(text: str) -> bool:
    """Whether there is any markup in a text."""
    begun = _PLAIN_BEGIN.match(text) or (_HEADED.match(text) and _HEADED_END.search(text))
    return begun is not None or TAG.search(text) is not None


def begins_with_thoughts(text: str) -> bool:
    """Whether a text begins with a tag that opens thoughts."""
    found = TAG.match(text.lstrip())
    return found is not None and found["open"] is not None


def split_thoughts(text: str) -> tuple[list[str], str]:
    """The thoughts in an answer, and its words up to the end of the model's turn.

    Thoughts stand between tags such as `<think>` and `</think>`. Without an opening tag they begin with the
    text, because some servers put that tag into the prompt; without a closing one they end with it. Tags that
    a sentence only mentions are words.
    """
    thoughts: list[list[str]] = []
    words: list[str] = []
    last = ""

    def take(kind: Kind, part: str) -> None:
        nonlocal last
        if kind == "lone":  # everything before was thought
            thoughts.append(words.copy())
            words.clear()
        elif kind == "preamble":
            pass
        elif kind == "thought":
            if not part or last != "thought" or not thoughts:
                thoughts.append([])
            thoughts[-1].append(part)
        else:
            between = last == "thought" and words and words[-1][-1:].isspace()
            words.append(part.lstrip(" \t") if between else part)
        last = kind

    Markup(take).feed(text, last=True)
    said = "".join(words)
    found = [one for parts in thoughts if (one := "".join(parts).strip())]
    return found, said.strip() if said != text else said
