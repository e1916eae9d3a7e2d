"""`pyscrai dashboard`."""

from __future__ import annotations

import click


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=8420, show_default=True)
@click.option("--store", metavar="URL")
def dashboard(host: str, port: int, store: str | None) -> None:
    """Watch and control runs and experiments in the browser."""
    import uvicorn

    from .app import make_app

    click.echo(f"http://{host}:{port}/")
    uvicorn.run(make_app(), host=host, port=port, log_level="warning")
