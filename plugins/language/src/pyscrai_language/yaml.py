"""The YAML of scenarios: plain data, with the place of every value.

What differs from YAML 1.1, which PyYAML implements:

- only `true` and `false` (also `True`, `TRUE`, …) are booleans; `yes`, `no`, `on`, `off` are strings;
- `12:30` and `2026-11-01` are strings; so are digits with a leading zero (`010`, a postcode) and with
  underscores (`1_000`); `0x1F` and `0o17` are integers, `1e5` is a float;
- numbers must be finite, and integers must fit into 53 bits, or JSON could not hold them;
- a key is a string, whatever it looks like (`1:` is the key "1", `on:` the key "on"); an empty or null
  key is a mistake;
- a repeated key, a tag (`!!python/…`), a merge key (`<<`) and a second document are mistakes;
- an alias (`*name`) stands for a copy. How much a document may grow by them is bounded.

JSON is read by the same rules. All text is brought into the form NFC of Unicode. Each mistake is reported
with its `file:line:column`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import yaml
from attrs import define

from pyscrai_records.base.files import read_bytes
from pyscrai_records.base.strict_json import MAX_INTEGER
from pyscrai_records.base.suggest import closest
from pyscrai_records.errors import Mistake, ScenarioError

from .document import Document, Mark, Marks
from .lookalikes import normalize
from .misfit import Path, dotted
from .yaml_syntax import SYNTAX

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # a PyYAML that was built without libyaml: the same, slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

#: How many values a document may hold, those that its aliases repeat included.
MAX_NODES = 200_000
#: How deeply lists and mappings may be nested.
MAX_DEPTH = 100
#: After so many mistakes the rest of a document is not looked at.
MAX_MISTAKES = 50

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z|0x[0-9a-fA-F]+\Z|0o[0-7]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
#: What YAML does not allow, and three line ends of Unicode that YAML 1.1 would quietly fold into spaces.
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATES = re.compile(r"(\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})|\\.", re.IGNORECASE | re.DOTALL)


def load(path: pathlib.Path) -> Document:
    """Read the file at `path`.

    Raises `ScenarioError` when it cannot be read, and with all mistakes that are found in it.
    """
    try:
        data = read_bytes(path)
    except ValueError as error:
        raise _error(path, str(error)) from None
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        what = f"byte 0x{data[error.start]:02x} is not UTF-8 text"
        raise _error(_place(str(path), before), f"{what}; save the file in UTF-8") from None
    return loads(text, str(path))


def loads(text: str, file: str) -> Document:
    """Read a document from `text`; errors and marks call it `file`. Raises `ScenarioError`."""
    text = text.removeprefix("\ufeff")
    unprintable = _UNPRINTABLE.search(text)
    if unprintable:
        what = f"the character U+{ord(unprintable[0]):04X} is not allowed in YAML"
        remedy = "remove it, or write it as an escape in double quotes"
        raise _error(_place(file, text[: unprintable.start()]), f"{what}, which is plain text; {remedy}")
    return _Reader(_join_surrogates(text), file).read()


def parse_scalar(text: str) -> Any:
    """The value that `text`, given on a command line, stands for.

    What begins with `[`, `{` or a quote is read as YAML (`[a, b]`, `{rounds: 3}`, `"3"`); anything else is
    one plain value: `3`, `true`, `null`, or the string itself, which may hold `: ` and `#`. Empty
    text is an empty string. Raises `ScenarioError`.
    """
    text = text.strip()
    if not text:
        return ""
    if text[0] in "[{\"'":
        return loads(text, "--set").value
    try:
        return _plain_value(normalize(text))
    except ValueError as error:
        raise _error("--set", str(error)) from None


def _error(where: object, what: str) -> ScenarioError:
    return ScenarioError([Mistake(str(where), "", what)])


def _place(file: str, before: str) -> Mark:
    """The mark of what follows the text `before`."""
    return Mark(file, before.count("\n") + 1, len(before) - before.rfind("\n"))


def _plain_value(text: str) -> Any:
    """The value of a plain (unquoted) scalar. A `ValueError` for a number that JSON cannot hold."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.match(text):
        # Sixty digits are beyond 53 bits in every base; longer ones would be slow to convert.
        integer = int(text, 0) if len(text) < 60 else MAX_INTEGER + 1
        if abs(integer) > MAX_INTEGER:
            raise ValueError(
                f"the integer {_short(text)} does not fit into 53 bits; quote it to keep its digits"
            )
        return integer
    if _FLOAT.match(text):
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise ValueError(
                f"the number {_short(text)} is too large for a float; quote it to keep it as text"
            )
        return number
    if _NOT_FINITE.match(text):
        raise ValueError(f"{text} is not a finite number; give a number, or null for none")
    return text


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _join_surrogates(text: str) -> str:
    r"""JSON may write a character as a pair of escapes (`\ud83d\ude00`), which YAML does not know.

    Only in JSON is a backslash always an escape, so nothing but JSON is touched.
    """
    if not re.search(r"\\u[dD][89abAB]", text):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _SURROGATES.sub(lambda pair: json.loads(f'"{pair[0]}"') if pair[1] else pair[0], text)


@define
class _Anchor:
    """What an anchor names. While that is being built, `value` is `...`."""

    event: Any
    marks: Marks
    value: Any = ...


class _Reader:
    """Builds a document from the parser's events, which are bounded as they come in.

    An alias gets a copy of what its anchor names, with marks of its own.
    """

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.events: Iterator[Any] = iter(())
        self.anchors: dict[str, _Anchor] = {}
        self.nodes = 0
        self.mistakes: list[Mistake] = []

    def read(self) -> Document:
        document = Document(None, Marks())
        try:
            self.events = yaml.parse(self.text, Loader=_Loader)
            for event in self.events:
                if isinstance(event, yaml.DocumentStartEvent) and document.marks.own is not None:
                    raise self._stop(event, "a second document begins here; keep one document in a file")
                if isinstance(event, yaml.NodeEvent):
                    document.value = self._build(event, (), document.marks, 0)
        except yaml.MarkedYAMLError as error:
            self._check_depth_before(error.problem_mark)
            raise self._syntax_error(error) from None
        except yaml.YAMLError as error:  # the parser's reader, about characters: without a place
            raise _error(
                self.file, f"this is not valid YAML ({error}); save the file as plain UTF-8"
            ) from None
        except (ValueError, OverflowError):  # PyYAML's own parser, from `chr`
            what = "an escape stands for a character beyond Unicode's last one, \\U0010FFFF"
            raise _error(self.file, f"{what}; write the character itself") from None
        if document.marks.own is None:
            raise _error(Mark(self.file, 1, 1), "the file is empty, where a YAML document was expected")
        if self.mistakes:
            raise ScenarioError(self.mistakes)
        return document

    def _check_depth_before(self, mark: Any) -> None:
        """Refuse nesting beyond our bound in the text before a syntax error.

        The parser reads ahead: it may reach a mistake, or a bound of its own, before it gave the events
        that show the depth. Without the rest of the text it gives them, whatever its version.
        """
        depth = 0
        with contextlib.suppress(yaml.YAMLError):
            for event in yaml.parse(self.text[: mark.index], Loader=_Loader):
                depth += isinstance(event, yaml.CollectionStartEvent)
                depth -= isinstance(event, yaml.CollectionEndEvent)
                if depth > MAX_DEPTH:
                    raise self._stop(event, _TOO_DEEP)

    def _count(self, event: Any, depth: int) -> None:
        """Count a value that stands in `depth` lists and mappings, itself included."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self._stop(event, _TOO_MANY)
        if depth > MAX_DEPTH:
            raise self._stop(event, _TOO_DEEP)

    # -- building -------------------------------------------------------------------------------

    def _build(self, event: Any, path: Path, marks: Marks, depth: int) -> Any:
        """The value that begins with `event`. Its places go into `marks`."""
        marks.own = self._mark(event)
        if isinstance(event, yaml.AliasEvent):
            anchor = self._anchor(event)
            if anchor.value is ...:
                what = f"the alias *{event.anchor} is inside of what it repeats, which would never end"
                raise self._stop(event, f"{what}; write the value out")
            marks.parts = anchor.marks.copy().parts
            return self._repeat(event, anchor.value, depth)
        anchor = _Anchor(event, marks)
        if event.anchor:
            self.anchors[event.anchor] = anchor
        self._refuse_tag(event, path)
        self._count(event, depth + isinstance(event, yaml.CollectionStartEvent))
        if isinstance(event, yaml.ScalarEvent):
            anchor.value = self._scalar(event, path)
        else:
            build = self._list if isinstance(event, yaml.SequenceStartEvent) else self._mapping
            anchor.value = build(path, marks, depth + 1)
        return anchor.value

    def _parts(self) -> Iterator[Any]:
        """The events with which the parts of a list or mapping begin."""
        return itertools.takewhile(lambda one: not isinstance(one, yaml.CollectionEndEvent), self.events)

    def _list(self, path: Path, marks: Marks, depth: int) -> list[Any]:
        values: list[Any] = []
        for event in self._parts():
            part = marks.parts[len(values)] = Marks()
            values.append(self._build(event, (*path, len(values)), part, depth))
        return values

    def _mapping(self, path: Path, marks: Marks, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        unusable = 0
        for event in self._parts():
            key = self._key(event, path, depth)
            if key is None or key in values:
                if key is not None:
                    first = marks.parts[key].key
                    what = f"the key appears twice in this mapping, first at {first}; keep one of the two"
                    self._mistake(event, (*path, key), what)
                # It is read all the same, for the mistakes in it, under a path that no other value has.
                unusable += 1
                self._build(next(self.events), (*path, f"{key}#{unusable}"), Marks(), depth)
                continue
            part = marks.parts[key] = Marks(key=self._mark(event))
            values[key] = self._build(next(self.events), (*path, key), part, depth)
        return values

    def _key(self, event: Any, path: Path, depth: int) -> str | None:
        """The key that begins with `event`, None if it cannot be one."""
        scalar = self._anchor(event).event if isinstance(event, yaml.AliasEvent) else event
        if not isinstance(scalar, yaml.ScalarEvent):
            self._build(event, path, Marks(), depth)
            self._mistake(event, path, "a list or a mapping cannot be a key, which is a string; write a name")
            return None
        self._refuse_tag(scalar, path)
        if event.anchor and event is scalar:
            self.anchors[event.anchor] = _Anchor(event, Marks(), self._scalar(event, path))
        key: str = normalize(scalar.value)
        if not scalar.style:  # it is not quoted
            if key == "<<":
                what = "merge keys (<<) are not supported; repeat the keys, or use `template:` for agents"
                self._mistake(event, path, what)
                return None
            if key in _WORDS and _WORDS[key] is None:
                shown = f"{key} is null and" if key else "an empty key"
                self._mistake(event, path, f"{shown} cannot be a key; write a name, or quote it")
                return None
        self._check_text(key, event, path)
        return key

    def _anchor(self, alias: Any) -> _Anchor:
        """What an alias stands for: the last anchor of its name before it."""
        if alias.anchor in self.anchors:
            return self.anchors[alias.anchor]
        match = closest(alias.anchor, list(self.anchors)[-1000:])
        guess = f" (did you mean *{match}?)" if match else ""
        what = f"there is no anchor &{alias.anchor} before this alias{guess}"
        raise self._stop(alias, f"{what}; quote text that begins with '*'")

    def _repeat(self, alias: Any, value: Any, depth: int) -> Any:
        """A copy of the value that an alias repeats."""
        self._count(alias, depth + isinstance(value, (list, dict)))
        if isinstance(value, dict):
            return {key: self._repeat(alias, part, depth + 1) for key, part in value.items()}
        if isinstance(value, list):
            return [self._repeat(alias, part, depth + 1) for part in value]
        return value

    def _scalar(self, event: Any, path: Path) -> Any:
        if event.style:  # it is quoted
            self._check_text(event.value, event, path)
            return normalize(event.value)
        try:
            return _plain_value(normalize(event.value))
        except ValueError as error:
            self._mistake(event, path, str(error))
            return None

    def _check_text(self, text: str, event: Any, path: Path) -> None:
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                self._mistake(event, path, "an escape gives half of a character; write the character itself")

    def _refuse_tag(self, event: Any, path: Path) -> None:
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._mistake(event, path, f"the tag {tag} is not read, only plain data is; remove the tag")

    # -- mistakes -------------------------------------------------------------------------------

    def _mark(self, event: Any) -> Mark:
        return Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _mistake(self, event: Any, path: Path, what: str) -> None:
        """Note a mistake and continue, so that all of them are reported."""
        self.mistakes.append(Mistake(str(self._mark(event)), dotted(path), what))
        if len(self.mistakes) >= MAX_MISTAKES:
            raise ScenarioError(self.mistakes)

    def _stop(self, event: Any, what: str) -> ScenarioError:
        """A mistake after which nothing can be read, together with those before it."""
        return ScenarioError([*self.mistakes, Mistake(str(self._mark(event)), "", what)])

    def _syntax_error(self, error: yaml.MarkedYAMLError) -> ScenarioError:
        problem = error.problem or ""
        mark, opened = error.problem_mark, error.context_mark
        assert mark is not None  # the parser sets it for each of its errors
        # A message that we do not know gets no remedy of ours: it might be the wrong one.
        unknown = f"this is not valid YAML ({problem}); check this line and the one before it"
        message = f"{error.context or ''}: {problem}"
        words = next((words for part, words in SYNTAX if part in message), unknown)
        found = self.text[mark.index : mark.index + 1]
        if "cannot start" in problem and found != "\t":
            words = f"text cannot begin with {found}; put it in quotes"
        if opened is not None and "{opened}" in words:
            words = words.replace("{opened}", f"line {opened.line + 1}, column {opened.column + 1}")
            if "end of stream" in problem:
                mark = opened  # the quote's place helps more than the end of the file
        return _error(Mark(self.file, mark.line + 1, mark.column + 1), words)


_TOO_MANY = (
    f"the document holds more than {MAX_NODES:,} values, what its aliases repeat included; make it smaller"
)
_TOO_DEEP = f"lists and mappings are nested more than {MAX_DEPTH} levels deep; make the document flatter"
