"""Plugins that are upgraded or removed between a run and its resume: real distributions, installed by pip.

The sources in `distributions/upgrades/` are version 1; others are made of them by replacing text.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core

SOURCES = Path(__file__).parents[1] / "face" / "distributions" / "upgrades"
KERNEL = Path(pyscrai_core.__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
KEY = "FIXTURE_ORACLE_KEY"
LATER = "LATER = "
TODAY, ELSE = r'"Write two words.\nWhat happened today?"', r'"Write two words.\nWhat else?\nTell all."'


class Environment:
    """A folder into which distributions are installed, a store, and a server of the model."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.site, self.store = folder / "site", folder / "runs.db"
        self.variables = {KEY: "a-key-of-the-oracle", "FIXTURE_ORACLE_PORT": str(port)}

    def install(self, *sources: Path) -> None:
        more = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(self.site)]
        subprocess.run([*PIP, "install", *more, *map(str, sources)], check=True)

    def upgrade(self, name: str, version: str, old: str = "", new: str = "") -> None:
        """Install another version in place of the one that is there, with a text of its engine replaced."""
        source = self.folder / f"{name}-{version}"
        shutil.copytree(SOURCES / name, source, ignore=shutil.ignore_patterns("__pycache__"))
        project = source / "pyproject.toml"
        project.write_text(project.read_text().replace('version = "1"', f'version = "{version}"'))
        if old:
            module = source / "fixture_diarist" / "diary.py"
            assert old in module.read_text()
            module.write_text(module.read_text().replace(old, new))
        self.remove(name)
        self.install(source)

    def remove(self, name: str) -> None:
        # pip uninstalls nothing from a folder that it was told to install into.
        for path in self.site.glob(f"fixture_{name}*"):
            shutil.rmtree(path)

    def execute(self, *arguments: str, status: int = 0, store: Path | None = None) -> str:
        """What the command prints: its output, and then its errors."""
        return "".join(self._command(arguments, status, store))

    def json(self, *arguments: str, status: int = 0, store: Path | None = None) -> Any:
        """The object that the command prints."""
        return json.loads(self._command((*arguments, "--json"), status, store)[0])

    def _command(self, arguments: Sequence[str], status: int, store: Path | None) -> tuple[str, str]:
        path = os.pathsep.join([str(self.site), str(KERNEL)])
        done = subprocess.run(
            [sys.executable, "-m", "pyscrai_cli.main", *arguments, "--store", str(store or self.store)],
            env={**os.environ, **self.variables, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout, done.stderr

    def dump(self) -> list[str]:
        with sqlite3.connect(self.store) as database:
            return list(database.iterdump())

    def manifest(self, run: str) -> Any:
        with sqlite3.connect(self.store) as database:
            found = database.execute("SELECT body FROM manifests WHERE run = ?", (run,)).fetchone()
        return json.loads(found[0])


GIVEN = {
    "scenario": "days",
    "seed": 4,
    "providers": {"default": {"use": "oracle", "retry": {"tries": 1}}},
    "agents": {"A": {"engine": "diarist"}, "B": {"engine": "diarist"}},
    "schedule": {"use": "round-robin", "rounds": 3},
}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Environment, str]]:
    """Version 1 of all, a run of it that stopped after four of six calls, and a whole one's fingerprint."""
    folder = tmp_path_factory.mktemp("first")
    scenario = folder / "days.json"
    scenario.write_text(json.dumps(GIVEN))
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Environment(folder, server.getsockname()[1])
        made.install(*(SOURCES / name for name in ("diarist", "oracle", "bystander")))
        whole = made.json("run", str(scenario), store=folder / "whole.db")
        made.execute("run", str(scenario), "--set", "limits.calls=4", status=3)
        yield made, whole["fingerprint"]


@pytest.fixture
def environment(first: tuple[Environment, str], tmp_path: Path) -> Environment:
    """The same, for one test."""
    shutil.copytree(first[0].folder, tmp_path, dirs_exist_ok=True)
    return Environment(tmp_path, first[0].port)


@pytest.fixture
def undisturbed(first: tuple[Environment, str]) -> str:
    """The fingerprint of the run that nobody stopped, under version 1."""
    return first[1]


MORE = ("--set", "limits.calls=99")


@pytest.mark.slow
def test_upgrades_that_change_nothing_of_a_run_do_not_hinder_it(
    environment: Environment, undisturbed: str
) -> None:
    environment.upgrade("bystander", "2")
    environment.execute("replay")
    stopped = environment.json("resume", "--set", "limits.calls=5", status=3)
    assert (stopped["asked"], stopped["status"]) == (1, "stopped")
    environment.upgrade("diarist", "2", '"""What', '"""Better: what')
    done = environment.json("resume", *MORE)
    assert (done["status"], done["asked"], done["fingerprint"]) == ("completed", 1, undisturbed)
    environment.execute("replay")


@pytest.mark.slow
def test_an_upgrade_that_asks_something_else_is_told_and_can_be_accepted(environment: Environment) -> None:
    run = environment.json("show")["run"]
    environment.upgrade("bystander", "2")
    environment.upgrade("diarist", "2", LATER + TODAY, LATER + ELSE)
    before = environment.dump()
    told = environment.execute("resume", *MORE, status=1)
    assert f"run {run}: agents.A, step 3: turn 2, call 1/think.1#1 (complete): this execution asks" in told
    lines = told.splitlines()
    start = lines.index("   Write two words.")
    assert lines[start + 1 : start + 4] == ["-  What happened today?", "+  What else?", "+  Tell all."]
    others = next(line for line in lines if line.startswith("other versions since: "))
    assert sorted(others.removeprefix("other versions since: ").split(", ")) == [
        "fixture-bystander was 1 and is 2",
        "fixture-diarist was 1 and is 2",
    ]
    assert f"pyscrai resume {run} --accept-changes" in told
    assert environment.dump() == before
    replayed = environment.execute("replay", status=1)
    assert "-  What happened today?\n+  What else?\n+  Tell all.\n" in replayed
    assert environment.dump() == before

    forked = environment.json("resume", run, *MORE, "--accept-changes")
    assert (forked["status"], forked["asked"], forked["run"] != run) == ("completed", 4, True)
    manifest = environment.manifest(forked["run"])
    (fork,) = manifest["forks"]
    assert (fork["parent"], fork["after"], fork["at"]) == (run, 2, 2)
    assert "+  What else?" in fork["accepted"]
    assert {"name": "diarist", "distribution": "fixture-diarist", "version": "2"} in manifest["plugins"]
    shown = environment.json("show", forked["run"])
    assert "fixture-diarist" in {one["distribution"] for one in shown["plugins"]}
    environment.execute("replay", forked["run"])
    # The run itself is as it was, and continues where its plugin is what it was.
    assert environment.json("show", run)["status"] == "stopped"
    environment.upgrade("diarist", "1.0")
    assert environment.json("resume", run, *MORE)["status"] == "completed"


def test_a_replay_needs_neither_the_providers_plugin_nor_its_key_nor_its_server(
    environment: Environment, undisturbed: str
) -> None:
    assert environment.json("resume", *MORE)["fingerprint"] == undisturbed
    environment.remove("oracle")
    environment.variables = {}
    replayed = environment.json("replay")
    assert (replayed["identical"], replayed["fingerprint"]) == (True, undisturbed)
    told = environment.execute("run", "days.json", status=2)
    assert "provider 'oracle': not installed" in told
