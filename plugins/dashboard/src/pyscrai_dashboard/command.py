"""`pyscrai dashboard`."""

from __future__ import annotations

import click

from pyscrai_core.config import load_settings


@click.command()
@click.option(
    "--store",
    metavar="URL",
    help="Where runs are kept: a path or sqlite:///PATH.  [default: as pyscrai.toml or PYSCRAI_STORE say, "
    "else .pyscrai/runs.db]",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="The address to listen at. Any other than this machine's own requires a token, which is part of the "
    "address that is printed.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8420,
    show_default=True,
    help="The port; 0: any free one.",
)
@click.option(
    "--token",
    "protected",
    is_flag=True,
    help="Require a token on this machine too, so that other users of it can be given the address.",
)
@click.option("--open/--no-open", "open_it", default=False, help="Open the page in a browser.  [default: no]")
@click.option("--read-only", is_flag=True, help="Only show runs: nothing can be started or changed.")
def dashboard(
    store: str | None, host: str, port: int, protected: bool, open_it: bool, read_only: bool
) -> None:
    """Watch and control runs and experiments in the browser.

    Shows all runs of the store, also those that other processes execute. Scenarios below the current folder
    can be started. Ctrl-C ends it; runs that it started go on.

    \b
    Examples:
      pyscrai dashboard --open
      pyscrai dashboard --store study.db --port 9000
      pyscrai dashboard --read-only
      pyscrai dashboard --host 0.0.0.0          everybody needs the token that it prints
    """
    from .serving import listen, serve

    settings = load_settings(store=store)
    with listen(host, port) as bound:
        serve(settings, host, bound, protected=protected, open_it=open_it, read_only=read_only)
