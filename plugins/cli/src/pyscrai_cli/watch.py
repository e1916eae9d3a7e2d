"""`pyscrai watch`: the live display of a run that another process executes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import click

from . import options, output

if TYPE_CHECKING:
    from pyscrai_core.config import Settings
    from pyscrai_records.store.runs import RecordedRun
    from pyscrai_records.store.store import Store

    from .perform import Display

#: So many events are shown of what happened before, unless a person wants others.
BEFORE = 10


@click.command()
@options.run_argument
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    default=BEFORE,
    metavar="N",
    help=f"Begin with the last N events that are there.  [default: {BEFORE}]",
)
@options.store_option
def watch(run: str, lines: int, store: str | None) -> int:
    """Watch a run that another process executes, until it ends. `last` is the last one that is executed.

    Shows what is recorded: events, answered calls, what they cost. Ctrl-C ends the watching, not the run.
    The exit status is that of the run, and 1 if the run is removed meanwhile.

    \b
    Examples:
      pyscrai watch
      pyscrai watch 1f2e --lines 50
      pyscrai watch 1f2e | grep Mara
    """
    from pyscrai_core.runtime.inputs import meant
    from pyscrai_records.store.store import Store

    from .follow import Removed
    from .perform import settings_for

    settings, hints = settings_for(store)
    with Store.open(settings.store, create=False) as opened:
        found = meant(opened, run)
        try:
            ended = asyncio.run(_watch(opened, found, lines, settings))
        except KeyboardInterrupt:
            output.note(f"{found.id} is not watched any more; it goes on")
            return output.EXIT["interrupted"]
        except Removed as error:
            output.fail(str(error))
            return 1
        return _tell_end(ended, hints)


async def _watch(store: Store, run: RecordedRun, lines: int, settings: Settings) -> RecordedRun:
    from .follow import Follower

    display = _display(run, max(0, run.count_events() - lines), settings)
    follower = Follower(store, run, display)
    with display:
        return await follower.until_the_end()


def _display(run: RecordedRun, after: int, settings: Settings) -> Display:
    from pyscrai_core.scenario.plan import most_steps

    from .progress import Plan
    from .screen import Screen
    from .transcript import Plain

    out = output.stdout()
    if not output.can_move(out):
        return Plain(out, after)
    plan = Plan.of(run).with_steps(most_steps(run, settings.host()))
    screen = Screen(out, lambda _: plan, after, elsewhere=True)
    since = run.owner.since if run.owner else run.created
    screen.progress.began -= (run.ended or time.time()) - since
    return screen


def _tell_end(run: RecordedRun, hints: output.Hints) -> int:
    """Say how the run ended; its exit status."""
    if run.error:
        output.fail(hints.filled(run.error, run.id), label="error" if run.status == "failed" else run.status)
    elif run.status == "interrupted":
        output.fail(f"the process that executed {run.id} has ended", label="interrupted")
    output.summary(
        run.id, run.status, run.fingerprint, steps=run.steps, events=run.count_events(),
        calls=output.counted(run.count_calls(), "call"), usage=run.usage(), cost=run.cost(),
        outcomes=run.outcomes,
    )  # fmt: skip
    output.pairs(hints.next(run.id, run.status, run.error))
    return output.EXIT[run.status]
