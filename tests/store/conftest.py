"""What the tests of the store share."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pyscrai_records.store.models import TABLES


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Path]:
    """A folder that can be made read-only by the function that it comes with."""
    folder = tmp_path / "archive"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def talk() -> dict[str, Any]:
    """A scenario of two agents that need no model."""
    return {
        "providers": {"default": {"use": "scripted", "replies": ["one", "two", "three"]}},
        "agents": {"A": {"persona": "First."}, "B": {"persona": "Second."}},
        "schedule": {"use": "round-robin", "rounds": 6},
        "outcomes": {"n": "len(events)"},
    }


@pytest.fixture
def count() -> Callable[[Path], dict[str, int]]:
    """How many rows each table of a store has."""

    def counted(path: Path) -> dict[str, int]:
        with closing(sqlite3.connect(path)) as database:
            names = [table._meta.table_name for table in TABLES]
            return {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}

    return counted
