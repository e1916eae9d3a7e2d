"""Runs that travel between stores: whole, once, and without what is of one process alone."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

import pyscrai_core
from pyscrai_core import api
from pyscrai_dask.transfer import pack, unpack
from pyscrai_records.errors import StoreError
from pyscrai_records.store.maintenance import collect_garbage, remove_runs
from pyscrai_records.store.store import Store

SCENARIO = {
    "scenario": "talk",
    "seed": 1,
    "providers": {"default": {"use": "scripted", "choice": ["One.", "Two.", "Three."]}},
    "agents": {"A": {"persona": "First."}, "B": {"persona": "Second."}},
    "schedule": {"use": "round-robin", "rounds": 2},
    "outcomes": {"n": "len(events)"},
}
TABLES = ("runs", "manifests", "events", "calls", "messages", "outcomes")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two runs in the store `one.db`."""
    monkeypatch.chdir(tmp_path)
    return [pyscrai_core.run(SCENARIO, seed=seed, store="one.db").run for seed in (1, 2)]


def rows(store: Store) -> dict[str, list[tuple[object, ...]]]:
    found = {name: store.connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in TABLES}
    found["runs"] = [tuple(one for one in row if "pid" not in str(one)) for row in found["runs"]]
    return {name: sorted(some, key=repr) for name, some in found.items()}


def test_runs_arrive_as_they_were(runs: list[str]) -> None:
    with Store.open("one.db") as one, Store.open("two.db") as two:
        unpack(two, pack(one, runs))
        expected, found = rows(one), rows(two)
        expected["runs"] = [(*row[:9], "", *row[9:]) for row in expected["runs"]]
        assert found == expected
    for run in runs:
        assert api.replay(run, store="two.db").status == "completed"


def test_only_the_named_runs_travel_with_their_messages(runs: list[str]) -> None:
    with Store.open("one.db") as one, Store.open("two.db") as two:
        unpack(two, pack(one, runs[:1]))
        assert [run.id for run in two.runs()] == runs[:1]
        sent = rows(two)["messages"]
        remove_runs(one, runs[1:])
        collect_garbage(one)
        assert sent == rows(one)["messages"]


def test_what_is_there_already_stays_and_what_is_replaced_goes(runs: list[str]) -> None:
    with Store.open("one.db") as one, Store.open("two.db") as two:
        packed = pack(one, runs)
        unpack(two, packed)
        two.connection.execute('UPDATE "runs" SET "error"=\'mine\'')
        unpack(two, packed)
        assert [run.error for run in two.runs()] == ["mine", "mine"]
        unpack(two, packed, replaced=runs[:1])
        assert {run.id: run.error for run in two.runs()} == {runs[0]: "", runs[1]: "mine"}


def test_all_or_nothing_is_written(runs: list[str]) -> None:
    with Store.open("one.db") as one, Store.open("two.db") as two:
        packed = pack(one, runs)
        two.connection.execute(
            f"CREATE TRIGGER stop BEFORE INSERT ON calls WHEN NEW.run='{max(runs)}' "
            "BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
        with pytest.raises(StoreError, match="no room"):
            unpack(two, packed)
        assert not two.runs()
        assert not rows(two)["events"]
        two.connection.execute("DROP TRIGGER stop")
        unpack(two, packed)
        assert len(two.runs()) == 2


def test_a_run_that_nobody_executes_any_more_arrives_as_interrupted(runs: list[str]) -> None:
    with Store.open("one.db") as one, Store.open("two.db") as two:
        one.connection.execute('UPDATE "runs" SET "status"=\'running\' WHERE "id"=?', (runs[0],))
        unpack(two, pack(one, runs))
        assert {run.id: run.status for run in two.runs()} == {runs[0]: "interrupted", runs[1]: "completed"}


def test_a_damaged_packet_is_refused(runs: list[str]) -> None:
    with Store.open("one.db") as one, Store.open("two.db") as two:
        damaged = bytearray(zlib.decompress(pack(one, runs)))
        damaged[100:4096] = bytes(3996)
        with pytest.raises(StoreError):
            unpack(two, zlib.compress(bytes(damaged)))
        assert not two.runs()
