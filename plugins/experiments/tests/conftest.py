"""The files that the tests begin with: a market with a scripted, noisy model, and an experiment on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pyscrai_cli.main import cli

MARKET = """\
scenario: market
seed: 7
providers:
  default:
    use: scripted
    choice:
      Mara: [{action: {offer: {price: 8}}}, {action: {offer: {price: 9}}}, {action: {offer: {price: 10}}}]
      Jon: [{action: {offer: {price: 5}}}, {action: {offer: {price: 6}}}, {action: {offer: {price: 7}}}]
world:
  state: {price: 0, markup: 0, total: 0}
agents:
  Mara: {persona: A farmer., actions: {offer: {price: {type: integer}}}, speak: false, must_act: true}
  Jon: {persona: A cook., actions: {offer: {price: {type: integer}}}, speak: false, must_act: true}
rules:
  - {on: offer, set: {price: event.payload.price + state.markup}, add: {total: event.payload.price}}
schedule: {use: round-robin, rounds: 2}
outcomes: {price: state.price, total: state.total, high: state.price > 6}
"""
EXPERIMENT = """\
experiment: markup
scenario: market.yaml
arms:
  plain: {}
  marked: {world.state.markup: 2}
  poor: {agents.Jon.persona: You are poor.}
replicates: 10
outcomes:
  price:
    unit: coins
    compare:
      marked: {against: plain, direction: greater, smallest: 0.5}
      poor: plain
  high: {kind: proportion}
claim: {text: A markup raises the price., because: It is added to it.}
"""


def write() -> None:
    Path("market.yaml").write_text(MARKET)
    Path("exp.yaml").write_text(EXPERIMENT)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["experiment", *arguments], prog_name="pyscrai")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The folder with `market.yaml` and `exp.yaml`, which is the current one."""
    write()
    return tmp_path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the experiment was run. Tests get copies of it."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write()
        assert invoke("run", "exp.yaml").exit_code == 0
    return folder


@pytest.fixture
def ran(finished: Path, tmp_path: Path) -> Path:
    """The folder with `market.yaml` and `exp.yaml`, which is the current one, and all trials of it."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def experiment() -> Callable[..., Result]:
    """Runs `pyscrai experiment` with arguments."""
    return invoke
