"""`pyscrai pause` and `pyscrai inject`: reaching into a run that another process executes."""

from __future__ import annotations

from typing import Any

import click

from . import options, output


@click.command()
@options.run_argument
@options.store_option
def pause(run: str, store: str | None) -> None:
    """Let a run stand still before its next step; `pyscrai resume` lets it go on.

    Its process stays, with all that it has open. To end it instead, press Ctrl-C there.

    \b
    Examples:
      pyscrai pause
      pyscrai pause 1f2e
    """
    from ..runtime import steering
    from ..store.store import Store
    from .execute import settings_for

    settings, hints = settings_for(store)
    with Store.open(settings.store, create=False) as opened:
        found = steering.pause(opened, run)
    output.echo(f"{found.id} pauses before its next step, in {found.owner}")
    output.pairs([("go on", hints.command("resume", found.id))])


@click.command()
@options.run_argument
@click.option(
    "--event", required=True, metavar="KIND", help="Its kind, such as say; or change, for the state."
)
@click.option("--payload", default="{}", metavar="JSON", help="What it holds, a JSON object.  [default: {}]")
@click.option(
    "--audience",
    multiple=True,
    metavar="NAME",
    help="An agent or group that learns of it. May be given again.  [default: everyone]",
)
@click.option("--author", metavar="NAME", help="Who adds it, for the record.  [default: your user name]")
@options.store_option
def inject(
    run: str, event: str, payload: str, audience: tuple[str, ...], author: str | None, store: str | None
) -> None:
    """Add an event to an unfinished run, at the beginning of its next step.

    It comes from `@outside`, and is part of the run like any other: agents react to it, rules apply, a replay
    has it too. The record says who added it.

    \b
    Examples:
      pyscrai inject --event news --payload '{"text": "A storm is coming."}'
      pyscrai inject 1f2e --event say --payload '{"text": "Sell now."}' --audience Mara
      pyscrai inject 1f2e --event change --payload '{"path": "price", "op": "set", "value": 9}'
    """
    from ..runtime import steering
    from ..store.store import Store
    from .execute import settings_for

    settings, _ = settings_for(store)
    with Store.open(settings.store, create=False) as opened:
        found = steering.inject(opened, run, settings.host(), event, _json(payload), audience or None, author)
    when = f"it is executed by {found.owner}" if found.owner else "as soon as it is resumed"
    output.echo(f"{found.id} takes the event {output.shown(event)} in at its next step; {when}")


def _json(text: str) -> Any:
    import orjson

    from ..errors import ConfigError

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigError(
            f"--payload {text!r}: it is not JSON ({error}); expected an object, such as " + '{"text": "…"}'
        ) from None
