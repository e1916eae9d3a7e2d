"""Executors: all trials in one event loop, or in several processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

from attrs import field, frozen

from pyscrai_core import Executor, PyscraiError, Trial, TrialResult
from pyscrai_core.agent import positive
from pyscrai_core.runtime.trials import Trials

HEADER = struct.Struct(">Q")
#: Seconds between two looks at whether the experiment is to stop.
POLL = 0.1

Block = Sequence[Trial]


class Local(Executor):
    """All trials in this process: they share the vendors' limits, and loaded models."""

    async def run(
        self, blocks: Sequence[Block], runner: Trials, concurrency: int
    ) -> AsyncIterator[TrialResult]:
        ended: asyncio.Queue[TrialResult | asyncio.Task[None]] = asyncio.Queue()
        waiting = iter(blocks)
        tasks: set[asyncio.Task[None]] = set()

        async def work(block: Block) -> None:
            async for result in runner.run(block):
                ended.put_nowait(result)

        def begin() -> None:
            while len(tasks) < (runner.concurrency or concurrency):
                block = None if runner.stops else next(waiting, None)
                if block is None:
                    return
                task = asyncio.ensure_future(work(block))
                task.add_done_callback(ended.put_nowait)
                tasks.add(task)

        try:
            begin()
            while tasks:
                one = await ended.get()
                if isinstance(one, TrialResult):
                    yield one
                else:
                    tasks.discard(one)
                    one.result()
                    begin()
        except BaseException:
            runner.stop()
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Processes(Executor):
    """Trials in several processes, one for each core. Each has its share of the vendors' limits."""

    @frozen
    class Config:
        processes: int | None = field(default=None, validator=positive)

    async def run(
        self, blocks: Sequence[Block], runner: Trials, concurrency: int
    ) -> AsyncIterator[TrialResult]:
        wanted = self.config.processes or os.cpu_count() or 1
        count = max(1, min(wanted, concurrency, len(blocks)))
        results: asyncio.Queue[Any] = asyncio.Queue()
        waiting = iter(blocks)
        tasks = [
            asyncio.ensure_future(_Worker(runner, count, concurrency).work(waiting, results))
            for _ in range(count)
        ]
        try:
            ended = 0
            while ended < count:
                result = await results.get()
                if result is None:
                    ended += 1
                else:
                    yield result
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _Worker:
    """One process that runs its share of the blocks that are run at the same time."""

    def __init__(self, runner: Trials, processes: int, concurrency: int) -> None:
        self._runner = runner
        self._processes = processes
        self._concurrency = concurrency
        self._under_way = 0

    async def work(self, waiting: Any, results: asyncio.Queue[Any]) -> None:
        # A group of its own: Ctrl-C is for the parent, which passes it on.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "pyscrai_experiments.worker",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        assert process.stdin
        assert process.stdout
        passing = asyncio.ensure_future(self._pass_orders_on(process.stdin))
        try:
            await _send(process.stdin, (self._runner, self._processes))
            await self._fill(process.stdin, waiting)
            while self._under_way:
                kind, content = await _receive(process.stdout)
                if kind == "result":
                    results.put_nowait(content)
                elif kind == "done":
                    self._under_way -= 1
                    await self._fill(process.stdin, waiting)
                else:
                    raise content
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise PyscraiError(
                "a process of the experiment ended unexpectedly; what it did is kept: run it again"
            ) from error
        except PyscraiError:
            self._runner.stop()
            raise
        finally:
            passing.cancel()
            results.put_nowait(None)
            with contextlib.suppress(ConnectionError, ProcessLookupError):
                process.stdin.close()
            await process.wait()

    async def _fill(self, stream: asyncio.StreamWriter, waiting: Any) -> None:
        """Give the process blocks, as many as it may run at the same time."""
        runner = self._runner
        while self._under_way < -(-(runner.concurrency or self._concurrency) // self._processes):
            block = None if runner.stops or runner.enough else next(waiting, None)
            if block is None:
                return
            self._under_way += 1
            await _send(stream, block)

    async def _pass_orders_on(self, stream: asyncio.StreamWriter) -> None:
        passed = 0
        while True:
            await asyncio.sleep(POLL)
            while passed < len(self._runner.orders):
                passed += 1
                with contextlib.suppress(ConnectionError):
                    await _send(stream, {"order": self._runner.orders[passed - 1]})


async def _send(stream: asyncio.StreamWriter, content: Any) -> None:
    data = pickle.dumps(content)
    stream.write(HEADER.pack(len(data)) + data)
    await stream.drain()


async def _receive(stream: asyncio.StreamReader) -> Any:
    (size,) = HEADER.unpack(await stream.readexactly(HEADER.size))
    return pickle.loads(await stream.readexactly(size))
