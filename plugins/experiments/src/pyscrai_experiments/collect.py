"""What a store has of an experiment: the values of each trial, and what the answers of each arm were like."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from attrs import define, evolve, field, frozen

from pyscrai_core import StoreError
from pyscrai_records.store.models import PREFIXES
from pyscrai_records.store.runs import RecordedRun, read_json
from pyscrai_records.store.store import Store

from .choices import Choices, choices_of
from .experiment import Experiment
from .later import values_of
from .registry import trials_of
from .series import is_series, summary_at

PART = 500
#: What the kernel sends to a model whose answer did not fit.
REPAIR = "That is not a valid answer: "
#: In a run's error, its id.
_RUN = re.compile(r"\b[0-9a-f]{8}\b")

CALLS = """SELECT "run", COUNT(*), SUM("reused"!=''), COALESCE(SUM("cost"),0),
    SUM("cost" IS NULL AND "status"='answered'), SUM("input_tokens"), SUM("output_tokens"),
    SUM("finish_reason"='length'),
    SUM("error"='Refused' OR ("error"='' AND "finish_reason" IN ('refusal','content_filter'))),
    SUM("error"='AnswerRejected')
    FROM "calls" WHERE "kind"='complete' AND "provider"!='' AND "run" IN ({marks}) GROUP BY "run" """
REPAIRS = """SELECT "calls"."run", COUNT(*) FROM "calls" JOIN "messages"
    ON "messages"."digest" = json_extract("calls"."messages", '$[#-1]')
    WHERE "calls"."kind"='complete' AND CAST("messages"."body" AS TEXT) LIKE '%{text}%'
    AND "calls"."run" IN ({marks}) GROUP BY "calls"."run" """
ATTEMPTS = """SELECT "run", COUNT(*) FROM "events" WHERE "kind"='rejected' AND "run" IN ({marks})
    GROUP BY "run" """
OUTCOMES = """SELECT "run", "name", "value" FROM "outcomes" WHERE "kind"='outcome' AND "run" IN ({marks})
    ORDER BY "run", "name" """
SERIES = """SELECT "run", "kind", "name", "value" FROM "outcomes" WHERE "kind" IN ('measure', 'table')
    AND "run" IN ({marks}) ORDER BY "run", "kind", "name" """
VERSIONS = """SELECT DISTINCT json_extract("body", '$.kernel'), json_extract("body", '$.plugins'),
    json_extract("body", '$.extensions') FROM "manifests" WHERE "run" IN ({marks})"""
SERVED = """SELECT DISTINCT "provider", "model" FROM "calls" WHERE "kind"='complete' AND "status"='answered'
    AND "run" IN ({marks})"""

DRAWS = """SELECT DISTINCT json_extract("body", '$.draws') FROM "manifests" WHERE "run" IN ({marks})"""


@define
class Answers:
    """What the calls of some runs were like. `reused` ones were answered by another run, and cost nothing."""

    calls: int = 0
    reused: int = 0
    dollars: float = 0.0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    truncated: int = 0
    refused: int = 0
    rejected: int = 0
    repaired: int = 0
    #: What agents tried and could not do, which the scenario refused.
    rejected_attempts: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "calls": self.calls, "reused": self.reused, "dollars": round(self.dollars, 9),
            "unpriced": self.unpriced, "input_tokens": self.input_tokens, "output_tokens": self.output_tokens,
            "truncated": self.truncated, "refused": self.refused, "repaired": self.repaired,
            "rejected": self.rejected, "rejected_attempts": self.rejected_attempts,
        }  # fmt: skip


@frozen
class TrialRecord:
    """One trial. `outcomes` are empty unless its status is `completed`; status `missing`: there is no run."""

    arm: str
    replicate: int
    seed: int
    status: str
    run: str = ""
    error: str = ""
    outcomes: Mapping[str, Any] = field(factory=dict)


@define
class Collected:
    """All that a report is made of."""

    trials: list[TrialRecord]
    answers: dict[str, Answers]
    served: dict[str, list[str]]
    versions: dict[str, list[str]]
    declared: dict[str, dict[str, Any]]
    scenario: str
    choices: Choices
    #: Who drew the closed choices of each provider that tells probabilities: the kernel, itself, or both.
    draws: dict[str, list[str]] = field(factory=dict)

    def values(self, arm: str, path: str) -> dict[int, Any]:
        """The values of an outcome by replicate; None: the trial has none."""
        return {
            one.replicate: value_at(one.outcomes, path)
            for one in self.trials
            if one.arm == arm and one.status == "completed"
        }


def value_at(outcomes: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of the outcomes; None if there is none."""
    if path in outcomes:
        return outcomes[path]
    value: Any = outcomes
    for key in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def collect(
    experiment: Experiment,
    store: Store,
    seeds: Sequence[int],
    known: Mapping[tuple[str, int], RecordedRun] | None = None,
) -> Collected:
    """What the store has of an experiment, in the order of its arms and replicates."""
    known = trials_of(store, experiment.name) if known is None else known
    ids = [run.id for run in known.values()]
    found_outcomes = _outcomes(store, ids)
    paths = [given.value or name for name, given in experiment.outcomes.items()]
    for id_, values in _summaries(store, ids, [path for path in paths if is_series(path)]).items():
        found_outcomes[id_] = {**values, **found_outcomes.get(id_, {})}
    trials = []
    runs: dict[str, list[RecordedRun]] = {}
    ended: dict[str, list[tuple[int, RecordedRun]]] = {}
    for arm in experiment.arms:
        runs[arm.name] = []
        for number, seed in enumerate(seeds, 1):
            run = known.get((arm.name, number))
            if run is None:
                trials.append(TrialRecord(arm.name, number, seed, "missing"))
                continue
            runs[arm.name].append(run)
            completed = run.status == "completed"
            if completed and not arm.variant:
                ended.setdefault(arm.name, []).append((number, run))
            trials.append(
                TrialRecord(
                    arm.name, number, run.seed, run.status, run.id,
                    "" if completed else _RUN.sub("RUN", run.error),
                    found_outcomes.get(run.id, {}) if completed else {},
                )
            )  # fmt: skip
    everything = [run for several in runs.values() for run in several]
    if later := values_of(experiment, [run for run in everything if run.status == "completed"], store):
        trials = [evolve(one, outcomes={**one.outcomes, **later.get(one.run, {})}) for one in trials]
    declared: dict[str, dict[str, Any]] = {}
    for run in everything[:1]:
        written = run.manifest["scenario"].get("outcomes", {})
        declared = {name: one for name, one in written.items() if isinstance(one, dict)}
    return Collected(
        trials,
        {arm: _answers(store, [run.id for run in several]) for arm, several in runs.items()},
        _served(store, [run.id for run in everything]),
        _versions(store, [run.id for run in everything]),
        declared,
        everything[0].scenario if everything else "",
        choices_of(store, ended),
        _draws(store, [run.id for run in everything]),
    )


def _rows(store: Store, query: str, runs: Sequence[str]) -> Iterable[Any]:
    for start in range(0, len(runs), PART):
        part = runs[start : start + PART]
        text = query.replace("{marks}", ",".join("?" * len(part))).replace("{text}", REPAIR)
        try:
            yield from store.connection.execute(text, part)
        except sqlite3.OperationalError as error:
            if "JSON" not in str(error):
                raise
            raise StoreError(
                f"{store.path}: a record is not JSON; find the damage with: pyscrai runs verify"
            ) from None


def _answers(store: Store, runs: Sequence[str]) -> Answers:
    found = Answers()
    names = (
        "calls",
        "reused",
        "dollars",
        "unpriced",
        "input_tokens",
        "output_tokens",
        "truncated",
        "refused",
    )
    # In one order, so that sums of money do not depend on the runs' random ids.
    rows = {row[0]: row[1:] for row in _rows(store, CALLS, runs)}
    for run in runs:
        for name, value in zip((*names, "rejected"), rows.get(run, ()), strict=False):
            setattr(found, name, getattr(found, name) + (value or 0))
    found.repaired = sum(count for _, count in _rows(store, REPAIRS, runs))
    found.rejected_attempts = sum(count for _, count in _rows(store, ATTEMPTS, runs))
    return found


def _served(store: Store, runs: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for provider, model in _rows(store, SERVED, runs):
        found.setdefault(provider, set()).add(model)
    return {name: sorted(found[name]) for name in sorted(found)}


def _outcomes(store: Store, runs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The outcomes of each run by name. One query for many runs is faster than asking each run."""
    found: dict[str, dict[str, Any]] = {}
    for run, name, value in _rows(store, OUTCOMES, runs):
        found.setdefault(run, {})[name] = read_json(value)
    return found


def _summaries(store: Store, runs: Sequence[str], paths: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The outcomes that are made of each run's measures and tables."""
    stored: dict[str, dict[tuple[str, str], Any]] = {}
    for run, kind, name, value in _rows(store, SERIES, runs) if paths else ():
        # In the store, the names of measures and tables have a prefix.
        stored.setdefault(run, {})[kind, name.removeprefix(PREFIXES[kind])] = read_json(value)
    return {run: {path: summary_at(path, found) for path in paths} for run, found in stored.items()}


def _versions(store: Store, runs: Sequence[str]) -> dict[str, list[str]]:
    """The versions of the kernel and of the plugins that the runs used."""
    found: dict[str, set[str]] = {}
    for kernel, plugins, extensions in set(_rows(store, VERSIONS, runs)):
        found.setdefault("pyscrai-core", set()).add(kernel)
        used = {one.get("plugin") for one in orjson.loads(extensions)}
        for plugin in orjson.loads(plugins):
            if plugin["name"] in used:
                found.setdefault(plugin["distribution"], set()).add(plugin["version"])
    return {name: sorted(found[name]) for name in sorted(found)}


def _draws(store: Store, runs: Sequence[str]) -> dict[str, list[str]]:
    """Who drew the closed choices of each provider."""
    found: dict[str, set[str]] = {}
    for (drawn,) in _rows(store, DRAWS, runs):
        for provider, who in (orjson.loads(drawn) if drawn else {}).items():
            found.setdefault(provider, set()).add(who)
    return {name: sorted(found[name]) for name in sorted(found)}


def used_by_run(store: Store, runs: Sequence[str]) -> dict[str, dict[str, float]]:
    """The calls that each run made, with their tokens and their cost in US dollars."""
    found = {run: dict.fromkeys(("calls", "tokens", "dollars", "unpriced"), 0.0) for run in runs}
    for row in _rows(store, CALLS, runs):
        run, calls, reused, dollars, unpriced, given, taken = row[:7]
        found[run] = {
            "calls": calls - reused, "tokens": given + taken, "dollars": dollars, "unpriced": unpriced
        }  # fmt: skip
    return found
