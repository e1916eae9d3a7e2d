"""`pyscrai runs rm` and `pyscrai runs gc`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from . import options, output
from .completion import complete_run

if TYPE_CHECKING:
    from pyscrai_records.store.runs import RecordedRun


@click.command()
@click.argument("refs", nargs=-1, required=True, metavar="RUN…", shell_complete=complete_run)
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@options.store_option
@options.json_option
def rm(refs: tuple[str, ...], yes: bool, store: str | None, as_json: bool) -> int:
    """Remove runs, with all that was recorded of them. This cannot be undone.

    Messages that other runs may share stay in the store until `pyscrai runs gc`.

    \b
    Examples:
      pyscrai runs rm 1f2e
      pyscrai runs rm 1f2e 77ab --yes
    """
    from pyscrai_core import ConfigError
    from pyscrai_records.store.maintenance import remove_runs
    from pyscrai_records.store.store import Store

    from .perform import settings_for

    settings, hints = settings_for(store)
    with Store.open(settings.store, create=False) as opened:
        chosen = {run.id: run for run in map(opened.run, refs)}
        if not yes:
            if not (sys.stdin.isatty() and sys.stderr.isatty()):
                raise ConfigError(
                    "runs rm: there is no terminal to confirm on; give --yes to remove "
                    f"{output.counted(len(chosen), 'run')} for good"
                )
            for run in chosen.values():
                output.note(_told(run))
            if not click.confirm(f"Remove {output.counted(len(chosen), 'run')} for good?", err=True):
                output.note("nothing was removed")
                return 1
        remove_runs(opened, list(chosen))
    if as_json:
        output.print_json({"removed": list(chosen)})
    else:
        output.echo(f"removed {', '.join(chosen)}")
        output.echo(f"their messages stay until: {hints.command('runs', 'gc')}")
    return 0


def _told(run: RecordedRun) -> str:
    """A run in a line."""
    events = output.counted(run.count_events(), "event")
    return f"  {run.id}  {output.shown(run.scenario)}  {output.status(run.status)}  {events}"


@click.command()
@options.store_option
@options.json_option
def gc(store: str | None, as_json: bool) -> None:
    """Remove the messages that no run needs any more.

    The store's file becomes smaller.

    \b
    Examples:
      pyscrai runs gc
      pyscrai runs gc --store study.db
    """
    from pyscrai_records.store.maintenance import collect_garbage
    from pyscrai_records.store.store import Store

    from .perform import settings_for

    with Store.open(settings_for(store)[0].store, create=False) as opened:
        collected = collect_garbage(opened)
        size = opened.path.stat().st_size
    if as_json:
        output.print_json({"messages": collected.messages, "bytes": collected.bytes, "size": size})
    else:
        what = f"{output.counted(collected.messages, 'message')} of {output.counted(collected.bytes, 'byte')}"
        output.echo(f"removed {what}; the store has {output.counted(size, 'byte')} now")
