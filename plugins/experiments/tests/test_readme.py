"""The README: its example runs, and its tables name every option."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import attrs
import click
from click.testing import CliRunner

from pyscrai_cli.main import cli
from pyscrai_experiments import commands, spec

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_example_runs() -> None:
    for name in ("market.yaml", "markup.yaml"):
        (text,) = re.findall(rf"`{name}`[^`]*```yaml\n(.*?)```", README, re.DOTALL)
        Path(name).write_text(text)
    (block,) = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines():
        _, *arguments = shlex.split(line)
        done = CliRunner().invoke(cli, arguments, prog_name="pyscrai")
        assert done.exit_code == 0, (line, done.output)
    assert "Supported: that marked is greater than plain" in Path("report.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, "README", "exec"), names)
    assert names["markdown"] == Path("report.md").read_text()


def test_the_tables_name_every_key_of_the_file() -> None:
    keys = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", README, re.MULTILINE))))
    for kind in (spec.ExperimentSpec, spec.OutcomeSpec, spec.FactorSpec, spec.PairingsSpec):
        assert {option.name for option in attrs.fields(kind)} <= keys
    for kind in (spec.BudgetSpec, spec.ClaimSpec, spec.CompareSpec, spec.DesignSpec, spec.StoppingSpec):
        for option in attrs.fields(kind):
            assert re.search(rf"[`{{ ]{option.name}[`:,]", README), option.name


def test_the_tables_name_every_command_and_option() -> None:
    for name, command in commands.experiment.commands.items():
        assert f"| `{name} FILE` |" in README
        for option in command.params:
            if isinstance(option, click.Option):
                assert f"`{max(option.opts, key=len)}" in README, option
