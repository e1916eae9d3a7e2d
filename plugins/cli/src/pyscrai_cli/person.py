"""Asking a person on the terminal: one question at a time, which can be taken back at any moment."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TextIO

from pyscrai_core import NobodyToAsk
from pyscrai_core.contracts import Observer
from pyscrai_records.secret import redact

from .output import clean
from .screen import Screen

#: Reads one line, with line editing and the earlier answers, and writes it to its stderr. It is a process of
#: its own, since nothing else that waits in Python's `input` can be ended: a thread would take the next line
#: too, whomever it is for. Ctrl-C is for the process that asks.
READER = """\
import json, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
try:
    import readline
except ImportError:
    pass
else:
    readline.parse_and_bind("set enable-bracketed-paste on")
    for line in json.loads(os.environ["PYSCRAI_EARLIER"]):
        readline.add_history(line)
try:
    line = input(sys.argv[1])
except EOFError:
    sys.exit(4)
sys.stderr.buffer.write(line.encode("utf-8", "replace"))
"""
#: Its exit statuses at the end of input (Ctrl-D), also where Ctrl-C came before it was ready for that.
ENDED = (4, -signal.SIGINT)
#: How many earlier answers of an agent can be had again, and the longest one, in characters.
EARLIER, LONGEST = 50, 1_000
#: Ends the mode in which a terminal marks what is pasted, so that several lines are one answer.
UNMARKED = "\x1b[?2004l"


def somebody(observers: Sequence[Observer], as_json: bool = False) -> Person | None:
    """The person at the terminal, asked in turn with what `observers` show there; None where nobody is.

    With `as_json`, stdout is not for people.
    """
    # Not `sys.stdout`: a screen puts something in its place, which prints above its status line.
    out = sys.__stderr__ if as_json else sys.__stdout__
    if os.name != "posix" or sys.stdin is None or out is None or not (sys.stdin.isatty() and out.isatty()):
        return None
    screen = next((one for one in observers if isinstance(one, Screen)), None)
    return Person(out, nullcontext if screen is None else screen.paused)


class Person:
    """Answers the questions of a run on the terminal that stdin and `out` are.

    While they answer, the context that `paused` gives is entered. Ctrl-D is the same as Ctrl-C: it raises
    SIGINT in this process, whose handler has to stop the run, so that what is asked is cancelled.
    """

    def __init__(self, out: TextIO, paused: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._out = out
        self._paused = paused
        self._turn = asyncio.Lock()
        self._earlier: dict[str, list[str]] = {}

    async def __call__(self, agent: str, question: str) -> str:
        """What the person who plays `agent` answers to `question`.

        Raises `NobodyToAsk` if the terminal cannot be read.
        """
        async with self._turn:
            with self._paused():
                answer = await self._ask(agent, question)
        if answer and len(answer) <= LONGEST:
            self._earlier[agent] = [*self._earlier.get(agent, ())[-EARLIER + 1 :], answer]
        return answer

    async def _ask(self, agent: str, question: str) -> str:
        import termios

        terminal = sys.stdin.fileno()
        mode = termios.tcgetattr(terminal)
        # What was typed before the question could be seen is no answer to it.
        termios.tcflush(terminal, termios.TCIFLUSH)
        self._out.write(f"\n{redact(clean(question))}\n")
        self._out.flush()
        prompt = f"{' '.join(clean(agent).split())}> "
        earlier = {"PYSCRAI_EARLIER": json.dumps(self._earlier.get(agent, ()))}
        reader = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-X", "utf8", "-c", READER, prompt,
            stdout=self._out, stderr=subprocess.PIPE, env={**os.environ, **earlier},
        )  # fmt: skip
        try:
            _, said = await reader.communicate()
        finally:
            if reader.returncode is None:
                reader.kill()
                try:
                    await reader.wait()
                finally:
                    termios.tcsetattr(terminal, termios.TCSANOW, mode)
                    self._out.write(f"{UNMARKED}\n")
                    self._out.flush()
        text = said.decode("utf-8", "replace")
        if reader.returncode in ENDED:
            self._out.write("\n")
            self._out.flush()
            signal.raise_signal(signal.SIGINT)
            await asyncio.get_running_loop().create_future()  # until the run has stopped
        if reader.returncode:
            why = text.strip().rpartition("\n")[2] or f"status {reader.returncode}"
            raise NobodyToAsk(f"{agent}: the terminal cannot be read ({why}); continue with: pyscrai resume")
        return text
