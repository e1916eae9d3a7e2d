"""Observers of an experiment's trials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Invoke = Callable[..., Result]

SEEN = """\
from attrs import frozen
from pyscrai_core import Observer


class Seen(Observer):
    @frozen
    class Config:
        file: str = "seen.txt"

    def on_run(self, run, status, result):
        if result is not None:
            with open(self.config.file, "a") as written:
                written.write(f"{run} {status}\\n")
"""


@pytest.mark.parametrize("executor", ["local", "processes"])
def test_an_observer_of_the_command_line_sees_each_trial(
    files: Path, experiment: Invoke, executor: str
) -> None:
    (files / "seen.py").write_text(SEEN)
    text = (files / "exp.yaml").read_text().replace("replicates: 10", f"replicates: 2\nexecutor: {executor}")
    (files / "exp.yaml").write_text(text)
    done = experiment("run", "exp.yaml", "--trust", "--observe", "./seen.py:Seen:file=trials.txt")
    assert done.exit_code == 0, done.output
    lines = (files / "trials.txt").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 6
    assert {line.split()[1] for line in lines} == {"completed"}


@pytest.mark.parametrize(
    ("given", "said"),
    [("nobody", "observer 'nobody'"), ("telemetry:9464", "expected NAME or NAME:KEY=VALUE")],
)
def test_an_observer_that_there_is_not(files: Path, experiment: Invoke, given: str, said: str) -> None:
    done = experiment("run", "exp.yaml", "--observe", given)
    assert done.exit_code == 2
    assert said in done.output
    assert not (files / ".pyscrai").exists()
