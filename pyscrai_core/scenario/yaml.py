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

JSON is read by the same rules. Each mistake is reported with its `file:line:column`.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
from typing import Any

import yaml

from ..canonical import MAX_INTEGER
from ..errors import Mistake, ScenarioError
from ..language.misfit import Path
from ..suggest import closest
from .document import Document, Mark, Marks, dotted
from .yaml_syntax import SYNTAX

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # a PyYAML that was built without libyaml: the same, slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

#: The largest file that is read, in bytes.
MAX_BYTES = 10_000_000
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
_SURROGATES = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})|\\.", re.IGNORECASE | re.DOTALL)


def load(path: pathlib.Path, *, shown: str | None = None) -> Document:
    """Read the file at `path`; errors call it `shown` (by default, the path as given).

    Raises `ScenarioError` when it cannot be read, and with all mistakes that are found in it.
    """
    name = str(path) if shown is None else shown
    try:
        if path.is_dir():
            raise _error(name, "this is a folder, where a YAML file was expected; name the file in it")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _error(name, f"there is no such file{_similar(path)}; check the path") from None
    except ValueError:
        raise _error(name, "this cannot be the name of a file; check the path") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _error(
            name, f"the file cannot be read ({reason}); check its permissions and the path"
        ) from None
    if len(data) > MAX_BYTES:
        what = f"the file is larger than the {MAX_BYTES:,} bytes that are read"
        raise _error(name, f"{what}; keep large data in files of their own, such as a CSV")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        what = f"byte 0x{data[error.start]:02x} is not UTF-8 text"
        raise _error(_place(name, before), f"{what}; save the file in UTF-8") from None
    return loads(text, name)


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
        return _plain_value(text)
    except ValueError as error:
        raise _error("--set", str(error)) from None


def _error(where: object, what: str) -> ScenarioError:
    return ScenarioError([Mistake(str(where), "", what)])


def _place(file: str, before: str) -> Mark:
    """The mark of what follows the text `before`."""
    return Mark(file, before.count("\n") + 1, len(before) - before.rfind("\n"))


def _similar(path: pathlib.Path) -> str:
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return f", nor a folder {path.parent} that can be read"
    match = closest(path.name, names)
    return f" (did you mean {path.parent / match}?)" if match else ""


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

    def join(pair: re.Match[str]) -> str:
        if pair[1] is None:
            return pair[0]
        return chr(0x10000 + ((int(pair[1], 16) - 0xD800) << 10) + int(pair[2], 16) - 0xDC00)

    return _SURROGATES.sub(join, text)


class _Reader:
    """Builds a document from the parser's events.

    The events are bounded while they come in, before anything recurses over them; an alias is built by
    going once more over the events of its anchor, which gives a copy with marks of its own.
    """

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.events: list[Any] = []
        self.targets: dict[int, int] = {}  # index of an alias -> index of what it stands for
        self.open: set[int] = set()  # indices of the collections that are being built
        self.nodes = 0
        self.mistakes: list[Mistake] = []

    def read(self) -> Document:
        try:
            self._take_events()
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
        if not self.events:
            raise _error(Mark(self.file, 1, 1), "the file is empty, where a YAML document was expected")
        marks = Marks()
        value, _ = self._build(0, (), marks, 0)
        if self.mistakes:
            raise ScenarioError(self.mistakes)
        return Document(value, marks)

    def _take_events(self) -> None:
        depth = nodes = documents = 0
        anchors: dict[str, int] = {}
        for event in yaml.parse(self.text, Loader=_Loader):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._stop(event, "a second document begins here; keep one document in a file")
            elif isinstance(event, yaml.NodeEvent):
                nodes += 1
                if nodes > MAX_NODES:
                    raise self._stop(event, _TOO_MANY)
                if isinstance(event, yaml.CollectionStartEvent):
                    depth += 1
                    if depth > MAX_DEPTH:
                        raise self._stop(event, _TOO_DEEP)
                if isinstance(event, yaml.AliasEvent):
                    self.targets[len(self.events)] = self._target(event, anchors)
                elif event.anchor:
                    anchors[event.anchor] = len(self.events)
                self.events.append(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
                self.events.append(event)

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

    def _target(self, alias: Any, anchors: dict[str, int]) -> int:
        """The index of the event that an alias stands for: the last one of its name before it."""
        name = alias.anchor
        if name in anchors:
            return anchors[name]
        match = closest(name, list(anchors)[-1000:])
        guess = f" (did you mean *{match}?)" if match else ""
        what = f"there is no anchor &{name} before this alias{guess}; quote text that begins with '*'"
        raise self._stop(alias, what)

    # -- building -------------------------------------------------------------------------------

    def _build(self, index: int, path: Path, marks: Marks, depth: int) -> tuple[Any, int]:
        """The value whose events begin at `index`, and the index behind them. Its places go into `marks`."""
        event = self.events[index]
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self._stop(event, _TOO_MANY)
        if depth > MAX_DEPTH:
            raise self._stop(event, _TOO_DEEP)
        # An alias sets its own mark first, which is the one to keep.
        marks.own = marks.own or self._mark(event)
        if isinstance(event, yaml.AliasEvent):
            target = self.targets[index]
            if target in self.open:
                what = f"the alias *{event.anchor} is inside of what it repeats, which would never end"
                raise self._stop(event, f"{what}; write the value out")
            value, _ = self._build(target, path, marks, depth)
            return value, index + 1
        self._refuse_tag(event, path)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path), index + 1
        self.open.add(index)
        build = self._list if isinstance(event, yaml.SequenceStartEvent) else self._mapping
        built = build(index + 1, path, marks, depth + 1)
        self.open.discard(index)
        return built

    def _list(self, index: int, path: Path, marks: Marks, depth: int) -> tuple[list[Any], int]:
        values: list[Any] = []
        while not isinstance(self.events[index], yaml.CollectionEndEvent):
            part = marks.parts[len(values)] = Marks()
            value, index = self._build(index, (*path, len(values)), part, depth)
            values.append(value)
        return values, index + 1

    def _mapping(self, index: int, path: Path, marks: Marks, depth: int) -> tuple[dict[str, Any], int]:
        values: dict[str, Any] = {}
        unusable = 0
        while not isinstance(self.events[index], yaml.CollectionEndEvent):
            event = self.events[index]
            key, index = self._key(index, path)
            if key is None or key in values:
                if key is not None:
                    first = marks.parts[key].key
                    what = f"the key appears twice in this mapping, first at {first}; keep one of the two"
                    self._mistake(event, (*path, key), what)
                # It is read all the same, for the mistakes in it, under a path that no other value has.
                unusable += 1
                _, index = self._build(index, (*path, f"{key}#{unusable}"), Marks(), depth)
                continue
            part = marks.parts[key] = Marks(key=self._mark(event))
            values[key], index = self._build(index, (*path, key), part, depth)
        return values, index + 1

    def _key(self, index: int, path: Path) -> tuple[str | None, int]:
        """The key at `index`, None if it cannot be one, and the index behind it."""
        event = self.events[index]
        scalar = self.events[self.targets[index]] if isinstance(event, yaml.AliasEvent) else event
        if not isinstance(scalar, yaml.ScalarEvent):
            self._mistake(event, path, "a list or a mapping cannot be a key, which is a string; write a name")
            return None, self._skip(index)
        self._refuse_tag(scalar, path)
        key: str = scalar.value
        if _is_plain(scalar):
            if key == "<<":
                what = "merge keys (<<) are not supported; repeat the keys, or use `template:` for agents"
                self._mistake(event, path, what)
                return None, index + 1
            if key in _WORDS and _WORDS[key] is None:
                shown = f"{key} is null and" if key else "an empty key"
                self._mistake(event, path, f"{shown} cannot be a key; write a name, or quote it")
                return None, index + 1
        self._check_text(key, event, path)
        return key, index + 1

    def _skip(self, index: int) -> int:
        """The index behind the value that begins at `index`."""
        depth = 0
        while True:
            event = self.events[index]
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            index += 1
            if depth == 0:
                return index

    def _scalar(self, event: Any, path: Path) -> Any:
        if not _is_plain(event):
            self._check_text(event.value, event, path)
            return event.value
        try:
            return _plain_value(event.value)
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
        """Note a mistake and go on, so that all of them are reported."""
        mistake = Mistake(str(self._mark(event)), dotted(path), what)
        if mistake not in self.mistakes:  # an alias may repeat one
            self.mistakes.append(mistake)
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


def _is_plain(event: Any) -> bool:
    return not event.style


_TOO_MANY = (
    f"the document holds more than {MAX_NODES:,} values, what its aliases repeat included; make it smaller"
)
_TOO_DEEP = f"lists and mappings are nested more than {MAX_DEPTH} levels deep; make the document flatter"
