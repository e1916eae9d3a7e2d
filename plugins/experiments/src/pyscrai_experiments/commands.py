"""`pyscrai experiment`: run, report, plan, power, extend, export."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
import orjson

from pyscrai_core import ConfigError
from pyscrai_core.config import Settings, load_settings
from pyscrai_core.scenario.trust import Gate
from pyscrai_records.base.stdout import results_alone
from pyscrai_records.base.time_limit import run_alone
from pyscrai_records.secret import redact
from pyscrai_records.store.opening import path_of
from pyscrai_records.store.store import Store

from .experiment import Experiment, read_experiment
from .shown import Shown

if TYPE_CHECKING:
    from .perform import Summary

Command = Callable[..., Any]

EXIT = {"completed": 0, "failed": 1, "stopped": 3, "interrupted": 130}
#: US dollars; an experiment that is expected to cost more is only run after a question.
ASK_ABOVE = 10.0

file_argument = click.argument("file", type=click.Path(path_type=Path))
store_option = click.option(
    "--store",
    metavar="URL",
    help="Where runs are kept: a path or sqlite:///PATH.  [default: as pyscrai.toml or PYSCRAI_STORE say, "
    "else .pyscrai/runs.db]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")
trust_option = click.option(
    "--trust", is_flag=True, help="Approve all that the arms demand: files elsewhere, hosts, secrets, code."
)
yes_option = click.option("--yes", is_flag=True, help="Ask nothing before very many trials, or a large cost.")


def _observers(context: click.Context, option: click.Parameter, given: Sequence[str]) -> list[dict[str, Any]]:
    from pyscrai_core.runtime.session import read_observers

    try:
        return read_observers(given)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None


observe_option = click.option(
    "--observe",
    multiple=True,
    callback=_observers,
    metavar="NAME[:KEY=VALUE,…]",
    help="An observer that watches each trial, with its options, beside those of pyscrai.toml. It replaces "
    "one with the same name. Can be given more than once.",
)


@click.group()
def experiment() -> None:
    """Run many variants of a scenario, and compare them.

    An experiment is a YAML file. It names a scenario, the arms, the number of replicates, and the planned
    comparisons.

    \b
    Examples:
      pyscrai experiment plan market-experiment.yaml
      pyscrai experiment run market-experiment.yaml
      pyscrai experiment report market-experiment.yaml
    """


def _running(command: Command) -> Command:
    for option in (json_option, yes_option, trust_option, store_option):
        command = option(command)
    return command


@experiment.command()
@file_argument
@click.option("--retry-failed", is_flag=True, help="Run trials again that failed before.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@observe_option
@_running
def run(file: Path, **options: Any) -> int:
    """Run an experiment, or what is left of it.

    Interrupt it with Ctrl-C, or kill it: the same command continues, and no answer is paid for twice.
    """
    return _run(file, **options)


@experiment.command()
@file_argument
@click.option("--retry-failed", is_flag=True, help="Run trials again that failed before.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@observe_option
@_running
def extend(file: Path, **options: Any) -> int:
    """Add the arms and replicates that the file has by now, and run only what is new.

    Comparisons of extended experiments are exploratory: whoever adds trials could see the first ones.
    """
    return _run(file, extend=True, **options)


@experiment.command()
@file_argument
@click.argument("action", type=click.Choice(["status", "pause", "continue", "limits", "retry"]))
@click.argument("limits", required=False, metavar="[LIMITS]")
@store_option
def control(file: Path, action: str, limits: str | None, store: str | None) -> None:
    """Control an experiment while another process runs it; print its status as JSON.

    \b
    pause     begin no further trial, and pause those under way before their next step
    continue  go on
    limits    change limits: a JSON object, or - to read it from stdin
    retry     run trials that failed again, when the others are over
    status    change nothing

    \b
    Examples:
      pyscrai experiment control market.yaml pause
      pyscrai experiment control market.yaml limits '{"providers": {"default": {"requests_per_minute": 30}}}'
    """
    from .control import control as tell

    found = read_experiment(file, confirm=lambda question: True)
    text = sys.stdin.read() if limits == "-" else limits
    with Store.open(load_settings(store=store).store, create=False) as opened:
        _print_json(tell(opened, found.name, action, text, file=found.path))


@experiment.command()
@file_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "json", "csv", "markdown", "html"]),
    default="terminal",
    show_default=True,
    help="The form of the report; csv is a table of all trials.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it to FILE.")
@store_option
def report(file: Path, form: str, out: Path | None, store: str | None) -> None:
    """Report what an experiment came to, so far."""
    from .forms import render

    found = read_experiment(file, confirm=lambda question: True)
    with Store.open(load_settings(store=store).store, create=False) as opened:
        text = render(found, opened, form)
    _write(text, out)


@experiment.command()
@file_argument
@click.option(
    "--pilot", type=click.IntRange(1), metavar="N", help="Run the first N replicates, and estimate from them."
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@_running
def plan(
    file: Path, pilot: int | None, quiet: bool, store: str | None, trust: bool, yes: bool, as_json: bool
) -> int:
    """Say what an experiment will need: trials, calls, tokens and money.

    A pilot's trials are part of the experiment: `run` continues after them.
    """
    from .planning import describe_use, estimate_use
    from .running import ready

    # Without a pilot nothing is run, so there is nothing to confirm.
    found = read_experiment(file, confirm=_confirm(yes) if pilot is not None else lambda question: True)
    settings, gate = load_settings(store=store), gate_of(trust)
    prepared = ready(found, settings, gate)
    if pilot is not None:
        shown = Shown(quiet or (as_json and not sys.stderr.isatty()))
        with results_alone(as_json):
            summary = _perform(found, settings, gate, shown, limit=min(pilot, found.spec.replicates))
        if summary.status != "completed":
            _tell(summary, file, store)
            return EXIT[summary.status]
    there = Path(path_of(settings.store)).exists()
    with Store.open(settings.store, create=False) if there else nullcontext() as opened:
        use = estimate_use(found, opened, prepared.seeds)
    if as_json:
        _print_json(use)
    else:
        click.echo(redact("\n".join(describe_use(use))))
    return 0


@experiment.command()
@file_argument
@click.option(
    "--power",
    "wanted",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.8,
    show_default=True,
    help="The probability with which the smallest difference of interest is to be found.",
)
@store_option
@json_option
def power(file: Path, wanted: float, store: str | None, as_json: bool) -> None:
    """Say how many replicates the planned comparisons need, from the trials that there are."""
    from .collect import collect
    from .planning import describe_power, power_of
    from .registry import registered_seeds

    found = read_experiment(file, confirm=lambda question: True)
    there = load_settings(store=store).store
    # Plugins compute outcomes.
    with results_alone(as_json), Store.open(there, create=False) as opened:
        data = collect(found, opened, registered_seeds(found, opened))
        powers = power_of(found, data, wanted)
    if as_json:
        _print_json(powers)
    else:
        click.echo(redact("\n".join(describe_power(powers, found.spec.replicates, wanted))))


@experiment.command()
@file_argument
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="The folder to write to."
)
@store_option
def export(file: Path, out: Path, store: str | None) -> None:
    """Write the report in all forms, a table of all trials, and the registered plan, into a folder."""
    from .forms import write_all

    found = read_experiment(file, confirm=lambda question: True)
    with Store.open(load_settings(store=store).store, create=False) as opened:
        for path in write_all(found, opened, out):
            click.echo(str(path))


def _run(
    file: Path,
    *,
    store: str | None,
    trust: bool,
    yes: bool,
    as_json: bool,
    quiet: bool,
    observe: Sequence[dict[str, Any]],
    **options: Any,
) -> int:
    from pyscrai_core.runtime.session import observed

    found = read_experiment(file, confirm=_confirm(yes))
    settings = observed(load_settings(store=store), observe)
    _ask_about_cost(found, settings, _confirm(yes))
    shown = Shown(quiet or (as_json and not sys.stderr.isatty()))
    with results_alone(as_json) as out:
        summary = _perform(found, settings, gate_of(trust), shown, **options)
        if as_json:
            _print_json(summary.to_dict(), out)
        else:
            _tell(summary, file, store)
    return EXIT[summary.status]


def _perform(found: Experiment, settings: Settings, gate: Gate, shown: Shown, **options: Any) -> Summary:
    from .running import arun_experiment

    with shown:
        return run_alone(arun_experiment(found, settings, gate, watcher=shown, alone=True, **options))


def _tell(summary: Summary, file: Path, store: str | None) -> None:
    for failure in summary.failures[:5]:
        click.echo(redact(f"failed: {failure}"), err=True)
    if len(summary.failures) > 5:
        click.echo(f"and {len(summary.failures) - 5} more", err=True)
    cost = f", ${summary.spent:.4f}" if summary.spent else ""
    left = f", {summary.left} left" if summary.left else ""
    click.echo(
        f"{summary.experiment}: {summary.status}; {summary.done} of {summary.trials} trials completed, "
        f"{summary.failed} failed{left}; {summary.calls:,} calls{cost}"
    )
    if summary.reason:
        click.echo(summary.reason, err=True)
    option = f" --store {store}" if store else ""
    if summary.status in ("stopped", "interrupted") or summary.left:
        click.echo(f"continue: pyscrai experiment run {file}{option}")
    elif summary.failed:
        click.echo(f"retry: pyscrai experiment run {file}{option} --retry-failed")
    if summary.done:
        click.echo(f"report: pyscrai experiment report {file}{option}")


def gate_of(trust: bool) -> Gate:
    """A gate that asks a person, if there is one."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return Gate(trust)
    return Gate(trust, lambda question: click.confirm(question, err=True))


def _confirm(yes: bool) -> Callable[[str], bool] | None:
    if yes:
        return lambda question: True
    if sys.stdin.isatty() and sys.stderr.isatty():
        return lambda question: click.confirm(question, err=True)
    return None


def _ask_about_cost(found: Experiment, settings: Settings, confirm: Callable[[str], bool] | None) -> None:
    """Ask before an experiment that is expected to cost much, as far as its earlier trials tell.

    Raises `InputError` if its budget is too small for one trial, or if nobody can be asked.
    """
    from .planning import check_budget, estimate_use
    from .registry import registrations

    if not Path(path_of(settings.store)).exists():
        return
    with Store.open(settings.store, create=False) as store:
        registered = registrations(store, found.name)
        if not registered:
            return
        seeds = found.seeds(registered[0].body["seeds"][0])
        use = estimate_use(found, store, seeds)
    check_budget(found, use)
    if not use["pilot"] or found.spec.budget.money is not None:
        return
    left = use["expected"]["dollars"]["estimate"] - use["spent"]
    if left > ASK_ABOVE:
        what = f"the trials that are left are expected to cost ${left:,.2f}"
        if confirm is None or not confirm(f"{what}. Continue?"):
            remedy = "add --yes, or set budget.money in the file"
            raise ConfigError(f"{found.path}: {what}; nothing was run; if you mean it, {remedy}")


def _print_json(value: Any, out: TextIO | None = None) -> None:
    click.echo(redact(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()), file=out)


def _write(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(redact(text), nl=False)
        return
    from .forms import write_out

    write_out(out, text)
