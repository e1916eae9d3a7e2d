"""What happens on a worker: it runs chunks of trials in a store of its own, and sends the runs back.

The functions are called in the worker's event loop, by `Client.run`. The trials run in a thread beside it.
"""

from __future__ import annotations

import asyncio
import pickle
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from attrs import evolve
from distributed import Worker, WorkerPlugin

from pyscrai_core import PyscraiError, TrialResult
from pyscrai_core.runtime.trials import Trials
from pyscrai_core.store.maintenance import remove_runs
from pyscrai_core.store.store import Store

from .transfer import Chunk, Delivery, Part, pack, unpack

#: A worker that hears nothing from the experiment for so many seconds stops its trials: it is gone.
SILENCE = 60.0
#: Seconds between two looks at whether that is so.
LOOK = 1.0

T = TypeVar("T")


class Workplace(WorkerPlugin):
    """An experiment on a worker: its runner, with a store in a temporary folder. One thread uses both."""

    def __init__(self, runner: bytes, workers: int) -> None:
        self._pickled = runner
        self._workers = workers
        self._thread = ThreadPoolExecutor(1, "pyscrai")
        self._opened = ExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heard = time.monotonic()
        self._told = 0
        self._enough = False

    # -- in the worker's event loop --

    async def setup(self, worker: Worker) -> None:
        await self._in_thread(lambda: self._open(worker.local_directory))

    async def teardown(self, worker: Worker) -> None:
        self._obey("stop")
        self._obey("stop")
        await self._in_thread(self._opened.close)
        self._thread.shutdown(wait=False)

    async def work(self, chunk: bytes) -> bytes:
        return await self._in_thread(lambda: pickle.dumps(self._deliver(pickle.loads(chunk))))

    def hear(self, orders: list[Any], enough: bool) -> None:
        """The experiment is still there; its orders, and whether no further block is needed."""
        self._heard = time.monotonic()
        self._enough = enough
        for order in orders[self._told :]:
            self._obey(order)
        self._told = len(orders)

    def _obey(self, order: Any) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._trials.obey, order)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    # -- in the thread --

    def _open(self, folder: str) -> None:
        with ExitStack() as opened:
            own = opened.enter_context(tempfile.TemporaryDirectory(prefix="pyscrai-", dir=folder))
            store = str(Path(own) / "runs.db")
            Store.open(store).close()
            closed = pickle.loads(self._pickled)
            closed = evolve(closed, settings=evolve(closed.settings, store=store))
            self._trials: Trials = opened.enter_context(closed.opened(self._workers))
            self._asyncio = opened.enter_context(asyncio.Runner())
            self._loop = self._asyncio.get_loop()
            self._opened = opened.pop_all()

    def _deliver(self, chunk: Chunk) -> Delivery:
        """Run a chunk. What it runs is removed from the store here, when it is packed."""
        assert self._trials.session is not None
        store, results = self._trials.session.store, list[tuple[int, TrialResult]]()
        error: PyscraiError | None = None
        try:
            unpack(store, chunk.runs)
            self._heard = time.monotonic()
            try:
                self._asyncio.run(self._run(chunk, results))
            except PyscraiError as failure:
                error = _plain(failure)
            return Delivery(tuple(results), pack(store, {result.run for _, result in results}), error)
        finally:
            remove_runs(store, [run.id for run in store.runs()])

    async def _run(self, chunk: Chunk, results: list[tuple[int, TrialResult]]) -> None:
        end = time.monotonic() + chunk.seconds
        waiting = iter(enumerate(chunk.parts))
        watch = asyncio.ensure_future(self._watch())
        lanes = [asyncio.ensure_future(self._lane(waiting, end, results)) for _ in range(chunk.at_once)]
        try:
            await asyncio.gather(*lanes)
        except BaseException:
            self._trials.stop()  # what the other lanes run ends in order, and is delivered
            raise
        finally:
            await asyncio.gather(*lanes, return_exceptions=True)
            watch.cancel()

    async def _lane(
        self, waiting: Iterator[tuple[int, Part]], end: float, results: list[tuple[int, TrialResult]]
    ) -> None:
        ran = False
        for number, part in waiting:
            if self._enough and not part.begun:
                continue
            done: tuple[str, ...] = ()
            for trial in part.trials:
                # While it is paused nothing waits here: what was run is delivered.
                if self._trials.stops or not self._trials.proceeding.is_set():
                    return
                if ran and time.monotonic() >= end:
                    return
                ran = True
                async for result in self._trials.run([evolve(trial, reuse=(*trial.reuse, *done))]):
                    results.append((number, result))
                    done = (*done, result.run)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            if time.monotonic() - self._heard > SILENCE:
                self._trials.stop()


def _plain(error: PyscraiError) -> PyscraiError:
    """The error in a form that can be sent."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:  # noqa: BLE001 - whatever keeps it from being sent, its words can be
        return PyscraiError(str(error))


# -- what `Client.run` calls --


@contextmanager
def _sendable() -> Iterator[None]:
    try:
        yield
    except PyscraiError as error:
        raise _plain(error) from None


async def move_in(name: str, runner: bytes, workers: int, alone: bool, dask_worker: Worker) -> None:
    """Prepare an experiment. If the worker is there for it `alone`, Ctrl-C is left to the experiment."""
    if alone:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with _sendable():
        await dask_worker.plugin_add(Workplace(runner, workers), name=name, catch_errors=False)


async def work(name: str, chunk: bytes, dask_worker: Worker) -> bytes:
    with _sendable():
        return await _workplace(name, dask_worker).work(chunk)


async def hear(name: str, orders: list[Any], enough: bool, dask_worker: Worker) -> None:
    if name in dask_worker.plugins:
        _workplace(name, dask_worker).hear(orders, enough)


async def move_out(name: str, dask_worker: Worker) -> None:
    if name in dask_worker.plugins:
        await dask_worker.plugin_remove(name)


def _workplace(name: str, worker: Any) -> Workplace:
    place: Workplace = worker.plugins[name]
    return place
