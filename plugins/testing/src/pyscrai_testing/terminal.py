"""A command on a terminal of its own: for tests of what a person sees and types."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import sys
import termios
import time
from collections.abc import Iterator, Mapping

#: The command `pyscrai`, as this interpreter runs it.
PYSCRAI = (sys.executable, "-m", "pyscrai_cli.main")
#: How long output may fail to come, in seconds. A test that waits so long has failed.
PATIENCE = 300
#: How a display tells a terminal that what follows is to be shown at once, and that it is complete.
BEGIN, END = "\x1b[?2026h", "\x1b[?2026l"


class Terminal:
    """A process with a terminal of its own. Only where there are pseudo-terminals: not on Windows.

    `environment` has variables beside those of this process; an empty text removes one. `screen` is all that
    was printed so far, with its control sequences, `seen` how far `until` has read, and `process` the
    process's id.
    """

    def __init__(
        self,
        *command: str,
        columns: int = 100,
        lines: int = 30,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.screen = ""
        self.seen = 0
        ready, begin = os.pipe()
        self.process, self._file = pty.fork()
        if not self.process:  # pragma: no cover - the other process
            os.environ.update(TERM="xterm-256color", PYTHONUTF8="1", LANG="C.UTF-8")
            os.environ.update(environment or {})
            for name in ("INPUTRC", "COLUMNS", "LINES", *(n for n, text in os.environ.items() if not text)):
                os.environ.pop(name, None)
            # Whoever started the tests may ignore Ctrl-C, as a shell does for what runs in its background.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.read(ready, 1)  # until the terminal has its size
            os.execvp(command[0], command)
        self.resize(columns, lines)
        os.write(begin, b"x")
        os.close(ready)
        os.close(begin)

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        self.columns, self.lines = columns, lines
        termios.tcsetwinsize(self._file, (lines, columns))

    def until(self, pattern: str) -> str:
        """Read until what came since the last such call matches; that text.

        Raises `AssertionError` if the command ends before, or if it does not come within `PATIENCE`.
        """
        end = time.monotonic() + PATIENCE
        while not (found := re.compile(pattern, re.DOTALL).search(self.screen, self.seen)):
            assert time.monotonic() < end, f"{pattern!r} did not come: {self.screen!r}"
            assert self._read(), f"{pattern!r} never came: {self.screen!r}"
        text = self.screen[self.seen : found.end()]
        self.seen = found.end()
        return text

    def wait(self, seconds: float) -> None:
        """Read what comes in the next `seconds`."""
        while select.select([self._file], [], [], seconds)[0]:
            assert self._read()

    def press(self, keys: str) -> None:
        """Type `keys`; `\\x03` is Ctrl-C."""
        os.write(self._file, keys.encode())

    def end(self) -> int:
        """Read to the end; the exit status, negative for a signal."""
        while self._read():
            pass
        os.close(self._file)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])

    def frames(self) -> Iterator[tuple[str, list[str]]]:
        """Each update of a live display: what was written for it, and the lines of the screen after it.

        Needs `pyte>=0.8.2`, and a terminal that was not resized.
        """
        import pyte

        screen = pyte.Screen(self.columns, self.lines)
        stream = pyte.Stream(screen)
        for part in self.screen.split(BEGIN)[1:]:
            written, _, between = part.partition(END)
            stream.feed(written)
            yield written, [line.rstrip() for line in screen.display]
            stream.feed(between)

    def last_lines(self) -> list[str]:
        """The lines on the screen after all that was printed, but for empty ones at its end. Needs `pyte`."""
        import pyte

        screen = pyte.Screen(self.columns, self.lines)
        pyte.Stream(screen).feed(self.screen)
        return "\n".join(line.rstrip() for line in screen.display).rstrip().split("\n")

    def _read(self) -> bool:
        ready, _, _ = select.select([self._file], [], [], PATIENCE)
        assert ready, f"nothing more came: {self.screen!r}"
        try:
            data = os.read(self._file, 65536)
        except OSError:  # how Linux tells that the other side is closed
            return False
        self.screen += data.decode(errors="replace")
        return bool(data)
