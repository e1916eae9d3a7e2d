"""Experiments: the runs with the labels `experiment` and `arm`, and the report of pyscrai-experiments.

What pyscrai-experiments leaves in a store is public: the labels of trials, the registered plans in the table
`experiments`, the lock of the process that runs an experiment, and its state, an input under the lock's name.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import orjson

from pyscrai_core import InputError
from pyscrai_records.canonical import digest
from pyscrai_records.store.models import ACTIVE
from pyscrai_records.store.runs import read_json
from pyscrai_records.store.store import Store

from .panels import Panels
from .replies import Refused
from .summaries import settled

#: The panel that computes the report of an experiment: pyscrai-experiments offers it.
PANEL = "experiments"
TABLE = "experiments"
#: How pyscrai-experiments and others label the trials of an experiment.
NAME, ARM, REPLICATE = (f"json_extract(\"labels\",'$.{key}')" for key in ("experiment", "arm", "replicate"))
TRIAL = f'SELECT "id", {ARM}, {REPLICATE}, "seed", "status", "error", "created", "ended" FROM "runs"'
TRIALS = f"""{TRIAL} WHERE {NAME}=? ORDER BY "created", "id" """
#: The columns of a trial.
KEYS = ("run", "arm", "replicate", "seed", "status", "error", "created", "ended")
NAMES = f"""SELECT {NAME} AS "name", MAX("created") FROM "runs" WHERE "name" IS NOT NULL GROUP BY "name"
    ORDER BY 2 DESC"""
COST = f"""SELECT SUM("cost") FROM "calls" WHERE "run" IN (SELECT "id" FROM "runs" WHERE {NAME}=?)"""
OUTCOMES = f"""SELECT "run", "name", "value" FROM "outcomes" WHERE "kind"='outcome' AND "run" IN
    (SELECT "id" FROM "runs" WHERE {NAME}=?) ORDER BY "run", "name" """
STATE = """SELECT "body" FROM "inputs" WHERE "run"=? AND "kind"='state' ORDER BY "id" DESC LIMIT 1"""
REGISTERED = f'SELECT "body" FROM "{TABLE}" WHERE "name"=? ORDER BY "number" DESC LIMIT 1'


def listed(store: Store) -> list[dict[str, Any]]:
    """All experiments of the store, the latest first."""
    return briefs(store, [name for name, _ in store.connection.execute(NAMES).fetchall()])


def under_way(store: Store) -> list[str]:
    """The experiments that a process runs."""
    return [name for name, _ in store.connection.execute(NAMES) if _process(store, name)]


def briefs(store: Store, names: list[str]) -> list[dict[str, Any]]:
    """How far some experiments are."""
    return [_brief(store, name, _trials(store, name)) for name in names]


def one(store: Store, name: str, panels: Panels, limit: int) -> dict[str, Any]:
    """An experiment: its arms and trials, and its report where pyscrai-experiments is installed."""
    rows = _trials(store, name)
    if not rows:
        what = f"the store has no run with the label experiment={name[:60]}"
        raise Refused(f"experiment {name[:60]!r}: {what}", 404)
    outcomes: dict[str, dict[str, Any]] = {}
    for run, outcome, value in store.connection.execute(OUTCOMES, (name,)):
        outcomes.setdefault(run, {})[outcome] = read_json(value)
    runs = [{**dict(zip(KEYS, row, strict=True)), "outcomes": outcomes.get(row[0], {})} for row in rows]
    found: dict[str, Any] = {
        **_brief(store, name, rows),
        "runs": runs[:limit], "runs_total": len(runs), "arms": _arms(runs),
        "outcomes": [{"name": one} for one in sorted({key for each in outcomes.values() for key in each})],
        "comparisons": [], "factors": [], "curve": [], "claim": None, "control": None,
        "warnings": [], "report": None, "why": "",
    }  # fmt: skip
    if PANEL not in panels.all():
        found["why"] = "intervals and comparisons need pyscrai-experiments: pip install pyscrai-experiments"
        return found
    try:
        found |= panels.data(store, PANEL, "experiment", name)
    except (InputError, Refused) as error:
        found["why"] = str(error)
    return found


def _trials(store: Store, name: str) -> list[tuple[Any, ...]]:
    rows = store.connection.execute(TRIALS, (name,)).fetchall()
    named = ({"id": row[0], **dict(zip(KEYS[1:], row[1:], strict=True))} for row in rows)
    return [tuple(settled(store, row, TRIAL).values()) for row in named]


def _brief(store: Store, name: str, rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    statuses = Counter(row[4] for row in rows)
    expected = max(_expected(store, name), len(rows))
    running = sum(statuses[status] for status in ACTIVE)
    status = _process(store, name)
    left = max(0, expected - statuses["completed"] - statuses["failed"])
    (dollars,) = store.connection.execute(COST, (name,)).fetchone()
    return {
        "name": name,
        "status": status or _status(statuses, running, left),
        "done": statuses["completed"],
        "running": running,
        "failed": statuses["failed"],
        "trials": len(rows),
        "expected": expected,
        "dollars": round(dollars or 0.0, 9),
        "left_seconds": _left([row for row in rows if row[4] == "completed"], left)
        if status == "running" or (running and not status)
        else None,
        "created": rows[0][6] if rows else None,
    }


def _process(store: Store, name: str) -> str:
    """What the process does that runs an experiment: `running` or `paused`; "" if there is none."""
    key = f"experiment-{digest(name.encode())[:16]}"
    if not store.locks.held(key):
        return ""
    row = store.connection.execute(STATE, (key,)).fetchone()
    return "paused" if row and orjson.loads(row[0])["paused"] else "running"


def _status(statuses: Counter[str], running: int, left: int) -> str:
    if running:
        return "paused" if statuses["paused"] == running else "running"
    if left:
        return "interrupted"
    return "failed" if statuses["failed"] else "completed"


def _left(done: list[tuple[Any, ...]], left: int) -> float | None:
    """Seconds until the rest is done, if trials end as often as they did until the last one ended."""
    if not done or not left:
        return None
    began: float = min(row[6] for row in done)
    ended: float = max(row[7] for row in done)
    return round(max(0.0, (ended - began) / len(done) * left - max(0.0, time.time() - ended)), 1)


def _expected(store: Store, name: str) -> int:
    """The number of trials that are planned; 0 if nothing is registered."""
    there = """SELECT COUNT(*) FROM sqlite_master WHERE "type"='table' AND "name"=?"""
    if not store.connection.execute(there, (TABLE,)).fetchone()[0]:
        return 0
    row = store.connection.execute(REGISTERED, (name,)).fetchone()
    if row is None:
        return 0
    body = orjson.loads(row[0])
    return len(body["arms"]) * len(body["seeds"])


def _arms(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The arms with their numbers of trials; outcomes are summarized by pyscrai-experiments."""
    arms: dict[str, dict[str, Any]] = {}
    for run in runs:
        name = run["arm"] or ""
        arm = arms.setdefault(name, {"name": name, "trials": 0, "completed": 0, "failed": 0, "outcomes": {}})
        arm["trials"] += 1
        arm["completed"] += run["status"] == "completed"
        arm["failed"] += run["status"] == "failed"
    return list(arms.values())
