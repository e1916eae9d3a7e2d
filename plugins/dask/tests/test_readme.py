"""The README: its example runs, and its table names every option."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from pyscrai_cli.main import cli
from pyscrai_dask.executor import Dask

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("talk.yaml", "spread.yaml"):
        (text,) = re.findall(rf"`{name}`:\n\n```yaml\n(.*?)```", README, re.DOTALL)
        Path(name).write_text(text)
    (block,) = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines():
        _, *arguments = shlex.split(line)
        done = CliRunner().invoke(cli, arguments, prog_name="pyscrai")
        assert done.exit_code == 0, (line, done.output)
        assert "spread" in done.output


def test_the_table_names_every_option() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)
    assert listed == [option.name for option in attrs.fields(Dask.Config)]
