"""What happens on a worker: it runs trials in a store of its own, and sends the runs back.

The functions at the end are called in Dask's event loop, by `Client.run`. The trials run in an event loop of
their own, in a thread: it goes on with them while results are on their way.
"""

from __future__ import annotations

import asyncio
import pickle
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from distributed import Worker, WorkerPlugin

from pyscrai_core import PyscraiError, TrialResult
from pyscrai_core.runtime.trials import Trials
from pyscrai_records.base.time_limit import run_alone
from pyscrai_records.store.maintenance import remove_runs
from pyscrai_records.store.store import Store

from .transfer import Chunk, Delivery, Part, pack, unpack

#: A worker that hears nothing from the experiment for so many seconds stops its trials: it is gone.
SILENCE = 60.0
#: Seconds between two looks at whether that is so.
LOOK = 1.0


@frozen
class News:
    """What all workers must know: orders, whether no further block is needed, and whether any is waiting.

    at_once
        how many blocks a worker runs at the same time
    """

    orders: tuple[Any, ...]
    enough: bool
    more: bool
    at_once: int


class Workplace(WorkerPlugin):
    """An experiment on a worker: its runner, with a store in a temporary folder."""

    def __init__(self, runner: bytes, workers: int) -> None:
        self._pickled = runner
        self._workers = workers
        self._ended: Future[None] = Future()
        self._news = News((), enough=False, more=False, at_once=1)
        self._heard = time.monotonic()
        #: Parts that nobody has begun, those that are over and not yet told, and the runs of each part.
        self._waiting: deque[Part] = deque()
        self._over: list[int] = []
        self._runs: dict[int, set[str]] = {}
        self._results: list[tuple[int, TrialResult]] = []
        self._lanes: set[asyncio.Task[None]] = set()
        #: Why it cannot go on: the first error of a lane.
        self._failure: BaseException | None = None

    # -- in Dask's event loop --

    async def setup(self, worker: Worker) -> None:
        started: Future[None] = Future()
        threading.Thread(
            target=self._live, args=(worker.local_directory, started), name="pyscrai", daemon=True
        ).start()
        await asyncio.wrap_future(started)

    async def teardown(self, worker: Worker) -> None:
        self._loop.call_soon_threadsafe(self._leave.set)
        await asyncio.wrap_future(self._ended)

    async def work(self, chunk: bytes) -> bytes:
        return await self._there(self._exchange(chunk))

    def hear(self, news: News) -> None:
        self._loop.call_soon_threadsafe(self._listen, news)

    async def _there(self, coroutine: Coroutine[Any, Any, bytes]) -> bytes:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    # -- in the thread --

    def _live(self, folder: str, started: Future[None]) -> None:
        try:
            with ExitStack() as opened:
                own = opened.enter_context(tempfile.TemporaryDirectory(prefix="pyscrai-", dir=folder))
                store = str(Path(own) / "runs.db")
                Store.open(store).close()
                closed = pickle.loads(self._pickled)
                closed = evolve(closed, settings=evolve(closed.settings, store=store))
                self._trials: Trials = opened.enter_context(closed.opened(self._workers))
                assert self._trials.session is not None
                self._store = self._trials.session.store
                run_alone(self._stay(started))
        except BaseException as error:  # noqa: BLE001 - whatever it is, who waits for the thread gets it
            if not started.done():
                started.set_exception(error)
                return
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _stay(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._leave, self._moved = asyncio.Event(), asyncio.Event()
        started.set_result(None)
        while not self._leave.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._leave.wait()
            if self._lanes and time.monotonic() - self._heard > SILENCE:
                self._trials.stop()
        for _ in range(2):
            self._trials.stop()
        await asyncio.gather(*self._lanes, return_exceptions=True)

    def _listen(self, news: News) -> None:
        self._heard = time.monotonic()
        known, self._news = len(self._news.orders), news
        for order in news.orders[known:]:
            self._trials.obey(order)
        self._fill()
        self._moved.set()

    async def _exchange(self, data: bytes) -> bytes:
        """Take in a chunk, and wait until something is to be delivered."""
        chunk: Chunk = pickle.loads(data)
        self._heard = time.monotonic()
        unpack(self._store, chunk.runs)
        self._runs.update((part.number, set(part.runs)) for part in chunk.parts)
        self._waiting.extend(chunk.parts)
        self._fill()
        end = time.monotonic() + chunk.seconds
        while not self._is_due(chunk.low, late=time.monotonic() >= end):
            self._moved.clear()
            left = end - time.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(left if self._results and left > 0 else None):
                    await self._moved.wait()
        return pickle.dumps(self._deliver())

    def _is_due(self, low: int, *, late: bool) -> bool:
        """Whether the experiment is to be told now."""
        if not self._lanes:
            return True
        if self._trials.stops:
            return False  # what is under way ends soon
        if not self._trials.proceeding.is_set():
            return bool(self._results)
        free = not self._waiting and len(self._lanes) < self._news.at_once
        few = bool(self._results and low) and len(self._waiting) <= low
        return (self._news.more and (free or few)) or (late and bool(self._results))

    def _deliver(self) -> Delivery:
        """What was run since the last time. Runs that nothing here needs any more are removed."""
        if not self._lanes:
            self._over.extend(part.number for part in self._waiting)
            self._waiting.clear()
        results, self._results = self._results, []
        over, self._over = self._over, []
        if self._failure is not None and not isinstance(self._failure, PyscraiError):
            raise self._failure
        error = _plain(self._failure) if self._failure is not None else None
        runs = pack(self._store, {result.run for _, result in results})
        done = {run for number in over for run in self._runs.pop(number)}
        remove_runs(self._store, sorted(done.difference(*self._runs.values())))
        return Delivery(tuple(results), runs, tuple(over), error)

    # -- lanes, which run one part after the other --

    def _fill(self) -> None:
        if self._trials.stops or self._failure is not None:
            return
        while self._waiting and len(self._lanes) < self._news.at_once:
            lane = asyncio.ensure_future(self._run(self._waiting.popleft()))
            self._lanes.add(lane)
            lane.add_done_callback(self._end)

    async def _run(self, part: Part) -> None:
        done: tuple[str, ...] = ()
        try:
            for trial in part.trials if part.begun or not self._news.enough else ():
                async for result in self._trials.run([evolve(trial, reuse=(*trial.reuse, *done))]):
                    self._results.append((part.number, result))
                    self._runs[part.number].add(result.run)
                    done = (*done, result.run)
                    self._moved.set()
        finally:
            self._over.append(part.number)

    def _end(self, lane: asyncio.Task[None]) -> None:
        self._lanes.discard(lane)
        if not lane.cancelled() and (error := lane.exception()) is not None and self._failure is None:
            self._failure = error
            self._trials.stop()  # what the other lanes run ends in order, and is delivered
        self._fill()
        self._moved.set()


def _plain(error: BaseException) -> PyscraiError:
    """The error in a form that can be sent."""
    try:
        made = pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever keeps it from being sent, its words can be
        made = None
    return made if isinstance(made, PyscraiError) else PyscraiError(str(error))


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


async def hear(name: str, news: News, dask_worker: Worker) -> None:
    """The experiment is still there, and what it says."""
    if name in dask_worker.plugins:
        _workplace(name, dask_worker).hear(news)


async def move_out(name: str, dask_worker: Worker) -> None:
    if name in dask_worker.plugins:
        await dask_worker.plugin_remove(name)


def _workplace(name: str, worker: Any) -> Workplace:
    place: Workplace = worker.plugins[name]
    return place
