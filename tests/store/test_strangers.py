"""A store that somebody else made or can write: nothing in it reaches beyond it."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pyscrai_cli.main import cli
from pyscrai_core import StoreError
from pyscrai_records.store import opening
from pyscrai_records.store.store import Store

OUTSIDE = "../../victim"
COMMANDS = (
    ["runs"], ["resume", "last"], ["resume", "--all"], ["replay", "last"], ["fork", "last", "--at", "1"],
    ["runs", "rm", OUTSIDE, "--yes"], ["runs", "gc"], ["runs", "verify"], ["show", "last"],
    ["export", "last", "--format", "jsonl", "--out", "out/deep"],
    ["export", "last", "--format", "html", "--out", "out/deep"],
    ["export", "last", "--format", "graphml", "--out", "out/deep"],
)  # fmt: skip


@pytest.fixture
def store(
    tmp_path: Path, play: Callable[..., Any], talk: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Path:
    path = tmp_path / "theirs" / "runs.db"
    talk["tables"] = {"t": {"rows": "agents", "columns": {"n": "name"}}}
    play(talk, store=path)
    monkeypatch.chdir(tmp_path)
    return path


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_id_of_a_run_is_no_path(command: list[str], store: Path) -> None:
    tables = ("manifests", "events", "calls", "outcomes")
    execute(
        store,
        *(f"UPDATE {table} SET run = '{OUTSIDE}'" for table in tables),
        f"UPDATE runs SET id = '{OUTSIDE}', status = 'running'",
    )
    victim = store.parent.parent / "victim"
    victim.write_text("precious")
    made = {path for path in victim.parent.rglob("*") if store.parent not in path.parents}
    done = CliRunner().invoke(cli, [*command, "--store", str(store)])
    assert victim.read_text() == "precious"
    assert {path for path in victim.parent.rglob("*") if store.parent not in path.parents} == made
    if command != ["runs", "gc"]:  # which looks at no id
        assert done.exit_code in (1, 2), done.output
        assert "Traceback" not in done.output


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_the_name_of_a_table_is_no_path(form: str, store: Path) -> None:
    name = "table/../../../victim"
    execute(store, f"UPDATE outcomes SET name = 'tables.{name}', checksum = '' WHERE kind = 'table'")
    done = CliRunner().invoke(
        cli, ["export", "last", "--format", form, "--out", "o/p/q", "--store", str(store)]
    )
    assert done.exit_code in (1, 2), done.output
    assert "is damaged" in done.stderr
    assert not list(store.parent.parent.rglob("victim*"))


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/etc/hostname"), Path.mkdir])
def test_what_sqlite_would_wait_for_or_follow_is_refused(
    end: str, make: Callable[[Path], None], store: Path
) -> None:
    beside = store.with_name(store.name + end)
    beside.unlink(missing_ok=True)
    make(beside)
    for create in (True, False):
        with pytest.raises(StoreError, match=f"{beside.name} beside it is a link, a device or a pipe"):
            Store.open(store, create=create)


def test_files_that_other_processes_make_and_remove_meanwhile_are_no_strangers(tmp_path: Path) -> None:
    store, over = tmp_path / "runs.db", threading.Event()
    Store.open(store).close()

    def makes(file: Path) -> None:
        while not over.is_set():
            file.touch()
            file.unlink()

    files = (store.with_name(f"{store.name}-{end}") for end in ("wal", "shm"))
    others = [threading.Thread(target=makes, args=(file,)) for file in files]
    for other in others:
        other.start()
    try:
        for _ in range(4000):
            opening.check_file(store, create=False)
    finally:
        over.set()
        for other in others:
            other.join()


def test_the_lock_of_a_run_is_not_waited_for(store: Path) -> None:
    execute(store, "UPDATE runs SET status = 'running'")
    with Store.open(store) as opened:
        run = opened.run("last").id
        lock = store.with_name("runs.db-owners") / run
        lock.unlink(missing_ok=True)
        os.mkfifo(lock)
        assert opened.run("last").status == "interrupted"


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM events; END",
        "CREATE VIEW v AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT x FROM n",
    ],
)
def test_a_store_that_computes_is_refused(made: str, store: Path) -> None:
    execute(store, made)
    with pytest.raises(StoreError, match="views or triggers"):
        Store.open(store)


@pytest.mark.parametrize(
    ("file", "folder", "told"),
    [
        (0o600, 0o755, False),
        (0o644, 0o755, False),
        (0o666, 0o755, True),
        (0o600, 0o777, True),
        (0o600, 0o1777, False),
    ],
)
def test_that_others_can_write_it_is_said_on_each_use(
    file: int, folder: int, told: bool, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.chmod(file)
    store.parent.chmod(folder)
    for _ in range(2):
        monkeypatch.setattr(opening, "_TOLD", set())  # each command is a process of its own
        done = CliRunner().invoke(cli, ["runs", "--store", str(store)])
        assert (done.exit_code, "others can write it" in done.stderr) == (0, told), done.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_that_it_is_another_user_s_is_said_on_each_use(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(store, 65534, 65534)
    for _ in range(2):
        monkeypatch.setattr(opening, "_TOLD", set())  # each command is a process of its own
        done = CliRunner().invoke(cli, ["runs", "--store", str(store)])
        assert (done.exit_code, "others can write it" in done.stderr) == (0, True), done.stderr
