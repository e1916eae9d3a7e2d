"""Files that somebody named: pipes, devices, folders and giants are refused at once, wherever they stand."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pyscrai_cli.main import cli
from pyscrai_core import read_file


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _giant(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10_000_000_000)


MADE: dict[str, Callable[[Path], None]] = {
    "pipe": _pipe,
    "device": _device,
    "folder": Path.mkdir,
    "giant": _giant,
}
WHAT = (
    "a device or a pipe",
    "is a folder",
    "Is a directory",
    "larger than the 10,000,000 bytes",
    "is no bundle",
)
AGENTS: dict[str, Any] = {"A": {"engine": "actor", "persona": "A"}}
#: What the command is given, and the scenario beside the odd file `odd.…`.
USES: dict[str, tuple[list[str], str, Any]] = {
    "scenario": (["validate", "odd.yaml"], "odd.yaml", {}),
    "scenario, executed": (["run", "odd.json", "--trust"], "odd.json", {}),
    "template": (["validate", "t.yaml"], "odd.yaml", {"agents": {"A": {"template": "odd.yaml"}}}),
    "population": (
        ["validate", "t.yaml"],
        "odd.csv",
        {"agents": {"A": {**AGENTS["A"], "count": 2, "vary": "odd.csv"}}},
    ),
    "module": (
        ["run", "t.yaml", "--trust"],
        "odd.py",
        {"agents": {"A": {"engine": "odd.py:Engine"}}},
    ),
    "bundle": (["runs", "import-bundle", "odd.zip"], "odd.zip", {}),
    "settings": (["validate", "t.yaml"], "pyscrai.toml", {"agents": AGENTS}),
}


@pytest.mark.parametrize(
    ("use", "made"),
    # Settings are looked for, and nothing but a file of that name is taken for them.
    [(use, made) for use in USES for made in MADE if use != "settings" or made == "giant"],
)
def test_what_is_no_file_is_refused_at_once(
    use: str, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, name, given = USES[use]
    monkeypatch.chdir(tmp_path)
    Path("t.yaml").write_text(json.dumps({"scenario": "t", **given}))
    MADE[made](Path(name))
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code in (1, 2)
    assert any(part in done.stderr for part in WHAT), done.stderr


def test_a_link_that_leads_to_itself_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.yaml").symlink_to("t.yaml")
    done = CliRunner().invoke(cli, ["run", "t.yaml"])
    assert done.exit_code == 2
    assert "error: t.yaml: the file cannot be read (" in done.stderr


@pytest.mark.parametrize("made", MADE)
def test_reading(made: str, tmp_path: Path) -> None:
    path = tmp_path / "odd"
    MADE[made](path)
    with pytest.raises(OSError):
        read_file(path)


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_file(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="larger than the 4 bytes that are read"):
        read_file(tmp_path / "a", 4)
