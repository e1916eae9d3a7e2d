"""With the plugins that a scenario usually has beside this one: skipped where those are not installed."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

import pyscrai_core
from pyscrai_records.store.store import Store
from pyscrai_tables.csv_export import Csv
from pyscrai_tables.jsonl_export import JsonLines

for _name in ("cast", "memory", "schedules", "scripted"):
    pytest.importorskip(f"pyscrai_{_name}.plugin", reason=f"needs pyscrai-{_name}")

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```yaml\n(scenario:.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_measures_and_tables_are_exported(tmp_path: Path) -> None:
    file = tmp_path / "talk.yaml"
    file.write_text(
        "scenario: talk\n"
        "providers: {default: {use: scripted, replies: {A: ['=1+1'], B: [Two.]}}}\n"
        "agents: {A: {persona: A.}, B: {persona: B.}}\n"
        "schedule: {use: round-robin, rounds: 1}\n"
        "measures:\n"
        "  said: {value: len(events), kind: number, unit: lines}\n"
        "  last: '[e.payload.text for e in events][-1] if events else null'\n"
        "tables:\n"
        "  talk: {rows: events.say, columns: {who: event.source, text: event.payload.text, two: '[1, 2]'}}\n"
        "  none: {rows: groups, columns: {name: name}}\n"
    )
    result = pyscrai_core.run(file, store=tmp_path / "runs.db")
    assert result.status == "completed"
    with Store.open(tmp_path / "runs.db") as store:
        run = store.run(result.run)
        names = [path.name for path in Csv(Csv.Config()).export([run], tmp_path)]
        JsonLines(JsonLines.Config()).export([run], tmp_path)
    assert names[6:] == ["table-none.csv", "table-talk.csv", "dictionary.csv"]
    with (tmp_path / "measures.csv").open(newline="") as csv_file:
        assert [row[1:] for row in csv.reader(csv_file)] == [
            ["name", "step", "number", "value", "kind", "unit"],
            ["last", "0", "", "", "", ""], ["last", "1", "", '"=1+1"', "", ""],
            ["last", "2", "", '"Two."', "", ""],
            *(["said", str(step), str(step), str(step), "number", "lines"] for step in range(3)),
        ]  # fmt: skip
    with (tmp_path / "table-talk.csv").open(newline="") as csv_file:
        assert list(csv.DictReader(csv_file)) == [
            {"run": result.run, "who": "A", "text": "'=1+1", "two": "[1,2]"},
            {"run": result.run, "who": "B", "text": "Two.", "two": "[1,2]"},
        ]
    assert (tmp_path / "table-none.csv").read_text() == '"run","name"\n'
    lines = (tmp_path / "table-talk.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [dict(row) for row in result.tables["talk"]]
    assert len((tmp_path / "measures.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_readmes_example_runs_and_is_exported(text: str, tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    result = pyscrai_core.run(file, store=tmp_path / "runs.db")
    assert (result.status, result.outcomes) == ("completed", {"said": 6}), result.error
    with Store.open(tmp_path / "runs.db") as store:
        Csv(Csv.Config()).export([store.run("last")], tmp_path)
    assert '"\'=SUM(A1:A9)"' in (tmp_path / "events.csv").read_text()
