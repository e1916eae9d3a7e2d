"""The store: every table written, messages once, and clear words for what cannot be opened."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pyscrai_cli.main import cli
from pyscrai_core import ConfigError, Message, StoreError, api
from pyscrai_records.store.listing import count_events
from pyscrai_records.store.opening import translate_errors
from pyscrai_records.store.store import Store

TALK = {
    "providers": {"default": {"use": "scripted", "replies": ["one", "two", "three"]}},
    "agents": {"A": {"persona": "First."}, "B": {"persona": "Second."}},
    "schedule": {"use": "round-robin", "rounds": 6},
    "outcomes": {"n": "len(events)"},
}


def tables(path: Path) -> dict[str, int]:
    with sqlite3.connect(path) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}


def test_how_far_a_commit_goes_is_part_of_the_address(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    for query, level in (("", 1), ("?synchronous=normal", 1), ("?synchronous=full", 2)):
        with Store.open(f"sqlite:///{path}{query}") as store:
            assert store.connection.execute("PRAGMA synchronous").fetchone() == (level,)
    for wrong in (
        f"sqlite:///{path}?synchronous=off",
        f"sqlite:///{path}?sync=full",
        f"{path}?synchronous=full",
    ):
        with pytest.raises(StoreError, match="expected"):
            Store.open(wrong)
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["runs.db"]


def test_what_cannot_be_written_can_be_read(archive: Path, play: Any, tmp_path: Path) -> None:
    result = play(TALK, store=archive / "runs.db")
    subprocess.run(["mount", "-o", "remount,ro", archive], check=True)
    with Store.open(archive / "runs.db", create=False) as store:
        assert store.run("last").fingerprint == result.fingerprint
        with pytest.raises(StoreError, match="Read-only file system"):
            store.own(result.run)
    assert api.replay(store=archive / "runs.db").fingerprint == result.fingerprint
    with pytest.raises(StoreError, match="it is read-only"):
        play(TALK, store=archive / "runs.db")


def test_what_belongs_to_somebody_else_is_no_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a store, in the current folder, that another user made for himself."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".pyscrai").mkdir()
    stat, access = os.stat, os.access

    def refuse(path: Any, *more: Any, **named: Any) -> Any:
        if ".pyscrai/" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *more, **named)

    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr(
        os, "access", lambda path, *more: not str(path).endswith(".pyscrai") and access(path, *more)
    )
    for arguments, told in (
        (["plugins"], ""),
        (["runs"], "it is not yours to use; name another path"),
        (["show"], "its folder is not yours to read; choose another place with --store"),
    ):
        done = CliRunner().invoke(cli, arguments)
        assert "bug" not in done.stderr
        assert told in done.stderr
        assert done.exit_code == (2 if told else 0)
    with pytest.raises(StoreError, match=r"its folder is not yours to read"):
        Store.open(Path(".pyscrai/runs.db"))


def test_every_table_is_written(play: Any, tmp_path: Path) -> None:
    result = play(TALK)
    counts = tables(tmp_path / "runs.db")
    assert counts["runs"] == counts["manifests"] == counts["outcomes"] == 1
    assert counts["events"] == counts["calls"] == 12
    with Store.open(tmp_path / "runs.db") as store:
        run = store.run("last")
        assert (run.status, run.fingerprint, run.outcomes) == ("completed", result.fingerprint, {"n": 12})
        assert run.served == {"default": "scripted"}
        assert run.manifest["scenario"]["agents"]["A"]["persona"] == "First."
        assert {"name": "scripted", "distribution": "pyscrai-scripted", "version": "0.1.0"} in run.manifest[
            "plugins"
        ]
        assert all(len(value) == 64 for value in run.manifest["prompts"].values())
        assert run.manifest["prompts"]
        assert tuple(run.events()) == result.events
        assert run.usage() == result.usage
        assert {agent: calls for agent, (calls, _) in run.usage_by_agent().items()} == {"A": 6, "B": 6}


def test_messages_are_stored_once_and_calls_find_theirs(play: Any, tmp_path: Path) -> None:
    from pyscrai_scripted.provider import ScriptedProvider

    sent: dict[str, list[Message]] = {}
    real = ScriptedProvider.complete

    async def spy(self: Any, request: Any, sink: Any = None) -> Any:
        sent[str(request.position)] = list(request.messages)
        return await real(self, request, sink)

    ScriptedProvider.complete = spy  # type: ignore[method-assign]
    try:
        play(TALK)
    finally:
        ScriptedProvider.complete = real  # type: ignore[method-assign]
    with Store.open(tmp_path / "runs.db") as store:
        run = store.run("last")
        calls = list(run.calls())
        for call in calls:
            place = f"{call['agent']} at step {call['step']}, {call['path']}"
            assert run.messages(call["number"]) == sent[place]
    distinct = {message.digest for messages in sent.values() for message in messages}
    frames = {call["frame"] for call in calls}
    assert tables(tmp_path / "runs.db")["messages"] == len(distinct | frames)
    # A long history costs what is new: every later call keeps all of the one before, but for the question
    # at its end that the very first had, when nobody had said a word.
    lengths = [len(messages) for place, messages in sent.items() if place.startswith("A ")]
    kept = [call["kept"] for call in calls if call["agent"] == "A"]
    assert kept[1:] == [lengths[0] - 1, *lengths[1:-1]]


def test_runs_are_found_by_prefix_and_last(play: Any, tmp_path: Path) -> None:
    runs = [play(TALK).run for _ in range(17)]  # so that two begin with the same of 16 digits
    with Store.open(tmp_path / "runs.db") as store:
        assert store.run("last").id == runs[-1]
        assert store.run(runs[3]).id == runs[3]
        assert next(iter(store.runs())).id == runs[-1]
        for ref in ("nope", "%", ""):
            with pytest.raises(StoreError, match="has no such run"):
                store.run(ref)
        shared = next(digit for digit in "0123456789abcdef" if sum(run[0] == digit for run in runs) > 1)
        with pytest.raises(StoreError, match="several ids begin with it"):
            store.run(shared)


# -- stores that cannot be used --


def opened(path: Path) -> None:
    Store.open(path).close()


def test_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("shopping list, long enough to be read")
    with pytest.raises(StoreError, match=r"notes\.txt: it is not a database"):
        opened(path)
    assert path.read_text().startswith("shopping")


def test_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    with pytest.raises(StoreError, match=r"damaged\.db: .*restore it, or name another"):
        opened(path)


def test_a_database_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE customers (name TEXT)")
    with pytest.raises(StoreError, match="the database of another program"):
        opened(path)


def test_a_newer_store(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    opened(path)
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO schema_migration (name, applied) VALUES ('0999_future', '2030-01-01')")
    with pytest.raises(StoreError, match=r"newer version \(0999_future\); upgrade with: pip install -U"):
        opened(path)


def test_a_folder_and_an_unknown_scheme(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="it is a folder"):
        opened(tmp_path)
    with pytest.raises(StoreError, match="'mysql' is not supported"):
        Store.open("mysql://localhost/runs")
    with pytest.raises(StoreError, match="the path is empty"):
        Store.open("sqlite:///")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """Through a link that leads nowhere, a stranger's folder would make a file anywhere."""
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "elsewhere.db")
    for path, what in (
        (tmp_path / "pipe.db", "a device or a pipe"),
        (Path("/dev/zero"), "a device or a pipe"),
        (tmp_path / "link.db", "a link to a file that does not exist"),
    ):
        for create in (True, False):
            with pytest.raises(StoreError, match=f"{path}: it is {what}, where a file was expected"):
                Store.open(str(path), create=create)
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_missing_store_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="it does not exist; run a scenario first"):
        api.replay(store=tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_read_only_store(tmp_path: Path) -> None:
    # The administrator may write everywhere, so the test becomes somebody else.
    path = tmp_path / "sub" / "read.db"
    opened(path)
    path.chmod(0o444)
    path.parent.chmod(0o555)
    for folder in [path.parent, *path.parents]:
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o005:
            folder.chmod(folder.stat().st_mode | 0o055)
    code = (
        "import os, sys\n"
        "from pyscrai_records.store.store import Store\n"
        "from pyscrai_core import StoreError\n"
        "if os.geteuid() == 0: os.setgid(65534), os.setuid(65534)\n"
        "try: Store.open(sys.argv[1])\n"
        "except StoreError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    path.parent.chmod(0o755)
    assert "read.db: it is read-only; change its permissions" in done.stdout, done.stderr


def test_a_locked_store_is_waited_for(play: Any, tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    opened(path)
    lock = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    threading.Timer(0.5, lambda: lock.execute("COMMIT")).start()
    assert play(TALK).status == "completed"


def test_a_lock_in_the_middle_blocks_no_loop(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"

    async def main() -> int:
        with Store.open(path) as store:
            lock = sqlite3.connect(path, isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            store.put_message("a", b"x")
            waiting = asyncio.ensure_future(store.writer.committed())
            ticks = 0
            for _ in range(20):
                await asyncio.sleep(0.005)
                ticks += 1
            assert not waiting.done()
            lock.execute("COMMIT")
            await waiting
            lock.close()
            return ticks

    assert asyncio.run(main()) == 20
    assert tables(path)["messages"] == 1


def test_a_lock_that_stays_fails_the_run_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyscrai_records.store.writer.LOCK_PATIENCE", 0.1)
    path = tmp_path / "runs.db"

    async def main() -> None:
        store = Store.open(path)
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        store.put_message("a", b"x")
        with pytest.raises(StoreError, match=r"runs\.db: database is locked"):
            await store.writer.committed()
        lock.execute("COMMIT")
        lock.close()
        store.close()

    asyncio.run(main())


def test_what_is_on_disk_is_a_prefix_of_what_was_queued(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"

    async def main() -> list[int]:
        seen = []
        with Store.open(path) as store:
            reader = sqlite3.connect(path)
            for number in range(200):
                store.put_message(f"{number:04}", b"x")
                if number % 7 == 0:
                    await store.writer.committed()
                    seen.append(reader.execute("SELECT count(*) FROM messages").fetchone()[0])
            reader.close()
        return seen

    assert asyncio.run(main()) == [number + 1 for number in range(0, 200, 7)]
    assert tables(path)["messages"] == 200


#: A process that steers its own run and is killed, after somebody else has looked at the store.
STEERS = """
import os, subprocess, sys
import pyscrai_core
from pyscrai_core import NoConfig, Observer, api

LOOK = "from pyscrai_records.store.store import Store\\nwith Store.open('runs.db') as store: store.runs()"

class Steers(Observer):
    def on_event(self, event):
        if event.seq == 20:
            api.inject(event="say", payload={"text": "hear"}, store="runs.db")
        if event.seq == 30:
            subprocess.run([sys.executable, "-c", LOOK], check=True)
        if event.seq == 90:
            os._exit(9)

pyscrai_core.run("s.json", store="runs.db", observers=[Steers(NoConfig())])
"""


def test_a_second_opening_takes_no_lock_from_a_run_of_the_same_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {**TALK, "scenario": "long", "schedule": {"use": "round-robin", "rounds": 60}}
    Path("s.json").write_text(json.dumps(given))
    done = subprocess.run([sys.executable, "-c", STEERS], capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr
    with Store.open("runs.db") as store:
        run = store.run("last")
        # Each event needs a call, which is on disk before it; but for the one from outside.
        assert (run.status, run.count_calls()) == ("interrupted", 90)
        assert run.count_events() >= 88


def test_runs_are_found_by_label_scenario_status_and_date(tmp_path: Path) -> None:
    file, path = tmp_path / "talk.json", tmp_path / "runs.db"
    file.write_text(json.dumps({"scenario": "talk", **TALK}))
    ids = [
        api.run(file, seed=seed, store=path, labels={"arm": arm, "the.study": "π"}).run
        for seed, arm in enumerate(("poor", "rich", "rich"))
    ]
    short = api.run(file, store=path, set={"limits.calls": 1, "scenario": "other"})
    assert short.status == "stopped"
    with Store.open(path) as store:
        assert {run.id for run in store.runs(labels={"arm": "rich"})} == set(ids[1:])
        assert [run.id for run in store.runs(labels={"arm": "poor", "the.study": "π"})] == ids[:1]
        assert store.runs(labels={"arm": "rich", "the.study": "other"}) == []
        assert [run.id for run in store.runs(scenario="other")] == [short.run]
        assert [run.id for run in store.runs(status="stopped")] == [short.run]
        assert store.runs(status="running") == store.runs(status="interrupted") == []
        assert len(store.runs(since=store.run(ids[1]).created)) == 3
        assert (store.run(ids[0]).labels, store.run(short.run).labels) == (
            {"arm": "poor", "the.study": "π"},
            {},
        )
        assert count_events(store.database)[ids[0]] == store.run(ids[0]).count_events()
    # A label is no part of what the run is.
    assert api.run(file, seed=0, store=path).fingerprint == store_fingerprint(path, ids[0])


def store_fingerprint(path: Path, run: str) -> str:
    with Store.open(path) as store:
        return store.run(run).fingerprint


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"my arm": "x"}, "label 'my arm': expected a name"),
        ({'a"b': "x"}, "expected a name"),
        ({"arm": "two\nlines"}, r"label arm: expected a text of one line, not 'two\\nlines'"),
        ({"arm": 3}, "label arm: expected a text of one line, not 3"),
    ],
)
def test_labels_that_are_none(labels: Any, said: str, tmp_path: Path) -> None:
    file, path = tmp_path / "talk.json", tmp_path / "runs.db"
    file.write_text(json.dumps({"scenario": "talk", **TALK}))
    with pytest.raises(ConfigError, match=said):
        api.run(file, store=path, labels=labels)
    with Store.open(path) as store:
        assert store.runs() == []


def test_a_run_that_ends_while_it_is_looked_at_was_not_interrupted(
    play: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = play(TALK, store=tmp_path / "runs.db").run
    with Store.open(tmp_path / "runs.db") as store, sqlite3.connect(tmp_path / "runs.db") as other:

        def held(key: str) -> bool:
            """Its process ends after its row was read, and before its lock is looked at."""
            other.execute("UPDATE runs SET status = 'completed' WHERE id = ?", (run,))
            other.commit()
            return False

        other.execute("UPDATE runs SET status = 'running'")
        other.commit()
        assert store.run(run).status == "interrupted"
        monkeypatch.setattr(store.locks, "held", held)
        assert store.run(run).status == "completed"


def test_a_store_that_is_gone_when_it_is_read_is_told_as_such(tmp_path: Path) -> None:
    gone = tmp_path / "runs.db"
    with (
        pytest.raises(StoreError, match=r"runs\.db: it was removed or moved while it was used; put it back"),
        translate_errors(gone),
    ):
        sqlite3.connect(f"{gone.as_uri()}?mode=ro", uri=True).execute("SELECT 1")
