"""The exporters, on runs in real stores, read back with DuckDB, pyarrow and polars."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow.parquet
import pytest

import pyscrai_duckdb.plugin
import pyscrai_tables.plugin
from pyscrai_core import (
    Completion,
    Engine,
    Event,
    Message,
    Provider,
    Request,
    ScenarioError,
    StoredRun,
    Turn,
    Usage,
)
from pyscrai_core.plugins import Host
from pyscrai_core.runtime.exporting import make_exporter
from pyscrai_core.scenario.trust import Gate
from pyscrai_duckdb.database import TYPES
from pyscrai_records.store.store import Store
from pyscrai_tabular.fill import Filled, fill
from pyscrai_testing.fixtures import Solo

#: What the agent says, one after the other: also what other formats stumble over.
WORDS = ["Good morning.", "=1+1", 'Äpfel,\nzwei "Körbe"; 3\r\nor 4\x00', "", "\u2028 NULL \\N"]


class Reader(Engine):
    async def run(self, turn: Turn) -> None:
        answer = await turn.think([Message.user("Say something.")])
        turn.say(answer.text)
        turn.emit("offer", {"price": 1.5 if turn.log else 2, "to": ["Jon"], "firm": None}, audience=["Jon"])


class Words(Provider):
    async def complete(self, request: Request, sink: Any = None) -> Completion:
        return Completion(WORDS[request.turn], usage=Usage(5, 2, 1), model="words")

    def cost(self, usage: Usage, model: str = "") -> float | None:
        return 0.25


HOST = Host(extra=[pyscrai_tables.plugin, pyscrai_duckdb.plugin])

SCENARIO: dict[str, Any] = {
    "scenario": "words",
    "providers": {"default": "words"},
    "agents": {
        "Mara": {"engine": "reader", "memory": None, "goals": ["win", "rest"]},
        "Jon": {"engine": "reader", "memory": None},
    },
    "groups": {"both": ["Mara", "Jon"]},
    "schedule": {"use": "solo", "agent": "Mara", "steps": len(WORDS)},
    "outcomes": {"count": {"value": "len(events)", "kind": "number", "unit": "lines"}, "none": "None"},
    "measures": {"said": "len(events)", "even": "len(events) % 4 == 0"},
    "tables": {
        "talk": {
            "rows": "events.say",
            "columns": {
                "run": "event.source", "text": "event.payload.text", "length": "len(event.payload.text)",
                "half": "event.seq / 2", "list": "[event.seq]",
            },
        },
        "nobody": {"rows": "agents", "when": "False", "columns": {"name": "name"}},
    },
}  # fmt: skip


@pytest.fixture
def runs(recorded: Callable[..., list[StoredRun]]) -> list[StoredRun]:
    """Two runs that completed, of somewhat different scenarios."""
    given = [
        {"seed": seed, "labels": {"n": "1"}, "set": more}
        for seed, more in ((1, {}), (2, {"outcomes.more": "2.5"}))
    ]
    found = recorded(SCENARIO, *given, engine__reader=Reader, provider__words=Words, schedule__solo=Solo)
    assert [run.status for run in found] == ["completed"] * 2
    return found


def exported(name: str, runs: list[StoredRun], out: Path, **options: Any) -> list[Path]:
    return make_exporter(name, options, HOST, Gate()).export(runs, out)


def expected(filled: Filled) -> list[dict[str, Any]]:
    """The rows of a table as a reader has them."""

    def value(one: Any, kind: str) -> Any:
        if one is None:
            return None
        if kind == "time":
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=one)
        if kind == "json":
            return json.loads(json.dumps(one))
        return list(one) if kind == "texts" else one

    columns = filled.table.columns
    return [
        {column.name: value(one, column.type) for column, one in zip(columns, row, strict=True)}
        for row in filled.rows()
    ]


def compare(filled: Filled, rows: Iterable[dict[str, Any]]) -> None:
    """Whether rows that were read are those of the store; times to the microsecond."""
    found = [dict(row) for row in rows]
    for row in found:
        for column in filled.table.columns:
            if column.type == "json" and row[column.name] is not None:
                row[column.name] = json.loads(row[column.name])
    wanted = expected(filled)
    assert len(found) == len(wanted)
    for row, other in zip(found, wanted, strict=True):
        assert list(row) == list(other)
        for name, value in other.items():
            if isinstance(value, datetime):
                assert abs(row[name] - value) <= timedelta(microseconds=1)
            else:
                assert row[name] == value, name
                assert type(row[name]) is type(value) or isinstance(value, float | int), name


def test_parquet_read_by_three_readers_equals_the_store(runs: list[StoredRun], out: Path) -> None:
    paths = exported("parquet", runs, out)
    tables = fill(runs)
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in paths)
    assert [path.stem for path in paths] == [one.table.name for one in tables]
    assert {"runs", "agents", "events", "calls", "measures", "outcomes", "table-talk"} <= {
        path.stem for path in paths
    }
    for path, one in zip(paths, tables, strict=True):
        compare(one, pyarrow.parquet.read_table(path).to_pylist())
        compare(one, polars.read_parquet(path).to_dicts())
        compare(one, duckdb.sql(f"FROM '{path}'").pl().to_dicts())
    assert duckdb.sql(f"SELECT count(*), sum(cost) FROM '{out}/calls.parquet'").fetchall() == [
        (2 * len(WORDS), 0.25 * 2 * len(WORDS))
    ]
    types = dict(polars.read_parquet_schema(out / "events.parquet"))
    assert types["offer.price"] == polars.Float64
    assert types["offer.to"] == types["payload"] == types["text"] == polars.String
    assert types["audience"] == polars.List(polars.String)
    assert polars.read_parquet_schema(out / "runs.parquet")["created"] == polars.Datetime("us", "UTC")


def test_a_database_equals_the_store(runs: list[StoredRun], out: Path) -> None:
    (path,) = exported("duckdb", runs, out, file="study.duckdb")
    assert [each.name for each in out.iterdir()] == ["study.duckdb"]
    with duckdb.connect(str(path), read_only=True) as database:
        for one in fill(runs):
            compare(one, database.sql(f'FROM "{one.table.name}"').pl().to_dicts())
            described = database.execute(
                "SELECT column_name, data_type, comment FROM duckdb_columns() WHERE table_name = ?",
                [one.table.name],
            ).fetchall()
            assert [(name, kind) for name, kind, _ in described] == [
                (column.name, TYPES[column.type]) for column in one.table.columns
            ]
            assert all(comment for _, _, comment in described)
        joined = database.sql(
            "SELECT labels->>'n', sum(number) FROM outcomes JOIN runs USING (run) "
            "WHERE name = 'count' GROUP BY 1"
        )
        assert joined.fetchall() == [("1", 4.0 * len(WORDS))]


def test_the_columns_of_a_table_that_is_called_as_ours(runs: list[StoredRun], out: Path) -> None:
    exported("parquet", runs, out)
    found = polars.read_parquet(out / "table-talk.parquet")
    assert found.columns == ["run", "run_2", "text", "length", "half", "list"]
    assert set(found["run_2"]) == {"Mara"}
    assert found["text"].to_list() == 2 * WORDS
    assert polars.read_parquet(out / "table-nobody.parquet").columns == ["run", "name"]


@pytest.mark.parametrize("compression", ["snappy", "gzip", "uncompressed"])
def test_compressions(runs: list[StoredRun], out: Path, compression: str) -> None:
    exported("parquet", runs, out, compression=compression)
    about = pyarrow.parquet.read_metadata(out / "events.parquet").row_group(0).column(0).compression
    assert about.lower() == compression
    compare(fill(runs)[2], pyarrow.parquet.read_table(out / "events.parquet").to_pylist())


@pytest.mark.parametrize(
    "name, options, said",
    [
        ("parquet", {"compression": "best"}, "compression: expected one of zstd, snappy"),
        ("duckdb", {"file": "../up.duckdb"}, "file: "),
        ("duckdb", {"filename": "x"}, "filename"),
    ],
)
def test_options_that_are_wrong(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ScenarioError, match=f"--format {name}: .*{said}"):
        make_exporter(name, options, HOST, Gate())


@pytest.mark.parametrize("name", ["parquet", "duckdb"])
def test_texts_of_ten_megabytes(tmp_path: Path, out: Path, name: str) -> None:
    words = '"öh\\' * 2_500_000

    with Store.open(tmp_path / "long.db") as store:
        run = store.create_run("made", 1, {})

        async def write() -> None:
            for number in range(1, 5):
                store.put_event(run, Event(number, 1, "say", "Mara", ("*",), {"text": words}))
            await store.writer.committed()

        asyncio.run(write())
        paths = exported(name, [store.run(run)], out)
    if name == "duckdb":
        with duckdb.connect(str(paths[0]), read_only=True) as database:
            text, payload = database.sql("SELECT text, payload FROM events").fetchall()[3]
    else:
        text, payload = polars.read_parquet(out / "events.parquet").select("text", "payload").row(3)
    assert text == words
    assert json.loads(payload) == {"text": words}


@pytest.mark.parametrize("name", ["parquet", "duckdb"])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, runs: list[StoredRun], out: Path, name: str
) -> None:
    exported(name, runs, out)
    kept = {path.name: path.read_bytes() for path in out.iterdir()}
    program = (
        "import resource, signal\n"
        "from pathlib import Path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from pyscrai_core.plugins import Host\n"
        "from pyscrai_core.runtime import exporting\n"
        "from pyscrai_core.scenario.trust import Gate\n"
        "from pyscrai_records.store.store import Store\n"
        "import pyscrai_duckdb.plugin\n"
        f"with Store.open({str(tmp_path / 'runs.db')!r}, create=False) as store:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "    host = Host(extra=[pyscrai_duckdb.plugin])\n"
        f"    exporter = exporting.make_exporter({name!r}, {{}}, host, Gate())\n"
        "    try:\n"
        f"        exporting.write(exporter, [store.run('last')], Path({str(out)!r}))\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, error)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert re.match(r"ConfigError --out .*make room", ended.stdout), ended
    assert {path.name: path.read_bytes() for path in out.iterdir()} == kept
