"""Watching a run: plain lines where they are piped, colours and a status line on a terminal."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from pyscrai_core import CallRecord
from pyscrai_core.contracts import NoConfig, Observer
from pyscrai_core.records import EVERYONE, Cost, Event, Position, RunResult, RunStatus
from pyscrai_core.secret import redact

from .output import duration, in_lines, money, mute

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

#: The colours of agents, in the scenario's order.
PALETTE = ("cyan", "green", "magenta", "yellow", "blue", "bright_red", "bright_cyan", "bright_green")
#: Seconds between two updates of a terminal. Events that come faster are printed together.
PERIOD = 0.1
#: So many thinkers are named in the status line.
NAMED = 3
#: What stands in JSON around the words.
JSON_MARKS = str.maketrans("", "", '{}"')
DOING = {"complete": "thinking", "embed": "thinking", "ask": "being asked", "tool": "acting"}


def line(event: Event) -> str:
    """An event as a transcript shows it, safe to print."""
    return in_lines(event.describe())


def held_up(call: CallRecord) -> str:
    """That a call waits or is tried again, and why."""
    again = f"trying again in {duration(call.wait)}; " if call.status == "retrying" else ""
    return in_lines(f"({call.position.agent}: {again}{call.error})")


class Plain(Observer):
    """Each event as a line, as soon as it happens. Events up to number `after` were printed before."""

    def __init__(self, out: TextIO, after: int = 0) -> None:
        super().__init__(NoConfig())
        self._out: TextIO | None = out
        self._after = after

    def on_event(self, event: Event) -> None:
        if event.seq <= self._after:
            return
        self._write(line(event))

    def on_run(self, run: str, status: RunStatus, result: RunResult | None) -> None:
        if status == "paused":
            self._write(f"(paused; continue: pyscrai resume {run})")

    def on_call(self, call: CallRecord) -> None:
        if call.status in ("waiting", "retrying"):
            self._write(held_up(call))

    def _write(self, text: str) -> None:
        if self._out is None:
            return
        try:
            self._out.write(f"{text}\n")
            self._out.flush()
        except BrokenPipeError:
            # Nobody reads any more. A run that costs money continues all the same.
            self._out = None
            mute()
        except OSError:
            self._out = None  # its disk is full, say; the command says so at its end

    def show_from(self, after: int) -> None:
        """Show the events with numbers above `after`."""
        self._after = after

    def say(self, words: str) -> None:
        """Progress is not shown: only events are printed."""

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class Screen(Observer):
    """A transcript in colours with a status line below it that moves while models think.

    A context manager, entered inside of the run's event loop.
    """

    def __init__(self, out: TextIO, agents: Sequence[str], after: int = 0) -> None:
        super().__init__(NoConfig())
        from rich.console import Console

        self._console = Console(file=out, highlight=False, markup=False, emoji=False)
        self._live = self._new_live()
        self._colours = {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(agents)}
        self._after = after
        self._pending: list[Text] = []
        self._busy: Counter[tuple[str, str]] = Counter()
        self._words = "starting"
        self._run = ""
        self._step = self._calls = self._tokens = 0
        self._cost = Cost()
        #: What is being said: the words so far by call, the one that spoke last at the end.
        self._speaking: dict[Position, str] = {}
        self._began = time.monotonic()
        self._timer: asyncio.Handle | None = None
        self._frames = "-\\|/" if self._console.options.ascii_only else "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        self._dot = " - " if self._console.options.ascii_only else " · "

    # -- what the run tells --

    def on_run(self, run: str, status: RunStatus, result: RunResult | None) -> None:
        self._run = run
        if status in ("running", "paused"):
            self._words = "" if status == "running" else f"paused; continue: pyscrai resume {run}"

    def on_event(self, event: Event) -> None:
        self._step = max(self._step, event.step)
        if event.seq > self._after:
            self._pending.append(self._styled(event))

    def on_call(self, call: CallRecord) -> None:
        self._step = max(self._step, call.position.step)
        who = (call.position.agent, DOING.get(call.kind, call.kind))
        if call.status == "started":
            self._busy[who] += 1
            return
        self._speaking.pop(call.position, None)
        if call.status in ("waiting", "retrying"):
            self._pending.append(self._dim(held_up(call)))
            return
        if not call.journaled:
            self._busy[who] -= 1
            self._busy += Counter()  # drops those that came to zero
        self._calls += 1
        self._tokens += call.usage.input_tokens + call.usage.output_tokens
        if call.kind == "complete" and call.status == "answered":
            self._cost += Cost.of(call.cost)

    def on_words(self, position: Position, text: str) -> None:
        self._speaking[position] = self._speaking.pop(position, "") + text

    def show_from(self, after: int) -> None:
        """Show the events with numbers above `after`."""
        self._after = after

    def say(self, words: str) -> None:
        """Show `words` at the beginning of the status line from now on."""
        self._words = words
        self._update()

    # -- drawing --

    def __enter__(self) -> Screen:
        self._live.start()
        self._tick()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._print()
        self._live.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to somebody else; what happened is printed before, what happens then later."""
        self._print()
        self._live.stop()
        try:
            yield
        finally:
            # A stopped one would begin by erasing what now stands where its lines were.
            self._live = self._new_live()
            self._live.start()

    def _new_live(self) -> Live:
        from rich.live import Live

        return Live(self, console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop")

    def _tick(self) -> None:
        # Scheduled first: an error while drawing is told once for each, and does not stop the clock.
        self._timer = asyncio.get_running_loop().call_later(PERIOD, self._tick)
        self._update()

    def _update(self) -> None:
        if self._live.is_started:
            self._print()
            self._live.refresh()

    def _print(self) -> None:
        if self._pending:
            from rich.text import Text

            lines, self._pending = self._pending, []
            self._console.print(Text("\n").join(lines))

    def _styled(self, event: Event) -> Text:
        from rich.text import Text

        colour = self._colours.get(event.source, "white")
        text = Text(line(event))
        if event.kind == "say":
            # The name, to the colon: it may be followed by those whom the words are for.
            text.stylize(f"bold {colour}", 0, text.plain.find(":") + 1)
        else:
            text.stylize(colour)
        if event.kind == "rejected" or EVERYONE not in event.audience:
            text.stylize("dim")
        return text

    def _dim(self, words: str) -> Text:
        from rich.text import Text

        return Text(words, style="dim")

    def __rich__(self) -> Text:
        """What is being said, and the status line, as they are now."""
        from rich.text import Text

        if not self._speaking:
            return self._status()
        return Text("\n").join([self._heard(), self._status()])

    def _heard(self) -> Text:
        """The end of the words that came last, in one line."""
        from rich.text import Text

        position, words = next(reversed(self._speaking.items()))
        # Structured answers without what makes them JSON: this line is for a glance.
        said = " ".join(in_lines(redact(words).translate(JSON_MARKS)).split())
        colour = self._colours.get(position.agent, "white")
        room = max(10, self._console.width - len(position.agent) - 4)
        tail = said if len(said) <= room else f"…{said[1 - room :]}"
        return Text.assemble(
            (f"{in_lines(position.agent)}: ", f"bold {colour}"), (tail, "dim italic"), no_wrap=True,
            overflow="ellipsis",
        )  # fmt: skip

    def _status(self) -> Text:
        from rich.text import Text

        seconds = time.monotonic() - self._began
        frame = self._frames[int(seconds / PERIOD) % len(self._frames)]
        doing = self._words or self._thinkers()
        facts = [
            *([self._run] if self._run else []),
            f"step {self._step}",
            f"{self._calls:,} call{'' if self._calls == 1 else 's'}",
            f"{self._tokens:,} tokens",
            *([money(self._cost)] if self._cost.dollars else []),
            duration(seconds),
        ]
        return Text.assemble(
            (f"{frame} ", "cyan"),
            (doing, "bold"),
            (self._dot if doing else "", "dim"),
            (self._dot.join(facts), "dim"),
            no_wrap=True,
            overflow="ellipsis",
            end="",
        )

    def _thinkers(self) -> str:
        if not self._busy:
            return ""
        doing = next(reversed(self._busy))[1]
        names = [name for name, what in self._busy if what == doing]
        more = len(names) - NAMED
        if more > 0:
            names = [*names[:NAMED], f"{more} more"]
        listed = ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
        return in_lines(f"{listed} {'is' if len(names) == 1 else 'are'} {doing}")


class LogFile(Observer):
    """What happens as records of the log file: facts and numbers, none of the words."""

    def __init__(self) -> None:
        super().__init__(NoConfig())
        from loguru import logger

        self._logger: Any = logger

    def on_run(self, run: str, status: RunStatus, result: RunResult | None) -> None:
        self._logger = self._logger.bind(run=run)
        facts = {**(result.to_dict() if result else {}), "status": status}
        facts.pop("outcomes", None)
        self._logger.bind(**facts).info("run {}", status)

    def on_event(self, event: Event) -> None:
        facts = {"seq": event.seq, "step": event.step, "kind": event.kind, "source": event.source}
        self._logger.bind(**facts).debug("event {}", event.seq)

    def on_call(self, call: CallRecord) -> None:
        self._logger.bind(
            agent=call.position.agent,
            step=call.position.step,
            path=call.position.path,
            kind=call.kind,
            target=call.target,
            model=call.model,
            journaled=call.journaled,
            seconds=call.seconds,
            usage=call.usage.to_dict(),
            cost=call.cost,
            error=call.error,
            wait=call.wait,
        ).log("INFO" if call.status in ("failed", "waiting", "retrying") else "DEBUG", "call {}", call.status)


def is_terminal(stream: TextIO) -> bool:
    """Whether a status line can move on `stream`."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
