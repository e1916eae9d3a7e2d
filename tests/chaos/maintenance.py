"""Commands that change a whole store, killed at random moments: a store is as before, or as after."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

from attrs import frozen

from pyscrai_core import api
from pyscrai_records.canonical import canonical, digest

SCENARIO = """
scenario: talk
providers: {default: {use: scripted, choice: [One., Two., Three words here.]}}
agents: {A: {persona: First.}, B: {persona: Second.}, C: {persona: Third.}}
schedule: {use: round-robin, rounds: 100}
"""
#: What makes a store one of the version before rows had checksums.
OLDER = (
    *(f"ALTER TABLE {table} DROP COLUMN checksum" for table in ("calls", "manifests", "outcomes")),
    "DROP TABLE imports",
    *(f"ALTER TABLE runs DROP COLUMN {column}" for column in ("labels", "checksum")),
    "ALTER TABLE outcomes DROP COLUMN kind",
    "DELETE FROM schema_migration WHERE name >= '0006'",
)
COMMANDS = {
    "import": ("runs", "import-bundle", "bundle"),
    "rm": ("runs", "rm", "last", "--yes"),
    "gc": ("runs", "gc"),
    "migrate": ("runs",),
}


@frozen
class Prepared:
    """A folder with a store for each command, and a bundle of runs that are in none."""

    folder: Path

    @classmethod
    def at(cls, folder: Path) -> Prepared:
        file = folder / "talk.yaml"
        file.write_text(SCENARIO)
        for name, seeds in (("sent.db", (1, 2, 3)), ("whole.db", (4, 5, 6))):
            for seed in seeds:
                assert api.run(file, store=folder / name, seed=seed).status == "completed"
        made = _pyscrai(folder, "runs", "export-bundle", "last", "--out", "bundle", "--store", "sent.db")
        assert made.wait() == 0
        for name in COMMANDS:
            _copy(folder / "whole.db", folder / f"{name}.db")
        with closing(sqlite3.connect(folder / "gc.db")) as database, database:
            # Messages that no call refers to any more.
            bodies = [canonical({"role": "user", "parts": [{"text": f"{n} " * 400}]}) for n in range(3000)]
            rows = [(digest(body), body) for body in bodies]
            database.executemany("INSERT INTO messages VALUES (?, ?)", rows)
        with closing(sqlite3.connect(folder / "migrate.db")) as database, database:
            for statement in OLDER:
                database.execute(statement)
        return cls(folder)

    def kill(self, name: str, seconds: float) -> tuple[bool, list[str]]:
        """Whether the command was killed, that long after it began, and what is wrong with the store."""
        store = self.folder / "killed.db"
        _copy(self.folder / f"{name}.db", store)
        process = _pyscrai(self.folder, *COMMANDS[name], "--store", store.name)
        time.sleep(seconds)
        process.kill()
        killed = process.wait() < 0
        wrong = []
        verified = _pyscrai(self.folder, "runs", "verify", "--store", store.name)
        if verified.wait():
            wrong.append(f"{name}, killed after {seconds:.3f} s: runs verify found damage")
        with api.Store.open(store) as opened:
            runs = len(opened.runs())
        if runs not in {"import": (3, 4), "rm": (3, 2)}.get(name, (3,)):
            wrong.append(f"{name}, killed after {seconds:.3f} s: there are {runs} runs")
        # A command that was killed can be given again.
        again = _pyscrai(self.folder, *COMMANDS[name], "--store", store.name)
        if again.wait() and not (name == "import" and runs == 4):
            wrong.append(f"{name}, killed after {seconds:.3f} s: the same command fails then")
        return killed, wrong


def all_of(root: Path, kills: int, seed: int, tell: Callable[[str], None]) -> list[str]:
    """Kill each of the commands so many times; what is wrong."""
    folder = root / "maintenance"
    folder.mkdir()
    prepared, failures = Prepared.at(folder), []
    counts: Counter[str] = Counter()
    for name in COMMANDS:
        random = Random(f"{seed} {name}")
        began = time.monotonic()
        store = folder / "killed.db"
        _copy(folder / f"{name}.db", store)
        assert _pyscrai(folder, *COMMANDS[name], "--store", store.name).wait() == 0
        whole = time.monotonic() - began
        for _ in range(kills):
            killed, wrong = prepared.kill(name, random.uniform(0.3 * whole, whole))
            counts[name] += killed
            failures += wrong
        tell(f"{name}: {counts[name]} of {kills} were killed before their end, {len(failures)} wrong so far")
    shutil.rmtree(folder)
    return failures


def _pyscrai(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "pyscrai_cli.main", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _copy(store: Path, to: Path) -> None:
    for end in ("", "-wal", "-shm"):
        to.with_name(to.name + end).unlink(missing_ok=True)
    with closing(sqlite3.connect(store)) as database, closing(sqlite3.connect(to)) as target:
        database.backup(target)
