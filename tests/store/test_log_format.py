"""Runs that were recorded with another log format: they are not executed, and can still be read."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pyscrai_cli.main import cli
from pyscrai_core import StoreError, api
from pyscrai_records.canonical import LOG_FORMAT
from pyscrai_records.store.store import Store


@pytest.fixture
def foreign(play: Any, talk: dict[str, Any], tmp_path: Path) -> str:
    """A run that was recorded with another log format, by another version of the kernel."""
    run = play({**talk, "limits": {"calls": 7}})
    assert run.status == "stopped"
    log = [b"pyscrai log %d" % (LOG_FORMAT + 1), *(event.line() for event in run.events), b""]
    fingerprint = hashlib.sha256(b"\n".join(log)).hexdigest()
    with closing(sqlite3.connect(tmp_path / "runs.db")) as database, database:
        database.execute(
            "UPDATE manifests SET checksum = '', body = json_set(body, '$.format', ?, '$.kernel', '0.0.9')",
            [LOG_FORMAT + 1],
        )
        database.execute("UPDATE runs SET checksum = '', fingerprint = ?", [fingerprint])
    return str(run.run)


@pytest.mark.parametrize(
    "execute",
    [
        lambda run, **given: api.resume(run, set={"limits.calls": 99}, **given),
        lambda run, **given: api.replay(run, **given),
        lambda run, **given: api.fork(run, at=3, **given),
        lambda run, **given: api.inject(run, event="say", payload={"text": "hello"}, **given),
    ],
    ids=["resume", "replay", "fork", "inject"],
)
def test_a_run_of_another_log_format_is_not_executed(
    execute: Any, foreign: str, count: Callable[[Path], dict[str, int]], tmp_path: Path
) -> None:
    before = count(tmp_path / "runs.db")
    with pytest.raises(StoreError) as error:
        execute(foreign, store=tmp_path / "runs.db")
    assert str(error.value) == (
        f"run {foreign}: it was recorded with log format {LOG_FORMAT + 1}, this version reads {LOG_FORMAT}; "
        "use the version of pyscrai-core that recorded it (0.0.9)"
    )
    assert count(tmp_path / "runs.db") == before
    with Store.open(tmp_path / "runs.db") as store:
        assert store.run(foreign).status == "stopped"


@pytest.mark.parametrize(
    "arguments",
    [
        ("show",),
        ("log",),
        ("export", "--format", "jsonl", "--out", "out"),
        ("runs", "verify"),
        ("runs", "export-bundle", "--out", "out"),
        ("runs",),
    ],
    ids=" ".join,
)
def test_a_run_of_another_log_format_is_shown(
    arguments: tuple[str, ...], foreign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = () if arguments == ("runs",) else (foreign,)
    done = CliRunner().invoke(cli, [*arguments, *named, "--store", "runs.db"], prog_name="pyscrai")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
