"""`pyscrai export`: runs as files for other tools."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options, output
from .completion import complete_exported, complete_extension, complete_label

if TYPE_CHECKING:
    from pyscrai_core import Event
    from pyscrai_records.store.runs import RecordedRun

#: Seconds after which, and in which intervals, it is shown how far an export is.
INTERVAL = 0.5


def _options(context: click.Context, option: click.Parameter, given: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` strings as a mapping; `a.b=1` is an option below another."""
    from pyscrai_core import ScenarioError
    from pyscrai_language.yaml import parse_scalar

    chosen: dict[str, Any] = {}
    for text in given:
        path, equals, value = text.partition("=")
        *above, last = path.strip().split(".")
        if not equals or not last or not all(above):
            raise click.BadParameter(f"{text!r}: expected KEY=VALUE, such as separator=tab")
        inner = chosen
        for key in above:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                raise click.BadParameter(f"{text!r}: {key!r} has a value already; give it once")
        try:
            inner[last] = parse_scalar(value)
        except ScenarioError as error:
            raise click.BadParameter(f"{text!r}: {error.mistakes[0].what}") from None
    return chosen


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN | EXPERIMENT]…", shell_complete=complete_exported)
@click.option(
    "--label",
    "labels",
    metavar="NAME=TEXT",
    multiple=True,
    callback=options.labels,
    shell_complete=complete_label,
    help="The runs with this label. Can be given more than once.",
)
@click.option(
    "--format",
    "name",
    required=True,
    metavar="NAME",
    help="The exporter, such as csv, or one of your own: ./FILE.py:CLASS.",
    shell_complete=complete_extension("exporter"),
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The folder to write into; created if it is missing.",
)
@click.option(
    "--set",
    "chosen",
    metavar="KEY=VALUE",
    multiple=True,
    callback=_options,
    help="An option of the exporter. Can be given more than once.",
)
@options.store_option
@options.trust_option
def export(
    runs: tuple[str, ...],
    labels: dict[str, str],
    name: str,
    out: Path,
    chosen: dict[str, Any],
    store: str | None,
    trust: bool,
) -> None:
    """Write runs in some format. `pyscrai plugins` lists the exporters.

    Name runs by their ids or an experiment by its name (default: the last run), or choose them by labels.

    \b
    Examples:
      pyscrai export --format csv --out tables
      pyscrai export 1f2e 77ab --format parquet --out tables
      pyscrai export apples --format duckdb --out study
      pyscrai export --label study=pilot --format csv --out tables --set separator=semicolon
    """
    from pyscrai_core.runtime import exporting
    from pyscrai_records.store.store import Store

    from .perform import gate_of, settings_for

    settings, _ = settings_for(store)
    # What is wrong with the exporter is said before anything is read.
    exporter = exporting.make_exporter(name, chosen, settings.host(), gate_of(trust))
    with Store.open(settings.store, create=False) as opened, opened.snapshot():
        found = exporting.find_runs(opened, runs, labels)
        for run in found:
            if run.status in ("running", "paused"):
                events = output.counted(run.count_events(), "event")
                output.note(f"run {run.id} is {run.status}: it is exported as it is now, with {events}")
        with _Progress(found):
            files = exporting.write(exporter, found, out)
    for file in files:
        output.echo(output.path(str(file)))


class _Progress:
    """Shows a person at a terminal how many events were read, while an export takes long."""

    def __init__(self, runs: Sequence[RecordedRun]) -> None:
        self._next = time.monotonic() + INTERVAL
        self._shown = False
        self._runs = len(runs)
        if sys.stderr.isatty():
            for number, run in enumerate(runs):
                run.events = self._watched(run, number)  # type: ignore[method-assign]

    def _watched(self, run: RecordedRun, number: int) -> Any:
        events = run.events

        def watched(after: int = 0) -> Iterator[Event]:
            for count, event in enumerate(events(after)):
                if not count % 1000 and time.monotonic() >= self._next:
                    self._next = time.monotonic() + INTERVAL
                    of = f"run {number + 1:,} of {self._runs:,}: " if self._runs > 1 else ""
                    sys.stderr.write(f"\r\x1b[K{of}{count:,} events")
                    sys.stderr.flush()
                    self._shown = True
                yield event

        return watched

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
