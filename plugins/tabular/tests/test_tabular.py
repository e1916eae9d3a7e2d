"""The tables of a run, and the README's example."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyscrai_core import Engine
from pyscrai_records.store.store import Store
from pyscrai_tabular.fill import fill
from pyscrai_tabular.rows import batches, json_text, run_rows
from pyscrai_tabular.schema import BASE, DICTIONARY, RUNS


class Greets(Engine):
    async def run(self, turn: Any) -> None:
        turn.say("Good day.")


class Twice(Engine):
    async def run(self, turn: Any) -> None:
        turn.say("Yes.")
        turn.say("No.")


@pytest.fixture
def played(play: Callable[..., Any], in_turn: type) -> Any:
    agents = {"Ann": {"engine": "greets"}, "Ben": {"engine": "twice"}}
    scenario = {"agents": agents, "schedule": "in-turn", "outcomes": {"n": "len(events)"}}
    return play(scenario, engine__greets=Greets, engine__twice=Twice, schedule__in_turn=in_turn)


def test_every_run_has_these_tables(played: Any, tmp_path: Path) -> None:
    with Store.open(tmp_path / "runs.db") as store:
        tables = {one.table.name: (one.table, list(one.rows())) for one in fill([store.run("last")])}
    assert list(tables) == [table.name for table in (*BASE, DICTIONARY)]
    for table, rows in tables.values():
        assert {len(row) for row in rows} <= {len(table.columns)}
    events, rows = tables["events"]
    assert [row[events.names.index("source")] for row in rows] == ["Ann", "Ben", "Ben"]
    outcomes, ((*outcome,),) = tables["outcomes"]
    assert dict(zip(outcomes.names, outcome, strict=True))["name"] == "n"
    described = {row[:2] for row in tables[DICTIONARY.name][1]}
    assert {("events", name) for name in events.names} <= described


def test_the_readmes_example_runs(played: Any, tmp_path: Path) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    assert {f"{table.name}.txt" for table in BASE} <= {path.name for path in Path("lists").iterdir()}
    assert "Good day." in Path("lists/events.txt").read_text()


@pytest.mark.parametrize("who", ["kernel", "provider"])
def test_the_row_of_a_run_says_who_drew_closed_choices(played: Any, tmp_path: Path, who: str) -> None:
    with Store.open(tmp_path / "runs.db") as store:
        change = "UPDATE manifests SET body=json_set(body, '$.draws', json(?)), checksum=''"
        store.connection.execute(change, (json_text({"default": who}),))
        (row,) = run_rows(store.run("last"))
    assert dict(zip(RUNS.names, row, strict=True))["draws"] == {"default": who}


def test_batches_are_of_so_many_rows_and_of_half_a_megabyte() -> None:
    rows = [(number, "x") for number in range(7)]
    assert [len(batch) for batch in batches(rows, 3)] == [3, 3, 1]
    assert [len(batch) for batch in batches([("x" * 600_000,)] * 2, 3)] == [1, 1]
    assert list(batches([], 3)) == []


def test_json_has_sorted_keys() -> None:
    assert json_text({"b": 1, "a": ["ö", None]}) == '{"a":["ö",null],"b":1}'
