"""`pyscrai pause` and `pyscrai inject`: reaching into a run that another process executes."""

from __future__ import annotations

from typing import Any

import click

from . import options, output


@click.command()
@options.run_argument
@options.store_option
@options.json_option
def pause(run: str, store: str | None, as_json: bool) -> None:
    """Pause a run before its next step. `pyscrai resume` continues it.

    Its process keeps running, with everything that it has open. To end it instead, press Ctrl-C there.

    \b
    Examples:
      pyscrai pause
      pyscrai pause 1f2e
    """
    from pyscrai_core.runtime import inputs
    from pyscrai_records.store.store import Store

    from .perform import settings_for

    settings, hints = settings_for(store)
    with Store.open(settings.store, create=False) as opened:
        found = inputs.pause(opened, run)
    if as_json:
        output.print_json({"run": found.id, "status": found.status})
        return
    output.echo(f"{found.id} pauses before its next step, if one follows, in {found.owner}")
    output.pairs([("continue", hints.command("resume", found.id))])


@click.command()
@options.run_argument
@click.option("--event", metavar="KIND", help="The event's kind, such as say; change changes the state.")
@click.option("--payload", default="{}", metavar="JSON", help="The payload, a JSON object.  [default: {}]")
@click.option(
    "--audience",
    multiple=True,
    metavar="NAME",
    help="An agent or group that receives it. Can be given more than once.  [default: everyone]",
)
@click.option("--author", metavar="NAME", help="The author, for the record.  [default: your user name]")
@click.option("--withdraw", is_flag=True, help="Withdraw the waiting events instead of adding one.")
@options.store_option
@options.json_option
def inject(
    run: str,
    event: str | None,
    payload: str,
    audience: tuple[str, ...],
    author: str | None,
    withdraw: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Add an event to an unfinished run, at the beginning of its next step.

    Its source is `@outside`. It is part of the run like any other event: agents react to it, rules apply, a
    replay includes it. The record says who added it.

    \b
    Examples:
      pyscrai inject --event news --payload '{"text": "A storm is coming."}'
      pyscrai inject 1f2e --event say --payload '{"text": "Sell now."}' --audience Mara
      pyscrai inject 1f2e --event change --payload '{"path": "price", "op": "set", "value": 9}'
      pyscrai inject 1f2e --withdraw
    """
    from pyscrai_core import ConfigError
    from pyscrai_core.runtime import inputs
    from pyscrai_records.store.store import Store

    from .perform import settings_for

    if withdraw == (event is not None):
        raise ConfigError(
            "inject: expected the kind of an event with --event, or --withdraw to take back those that wait"
        )
    settings, _ = settings_for(store)
    with Store.open(settings.store, create=False) as opened:
        if event is None:
            found, count = inputs.withdraw(opened, run)
            said = f"{output.counted(count, 'event')} of {found.id} taken back"
        else:
            found = inputs.inject(
                opened, run, settings.host(), event, _json(payload), audience or None, author
            )
            when = f"executed by {found.owner}" if found.owner else "it is to be resumed"
            kind = output.shown(event)
            said = f"{found.id} takes the event {kind} in before its next step, if one follows; {when}"
        waiting = found.waiting()
    if as_json:
        output.print_json({"run": found.id, "status": found.status, "waiting": waiting})
    else:
        output.echo(said)


def _json(text: str) -> Any:
    import orjson

    from pyscrai_core import ConfigError

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigError(
            f"--payload {text!r}: it is not JSON ({error}); expected an object, such as " + '{"text": "…"}'
        ) from None
