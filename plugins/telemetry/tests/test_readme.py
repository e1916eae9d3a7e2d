"""The README: its example runs, its table names every option, and its metrics are those that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs

from pyscrai_telemetry import conventions
from pyscrai_telemetry.observer import Telemetry

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_examples_run(tmp_path: Path, collector: Any) -> None:
    (text,) = re.findall(r"`talk.yaml`:\n\n```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "talk.yaml").write_text(text)
    (block,) = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines():
        # The ports of a user's machine are not ours.
        line = line.replace("http://127.0.0.1:4318", collector.url).replace("=9464", "=0")
        _, *arguments = shlex.split(line)
        command = [sys.executable, "-m", "pyscrai_cli.main", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, (line, done.stderr)
    assert len(collector.named("chat")) == 4
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("http://127.0.0.1:")


def test_the_table_names_every_option() -> None:
    options = README[README.index("## Options") : README.index("| environment variable")]
    listed = re.findall(r"^\| `(\w+)` \|", options, re.MULTILINE)
    assert listed == [option.name for option in attrs.fields(Telemetry.Config)]


def test_the_table_names_every_metric() -> None:
    metrics = README[README.index("## Metrics") : README.index("## The conventions")]
    listed: set[str] = set()
    for row in re.findall(r"^\| (`.*?) \|", metrics, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", row)
        listed |= {first, *(one.replace("…", first.removesuffix(".input_tokens")) for one in others)}
    instruments = [one for one in vars(conventions).values() if isinstance(one, conventions.Instrument)]
    former = {conventions.FORMER_DURATION.name, conventions.FORMER_TOKENS.name}
    assert listed == {one.name for one in instruments} - former
