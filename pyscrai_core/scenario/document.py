"""Mistakes and their places: where a path of a document stands, and what is wrong there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import Mistake, ScenarioError
from ..language.schemas import NotASchema
from . import yaml
from .structure import Found, Misfit, Misfits
from .yaml import Document, Mark, Path


def error_at(document: Document, path: Path, what: str, on_key: bool = False) -> ScenarioError:
    """An error with one mistake, at the place of `path`."""
    return ScenarioError([Mistake(place(document, path, on_key), yaml.dotted(path), what)])


def place(document: Document, path: Sequence[str | int], on_key: bool = False) -> str:
    """Where a path stands: the place of its key or value, or of the nearest part around it."""
    return str(mark_of(document, path, on_key) or "scenario")


def mark_of(document: Document, path: Sequence[str | int], on_key: bool = False) -> Mark | None:
    """The mark of a path's key or value, or of the nearest part around it."""
    path = tuple(path)
    if on_key and path in document.key_marks:
        return document.key_marks[path]
    around = (path[:length] for length in range(len(path), -1, -1))
    return next((document.marks[each] for each in around if each in document.marks), None)


def few(names: Iterable[str]) -> str:
    """The first of some names, and how many more there are."""
    listed = list(names)
    return ", ".join(listed[:12]) + (f" and {len(listed) - 12} more" if len(listed) > 12 else "")


class Mistakes:
    """Collects mistakes with their places, to report all of them at once, in the order of the file.

    What several agents have from one place, as the members of a population do, is reported once.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._main = document.marks[()].file if () in document.marks else ""
        self._found: dict[tuple[str, ...], tuple[tuple[Any, ...], Mistake]] = {}
        self._cause: Exception | None = None

    def add(
        self, path: Iterable[str | int], what: str, on_key: bool = False, cause: Exception | None = None
    ) -> None:
        path = tuple(path)
        self._cause = self._cause or cause
        mark = mark_of(self._document, path, on_key)
        mistake = Mistake(str(mark or "scenario"), yaml.dotted(path), what)
        below = yaml.dotted(("agents", *path[2:])) if path[:1] == ("agents",) else mistake.path
        # What comes from a command line or a setting is told last, other files behind the scenario's own.
        order = (not mark.line, mark.file != self._main, mark.file, mark.line, mark.column) if mark else (2,)
        self._found.setdefault((mistake.where, below, what), (order, mistake))

    def note(self, path: Path, found: Iterable[Found]) -> None:
        """Note what was found below `path`."""
        for below, what, on_key in found:
            self.add((*path, *below), what, on_key)

    @contextmanager
    def at(self, *path: str | int) -> Iterator[None]:
        """Note the misfits and value errors of the block below `path`, and go on."""
        try:
            yield
        except Misfits as error:
            self.note(path, error.found)
        except Misfit as error:
            self.add((*path, *error.below), str(error), error.on_key)
        except NotASchema as error:
            self.add((*path, *error.path), str(error))
        except ValueError as error:  # what else plain data is refused with; no error of ours is one
            self.add(path, str(error))

    def check(self) -> None:
        """Raise `ScenarioError` if there are any."""
        if self._found:
            found = sorted(self._found.values(), key=lambda each: each[0])
            raise ScenarioError([mistake for _, mistake in found]) from self._cause
