"""An agent speaks for itself alone: its own name as a prefix goes, and so do lines of other agents.

Only what surely labels a speaker counts: `Jon:`, `[Jon] Five.`, `Jon says:`, `Buyer Jon:`. What may be words
stays: `Jon - five is all I have` speaks to Jon, and so does `Dear Jon:`. Nobody speaks to oneself, so that
`Mara - Nine coins.` is a label in an answer of Mara.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from attrs import frozen

from pyscrai_records.errors import AnswerRejected

from .lists import CODE, DATA, DOES, ITEM, LONGEST_ITEM, VALUE
from .roles import ALL, BEFORE, MODEL, NEXT_TURN, PERSON, ROLES, TELLER, TELLERS, TITLES

#: What ends a line.
LINE_ENDS = "\n\r\x0b\x0c\x85\u2028\u2029"
_BREAKS = re.escape(LINE_ENDS)
#: A line ends with a break, in HTML, too.
_HTML_BREAK = r"<br\s{0,3}/?>"
_LINE = re.compile(rf"[^{_BREAKS}]*?(?:{_HTML_BREAK}|\r\n|[{_BREAKS}])|[^{_BREAKS}]+", re.IGNORECASE)
_ENDED = re.compile(rf"(?:{_HTML_BREAK}|[{_BREAKS}])\Z", re.IGNORECASE)
_BREAK_BEGUN = re.compile(r"<(?:b(?:r\s{0,3}/?)?)?\Z", re.IGNORECASE)
#: What stands before a label: a time, or the number of a turn.
_STAMP = re.compile(
    r"(?:\[\d{1,2}:\d\d(?::\d\d)?\]|\(\d{1,2}:\d\d(?::\d\d)?\)|\d{1,2}:\d\d"
    r"|[\[(*_]{0,3}(?:turn|round|step|day)\s\d{1,4}[\])*_]{0,3}\s?[-–—:.,|]?\s)?",
    re.IGNORECASE,
)
#: A head and a colon, with the decoration behind it.
_COLON = re.compile(
    rf"(?P<head>(?:[^{_BREAKS}:：(\[]|[(\[]\d{{1,2}}:\d\d(?::\d\d)?[)\]]|[(\[]){{1,200}})"
    rf"[:：][*_`”»]*(?:</\w{{1,40}}>)?[ \t]*"
)
#: A heading or a bold text that is all of its line. What nothing follows is an answer, such as a vote.
_TITLE = re.compile(
    rf"(?:[ \t]{{0,3}}\#{{1,6}}[ \t](?P<head>[^{_BREAKS}:：]{{1,200}})"
    rf"|[ \t]{{0,3}}(?P<mark>\*\*|__)(?P<bold>[^{_BREAKS}*:：]{{1,200}})(?P=mark)[ \t]*)[{_BREAKS}]+"
)
#: The forms of chats: `[Jon] Five.`, `<Jon> Five.`, `Jon> Five.`
_BOXED = re.compile(
    rf"[*_\->• \t]{{0,6}}(?P<head>\[[^{_BREAKS}\[\]]{{1,80}}\]|<?[^{_BREAKS}<>]{{0,80}}[^{_BREAKS}<>=\- \t]>)"
    r"[*_>]{0,4}[ \t]+(?=\S)"
)
#: A name as a tag, as in `<Jon>Five.</Jon>`; only as it is written, for `<b>` is bold even if a B takes part.
_TAGGED = re.compile(rf"[ \t]*<(?P<head>[^{_BREAKS}<>/]{{1,80}})>[ \t]*(?=\S)")
#: A name in brackets or between dashes that is all of its line.
_ALONE = re.compile(
    rf"(?P<head>\[[^{_BREAKS}\[\]]{{1,80}}\]|<[^{_BREAKS}<>]{{1,80}}>|(?P<rule>[-=*—]{{2,9}})[^{_BREAKS}:：]{{1,80}}(?P=rule))"
    rf"[ \t]*[{_BREAKS}]+"
)
_SENTENCE_ENDS = r".!?…)\]"
#: What templates of chats leave if a server takes their special tokens away: the role of whose turn begins.
_TURN = re.compile(rf"(?P<head>assistant|user|model|system)[ \t]*(?:[{_BREAKS}]+|\Z)")
_GLUED_TURN = re.compile(rf"(?<=[{_SENTENCE_ENDS}])(?:assistant|user)[ \t]*(?:[{_BREAKS}]+|\Z)")
_GLUED_BEGUN = re.compile(
    rf"[{_SENTENCE_ENDS}](?:a(?:s(?:s(?:i[stan]{{0,4}}t?)?)?)?|u(?:s(?:er?)?)?)?[ \t]*\Z"
)
#: Without one of these no line has a label, but that of `_TURN`.
_SIGNS = re.compile(r"[:：#*_<>\[\]()|=\-–—]")
_LABELS = (_COLON, _TITLE, _BOXED, _ALONE)
#: What only labels the agent itself, where its answer begins: a dash or a bar behind the name, or the name in
#: brackets or bold, and then a sentence; or how it speaks, as in `Mara, smiling: Nine coins.` A name that is
#: all of its line may be an answer, such as a vote.
_OWN = re.compile(
    rf"(?P<head>[^{_BREAKS}\-–—|]{{1,80}}|[*_]{{0,2}}[^{_BREAKS}|]{{1,80}}?)"
    rf"(?:[ \t]+(?:[-–—]{{1,2}}|\|)[ \t]+|(?<=[)*_])[ \t]+)(?=[*_]{{0,2}}[\"'“‘«„¿¡A-Z0-9À-ÖØ-Þ])"
    rf"|(?P<name>[^{_BREAKS}:：,，]{{1,80}})[,，][^{_BREAKS}:：.?!\"“]{{1,80}}[:：][*_]*[ \t]*"
)
#: How somebody says something, and to whom, behind a name. `Jon said:` may report what he said before.
_SAYS = re.compile(
    r"(?P<name>.{1,80}?),?\s+(?:\w{2,20}ly\s+)?"
    r"(?:says|replies|responds|answers|asks|adds|continues|exclaims|whispers|shouts|speaks"
    r"|speaking|replying|responding|answering|smiling|nodding|laughing|sighing|grinning|frowning|shrugging"
    r"|sagt|antwortet|fragt|erwidert|dit|répond|demande|dice|responde|pregunta|contesta|risponde|chiede"
    r"|diz|pergunta|zegt|antwoordt|vraagt|säger|svarar|mówi|odpowiada|pyta|říká|diyor"
    r"|говорит|отвечает|спрашивает|каже|відповідає|λέει|απαντά)"
    r"(?:\s+\w{2,20}ly)?(?:\s+(?:to\s+)?(?P<to>.{1,80}))?",
    re.IGNORECASE,
)
#: The same in scripts that put no blank between words, or the verb behind the one who is spoken to.
_SAYS_JOINED = re.compile(
    r"(?P<name>.{1,80}?)\s?(?:说道?|說道?|道|答道?|问道?|問道?|回答道?|回应|回應|回复|回覆|表示"
    r"|[はが](?:言う|言った|答える|答えた|尋ねる)|[이가은는]?\s?(?:말한다|말했다|말합니다|대답한다)"
    r"|ने कहा|कहता है|कहती है|さん|様|さま|くん|君|ちゃん|氏|先生|女士|小姐|님|씨|-(?:san|sama|kun|chan))"
)
_ROLE, _TITLE_OR_ROLE = "|".join(ROLES), "|".join((*ROLES, *TITLES))
_WITH_ROLE = re.compile(
    rf"(?:the\s+)?(?:{_TITLE_OR_ROLE})[.,]?\s+(?P<name>.{{1,80}})"
    r"|(?P<before>.{1,80}?)(?:\s*[,–—-]\s*|\s+(?=the\s))"
    rf"(?:(?:the|an?|our)\s+(?:[\w-]{{1,30}}\s+){{0,2}}?)?(?:{_ROLE})",
    re.IGNORECASE,
)
#: What only labels the agent itself: a role before the name, as in `Farmer Mara`, or the past tense.
_TITLED = re.compile(r"(?:[^\W\d_a-z][\w.]{1,30}\s){1,2}(?P<name>\S.{0,80})")
_SAID = re.compile(r"(?P<name>.{1,80}?)\s(?:said|replied|answered|responded|asked)(?:\s\w{2,20}ly)?")
#: The beginning of a line that may go on as a stamp, a title, or a quotation.
_STAMP_BEGUN = re.compile(
    r"[\[(*_]{0,3}(?:t(?:u(?:r(?:n)?)?)?|r(?:o(?:u(?:n(?:d)?)?)?)?|s(?:t(?:e(?:p)?)?)?|d(?:a(?:y)?)?"
    r"|(?:turn|round|step|day)\s\d{0,4}[\])*_]{0,3}\s?[-–—:.,|]?\s?)",
    re.IGNORECASE,
)
_TAG_BEGUN = re.compile(r"\s{0,20}<[^<>]{0,40}")
_TITLE_BEGUN = re.compile(r"[*_\[(]{0,2}(?:[^\W\d_a-z][\w.]{0,30}\s?){1,3}[\])]?\s?")
_FENCE_BEGUN = re.compile(r"[ \t]*`{1,3}\w{0,20}")
_OPEN_QUOTE = re.compile(r"[\"“”«„][^\"“”«»„]*(?:[\"“”»][ \t,]*)?\Z")
_WHOLLY_QUOTED = re.compile(rf"[\"“„«](?P<text>[^\"“”„«»]*)[\"”“»](?P<end>[ \t]*[{_BREAKS}]*)")
_QUOTED = re.compile(r"[\"“”«„][^\"“”«»„:：]*[:：]\s*[^\"“”«»„\s][^\"“”«»„]*[\"“”»][ \t,]{1,3}[^\W\d_A-Z]")
_TO = re.compile(r"(?P<name>.{1,80}?)(?:,?\s+to\s+(?P<to>.{1,80})|\s*(?:[-=]>|→|⇒|➜).{1,80})", re.IGNORECASE)
_ANSWER = re.compile(
    r"(?P<name>.{1,80})['’]s?\s+(?:response|reply|answer|turn|message)"
    r"|(?:response|reply|answer|message)\s+(?:from|by|of)\s+(?P<by>.{1,80})",
    re.IGNORECASE,
)
_UNSEEN = re.compile("[\u200b-\u200f\u2060\ufeff]|<[^<>]{1,40}>")
_NUMBER = re.compile(r"\s{0,9}\d{1,3}[.)]\s+")
_RULES = re.compile(rf"(?:\s+[-*_=~—]{{3,}}[ \t]*|\s{{0,9}}{_HTML_BREAK})+\Z", re.IGNORECASE)
#: What may stand before a label and is no words: rules, a fence, or the number of a turn.
_NO_WORDS = re.compile(
    rf"(?:[\s\-*_=~—#>`]|{_HTML_BREAK}|[\[(](?:(?:turn|round|step|day)\s\d{{1,4}}|\d{{1,2}}:\d\d(?::\d\d)?)[\])])*",
    re.IGNORECASE,
)
_PAIRS = {")": "(", "]": "[", "）": "（", "】": "【", "］": "［"}
#: What belongs to words, if it stands at the edge of a name; all other signs are decoration.
_OF_WORDS = frozenset(".,;?!…&%$€")


@frozen
class Label:
    """Who is said to speak from `end` on."""

    speaker: str
    end: int


@lru_cache(maxsize=16)
def speakers(agents: tuple[str, ...]) -> Mapping[str, str]:
    """The names of a scenario's agents, by how they are found: as they are, and whatever their case."""
    return {**{name.casefold(): name for name in reversed(agents)}, **{name: name for name in agents}}


class OwnWords:
    """Reads an answer of the agent `name` line by line, until a line of another of the `speakers`."""

    def __init__(self, name: str, others: Mapping[str, str]) -> None:
        self._name, self._others = name, others
        #: What closes a tag with its name, and whether that was read.
        self._closing, self.closed = f"</{name}>", False
        #: Who ended it.
        self.ended = ""
        #: Whether there were words before, whether a blank line is just before, and whether blank lines go.
        self._begun, self._blank, self._headed = False, False, False
        #: Whether the words before announce something, as in `I vote for:`.
        self._announced, self._listing = False, False
        #: Whether code is just here, and how many brackets of data are open.
        self._code, self._brackets = False, 0

    def read(self, line: str, inside: bool = False) -> str:
        """What of the next line the agent says itself; empty for a line of somebody else.

        `inside`: the beginning of this line was read already.
        """
        if self.ended:
            return ""
        before, tag, rest = line.partition(self._closing)
        if tag:
            self.closed = True
            return self.read(before, inside) + self.read(rest)
        kept = line if inside else self._without_labels(line)
        self._follow_code(kept, inside)
        if turn := _GLUED_TURN.search(kept):
            kept, self.ended = kept[: turn.start()], NEXT_TURN
        blank = not line.strip()
        if self._headed and blank and kept:
            return ""
        self._headed = not blank and not kept and not self.ended
        self._blank = blank
        self._begun = self._begun or bool(kept.strip())
        if not blank:
            self._announced = kept.rstrip("*_ \t\r\n").endswith((":", "："))
        return kept

    def _follow_code(self, line: str, inside: bool) -> None:
        """Note where code and data begin and end."""
        if not inside and line.lstrip().startswith("```"):
            self._code = not self._code and CODE.match(line) is not None
        if self._brackets or (not inside and DATA.match(line)):
            opened = sum(map(line.count, "{[")) - sum(map(line.count, "}]"))
            self._brackets = max(0, self._brackets + opened)

    def open_end(self, line: str, inside: bool) -> int:
        """Where the end of what is known of a line begins that may be the beginning of the next turn."""
        if begun_break := _BREAK_BEGUN.search(line):
            line = line[: begun_break.start()]
        label = None if inside else self._label(line)
        if label is not None and label.speaker != self._name:
            return len(line)
        tag = line.find(self._closing)
        begun = next((n for n in range(len(self._closing), 0, -1) if line.endswith(self._closing[:n])), 0)
        end = tag if tag >= 0 else len(line) - begun
        if label is not None:
            return end if end > label.end else 0
        found = _GLUED_BEGUN.search(line, max(0, end - 40), end)
        return end if found is None else found.start()

    def undecided(self, line: str) -> bool:
        """Whether a line of which only the beginning is known may still turn out to begin with a label."""
        if self.ended:
            return False
        if _FENCE_BEGUN.fullmatch(line):
            return True
        found = self._label(line)
        if found is not None:
            if _OPEN_QUOTE.match(line):
                return True  # it may turn out to be a quotation
            if found.speaker != self._name:
                return len(line) < found.end + LONGEST_ITEM  # it may turn out to be one in a list
            # Behind the own name, somebody else's may follow.
            rest = line[found.end :]
            return not rest or self._may_be_label(rest)
        return self._may_be_label(line)

    def _begins_item(self, line: str) -> bool:
        """Whether a line is one of a list, or a quotation, that is announced."""
        if not (self._announced or self._listing):
            label = self._label(line, items=True)
            return label is not None and self._does(line, label)
        if not line.strip():
            return self._listing
        return ITEM.match(line) is not None or self._label(line, items=True) is not None

    def _is_item(self, line: str, label: Label) -> bool:
        """The same of a line with a label."""
        announced = self._announced or self._listing
        listed = announced and bool(ITEM.match(line) or VALUE.match(line, label.end))
        return listed or self._does(line, label)

    def _does(self, line: str, label: Label) -> bool:
        """Whether a line tells what somebody else does."""
        return label.speaker in {*self._others.values()} - {self._name} and bool(DOES.match(line, label.end))

    def _without_labels(self, line: str) -> str:
        self._listing = self._begins_item(line)
        for _ in range(3):  # the own name may stand there twice, or before somebody else's
            found = self._label(line)
            if found is None:
                return line
            if found.speaker != self._name:
                self.ended = found.speaker
                return ""
            quoted = _WHOLLY_QUOTED.fullmatch(line)
            line = f"{line[found.end : quoted.end('text')]}{quoted['end']}" if quoted else line[found.end :]
        return line

    def _label(self, line: str, items: bool = False) -> Label | None:
        """The label of a line. `items`: a name in a list or a quotation that is announced is one, too."""
        if self._code or self._brackets or not (_SIGNS.search(line) or _TURN.match(line)) or DATA.match(line):
            return None
        start = _STAMP.match(line).end()  # type: ignore[union-attr]
        for form in _LABELS:
            found = form.match(line, start)
            if found is None or (self._announced and form in (_TITLE, _ALONE)):
                continue
            head = found["head"] or found["bold"]
            who = (
                speaker_of(head, self._others)
                or self._role(head)
                or self._answering(head)
                or self._titled(head)
            )
            if who is not None and not _is_quotation(line, start):
                label = Label(who, found.end())
                return label if items or not self._is_item(line, label) else None
        tagged = _TAGGED.match(line, start)
        if tagged is not None and self._others.get(tagged["head"]) == tagged["head"]:
            return Label(tagged["head"], tagged.end())
        own = None if self._begun else _OWN.match(line, start)
        if own is not None and speaker_of(own["head"] or own["name"], self._others) == self._name:
            return Label(self._name, own.end())
        turn = None if self._announced else _TURN.match(line)
        if turn is not None and (self._begun or ends_line(line)):
            who = _named(turn["head"], self._others) or (NEXT_TURN if self._begun else self._name)
            return Label(who, turn.end())
        return None

    def _role(self, head: str) -> str | None:
        """The speaker, if a model fell out of its role."""
        bare = _bare(head)
        role = bare.casefold()
        # `The narrator: a man of few words.` tells of one.
        if role in TELLERS or (bare.istitle() and role.removeprefix("the ") in TELLERS):
            return TELLER
        if role in MODEL and not self._begun:
            return self._name
        return "a person" if role in PERSON and self._begun and self._blank else None

    def _answering(self, head: str) -> str | None:
        """The speaker in `Mara's answer`; of somebody else's, the agent itself may tell, but behind a blank
        line."""
        found = _ANSWER.fullmatch(_bare(head))
        who = _named(found["name"] or found["by"], self._others) if found else None
        return who if (self._blank if who != self._name else not self._begun) else None

    def _titled(self, head: str) -> str | None:
        """The agent itself, in `Farmer Mara` or `Mara said`. `Dear Jon` and `Jon said` are words."""
        bare = "" if self._begun else _bare(head)
        found = [form.fullmatch(bare) for form in (_TITLED, _SAID)]
        own = any(one and _named(one["name"], self._others) == self._name for one in found)
        return self._name if own else None

    def _may_be_label(self, begin: str) -> bool:
        begin = unicodedata.normalize("NFKC", _UNSEEN.sub("", begin))
        longest = max(map(len, self._others), default=0)
        # What is longer has no label. Only rare decoration is longer than this.
        if len(begin) > 2 * longest + len("[10:02:30] **(responds to )**: "):
            return False
        if _TAG_BEGUN.fullmatch(begin) or _STAMP_BEGUN.fullmatch(begin):
            return True
        if not self._begun and _TITLE_BEGUN.fullmatch(begin):
            return True
        bare = _NUMBER.sub("", _STAMP.sub("", begin.lstrip(), count=1), count=1).lstrip("0123456789:])")
        bare = _stripped(bare.lstrip(), left=True).casefold()
        names = {*map(str.casefold, self._others), *BEFORE}
        return any(name.startswith(bare) or bare.startswith(name) for name in names)


def own_words(text: str, name: str, others: Mapping[str, str]) -> str:
    """What the agent `name` says itself, without its own name at the beginning of lines.

    The text ends where a line of another one of the `speakers` begins. Raises `AnswerRejected` if it begins
    with one.
    """
    reader, whole = OwnWords(name, others), text.rstrip()
    said = "".join(map(reader.read, lines_of(whole)))
    if not reader.ended:
        return said.rstrip() if reader.closed else said + text[len(whole) :]
    if _NO_WORDS.fullmatch(said):
        raise AnswerRejected(
            f"it begins with a line of {reader.ended}; answer as {name}, and for nobody else"
        )
    return _RULES.sub("", said.rstrip()).rstrip()


def ends_line(line: str) -> bool:
    """Whether a line has the break at its end."""
    return _ENDED.search(line, max(0, len(line) - 12)) is not None


def lines_of(text: str) -> Iterator[str]:
    """The lines of a text, each with what ends it."""
    return (found[0] for found in _LINE.finditer(text))


def speaker_of(head: str, known: Mapping[str, str]) -> str | None:
    """The agent whose name stands at the beginning of a line, if it is one."""
    bare = _UNSEEN.sub("", head)
    if number := _NUMBER.match(bare):
        bare = bare[number.end() :]
    once = _unaddressed(bare)
    for name in (head, bare, once, _unaddressed(once)):
        for form in (name.strip(), _stripped(name)):
            if (found := _named(form, known)) is not None:
                return found
    inner = _stripped(bare)
    for pattern in (_SAYS, _TO):
        said = pattern.fullmatch(inner)
        if said and _is_addressee(said["to"], known):
            return _named(_stripped(said["name"]), known)
    joined = _SAYS_JOINED.fullmatch(inner)
    if joined:
        return _named(joined["name"], known)
    titled = _WITH_ROLE.fullmatch(inner)
    return _named(_stripped(titled["name"] or titled["before"]), known) if titled else None


def _is_quotation(line: str, start: int) -> bool:
    """Whether a line quotes somebody, and goes on about it: `"Jon: five" is what he wrote.`"""
    return _QUOTED.match(line, start) is not None


def _named(name: str, known: Mapping[str, str]) -> str | None:
    forms = (unicodedata.normalize("NFC", name), unicodedata.normalize("NFKC", name))
    return next((known[one] for form in forms for one in (form, form.casefold()) if one in known), None)


def _is_addressee(text: str | None, known: Mapping[str, str]) -> bool:
    return text is None or _stripped(text).casefold() in ALL or _named(_stripped(text), known) is not None


def _unaddressed(head: str) -> str:
    """A name without what stands behind it in brackets or between asterisks, such as `(smiling)`."""
    bare = head.rstrip("*_ \t")
    begin = bare.rfind(_PAIRS[bare[-1]]) if bare[-1:] in _PAIRS else -1
    if begin < 0 and head.rstrip().endswith("*"):
        begin = bare.rfind("*")
        begin = begin if begin > 0 and head[begin - 1].isspace() else -1
    return head if begin < 0 else head[:begin].rstrip("*_ \t")


def _bare(head: str) -> str:
    return _stripped(_UNSEEN.sub("", head))


def _stripped(text: str, left: bool = False) -> str:
    """A text without blanks, brackets, quotes, Markdown and symbols around it. `left`: only before it."""
    start, end = 0, len(text)
    while start < end and _is_decoration(text[start]):
        start += 1
    while not left and end > start and _is_decoration(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_decoration(sign: str) -> bool:
    if sign.isalnum() or sign in _OF_WORDS:
        return False
    return sign == "\ufe0f" or unicodedata.category(sign)[0] in "SPZC"


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A structured answer with its texts changed. Texts in lists are left as they are: they may be names."""
    if isinstance(value, dict):
        return {
            key: change(one) if isinstance(one, str) else map_texts(one, change) for key, one in value.items()
        }
    if isinstance(value, list):
        return [one if isinstance(one, str) else map_texts(one, change) for one in value]
    return value
