"""The end of plugin code whose time is over, also if it catches its cancellation or blocks the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from .log import logger

#: A plugin may catch that its code is cancelled. After so many seconds it is cancelled again,
AGAIN = 1.0
#: and after so many it is left behind.
GRACE = 5.0
#: Interrupts code that blocks the main thread. It is ignored where nobody handles it. Windows has none.
INTERRUPT: int | None = getattr(signal, "SIGURG", None)

Result = TypeVar("Result")
_current: contextvars.ContextVar[Watch] = contextvars.ContextVar("watch")
#: How many tasks and threads of this process were left behind.
_left = 0


class OutOfTime(Exception):
    """A block took longer than its seconds."""


class LeftBehind(Exception):
    """Code did not end when it was cancelled. Nobody waits for it any more."""


class Interrupted(asyncio.CancelledError):
    """Ends code that blocks the event loop, before the loop hears that it is cancelled."""


class Limit:
    """The time that a block may take: `left` gives the seconds, 0 or less when it is over."""

    def __init__(self, left: Callable[[], float], over: Callable[[], object] = lambda: None) -> None:
        self.left, self.over = left, over
        #: When the block was told to end for the first time.
        self.since: float | None = None
        #: How often it was told so, and how often the loop heard of it.
        self.told = self.heard = 0


class Watch:
    """Watches one task and those that it starts with `spawn`, and ends them when their time is over.

    A thread does so, because the code may block the event loop. It cancels the task, again and again. If the
    loop does not hear it, the thread interrupts the main thread with a signal, where that executes plugin
    code (`is_foreign`). After `GRACE` seconds the task is left behind: `oversee` raises `LeftBehind`. If the
    loop still does not hear that, the thread calls `stuck`.
    """

    def __init__(self, is_foreign: Callable[[FrameType | None], bool], stuck: Callable[[], object]) -> None:
        self._is_foreign, self._stuck = is_foreign, stuck
        self._limit: Limit | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._over = False
        self.tasks: set[asyncio.Task[Any]] = set()
        #: Whether whoever waits for it does so no more.
        self.cancelled = False
        #: The context of the task.
        self.context = contextvars.copy_context()

    async def oversee(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What `work` returns, executed in a task. Raises `LeftBehind` if that does not end in time."""
        self._loop = asyncio.get_running_loop()
        self._in_main = threading.current_thread() is threading.main_thread()
        if self._in_main and INTERRUPT and signal.getsignal(INTERRUPT) in (signal.SIG_DFL, signal.SIG_IGN):
            signal.signal(INTERRUPT, _interrupted)
        self._given_up: asyncio.Future[None] = self._loop.create_future()
        self.context.run(_current.set, self)
        self._task = task = self._loop.create_task(_caught(work), context=self.context)
        try:
            while not task.done() and not self._given_up.done():
                try:
                    await asyncio.wait((task, self._given_up), return_when=asyncio.FIRST_COMPLETED)
                except asyncio.CancelledError:  # the task decides what becomes of it
                    self.cancelled = True
                    self.end_now()
            if not task.done():
                raise LeftBehind
            result, exit_ = task.result()
            if exit_ is not None:
                raise exit_
            return result  # type: ignore[return-value]
        finally:
            with self._changed:
                self._over = True
                self._changed.notify()
            for one in {task, *self.tasks}:
                if not one.done():
                    _leave(one)

    @contextmanager
    def limit(self, seconds: float | None, late: Callable[[], Exception] = OutOfTime) -> Iterator[None]:
        """Cancel the block once `seconds` are over, and again until it ends. Raises what `late` gives."""
        if seconds is None:
            yield
            return
        end, before = time.monotonic() + seconds, self._task.cancelling()
        outer, limit = self._limit, Limit(lambda: end - time.monotonic())
        self.begin(limit)
        try:
            yield
        except asyncio.CancelledError:
            if limit.told and self._task.cancelling() - limit.heard <= before:  # nobody else wants it to end
                raise late() from None
            raise
        finally:
            self.begin(outer)
            for _ in range(limit.heard):
                self._task.uncancel()

    def begin(self, limit: Limit | None) -> None:
        """What is executed from now on has this limit."""
        with self._changed:
            self._limit = limit
            self._changed.notify()
        if limit is not None and self._thread is None:
            self._thread = threading.Thread(target=self._guard, name="pyscrai-watch", daemon=True)
            self._thread.start()

    def end_now(self) -> None:
        """Cancel the task, and leave it behind if it does not end."""
        if self._limit is None or self._limit.since is None:
            self.begin(Limit(lambda: 0.0))
        else:
            self._task.cancel()

    # -- in the thread --

    def _guard(self) -> None:
        while True:
            with self._changed:
                if self._over:
                    return
                limit = self._limit
                left = None if limit is None else limit.left()
                if limit is None or left is None or left > 0:
                    self._changed.wait(left)
                    continue
            if limit.since is None:
                limit.since = time.monotonic()
                limit.over()
            if late := time.monotonic() - limit.since >= GRACE:
                self._in_loop(self._give_up, limit)
            else:
                if limit.told > limit.heard and self._in_main and INTERRUPT:
                    main = threading.main_thread().ident
                    assert main is not None
                    signal.pthread_kill(main, INTERRUPT)
                limit.told += 1
                self._in_loop(self._cancel, limit)
            with self._changed:
                if self._limit is limit and not self._over:
                    self._changed.wait(AGAIN)
                if late and self._limit is limit and not self._over:
                    break
        self._stuck()

    def _in_loop(self, do: Callable[[Limit], None], limit: Limit) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(do, limit)

    # -- in the loop --

    def _cancel(self, limit: Limit) -> None:
        if self._limit is limit:
            limit.heard += 1
            self._task.cancel()

    def _give_up(self, limit: Limit) -> None:
        if self._limit is limit and not self._given_up.done():
            self._given_up.set_result(None)

    def on_interrupt(self, frame: FrameType | None) -> None:
        limit = self._limit
        if limit is not None and limit.told > limit.heard and self._is_foreign(frame):
            raise Interrupted


async def _caught(work: Coroutine[Any, Any, Result]) -> tuple[Result | None, BaseException | None]:
    """What it returns, and what would end the event loop if a task ended with it."""
    try:
        return await work, None
    except (SystemExit, KeyboardInterrupt) as error:
        return None, error


def _interrupted(_: int, frame: FrameType | None) -> None:
    # The context is that of the interrupted code.
    if (watch := _current.get(None)) is not None:
        watch.on_interrupt(frame)


def spawn(work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
    """A task, watched by whoever watches the current one."""
    task = asyncio.ensure_future(work)
    if (watch := _current.get(None)) is not None:
        watch.tasks.add(task)
        task.add_done_callback(watch.tasks.discard)
    return task


async def ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Return when all tasks have ended. They are cancelled as often as this is."""
    cancelled = False
    while not all(task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError:
            cancelled = True
            for task in tasks:
                task.cancel()
    if cancelled:
        raise asyncio.CancelledError


def _leave(task: asyncio.Task[Any]) -> None:
    """Let nobody wait for a task, neither `asyncio.run` nor Python when it ends."""
    global _left
    import ctypes  # which is needed for this alone

    _left += 1
    asyncio._unregister_task(task)
    # Python would close its code, which may catch that too.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))
    task.add_done_callback(lambda done: done.cancelled() or done.exception())


def left_behind() -> bool:
    """Whether something was left behind that may keep the process from ending."""
    return _left > 0


def run_alone(work: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run`, which does not wait for tasks and threads that do not end."""
    with asyncio.Runner() as runner:
        try:
            return runner.run(_alone(work))
        except KeyboardInterrupt:  # a second one does not wait for the task
            _end_all(runner.get_loop())
            raise


def _end_all(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel all tasks of a loop that was interrupted, and leave those that do not end."""

    def look(_: object) -> None:
        if not asyncio.all_tasks(loop):
            loop.stop()

    for task in (tasks := asyncio.all_tasks(loop)):
        task.cancel()
        task.add_done_callback(look)
    loop.call_later(2 * GRACE, loop.stop)
    try:
        if tasks:
            loop.run_forever()
    finally:
        for task in asyncio.all_tasks(loop):
            _leave(task)


async def _alone(work: Coroutine[Any, Any, Result]) -> Result:
    global _left
    loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(thread_name_prefix=f"pyscrai-{id(loop)}")
    loop.set_default_executor(pool)
    try:
        return await work
    finally:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            _, others = await asyncio.wait(others, timeout=GRACE)
        for task in others:
            _leave(task)
        pool.shutdown(wait=False, cancel_futures=True)
        end = time.monotonic() + GRACE
        for thread in threading.enumerate():
            if thread.name.startswith(f"pyscrai-{id(loop)}_"):
                thread.join(max(0.0, end - time.monotonic()))
                if thread.is_alive():
                    _left += 1
                    logger.warning("a thread of a plugin does not end; the process may wait for it")
        loop.set_default_executor(ThreadPoolExecutor())  # nothing waits for the other one
