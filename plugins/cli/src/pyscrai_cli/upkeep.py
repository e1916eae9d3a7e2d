"""`pyscrai runs rm`, `gc`, `verify`, `export-bundle` and `import-bundle`: what is done with recorded runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options, output

if TYPE_CHECKING:
    from pyscrai_core.store.runs import StoredRun


@click.command()
@click.argument("refs", nargs=-1, required=True, metavar="RUN…")
@click.option("-y", "--yes", is_flag=True, help="Ask nothing.")
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
    from pyscrai_core.errors import ConfigError
    from pyscrai_core.store.maintenance import remove_runs
    from pyscrai_core.store.store import Store

    from .perform import settings_for

    settings, hints = settings_for(store)
    with Store.open(settings.store, create=False) as opened:
        chosen = {run.id: run for run in map(opened.run, refs)}
        if not yes:
            if not (sys.stdin.isatty() and sys.stderr.isatty()):
                raise ConfigError(
                    "runs rm: nobody is there to be asked, expected a terminal; give --yes to remove "
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


def _told(run: StoredRun) -> str:
    """A run in a line."""
    events = output.counted(run.count_events(), "event")
    return f"  {run.id}  {output.shown(run.scenario)}  {output.status(run.status)}  {events}"


@click.command()
@options.store_option
@options.json_option
def gc(store: str | None, as_json: bool) -> None:
    """Remove the messages that no run needs any more.

    The file gives their room back.

    \b
    Examples:
      pyscrai runs gc
      pyscrai runs gc --store study.db
    """
    from pyscrai_core.store.maintenance import collect
    from pyscrai_core.store.store import Store

    from .perform import settings_for

    with Store.open(settings_for(store)[0].store, create=False) as opened:
        collected = collect(opened)
        size = opened.path.stat().st_size
    if as_json:
        output.print_json({"messages": collected.messages, "bytes": collected.bytes, "size": size})
    else:
        what = f"{output.counted(collected.messages, 'message')} of {output.counted(collected.bytes, 'byte')}"
        output.echo(f"removed {what}; the store has {output.counted(size, 'byte')} now")


@click.command()
@click.argument("refs", nargs=-1, metavar="[RUN]…")
@options.store_option
@options.json_option
def verify(refs: tuple[str, ...], store: str | None, as_json: bool) -> int:
    """Check that runs, and the store's file, are whole.

    All runs, if none is named; those that are being executed are left out. Every event, call, message and
    hash is read. What is wrong is told in a line each, and the exit status is 1.

    \b
    Examples:
      pyscrai runs verify
      pyscrai runs verify 1f2e --json
    """
    from pyscrai_core.store import maintenance as upkeep
    from pyscrai_core.store.store import Store

    from .perform import settings_for

    fine: list[str] = []
    problems: list[str] = []

    def say(problem: str) -> None:
        problems.append(problem)
        if not as_json:
            output.echo(output.shown(problem))

    settings, _ = settings_for(store)
    with Store.open(settings.store, create=False) as opened, opened.snapshot() as connection:
        executed = set(upkeep.executed(opened))
        every = 'SELECT "id" FROM "runs" ORDER BY "created" DESC, "id"'
        chosen = [opened.run(ref).id for ref in refs] or [run for (run,) in connection.execute(every)]
        for problem in upkeep.check_store(connection):
            say(problem)
        changed, damaged = upkeep.check_messages(connection)
        for problem in changed:
            say(problem)
        left = [run for run in dict.fromkeys(chosen) if run in executed]
        for run in dict.fromkeys(chosen):
            if run not in executed:
                before = len(problems)
                for problem in upkeep.check_run(connection, run):
                    say(problem)
                fine += [run] if len(problems) == before and run not in damaged else []
    if as_json:
        output.print_json({"fine": fine, "executed": left, "problems": problems})
        return 1 if problems else 0
    for run in left:
        output.echo(f"run {run}: it is being executed, and was left out; check it when it has ended")
    output.echo(f"{output.counted(len(fine), 'run')}: {click.style('fine', fg='green')}")
    return 1 if problems else 0


@click.command("export-bundle")
@click.argument("refs", nargs=-1, metavar="[RUN]…")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The file to write."
)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@options.store_option
@options.json_option
def export_bundle(refs: tuple[str, ...], out: Path, force: bool, store: str | None, as_json: bool) -> None:
    """Write runs into one file for a colleague to replay.

    The last run, if none is named. The file has everything that was said, asked and answered, and no keys.

    \b
    Examples:
      pyscrai runs export-bundle --out talk.pyscrai
      pyscrai runs export-bundle 1f2e 77ab --out study.pyscrai --force
    """
    from pyscrai_core.store import bundle
    from pyscrai_core.store.store import Store

    from .perform import settings_for

    with Store.open(settings_for(store)[0].store, create=False) as opened:
        runs = [opened.run(ref).id for ref in refs or ("last",)]
        members = bundle.export_bundle(opened, runs, out, force=force)
    counts = {name: members[name].rows for name in ("runs", "events", "calls", "messages")}
    size = out.stat().st_size
    if as_json:
        output.print_json({"file": str(out), "bytes": size, **counts})
        return
    held = ", ".join(output.counted(count, name[:-1]) for name, count in counts.items())
    output.echo(f"{output.path(str(out))}: {held}; {output.counted(size, 'byte')}")
    output.pairs([("read it", f"pyscrai runs import-bundle {output.path(str(out))}")])


@click.command("import-bundle")
@click.argument("file", type=click.Path(path_type=Path))
@options.store_option
@options.json_option
def import_bundle(file: Path, store: str | None, as_json: bool) -> None:
    """Read the runs of a bundle into the store.

    All of them or none. Nothing of them is executed.

    \b
    Examples:
      pyscrai runs import-bundle study.pyscrai
      pyscrai runs import-bundle study.pyscrai --store study.db
    """
    from pyscrai_core.store.bundle import Bundle
    from pyscrai_core.store.store import Store

    from .perform import settings_for

    settings, hints = settings_for(store)
    with Bundle(file) as bundle, Store.open(settings.store) as opened:
        bundle.write(opened)
        runs = [opened.run(run) for run in bundle.runs]
        if as_json:
            output.print_json(
                [{"run": run.id, "status": run.status, "fingerprint": run.fingerprint} for run in runs]
            )
            return
        for run in runs:
            output.echo(_told(run).strip())
            output.pairs([("check it", hints.command("replay", run.id))], indent="  ")
