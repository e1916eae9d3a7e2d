"""Checks of a store: whether its file, its messages and its runs are whole."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypeAlias, get_args

import orjson
from attrs import frozen
from peewee import BlobField, Field, FloatField, IntegerField, Model

from pyscrai_core import Event, RunStatus
from pyscrai_records.canonical import LOG_FORMAT, canonical, check_json
from pyscrai_records.store.checksums import checksum, checksum_of_call, checksum_of_run, is_body, is_damaged
from pyscrai_records.store.maintenance import table_name
from pyscrai_records.store.models import (
    TABLES,
    CallRow,
    EventRow,
    ManifestRow,
    MessageRow,
    OutcomeRow,
    RunRow,
)

Row: TypeAlias = dict[str, Any]

#: The tables of a run with their keys; the first of these is the run's id.
KEYS: dict[type[Model], tuple[str, ...]] = {
    RunRow: ("id",),
    ManifestRow: ("run",),
    EventRow: ("run", "seq"),
    CallRow: ("run", "number"),
    OutcomeRow: ("run", "name"),
}
#: The columns that hold JSON, and what it has to be (an answer is JSON where there is one); those of strings.
JSON: dict[type[Model], dict[str, type]] = {
    RunRow: {"labels": dict},
    ManifestRow: {"body": dict},
    EventRow: {"audience": list, "payload": dict},
    CallRow: {"messages": list, "attempts": list},
    OutcomeRow: {"value": object},
}
STRINGS = ("audience", "messages")
#: How the checksum of a row is computed. A row of an older version has none.
CHECKSUMS: dict[type[Model], Callable[[Row], str]] = {
    RunRow: checksum_of_run,
    ManifestRow: lambda row: checksum(row["body"]),
    CallRow: checksum_of_call,
    OutcomeRow: lambda row: checksum(row["name"], row["value"]),
}
#: What a manifest has for sure.
MANIFEST = {
    "format": int,
    "kernel": str,
    "scenario": dict,
    "files": dict,
    "plugins": list,
    "extensions": list,
    "prompts": dict,
}
CALL_STATUS = ("answered", "failed", "open", "intent")


def check_store(connection: sqlite3.Connection) -> Iterator[str]:
    """What is wrong with the file, with its messages, and with rows whose run does not exist: a line each."""
    restore = "restore the store from a copy, or take the good runs out with: pyscrai runs export-bundle"
    try:
        for (words,) in connection.execute("PRAGMA integrity_check(10)"):
            if words != "ok":
                yield f"store: the file is damaged ({words}); {restore}"
        for table in TABLES:
            name = table_name(table)
            # Asked for first: SQLite takes a column in double quotes that is missing for a text.
            there = {column for _, column, *_ in connection.execute(f'PRAGMA table_info("{name}")')}
            if missing := sorted(columns(table).keys() - there):
                yield f"store: {name}: there is no column {', '.join(missing)}; {restore}"
            if table not in (RunRow, MessageRow):
                orphans = f'SELECT DISTINCT "run" FROM "{name}" WHERE "run" NOT IN (SELECT "id" FROM "runs")'
                for (run,) in connection.execute(orphans):
                    yield f"store: {name}: there are rows of run {run!r}, and no such run; {restore}"
    except sqlite3.Error as error:
        yield f"store: it cannot be read ({error}); {restore}"


def check_messages(connection: sqlite3.Connection) -> tuple[list[str], set[str]]:
    """What is wrong with the messages, a line each, and the runs that have such a message."""
    problems: list[str] = []
    damaged: set[str] = set()
    try:
        bodies = connection.execute('SELECT "digest", "body" FROM "messages"')
        changed = [key for key, body in bodies if not is_body(key, body)]
        for key in changed:
            which = (
                'SELECT DISTINCT "run" FROM "calls" WHERE ? IN ("frame", "request") OR instr("messages", ?)'
            )
            runs = sorted(run for (run,) in connection.execute(which, (key, key)))
            whose = f"what the runs {', '.join(runs)} asked" if runs else "no run needs it: pyscrai runs gc"
            problems.append(
                f"store: message {key}: its body was changed: it has another digest; it is part of {whose}; "
                "restore the store from a copy"
            )
            damaged.update(runs)
    except sqlite3.Error as error:
        problems.append(f"store: its messages cannot be read ({error}); restore the store from a copy")
    return problems, damaged


def check_run(connection: sqlite3.Connection, run: str) -> Iterator[str]:
    """What is wrong with a run, by its id: a line each; but not with the bodies of its messages."""
    remedy = f"restore the store from a copy, or remove the run with: pyscrai runs rm {run}"
    sound = True
    try:
        for table, key in KEYS.items():
            for row in rows(connection, table, run):
                if (wrong := misfit(table, row)) is not None:
                    sound = False
                    place = " ".join([table_name(table), *(str(row[name]) for name in key[1:])])
                    yield f"run {run}: {place}: {wrong}; {remedy}"
        if sound:  # what follows relies on it
            for what in chain(_manifest(connection, run), _events(connection, run), _calls(connection, run)):
                yield f"run {run}: {what}; {remedy}"
    except sqlite3.Error as error:
        yield f"run {run}: it cannot be read ({error}); {remedy}"


@cache
def columns(table: type[Model]) -> dict[str, tuple[type, bool]]:
    """A table's columns in their order: what type a value has, and whether there may be none."""
    kinds = ((IntegerField, int), (FloatField, float), (BlobField, bytes), (Field, str))
    return {
        field.column_name: (next(kind for known, kind in kinds if isinstance(field, known)), field.null)
        for field in table._meta.sorted_fields
    }


def rows(connection: sqlite3.Connection, table: type[Model], run: str) -> Iterator[Row]:
    """A run's rows, one after the other in the order of their keys."""
    names, key = columns(table), KEYS[table]
    listed, order = (",".join(f'"{name}"' for name in some) for some in (names, key))
    query = f'SELECT {listed} FROM "{table_name(table)}" WHERE "{key[0]}" = ? ORDER BY {order}'
    return (dict(zip(names, row, strict=True)) for row in connection.execute(query, (run,)))


def misfit(table: type[Model], row: Row) -> str | None:
    """What a row has in a column that does not belong there, by its type or as JSON; None: nothing."""
    for name, (kind, optional) in columns(table).items():
        value = row[name]
        fits = type(value) is kind or (kind is float and type(value) is int)
        if not fits and not (value is None and optional):
            return f"{name} is {value!r:.80}, expected {kind.__name__}"
        if type(value) is int and not -(2**63) <= value < 2**63:
            return f"{name} is {value}, which is more than 64 bits hold"
    for name, kind in JSON.get(table, {}).items():
        try:
            json = check_json(orjson.loads(row[name]))
            canonical({"": json})  # what is nested deeper can be read, and never be written again
        except (ValueError, TypeError, RecursionError) as error:
            return f"{name} is not JSON: {error}"
        if not issubclass(type(json), kind):
            return f"{name} is {row[name]:.80}, expected {kind.__name__} as JSON"
        if name in STRINGS and not all(isinstance(one, str) for one in json):
            return f"{name} is {row[name]:.80}, expected strings"
    return None


def _sealed(table: type[Model], row: Row) -> bool:
    return row["checksum"] in ("", CHECKSUMS[table](row))


def _manifest(connection: sqlite3.Connection, run: str) -> Iterator[str]:
    """What is wrong with the run's status and its manifest."""
    for row in rows(connection, RunRow, run):
        if row["status"] not in get_args(RunStatus):
            yield f"its status is {row['status']!r}, expected one of {', '.join(get_args(RunStatus))}"
        if not all(0 <= (row[name] or 0) < 1e11 for name in ("created", "ended")):
            yield f"it began at {row['created']} and ended at {row['ended']}, expected seconds since 1970"
        if not _sealed(RunRow, row):
            yield "its status, error, times, labels, seed or fingerprint are not as they were written"
    manifest = next(rows(connection, ManifestRow, run), None)
    if manifest is None:
        yield "its manifest is missing"
        return
    if not _sealed(ManifestRow, manifest):
        yield "its manifest is not as it was written"
    for row in rows(connection, OutcomeRow, run):
        if not _sealed(OutcomeRow, row):
            yield f"its outcome {row['name']!r} is not as it was written"
    body = orjson.loads(manifest["body"])
    if wrong := [key for key, kind in MANIFEST.items() if type(body.get(key)) is not kind]:
        yield f"its manifest lacks {', '.join(wrong)}"
        return
    # A fork with no change of its own goes on with the scenario before.
    scenarios = [body["scenario"], *(fork.get("scenario") for fork in body.get("forks", ()))]
    last = [scenario for scenario in scenarios if scenario][-1]
    for row in rows(connection, RunRow, run):
        for name in ("scenario", "seed"):
            if name in last and row[name] != last[name]:
                yield f"its {name} is {row[name]!r}, and {last[name]!r} in its manifest"


def _events(connection: sqlite3.Connection, run: str) -> Iterator[str]:
    """What is wrong with the events, and with the fingerprint of them all."""
    # The fingerprint is that of the format in which the run was recorded.
    manifest = next(rows(connection, ManifestRow, run), None)
    recorded = orjson.loads(manifest["body"]).get("format") if manifest is not None else None
    log = hashlib.sha256(b"pyscrai log %d\n" % (recorded if type(recorded) is int else LOG_FORMAT))
    ended = next(rows(connection, RunRow, run))
    last, step = 0, 0
    for row in rows(connection, EventRow, run):
        seq, cause = row["seq"], row["cause"]
        if seq != last + 1:
            yield f"event {seq}: it follows event {last}, expected event {last + 1}"
        if cause is not None and not 0 < cause < seq:
            yield f"event {seq}: its cause is {cause}, expected an earlier event"
        if row["step"] < step:
            yield f"event {seq}: its step is {row['step']}, expected {step} or later"
        last, step = seq, row["step"]
        row.update(audience=orjson.loads(row["audience"]), payload=orjson.loads(row["payload"]))
        del row["run"]
        log.update(Event.from_dict(row).line() + b"\n")
    over = ended["status"] not in ("running", "paused") and ended["ended"] is not None
    if over and log.hexdigest() != ended["fingerprint"]:
        yield f"its log has the fingerprint {log.hexdigest()}, recorded was {ended['fingerprint'] or 'none'}"


def _calls(connection: sqlite3.Connection, run: str) -> Iterator[str]:
    """What is wrong with the journal."""
    twice = 'SELECT "agent", "step", "path" FROM "calls" WHERE "run" = ? GROUP BY 1, 2, 3 HAVING count(*) > 1'
    for agent, step, path in connection.execute(twice, (run,)):
        yield f"there are several calls of {agent} at step {step}, {path}, expected one"
    fork = any(row["parent"] for row in rows(connection, RunRow, run))
    known: dict[int, _Links | None] = {}
    for row in rows(connection, CallRow, run):
        try:
            if row["status"] not in CALL_STATUS:
                raise ValueError(f"its status is {row['status']!r}, expected one of {', '.join(CALL_STATUS)}")
            if row["status"] == "answered":
                orjson.loads(row["answer"])
            if row["kind"] == "complete":
                digests = orjson.loads(row["messages"])
                known[row["number"]] = _linked(row, digests, known)
                for one in (*digests, row["frame"]):
                    stored = connection.execute('SELECT 1 FROM "messages" WHERE "digest" = ?', (one,))
                    if stored.fetchone() is None:
                        raise ValueError(f"its message {one} is not stored")
            if is_damaged(row, fork):
                raise ValueError("it is not as it was written")
        except ValueError as error:
            what = "its answer is not JSON: " if isinstance(error, orjson.JSONDecodeError) else ""
            yield f"call {row['number']}: {what}{error}"


@frozen
class _Links:
    """A completion's messages: `kept` of `below`, and the chained hash at each of its own, 32 bytes each."""

    below: _Links | None
    kept: int
    own: bytes


def _linked(row: Row, digests: Sequence[str], known: dict[int, _Links | None]) -> _Links | None:
    """What a completion asked, chained as `runtime.journal` does; None if it follows one that is wrong.

    `known` are the completions before it. Raises `ValueError` if it cannot be followed, or was another.
    """
    known[row["number"]] = None
    base, kept, link = row["base"], row["kept"], b""
    below = None
    if base is not None:
        if base >= row["number"] or base not in known:
            raise ValueError(f"it continues from call {base}, expected an earlier completion")
        if (below := known[base]) is None:
            return None
    if not 0 <= kept <= (below.kept + len(below.own) // 32 if below else 0):
        raise ValueError(f"it keeps {kept} messages of call {base}, which has fewer")
    while below is not None and kept <= below.kept:
        below = below.below  # only who has the last of the kept ones as its own is needed
    if below is not None:
        link = below.own[32 * (kept - below.kept - 1) :][:32]
    own = bytearray()
    for one in digests:
        link = hashlib.sha256(link + one.encode()).digest()
        own += link
    asked = hashlib.sha256(link + row["frame"].encode()).hexdigest()
    if asked != row["request"]:
        raise ValueError(f"what it asked has the hash {asked}, recorded was {row['request']}")
    return _Links(below, kept, bytes(own))
