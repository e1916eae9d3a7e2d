"""The page of one run, as pieces of HTML: it needs no other file, no network, and little memory."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from attrs import field, frozen, validators

from pyscrai_core import Event, StoredRun
from pyscrai_tabular.rows import agent_rows, scenario_of
from pyscrai_tabular.schema import AGENTS

from . import parts


@frozen
class Limits:
    """What a page has at most.

    events
        so many of the run's events, the first ones
    text
        characters of one text
    rows
        rows of a table
    """

    events: int = field(default=5_000, validator=validators.ge(0))
    text: int = field(default=5_000, validator=validators.ge(100))
    rows: int = field(default=200, validator=validators.ge(0))


def page(run: StoredRun, limits: Limits) -> Iterator[str]:
    """The page, piece by piece."""
    script = parts.asset("page.js")
    known = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Whatever a model wrote: nothing but our own script is executed, and nothing is loaded.
    policy = f"default-src 'none'; script-src 'sha256-{known}'"
    start, end = parts.document(f"{run.scenario}, run {run.id}", "\0", policy).split("\0")
    yield start
    yield from summary(run)
    yield parts.outcomes(run.outcomes)
    yield from _measures(run)
    yield from _tables(run, limits)
    yield from _agents(run, limits)
    yield "<h2>Log</h2>\n"
    yield from _filters(run, limits)
    yield '<ol class="log">\n'
    yield from parts.log(_first(run, limits), limits.text)
    yield "</ol>\n"
    yield from _rest(run, limits)
    yield f"<script>{script}</script>\n{end}"


def _first(run: StoredRun, limits: Limits) -> Iterator[Event]:
    return islice(run.events(), limits.events)


def summary(run: StoredRun) -> Iterator[str]:
    """What the run is and how it ended."""
    scenario = scenario_of(run)
    if scenario.get("description"):
        yield f"<p>{parts.text(scenario['description'])}</p>\n"
    labels = ", ".join(f"{name}={value}" for name, value in run.labels.items())
    took = f", took {run.ended - run.created:,.1f} s" if run.ended is not None else ""
    items: list[tuple[str, Any]] = [
        ("run", run.id),
        ("status", run.status),
        ("error", run.error),
        ("seed", str(run.seed)),
        ("labels", labels),
        ("forked from", run.parent),
        ("started", f"{datetime.fromtimestamp(run.created, UTC):%Y-%m-%d %H:%M:%S} UTC{took}"),
        ("steps", f"{run.steps:,}"),
        ("tokens", parts.tokens(run.usage())),
        ("cost", parts.money(run.cost())),
        ("fingerprint", run.fingerprint),
        ("closed choices", _drawn(run)),
        ("made with", _versions(run)),
    ]
    yield parts.pairs((name, value) for name, value in items if value)


def _drawn(run: StoredRun) -> str:
    """Who drew the closed choices of each provider."""
    draws = run.manifest.get("draws", {})
    return ", ".join(f"drawn by the {who} ({name})" for name, who in draws.items())


def _versions(run: StoredRun) -> str:
    manifest = run.manifest
    kernel = [f"pyscrai-core {manifest['kernel']}"] if "kernel" in manifest else []
    plugins = [f"{plugin['distribution']} {plugin['version']}" for plugin in manifest.get("plugins", ())]
    return ", ".join([*kernel, *plugins])


def _measures(run: StoredRun) -> Iterator[str]:
    measures = run.measures
    declared = scenario_of(run).get("measures", {})
    if measures:
        yield "<h2>Measures</h2>\n"
    for name, series in measures.items():
        given = declared.get(name)
        yield parts.line(name, series, given.get("unit", "") if isinstance(given, dict) else "")


def _tables(run: StoredRun, limits: Limits) -> Iterator[str]:
    for name, rows in run.tables.items():
        head = list(rows[0]) if rows else []
        yield f"<h2>Table {parts.text(name)}</h2>\n"
        yield parts.table(head, (list(row.values()) for row in rows[: limits.rows]), 500)
        if len(rows) > limits.rows:
            yield f'<p class="note">{len(rows) - limits.rows:,} more rows are not on this page.</p>\n'


def _agents(run: StoredRun, limits: Limits) -> Iterator[str]:
    rows = list(islice(agent_rows(run), limits.rows + 1))
    if rows:
        wanted = ("agent", "persona", "goals", "engine", "provider", "reasoning", "memory", "tools")
        places = [AGENTS.names.index(name) for name in wanted]
        cells = ([_plain(row[place]) for place in places] for row in rows[: limits.rows])
        yield f"<h2>Agents</h2>\n{parts.table(wanted, cells, 500)}"
        if len(rows) > limits.rows:
            yield '<p class="note">More agents are not on this page.</p>\n'


def _plain(value: Any) -> Any:
    return "; ".join(value) if isinstance(value, tuple) else value


def _filters(run: StoredRun, limits: Limits) -> Iterator[str]:
    """Fields to choose events with, which only the script shows."""
    agents: dict[str, None] = {}
    kinds: dict[str, None] = {}
    for event in _first(run, limits):
        agents[event.source] = kinds[event.kind] = None
    yield '<form hidden aria-label="Filter the log">'
    for name, values in (("agent", agents), ("kind", kinds)):
        options = "".join(f"<option>{parts.text(value)}</option>" for value in values)
        yield f'<label>{name} <select name="{name}"><option value="">all</option>{options}</select></label>'
    yield '<label>words <input name="words" type="search"></label><output></output></form>\n'


def _rest(run: StoredRun, limits: Limits) -> Iterator[str]:
    more = sum(1 for _ in run.events(after=limits.events))
    if more:
        yield (
            f'<p class="note">{more:,} more events are not on this page; for all of them: '
            f"<code>pyscrai log {run.id} --text</code></p>\n"
        )
