"""The README: it names every command and option, and its examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pyscrai_cli import plugin
from pyscrai_core import Extension
from pyscrai_core.plugins import Host

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("extension", plugin.pyscrai_commands(), ids=lambda extension: extension.name)
def test_every_command_and_option_is_described(extension: Extension) -> None:
    command = Host(extra=[plugin]).load("command", extension.name)
    sections = re.split(r"^### ", README[README.index("## Commands\n") :], flags=re.MULTILINE)
    (section,) = [one for one in sections if re.match(rf"`pyscrai {extension.name.split()[0]}\b", one)]
    assert f"pyscrai {extension.name}" in section
    for option in command.params:
        if isinstance(option, click.Option) and "--help" not in option.opts:
            name = max(option.opts, key=len)
            short = min(option.opts, key=len)
            assert f"`{name}" in section or f"`{short}" in section, name


def test_the_examples_run() -> None:
    for name, text in re.findall(r"Save this as `([\w.]+)`.*?```yaml\n(.*?)```", README, re.DOTALL):
        Path(name).write_text(text)
    program = Path("bin/pyscrai")
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pyscrai_cli.main "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent.resolve()}{os.pathsep}{os.environ['PATH']}"}
    (lines,) = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in lines.splitlines():
        done = subprocess.run(
            ["sh", "-c", line], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
