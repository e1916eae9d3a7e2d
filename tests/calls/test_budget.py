"""Budgets and prices: what a run may spend, and what it has cost."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import frozen
from click.testing import CliRunner

from pyscrai_cli.main import cli
from pyscrai_core import Completion, ConfigError, Engine, Provider, Request, ScenarioError, Usage, api
from pyscrai_core.calls import budget
from pyscrai_core.config import Settings, load_settings
from pyscrai_records.records import Cost
from pyscrai_records.store.store import Store


class Meter(Provider):
    """Takes a little time, and tells the usage and the price that its options say."""

    @frozen
    class Config:
        model: str = "m-1"
        served: str = "m-1"
        used: list[int] = [5, 10]
        price: float | None = None

    asked = 0

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        Meter.asked += 1
        await asyncio.sleep(0.002)
        return Completion("yes", usage=Usage(*self.config.used), model=self.config.served)

    def cost(self, usage: Usage, model: str = "") -> float | None:
        return self.config.price


class Thinks(Engine):
    async def run(self, turn: Any) -> None:
        turn.say((await turn.think("?")).text)


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's own seconds: one for each call."""
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: Meter.asked))


COMPONENTS: dict[str, Any] = {"provider__meter": Meter, "engine__thinks": Thinks}
#: A call is estimated at 5 and 20 tokens, and comes to 5 and 10.
METER = {"use": "meter", "max_tokens": 20, "model": "m-1"}
#: So it is estimated at $0.045, and costs $0.025.
PRICES = "[prices.m]\ninput = 1000\noutput = 2000\n"


def scenario(agents: int = 2, rounds: int = 4, use: str = "round-robin", **provider: Any) -> dict[str, Any]:
    Meter.asked = 0
    return {
        "providers": {"default": {**METER, **provider}},
        "agents": {name: {"engine": "thinks"} for name in "ABCDEFGHIJ"[:agents]},
        "schedule": {"use": use, "rounds": rounds},
    }


# -- budgets --


@pytest.mark.parametrize("whose", ["run", "agent"])
@pytest.mark.parametrize(
    "limit, bound, times, words",
    [
        ("calls", 3, 3, "3 calls is spent"),
        ("tokens", 60, 3, "60 tokens is too small: 45 tokens are spent .* is estimated at 25 tokens"),
        ("tokens", 45, 2, "45 tokens is too small: 30 tokens are spent"),
        ("money", 0.08, 2, r"\$0\.08 is too small: \$0\.05 are spent .* estimated at \$0\.045"),
        ("seconds", 0.001, 1, "0.001 seconds is spent"),
        ("tokens", 24, 0, "24 tokens is too small: one call alone is estimated at 25 tokens"),
        ("money", 0.044, 0, r"\$0\.044 is too small: one call alone is estimated at \$0\.045"),
    ],
)
def test_a_budget_stops_before_the_call_that_might_exceed_it(
    play: Any, host_with: Any, tmp_path: Path, whose: str, limit: str, bound: float, times: int, words: str
) -> None:
    Path("pyscrai.toml").write_text(PRICES)
    whole = play(scenario(), **COMPONENTS, store=tmp_path / "whole.db")
    where = f"limits.{limit}" if whose == "run" else f"agents.A.limits.{limit}"
    given = scenario()
    (given if whose == "run" else given["agents"]["A"])["limits"] = {limit: bound}
    result = play(given, **COMPONENTS)
    # B has no limits of its own, and takes its turns in between.
    assert (result.status, Meter.asked) == ("stopped", times if whose == "run" else 2 * times)
    assert re.search(rf"{re.escape(where)}: the budget of {words}.* --set {re.escape(where)}=", result.error)
    if (whose, limit) != ("run", "seconds"):  # those of one execution
        again, asked = api.resume(store=tmp_path / "runs.db", host=host_with(**COMPONENTS)), Meter.asked
        assert (again.status, again.asked, Meter.asked) == ("stopped", 0, asked), "what was spent, is"
    more = api.resume(store=tmp_path / "runs.db", set={where: 1000}, host=host_with(**COMPONENTS))
    assert (more.status, more.fingerprint, Meter.asked) == ("completed", whole.fingerprint, 8)
    assert more.cost.dollars == pytest.approx(8 * 0.025)


@pytest.mark.parametrize("limit, bound", [("calls", 4), ("tokens", 100), ("money", 0.19)])
def test_calls_side_by_side_do_not_overrun_it_together(play: Any, limit: str, bound: float) -> None:
    Path("pyscrai.toml").write_text(PRICES)
    result = play({**scenario(10, use="simultaneous"), "limits": {limit: bound}}, **COMPONENTS)
    assert (result.status, Meter.asked) == ("stopped", 4)
    assert result.usage == Usage(20, 40)


@pytest.mark.parametrize("where", ["limits", "agents.A.limits", "agents.A.limits of its fallback"])
def test_a_budget_in_money_needs_prices(play: Any, tmp_path: Path, where: str) -> None:
    given = scenario()
    if "fallback" in where:
        given["providers"]["default"] |= {"price": 0.01, "fallback": ["other"]}
        given["providers"]["other"] = METER
    (given if where == "limits" else given["agents"]["A"])["limits"] = {"money": 1}
    name = "other" if "fallback" in where else "default"
    with pytest.raises(ConfigError) as caught:
        play(given, **COMPONENTS)
    where = where.split()[0]
    assert str(caught.value).startswith(f"{where}.money: the price of provider {name!r} (m-1) is unknown")
    assert '[prices."m-1"] with input' in str(caught.value)
    assert Meter.asked == 0
    with Store.open(tmp_path / "runs.db") as opened:
        assert not opened.runs()
    Path("pyscrai.toml").write_text(PRICES)
    assert play(given, **COMPONENTS).status == "completed"


# -- prices --


@pytest.mark.parametrize(
    "prices, options, cost",
    [
        ("[prices.m-1]\ninput = 1\noutput = 2", {}, Cost(25e-6)),
        ("[prices.m]\ninput = 1\noutput = 2", {"served": "m-1-2026-05-01"}, Cost(25e-6)),
        ("[prices.m]\ninput = 9\noutput = 9\n[prices.m-1]\ninput = 1\noutput = 2", {}, Cost(25e-6)),
        ("[prices.m-1]\ninput = 1\noutput = 2", {"served": "an-alias"}, Cost(25e-6)),
        ("[prices.m-1]\ninput = 1\noutput = 2", {"price": 7.0}, Cost(25e-6)),
        ("[prices.m-1]\ninput = 0\noutput = 0", {}, Cost(0.0)),
        ("", {"price": 7.0}, Cost(7.0)),
        ("", {}, Cost(0.0, 1)),
        ("[prices.m-1]\ninput = 1\noutput = 2", {"model": "m-10", "served": "m-10"}, Cost(0.0, 1)),
        (
            "[prices.m]\ninput = 1.0\noutput = 2\ncached = 0.1\ncache_write = 1.25",
            {"used": [100, 10, 40, 20]},
            Cost(89e-6),
        ),
        ("[prices.m]\ninput = 1\noutput = 2", {"used": [100, 10, 40, 20]}, Cost(120e-6)),
        ("[prices.m]\ninput = 0.25\noutput = 2", {"used": [1_000_000, 250_000]}, Cost(0.75)),
    ],
)
def test_what_a_call_costs(play: Any, prices: str, options: dict[str, Any], cost: Cost) -> None:
    Path("pyscrai.toml").write_text(prices)
    result = play(scenario(1, 1, **options), **COMPONENTS)
    assert (result.cost.dollars, result.cost.unpriced) == (pytest.approx(cost.dollars, 1e-12), cost.unpriced)


@pytest.mark.parametrize(
    "text, words",
    [
        (
            "[prices.m]\ninput = -1\noutput = 2",
            r'prices\."m"\.input: expected US dollars .* 0 or more, got -1',
        ),
        ("[prices.m]\ninput = '1'\noutput = 2", "input: expected US dollars"),
        ("[prices.m]\ninput = true\noutput = 2", "input: expected US dollars"),
        ("[prices.m]\ninput = nan\noutput = 2", "input: expected US dollars"),
        ("[prices.m]\ninput = inf\noutput = 2", "input: expected US dollars"),
        ("[prices.m]\ninput = 1\noutptu = 2", r'prices\."m": .*outptu.*output'),
        ("[prices.m]\ninput = 1", r'prices\."m": the key .output. is missing'),
        ("[prices.m]\noutput = 1", "the key .input. is missing"),
        ("prices = 3", "prices: expected tables"),
        ("[prices]\nm = 3", "prices: expected tables"),
    ],
)
def test_bad_prices(text: str, words: str) -> None:
    Path("pyscrai.toml").write_text(f"store = 'runs.db'\n{text}\n")
    with pytest.raises(ConfigError, match=rf"pyscrai\.toml:2: .*{words}"):
        load_settings(environment={})


def test_the_command_tells_the_cost_or_that_it_is_unknown(
    host_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "host", lambda self: host_with(**COMPONENTS))
    Path("s.json").write_text(json.dumps({"scenario": "s", **scenario(1, 2)}))

    def told(*arguments: str) -> str:
        done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    def costs(output: str) -> list[str]:
        return [line.split(maxsplit=1)[1] for line in output.splitlines() if line.startswith("cost ")]

    assert costs(told("run", "s.json")) == costs(told("show")) == ["unknown"]
    assert json.loads(told("show", "--json"))["cost"] == {"dollars": 0.0, "unpriced": 2}
    Path("pyscrai.toml").write_text("[prices.m]\ninput = 0\noutput = 615\n")
    assert costs(told("run", "s.json")) == costs(told("show")) == ["$0.0123"]


# -- mistakes in limits --


@pytest.mark.parametrize("whose", ["run", "agent"])
@pytest.mark.parametrize(
    "limit, words",
    [
        ("calls: 0", r"calls: expected more than 0, got 0"),
        ("tokens: -5", r"tokens: expected more than 0, got -5"),
        ("money: 0", r"money: expected more than 0, got 0"),
        ("seconds: -0.5", r"seconds: expected more than 0, got -0\.5"),
        ("calls: many", r"calls: expected .*integer.*, got 'many'"),
        ("tokens: 1.5", r"tokens: expected .*integer.*, got 1\.5"),
        ("money: true", r"money: expected .*number.*, got true"),
        ("mony: 3", r"unknown key 'mony'.*money"),
    ],
)
def test_bad_limits(whose: str, limit: str, words: str) -> None:
    lines = ["scenario: s", "agents:", "  A: {engine: actor}", f"limits: {{{limit}}}"]
    if whose == "agent":
        lines[2:] = ["  A:", f"    limits: {{{limit}}}"]
    Path("s.yaml").write_text("\n".join(lines))
    where = r"4:\d+: limits" if whose == "run" else r"4:\d+: agents\.A\.limits"
    with pytest.raises(ScenarioError, match=rf"s\.yaml:{where}.*{words}"):
        api.run("s.yaml")
