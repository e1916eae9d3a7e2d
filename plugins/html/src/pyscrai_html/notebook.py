"""What a notebook shows: results, logs and runs, and a run that is being executed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from attrs import frozen

from pyscrai_core import CallRecord, ConfigError, Cost, Event, Observer, RunResult, RunStatus, StoredRun

from . import parts
from .export import listed
from .page import summary

#: So many events, characters of a text, and runs are shown.
EVENTS, TEXT, RUNS = 100, 1_000, 100


def show(shown: Any) -> str:
    """A result, a log, a stored run, or several, as HTML for a notebook."""
    if isinstance(shown, RunResult):
        return _framed(f"{_result(shown)}{_log(shown.events)}")
    if isinstance(shown, StoredRun):
        return _framed("".join(summary(shown)) + parts.outcomes(shown.outcomes))
    if shown and isinstance(shown[0], StoredRun):
        more = f'<p class="note">{len(shown) - RUNS:,} more runs</p>' if len(shown) > RUNS else ""
        return _framed(listed(shown[:RUNS]) + more)
    return _framed(_log(shown))


def _framed(content: str) -> str:
    return f'<style>{parts.asset("page.css")}</style><div class="pyscrai">{content}</div>'


def _result(result: RunResult) -> str:
    items = [
        ("run", result.run),
        ("scenario", result.scenario),
        ("status", result.status),
        ("error", result.error),
        ("seed", str(result.seed)),
        ("size", f"{result.steps:,} steps, {len(result.events):,} events, {result.calls:,} calls"),
        ("tokens", parts.tokens(result.usage)),
        ("cost", parts.money(result.cost)),
        ("fingerprint", result.fingerprint),
    ]
    return parts.pairs(item for item in items if item[1]) + parts.outcomes(result.outcomes)


def _log(events: Iterable[Event]) -> str:
    """The transcript: its first events, and its last ones."""
    listed = list(events)
    if len(listed) <= EVENTS:
        return f'<ol class="log">{"".join(parts.log(listed, TEXT))}</ol>'
    half = EVENTS // 2
    first, last = ("".join(parts.log(some, TEXT)) for some in (listed[:half], listed[-half:]))
    left = f'<li class="step">… {len(listed) - 2 * half:,} events are left out …</li>'
    return f'<ol class="log">{first}{left}{last}</ol>'


class Follow(Observer):
    """Shows a run in a notebook while it is executed: what it is at, what it costs, and the last events.

    `await pyscrai_core.arun("talk.yaml", observers=["notebook"])`
    """

    @frozen
    class Config:
        """
        events
            how many of the last events are shown
        seconds
            how often the notebook is updated
        """

        events: int = 10
        seconds: float = 0.5

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        try:
            from IPython.display import HTML, display
        except ImportError as error:
            raise ConfigError(
                f"observer 'notebook': it shows a run in a notebook, and there is no IPython here ({error}); "
                "leave it out, or install it with: pip install ipykernel"
            ) from None
        self._html: Any = HTML
        self._display: Any = display
        self._handle: Any = None
        self._run, self._status = "", "running"
        self._step = self._count = self._calls = 0
        self._cost = Cost()
        self._last: deque[Event] = deque(maxlen=config.events)
        self._next = 0.0

    def on_run(self, run: str, status: RunStatus, result: RunResult | None) -> None:
        self._run, self._status = run, status
        self._update(result)

    def on_event(self, event: Event) -> None:
        self._step, self._count = event.step, event.seq
        self._last.append(event)
        self._update_soon()

    def on_call(self, call: CallRecord) -> None:
        if call.status == "answered" and call.kind == "complete":
            self._calls += 1
            self._cost += Cost.of(call.cost)
            self._update_soon()

    def _update_soon(self) -> None:
        if time.monotonic() >= self._next:
            self._update(None)

    def _update(self, result: RunResult | None) -> None:
        self._next = time.monotonic() + self.config.seconds
        content = self._html(_framed(self._content() + (f"{_result(result)}" if result else "")))
        if self._handle is None:
            self._handle = self._display(content, display_id=True)
        else:
            self._handle.update(content)

    def _content(self) -> str:
        items = [
            ("run", self._run),
            ("status", self._status),
            ("now", f"step {self._step:,}, {self._count:,} events, {self._calls:,} completions"),
            ("cost", parts.money(self._cost)),
        ]
        return f'{parts.pairs(items)}<ol class="log">{"".join(parts.log(self._last, TEXT))}</ol>'
