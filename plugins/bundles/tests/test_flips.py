"""Bits that flip in a store: `runs verify` finds what would make a replay fail, and nothing is called a bug.

`PYSCRAI_FLIPS=200` flips as many.
"""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pyscrai_cli.main import cli

FLIPS = int(os.environ.get("PYSCRAI_FLIPS", "40"))
TALK = {
    "seed": 3,
    "providers": {"default": {"use": "scripted", "choice": ["one", "two", "three words here"]}},
    "world": {"premise": "A market.", "state": {"n": 0}},
    "agents": {
        "A": {
            "engine": {"use": "rules", "policy": [{"do": "offer", "arguments": {"price": 3}}]},
            "actions": {"offer": {"price": {"type": "integer"}}},
        },
        "B": {"persona": "Second.", "memory": "window"},
    },
    "rules": [{"on": "offer", "add": {"n": 1}}],
    "schedule": {"use": "round-robin", "rounds": 6},
    "outcomes": {"n": "len(events)", "s": "state.n"},
}


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--store", "flipped.db"])


@pytest.mark.slow
def test_verify_finds_what_would_make_a_replay_fail(play: Callable[..., Any]) -> None:
    assert play(TALK).status == "completed"
    with closing(sqlite3.connect("runs.db")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole, drawn = Path("runs.db").read_bytes(), random.Random(1)
    found = 0
    for _ in range(FLIPS):
        flipped, at = bytearray(whole), drawn.randrange(len(whole))
        flipped[at] ^= 1 << drawn.randrange(8)
        for left in ("flipped.db-wal", "flipped.db-shm"):
            Path(left).unlink(missing_ok=True)
        Path("flipped.db").write_bytes(flipped)
        verified, replayed = invoke("runs", "verify"), invoke("replay")
        for done in (verified, replayed):
            assert isinstance(done.exception, SystemExit | None), (at, done.exception)
            assert "bug" not in done.output, (at, done.output)
        assert verified.exit_code or not replayed.exit_code, (at, verified.output, replayed.output)
        found += bool(verified.exit_code)
    assert found
