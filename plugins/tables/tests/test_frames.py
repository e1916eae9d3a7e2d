"""Data frames of logs and stored runs: the same values and types in pandas, polars and pyarrow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow
import pytest

import pyscrai_core
from pyscrai_core import ConfigError, StoreError
from pyscrai_tabular.fill import fill

for _name in ("cast", "memory", "schedules", "scripted"):
    pytest.importorskip(f"pyscrai_{_name}.plugin", reason=f"needs pyscrai-{_name}")

SCENARIO: dict[str, Any] = {
    "scenario": "talk",
    "providers": {"default": {"use": "scripted", "replies": {
        "A": ["One.", '{"action": "offer", "arguments": {"price": 3}}'], "B": ["=2"],
    }}},
    "agents": {"A": {"persona": "A.", "goals": ["win"]}, "B": {"persona": "B."}},
    "schedule": {"use": "round-robin", "rounds": 1},
    "outcomes": {"said": {"value": "len(events)", "unit": "lines"}},
    "measures": {"events": "len(events)"},
    "tables": {
        "talk": {"rows": "events.say", "columns": {"who": "event.source", "even": "event.seq % 2 == 0"}}
    },
}  # fmt: skip


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    Path("talk.yaml").write_text(json.dumps(SCENARIO))
    return pyscrai_core.run("talk.yaml", labels={"study": "pilot"})


def test_a_results_log_as_data_frames(result: Any) -> None:
    told = [(event.seq, event.source, event.payload.get("text")) for event in result.events]
    frames = [
        polars.from_pandas(result.events.to_pandas()),
        result.events.to_polars(),
        polars.from_arrow(result.events.to_arrow()),
    ]
    for frame in frames:
        assert isinstance(frame, polars.DataFrame)
        assert list(frame.select("seq", "source", "text").iter_rows()) == told
        assert set(frame["run"]) == {result.run}
        assert [json.loads(one) for one in frame["payload"]] == [event.payload for event in result.events]
        assert frame["audience"].to_list() == [list(event.audience) for event in result.events]
    assert frames[1].equals(frames[2])
    assert result.events.to_arrow().schema.field("seq").metadata[b"meaning"].startswith(b"the event's number")


def test_all_tables_of_stored_runs(result: Any) -> None:
    pyscrai_core.run("talk.yaml", seed=5)
    runs = pyscrai_core.runs()
    assert [run.seed for run in runs] == [5, 0]
    for filled in fill(runs)[:-1]:
        name = filled.table.name
        frame, arrow, panda = runs.to_polars(name), runs.to_arrow(name), runs.to_pandas(name)
        rows = list(filled.rows())
        assert frame.height == arrow.num_rows == len(panda) == len(rows) > 0, name
        assert tuple(frame.columns) == tuple(panda.columns) == tuple(arrow.column_names) == filled.table.names
        assert polars.from_arrow(arrow).equals(frame)
        for column in filled.table.columns:
            plain = [row[filled.table.names.index(column.name)] for row in rows]
            if column.type in ("integer", "number", "text", "boolean"):
                assert frame[column.name].to_list() == plain
                assert [None if pandas.isna(one) else one for one in panda[column.name]] == plain
    assert runs.to_pandas("talk").equals(runs.to_pandas("table-talk"))
    types = runs.to_pandas().dtypes
    assert (str(types["seed"]), str(types["created"])) == ("Int64", "datetime64[us, UTC]")
    assert runs.to_arrow().schema.field("created").type == pyarrow.timestamp("us", "UTC")
    pilot = pyscrai_core.runs(labels={"study": "pilot"})
    assert pilot.to_pandas("outcomes")["number"].tolist() == [2]
    assert pilot.to_polars("outcomes")["unit"].to_list() == ["lines"]


def test_what_is_wrong_is_told(result: Any) -> None:
    with pytest.raises(
        ConfigError, match="table 'event': there is no such table; expected one of runs, agents"
    ):
        pyscrai_core.runs().to_pandas("event")
    with pytest.raises(StoreError, match="does not exist"):
        pyscrai_core.runs(store="none.db")
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('pandas', 'polars', 'pyarrow')))\n"
        "import pyscrai_core\n"
        "for name in ('pandas', 'polars', 'arrow'):\n"
        "    try: getattr(pyscrai_core.runs(), f'to_{name}')()\n"
        "    except pyscrai_core.ConfigError as error: print(error)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == [
        f'{name} is not installed; install it with: pip install "pyscrai-tables[{extra}]"'
        for name, extra in (("pandas", "pandas"), ("polars", "polars"), ("pyarrow", "arrow"))
    ]


def test_no_data_frame_library_is_imported_before(tmp_path: Path) -> None:
    program = "import pyscrai_core.api, pyscrai_tabular.fill, sys; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"pandas", "polars", "pyarrow", "numpy"} & set(ended.stdout.split())


def test_export_from_python(result: Any, tmp_path: Path) -> None:
    files = pyscrai_core.export(format="csv", out="one", options={"separator": "tab"})
    assert Path("one/runs.csv") in files
    assert "\t" in Path("one/runs.csv").read_text()
    assert pyscrai_core.export(result.run, format="csv", out="two")
    assert pyscrai_core.export(pyscrai_core.runs(), format="csv", out="three", labels={"study": "pilot"})
    assert Path("two/events.csv").read_bytes() == Path("three/events.csv").read_bytes()
    with pytest.raises(StoreError, match="label study=none: no run has it"):
        pyscrai_core.export(labels={"study": "none"}, format="csv", out="four")
    assert not Path("four").exists()
    with pyscrai_core.open_store() as store:
        assert store.run("last").id == result.run
