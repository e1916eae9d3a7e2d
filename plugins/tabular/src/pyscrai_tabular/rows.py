"""The rows of the tables: one run after the other, in the order of the columns, with little memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import orjson

from pyscrai_core import Event, StoredRun
from pyscrai_core.scenario.manifest import Manifest
from pyscrai_records.secret import redact, redact_bytes

from .schema import CALLS

#: The values of a row, by the columns of its table.
Row: TypeAlias = tuple[Any, ...]

_CALL_NAMES = CALLS.names[1:]
_ESTIMATED = _CALL_NAMES.index("estimated")


def scenario_of(run: StoredRun) -> dict[str, Any]:
    """The scenario of a run as it is at its end, without secrets; empty if the run has none."""
    manifest = run.manifest
    scenario = Manifest.from_dict(manifest).last_scenario if "scenario" in manifest else {}
    clean: dict[str, Any] = orjson.loads(redact_bytes(orjson.dumps(scenario)))
    return clean


def run_rows(run: StoredRun) -> Iterator[Row]:
    usage, cost, manifest = run.usage(), run.cost(), run.manifest
    yield (
        run.id, run.scenario, run.seed, run.status, redact(run.error), run.parent, run.labels,
        run.created, run.ended, run.steps, run.fingerprint,
        usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens,
        usage.estimated, cost.dollars, int(cost.unpriced), manifest.get("kernel"), manifest.get("format"),
        manifest.get("draws", {}),
    )  # fmt: skip


def agent_rows(run: StoredRun) -> Iterator[Row]:
    scenario = scenario_of(run)
    groups: dict[str, list[str]] = {}
    for group, given in scenario.get("groups", {}).items():
        for member in given["members"] if isinstance(given, dict) else given:
            groups.setdefault(member, []).append(group)
    for name, agent in scenario.get("agents", {}).items():
        provider = agent.get("provider", "default")
        options = scenario.get("providers", {}).get(provider)
        yield (
            run.id,
            name,
            agent.get("persona", ""),
            tuple(agent.get("goals", ())),
            _use(agent.get("engine", "actor")),
            provider,
            str(options.get("model", "")) if isinstance(options, dict) else "",
            _use(agent.get("reasoning")),
            _use(agent.get("memory", "full")),
            tuple(map(_use, agent.get("tools", ()))),
            tuple(groups.get(name, ())),
            agent.get("variables", {}),
        )


def _use(chosen: Any) -> str | None:
    """The name of an extension that a scenario chooses: `actor`, or `{use: actor, …}`."""
    name = chosen.get("use") if isinstance(chosen, dict) else chosen
    return None if name is None else str(name)


def event_row(run: str, event: Event) -> Row:
    """An event without the columns of its payload."""
    text = event.payload.get("text")
    return (
        run, event.seq, event.step, event.kind, event.source, event.audience, event.cause,
        text if isinstance(text, str) else None, event.payload,
    )  # fmt: skip


def call_rows(run: StoredRun) -> Iterator[Row]:
    for call in run.calls():
        row = [call[name] for name in _CALL_NAMES]
        row[_ESTIMATED] = bool(row[_ESTIMATED])
        yield (run.id, *(redact(value) if isinstance(value, str) else value for value in row))


def measure_rows(run: StoredRun) -> Iterator[Row]:
    measures = run.measures
    declared = scenario_of(run).get("measures", {}) if measures else {}
    for name, series in measures.items():
        about = _about(declared, name)
        for step, value in series:
            yield (run.id, name, step, _number(value), value, *about)


def outcome_rows(run: StoredRun) -> Iterator[Row]:
    outcomes = run.outcomes
    declared = scenario_of(run).get("outcomes", {}) if outcomes else {}
    for name, value in outcomes.items():
        yield (run.id, name, _number(value), value, *_about(declared, name))


def _about(declared: Mapping[str, Any], name: str) -> tuple[str | None, str | None]:
    """The kind and the unit of an outcome or a measure."""
    given = declared.get(name)
    return (given.get("kind"), given.get("unit")) if isinstance(given, dict) else (None, None)


def _number(value: Any) -> float | int | None:
    return value + 0 if isinstance(value, (int, float)) else None


def batches(rows: Iterable[Row], size: int) -> Iterable[list[Row]]:
    """The rows in lists of at most `size`, fewer if texts are long: of half a megabyte."""
    batch: list[Row] = []
    length = 0
    for row in rows:
        batch.append(row)
        length += sum(len(value) for value in row if isinstance(value, str))
        if len(batch) == size or length > 500_000:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


def json_text(value: Any) -> str:
    """A value as JSON, with sorted keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
