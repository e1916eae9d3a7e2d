"""Executing for a person: what they see meanwhile, how they stop it, what they are told at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click
from attrs import evolve, frozen

from pyscrai_core import RunResult, StoreError
from pyscrai_core.config import Settings, load_settings
from pyscrai_core.contracts import Observer
from pyscrai_core.runtime.run import DRAIN
from pyscrai_core.runtime.session import Running, Session, observed
from pyscrai_core.scenario.trust import Gate
from pyscrai_records.base.time_limit import run_alone
from pyscrai_records.errors import PyscraiError
from pyscrai_records.store.opening import path_of
from pyscrai_records.store.store import Store

from . import output
from .logs import Log
from .output import Hints
from .person import somebody
from .progress import Plan
from .region import END_OF_SCREEN, SHOW
from .screen import Screen
from .transcript import Plain

#: Seconds that an execution may take to end once it was cancelled, and to hear of a SIGTERM.
PATIENCE = 3.0
#: Seconds after which a loop that has not heard of a signal is taken for blocked.
BLOCKED = 0.5

Display = Plain | Screen
Result = TypeVar("Result")
#: Executes something in a session.
Work = Callable[[Session], Awaitable[RunResult]]


@frozen
class View:
    """How a person wants to be told."""

    as_json: bool = False
    quiet: bool = False
    log_file: Path | None = None

    def display(self, store: Store, after: int = 0) -> Display | None:
        """What shows a run of the store while it is executed; None: nothing does."""
        # With --json, stdout is the result's alone, and stderr is for people if it is not the same screen.
        out = sys.stderr if self.as_json else output.stdout()
        if self.quiet or (self.as_json and (output.stdout().isatty() or not out.isatty())):
            return None
        if not output.can_move(out):
            return Plain(out, after)
        return Screen(out, lambda run: Plan.of(store.run(run)), after)

    def observers(self) -> list[Observer]:
        """What logs the run, if a log is wanted."""
        log: Log = click.get_current_context().find_root().obj
        return log.observers(self.log_file)


def settings_for(store: str | None, observe: Sequence[dict[str, Any]] = ()) -> tuple[Settings, Hints]:
    """The settings in force with `--store` and `--observe`, and hints that name that store if need be."""
    settings = load_settings(store=store)
    settings = observed(settings, observe)
    return settings, Hints(store if store and load_settings(tell=False).store != store else None)


def gate_of(trust: bool) -> Gate:
    """The gate of a person's command: they are asked for approval if they are at a terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return Gate(trust)
    return Gate(trust, lambda question: click.confirm(output.clean(question), err=True))


class Stopper:
    """Ctrl-C and SIGTERM: once stops the run cleanly, twice at once, three times ends the process.

    The handlers run between two instructions of Python and go through the event loop, all but the third.
    Code that blocks the loop is interrupted where it is: by the second Ctrl-C, or seconds after a SIGTERM.
    """

    def __init__(
        self, display: Display | None, tell: Callable[[RunResult], int] = lambda _: 1, replay: bool = False
    ) -> None:
        self._tell = tell
        self._replay = replay
        self.run: Running | None = None
        self._display = display
        self._count = 0
        self._heard = 0  # the signals that the loop has seen
        self._since = 0.0  # when the first that it has not seen came
        self._left = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopper:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def attach(self) -> None:
        """Called inside of the event loop, by the task that executes."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()

    def begin(self, run: Running) -> None:
        """Called with the run, once there is one."""
        self.run = run

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 2 or self._loop is None:
            self._leave()
        if self._count == 2:
            # A thread that a library waits for (a model that computes) must not hold the person up.
            _later(PATIENCE, self._leave)
            if self._heard == 0 and time.monotonic() - self._since > BLOCKED:
                raise KeyboardInterrupt
        self._since = self._since or time.monotonic()
        if number == signal.SIGTERM and self._count == 1:  # whoever sent it may not send another
            _later(PATIENCE, self._insist)
            _later(DRAIN + PATIENCE, self._insist_anyway)
        self._loop.call_soon_threadsafe(self._stop, self._count)

    def _insist(self) -> None:
        """Send SIGTERM again if the loop is blocked."""
        if self._heard == 0 and self._count == 1 and self._before:
            os.kill(os.getpid(), signal.SIGTERM)

    def _insist_anyway(self) -> None:
        """Send SIGTERM again if the run goes on: a plugin may catch what cancels it."""
        if self._count == 1 and self._before:
            os.kill(os.getpid(), signal.SIGTERM)

    def _stop(self, count: int) -> None:
        self._heard = count
        if self.run is not None and self.run.result is None and count == 1:
            self.run.stop()
            # Said where the status line is, or on stderr where there is none.
            if isinstance(self._display, Screen):
                self._display.say("stopping; Ctrl-C again to leave at once")
            else:
                output.note(
                    f"stopping: calls in flight may still be answered for {DRAIN:g} s; again: leave at once"
                )
            return
        if self.run is not None:
            self.run.cancel()
        elif self._task is not None:
            self._task.cancel()

    def end_blocked(self, end: Callable[[], RunResult]) -> NoReturn:
        """End the process, as plugin code blocks the event loop for good."""
        _later(PATIENCE, lambda: os._exit(1))  # the streams may be locked
        if isinstance(self._display, Screen) and os.isatty(2):
            os.write(2, f"{SHOW}{END_OF_SCREEN}\n".encode())
        try:
            result = end()
            status = self._tell(result)
        except PyscraiError as error:
            output.fail_with(error)
            status = 3
        sys.stdout.flush()
        os._exit(status)

    def _leave(self) -> NoReturn:
        """End the process without waiting for anything. Not through Python's streams: they may be locked."""
        if not self._left:  # a further signal may come between two of these lines
            self._left = True
            # The cursor, which the display hides, and the lines of the display behind it.
            cursor = f"{SHOW}{END_OF_SCREEN}" if isinstance(self._display, Screen) and os.isatty(2) else ""
            kept = ""
            if self.run and self.run.result:
                kept = f"; run {self.run.id} is {self.run.result.status}"
            elif self.run and not self._replay:
                kept = f"; what was answered is kept: pyscrai resume {self.run.id}"
            os.write(2, f"{cursor}\nleft at once{kept}\n".encode())
        os._exit(130)


def _later(seconds: float, do: Callable[[], object]) -> None:
    timer = threading.Timer(seconds, do)
    timer.daemon = True
    timer.start()


def prepare(work: Coroutine[Any, Any, Result]) -> Result:
    """Execute what comes before there is a run, which a person may stop as they stop a run.

    Ends the command with status 130 if they do.
    """
    stopper = Stopper(None)

    async def watched() -> Result:
        stopper.attach()
        return await work

    try:
        with stopper:
            return run_alone(watched())
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise _not_begun() from None


def _not_begun() -> click.exceptions.Exit:
    output.fail("before the run began; nothing was written", label="interrupted")
    return click.exceptions.Exit(130)


def perform(
    session: Session,
    work: Work,
    *,
    view: View,
    hints: Hints,
    after: int = 0,
    tell: Callable[[RunResult], int] = lambda result: output.EXIT[result.status],
    replay: bool = False,
) -> RunResult:
    """Execute `work` in the session while a person watches, can be asked, and may stop it.

    `tell` tells of the run, and gives the exit status, if code in it blocks the event loop for good. In a
    `replay`, nothing is kept that could be continued.

    Ends the command where there is no result: with status 130 if it was stopped before the run began, with 1
    if the store failed under a run.
    """
    display = view.display(session.store, after)
    watching = view.observers() if display is None else [*view.observers(), display]
    stopper = Stopper(display, tell, replay)
    session = evolve(
        session,
        observers=[*watching, *session.observers],
        begin=stopper.begin,
        ask=somebody(watching, view.as_json),
        leave=stopper.end_blocked if threading.current_thread() is threading.main_thread() else session.leave,
    )

    async def watched() -> RunResult:
        stopper.attach()
        if display is None:
            return await work(session)
        with display:
            return await work(session)

    try:
        with stopper:
            return run_alone(watched())
    except (asyncio.CancelledError, KeyboardInterrupt):
        if stopper.run is None:
            raise _not_begun() from None
        if stopper.run.result is None and replay:
            raise click.exceptions.Exit(undecided(stopper.run.id)) from None
        if stopper.run.result is None:
            output.fail(f"run {stopper.run.id} is kept", label="interrupted")
            output.note(f"continue: {hints.resume(stopper.run.id, '')}")
            raise click.exceptions.Exit(130) from None
        return stopper.run.result  # only what follows on it was interrupted
    except StoreError as error:
        if stopper.run is None:
            raise
        output.fail_with(error)
        output.note(f"continue: {hints.resume(stopper.run.id, '')}")
        raise click.exceptions.Exit(1) from None


def undecided(run: str) -> int:
    """Tell that a replay was interrupted; the exit status."""
    output.fail(f"replay of {run}: nothing is decided", label="interrupted")
    return output.EXIT["interrupted"]


def report(
    result: RunResult,
    settings: Settings,
    hints: Hints,
    view: View,
    more: Sequence[tuple[str, str]] = (),
    several: list[Any] | None = None,
) -> int:
    """Tell how a run ended and, with `more`, what to do next; the exit status.

    Where it is one of `several`, its JSON is put there instead of being printed.
    """
    if result.error and result.status != "interrupted":
        output.fail(
            hints.filled(result.error, result.run),
            label="error" if result.status == "failed" else result.status,
        )
    if result.truncated:
        advice = "raise `max_tokens` of the provider, or set its option `on_truncated`"
        output.fail(f"{output.truncated(result.truncated)}; {advice}", label="warning")
    if view.as_json and several is not None:
        several.append(result.to_dict())
    elif view.as_json:
        output.print_json(result.to_dict())
    else:
        _summarize(result, settings, hints, view, more)
    return output.EXIT[result.status]


def _summarize(
    result: RunResult, settings: Settings, hints: Hints, view: View, more: Sequence[tuple[str, str]]
) -> None:
    if view.quiet:
        output.echo(f"{result.run}  {output.status(result.status)}")
        output.pairs((name, output.shown(value)) for name, value in result.outcomes.items())
        return
    asked = "" if result.asked == result.calls else f" ({result.asked:,} asked now)"
    output.summary(
        result.run, result.status, result.fingerprint, steps=result.steps, events=len(result.events),
        calls=f"{output.counted(result.calls, 'call')}{asked}", usage=result.usage, cost=result.cost,
        outcomes=result.outcomes, more=[("store", output.path(str(path_of(settings.store))))],
    )  # fmt: skip
    output.pairs([*hints.next(result.run, result.status, result.error), *more])
