"""Stores of an older version: their tables are migrated."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from peewee import SqliteDatabase
from playhouse.migrations import Runner

from pyscrai_core import StoreError, api
from pyscrai_records.store import opening
from pyscrai_records.store.locks import Locks
from pyscrai_records.store.models import TABLES
from pyscrai_records.store.store import Store


def older(path: Path) -> None:
    """Make a store one of the version before rows had checksums."""
    with closing(sqlite3.connect(path)) as database, database:
        for table in ("calls", "manifests", "outcomes"):
            database.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
        database.execute("DROP TABLE imports")
        for column in ("labels", "checksum"):
            database.execute(f"ALTER TABLE runs DROP COLUMN {column}")
        database.execute("ALTER TABLE outcomes DROP COLUMN kind")
        database.execute("DELETE FROM schema_migration WHERE name >= '0006'")


def columns(path: Path, table: str) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]


def test_an_older_store_is_migrated(
    play: Any, talk: dict[str, Any], count: Callable[[Path], dict[str, int]], tmp_path: Path
) -> None:
    path = tmp_path / "runs.db"
    recorded = play(talk)
    older(path)
    assert columns(path, "manifests") == ["run", "body"]
    assert api.replay(store=path).fingerprint == recorded.fingerprint
    assert columns(path, "manifests") == ["run", "body", "checksum"]
    assert play(talk).fingerprint == recorded.fingerprint
    assert count(path)["manifests"] == 2


def test_the_tables_are_those_of_the_models(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    Store.open(path).close()
    for table in TABLES:
        fields = [field.column_name for field in table._meta.sorted_fields]
        assert sorted(columns(path, table._meta.table_name)) == sorted(fields)


def test_a_new_store_has_the_tables_that_all_migrations_make(tmp_path: Path) -> None:
    folder = Path(opening.__file__).with_name("migrations")
    migrated = SqliteDatabase(tmp_path / "migrated.db")
    names = Runner(migrated, str(folder), table_name=opening.HISTORY).up()
    migrated.close()
    Store.open(tmp_path / "new.db").close()
    found = []
    for name in ("migrated.db", "new.db"):
        with closing(sqlite3.connect(tmp_path / name)) as database:
            tables = database.execute("SELECT tbl_name, type, name, sql FROM sqlite_master")
            history = database.execute(f"SELECT name FROM {opening.HISTORY} ORDER BY id")
            found.append((sorted(map(repr, tables)), [row[0] for row in history]))
    assert found[0] == found[1], "the models have to say what the migrations make"
    assert found[1][1] == names


def test_an_older_store_that_is_read_only_is_not_migrated(
    archive: Path, play: Any, talk: dict[str, Any]
) -> None:
    play(talk, store=archive / "runs.db")
    older(archive / "runs.db")
    subprocess.run(["mount", "-o", "remount,ro", archive], check=True)
    with pytest.raises(StoreError, match=r"runs\.db: it was written by an older version, and is read-only"):
        Store.open(archive / "runs.db", create=False)


def test_one_process_at_a_time_migrates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyscrai_records.store.locks.MIGRATION_TIMEOUT", 0.1)
    path = tmp_path / "runs.db"
    migrating = pytest.raises(StoreError, match="another process has been migrating its tables")
    with Locks(path).exclusive(), migrating:
        Store.open(path)
    Store.open(path).close()


def test_a_folder_for_locks_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "runs.db-owners").write_text("a file")
    with pytest.raises(StoreError, match=r"the lock .*tables cannot be created \(File exists\); free disk"):
        Store.open(tmp_path / "runs.db")
