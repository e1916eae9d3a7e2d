"""What a shell completes when Tab is pressed: runs, labels, scenarios, and names of extensions.

A completion never fails, since a shell has no place for an error: what cannot be read is not offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: So many of the newest runs are offered.
RUNS = 200

Complete = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def _never_raises(complete: Complete) -> Complete:
    @wraps(complete)
    def completed(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        try:
            return complete(context, parameter, begun)
        except Exception:  # noqa: BLE001 - a missing or broken store or plugin: see above
            return []

    return completed


@_never_raises
def complete_run(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The ids of runs, the newest first, each with what it is; a run is also found by the text of a label."""
    items = [_item("last", "the newest run")] if "last".startswith(begun) else []
    for run, scenario, status, labels in _runs(context):
        if run.startswith(begun) or (begun and any(text.startswith(begun) for text in labels.values())):
            named = "".join(f" {name}={text}" for name, text in labels.items())
            items.append(_item(run, f"{scenario}, {status}{named}"))
    return items


@_never_raises
def complete_label(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The labels of runs, as NAME=TEXT."""
    known = (f"{name}={text}" for *_, labels in _runs(context) for name, text in labels.items())
    return _beginning(known, begun)


@_never_raises
def complete_scenario(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The names of scenarios that were run."""
    return _beginning((scenario for _, scenario, _, _ in _runs(context)), begun)


def complete_extension(kind: str) -> Complete:
    """Completes the names of installed extensions of a kind, such as `exporter`."""

    @_never_raises
    def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        from pyscrai_core.config import load_settings

        offers = load_settings(tell=False).host().offers(kind)
        return [
            _item(offer.name, offer.extension.summary) for offer in offers if offer.name.startswith(begun)
        ]

    return complete


@_never_raises
def complete_exported(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The names of experiments; if none begins like this, runs."""
    known = (labels["experiment"] for *_, labels in _runs(context) if "experiment" in labels)
    return (_beginning(known, begun) if begun else []) or complete_run(context, parameter, begun)


def _item(value: str, told: str = "") -> CompletionItem:
    from click.shell_completion import CompletionItem

    from .output import shown

    # One line, whatever a scenario or a plugin wrote.
    return CompletionItem(shown(value), help=shown(told) or None)


def _beginning(names: Iterator[str], begun: str) -> list[CompletionItem]:
    return [_item(name) for name in dict.fromkeys(names) if name.startswith(begun)]


def _runs(context: click.Context) -> Iterator[tuple[str, str, str, dict[str, str]]]:
    """The newest runs of the store: id, scenario, status, labels.

    Read without opening the store in the usual way, which would migrate one of an older version.
    """
    import sqlite3

    import orjson

    from pyscrai_core.config import load_settings
    from pyscrai_records.store.opening import path_of

    given: Any = next((one.params["store"] for one in _lineage(context) if one.params.get("store")), None)
    path = path_of(load_settings(store=given, tell=False).store).resolve()
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        query = 'SELECT "id","scenario","status","labels" FROM "runs" ORDER BY "created" DESC LIMIT ?'
        for run, scenario, status, labels in database.execute(query, (RUNS,)):
            yield run, scenario, status, orjson.loads(labels)
    finally:
        database.close()


def _lineage(context: click.Context | None) -> Iterator[click.Context]:
    while context is not None:
        yield context
        context = context.parent
