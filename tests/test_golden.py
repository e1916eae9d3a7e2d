"""Stores that `tests/golden/write.py` wrote once replay byte for byte, whatever the code is by now."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from pyscrai_core import CallRecord, NoConfig, Observer, api
from pyscrai_records.store.store import Store

GOLDEN = Path(__file__).parent / "golden"
EXPECTED: dict[str, list[dict[str, Any]]] = json.loads((GOLDEN / "expected.json").read_text("utf-8"))


def runs() -> Iterator[Any]:
    for name, expected in EXPECTED.items():
        for run in expected:
            yield pytest.param(name, run, id=f"{name}-{run['run']}")


class Asked(Observer):
    """Keeps the calls whose answers did not come from the journal."""

    def __init__(self) -> None:
        super().__init__(NoConfig())
        self.live: list[CallRecord] = []

    def on_call(self, call: CallRecord) -> None:
        if not call.journaled:
            self.live.append(call)


def query(store: Path, sql: str, *values: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(store)) as database:
        return database.execute(sql, values).fetchall()


def contents(store: Path) -> list[str]:
    with closing(sqlite3.connect(store)) as database:
        return list(database.iterdump())


def line(event: dict[str, Any]) -> bytes:
    """An event's line in the canonical log; the format is written down here again, on purpose."""
    return orjson.dumps(event, option=orjson.OPT_SORT_KEYS)


def stored(store: Path, run: str) -> list[bytes]:
    """The canonical log as the store's rows tell it."""
    keys = ("seq", "step", "kind", "source", "audience", "payload", "cause")
    rows = query(store, f"SELECT {', '.join(keys)} FROM events WHERE run = ? ORDER BY seq", run)
    events = [dict(zip(keys, row, strict=True)) for row in rows]
    parsed = {"audience", "payload"}
    return [
        line({key: json.loads(one[key]) if key in parsed else one[key] for key in keys}) for one in events
    ]


def fingerprint(lines: list[bytes]) -> str:
    return hashlib.sha256(b"\n".join([b"pyscrai log 3", *lines, b""])).hexdigest()


def test_there_is_a_run_for_each_that_is_expected() -> None:
    assert {path.name for path in GOLDEN.glob("*.db")} == set(EXPECTED)
    for name, runs in EXPECTED.items():
        assert {id for (id,) in query(GOLDEN / name, "SELECT id FROM runs")} == {run["run"] for run in runs}


@pytest.mark.parametrize("name, expected", [*runs()])
def test_a_golden_run_replays_byte_for_byte(
    name: str, expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / name
    shutil.copyfile(GOLDEN / name, store)
    monkeypatch.chdir(tmp_path)  # the scenario's own tools would write here
    Store.open(store).close()  # migrates its tables
    before = contents(store)
    asked = Asked()
    result = api.replay(expected["run"], store=store, trust=True, observers=[asked])

    lines = stored(store, expected["run"])
    assert [line(event.to_dict()) for event in result.events] == lines
    assert len(lines) == expected["events"]
    assert fingerprint(lines) == result.fingerprint == expected["fingerprint"]
    assert result.status == expected["status"]
    assert result.outcomes == expected["outcomes"]
    assert list(result.outcomes) == list(expected["outcomes"])

    assert (result.asked, asked.live) == (0, [])
    assert not (tmp_path / "outside.txt").exists()
    assert contents(store) == before
