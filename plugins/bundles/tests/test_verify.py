"""`pyscrai runs verify`: damage to a store is found and described."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pyscrai_cli.main import cli
from pyscrai_core import api

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


ONE = "(SELECT min(id) FROM runs WHERE created = (SELECT min(created) FROM runs))"
REMEDY = "restore the store from a copy, or remove the run with: pyscrai runs rm "
DAMAGE = {
    "DELETE FROM manifests WHERE run={}": "its manifest is missing",
    "UPDATE manifests SET body='{{' WHERE run={}": "manifests: body is not JSON",
    "UPDATE manifests SET body='[]' WHERE run={}": "manifests: body is [], expected dict as JSON",
    "UPDATE manifests SET body='{{}}' WHERE run={}": "its manifest lacks format, kernel, scenario, files, ",
    "UPDATE runs SET status='asleep' WHERE id={}": "its status is 'asleep', expected one of running",
    "UPDATE runs SET fingerprint='0' WHERE id={}": "recorded was 0",
    "UPDATE runs SET fingerprint='' WHERE id={}": "recorded was none",
    "UPDATE runs SET seed='x' WHERE id={}": "runs: seed is 'x', expected int",
    "UPDATE runs SET seed=99 WHERE id={}": "its seed is 99, and 0 in its manifest",
    "UPDATE runs SET scenario='other' WHERE id={}": "its scenario is 'other', and 'test' in its manifest",
    "UPDATE runs SET ended=1e300 WHERE id={}": "expected seconds since 1970",
    "UPDATE outcomes SET value='nope' WHERE run={}": "outcomes n: value is not JSON",
    "DELETE FROM events WHERE seq=3 AND run={}": "event 4: it follows event 2, expected event 3",
    "DELETE FROM events WHERE seq=12 AND run={}": "its log has the fingerprint",
    """UPDATE events SET payload='{{"text":"lie"}}' WHERE seq=3 AND run={}""": "its log has the fingerprint",
    "UPDATE events SET payload='{{' WHERE seq=3 AND run={}": "events 3: payload is not JSON",
    "UPDATE events SET payload='[1e999]' WHERE seq=3 AND run={}": "events 3: payload is not JSON",
    "UPDATE events SET audience='[1]' WHERE seq=3 AND run={}": "events 3: audience is [1], expected strings",
    "UPDATE events SET cause=3 WHERE seq=3 AND run={}": "event 3: its cause is 3, expected an earlier event",
    "UPDATE events SET step=1 WHERE seq=3 AND run={}": "event 3: its step is 1, expected 2 or later",
    "UPDATE events SET step='x' WHERE seq=3 AND run={}": "events 3: step is 'x', expected int",
    "UPDATE events SET kind=CAST(X'ff' AS TEXT) WHERE seq=3 AND run={}": "it cannot be read",
    "UPDATE calls SET answer='{{' WHERE number=3 AND run={}": "call 3: its answer is not JSON",
    "UPDATE calls SET answer='' WHERE number=3 AND run={}": "call 3: its answer is not JSON",
    "UPDATE calls SET attempts='{{}}' WHERE number=3 AND run={}": "calls 3: attempts is {}, expected list",
    "UPDATE calls SET status='odd' WHERE number=3 AND run={}": "call 3: its status is 'odd'",
    "UPDATE calls SET base=99 WHERE number=3 AND run={}": "call 3: it continues from call 99",
    "UPDATE calls SET base=NULL WHERE number=3 AND run={}": "call 3: it keeps 1 messages of call None",
    "UPDATE calls SET kept=50 WHERE number=3 AND run={}": "call 3: it keeps 50 messages of call 1",
    "UPDATE calls SET kept=-1 WHERE number=3 AND run={}": "call 3: it keeps -1 messages",
    "UPDATE calls SET messages='[\"00\"]' WHERE number=3 AND run={}": "call 3: what it asked has the hash",
    "UPDATE calls SET messages='x' WHERE number=3 AND run={}": "calls 3: messages is not JSON",
    "UPDATE calls SET request='0' WHERE number=3 AND run={}": "recorded was 0",
    "UPDATE calls SET frame='0' WHERE number=3 AND run={}": "call 3: what it asked has the hash",
    "DELETE FROM calls WHERE number=1 AND run={}": "call 3: it continues from call 1",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_to_a_run_is_told(damage: str, study: list[str]) -> None:
    sql(damage.format(ONE))
    verified = invoke("verify")
    *problems, last = verified.stdout.splitlines()
    assert verified.exit_code == 1
    assert last == "1 run: fine"
    assert any(DAMAGE[damage] in problem for problem in problems)
    for problem in problems:
        assert problem.startswith(f"run {study[0]}: ")
        assert problem.endswith(f"; {REMEDY}{study[0]}")
    told = json.loads(invoke("verify", "--json").stdout)
    assert (told["problems"], told["fine"]) == (problems, [study[1]])
    assert invoke("verify", study[1]).stdout == "1 run: fine\n"


OF_THE_STORE = {
    "UPDATE messages SET body=X'00' WHERE digest=(SELECT max(digest) FROM messages)": "store: message ",
    "UPDATE messages SET body='text' WHERE digest=(SELECT max(digest) FROM messages)": "store: message ",
    "DELETE FROM runs": "store: events: there are rows of run ",
    "INSERT INTO claims VALUES ('key', 'ffff')": "store: claims: there are rows of run 'ffff', and no",
    "DELETE FROM messages WHERE digest IN (SELECT frame FROM calls)": "is not stored",
}


@pytest.mark.parametrize("damage", OF_THE_STORE)
def test_damage_to_what_runs_share_is_told(damage: str, study: list[str]) -> None:
    sql(damage)
    verified = invoke("verify")
    assert verified.exit_code == 1
    assert OF_THE_STORE[damage] in verified.stdout
    assert all("; restore the store" in line for line in verified.stdout.splitlines()[:-1])
    if "UPDATE messages" in damage:  # who asked with it is not whole
        assert re.search(r"it is part of what the runs .*\w{8} asked; restore", verified.stdout)
        assert len(json.loads(invoke("verify", "--json").stdout)["fine"]) < len(study)


def test_two_calls_at_one_position_are_told(study: list[str]) -> None:
    sql("DROP INDEX calls_run_agent_step_path")
    names = [name for _, name, *_ in sql("PRAGMA table_info(calls)")]
    copied = ",".join("99" if name == "number" else f'"{name}"' for name in names)
    sql(f"INSERT INTO calls SELECT {copied} FROM calls WHERE number = 2 AND run = {ONE}")
    assert f"run {study[0]}: there are several calls of B at step 2, " in invoke("verify").stdout


def test_a_damaged_file_is_told(study: list[str]) -> None:
    invoke("gc")  # so that all is in the one file
    data = bytearray(Path("runs.db").read_bytes())
    for page in range(12, len(data) // 4096):
        data[page * 4096 : page * 4096 + 2048] = b"\xa5" * 2048
    Path("runs.db").write_bytes(data)
    verified = invoke("verify")
    assert verified.exit_code in (1, 2)
    assert "damaged" in verified.output
    assert "bug" not in verified.output


def test_runs_of_every_ending_are_fine(play: Any, tmp_path: Path) -> None:
    play({**TALK, "limits": {"steps": 5}})
    api.resume(store=tmp_path / "runs.db", set={"limits.steps": 3})  # ends before its record does
    failing = {"use": "scripted", "replies": ["a", "b"], "after": "error"}
    play({**TALK, "providers": {"default": failing}})
    api.fork(at=2, store=tmp_path / "runs.db", set={"providers.default.after": "repeat"})
    assert sql("SELECT status FROM runs ORDER BY created") == [("stopped",), ("failed",), ("completed",)]
    assert invoke("verify").stdout == "3 runs: fine\n"
    sql("UPDATE runs SET status = 'running', checksum = ''")  # as if its process had been ended
    assert invoke("verify").stdout == "3 runs: fine\n"


@pytest.mark.parametrize("name", ["verify", "export-bundle", "import-bundle"])
def test_help_has_examples(name: str) -> None:
    shown = CliRunner().invoke(cli, ["runs", name, "--help"]).stdout
    assert f"  pyscrai runs {name}" in shown.partition("Examples:")[2]
    assert "--store" in shown
    assert "--json" in shown
