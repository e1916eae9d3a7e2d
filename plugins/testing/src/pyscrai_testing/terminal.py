"""A command on a terminal of its own: for tests of what a person sees and types."""

from __future__ import annotations

import os
import pty
import re
import select
import sys

#: The command `pyscrai`, as this interpreter runs it.
PYSCRAI = (sys.executable, "-m", "pyscrai_cli.main")
#: How long output may fail to come, in seconds. A test that waits so long has failed.
PATIENCE = 300


class Terminal:
    """A process with a terminal of 100 columns. Only where there are pseudo-terminals: not on Windows.

    `screen` is all that was printed so far, with its control sequences, `seen` how far `until` has read,
    and `process` the process's id.
    """

    def __init__(self, *command: str) -> None:
        self.screen = ""
        self.seen = 0
        self.process, self._file = pty.fork()
        if not self.process:  # pragma: no cover - the other process
            os.environ.update(TERM="xterm-256color", COLUMNS="100", LINES="30", PYTHONUTF8="1")
            os.environ.update(LANG="C.UTF-8")
            os.environ.pop("INPUTRC", None)
            os.execvp(command[0], command)

    def until(self, pattern: str) -> str:
        """Read until what came since the last such call matches; that text.

        Raises `AssertionError` if the command ends before, or prints nothing for `PATIENCE`.
        """
        while not (found := re.compile(pattern, re.DOTALL).search(self.screen, self.seen)):
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

    def _read(self) -> bool:
        ready, _, _ = select.select([self._file], [], [], PATIENCE)
        assert ready, f"nothing more came: {self.screen!r}"
        try:
            data = os.read(self._file, 65536)
        except OSError:  # how Linux tells that the other side is closed
            return False
        self.screen += data.decode(errors="replace")
        return bool(data)
