"""Maintenance of a store: runs go and leave nothing of theirs, what is shared stays, and damage is told."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pyscrai_cli.main import cli
from pyscrai_core import Engine, Provider, StoreError
from pyscrai_records.store import maintenance
from pyscrai_records.store.store import Store

COMMAND = [sys.executable, "-m", "pyscrai_cli.main"]
TALK = {
    "providers": {"default": {"use": "scripted", "replies": ["one", "two", "three"]}},
    "agents": {"A": {"persona": "First."}, "B": {"persona": "Second."}},
    "schedule": {"use": "round-robin", "rounds": 6},
    "outcomes": {"n": "len(events)"},
}


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["runs", *arguments, "--store", "runs.db"], prog_name="pyscrai")


def sql(query: str, *values: Any) -> list[tuple[Any, ...]]:
    database = sqlite3.connect("runs.db")
    with database:
        found = database.execute(query, values).fetchall()
    database.close()
    return found


def tables() -> dict[str, int]:
    names = [name for (name,) in sql("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: sql(f'SELECT count(*) FROM "{name}"')[0][0] for name in names}


@pytest.fixture
def study(play: Callable[..., Any]) -> list[str]:
    """Two runs of one scenario; the second has other words, and the same beginning."""
    other = {**TALK, "providers": {"default": {"use": "scripted", "replies": ["other", "words"]}}}
    return [play(TALK).run, play(other).run]


class Vectors(Provider):
    async def complete(self, request: Any, sink: Any = None) -> Any:
        raise NotImplementedError

    async def embed(self, texts: Any) -> list[list[float]]:
        return [[float(len(text))] for text in texts]


class Embeds(Engine):
    async def run(self, turn: Any) -> None:
        turn.emit("near", {"vectors": await turn.embed(["a", "bcd"]), "at": turn.now() > 0})


# -- removing and collecting --


def test_what_two_runs_share_is_kept_when_one_of_them_goes(study: list[str]) -> None:
    before = tables()
    gone, left = study
    sql("INSERT INTO claims VALUES ('key', ?)", gone)
    sql("INSERT INTO inputs (run, kind, body, author, created) VALUES (?, 'pause', '', 'me', 0)", gone)
    removed = invoke("rm", gone[:6], gone, "--yes")
    assert removed.stdout == f"removed {gone}\ntheir messages stay until: pyscrai runs gc --store runs.db\n"
    after = tables()
    assert {name: after[name] for name in ("runs", "manifests", "outcomes")} == dict.fromkeys(
        ("runs", "manifests", "outcomes"), 1
    )
    assert (after["events"], after["calls"], after["claims"], after["inputs"]) == (12, 12, 0, 0)
    assert after["messages"] == before["messages"]
    collected = json.loads(invoke("gc", "--json").stdout)
    assert 0 < collected["messages"] == before["messages"] - tables()["messages"]
    assert collected["size"] == Path("runs.db").stat().st_size
    assert invoke("gc").stdout.startswith("removed 0 messages of 0 bytes; ")
    assert invoke("verify").stdout == "1 run: fine\n"
    replayed = CliRunner().invoke(cli, ["replay", left, "--store", "runs.db"])
    assert "identical" in replayed.stdout
    assert not list(Path("runs.db-owners").iterdir())


def test_what_was_asked_of_others_than_models_is_kept(play: Any) -> None:
    scenario = {"providers": {"default": "vectors"}, "agents": {"A": {"engine": "embeds"}}}
    play(
        {**scenario, "schedule": {"use": "round-robin", "rounds": 2}},
        provider__vectors=Vectors,
        engine__embeds=Embeds,
    )
    before = tables()["messages"]
    assert before
    assert json.loads(invoke("gc", "--json").stdout)["messages"] == 0
    assert tables()["messages"] == before
    assert invoke("verify").stdout == "1 run: fine\n"


def test_nothing_is_removed_unless_all_can_be(study: list[str]) -> None:
    before = tables()
    missing = invoke("rm", study[0], "ffff", "--yes")
    assert (missing.exit_code, "run 'ffff': the store" in missing.stderr) == (2, True)
    unsure = invoke("rm", "last")
    assert (unsure.exit_code, "give --yes to remove 1 run for good" in unsure.stderr) == (2, True)
    assert invoke("rm").exit_code == 2
    assert tables() == before


@pytest.mark.slow
def test_a_person_is_asked_and_may_say_no(study: list[str]) -> None:
    for answer, status, left in ((b"n\n", 1, 2), (b"y\n", 0, 1)):
        ours, theirs = pty.openpty()
        command = [*COMMAND, "runs", "rm", study[0], "--store", "runs.db"]
        with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            os.write(ours, answer)
            screen = b""
            try:
                while data := os.read(ours, 4096):
                    screen += data
            except OSError:  # how Linux tells that the other side is closed
                os.close(ours)
        assert (process.returncode, tables()["runs"]) == (status, left)
        assert study[0].encode() in screen
        assert b"12 events" in screen
        assert b"Remove 1 run for good? [y/N]" in screen


@pytest.fixture
def executing(study: list[str]) -> Iterator[str]:
    """A run of the same store, whose process waits for a model."""
    waiting = {**TALK, "providers": {"default": {"use": "scripted", "replies": ["…"], "latency": 3600}}}
    Path("waiting.json").write_text(json.dumps({"scenario": "waiting", **waiting}))
    with subprocess.Popen([*COMMAND, "run", "waiting.json", "-q", "--store", "runs.db"]) as process:
        while not (found := sql("SELECT id FROM runs WHERE status = 'running'")):
            assert process.poll() is None
            time.sleep(0.05)
        yield found[0][0]
        process.kill()


def test_a_run_that_is_executed_is_left_in_peace(executing: str, study: list[str]) -> None:
    before = tables()
    for arguments in (
        ("rm", study[0], executing, "--yes"),
        ("gc",),
        ("export-bundle", executing, study[0], "--out", "x"),
    ):
        refused = invoke(*arguments)
        assert refused.exit_code == 2
        assert f"run {executing}: it is executed by process " in refused.stderr
    assert tables() == before
    assert not Path("x").exists()
    verified = invoke("verify")
    assert verified.stdout == (
        f"run {executing}: it is being executed, and was left out; check it when it has ended\n2 runs: fine\n"
    )
    assert json.loads(invoke("verify", executing, "--json").stdout)["executed"] == [executing]
    with Store.open("runs.db") as store, pytest.raises(StoreError, match="it is executed by process"):
        maintenance.remove_runs(store, [*study, executing])
    # What it had taken, it has given back.
    assert invoke("rm", *study, "--yes").exit_code == 0


def test_messages_are_not_collected_while_nobody_knows_which_are_needed(study: list[str]) -> None:
    before = tables()
    sql("UPDATE calls SET messages = 'x' WHERE number = 3")
    refused = invoke("gc")
    assert (refused.exit_code, "pyscrai runs verify" in refused.stderr) == (2, True)
    assert tables() == before


def test_options_before_the_command_are_for_the_command(study: list[str]) -> None:
    done = CliRunner().invoke(cli, ["runs", "--store", "runs.db", "--json", "verify"])
    assert sorted(json.loads(done.stdout)["fine"]) == sorted(study)
    listed = CliRunner().invoke(cli, ["runs", "--store", "runs.db", "--json"])
    assert [run["run"] for run in json.loads(listed.stdout)] == study[::-1]
    assert "no such command 'remove'" in CliRunner().invoke(cli, ["runs", "remove"]).stderr


@pytest.mark.parametrize("name", ["rm", "gc"])
def test_help_has_examples(name: str) -> None:
    shown = CliRunner().invoke(cli, ["runs", name, "--help"]).stdout
    assert f"  pyscrai runs {name}" in shown.partition("Examples:")[2]
    assert "--store" in shown
    assert "--json" in shown
