"""Control of runs: start, fork, continue, pause, stop, answer for a person, add an event."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from attrs import define, field

from pyscrai_core import read_file
from pyscrai_core.plugins import Host
from pyscrai_core.runtime import inputs
from pyscrai_records.base.log import logger
from pyscrai_records.records import as_audience
from pyscrai_records.secret import redact
from pyscrai_records.store.models import ACTIVE
from pyscrai_records.store.store import Store

from .reading import Reader, find
from .replies import Refused

#: Seconds that a request waits until a run has begun: a local model has to be loaded first.
PATIENCE = 300.0
#: The end of what a process wrote to stderr, in characters, for the message if it fails.
TAIL = 2000


@define(eq=False)
class Worker:
    """A process that executes one run for this dashboard.

    It is not one of asyncio's, which would be killed when the server ends.
    """

    process: subprocess.Popen[bytes]
    begun: asyncio.Future[str]
    run: str = ""
    #: The open questions: number, agent, prompt, and since when.
    questions: dict[int, dict[str, Any]] = field(factory=dict)
    #: Why there is no run, or the end of what the process wrote to stderr.
    refusal: Refused | None = None
    stderr: str = ""

    @classmethod
    def start(cls) -> Worker:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pyscrai_dashboard.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the dashboard
        )  # fmt: skip
        return cls(process, asyncio.get_running_loop().create_future())

    def send(self, **order: Any) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has just ended, which is told elsewhere
            self.process.stdin.write(orjson.dumps(order) + b"\n")
            self.process.stdin.flush()

    def keep_errors(self) -> None:
        """Read stderr, in a thread."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr = (self.stderr + line.decode("utf-8", "replace"))[-TAIL:]

    def take(self, told: dict[str, Any]) -> None:
        """Take in what the process tells."""
        if "run" in told:
            self.run = told["run"]
        elif "question" in told:
            self.questions[told["question"]] = {
                "question": str(told["question"]), "agent": told["agent"], "prompt": told["text"],
                "since": time.time(),
            }  # fmt: skip
        elif "taken" in told:
            self.questions.pop(told["taken"], None)
        elif "demands" in told:
            more = {"demands": told["demands"], "content": told["content"]}
            self.refusal = Refused(f"{told['where']}: it needs your approval", 409, more)
        elif "ended" not in told:
            self.refusal = Refused(told["error"])

    def why_not(self, status: int) -> Refused:
        """Why it ended before there was a run."""
        if self.refusal is not None:
            return self.refusal
        end = redact(self.stderr.strip().rpartition("\n")[2])
        what = f"the process ended with status {status} before the run began"
        return Refused(f"start: {what}: {end or 'it said nothing'}", 500)


class Control:
    """Runs that this dashboard executes, and orders to those of other processes.

    moved
        called with a run of which something changed that is not in the store
    """

    def __init__(self, reader: Reader, host: Callable[[], Host], moved: Callable[[str], None]) -> None:
        self._reader = reader
        self._host = host
        self.moved = moved
        self._workers: dict[str, Worker] = {}

    # -- runs of this dashboard --

    async def execute(self, job: dict[str, Any]) -> str:
        """Let a process of its own do the job; the id of the run, once that has begun. Raises `Refused`."""
        worker = Worker.start()
        worker.send(**job, store=self._reader.url)
        loop = asyncio.get_running_loop()
        for work in (worker.keep_errors, lambda: self._hear(worker, loop)):
            threading.Thread(target=work, daemon=True).start()
        try:
            return await asyncio.wait_for(asyncio.shield(worker.begun), PATIENCE)
        except TimeoutError:
            what = f"the run has not begun within {PATIENCE:g} seconds"
            raise Refused(f"start: {what}; it may still do so: see the list of runs", 504) from None

    def _hear(self, worker: Worker, loop: asyncio.AbstractEventLoop) -> None:
        """Pass on what a process tells, until it ends, from a thread."""
        assert worker.process.stdout is not None
        with contextlib.suppress(RuntimeError):  # the server has ended
            for line in worker.process.stdout:
                loop.call_soon_threadsafe(self._take, worker, orjson.loads(line))
            status = worker.process.wait()
            loop.call_soon_threadsafe(self._ended, worker, status)

    def _take(self, worker: Worker, told: dict[str, Any]) -> None:
        worker.take(told)
        if not worker.run:
            return
        self._workers[worker.run] = worker
        if not worker.begun.done():
            worker.begun.set_result(worker.run)
        if worker.refusal is not None:
            logger.warning("run {}: {}", worker.run, worker.refusal)
        self.moved(worker.run)

    def _ended(self, worker: Worker, status: int) -> None:
        if not worker.begun.done():
            worker.begun.set_exception(worker.why_not(status))
            worker.begun.exception()  # whoever asked may have gone away
        if self._workers.get(worker.run) is worker:
            del self._workers[worker.run]
            self.moved(worker.run)

    def waiting(self, run: str) -> list[dict[str, Any]] | None:
        """The questions that a run of this dashboard asks people, the oldest first; None: there are none."""
        worker = self._workers.get(run)
        return list(worker.questions.values()) or None if worker else None

    def answer(self, run: str, question: int, text: str) -> None:
        """Answer for a person. Raises `Refused` for a question that is not open."""
        worker = self._workers.get(run)
        if worker is None or question not in worker.questions:
            raise Refused(
                f"question {question}: run {run} does not ask it any more; it may have been answered or "
                "timed out, or another process executes the run and asks there", 409,
            )  # fmt: skip
        worker.questions.pop(question)
        worker.send(answer=text, question=question)
        self.moved(run)

    def own(self) -> dict[str, int]:
        """The runs that this dashboard executes, each with its process."""
        return {run: worker.process.pid for run, worker in self._workers.items()}

    # -- runs of any process --

    async def pause(self, run: str) -> None:
        await self._reader.read(_pause, run)

    async def proceed(self, run: str, job: dict[str, Any]) -> str:
        """Let a paused run go on in its process; one that no process executes goes on here."""
        if await self._reader.read(_proceed, run):
            return run
        return await self.execute({"do": "resume", "run": run, **job})

    async def inject(self, run: str, body: dict[str, Any]) -> None:
        await self._reader.read(_inject, run, self._host, body)

    async def stop(self, run: str) -> str:
        """Stop a run cleanly; who was told to. Raises `Refused`."""
        worker = self._workers.get(run)
        if worker is not None:
            worker.send(stop=True)
            return "the dashboard's own process"
        return await self._reader.read(_stop, run)


def _pause(store: Store, run: str) -> None:
    find(store, run)
    inputs.pause(store, run)


def _proceed(store: Store, run: str) -> bool:
    """Whether a process executes the run, which then goes on."""
    recorded = find(store, run)
    if recorded.owner is None:
        if recorded.status == "completed":
            raise Refused(
                f"run {run}: it is completed, and cannot continue; fork it at one of its events", 409
            )
        return False
    inputs.proceed(store, run)
    return True


def _inject(store: Store, run: str, host: Callable[[], Host], body: dict[str, Any]) -> None:
    find(store, run)
    audience = body.get("audience")
    inputs.inject(
        store, run, host(), body["kind"], body.get("payload", {}),
        None if audience is None else as_audience(audience), body.get("source") or None,
    )  # fmt: skip


def _stop(store: Store, run: str) -> str:
    """Stop the process of this machine that executes a run, as Ctrl-C there does."""
    owner = find(store, run).owner
    if owner is None:
        raise Refused(f"run {run}: no process executes it, so there is nothing to stop", 409)
    where = f"process {owner.pid} on {owner.host}"
    if owner.host != socket.gethostname():
        raise Refused(f"run {run}: it is executed by {where}; stop it there, or pause it here", 409)
    marks = ",".join("?" * len(ACTIVE))
    query = f"""SELECT COUNT(*) FROM "runs" WHERE "status" IN ({marks}) AND json_extract("owner",'$.pid')=?
        AND json_extract("owner",'$.host')=?"""
    (together,) = store.connection.execute(query, (*ACTIVE, owner.pid, owner.host)).fetchone()
    if together > 1:
        raise Refused(
            f"run {run}: {where} executes {together} runs, and a stop would end them all; pause this one, "
            "or press Ctrl-C there", 409,
        )  # fmt: skip
    try:
        os.kill(owner.pid, signal.SIGINT)
    except OSError as error:
        raise Refused(
            f"run {run}: {where} cannot be told to stop ({error.strerror}); stop it there", 409
        ) from None
    return where


# -- scenarios --

#: Folders that are not searched, and how many files and folders are looked at.
SKIPPED = {"node_modules", "__pycache__", "site-packages", "dist", "build"}
LOOKED_AT, LISTED, LARGEST = 5000, 500, 2_000_000
SUFFIXES = (".yaml", ".yml")


def scenarios(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[str]:
    """The files below a folder that look like scenarios, as paths relative to it."""
    found: list[str] = []
    looked = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != "." and name not in SKIPPED)
        for name in sorted(files):
            looked += 1
            path = Path(place, name)
            if path.suffix.lower() in suffixes and is_scenario(path):
                found.append(path.relative_to(folder).as_posix())
        looked += len(folders)
        if looked > LOOKED_AT or len(found) >= LISTED:
            break
    return found[:LISTED]


def is_scenario(path: Path) -> bool:
    """Whether a file has the key `scenario` at its top, and is no experiment."""
    try:
        text = read_file(path, LARGEST).decode()
    except (OSError, UnicodeDecodeError):
        return False
    top = {
        line.partition(":")[0].strip("\"'")
        for line in text.splitlines()
        if line[:1] not in (" ", "#", "-", "")
    }
    return "scenario" in top and "experiment" not in top


def inside(folder: Path, name: str) -> str:
    """The path of a file below a folder, as a person there would write it. Raises `Refused`."""
    try:
        path = (folder / name).resolve()
        there = path.is_file()
    except (OSError, ValueError):
        path, there = folder, False
    if not path.is_relative_to(folder.resolve()):
        raise Refused(
            f"file {name[:200]!r}: it is not below {folder}; start the dashboard in its folder", 403
        )
    if not there:
        raise Refused(
            f"file {name[:200]!r}: there is no such file below {folder}; the list shows those there are", 404
        )
    return os.path.relpath(path, folder)
