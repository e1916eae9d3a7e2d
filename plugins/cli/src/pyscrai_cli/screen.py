"""The live display of a run on a terminal: the transcript, and below it how far the run is."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from pyscrai_core import EVERYONE, CallRecord, Event, Execution, Position, RunResult, RunStatus
from pyscrai_core.contracts import NoConfig, Observer
from pyscrai_records.secret import redact

from . import output
from .output import clean, duration, money
from .progress import DOING, Pending, Plan, Progress
from .region import Region
from .transcript import line
from .wrapping import tail_of, wrapped

if TYPE_CHECKING:
    from rich.text import Text

#: The colours of agents, in the scenario's order.
PALETTE = ("cyan", "green", "magenta", "yellow", "blue", "bright_red", "bright_cyan", "bright_green")
#: Seconds between two updates of a terminal. Events that come faster are printed together.
PERIOD = 0.1
#: So many thinkers are named, and the words of so many are shown while they come.
NAMED, HEARD = 3, 3
#: For how many seconds a failed attempt of another process is shown.
RECENT = 20.0
#: The bar of a run's limits: its length in columns, and the least columns of a terminal that has room for it.
BAR, ROOMY = 10, 60
#: What stands in JSON around the words.
JSON_MARKS = str.maketrans("", "", '{}"')


class Screen(Observer):
    """A transcript in colours, and below it lines that change while models think.

    A context manager, entered inside of the run's event loop. `plan_of` gives what is known of a run when it
    begins. With `elsewhere`, another process executes the run, and only what it has recorded is known.
    """

    def __init__(
        self, out: TextIO, plan_of: Callable[[str], Plan], after: int = 0, *, elsewhere: bool = False
    ) -> None:
        super().__init__(NoConfig())
        self.progress = Progress()
        self._region = Region(out)
        self._plan_of = plan_of
        self._plan = Plan()
        self._most_steps: int | None = None
        self._after = after
        self._elsewhere = elsewhere
        self._above: list[Text] = []
        self._words = "starting"
        self._timer: asyncio.Handle | None = None
        ascii_only = "utf" not in (getattr(out, "encoding", None) or "").lower()
        self._frames = "-\\|/" if ascii_only else "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        self._dot = " - " if ascii_only else " · "
        self._full, self._empty = ("#", ".") if ascii_only else ("━", "─")

    # -- what the run tells --

    def on_begin(self, execution: Execution) -> None:
        self._most_steps = execution.most_steps

    def on_run(self, run: str, status: RunStatus, result: RunResult | None) -> None:
        if not self.progress.run:
            self._plan = self._plan_of(run).with_steps(self._most_steps)
        self.progress.on_run(run, status)
        if status in ("running", "paused"):
            self._words = "" if status == "running" else f"paused; continue: pyscrai resume {run}"

    def on_event(self, event: Event) -> None:
        self.progress.on_event(event)
        if event.seq > self._after:
            self._above.append(self._styled(event))

    def on_call(self, call: CallRecord) -> None:
        self.progress.on_call(call)

    def on_words(self, position: Position, text: str) -> None:
        self.progress.on_words(position, text)

    def show_from(self, after: int) -> None:
        """Show the events with numbers above `after`."""
        self._after = after

    def say(self, words: str) -> None:
        """Show `words` instead of who is thinking from now on."""
        self._words = words
        self._update()

    # -- drawing --

    def __enter__(self) -> Screen:
        self._region.start()
        self._tick()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._update()
        self._region.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to somebody else; what happened is printed before, what happens then later."""
        self._print()
        self._region.stop()
        try:
            yield
        finally:
            self._region.start()

    def _tick(self) -> None:
        # Scheduled first: an error while drawing is told once for each, and does not stop the clock.
        self._timer = asyncio.get_running_loop().call_later(PERIOD, self._tick)
        self._update()

    def _update(self) -> None:
        if self._region.started:
            above, self._above = self._above, []
            self._region.update(self.lines(self._region.width), above)

    def _print(self) -> None:
        """Print what happened, without the lines below."""
        above, self._above = self._above, []
        if above:
            self._region.update([], above)

    def _styled(self, event: Event) -> Text:
        from rich.text import Text

        colour = self._colour(event.source)
        text = Text(line(event))
        if event.kind == "say":
            # The name, to the colon: it may be followed by those whom the words are for.
            text.stylize(f"bold {colour}", 0, text.plain.find(":") + 1)
        else:
            text.stylize(colour)
        if event.kind == "rejected" or EVERYONE not in event.audience:
            text.stylize("dim")
        return text

    def _colour(self, agent: str) -> str:
        agents = self._plan.agents
        return PALETTE[agents.index(agent) % len(PALETTE)] if agent in agents else "white"

    # -- the lines --

    def lines(self, width: int) -> list[Text]:
        """The lines below the transcript, as they are now, for so many columns."""
        return [*self._heard(width), *self._delays(width), self._doing(), self._figures(width)]

    def _heard(self, width: int) -> list[Text]:
        """The end of what is being said, in a line for each of those who began first."""
        from rich.text import Text

        spoken = [(position, one.words) for position, one in self.progress.pending.items() if one.words]
        lines = []
        for position, words in spoken[:HEARD]:
            # Structured answers without what makes them JSON: this line is for a glance.
            said = " ".join(clean(redact(words).translate(JSON_MARKS)).split())
            name = f"{output.shown(position.agent)}: "
            tail = tail_of(said, max(10, width - len(name)))
            lines.append(Text.assemble((name, f"bold {self._colour(position.agent)}"), (tail, "dim italic")))
        return lines

    def _delays(self, width: int) -> list[Text]:
        """Why calls wait, in two lines at most for each kind of reason."""
        from rich.text import Text

        now, progress = time.monotonic(), self.progress
        lines = []
        waiting: dict[str, list[tuple[str, Pending]]] = {}
        for call in progress.in_state("waiting"):
            waiting.setdefault(call[1].why, []).append(call)
        for why, calls in waiting.items():
            lines.append(f"{_who(calls)} {why}, {duration(now - min(one.since for _, one in calls))}")
        if retrying := progress.in_state("retrying"):
            first = min((one for _, one in retrying), key=lambda one: one.until)
            late = first.until < now
            when = "when the limits allow" if late else f"in {duration(first.until - now)}"
            lines.append(f"{_who(retrying)} trying again, next {when}; {first.why}")
        trouble, since = progress.trouble
        if self._elsewhere and trouble and now - since < RECENT:
            lines.append(f"tried again: {trouble}")
        parts = [part for words in lines for part in wrapped(output.shown(words), max(1, width - 2))[:2]]
        return [Text(f"  {part}", style="yellow") for part in parts]

    def _doing(self) -> Text:
        """Who does what, after a mark that moves."""
        from rich.text import Text

        seconds = self.progress.seconds
        frame = self._frames[int(seconds / PERIOD) % len(self._frames)]
        return Text.assemble((f"{frame} ", "cyan"), (output.shown(self._words or self._thinkers()), "bold"))

    def _thinkers(self) -> str:
        if self._elsewhere:
            agent, since = self.progress.spoke
            return f"last: {agent}, {duration(time.monotonic() - since)} ago" if agent else "nothing new yet"
        busy = [(agent, DOING.get(one.kind, one.kind)) for agent, one in self.progress.in_state("busy")]
        if not busy:
            return "waiting" if self.progress.pending else ""
        doing, _ = Counter(what for _, what in busy).most_common(1)[0]
        names = list(dict.fromkeys(agent for agent, what in busy if what == doing))
        return f"{_named(names)} {'is' if len(names) == 1 else 'are'} {doing}"

    def _figures(self, width: int) -> Text:
        """The numbers, as many as there is room for."""
        from rich.cells import cell_len
        from rich.text import Text

        share = self.progress.share_of(self._plan)
        begin = Text("  ")
        if share is not None and width >= ROOMY:
            filled = round(share * BAR)
            begin.append(self._full * filled, style="cyan").append(self._empty * (BAR - filled), style="dim")
            begin.append(" ")
        facts = self._facts()
        # What matters least goes first.
        for unimportant in sorted(facts, key=lambda fact: -fact[0]):
            text = self._dot.join(fact for _, fact in facts)
            if len(begin) + cell_len(text) <= width or len(facts) == 1:
                break
            facts.remove(unimportant)
        return begin.append(self._dot.join(fact for _, fact in facts), style="dim")

    def _facts(self) -> list[tuple[int, str]]:
        """The numbers, each with its rank: 0 is the most important."""
        progress, limits = self.progress, self._plan.limits

        def of(value: str, name: str, form: str = "{:,}") -> str:
            return f"{value}/{form.format(limits[name])}" if name in limits else value

        used, one = progress.usage, progress.calls == 1 and "calls" not in limits
        many = "~" if used.estimated else ""
        cached = f" ({output.share(used.to_dict())} cached)" if used.cached_tokens else ""
        cost = money(progress.cost) if progress.cost.dollars or "money" in limits else ""
        facts = [
            (0, f"step {of(str(progress.step), 'steps')}"),
            (1, f"{of(f'{progress.calls:,}', 'calls')} {'call' if one else 'calls'}"),
            (3, f"{many}{of(f'{used.total:,}', 'tokens')} tokens"),
            (2, of(cost, "money", "${:g}") if cost else ""),
            (4, of(duration(progress.seconds), "seconds", "{:g} s")),
            (5, f"{progress.failed:,} failed" if progress.failed else ""),
            (
                6,
                f"{progress.retries:,} retr{'y' if progress.retries == 1 else 'ies'}"
                if progress.retries
                else "",
            ),
            (7, f"run {progress.run}" if progress.run else ""),
            (8, cached.strip(" ()")),
        ]
        return [fact for fact in facts if fact[1]]


def _who(calls: Sequence[tuple[str, Pending]]) -> str:
    """The agents of a few calls, or how many calls there are, as the beginning of a sentence with `is`."""
    if len(calls) > 2:
        return f"{len(calls):,} calls are"
    names = list(dict.fromkeys(agent for agent, _ in calls))
    return f"{_named(names)} {'is' if len(names) == 1 else 'are'}"


def _named(names: Sequence[str]) -> str:
    """`A`, `A and B`, `A, B, C and 6 more`."""
    names = list(dict.fromkeys(names))
    if len(names) > NAMED:
        names = [*names[:NAMED], f"{len(names) - NAMED} more"]
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
