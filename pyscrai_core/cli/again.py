"""`pyscrai resume` and `pyscrai replay`: recorded runs, executed again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options, output

if TYPE_CHECKING:
    from ..contracts import Observer
    from ..records import RunResult
    from ..runtime.run import Run


@click.command()
@options.run_argument
@options.changes_option
@options.store_option
@options.watching
def resume(
    run: str,
    changes: dict[str, Any],
    store: str | None,
    as_json: bool,
    quiet: bool,
    log_file: Path | None,
) -> int:
    """Go on with an unfinished run; nothing is paid for twice.

    The run is executed again from its start. Answers that were journaled are not asked for again, so it is
    soon where it was.

    \b
    Examples:
      pyscrai resume
      pyscrai resume 1f2e --set limits.calls=500
      pyscrai resume --set agents.Mara.limits.money=1.50 --set providers.default.concurrency=4
    """
    from .. import api
    from ..store.store import Store
    from .execute import View, perform, report, settings_for

    settings, hints = settings_for(store)
    host = settings.host()
    view = View(as_json, quiet, log_file)
    configured = api.configured_observers(settings, host)
    with Store.open(settings.store, create=False) as opened:
        recorded = opened.run(run)
        before = recorded.count_events()
        calls = recorded.count_calls()

        async def work(observers: Sequence[Observer], begin: Callable[[Run], None]) -> RunResult:
            def begun(run: Run) -> None:
                if not (quiet or as_json):
                    so_far = f"{output.counted(before, 'event')} and {output.counted(calls, 'call')}"
                    output.echo(f"resuming {recorded.id}: {so_far} are there")
                begin(run)

            return await api.again(
                opened,
                recorded.id,
                host,
                replay=False,
                set=changes,
                prices=settings.prices,
                observers=[*observers, *configured],
                begin=begun,
            )

        agents = list(recorded.manifest["scenario"]["agents"])
        result = perform(work, view=view, agents=agents, hints=hints, after=before)
    return report(result, settings, hints, view)


@click.command()
@options.run_argument
@options.store_option
@options.json_option
def replay(run: str, store: str | None, as_json: bool) -> int:
    """Execute a run again from its record alone, and compare.

    Nothing is asked and nothing written; the plugins of its providers need not be installed. Every event is
    compared with the recorded one; the first that differs is an error.

    \b
    Examples:
      pyscrai replay
      pyscrai replay 1f2e --json
    """
    from .. import api
    from ..errors import Divergence
    from ..store.store import Store
    from .execute import View, perform, settings_for

    settings, hints = settings_for(store)
    with Store.open(settings.store, create=False) as opened:
        recorded = opened.run(run)

        async def work(observers: Sequence[Observer], begin: Callable[[Run], None]) -> RunResult:
            return await api.again(
                opened, recorded.id, settings.host(), replay=True, observers=observers, begin=begin
            )

        result = perform(work, view=View(quiet=True), agents=(), hints=hints)
        if result.status == "interrupted" and recorded.status != "interrupted":
            output.fail(f"replay of {recorded.id}: nothing is decided", label="interrupted")
            return output.EXIT["interrupted"]
        events, calls = recorded.count_events(), recorded.count_calls()
        # Also where the execution ended early without an error of its own.
        if len(result.events) != events or result.status != recorded.status:
            raise Divergence(
                f"run {recorded.id}: this execution is {result.status} after "
                f"{output.counted(len(result.events), 'event')}, the record is {recorded.status} with "
                f"{events:,}{f': {result.error}' if result.error else ''}"
            )
    if as_json:
        output.print_json({**result.to_dict(), "identical": True})
    else:
        output.echo(
            f"{recorded.id}: {click.style('identical', fg='green')}; {output.counted(events, 'event')} and "
            f"{output.counted(calls, 'call')} compared, nothing was asked"
        )
        output.pairs([("fingerprint", result.fingerprint[: output.SHORT])])
    return 0
