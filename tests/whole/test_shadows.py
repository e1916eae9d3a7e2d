"""Modules in the current folder, which may be a stranger's: no process of ours takes them for libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIO = {
    "scenario": "t",
    "providers": {"default": {"use": "scripted", "replies": ["Hello."]}},
    "agents": {"A": {}},
    "schedule": {"use": "round-robin", "rounds": 1},
    "outcomes": {"n": "len(events)"},
}
EXPERIMENT = {
    "experiment": "e",
    "scenario": "t.json",
    "arms": {"a": {}, "b": {"agents.A.persona": "Bold."}},
    "replicates": 2,
    "outcomes": ["n"],
}
SHADOWS = (
    *("asyncio", "attrs", "click", "dask", "distributed", "encodings", "json", "logging", "loguru"),
    *("multiprocessing", "orjson", "peewee", "pickle", "pyscrai_core", "pyscrai_experiments", "random"),
    *("runpy", "sqlite3", "tokenize", "yaml"),
)


@pytest.mark.parametrize(
    "executor",
    [
        "local",
        {"use": "processes", "processes": 1},
        pytest.param({"use": "dask", "workers": 1}, marks=pytest.mark.slow),
    ],
    ids=lambda executor: executor if isinstance(executor, str) else executor["use"],
)
def test_no_process_of_an_experiment_imports_from_the_current_folder(
    executor: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "bin" / "pyscrai"  # as it is installed: Python looks in the script's folder
    script.parent.mkdir()
    script.write_text("from pyscrai_cli.main import main\nif __name__ == '__main__':\n    main()\n")
    (tmp_path / "theirs").mkdir()
    monkeypatch.chdir(tmp_path / "theirs")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    Path("t.json").write_text(json.dumps(SCENARIO))
    Path("e.json").write_text(json.dumps({**EXPERIMENT, "executor": executor}))
    for name in SHADOWS:
        Path(f"{name}.py").write_text("open('executed', 'a').write(__name__ + ' ')\n")
    command = [sys.executable, str(script), "experiment", "run", "e.json", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert not Path("executed").exists(), Path("executed").read_text()
    assert done.returncode == 0, done.stderr
