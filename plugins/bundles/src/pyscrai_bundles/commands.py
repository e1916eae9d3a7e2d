"""`pyscrai runs verify`, `export-bundle` and `import-bundle`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
import orjson

from pyscrai_core import Divergence, InputError, PyscraiError, api
from pyscrai_core.config import Settings, load_settings
from pyscrai_records.base.stdout import results_alone
from pyscrai_records.secret import redact
from pyscrai_records.store.maintenance import list_executing
from pyscrai_records.store.store import Store

from .bundle import Bundle
from .bundle import export_bundle as write_bundle
from .checks import check_messages, check_run, check_store

store_option = click.option(
    "--store",
    metavar="URL",
    help="Where runs are kept: a path or sqlite:///PATH.  [default: as pyscrai.toml or PYSCRAI_STORE say, "
    "else .pyscrai/runs.db]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")


@click.command()
@click.argument("refs", nargs=-1, metavar="[RUN]…")
@store_option
@json_option
def verify(refs: tuple[str, ...], store: str | None, as_json: bool) -> int:
    """Check that runs and their store are whole.

    Without RUN, all runs are checked. Runs that are being executed are left out. Every event, call, message
    and hash is read. Runs that were imported are replayed too: their events must follow from their answers.
    Nothing is asked, and their own code is executed only if you approved it. Each problem is a line; if there
    is one, or a run that cannot be replayed, the exit status is 1.

    \b
    Examples:
      pyscrai runs verify
      pyscrai runs verify 1f2e --json
    """
    fine: list[str] = []
    problems: list[str] = []

    def report(problem: str) -> None:
        problems.append(problem)
        if not as_json:
            _print(problem)

    settings = load_settings(store=store)
    with Store.open(settings.store, create=False) as opened, opened.snapshot() as connection:
        running = set(list_executing(opened))
        every = 'SELECT "id" FROM "runs" ORDER BY "created" DESC, "id"'
        chosen = [opened.run(ref).id for ref in refs] or [run for (run,) in connection.execute(every)]
        chosen = list(dict.fromkeys(chosen))
        for problem in check_store(connection):
            report(problem)
        changed, damaged = check_messages(connection)
        for problem in changed:
            report(problem)
        for run in chosen:
            if run not in running:
                before = len(problems)
                for problem in check_run(connection, run):
                    report(problem)
                fine += [run] if len(problems) == before and run not in damaged else []
        imported = {run for (run,) in connection.execute('SELECT "run" FROM "imports"')}
    left_out = [run for run in chosen if run in running]
    unproven: list[str] = []
    for run in [run for run in fine if run in imported]:
        with results_alone(as_json):
            why = _replayed(run, settings)
        if why:
            fine.remove(run)
            told = str(why) if str(why).startswith(f"run {run}") else f"run {run}: {why}"
            (unproven if isinstance(why, InputError) else problems).append(told)
            if not as_json:
                _print(told)
    if as_json:
        _print_json({"fine": fine, "executed": left_out, "problems": problems, "not replayed": unproven})
    else:
        for run in left_out:
            _print(f"run {run}: it is being executed, and was left out; check it when it has ended")
        click.echo(f"{_count(len(fine), 'run')}: {click.style('fine', fg='green')}")
    return 1 if problems or unproven else 0


def _replayed(run: str, settings: Settings) -> Exception | None:
    """Why the replay of a run is not what was recorded (`InputError`: why it cannot be replayed)."""
    try:
        with Store.open(settings.store, create=False) as opened, opened.snapshot():
            recorded = opened.run(run)
            result = api.replay(run, store=settings.store)
            if (result.status, len(result.events)) != (recorded.status, recorded.count_events()):
                return Divergence(
                    f"its replay is {result.status} after {_count(len(result.events), 'event')}"
                )
    except PyscraiError as error:
        return error
    return None


@click.command("export-bundle")
@click.argument("refs", nargs=-1, metavar="[RUN]…")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The file to write."
)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@store_option
@json_option
def export_bundle(refs: tuple[str, ...], out: Path, force: bool, store: str | None, as_json: bool) -> None:
    """Write runs into one file for a colleague to replay.

    Without RUN, the last run is written. The file holds all prompts, answers and events, and no keys.

    \b
    Examples:
      pyscrai runs export-bundle --out talk.pyscrai
      pyscrai runs export-bundle 1f2e 77ab --out study.pyscrai --force
    """
    with Store.open(load_settings(store=store).store, create=False) as opened:
        runs = [opened.run(ref).id for ref in refs or ("last",)]
        members = write_bundle(opened, runs, out, force=force)
    counts = {name: members[name].rows for name in ("runs", "events", "calls", "messages")}
    size = out.stat().st_size
    if as_json:
        _print_json({"file": str(out), "bytes": size, **counts})
        return
    held = ", ".join(_count(count, name[:-1]) for name, count in counts.items())
    _print(f"{out}: {held}; {_count(size, 'byte')}")
    _print(f"read it  pyscrai runs import-bundle {shlex.quote(str(out))}")


@click.command("import-bundle")
@click.argument("file", type=click.Path(path_type=Path))
@store_option
@json_option
def import_bundle(file: Path, store: str | None, as_json: bool) -> None:
    """Read the runs of a bundle into the store: all of them, or none.

    Nothing of them is executed.

    \b
    Examples:
      pyscrai runs import-bundle study.pyscrai
      pyscrai runs import-bundle study.pyscrai --store study.db
    """
    target = load_settings(store=store).store
    option = f" --store {shlex.quote(target)}" if target != load_settings(tell=False).store else ""
    with Bundle(file) as bundle, Store.open(target) as opened:
        bundle.write(opened)
        runs = [opened.run(run) for run in bundle.runs]
        if as_json:
            _print_json(
                [{"run": run.id, "status": run.status, "fingerprint": run.fingerprint} for run in runs]
            )
            return
        for run in runs:
            _print(f"{run.id}  {run.scenario}  {run.status}  {_count(run.count_events(), 'event')}")
            _print(f"verify  pyscrai replay {run.id}{option}", indent="  ")


def _count(number: int, thing: str) -> str:
    """`1 call`, `1,200 calls`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _print(text: str, indent: str = "") -> None:
    """A line on stdout. Whatever a terminal would obey is left out: a bundle comes from somebody else."""
    visible = "".join(one for one in text.replace("\n", " ") if one.isprintable())
    click.echo(indent + redact(visible))


def _print_json(value: Any) -> None:
    click.echo(redact(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()))
