"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _overrides(context: click.Context, option: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    """`PATH=VALUE` strings as a mapping."""
    overrides = {}
    for text in given:
        path, equals, value = text.partition("=")
        if not equals or not path.strip():
            raise click.BadParameter(f"{text!r}: expected PATH=VALUE, such as agents.Mara.reasoning=react")
        overrides[path.strip()] = value
    return overrides


def _limits(context: click.Context, option: click.Parameter, given: Sequence[str]) -> dict[str, Any]:
    """`limits.NAME=VALUE` strings as a mapping of NAME to the value."""
    from ..scenario.yaml import parse_scalar

    limits = {}
    for path, value in _overrides(context, option, given).items():
        if not path.startswith("limits.") or path == "limits.":
            raise click.BadParameter(
                f"{path!r}: only limits can change on resume; expected limits.calls=… or so"
            )
        limits[path.removeprefix("limits.")] = parse_scalar(value)
    return limits


run_argument = click.argument("run", default="last", metavar="[RUN]")

file_argument = click.argument("file", type=click.Path(path_type=Path))

set_option = click.option(
    "--set",
    "overrides",
    metavar="PATH=VALUE",
    multiple=True,
    callback=_overrides,
    help="Override a value of the scenario by its dotted path. May be given again.",
)

limits_option = click.option(
    "--set",
    "limits",
    metavar="limits.NAME=VALUE",
    multiple=True,
    callback=_limits,
    help="Replace a limit of the run (calls, tokens, seconds, steps, concurrency). May be given again.",
)

seed_option = click.option("--seed", type=int, metavar="N", help="Overrule the scenario's seed.")

store_option = click.option(
    "--store",
    metavar="URL",
    help="Where runs are kept: a path or sqlite:///PATH.  [default: as pyscrai.toml or PYSCRAI_STORE say, "
    "else .pyscrai/runs.db]",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")


def watching(command: Decorated) -> Decorated:
    """The options of commands that execute: how much they print, and where they log."""
    for option in (
        click.option(
            "--log-file",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Append a structured log to FILE, one JSON object a line.",
        ),
        click.option("-q", "--quiet", is_flag=True, help="Print no transcript, only how it ended."),
        click.option(
            "--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else, on stdout."
        ),
    ):
        command = option(command)
    return command
