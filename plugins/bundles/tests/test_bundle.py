"""Bundles: what is sent arrives as it was, and what was cut off, changed or made up changes nothing."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import warnings
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import frozen
from click.testing import CliRunner, Result

from pyscrai_bundles import bundle as bundles
from pyscrai_bundles.bundle import FORMAT, OLDEST, Bundle, export_bundle
from pyscrai_cli.main import cli
from pyscrai_core import Engine, FilePath, StoreError, api
from pyscrai_records import secret as keys
from pyscrai_records.base import redaction
from pyscrai_records.canonical import canonical, digest
from pyscrai_records.store.store import Store

TALK = {
    "providers": {"default": {"use": "scripted", "replies": ["one", "two", "three"]}},
    "agents": {"A": {"persona": "First."}, "B": {"persona": "Second."}},
    "schedule": {"use": "round-robin", "rounds": 3},
    "outcomes": {"n": "len(events)"},
}
MEMBERS = [f"{name}.jsonl" for name in ("runs", "manifests", "events", "calls", "messages", "outcomes")]


def invoke(*arguments: str, store: str = "other.db") -> Result:
    return CliRunner().invoke(cli, [*arguments, "--store", store], prog_name="pyscrai")


def content(store: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of a store but the lists of migrations; nothing for one that is not there."""
    if not Path(store).exists():
        return {}
    with closing(sqlite3.connect(store)) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY name").fetchall()
        tables = [name for (name,) in names if not name.startswith("schema")]
        return {name: sorted(database.execute(f'SELECT * FROM "{name}"'), key=repr) for name in tables}


@pytest.fixture
def study(play: Callable[..., Any]) -> list[str]:
    """A bundle `b` of two runs of the store `runs.db`."""
    other = {**TALK, "providers": {"default": {"use": "scripted", "replies": ["other", "words"]}}}
    runs = [play(TALK).run, play(other).run]
    assert invoke("runs", "export-bundle", *runs, "--out", "b", store="runs.db").exit_code == 0
    return runs


def members(path: str = "b") -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(parts: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile("changed", "w", kind) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def forge(parts: dict[str, bytes], **header: Any) -> None:
    """A bundle that agrees with itself, as somebody could make it."""
    said = orjson.loads(parts["bundle.json"])
    for name in MEMBERS:
        data = parts.get(name, b"")
        said["members"][name[:-6]] = {
            "rows": data.count(b"\n"),
            "bytes": len(data),
            "sha256": digest(data),
        }
    said = {**said, **header}
    said.pop("sha256")
    pack({**parts, "bundle.json": canonical({**said, "sha256": digest(canonical(said))})})


def refused(path: str = "changed") -> str:
    """What the command says to a bundle that it does not take; no row has come or gone."""
    before = content("other.db")
    done = invoke("runs", "import-bundle", path)
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert done.stderr.startswith(f"error: bundle {path}: ")
    assert {name: rows for name, rows in content("other.db").items() if rows} == {
        name: rows for name, rows in before.items() if rows
    }
    return done.stderr


# -- there and back --


def test_runs_arrive_as_they_were_and_replay_elsewhere(study: list[str], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.chdir(elsewhere)
    arrived = invoke("runs", "import-bundle", "../b")
    assert arrived.exit_code == 0
    for run in study:
        assert f"{run}  test  completed  6 events\n  verify  pyscrai replay {run} --store other.db\n" in (
            arrived.stdout
        )
        replayed = invoke("replay", run)
        assert f"{run}: identical; 6 events and 6 calls compared" in replayed.stdout
    sent, got = content("../runs.db"), content("other.db")
    for name in ("events", "calls", "messages", "outcomes"):
        assert sent[name]
        assert got[name] == sent[name]
    owner = 9
    assert [row[:owner] + row[owner + 1 :] for row in got["runs"]] == [
        row[:owner] + row[owner + 1 :] for row in sent["runs"]
    ]
    assert {row[owner] for row in got["runs"]} == {""}
    for (_, body, _), (_, original, _) in zip(got["manifests"], sent["manifests"], strict=True):
        before, after = json.loads(original), json.loads(body)
        assert before.pop("folder") == str(tmp_path)
        assert after.pop("folder") == "."
        assert list(after.items()) == list(before.items())
    assert invoke("runs", "verify").stdout == "2 runs: fine\n"


def test_a_bundle_says_nothing_of_the_machine_and_is_the_same_each_time(
    study: list[str], tmp_path: Path
) -> None:
    again = invoke("runs", "export-bundle", *reversed(study), "--out", "c", store="runs.db")
    assert again.stdout.startswith("c: 2 runs, 12 events, 12 calls, ")
    first, second = members("b"), members("c")
    assert {**first, "bundle.json": b""} == {**second, "bundle.json": b""}
    everything = b"".join(first.values())
    for word in (str(tmp_path), os.uname().nodename, '"pid', "trusted"):
        assert word.encode() not in everything
    header = json.loads(first["bundle.json"])
    assert (header["format"], sorted(header["runs"])) == (FORMAT, sorted(study))
    # Messages that both runs share are in it once.
    assert header["members"]["messages"]["rows"] == len(content("runs.db")["messages"])


class Reader(Engine):
    @frozen
    class Config:
        file: FilePath

    async def run(self, turn: Any) -> None:
        turn.say("hello")


def test_files_of_the_scenario_are_named_from_its_folder(play: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("…")
    agents = {"A": {"engine": {"use": "reader", "file": "notes.txt"}}}
    play({**TALK, "agents": agents}, engine__reader=Reader)
    assert f'"file":"{tmp_path}/notes.txt"' in content("runs.db")["manifests"][0][1]
    assert invoke("runs", "export-bundle", "--out", "b", store="runs.db").exit_code == 0
    assert invoke("runs", "import-bundle", "b").exit_code == 0
    assert '"file":"./notes.txt"' in content("other.db")["manifests"][0][1]
    assert str(tmp_path).encode() not in b"".join(members().values())


def test_importing_twice_changes_nothing(study: list[str]) -> None:
    told = json.loads(invoke("runs", "import-bundle", "b", "--json").stdout)
    assert sorted(run["run"] for run in told) == sorted(study)
    assert f"remove it with pyscrai runs rm {min(study)}, or import into another store" in refused("b")
    invoke("runs", "rm", study[0], "--yes")  # its messages are still there
    assert "is in other.db already" in refused("b")
    invoke("runs", "rm", study[1], "--yes")
    assert invoke("runs", "import-bundle", "b").exit_code == 0
    assert invoke("runs", "verify").stdout == "2 runs: fine\n"


def test_an_unfinished_run_goes_on_where_it_arrives(play: Callable[..., Any]) -> None:
    run = play({**TALK, "limits": {"steps": 4}}).run
    with closing(sqlite3.connect("runs.db")) as database, database:
        database.execute(
            "UPDATE runs SET status = 'running', ended = NULL, fingerprint = 'of the time before', "
            "checksum = ''"
        )
    assert invoke("runs", "export-bundle", "--out", "b", store="runs.db").exit_code == 0
    assert f"{run}  test  interrupted  4 events" in invoke("runs", "import-bundle", "b").stdout
    assert content("other.db")["runs"][0][3] == "interrupted"
    assert invoke("runs", "verify").stdout == "1 run: fine\n"
    assert invoke("resume", "-q", "--set", "limits.steps=10").exit_code == 0
    assert "identical; 6 events" in invoke("replay").stdout


def test_a_file_that_is_there_is_only_replaced_by_a_whole_one(study: list[str]) -> None:
    before = Path("b").read_bytes()
    export = ("runs", "export-bundle", study[0])
    taken = invoke(*export, "--out", "b", store="runs.db")
    assert (taken.exit_code, "replace it with --force" in taken.stderr) == (2, True)
    with closing(sqlite3.connect("runs.db")) as database, database:
        database.execute("UPDATE messages SET body = X'00'")
    damaged = invoke(*export, "--out", "b", "--force", store="runs.db")
    assert (damaged.exit_code, "its body was changed" in damaged.stderr) == (2, True)
    with closing(sqlite3.connect("runs.db")) as database, database:
        database.execute("DELETE FROM events WHERE seq = 2")
    damaged = invoke(*export, "--out", "b", "--force", store="runs.db")
    assert (damaged.exit_code, "event 3: it follows event 1" in damaged.stderr) == (2, True)
    assert Path("b").read_bytes() == before
    assert not list(Path().glob(".*.part"))
    os.mkfifo("pipe")  # which must not be replaced, and nor must a device
    for place in ("pipe", "b/b", "."):
        assert invoke(*export, "--out", place, "--force", store="runs.db").exit_code == 2
    assert invoke(*export, "--out", "b", "--force", store="other.db").exit_code == 2


def test_no_secret_leaves(study: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret-value")
    monkeypatch.setattr(redaction, "_read", {})
    monkeypatch.setattr(redaction, "_seen", None)
    keys.read_secret("MY_KEY", "a test")
    with Store.open("runs.db") as store:
        for run in study:
            store._update_run(run, error="refused: sk-very-secret-value")
        export_bundle(store, study, Path("c"))
        assert b"refused: [MY_KEY]" in members("c")["runs.jsonl"]
        assert b"sk-very" not in b"".join(members("c").values())
        assert invoke("runs", "import-bundle", "c").exit_code == 0  # as the checksums are of what is left
        redaction.remember("Second.", "MY_KEY")
        with pytest.raises(StoreError, match="messages: a secret stands in a row"):
            export_bundle(store, study, Path("d"))
    assert not Path("d").exists()


# -- what is not taken --


def test_what_is_no_bundle(study: list[str]) -> None:
    assert "No such file" in refused("missing")
    assert "Is a directory" in refused(".")
    assert "it is no bundle, or was cut off" in refused("runs.db")
    pack({"notes.txt": b"hello"})
    assert "it has no bundle.json" in refused()
    data = Path("b").read_bytes()
    for length in [*range(0, len(data), len(data) // 25), len(data) - 1]:
        Path("changed").write_bytes(data[:length])
        assert "it is no bundle, or was cut off" in refused()


@pytest.mark.parametrize("name", [*MEMBERS, "bundle.json"])
def test_a_changed_member_is_noticed(name: str, study: list[str]) -> None:
    parts = members()
    data = parts[name]
    other_byte = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]
    for changed in (other_byte, data[:-1], data + b" ", data + data, b"", b"{}\n", b"\xff"):
        pack({**parts, name: changed})
        assert f"bundle changed: {name}: " in refused()
    pack({other: part for other, part in parts.items() if other != name})
    assert name in refused()


def test_flipped_bits_are_noticed_or_mean_nothing(study: list[str]) -> None:
    data = Path("b").read_bytes()
    draw = random.Random(7)
    with Bundle(Path("b")) as whole, Store.open("whole.db") as store:
        whole.write(store)
    noticed = harmless = 0
    for _ in range(400):
        flipped = bytearray(data)
        for _ in range(draw.choice((1, 1, 1, 2, 20))):
            flipped[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        Path("changed").write_bytes(flipped)
        try:
            with Bundle(Path("changed")) as bundle:
                Path("again.db").unlink(missing_ok=True)
                with Store.open("again.db") as store:
                    bundle.write(store)
        except StoreError as error:
            noticed += str(error).startswith("bundle changed: ")
        else:  # it was in a date, or so
            harmless += content("again.db") == content("whole.db")
    assert noticed + harmless == 400
    assert noticed > 300


def test_a_newer_format_asks_for_an_upgrade(study: list[str]) -> None:
    forge({**members(), "more.jsonl": b"{}\n"}, format=FORMAT + 1, kernel="9.0")
    said = refused()
    assert f"its format is {FORMAT + 1}, of pyscrai-core 9.0; this one reads {FORMAT}" in said
    assert "upgrade with: pip install -U pyscrai-core" in said
    for wrong in (0, str(FORMAT), None, True):
        forge(members(), format=wrong)
        assert "bundle.json: " in refused()


def test_an_older_format_has_to_be_exported_anew(study: list[str]) -> None:
    forge(members(), format=1, kernel="0.0.9")
    said = refused()
    assert f"its format is 1, of pyscrai-core 0.0.9; this one reads {OLDEST} to {FORMAT}" in said
    assert "have it exported anew with a newer pyscrai-core" in said


def test_the_format_before_runs_had_checksums_is_read(study: list[str]) -> None:
    parts = members()
    runs = [orjson.loads(line) for line in parts["runs.jsonl"].splitlines()]
    lines = [orjson.dumps({key: row[key] for key in row if key != "checksum"}) + b"\n" for row in runs]
    forge({**parts, "runs.jsonl": b"".join(lines)}, format=OLDEST)
    assert invoke("runs", "import-bundle", "changed").exit_code == 0
    assert "fine" in invoke("runs", "verify").stdout


def test_an_archive_with_more_in_it_than_it_should(study: list[str]) -> None:
    parts = members()
    forge({**parts, "../evil": b""})
    assert "members: they are '../evil" in refused()
    with warnings.catch_warnings(), zipfile.ZipFile("changed", "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        for name, data in [*parts.items(), ("runs.jsonl", parts["runs.jsonl"])]:
            archive.writestr(name, data)
    assert "members: they are " in refused()
    pack(parts, zipfile.ZIP_STORED)
    assert "it is compressed in another way" in refused()
    forge(parts, runs={"../../x": ""})
    assert "'../../x' is no id of a run" in refused()
    forge(parts, runs={})
    assert "runs.jsonl, line 1: bundle.json has no run" in refused()


def test_what_inflates_without_end_is_not_read(study: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    parts = members()
    bomb = {**parts, "events.jsonl": b" " * (bundles.LONGEST + 10) + b"\n"}
    pack(bomb)
    assert "events.jsonl: its size is another than bundle.json says" in refused()
    forge(bomb)
    assert "events.jsonl, line 1: it has no end, or more than 67,108,864 bytes" in refused()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    assert "are 1,000 free; make room" in refused("b")


def rewritten(data: bytes, line: int, **changes: Any) -> bytes:
    rows = [orjson.loads(row) for row in data.splitlines()]
    rows[line].update(changes)
    return b"".join(orjson.dumps({k: v for k, v in row.items() if v is not ...}) + b"\n" for row in rows)


FORGERIES: list[tuple[str, dict[str, Any], str]] = [
    ("runs", {"id": "../x"}, "runs.jsonl, line 1: bundle.json has no run '../x'"),
    ("runs", {"seed": "7"}, "runs.jsonl, line 1: seed is '7', expected int"),
    ("runs", {"seed": 2**63}, "more than 64 bits hold"),
    ("runs", {"steps": True}, "steps is True, expected int"),
    ("runs", {"error": None}, "error is None, expected str"),
    ("runs", {"created": 1e300}, "expected seconds since 1970"),
    ("runs", {"parent": "../x"}, "parent is '../x', which is no id of a run"),
    ("runs", {"more": 1}, "expected the columns id, scenario, "),
    ("runs", {"fingerprint": "0"}, "its fingerprint is another than bundle.json says"),
    ("runs", {"status": "asleep"}, "its status is 'asleep'"),
    ("manifests", {"body": "{}"}, "its manifest lacks format, kernel, "),
    ("manifests", {"body": "[]"}, "body is [], expected dict as JSON"),
    ("manifests", {"body": "[" * 900 + "]" * 900}, "body is "),
    ("events", {"payload": '{"text":"lie"}'}, "its log has the fingerprint"),
    ("events", {"payload": '{"a":' * 200 + "1" + "}" * 200}, "its log has the fingerprint"),
    ("events", {"payload": '{"a":' * 201 + "1" + "}" * 201}, "payload is not JSON: value.a.a"),
    ("events", {"payload": '{"a":' * 700 + "1" + "}" * 700}, "payload is not JSON: "),
    ("events", {"seq": 2}, "events.jsonl, line 2: it is there twice, or not in its place"),
    ("events", {"seq": 0}, "event 0: it follows event 0"),
    ("events", {"audience": "[1]"}, "audience is [1], expected strings"),
    ("calls", {"request": "0"}, "call 1: what it asked has the hash"),
    ("calls", {"agent": "B", "step": 2}, "a row is there twice (UNIQUE constraint failed: calls.run, "),
    ("calls", {"reused": "x/y"}, "reused is 'x/y', which is no id of a run"),
    ("calls", {"answer": "no"}, "call 1: its answer is not JSON"),
    ("messages", {"body": "other"}, "messages.jsonl, line 1: the body has another digest"),
    ("messages", {"digest": 7}, "digest is 7, expected str"),
    ("outcomes", {"value": "no"}, "value is not JSON"),
]


@pytest.mark.parametrize("table, changes, words", FORGERIES)
def test_a_bundle_that_was_made_up_is_refused(
    table: str, changes: dict[str, Any], words: str, study: list[str]
) -> None:
    parts = members()
    name = f"{table}.jsonl"
    forge({**parts, name: rewritten(parts[name], 0, **changes)})
    assert words in refused()


def test_rows_that_are_missing_are_noticed(study: list[str]) -> None:
    parts = members()
    for name, words in (
        ("runs.jsonl", "it has 1 rows, bundle.json says otherwise"),
        ("manifests.jsonl", "its manifest is missing"),
        ("events.jsonl", "event 2: it follows event 0"),
        ("calls.jsonl", "it continues from call 1, expected an earlier completion"),
        ("messages.jsonl", "is not stored"),
    ):
        forge({**parts, name: parts[name].partition(b"\n")[2]})
        assert words in refused()


def test_another_s_run_is_not_trusted(study: list[str]) -> None:
    parts = members()
    row = orjson.loads(parts["manifests.jsonl"].splitlines()[0])
    body = {**orjson.loads(row["body"]), "trusted": True, "folder": "/etc"}
    forge(
        {
            **parts,
            "manifests.jsonl": rewritten(
                parts["manifests.jsonl"], 0, body=orjson.dumps(body).decode(), checksum=""
            ),
        }
    )
    assert invoke("runs", "import-bundle", "changed").exit_code == 0
    for _, body, _ in content("other.db")["manifests"]:
        assert "trusted" not in json.loads(body)
        assert json.loads(body)["folder"] == "."


def test_answers_of_an_imported_run_are_not_taken_unless_it_is_named(
    study: list[str], tmp_path: Path
) -> None:
    assert invoke("runs", "import-bundle", "b").exit_code == 0
    Path("talk.json").write_text(json.dumps({"scenario": "test", **TALK}))
    alone = api.run("talk.json", store="other.db", reuse=True)
    assert _reused(alone.run) == 0
    assert _reused(api.run("talk.json", store="other.db", reuse=True).run) == 6  # of the one before
    assert _reused(api.run("talk.json", store="other.db", reuse=[study[0]]).run) == 6
    done = invoke("run", "talk.json", "--reuse-from", study[0], "--json")
    assert _reused(json.loads(done.stdout)["run"]) == 6
    strange = invoke("run", "talk.json", "--reuse-from", "fff")
    assert "run 'fff': the store other.db has no such run" in strange.stderr


@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize("way", ["fork", "named"])
def test_nor_are_copies_of_its_answers(way: str, removed: bool, study: list[str]) -> None:
    assert invoke("runs", "import-bundle", "b").exit_code == 0
    Path("talk.json").write_text(json.dumps({"scenario": "test", **TALK}))
    if way == "fork":
        copy = api.fork(study[0], at=2, store="other.db")
    else:
        copy = api.run("talk.json", store="other.db", reuse=[study[0]])
    assert _reused(copy.run) > 0
    if removed:
        assert invoke("runs", "rm", study[0], "--yes").exit_code == 0
    assert _reused(api.run("talk.json", store="other.db", reuse=True).run) == 0


def test_an_answer_is_not_of_the_run_that_a_bundle_names(study: list[str]) -> None:
    Path("talk.json").write_text(json.dumps({"scenario": "test", **TALK}))
    mine = api.run("talk.json", store="other.db").run
    parts = members()
    count = len(parts["calls.jsonl"].splitlines())
    for index in range(count):
        parts["calls.jsonl"] = rewritten(parts["calls.jsonl"], index, reused=mine, checksum="")
    forge(parts)
    assert invoke("runs", "import-bundle", "changed").exit_code == 0
    with Store.open("other.db") as store:
        named = store.connection.execute('SELECT "run", "reused" FROM "calls" WHERE "reused" != \'\'')
        assert all(run == reused in study for run, reused in named)


def _reused(run: str) -> int:
    with Store.open("other.db") as store:
        return store.run(run).count_reused()


def test_an_imported_run_is_replayed_before_it_is_called_fine(study: list[str]) -> None:
    parts = members()
    calls = [orjson.loads(line) for line in parts["calls.jsonl"].splitlines()]
    answer = {**json.loads(calls[0]["answer"]), "text": "a lie"}
    for changes, words in (
        ({"key": "f" * 32}, "the key of the recorded answer is not that of the call"),
        ({"answer": orjson.dumps(answer).decode()}, "a lie"),
    ):
        Path("other.db").unlink(missing_ok=True)
        forge({**parts, "calls.jsonl": rewritten(parts["calls.jsonl"], 0, checksum="", **changes)})
        assert invoke("runs", "import-bundle", "changed").exit_code == 0
        shown = invoke("runs", "verify")
        assert shown.exit_code == 1
        assert words in shown.stdout
        assert "1 run: fine" in shown.stdout
