"""`pyscrai export`: which runs, which options, which mistakes."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pyscrai_cli.main import cli
from pyscrai_testing.terminal import PATIENCE, PYSCRAI

OWN = """
from attrs import frozen
from pyscrai_core import Exporter, Observer

class Count(Exporter):
    @frozen
    class Config:
        prefix: str = "n"

    def export(self, runs, destination):
        path = destination / "count.txt"
        path.write_text(f"{self.config.prefix} {sum(1 for run in runs for _ in run.events())}")
        return [path]

class Tell(Observer):
    @frozen
    class Config:
        file: str

    def on_event(self, event):
        with open(self.config.file, "a") as file:
            file.write(f"{event.seq}\\n")
"""


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, prog_name="pyscrai")


def run(*arguments: str, replies: tuple[str, ...] = ("one", "two"), **more: Any) -> str:
    """The id of a new run."""
    scenario = {
        "scenario": "talk",
        "providers": {"default": {"use": "scripted", "replies": list(replies)}},
        "agents": {"Mara": {}, "Jon": {}},
        "schedule": {"use": "round-robin", "rounds": 1},
        **more,
    }
    Path("talk.yaml").write_text(json.dumps(scenario))
    ended = invoke("run", "talk.yaml", "--json", *arguments)
    assert ended.exit_code == 0, ended.stderr
    return str(json.loads(ended.stdout)["run"])


@pytest.fixture
def talks() -> list[str]:
    """Four runs: two of an experiment, and two that have other labels or none."""
    return [
        run("--label", "experiment=apples", "--label", "arm=short", "--label", "replicate=1"),
        run("--label", "experiment=apples", "--label", "arm=long", "--label", "replicate=1"),
        run("--label", "arm=long"),
        run(),
    ]


def exported(*arguments: str) -> list[str]:
    """The runs that an export has."""
    shown = invoke("export", *arguments, "--format", "csv", "--out", "out")
    assert shown.exit_code == 0, shown.stderr
    assert "out/events.csv" in shown.stdout.split()
    with Path("out/runs.csv").open(newline="") as file:
        return [row["run"] for row in csv.DictReader(file)]


def test_runs_labels_and_experiments_choose(talks: list[str]) -> None:
    short, long, other, last = talks
    assert exported() == [last]
    assert exported("last", short) == [short, last]
    assert exported(short[:6], short) == [short]
    assert exported("apples") == [short, long]
    assert exported("apples", "--label", "arm=long") == [long]
    assert exported("--label", "arm=long") == [long, other]
    assert exported("apples", last) == [short, long, last]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["pears"], "run 'pears': the store .* has no such run and no runs of such an experiment; its "
                    "experiments: apples"),
        (["--label", "arm=longer"], r"label arm=longer: no run has it \(arm is one of: long, short\)"),
        (["--label", "colour=red"], r"no run has a label 'colour'; labels: arm, experiment, replicate"),
        (["--set", "separater=tab"], "--format csv: separater: .*did you mean 'separator'"),
        (["--set", "separator=dash"], "--format csv: separator: expected one of comma, semicolon, tab"),
        (["--set", "separator"], "expected KEY=VALUE"),
        (["--set", "a=1", "--set", "a.b=1"], "'a' has a value already"),
        (["--format", "cvs"], r"exporter 'cvs': not installed \(did you mean 'csv'\?\)"),
        (["--format", "./none.py:Mine"], "there is no file './none.py'"),
        (["--out", "talk.yaml"], "--out talk.yaml: talk.yaml is a file; name a folder"),
        (["--out", "talk.yaml/below"], "--out talk.yaml/below: talk.yaml is a file; name a folder"),
        (["--out", "/proc/none"], "--out /proc/none: .*choose another place"),
        (["--store", "none.db"], "store none.db: it does not exist"),
    ],
)  # fmt: skip
def test_mistakes_are_told_and_nothing_is_written(talks: list[str], arguments: list[str], said: str) -> None:
    before = sorted(Path().rglob("*"))
    shown = invoke("export", "--format", "csv", "--out", "out", *arguments)
    assert shown.exit_code == 2, shown.stderr
    assert shown.stdout == ""
    assert re.search(said, " ".join(shown.stderr.split())), shown.stderr
    assert [path for path in sorted(Path().rglob("*")) if ".db" not in path.name] == [
        path for path in before if ".db" not in path.name
    ]


def test_options_and_exporters_of_ones_own(talks: list[str]) -> None:
    assert invoke("export", "--format", "csv", "--out", "out", "--set", "separator=tab").exit_code == 0
    assert '"run"\t"seq"' in Path("out/events.csv").read_text()
    Path("own.py").write_text(OWN)
    own = ("export", "apples", "--format", "./own.py:Count", "--out", "own", "--set", "prefix=events")
    refused = invoke(*own)
    assert refused.exit_code == 2
    assert "run the Python code in the file: ./own.py" in refused.stderr
    assert not Path("own").exists()
    assert invoke(*own, "--trust").exit_code == 0
    assert Path("own/count.txt").read_text() == "events 4"


def test_observers_take_options_and_files() -> None:
    Path("own.py").write_text(OWN)
    Path("pyscrai.toml").write_text('observers = [{use = "./own.py:Tell", file = "told.txt"}]\n')
    run("--trust")
    assert Path("told.txt").read_text() == "1\n2\n"
    Path("pyscrai.toml").write_text('observers = [{use = "./own.py:Tell", fil = "told.txt"}]\n')
    shown = invoke("run", "talk.yaml", "--trust")
    assert shown.exit_code == 2
    assert "observers../own.py:Tell: fil: " in shown.stderr


def test_a_live_run_is_exported_as_it_is(tmp_path: Path) -> None:
    scenario = {
        "scenario": "talk",
        "providers": {"default": {"use": "scripted", "replies": ["word"], "latency": 0.1}},
        "agents": {"Mara": {}},
        "schedule": {"use": "round-robin", "rounds": 500},
    }
    Path("talk.yaml").write_text(json.dumps(scenario))
    live = subprocess.Popen([*PYSCRAI, "run", "talk.yaml", "--quiet"], env=dict(os.environ))
    try:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if Path(".pyscrai/runs.db").exists() and len(invoke("log").stdout.splitlines()) > 3:
                break
            time.sleep(0.1)
        shown = invoke("export", "--format", "csv", "--out", "out")
        assert shown.exit_code == 0, shown.stderr
        assert "is running: it is exported as it is now, with" in shown.stderr
    finally:
        live.terminate()
        live.wait(PATIENCE)
    with Path("out/events.csv").open(newline="") as file:
        seqs = [int(row["seq"]) for row in csv.DictReader(file)]
    assert seqs == list(range(1, len(seqs) + 1))
    with Path("out/runs.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["status"], row["ended"], int(row["steps"])) == ("running", "", seqs[-1])
