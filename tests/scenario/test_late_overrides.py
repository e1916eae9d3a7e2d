"""Overrides that would make something new where something of nearly that name exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyscrai_core.plugins import Host
from pyscrai_core.scenario import plan as planning
from pyscrai_core.scenario.overrides import Override
from pyscrai_records.errors import ScenarioError

SCENARIO = """\
scenario: overrides
world: {state: {price: 3}}
agents:
  Mara: {engine: {use: rules, policy: [{say: hello}]}, state: {purse: 3}}
groups: {traders: {members: [Mara], state: {stock: 4}}}
"""


def planned(folder: Path, path: str, value: Any) -> None:
    file = folder / "overrides.yaml"
    file.write_text(SCENARIO, encoding="utf-8")
    planning.from_file(file, Host(), overrides=[Override.of(path, value)])


@pytest.mark.parametrize(
    ("path", "value", "meant"),
    [
        ("groups.trader.members", ["Mara"], "traders"),
        ("world.state.prise", 4, "price"),
        ("agents.Mara.state.prse", 4, "purse"),
        ("groups.traders.state.stok", 5, "stock"),
    ],
)
def test_a_mistyped_key_is_no_new_one(path: str, value: Any, meant: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=f"did you mean '{meant}'"):
        planned(tmp_path, path, value)


@pytest.mark.parametrize(
    ("path", "value"),
    [("world.state.price2", 4), ("world.state.weather", "sun"), ("agents.Mara.state.purse", 9)],
)
def test_other_keys_may_be_new(path: str, value: Any, tmp_path: Path) -> None:
    planned(tmp_path, path, value)
