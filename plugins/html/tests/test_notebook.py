"""A notebook that is executed for real."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

for _name in ("cast", "memory", "schedules", "scripted"):
    pytest.importorskip(f"pyscrai_{_name}.plugin", reason=f"needs pyscrai-{_name}")

SCENARIO = {
    "scenario": "talk",
    "providers": {"default": {"use": "scripted", "replies": ["<b>One</b>.", "Two."], "latency": 0.05}},
    "agents": {"Mara": {}, "Jon": {}},
    "schedule": {"use": "round-robin", "rounds": 15},
    "outcomes": {"said": "len(events)"},
}


def execute(folder: Path, *cells: str) -> list[list[Any]]:
    """The outputs of the cells of a notebook."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return [cell.outputs for cell in notebook.cells]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "talk.yaml").write_text(json.dumps(SCENARIO))
    return tmp_path


def test_a_run_in_a_notebook(folder: Path) -> None:
    outputs = execute(
        folder,
        "import pyscrai_core",
        "result = await pyscrai_core.arun('talk.yaml', observers=[{'use': 'notebook', 'events': 4}])",
        "result",
        "result.events",
        "pyscrai_core.runs()",
        "pyscrai_core.runs()[0]",
        "print(pyscrai_core.__version__)",
    )
    _, live, result, log, runs, run, printed = outputs
    # The display was updated in place: there is one, and it shows the end.
    assert [one["output_type"] for one in live] == ["display_data"]
    shown = live[0]["data"]["text/html"]
    assert "completed" in shown
    assert "step 30, 30 events, 30 completions" in shown
    assert shown.count('<li id="e') == 4
    assert "&lt;b&gt;One&lt;/b&gt;" in shown
    shown = result[0]["data"]["text/html"]
    assert shown.count("data-agent=") == 30
    assert '<th scope="row">said</th><td class="n">30</td>' in shown
    assert log[0]["data"]["text/html"].count("data-agent=") == 30
    assert "<td>talk</td>" in runs[0]["data"]["text/html"]
    assert "fingerprint" in run[0]["data"]["text/html"]
    assert printed[0]["name"] == "stdout"


class Watching(NotebookClient):  # type: ignore[misc]
    """Keeps what the display of a cell showed, one after the other."""

    def process_message(self, msg: Any, *given: Any) -> Any:
        if msg["msg_type"] in ("display_data", "update_display_data"):
            self.seen.append(msg["content"]["data"]["text/html"])
        return super().process_message(msg, *given)


def test_the_display_changes_while_the_run_goes_on(folder: Path) -> None:
    run = "await pyscrai_core.arun('talk.yaml', observers=[{'use': 'notebook', 'seconds': 0.1}])"
    cells = [nbformat.v4.new_code_cell(cell) for cell in ("import pyscrai_core", f"result = {run}")]
    client = Watching(
        nbformat.v4.new_notebook(cells=cells),
        timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    client.seen = []
    client.execute()
    known = [re.search(r"step (\d+), (\d+) events, (\d+) completions", one) for one in client.seen]
    counts = [tuple(map(int, one.groups())) for one in known if one]
    assert len(counts) == len(client.seen)
    assert counts == sorted(counts)
    # The run takes longer than several updates, each of which has what was done until then.
    going = [count for count, one in zip(counts, client.seen, strict=True) if "running" in one]
    assert len({events for _, events, _ in going if 0 < events < 30}) >= 3
    assert (counts[-1], "completed" in client.seen[-1]) == ((30, 30, 30), True)


def test_lines_of_the_log_are_shown_if_they_are_wanted(folder: Path) -> None:
    """A run with a late event warns."""
    warn = "from pyscrai_records.base.log import logger\nlogger.warning('a warning of {}', 'ours')"
    imported = "import pyscrai_core.api, loguru, sys"
    (_, silent, others), (_, _, wanted) = (
        execute(folder, imported, *cells)
        for cells in (
            ("import pyscrai_records.store.writer as w\nw.logger.patch(lambda r: r.update(name=w.__name__))"
             ".warning('a warning of {}', 'ours')", "loguru.logger.warning('of others')"),
            ("loguru.logger.remove(); loguru.logger.add(sys.stderr)", warn),
        )
    )  # fmt: skip
    assert silent == []
    assert "of others" in others[0]["text"]
    assert "a warning of ours" in wanted[0]["text"]


def test_without_a_notebook_it_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import pyscrai_core

    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(pyscrai_core.ConfigError, match="observer 'notebook': .*pip install ipykernel"):
        pyscrai_core.run("talk.yaml", observers=["notebook"])
