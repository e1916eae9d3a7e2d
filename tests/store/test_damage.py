"""What is stored as JSON and is none any more: said as damage, and not as a bug."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from pyscrai_cli.main import cli

import pyscrai_core
from pyscrai_core import StoreError, api

SCENARIO = {
    "scenario": "t",
    "providers": {"default": {"use": "scripted", "replies": ["Hello."]}},
    "agents": {"A": {}, "B": {}},
    "schedule": {"use": "round-robin", "rounds": 2},
    "outcomes": {"events": "len(events)"},
}
PLACES = {
    "events.payload": ("replay", "log", "show"),
    "events.audience": ("replay", "log", "show"),
    "calls.answer": ("replay",),
    "calls.attempts": ("show", "show --stats"),
    "outcomes.value": ("show",),
    "messages.body": ("show", "diff last last"),
    "manifests.body": ("replay", "show", "log"),
}


@pytest.mark.parametrize("place", PLACES)
def test_broken_json_is_damage(place: str, tmp_path: Path) -> None:
    store, (table, column) = tmp_path / "runs.db", place.split(".")
    pyscrai_core.run(SCENARIO, store=store)
    with closing(sqlite3.connect(store)) as connection, connection:
        broken = b'{"a"' if table == "messages" else '{"a"'
        connection.execute(f'UPDATE "{table}" SET "{column}" = ?', [broken])
    if "replay" in PLACES[place]:
        with pytest.raises(StoreError, match="not as it was written"):
            api.replay(store=store)
    for command in (*PLACES[place], "runs verify"):
        done = CliRunner().invoke(cli, [*command.split(), "--store", str(store)])
        assert "this is a bug" not in done.output, command
        assert done.exit_code in (0, 1, 2), command
    assert done.exit_code == 1  # of runs verify, which finds all of it
