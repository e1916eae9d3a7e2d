"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pyscrai_core import ConfigError

from .completion import complete_run

if TYPE_CHECKING:
    from pyscrai_core.scenario.overrides import Override

    from .logs import Log

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _overrides(context: click.Context, option: click.Parameter, given: Sequence[str]) -> list[Override]:
    """`PATH=VALUE` strings, parsed; the last one of a path counts."""
    if not given:
        return []
    from pyscrai_core.scenario.overrides import Override

    texts = {}
    for text in given:
        path, equals, value = text.partition("=")
        if not equals or not path.strip():
            raise click.BadParameter(f"{text!r}: expected PATH=VALUE, such as agents.Mara.reasoning=react")
        texts[path.strip()] = value
    return [Override.parse(path, value) for path, value in texts.items()]


def _changes(context: click.Context, option: click.Parameter, given: Sequence[str]) -> list[Override]:
    """The same for a resume, which may change less."""
    overrides = _overrides(context, option, given)
    for override in overrides:
        override.check_resumable()
    return overrides


def labels(context: click.Context, option: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    """`NAME=TEXT` strings as labels."""
    labels = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r}: expected NAME=TEXT, such as arm=control")
        labels[name.strip()] = value
    return labels


def _observers(context: click.Context, option: click.Parameter, given: Sequence[str]) -> list[dict[str, Any]]:
    from pyscrai_core.runtime.session import read_observers

    try:
        return read_observers(given)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None


run_argument = click.argument("run", default="last", metavar="[RUN]", shell_complete=complete_run)

file_argument = click.argument("file", type=click.Path(path_type=Path))

set_option = click.option(
    "--set",
    "overrides",
    metavar="PATH=VALUE",
    multiple=True,
    callback=_overrides,
    help="Override a value of the scenario by its dotted path. Can be given more than once.",
)

changes_option = click.option(
    "--set",
    "changes",
    metavar="PATH=VALUE",
    multiple=True,
    callback=_changes,
    help="Replace a limit of the run or of an agent, an outcome, or how a provider may be called. "
    "Can be given more than once.",
)

label_option = click.option(
    "--label",
    "labels",
    metavar="NAME=TEXT",
    multiple=True,
    callback=labels,
    help="A label of the run, by which it can be found. Can be given more than once.",
)

seed_option = click.option("--seed", type=int, metavar="N", help="Use this seed instead of the scenario's.")

store_option = click.option(
    "--store",
    metavar="URL",
    help="Where runs are kept: a path or sqlite:///PATH.  [default: as pyscrai.toml or PYSCRAI_STORE say, "
    "else .pyscrai/runs.db]",
)

trust_option = click.option(
    "--trust",
    is_flag=True,
    help="Approve all that the scenario demands: files elsewhere, hosts, secrets, programs, its own code.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")


pager_option = click.option(
    "--no-pager",
    "pager",
    flag_value=False,
    default=True,
    help="Print all at once, also what is longer than the screen.",
)


def _log_format(context: click.Context, option: click.Parameter, given: Any) -> None:
    """Let the log have this format from here on."""
    if given is not None:
        log: Log = context.find_root().obj
        log.form = given
        log.to_stderr()


def watching(command: Decorated) -> Decorated:
    """The options of commands that execute: how much they print, where they log, and who watches."""
    for option in (
        click.option(
            "--observe",
            multiple=True,
            callback=_observers,
            metavar="NAME[:KEY=VALUE,…]",
            help="An observer that watches the run, with its options, beside those of pyscrai.toml. It "
            "replaces one with the same name. Can be given more than once.",
        ),
        click.option(
            "--log-format",
            type=click.Choice(["text", "json"]),
            expose_value=False,
            callback=_log_format,
            help="The format of the log. json without --log-file: log to stderr, one JSON object a line.  "
            "[default: PYSCRAI_LOG_FORMAT, else text on stderr and json in --log-file]",
        ),
        click.option(
            "--log-file",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Append a structured log to FILE, one JSON object a line. FILE may be a terminal, no pipe.",
        ),
        click.option("-q", "--quiet", is_flag=True, help="Print no transcript, only the summary."),
        click.option(
            "--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else, on stdout."
        ),
    ):
        command = option(command)
    return command
