"""Reading files of one folder alone, and drawing with the run's seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_core import ConfigError, RunResult, TrustRequired
from pyscrai_core.api import replay


def play(tmp_path: Path, tool: Any, calls: list[tuple[str, dict[str, Any]]], **more: Any) -> RunResult:
    asked = [{"name": name, "arguments": arguments} for name, arguments in calls]
    scenario = {
        "scenario": "tools",
        "providers": {"default": {"use": "scripted", "replies": [{"tool_calls": asked, "then": "Done."}]}},
        "agents": {"Mara": {"tools": [tool]}},
        "schedule": {"use": "round-robin", "rounds": 1},
    }
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(scenario))
    result = pyscrai_core.run(path, store=tmp_path / "runs.db", **more)
    assert result.status == "completed", result.error
    return result


CALL = [("list_files", {})]


def answers(result: RunResult) -> list[Any]:
    uses = [event.payload for event in result.events if event.kind == "tool"]
    return [use["error"] if "error" in use else json.loads(use["result"]) for use in uses]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    (folder / "old").mkdir(parents=True)
    (folder / "apples.txt").write_text("Forty apples. Ünd mehr.", encoding="utf-8")
    (folder / "old" / "pears.txt").write_text("No pears.")
    (folder / "picture.png").write_bytes(b"\x89PNG\xff")
    (tmp_path / "secret.txt").write_text("the treasure")
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    return folder


def test_files_are_listed_and_read_and_remembered(tmp_path: Path, folder: Path) -> None:
    tool = {"use": "files", "folder": "library", "characters": 13}
    calls = [
        ("list_files", {}),
        ("read_file", {"path": "apples.txt"}),
        ("read_file", {"path": "apples.txt", "start": 14}),
        ("read_file", {"path": "old/pears.txt"}),
    ]
    result = play(tmp_path, tool, calls)
    assert answers(result) == [
        ["apples.txt", "old/pears.txt", "picture.png"],
        {"text": "Forty apples.", "from": 0, "to": 13, "of": 23},
        {"text": "Ünd mehr.", "from": 14, "to": 23, "of": 23},
        {"text": "No pears.", "from": 0, "to": 9, "of": 9},
    ]
    for file in folder.rglob("*.txt"):
        file.unlink()
    folder.rename(tmp_path / "gone")
    assert replay(store=tmp_path / "runs.db").fingerprint == result.fingerprint


def test_nothing_outside_of_the_folder_can_be_read(tmp_path: Path, folder: Path) -> None:
    wrong = ["../secret.txt", str(tmp_path / "secret.txt"), "out.txt", "old/../../secret.txt"]
    broken = ["picture.png", "nothing.txt", "old", "a\0b"]
    tool = {"use": "files", "folder": "library"}
    told = answers(play(tmp_path, tool, [("read_file", {"path": path}) for path in [*wrong, *broken]]))
    assert all("is outside the folder" in text for text in told[: len(wrong)])
    assert all("cannot be read" in text for text in told[len(wrong) :])
    assert "treasure" not in str(told)


def test_a_folder_that_is_missing_or_elsewhere(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ConfigError, match="files: folder: there is no folder"):
        play(tmp_path, {"use": "files", "folder": "libary"}, CALL)
    with pytest.raises(TrustRequired, match="read the file: "):
        play(tmp_path, {"use": "files", "folder": "/etc"}, CALL)


def test_samples_follow_the_seed(tmp_path: Path) -> None:
    items = list("abcdefgh")
    calls = [
        ("sample", {"items": items}),
        ("sample", {"items": items, "count": 8}),
        ("sample", {"items": ["x", "y"], "count": 20, "again": True}),
        ("sample", {"items": ["x"], "count": 2}),
        ("sample", {"items": [], "count": 1}),
    ]
    one, every, many, too_many, none = answers(play(tmp_path, "sample", calls, seed=1))
    assert len(one) == 1
    assert set(one) < set(items)
    assert sorted(every) == items != every
    assert set(many) == {"x", "y"}
    assert "cannot choose" in too_many
    assert "0 items" in none
    assert answers(play(tmp_path, "sample", calls, seed=1))[1] == every
    assert answers(play(tmp_path, "sample", calls, seed=2))[1] != every
