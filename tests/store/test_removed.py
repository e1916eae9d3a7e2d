"""A store that goes away under a run that is being executed."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_core import Event, NoConfig, Observer, StoreError, api

SCENARIO = """
scenario: t
providers: {default: {use: scripted, replies: [Hello.]}}
agents: {A: {}, B: {}}
schedule: {use: round-robin, rounds: 10}
"""


def remove(store: Path) -> None:
    store.unlink()


def remove_log(store: Path) -> None:
    store.with_name(f"{store.name}-wal").unlink()


def replace(store: Path) -> None:
    copy = store.with_name("copy")
    shutil.copy(store, copy)
    copy.replace(store)


def cut_off(store: Path) -> None:
    with store.open("r+b") as file:
        file.truncate(0)


def cut_history_off(store: Path) -> None:
    """What this run wrote is in the log; what runs before it wrote is not."""
    with store.open("r+b") as file:
        file.truncate(store.stat().st_size - 8192)


def cut_log_off(store: Path) -> None:
    with store.with_name(f"{store.name}-wal").open("r+b") as file:
        file.truncate(0)


def empty_log(store: Path) -> None:
    """Bring all of the log into the main file, as maintenance does: nothing is lost."""
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    assert store.with_name(f"{store.name}-wal").stat().st_size == 0


def overwrite(store: Path) -> None:
    """What `dd if=/dev/urandom of=runs.db bs=4096 count=20 seek=2 conv=notrunc` does."""
    empty_log(store)
    with store.open("r+b") as file:
        file.seek(8192)
        file.write(random.Random(1).randbytes(min(20 * 4096, store.stat().st_size - 8192)))


def change(table: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    """Changes what the rows of a table say, in the file."""

    def harm(store: Path) -> None:
        empty_log(store)
        with closing(sqlite3.connect(store)) as connection:
            (size,) = connection.execute("PRAGMA page_size").fetchone()
            pages = connection.execute("SELECT pageno FROM dbstat WHERE name=?", (table,)).fetchall()
        with store.open("r+b") as file:
            for (page,) in pages:
                file.seek(size * (page - 1))
                before = file.read(size)
                file.seek(size * (page - 1))
                file.write(before.replace(old, new, 1))

    return harm


def remove_rows(rows: str) -> Callable[[Path], None]:
    """What another program that deletes rows does."""

    def harm(store: Path) -> None:
        with closing(sqlite3.connect(store)) as connection, connection:
            connection.execute(f"DELETE FROM {rows}")

    return harm


CHANGES = {
    "event": change("events", b"Hello.", b"Hullo."),
    "audience": change("events", b'["*"]', b'["A"]'),
    "answer": change("calls", b"Hello.", b"Hullo."),
    "message": change("messages", b"Hello.", b"Hullo."),
    "manifest": change("manifests", b"scripted", b"scribbed"),
}


@pytest.mark.parametrize("harm", [overwrite, *CHANGES.values()], ids=["overwritten", *CHANGES])
def test_a_run_whose_pages_were_changed_ends_with_an_error(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    store, file = tmp_path / "runs.db", tmp_path / "t.yaml"
    file.write_text(SCENARIO.replace("10}", "40}"))

    class Harms(Observer):
        def on_event(self, event: Event, **more: Any) -> None:
            if event.seq == 70:
                harm(store)

    with pytest.raises(StoreError, match=r"runs\.db: .*damaged"):
        pyscrai_core.run(file, store=store, observers=[Harms(NoConfig())])
    with suppress(StoreError), api.Store.open(store) as opened:
        assert [run.status for run in opened.runs()] == ["interrupted"]


@pytest.mark.parametrize("harm", [remove, remove_log, replace])
def test_a_run_whose_files_are_others_from_the_beginning_ends_with_an_error(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    store, file = tmp_path / "runs.db", tmp_path / "t.yaml"
    file.write_text(SCENARIO)

    class Harms(Observer):
        def on_run(self, run: str, status: str, result: Any) -> None:
            if status == "running":  # nothing of the log was written yet
                harm(store)

    with pytest.raises(StoreError, match=r"runs\.db: .*removed, replaced or cut off"):
        pyscrai_core.run(file, store=store, observers=[Harms(NoConfig())])


@pytest.mark.parametrize("harm", [cut_log_off, remove, remove_log, replace, cut_off])
def test_the_run_ends_with_an_error(harm: Callable[[Path], None], tmp_path: Path) -> None:
    store, file = tmp_path / "runs.db", tmp_path / "t.yaml"
    file.write_text(SCENARIO)

    class Harms(Observer):
        def on_event(self, event: Event, **more: Any) -> None:
            if event.seq == 7:
                harm(store)

    with pytest.raises(StoreError, match=r"runs\.db: .*(removed, replaced or cut off|damaged)"):
        pyscrai_core.run(file, store=store, observers=[Harms(NoConfig())])


def test_the_history_of_a_store_is_not_lost_unnoticed(tmp_path: Path) -> None:
    store, file = tmp_path / "runs.db", tmp_path / "t.yaml"
    file.write_text(SCENARIO.replace("10}", "100}"))
    pyscrai_core.run(file, store=store)
    file.write_text(SCENARIO)

    class Harms(Observer):
        def on_event(self, event: Event, **more: Any) -> None:
            if event.seq == 7:
                cut_history_off(store)

    with pytest.raises(StoreError, match=r"runs\.db: .*(removed, replaced or cut off|damaged)"):
        pyscrai_core.run(file, store=store, observers=[Harms(NoConfig())])


def test_a_log_that_was_emptied_rightly_is_fine(tmp_path: Path) -> None:
    store, file = tmp_path / "runs.db", tmp_path / "t.yaml"
    file.write_text(SCENARIO)

    class Empties(Observer):
        def on_event(self, event: Event, **more: Any) -> None:
            if event.seq == 7:
                empty_log(store)

    result = pyscrai_core.run(file, store=store, observers=[Empties(NoConfig())])
    assert (result.status, len(result.events)) == ("completed", 20)
    assert pyscrai_core.api.replay(store=store).status == "completed"


@pytest.mark.parametrize("rows", ["runs", "calls WHERE number < 4", "calls WHERE number = 2", "events"])
def test_a_run_of_which_rows_are_not_there_any_more_is_not_completed(rows: str, tmp_path: Path) -> None:
    store, file = tmp_path / "runs.db", tmp_path / "t.yaml"
    file.write_text(SCENARIO)

    class Harms(Observer):
        def on_event(self, event: Event, **more: Any) -> None:
            if event.seq == 7:
                remove_rows(rows)(store)

    with pytest.raises(StoreError, match=r"runs\.db: .*damaged, or was changed"):
        pyscrai_core.run(file, store=store, observers=[Harms(NoConfig())])


def test_an_undisturbed_run_is_fine(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(SCENARIO)
    for _ in range(2):
        assert pyscrai_core.run(file, store=tmp_path / "runs.db").status == "completed"
    with api.Store.open(tmp_path / "runs.db") as opened:
        assert len(opened.runs()) == 2


def test_a_store_that_became_smaller_before_it_was_written_is_fine(tmp_path: Path) -> None:
    store, file = tmp_path / "runs.db", tmp_path / "t.yaml"
    file.write_text(SCENARIO.replace("10}", "100}"))
    pyscrai_core.run(file, store=store)
    before = store.stat().st_size
    with api.Store.open(store) as opened:
        with closing(sqlite3.connect(store, isolation_level=None)) as connection:
            connection.execute("DELETE FROM events")
            connection.execute("VACUUM")
        empty_log(store)
        assert store.stat().st_size < before
        opened.writer.finish()
