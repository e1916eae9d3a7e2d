"""With the plugins that a scenario usually has beside this one: skipped where those are not installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pyscrai_tables.csv_export import Csv

import pyscrai_core
from pyscrai_core import NoConfig
from pyscrai_core.store.store import Store

for _name in ("cast", "memory", "schedules", "scripted"):
    pytest.importorskip(f"pyscrai_{_name}.plugin", reason=f"needs pyscrai-{_name}")

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```yaml\n(scenario:.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_readmes_example_runs_and_is_exported(text: str, tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    result = pyscrai_core.run(file, store=tmp_path / "runs.db")
    assert (result.status, result.outcomes) == ("completed", {"said": 6}), result.error
    with Store.open(tmp_path / "runs.db") as store:
        events, _, _ = Csv(NoConfig()).export(store.run("last"), tmp_path)
    assert '"\'=SUM(A1:A9)"' in events.read_text()
