"""Exports that are killed in their middle: no half file has the target's name, and the next one cleans up."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIO = """\
scenario: crowd
world: {state: {n: 0}}
agents:
  A:
    count: 20
    memory: null
    engine: {use: rules, policy: [{do: step, say: I take a step.}]}
    actions: {step: {}}
rules: [{on: step, add: {n: 1}}]
schedule: {use: simultaneous, rounds: 5}
outcomes: {n: state.n}
"""
#: Runs the command, and kills itself in the midst of the rows that it writes.
KILLED = """
import os, signal, sys
from pathlib import Path
import pyscrai_bundles.bundle as bundle
import pyscrai_records.store.runs as runs
from pyscrai_cli.main import main

def killing(rows):
    for number, row in enumerate(rows):
        if number == 150 and any(Path("out").glob(".*.part")):
            os.kill(os.getpid(), signal.SIGKILL)
        yield row

events, written = runs.RecordedRun.events, bundle._rows
runs.RecordedRun.events = lambda self, after=0: killing(events(self, after))
bundle._rows = lambda *given: killing(written(*given))
main(sys.argv[1:])
"""
BUNDLE = ("runs", "export-bundle", "--force", "--out", "out/runs.pyscrai")
EXPORTS = [
    *(
        ("export", "--out", "out", "--format", name)
        for name in ("csv", "jsonl", "graphml", "html", "inspect")
    ),
    *(("export", "--out", "out", "--format", name) for name in ("parquet", "duckdb")),
    BUNDLE,
]


def pyscrai(*command: str, script: str = "") -> int:
    start = ["-c", script] if script else ["-m", "pyscrai_cli.main"]
    done = subprocess.run([sys.executable, *start, *command], capture_output=True, timeout=120, check=False)
    return done.returncode


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    (folder / "crowd.yaml").write_text(SCENARIO)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert pyscrai("run", "crowd.yaml", "-q", "--store", str(folder / "runs.db")) == 0
    return folder / "runs.db"


@pytest.mark.skipif(sys.platform == "win32", reason="there, nothing is removed")
@pytest.mark.parametrize("export", EXPORTS, ids=[export[-1].rpartition(".")[2] for export in EXPORTS])
def test_an_export_that_is_killed_leaves_no_half_file(
    export: tuple[str, ...], study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYSCRAI_STORE", str(study))
    out = tmp_path / "out"
    # Into a new folder, and over the files of an earlier export.
    assert pyscrai(*export, script=KILLED) == -signal.SIGKILL
    assert [path.name for path in out.iterdir() if ".part" not in path.name] == []
    assert pyscrai(*export) == 0
    whole = {path.name: path.read_bytes() for path in out.iterdir()}
    assert whole
    assert not [name for name in whole if ".part" in name]
    assert pyscrai(*export, script=KILLED) == -signal.SIGKILL
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.name in whole} == whole
    assert len(list(out.iterdir())) > len(whole)
