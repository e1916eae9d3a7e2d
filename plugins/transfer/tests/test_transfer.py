"""Runs that travel as one file, checks that notice damage, and the README's examples."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pyscrai_transfer.bundle import Bundle, export_bundle
from pyscrai_transfer.checks import check_run

from pyscrai_core import Engine, Schedule, StoreError
from pyscrai_core.store.store import Store


class Greets(Engine):
    async def run(self, turn: Any) -> None:
        turn.say("Good day.")


class OneStep(Schedule):
    async def next(self, stage: Any) -> Sequence[str]:
        return [] if stage.log else list(stage.agents)


@pytest.fixture
def played(play: Callable[..., Any]) -> Any:
    """A run in the store that the README names."""
    scenario = {"agents": {"Ann": {"engine": "greets"}, "Ben": {"engine": "greets"}}, "schedule": "one-step"}
    return play(scenario, engine__greets=Greets, schedule__one_step=OneStep, store=".pyscrai/runs.db")


def test_the_readmes_examples_run(played: Any, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    bundles, checks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(compile(bundles, "README.md", "exec"), {})
    with Store.open("other.db", create=False) as store:
        assert store.run("last").fingerprint == played.fingerprint
    exec(compile(checks, "README.md", "exec"), {})
    assert capsys.readouterr().out == "fine\n"


def test_damage_is_told_and_does_not_travel(played: Any, tmp_path: Path) -> None:
    out = tmp_path / "runs.pyscrai"
    with Store.open(".pyscrai/runs.db") as store:
        store.connection.execute("UPDATE events SET source = 'Eve' WHERE seq = 1")
        assert list(check_run(store.connection, played.run))
        with pytest.raises(StoreError):
            export_bundle(store, [played.run], out)
    assert not out.exists()


def test_a_file_that_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "runs.pyscrai").write_bytes(b"nothing")
    with pytest.raises(StoreError, match="it is no bundle"), Bundle(tmp_path / "runs.pyscrai"):
        pass
