"""The README: it names every command and option, and its examples run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
from click.testing import CliRunner

from pyscrai_bundles import plugin
from pyscrai_cli.main import cli
from pyscrai_core.plugins import Host

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
TALK = {
    "scenario": "talk",
    "providers": {"default": {"use": "scripted", "replies": ["one", "two"]}},
    "agents": {"A": {"persona": "First."}, "B": {"persona": "Second."}},
    "schedule": {"use": "round-robin", "rounds": 1},
}


def test_every_command_and_option_is_described() -> None:
    host = Host()
    for extension in plugin.pyscrai_commands():
        assert f"### `pyscrai {extension.name} " in README
        for option in host.load("command", extension.name).params:
            if isinstance(option, click.Option):
                assert f"`{option.opts[0]}" in README


def test_the_examples_run() -> None:
    Path("talk.json").write_text(json.dumps(TALK))
    assert CliRunner().invoke(cli, ["run", "talk.json", "--quiet"]).exit_code == 0
    blocks = re.findall(r"```\n(pyscrai .*?)```", README, re.DOTALL)
    for line in "".join(blocks).splitlines():
        _, *arguments = shlex.split(line)
        done = CliRunner().invoke(cli, arguments, prog_name="pyscrai")
        assert done.exit_code == 0, (line, done.output)
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(example, "README", "exec"), {})
    assert Path("python.pyscrai").is_file()
