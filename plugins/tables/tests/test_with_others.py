"""With the plugins that a scenario usually has beside this one: skipped where those are not installed."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from pyscrai_tables.csv_export import Csv
from pyscrai_tables.jsonl_export import JsonLines

import pyscrai_core
from pyscrai_core import NoConfig
from pyscrai_core.store.store import Store

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
        "measures: {said: len(events), last: '[e.payload.text for e in events][-1] if events else null'}\n"
        "tables:\n"
        "  talk: {rows: events.say, columns: {who: event.source, text: event.payload.text, two: '[1, 2]'}}\n"
        "  none: {rows: groups, columns: {name: name}}\n"
    )
    result = pyscrai_core.run(file, store=tmp_path / "runs.db")
    assert result.status == "completed"
    with Store.open(tmp_path / "runs.db") as store:
        run = store.run(result.run)
        names = [path.name for path in Csv(NoConfig()).export(run, tmp_path)]
        JsonLines(NoConfig()).export(run, tmp_path)
    assert names[3:] == ["measures.csv", "table-none.csv", "table-talk.csv"]
    with (tmp_path / "measures.csv").open(newline="") as csv_file:
        assert list(csv.reader(csv_file)) == [
            ["name", "step", "value"],
            ["last", "0", ""], ["last", "1", "'=1+1"], ["last", "2", "Two."],
            ["said", "0", "0"], ["said", "1", "1"], ["said", "2", "2"],
        ]  # fmt: skip
    with (tmp_path / "table-talk.csv").open(newline="") as csv_file:
        assert list(csv.DictReader(csv_file)) == [
            {"who": "A", "text": "'=1+1", "two": "[1,2]"}, {"who": "B", "text": "Two.", "two": "[1,2]"},
        ]  # fmt: skip
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
        events, _, _ = Csv(NoConfig()).export(store.run("last"), tmp_path)
    assert '"\'=SUM(A1:A9)"' in events.read_text()
