"""Lines at the bottom of a terminal that change in place, below what is printed."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from . import output
from .wrapping import breaks

if TYPE_CHECKING:
    from rich.text import Text

#: Control sequences: the cursor is hidden and shown, the rest of a line and of the screen erased.
HIDE, SHOW, END_OF_LINE, END_OF_SCREEN = "\x1b[?25l", "\x1b[?25h", "\x1b[K", "\x1b[J"
#: A terminal shows what it gets between these two at once (DEC mode 2026), or does not know them.
TOGETHER, DONE = "\x1b[?2026h", "\x1b[?2026l"


class Region:
    """The bottom lines of the terminal `out`.

    Between two updates the cursor stands at the beginning of the first of these lines. A terminal that wraps
    lines anew when it is resized takes the cursor along, so all that has to be drawn again follows it.

    From `start` to `stop`, what is printed on this terminal by others (`sys.stdout` and `sys.stderr`)
    appears above the lines.
    """

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console

        self.started = False
        self._out = out
        self._colours = output.coloured(out)
        self._pen = Console(
            file=io.StringIO(), force_terminal=True, legacy_windows=False, highlight=False, markup=False,
            emoji=False, color_system="standard" if self._colours else None,
        )  # fmt: skip
        self._lock = threading.RLock()
        self._lines: list[str] = []
        self._size = os.terminal_size((0, 0))
        self._replaced: dict[str, Any] = {}

    @property
    def width(self) -> int:
        """How many columns a line may have. The last one stays free: terminals differ in what follows it."""
        return max(1, output.size_of(self._out).columns - 1)

    @property
    def height(self) -> int:
        """How many lines there may be, so that one is left for what is printed."""
        return max(1, output.size_of(self._out).lines - 1)

    def start(self) -> None:
        self.started = True
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and stream.isatty():
                self._replaced[name] = stream
                setattr(sys, name, _Above(self, stream))
        self._lines, self._size = [], os.terminal_size((0, 0))
        self._write(HIDE)

    def stop(self) -> None:
        """Erase the lines, and leave the terminal as it was."""
        for name, stream in self._replaced.items():
            getattr(sys, name).finish()
            setattr(sys, name, stream)
        self._replaced.clear()
        self.started = False
        with self._lock:
            self._lines = []
            self._write(f"\r{END_OF_SCREEN}{SHOW}")

    def update(self, lines: Sequence[Text], above: Sequence[Text] = ()) -> None:
        """Draw the lines as they are now, below the paragraphs `above`, which stay."""
        printed = [self._drawn(line) for text in above for line in self._wrapped(text)]
        self._draw([self._fitted(line) for line in lines[-self.height :]], printed)

    def print(self, lines: Sequence[str]) -> None:
        """Print lines above, as they are."""
        # If the terminal was resized, the lines below may be too long; the next update draws them.
        self._draw(self._lines if output.size_of(self._out) == self._size else [], lines)

    def _draw(self, lines: list[str], above: Sequence[str]) -> None:
        with self._lock:
            size = output.size_of(self._out)
            if above or size != self._size:
                text = f"\r{END_OF_SCREEN}" + "".join(f"{line}\n" for line in above) + _whole(lines)
            elif len(lines) != len(self._lines):
                text = _whole(lines)
            else:
                text = "".join(
                    f"{_moved(number, 'B')}\r{line}{END_OF_LINE}{_moved(number, 'A')}\r"
                    for number, (line, old) in enumerate(zip(lines, self._lines, strict=True))
                    if line != old
                )
            self._lines, self._size = lines, size
            if text:
                self._write(f"{TOGETHER}{text}{DONE}")

    def _wrapped(self, text: Text) -> Iterator[Text]:
        """The lines of a paragraph, set in from the second on: none can pass for the first of another."""
        for line in text.split("\n", allow_blank=True):
            line.expand_tabs()
            first, *others = line.divide(breaks(line.plain, max(1, self.width - len(output.INDENT))))
            yield first
            for other in others:
                other.pad_left(len(output.INDENT))
                yield other

    def _fitted(self, line: Text) -> str:
        line = line.copy()
        line.truncate(self.width, overflow="ellipsis")
        return self._drawn(line)

    def _drawn(self, line: Text) -> str:
        with self._pen.capture() as drawn:
            self._pen.print(line, end="", soft_wrap=True)
        return drawn.get()

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


class _Above(io.TextIOBase):
    """Stands in for a stream of this terminal: whole lines are printed above the region."""

    def __init__(self, region: Region, stream: TextIO) -> None:
        self._region = region
        self._stream = stream
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        if lines:
            self._region.print(lines)
        return len(text)

    def finish(self) -> None:
        """Print what has no end of line yet."""
        if self._begun:
            self.write("\n")

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _whole(lines: Sequence[str]) -> str:
    """All lines anew, from the cursor on, to which it returns. What stood there is erased where it ends."""
    below = f"{END_OF_LINE}\n".join(lines) + END_OF_SCREEN
    return f"\r{below}{_moved(len(lines) - 1, 'A')}\r"


def _moved(lines: int, where: str) -> str:
    """Moves the cursor by so many lines: up (`A`) or down (`B`)."""
    return f"\x1b[{lines}{where}" if lines > 0 else ""
