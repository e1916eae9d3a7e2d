"""A document: plain data with the place of each of its parts, and the mistakes that are found in it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import define, field, frozen

from pyscrai_records.errors import Mistake, ScenarioError

from .misfit import Misfit, Path, dotted


@frozen
class Mark:
    """A place in a file: `line` and `column` count from 1.

    A value that comes from elsewhere, such as the command line, has `line` 0, and `file` alone says where
    it comes from.
    """

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


#: For what comes from a manifest.
RECORDED = Mark("the run's scenario")


@define
class Marks:
    """The marks of a value: its own, that of the key which leads to it, and those of its parts."""

    own: Mark | None = None
    key: Mark | None = None
    parts: dict[str | int, Marks] = field(factory=dict)

    def copy(self) -> Marks:
        return Marks(self.own, self.key, {key: part.copy() for key, part in self.parts.items()})


@define
class Document:
    """Plain data, `value`, with the places of its parts.

    An alias gives the value that it repeats the place of the alias; the parts have the places where they
    were written.
    """

    value: Any
    marks: Marks

    @classmethod
    def at(cls, value: Any, mark: Mark) -> Document:
        """A document of which only the place of the whole is known."""
        return cls(value, Marks(mark))

    def mark(self, path: Path, on_key: bool = False) -> Mark | None:
        """The mark of the value at `path`, or of its key (`on_key`); else of the nearest part around it."""
        node = self.marks
        nearest = node.own
        for step in path:
            if step not in node.parts:
                return nearest
            node = node.parts[step]
            nearest = node.own or nearest
        return node.key or nearest if on_key else nearest

    def place(self, path: Path, on_key: bool = False) -> str:
        """The same, as text."""
        return str(self.mark(path, on_key) or "scenario")

    def has_mark(self, path: Path) -> bool:
        """Whether the value at `path` has a mark of its own."""
        node: Marks | None = self.marks
        for step in path:
            node = node.parts.get(step) if node else None
        return node is not None and node.own is not None

    def error(self, path: Path, what: str, on_key: bool = False) -> ScenarioError:
        """An error with one mistake, at the place of `path`."""
        return ScenarioError([Mistake(self.place(path, on_key), dotted(path), what)])

    def put(self, path: Path, value: Any, mark: Mark | None) -> None:
        """Set the value at a path of which all but the last key exists."""
        values, marks = self._around(path)
        values[path[-1]], marks[path[-1]] = value, Marks(mark, mark)

    def mark_if_new(self, path: Path, mark: Mark) -> None:
        """Give the value at `path` a mark, unless it has one."""
        marks = self._marks_at(path)
        marks.own = marks.own or mark

    def graft(self, path: Path, other: Document, keys: Iterable[str]) -> None:
        """Take another document's marks of some of its `keys`, whose values are below `path` now."""
        self._marks_at(path).parts.update((key, other.marks.parts[key]) for key in keys)

    def share(self, path: Path, names: Iterable[str]) -> None:
        """Give values beside the one at `path` its marks: those that were made from it."""
        _, marks = self._around(path)
        marks.update(dict.fromkeys(names, self._marks_at(path)))

    def separate(self, path: Path) -> None:
        """Make the value at `path` and its marks a copy, which can be changed without its siblings."""
        values, marks = self._around(path)
        values[path[-1]] = copy.deepcopy(values[path[-1]])
        marks[path[-1]] = self._marks_at(path).copy()

    def spread(self, path: Path, values: Iterable[Sequence[Any]]) -> None:
        """Put several values in the place of each in the list at `path`; they get its mark."""
        marks = self._marks_at(path)
        pairs = [(index, value) for index, several in enumerate(values) for value in several]
        marks.parts = {place: marks.parts.get(index, Marks()) for place, (index, _) in enumerate(pairs)}
        self._around(path)[0][path[-1]] = [value for _, value in pairs]

    def _around(self, path: Path) -> tuple[Any, dict[str | int, Marks]]:
        """The mapping or list that holds the value at `path`, and the marks of its parts."""
        values = self.value
        for key in path[:-1]:
            values = values[key]
        return values, self._marks_at(path[:-1]).parts

    def _marks_at(self, path: Path) -> Marks:
        marks = self.marks
        for key in path:
            marks = marks.parts.setdefault(key, Marks())
        return marks


class Mistakes:
    """Collects mistakes with their places, to report all of them at once, in the order of the file.

    What several agents have from one place, as the members of a population do, is reported once.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        whole = document.mark(())
        self._main = whole.file if whole else ""
        self._found: dict[tuple[str, ...], tuple[tuple[Any, ...], Mistake]] = {}
        self._paths: set[Path] = set()
        self._cause: Exception | None = None

    def add(
        self, path: Iterable[str | int], what: str, on_key: bool = False, cause: Exception | None = None
    ) -> None:
        path = tuple(path)
        self._paths.update(path[:length] for length in range(len(path) + 1))
        self._cause = self._cause or cause
        mark = self._document.mark(path, on_key)
        mistake = Mistake(str(mark or "scenario"), dotted(path), what)
        below = dotted(("agents", *path[2:])) if path[:1] == ("agents",) else mistake.path
        # The scenario's own file comes first, then other files, then the command line and settings.
        order = (not mark.line, mark.file != self._main, mark.file, mark.line, mark.column) if mark else (2,)
        self._found.setdefault((mistake.where, below, what), (order, mistake))

    def __contains__(self, path: Path) -> bool:
        """Whether there is one in the value at `path`."""
        return path in self._paths

    def note(self, path: Path, misfits: Iterable[Misfit]) -> None:
        """Note what does not fit in the value at `path`."""
        for misfit in misfits:
            self.add((*path, *misfit.below), str(misfit), misfit.on_key)

    @contextmanager
    def at(self, *path: str | int) -> Iterator[None]:
        """Note the misfits, value errors and mistakes of the block, which is about `path`, and continue."""
        try:
            yield
        except ScenarioError as error:  # of another file
            for mistake in error.mistakes:
                self._found.setdefault((mistake.where, mistake.path, mistake.what), ((False, True), mistake))
        except Misfit as error:
            self.note(path, error.found)
        except ValueError as error:  # what else plain data is refused with; no error of ours is one
            self.add(path, str(error))

    def check(self) -> None:
        """Raise `ScenarioError` if there are any."""
        if self._found:
            found = sorted(self._found.values(), key=lambda each: each[0])
            raise ScenarioError([mistake for _, mistake in found]) from self._cause
