"""A process that runs blocks of trials for another: `python -m pyscrai_experiments.worker`.

It reads from stdin: the runner and the number of processes, then blocks, and orders. It writes results to
stdout. It ends at once when stdin ends, so that no worker outlives its experiment.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import threading
import time
from typing import Any, BinaryIO

from pyscrai_core import PyscraiError
from pyscrai_core.runtime.session import end_process
from pyscrai_records.base.time_limit import left_behind, run_alone

from .executors import HEADER

#: Seconds that the process may take to end once nobody wants its results.
PATIENCE = 5.0


def main() -> None:
    # What a plugin prints must not get between the results.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    runner, processes = _read(sys.stdin.buffer)
    try:
        with runner.opened(processes) as opened:
            opened.session.leave = end_process
            run_alone(_serve(opened, out))
    except PyscraiError as error:
        _write(out, ("error", _plain(error)))
    if left_behind():  # Python would wait for it
        out.flush()
        os._exit(0)


async def _serve(runner: Any, out: BinaryIO) -> None:
    loop = asyncio.get_running_loop()
    orders: asyncio.Queue[Any] = asyncio.Queue()

    def listen() -> None:
        try:
            while True:
                loop.call_soon_threadsafe(orders.put_nowait, _read(sys.stdin.buffer))
        except (EOFError, RuntimeError):
            loop.call_soon_threadsafe(orders.put_nowait, None)
            time.sleep(PATIENCE)
            os._exit(1)  # code of a plugin blocks the loop

    threading.Thread(target=listen, daemon=True).start()
    tasks: set[asyncio.Task[None]] = set()

    async def work(block: Any) -> None:
        try:
            async for result in runner.run(block):
                _write(out, ("result", result))
            _write(out, ("done", None))
        except PyscraiError as error:
            _write(out, ("error", _plain(error)))

    while (order := await orders.get()) is not None:
        if isinstance(order, dict):
            runner.obey(order["order"])
            continue
        task = asyncio.ensure_future(work(order))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:  # the experiment's process is gone; what is journaled stays
        os._exit(1)


def _plain(error: PyscraiError) -> PyscraiError:
    """The error in a form that can be sent."""
    kinds = (kind for kind in type(error).__mro__ if kind.__module__ == PyscraiError.__module__)
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:  # noqa: BLE001 - whatever keeps it from being sent, its words can be
        made: PyscraiError = PyscraiError(f"{next(kinds).__name__}: {error}")
        return made


def _read(stream: BinaryIO) -> Any:
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        raise EOFError
    (size,) = HEADER.unpack(header)
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)


def _write(stream: BinaryIO, content: Any) -> None:
    data = pickle.dumps(content)
    stream.write(HEADER.pack(len(data)) + data)
    stream.flush()


if __name__ == "__main__":
    main()
