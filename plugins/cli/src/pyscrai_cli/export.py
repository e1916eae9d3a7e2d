"""`pyscrai export`: a run in some format."""

from __future__ import annotations

from pathlib import Path

import click

from . import options, output
from .completion import complete_extension


@click.command()
@options.run_argument
@click.option(
    "--format",
    "name",
    required=True,
    metavar="NAME",
    help="The exporter, such as csv or jsonl.",
    shell_complete=complete_extension("exporter"),
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="PATH",
    help="The folder to write into; created if it is missing.",
)
@options.store_option
def export(run: str, name: str, out: Path, store: str | None) -> None:
    """Write a run in some format. `pyscrai plugins` lists the exporters.

    \b
    Examples:
      pyscrai export --format csv --out tables
      pyscrai export 1f2e --format jsonl --out tables
    """
    from pyscrai_core.config import load_settings
    from pyscrai_core.errors import ConfigError, ContractError, PyscraiError
    from pyscrai_core.store.store import Store

    settings = load_settings(store=store)
    host = settings.host()
    cls = host.load("exporter", name)
    try:
        exporter = cls(cls.Config())
        exporter.origin = str(host.offer("exporter", name))
    except TypeError as error:
        raise ConfigError(f"exporter {name!r}: it cannot be used without options: {error}") from None
    with Store.open(settings.store, create=False) as opened:
        stored = opened.run(run)
        try:
            out.mkdir(parents=True, exist_ok=True)
            files = exporter.export(stored, out)
        except PyscraiError:
            raise
        except OSError as error:
            raise ConfigError(
                f"--out {out}: {error.strerror or error}; make room, change its permissions, or choose "
                "another place"
            ) from error
        except Exception as error:
            # An exporter may raise anything; it is named as what failed.
            raise ContractError(
                f"{exporter.origin} raised {type(error).__name__}: {error}; tell its author; for the "
                "traceback: pyscrai --debug …"
            ) from error
        if not isinstance(files, (list, tuple)):
            raise ContractError(
                f"{exporter.origin}: export returned {type(files).__name__}, expected a list of the files "
                "that were written; tell its author"
            )
    for file in files:
        output.echo(output.path(str(file)))
