"""The README: its example runs, and its tables name every measure and option."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import attrs
import click
from click.testing import CliRunner

from pyscrai_cli.main import cli
from pyscrai_measures import MEASURES, commands, rubric

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_example_runs() -> None:
    (text,) = re.findall(r"```yaml\n(scenario: .*?)```", README, re.DOTALL)
    Path("bread.yaml").write_text(text)
    (text,) = re.findall(r"```yaml\n(judge: .*?)```", README, re.DOTALL)
    Path("politeness.yaml").write_text(text)
    (block,) = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines():
        _, *arguments = shlex.split(line)
        done = CliRunner().invoke(cli, arguments, prog_name="pyscrai")
        assert done.exit_code == 0, (line, done.output)
    assert len(Path("measures.csv").read_text().splitlines()) == 1 + 3 + 1
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, list[dict[str, object]]] = {}
    exec(compile(example, "README", "exec"), names)
    assert len(names["ratings"]) == 2 * 2 * 2
    assert {"measure": "turn_gini", "agent": "", "to": "", "value": 0.0}.items() <= {
        key: value for row in names["rows"] if row["measure"] == "turn_gini" for key, value in row.items()
    }.items()


def test_the_table_names_every_measure() -> None:
    listed = {}
    for names, whole, each in re.findall(r"^\| (`.*?) \| (yes|no) \| (yes|no) \|", README, re.MULTILINE):
        listed |= dict.fromkeys(re.findall(r"`(\w+)`", names), (whole == "yes", each == "yes"))
    assert listed == {name: (one.whole, one.each) for name, one in MEASURES.items()} | {
        "transitions": (False, True)
    }


def test_the_tables_name_every_option_and_key() -> None:
    for option in (*commands.measure.params, *commands.judge.params):
        if isinstance(option, click.Option):
            assert f"`{max(option.opts, key=len)}" in README, option
    keys = set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE))
    for kind in (rubric.RubricSpec, rubric.Question, rubric.Blind):
        assert {option.name for option in attrs.fields(kind)} <= keys
