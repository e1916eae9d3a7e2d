"""Showing what is longer than the screen in a pager, as git does."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TextIO, cast

import click

from . import output


@contextmanager
def paged(wanted: bool = True) -> Iterator[None]:
    """Show results that are printed inside in a pager, if they are longer than the terminal.

    The pager is PAGER, else less. Nothing is paged in a pipe, if PAGER is empty, and if it is not `wanted`.
    """
    out = output.stdout()
    if not (wanted and output.can_move(out) and os.environ.get("PAGER") != ""):
        yield
        return
    # A pager that is left before its end breaks its pipe, which ends what prints into it.
    with ExitStack() as stack:
        page = _Page(out, stack)
        with output.results_in(cast(TextIO, page)):
            yield
        page.end()


class _Page(io.TextIOBase):
    """Holds text back until it is clear whether there is room for it on the terminal `out`."""

    def __init__(self, out: TextIO, stack: ExitStack) -> None:
        self._out = out
        self._stack = stack
        self._held: list[str] = []
        self._pager: TextIO | None = None
        self._columns, lines = output.size_of(out)
        #: The lines that there is still room for; the prompt needs one.
        self._room = lines - 1

    def write(self, text: str) -> int:
        if self._pager is not None:
            return self._pager.write(text)
        self._held.append(text)
        self._room -= self._rows(text)
        if self._room < 0:
            self._pager = self._stack.enter_context(click.get_pager_file())
            self._pager.write("".join(self._held))
        return len(text)

    def end(self) -> None:
        """Print what had room."""
        if self._pager is None:
            self._out.write("".join(self._held))
            self._out.flush()

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._out.fileno()

    def _rows(self, text: str) -> int:
        from rich.cells import cell_len

        rows = [cell_len(click.unstyle(line)) for line in text.split("\n")[:-1]]
        return sum(max(1, -(-cells // self._columns)) for cells in rows)
