"""`pyscrai measure` and `pyscrai judge`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pyscrai_core import ConfigError
from pyscrai_core.config import load_settings
from pyscrai_core.scenario.trust import Gate
from pyscrai_records.base.stdout import results_alone
from pyscrai_records.base.time_limit import run_alone
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store

from .choosing import choose, read_labels
from .output import as_csv, as_json, as_table, visible, warn, write

Command = Callable[..., Any]

_OPTIONS = (
    click.argument("refs", nargs=-1, metavar="[RUN]…"),
    click.option(
        "--label",
        "labels",
        metavar="NAME=TEXT",
        multiple=True,
        callback=read_labels,
        help="Take all completed runs with this label. Can be given more than once.",
    ),
    click.option("--experiment", metavar="NAME", help="Take all completed trials of this experiment."),
    click.option(
        "--format",
        "form",
        type=click.Choice(["terminal", "json", "csv"]),
        default="terminal",
        show_default=True,
        help="The form of the result.",
    ),
    click.option("--json", "as_json_", is_flag=True, help="The same as --format json."),
    click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the result to FILE."),
    click.option(
        "--store",
        metavar="URL",
        help="Where runs are kept: a path or sqlite:///PATH.  [default: as pyscrai.toml or PYSCRAI_STORE "
        "say, else .pyscrai/runs.db]",
    ),
)


EXIT = {"completed": 0, "failed": 1, "stopped": 3, "interrupted": 130}


def _shared(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@_shared
@click.option("--measure", "names", metavar="NAME", multiple=True, help="Compute only this measure.")
@click.option("--agent", "agents", metavar="NAME", multiple=True, help="Count only this agent in.")
@click.option(
    "--kind", "kinds", metavar="KIND", multiple=True, default=("say",), show_default=True,
    help="The kind of the events that have words, as `text`.",
)  # fmt: skip
def measure(
    refs: tuple[str, ...],
    labels: dict[str, str],
    experiment: str | None,
    form: str,
    as_json_: bool,
    out: Path | None,
    store: str | None,
    names: tuple[str, ...],
    agents: tuple[str, ...],
    kinds: tuple[str, ...],
) -> None:
    """Measure the words, the networks and the turn-taking of runs.

    Without RUN, the last run is measured. Options that can be repeated add to each other.

    \b
    Examples:
      pyscrai measure
      pyscrai measure 1f2e --measure distinct_2 --measure turn_gini
      pyscrai measure --label arm=control --format csv --out control.csv
    """
    from .measuring import check_measures
    from .measuring import measure as measured

    check_measures(names, "--measure")
    labels |= {"experiment": experiment} if experiment else {}
    form = "json" if as_json_ else form
    rows = []
    with Store.open(load_settings(store=store).store, create=False) as opened:
        runs, notes = choose(opened, refs, labels, what="measured")
        for run in runs:
            found = measured(run, names=names, kinds=kinds, agents=agents)
            rows += [{**row.to_dict(), "scenario": run.scenario, "labels": run.labels} for row in found]
            if not any(event.kind in kinds for event in run.events()):
                notes.append(
                    f"run {run.id}: it has no event {' or '.join(kinds)}: there is nothing to measure"
                )
    for note in notes:
        warn(note)
    if form == "json":
        text = as_json(rows)
    elif form == "csv":
        text = as_csv(_with_labels(rows))
    else:
        text = "\n".join(_table(run, [row for row in rows if row["run"] == run.id]) for run in runs)
    write(text, out)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@_shared
@click.option("--estimate", is_flag=True, help="Say what judging will need, and ask nothing.")
@click.option(
    "--trust", is_flag=True, help="Approve all that the rubric demands: hosts, secrets, files elsewhere."
)
@click.option("--yes", is_flag=True, help="Ask nothing before very many calls, or a large cost.")
def judge(
    file: Path,
    refs: tuple[str, ...],
    labels: dict[str, str],
    experiment: str | None,
    form: str,
    as_json_: bool,
    out: Path | None,
    store: str | None,
    estimate: bool,
    trust: bool,
    yes: bool,
) -> int:
    """Have models judge runs by the rubric in FILE, and show the scores and how far the judges agree.

    What is judged already is not asked again. Interrupt it with Ctrl-C, or kill it: the same command
    continues.

    \b
    Examples:
      pyscrai judge politeness.yaml last
      pyscrai judge politeness.yaml --experiment markup --estimate
      pyscrai judge politeness.yaml --label arm=control --format csv --out ratings.csv
    """
    from .api import ajudge, counted
    from .report import as_text, rating_rows

    labels |= {"experiment": experiment} if experiment else {}
    form = "json" if as_json_ else form

    def confirm(question: str) -> bool:
        if yes:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise ConfigError(f"{file}: {question}; nothing was asked; if you mean it, add --yes")
        return click.confirm(f"{question}. Continue?", err=True)

    work = ajudge(
        file, refs, labels=labels, store=store, gate=_gate(trust), confirm=confirm, warn=warn,
        only_estimate=estimate, moved=_progress,
    )  # fmt: skip
    with results_alone(form != "terminal"):
        found = run_alone(work)
    if form == "json":
        text = as_json(found.to_dict())
    elif form == "csv":
        text = as_csv(_with_labels(rating_rows(found)))
    else:
        text = as_text(found)
    write(text, out)
    for failure in found.failures[:5]:
        warn(failure)
    if found.status != "completed":
        click.echo(f"not judged: {counted(len(found.left), 'run')}; continue with the same command", err=True)
    return EXIT[found.status]


def _progress(ended: int, runs: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{ended}/{runs} runs", nl=ended == runs, err=True)


def _gate(trust: bool) -> Gate:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return Gate(trust)
    return Gate(trust, lambda question: click.confirm(question, err=True))


def _with_labels(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with a column for each label."""
    names = dict.fromkeys(name for row in rows for name in row["labels"])
    return [
        {key: value for key, value in row.items() if key != "labels"}
        | {f"label.{name}": row["labels"].get(name) for name in names}
        for row in rows
    ]


def _table(run: RecordedRun, rows: list[dict[str, Any]]) -> str:
    """The labels of a run, and its measures: a row for each, a column for the whole and for each agent."""
    agents = list(dict.fromkeys(row["agent"] for row in rows if row["agent"]))
    values = {(row["measure"], row["agent"]): row["value"] for row in rows if not row["to"]}
    measures = dict.fromkeys(name for name, _ in values)
    labels = ", ".join(f"{name}={text}" for name, text in sorted(run.labels.items()))
    text = f"{visible(labels)}\n" if labels else ""
    text += as_table(
        [f"run {run.id}", "all", *agents],
        [[name, *(values.get((name, agent), "") for agent in ("", *agents))] for name in measures],
    )
    after = [row for row in rows if row["to"]]
    if after:
        counts = {(row["agent"], row["to"]): row["value"] for row in after}
        text += "\n" + as_table(
            ["followed by", *agents], [[one, *(counts[one, other] for other in agents)] for one in agents]
        )
    return text
