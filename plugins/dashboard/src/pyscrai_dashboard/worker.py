"""Executes one run for a dashboard, in a process of its own: `python -m pyscrai_dashboard.worker`.

A run cannot slow the server down there, and it continues if the server ends. The server sends lines of JSON
to stdin: first the job, then `answer` and `stop`. What it has to know comes as lines of JSON on stdout:
`demands` or `error` (then nothing was run), or `run`, then `question` and `taken`, and `ended`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from attrs import define, evolve, field

from pyscrai_core import NobodyToAsk, PyscraiError, RunResult, TrustRequired, api
from pyscrai_core.config import load_settings
from pyscrai_core.runtime import execution
from pyscrai_core.runtime.session import Running, Session
from pyscrai_core.scenario.overrides import Override
from pyscrai_core.scenario.trust import Approval, Gate
from pyscrai_records.base.private import umask
from pyscrai_records.base.time_limit import run_alone
from pyscrai_records.canonical import canonical, digest
from pyscrai_records.secret import redact, redact_bytes


class NeedsApproval(Exception):
    """A person has to approve `demands` of this `content` first."""

    def __init__(self, where: str, content: str, demands: list[str]) -> None:
        super().__init__(where)
        self.content, self.demands = content, demands


@define
class PageGate(Gate):
    """A gate to which the page brought a person's yes: `approved` names exactly what they were shown."""

    approved: frozenset[str] = field(default=frozenset(), kw_only=True)

    def approve(self, where: str, content: str, demands: Iterable[str]) -> Approval:
        listed = list(dict.fromkeys(demands))
        try:
            return super().approve(where, content, listed)
        except TrustRequired:
            shown = digest(canonical([content, listed]))
            if shown not in self.approved:
                raise NeedsApproval(where, shown, listed) from None
        self.remember(where, content, listed)
        return super().approve(where, content, listed)


class Line:
    """The connection to the server. If the server is gone, nobody can be asked, and nothing else changes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # Stdout is for the server alone: what a scenario's own code prints goes to stderr.
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._questions: dict[int, asyncio.Future[str]] = {}
        self._asked = 0
        self._connected = True
        self._main = asyncio.current_task()
        self.run: Running | None = None

    def tell(self, **what: Any) -> None:
        data = redact_bytes(orjson.dumps(what)) + b"\n"
        try:
            while data:
                data = data[os.write(self._out, data) :]
        except OSError:
            self._lost()

    def listen(self, read: Iterator[bytes]) -> None:
        """Obey what the server says, from another thread."""
        for line in read:
            self._loop.call_soon_threadsafe(self._obey, orjson.loads(line))
        with contextlib.suppress(RuntimeError):  # the loop is closed: the run has ended
            self._loop.call_soon_threadsafe(self._lost)

    def _obey(self, order: dict[str, Any]) -> None:
        if "answer" in order:
            waiting = self._questions.get(order["question"])
            if waiting is not None and not waiting.done():
                waiting.set_result(order["answer"])
        elif "stop" in order:
            self.stop()

    def stop(self) -> None:
        """Stop the run: cleanly at first, and at once when asked again."""
        if self.run is None:
            assert self._main is not None
            self._main.cancel()  # nothing was begun
        elif self.run.result is None:
            self.run.stop()

    def _lost(self) -> None:
        """The server has ended: the run goes on, and what is printed goes nowhere."""
        if self._connected:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for number in (1, 2, self._out):
                os.dup2(nowhere, number)
        self._connected = False
        for waiting in self._questions.values():
            if not waiting.done():
                waiting.set_exception(_nobody())

    async def ask(self, agent: str, question: str) -> str:
        if not self._connected:
            raise _nobody()
        self._asked += 1
        number = self._asked
        waiting = self._questions[number] = asyncio.get_running_loop().create_future()
        self.tell(question=number, agent=agent, text=question)
        try:
            answer: str = await waiting
            return answer
        finally:
            del self._questions[number]
            self.tell(taken=number)

    def begin(self, run: Running) -> None:
        self.run = run
        self.tell(run=run.id)


def _nobody() -> NobodyToAsk:
    return NobodyToAsk("the dashboard that asked the person has ended; continue with: pyscrai resume")


def lines() -> Iterator[bytes]:
    """The lines of stdin. Not of Python's stream, whose lock a thread would hold when the process ends."""
    rest = b""
    while chunk := os.read(0, 65536):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole


async def work(job: dict[str, Any], line: Line) -> RunResult:
    """Do what the job says; raises what stops it before a run has begun."""
    settings = load_settings(store=job["store"])
    gate = PageGate(approved=frozenset(job.get("approve") or ()))
    overrides = [
        *(Override.of(path, value) for path, value in (job.get("overrides") or {}).items()),
        *(Override.parse(path, text) for path, text in (job.get("set") or {}).items()),
    ]
    if job["do"] == "start":
        plan = api.prepare(job["file"], settings=settings, seed=job.get("seed"), overrides=overrides)
        execution.approve(gate, plan, job["file"])  # before there is a store
        with _session(settings, gate, line, host=plan.host) as session:
            return await execution.start(session, plan, job["file"], labels=job.get("labels"))
    with _session(settings, gate, line, create=False) as session:
        run = job["run"]
        if job["do"] == "fork":
            run = await execution.fork(session, run, job["at"], overrides=overrides, seed=job.get("seed"))
            overrides = []
        return await execution.resume(session, run, overrides=overrides)


@contextlib.contextmanager
def _session(settings: Any, gate: Gate, line: Line, **options: Any) -> Iterator[Session]:
    with api.open_session(settings, gate, **options) as session:
        yield evolve(session, ask=line.ask, begin=line.begin)


async def _main(read: Iterator[bytes]) -> int:
    loop = asyncio.get_running_loop()
    line = Line(loop)
    job = orjson.loads(next(read))
    os.umask(umask())
    threading.Thread(target=line.listen, args=(read,), daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, ValueError):  # Windows
            loop.add_signal_handler(number, line.stop)
    try:
        result = await work(job, line)
    except NeedsApproval as needed:
        line.tell(demands=needed.demands, content=needed.content, where=str(needed))
        return 2
    except PyscraiError as error:
        line.tell(error=redact(str(error)))
        return 2
    except Exception as error:  # a bug, ours or a plugin's: told, and its traceback is on stderr
        line.tell(error=redact(f"{type(error).__name__}: {error} (this is a bug)"))
        raise
    line.tell(ended=result.status, error=result.error)
    return 0


def main() -> int:
    try:
        return run_alone(_main(lines()))
    except asyncio.CancelledError:  # stopped before a run had begun
        return 130


if __name__ == "__main__":
    sys.exit(main())
