"""What is stored as JSON and is none any more: said as damage, and not as a bug."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

import pyscrai_core
from pyscrai_cli.main import cli
from pyscrai_core import StoreError, api

SCENARIO = {
    "scenario": "t",
    "providers": {"default": {"use": "scripted", "replies": ["Hello."]}},
    "agents": {"A": {}, "B": {}},
    "schedule": {"use": "round-robin", "rounds": 2},
    "outcomes": {"events": "len(events)"},
}
PLACES = {
    "events.payload": ("replay", "log", "show"),
    "events.audience": ("replay", "log", "show"),
    "calls.answer": ("replay",),
    "calls.attempts": ("show", "show --stats"),
    "outcomes.value": ("show",),
    "messages.body": ("show", "diff last last"),
    "manifests.body": ("replay", "show", "log"),
}


@pytest.mark.parametrize("place", PLACES)
def test_broken_json_is_damage(place: str, tmp_path: Path) -> None:
    store, (table, column) = tmp_path / "runs.db", place.split(".")
    pyscrai_core.run(SCENARIO, store=store)
    with closing(sqlite3.connect(store)) as connection, connection:
        broken = b'{"a"' if table == "messages" else '{"a"'
        connection.execute(f'UPDATE "{table}" SET "{column}" = ?', [broken])
    if "replay" in PLACES[place]:
        with pytest.raises(StoreError, match="not as it was written"):
            api.replay(store=store)
    for command in (*PLACES[place], "runs verify"):
        done = CliRunner().invoke(cli, [*command.split(), "--store", str(store)])
        assert "this is a bug" not in done.output, command
        assert done.exit_code in (0, 1, 2), command
    assert done.exit_code == 1  # of runs verify, which finds all of it


@pytest.mark.parametrize("column", ["key", "answer", "agent"])
def test_no_plugin_is_blamed_for_damage(column: str, tmp_path: Path) -> None:
    """It is the plugin's call that reads it."""
    store = tmp_path / "runs.db"
    pyscrai_core.run(SCENARIO, store=store)
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute(f"UPDATE calls SET \"{column}\" = CAST(X'30FF31' AS TEXT) WHERE number = 2")
    with pytest.raises(StoreError, match=r"runs\.db: it is damaged"):
        api.replay(store=store)
    done = CliRunner().invoke(cli, ["replay", "--store", str(store)])
    assert "tell its author" not in done.output


#: What damage, or another program, may leave in a column; SQLite stores any value in each.
VALUES = (b"\xff\x00", "[]", "[[]]", '{"a": 1}', 10**18, "1e999", -1)
#: The commands that read a table; for the others, three that read most.
READING = {
    "calls": ("show", "show --stats", "replay"),
    "outcomes": ("show", "runs"),
    "runs": ("runs", "show", "log", "replay"),
    "schema_migration": ("runs",),
}


@pytest.mark.parametrize(
    "table", ["runs", "events", "calls", "outcomes", "manifests", "messages", "schema_migration"]
)
def test_a_value_that_does_not_belong_in_its_column_is_damage(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each column of the last row, where the database accepts the value."""
    monkeypatch.chdir(tmp_path)
    run = pyscrai_core.run({**SCENARIO, "measures": {"m": "len(events)"}}, store="whole.db").run
    with closing(sqlite3.connect("whole.db")) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
        keys = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")') if row[5]]
    tried = 0
    for column in columns:
        for value in VALUES:
            shutil.copy("whole.db", "damaged.db")
            order = ", ".join(f"{key} DESC" for key in keys)
            last = f"SELECT {','.join(keys)} FROM {table} ORDER BY {order} LIMIT 1"
            with closing(sqlite3.connect("damaged.db")) as connection, connection:
                try:
                    changed = f'UPDATE "{table}" SET "{column}" = ? WHERE ({",".join(keys)}) = ({last})'
                    connection.execute(changed, [value])
                except sqlite3.IntegrityError:
                    continue
            for command in READING.get(table, ("show", "log", "replay")):
                of = [] if command == "runs" else [run]
                done = CliRunner().invoke(cli, [*command.split(), *of, "--store", "damaged.db"])
                assert "this is a bug" not in done.output, (column, value, command)
                assert done.exit_code in (0, 1, 2), (column, value, command)
                tried += 1
    assert tried > 5


NOT_READABLE = {
    "a manifest that is no text": "UPDATE manifests SET body = CAST(X'7B22FF227D' AS TEXT)",
    "an error that is no text": "UPDATE runs SET error = CAST(X'30FF31' AS TEXT)",
    "a scenario's name that is no text": "UPDATE runs SET scenario = CAST(X'30FF31' AS TEXT)",
    "a run's column": "ALTER TABLE runs RENAME COLUMN scenario TO scenarip",
    "an event's column": "ALTER TABLE events RENAME COLUMN kind TO kinf",
    "a call's column": "ALTER TABLE calls RENAME COLUMN estimated TO estilated",
    "an outcome's column": "ALTER TABLE outcomes RENAME COLUMN value TO valve",
}


@pytest.mark.parametrize("damage", NOT_READABLE)
def test_what_the_database_cannot_read_is_damage(damage: str, tmp_path: Path) -> None:
    """A flipped bit can be in a text, or in the name of a column."""
    store = tmp_path / "runs.db"
    pyscrai_core.run(SCENARIO, store=store)
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute(NOT_READABLE[damage])
    for command in ("runs", "show", "show --stats", "log", "replay", "diff last last", "runs verify"):
        done = CliRunner().invoke(cli, [*command.split(), "--store", str(store)])
        assert "this is a bug" not in done.output, (command, done.output)
        assert done.exit_code in (0, 1, 2), command
    assert done.exit_code == 1  # of runs verify, which finds all of it


#: What no fingerprint and no chain of hashes protects, and what somebody may write there.
CHANGED = {
    "runs": {
        "error": "'it was slow'", "labels": "'{\"arm\": \"b\"}'", "created": "created - 60",
        "ended": "ended + 60", "steps": "7",
    },
    "calls": {
        "started": "started - 60", "seconds": "seconds + 1", "queued": "1", "reused": "'abcdef12'",
        "attempts": "'[{}]'", "seed": "seed + 1", "finish_reason": "'length'",
    },
}  # fmt: skip


@pytest.mark.parametrize(("table", "column"), [(table, one) for table in CHANGED for one in CHANGED[table]])
def test_verify_finds_what_was_changed(table: str, column: str, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    pyscrai_core.run(SCENARIO, store=store, labels={"arm": "a"})
    verify = ["runs", "verify", "--store", str(store)]
    assert CliRunner().invoke(cli, verify).exit_code == 0
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute(f'UPDATE "{table}" SET "{column}" = {CHANGED[table][column]}')
    done = CliRunner().invoke(cli, verify)
    assert done.exit_code == 1
    assert "not as" in done.output


def test_verify_knows_the_calls_that_a_fork_copied(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    first = pyscrai_core.run(SCENARIO, store=store)
    reused = pyscrai_core.run(SCENARIO, store=store, reuse=[first.run])
    forked = api.fork(reused.run, at=1, set={"schedule.rounds": 3}, store=store)
    again = api.fork(forked.run, at=5, set={"schedule.rounds": 4}, store=store)
    verify = ["runs", "verify", "--store", str(store)]
    assert CliRunner().invoke(cli, verify).exit_code == 0
    with closing(sqlite3.connect(store)) as connection, connection:  # a call of its own
        own = "UPDATE calls SET reused = 'abcdef12' WHERE run = ? AND number = 8"
        assert connection.execute(own, [again.run]).rowcount == 1
    done = CliRunner().invoke(cli, verify)
    assert f"run {again.run}: call 8: it is not as it was written" in done.output
