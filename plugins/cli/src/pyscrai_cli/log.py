"""`pyscrai log`: what happened in a run, also while it happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from . import options, output
from .paging import paged

if TYPE_CHECKING:
    from pyscrai_core import Event
    from pyscrai_records.store.runs import RecordedRun
    from pyscrai_records.store.store import Store

#: So many lines of a log are written at once.
BATCH = 500


@click.command()
@options.run_argument
@click.option("--text", is_flag=True, help="Print a transcript to read instead of JSON.")
@click.option(
    "-f", "--follow", is_flag=True, help="Go on with events as they are recorded, until the run ends."
)
@click.option("--draws", is_flag=True, help="Print what was drawn of closed choices, with the probabilities.")
@options.pager_option
@options.store_option
def log(run: str, text: bool, follow: bool, draws: bool, pager: bool, store: str | None) -> int:
    """Print a run's log, one JSON object a line: the canonical log.

    With --draws, each line is a draw of the kernel instead: its position, the field, the value, and the
    probabilities of the options (see the README).

    With --follow, the command ends with the run, which another process executes. Its exit status is 1 if the
    run is removed meanwhile.

    \b
    Examples:
      pyscrai log | head
      pyscrai log 1f2e --text
      pyscrai log --follow | jq 'select(.kind == "offer")'
      pyscrai log --draws --text
    """
    from pyscrai_core.config import load_settings
    from pyscrai_core.runtime.inputs import meant
    from pyscrai_records.store.store import Store

    if draws and follow:
        raise click.UsageError("--draws and --follow: expected one of them; print draws afterwards")
    write = _write_text if text else _write_lines
    with Store.open(load_settings(store=store).store, create=False) as opened:
        if follow:
            return _follow(opened, meant(opened, run), write)
        with paged(pager):
            if draws:
                _write_draws(opened.run(run), text)
                return 0
            batch: list[Event] = []
            for event in opened.run(run).events():
                batch.append(event)
                if len(batch) == BATCH:
                    write(batch)
                    batch.clear()
            write(batch)
    return 0


def _write_lines(events: list[Event]) -> None:
    output.write_bytes(b"".join(event.line() + b"\n" for event in events))


def _write_text(events: list[Event]) -> None:
    from .transcript import line

    with output.writing("stdout"):
        for event in events:
            output.stdout().write(line(event) + "\n")
        output.stdout().flush()


def _write_draws(run: RecordedRun, text: bool) -> None:
    import orjson

    from .draws import all_draws, text_of

    for draw in all_draws(run):
        if text:
            output.echo(f"{output.shown(draw['agent'])}, step {draw['step']}: {text_of(draw)}")
        else:
            output.write_bytes(orjson.dumps(draw) + b"\n")
    if "kernel" not in (run.manifest.get("draws") or {}).values():
        output.note("the kernel draws nothing in this run: no provider tells probabilities, or they draw")


def _follow(store: Store, run: RecordedRun, write: Callable[[list[Event]], None]) -> int:
    """Print events as they are recorded; the exit status."""
    from .follow import PERIOD, Follower, Removed, Taken

    taken = Taken()
    follower = Follower(store, run, taken)
    try:
        ended = False
        while not ended:
            try:
                ended = follower.look()
            finally:
                write(taken.take())
            if not ended:
                time.sleep(PERIOD)
    except Removed as error:
        output.fail(str(error))
        return 1
    if follower.status != "completed":
        output.note(f"{run.id} {output.status(str(follower.status))}")
    return 0
