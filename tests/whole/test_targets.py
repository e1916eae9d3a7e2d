"""Files that a command is told to write: a pipe is not waited for, and nothing but a file is replaced."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pyscrai_records.base.atomic_files import replace_file
from pyscrai_records.base.files import append_file

CHOICE = {"actions": {"go": {}, "stay": {}}, "must_act": True, "speak": False}
SCENARIO = {
    "scenario": "t",
    "providers": {"default": {"use": "scripted", "odds": {"go": 0.5, "stay": 0.5}}},
    "agents": {"A": CHOICE},
    "schedule": {"use": "round-robin", "rounds": 1},
    "outcomes": {"n": "len(events)"},
}
EXPERIMENT = {
    "experiment": "e",
    "scenario": "t.json",
    "arms": {"a": {}, "b": {"agents.A.persona": "Bold."}},
    "replicates": 2,
    "outcomes": ["n"],
}
COMMANDS = {
    "log": ["run", "t.json", "--log-file", "target"],
    "export": ["export", "last", "--format", "csv", "--out", "target"],
    "bundle": ["runs", "export-bundle", "last", "--out", "target"],
    "bundle, replaced": ["runs", "export-bundle", "last", "--force", "--out", "target"],
    "scores": ["exact", "t.json", "--outcome", "n", "--scores", "target"],
    "measures": ["measure", "last", "--out", "target"],
    "report": ["experiment", "report", "e.json", "--out", "target"],
}


def execute(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyscrai_cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    os.chdir(folder)
    Path("t.json").write_text(json.dumps(SCENARIO))
    Path("e.json").write_text(json.dumps(EXPERIMENT))
    done = execute("experiment", "run", "e.json", "-q")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="it needs pipes")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_is_refused_at_once(command: str, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study)
    os.mkfifo("target")
    try:
        done = execute(*COMMANDS[command])
        assert stat.S_ISFIFO(os.stat("target").st_mode)
    finally:
        os.unlink("target")
    assert done.returncode in (1, 2), done.stdout
    assert "target" in done.stderr
    assert "pipe" in done.stderr or "Not a directory" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in study.iterdir()) == [".pyscrai", "e.json", "t.json"]


@pytest.mark.parametrize("command", ["log", "measures", "report"])
def test_a_device_is_written_to(command: str, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study)
    done = execute(*[os.devnull if part == "target" else part for part in COMMANDS[command]])
    assert done.returncode == 0, done.stderr
    assert not stat.S_ISREG(os.stat(os.devnull).st_mode)


def test_a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    """/dev/stdout is such a link, to the file that the shell opened."""
    (tmp_path / "elsewhere").mkdir()
    link, file = tmp_path / "link", tmp_path / "elsewhere" / "file"
    link.symlink_to(file)
    for text in (b"one", b"two"):
        replace_file(link, text)
        assert (link.is_symlink(), file.read_bytes()) == (True, text)
    with append_file(link) as appended:
        appended.write(b" three")
    assert (link.is_symlink(), file.read_bytes()) == (True, b"two three")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["file"]


def test_what_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path, b"x")
    (tmp_path / "file").write_bytes(b"old")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        read = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        for write in (append_file, lambda path: replace_file(path, b"x")):
            with pytest.raises(OSError, match="a device or a pipe"):
                write(tmp_path / "pipe")  # also where somebody reads it
        os.close(read)
    assert (tmp_path / "file").read_bytes() == b"old"
