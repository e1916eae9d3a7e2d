"""The games in contrib/scenarios, against results that are known: the numbers are exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_core import RunResult, api
from pyscrai_testing import check_resume

FOLDER = Path(__file__).parents[2] / "contrib" / "scenarios"
TIT_FOR_TAT = [{"when": "any(e.kind == 'defect' for e in heard)", "do": "defect"}, {"do": "cooperate"}]
ALWAYS_DEFECT = [{"do": "defect"}]
ALWAYS_COOPERATE = [{"do": "cooperate"}]
#: Never forgives.
GRIM = [
    {"when": "any(e.kind == 'defect' for e in events if e.source != name)", "do": "defect"},
    {"do": "cooperate"},
]
#: Does the same again if the other cooperated, else the opposite.
PAVLOV = [
    {
        "when": "turn == 0 or (did[-1].kind == 'cooperate') == any(e.kind == 'cooperate' for e in heard)",
        "do": "cooperate",
    },
    {"do": "defect"},
]
#: Tit for tat that begins with a defection.
SUSPICIOUS = [
    {"when": "turn == 0 or any(e.kind == 'defect' for e in heard)", "do": "defect"},
    {"do": "cooperate"},
]
MODEL = {
    "use": "llamacpp", "model": "smollm2", "exact": True, "threads": 1, "max_tokens": 40, "temperature": 0.7,
}  # fmt: skip
ACTOR = {"use": "actor", "speak": False, "must_act": True}


def run(name: str, tmp_path: Path, **sets: Any) -> RunResult:
    """Run a game with `sets` (dots as two underscores), and replay it."""
    given = {key.replace("__", "."): value for key, value in sets.items()}
    result = pyscrai_core.run(FOLDER / f"{name}.yaml", store=tmp_path / "runs.db", set=given)
    assert result.status == "completed", result.error
    assert api.replay(store=tmp_path / "runs.db").fingerprint == result.fingerprint
    return result


@pytest.mark.parametrize(
    "a, b, score",
    [
        (TIT_FOR_TAT, ALWAYS_DEFECT, (9, 14)),
        (TIT_FOR_TAT, TIT_FOR_TAT, (30, 30)),
        (TIT_FOR_TAT, ALWAYS_COOPERATE, (30, 30)),
        (ALWAYS_DEFECT, ALWAYS_DEFECT, (10, 10)),
        (ALWAYS_COOPERATE, ALWAYS_DEFECT, (0, 50)),
        # One defection goes back and forth: 0 and 5 in turns.
        (TIT_FOR_TAT, SUSPICIOUS, (25, 25)),
        # C/D, then it is never forgiven: 0 + 9 * 1 … against 5 + 0 + 8 * 1.
        (GRIM, SUSPICIOUS, (0 + 5 + 8 * 1, 5 + 0 + 8 * 1)),
        # Cooperates in every second round, since defection against defection did not pay.
        (PAVLOV, ALWAYS_DEFECT, (5 * 0 + 5 * 1, 5 * 5 + 5 * 1)),
        (PAVLOV, GRIM, (30, 30)),
    ],
)
def test_prisoners_dilemma(a: Any, b: Any, score: tuple[int, int], tmp_path: Path) -> None:
    result = run("prisoners-dilemma", tmp_path, agents__A__policy=a, agents__B__policy=b)
    assert result.outcomes["score"] == {"A": score[0], "B": score[1]}
    assert result.outcomes["rounds"] == 10
    assert result.calls == 0


def test_prisoners_dilemma_as_it_is_written(tmp_path: Path) -> None:
    outcomes = run("prisoners-dilemma", tmp_path).outcomes
    assert outcomes == {"score": {"A": 9, "B": 14}, "rounds": 10, "cooperation": 0.05}


@pytest.mark.parametrize(
    "dag, wealth",
    [
        (0, (240, 440)),  # 20 - 20 + 1.6 * 60 / 4 = 24 a round; 20 + 24 for who gives nothing
        (20, (320, 320)),  # 1.6 * 80 / 4 = 32
        (10, (280, 380)),  # 1.6 * 70 / 4 = 28; 10 + 28
    ],
)
def test_public_goods(dag: int, wealth: tuple[int, int], tmp_path: Path) -> None:
    policy = [{"do": "contribute", "arguments": {"coins": dag}}]
    result = run("public-goods", tmp_path, agents__Dag__policy=policy)
    others, own = wealth
    assert result.outcomes["wealth"] == {"Ann": others, "Ben": others, "Cem": others, "Dag": own}
    assert result.outcomes["given"] == (60 + dag) / 4


def test_public_goods_with_one_who_does_as_the_others_do(tmp_path: Path) -> None:
    average = "round(mean([e.payload.coins for e in heard if e.kind == 'contribute']))"
    policy = [
        {"when": "turn == 0", "do": "contribute", "arguments": {"coins": 20}},
        {"do": "contribute", "arguments": {"coins": average}},
    ]
    wealth = run("public-goods", tmp_path, agents__Cem__policy=policy).outcomes["wealth"]
    # First all but Dag give 20; then Cem gives 13, the mean of 20, 20 and 0: 1.6 * 53 / 4 = 21.2.
    # 24 + 9 * 21.2, 24 + 9 * (7 + 21.2), 44 + 9 * (20 + 21.2)
    assert {name: round(coins, 6) for name, coins in wealth.items()} == {
        "Ann": 214.8, "Ben": 214.8, "Cem": 277.8, "Dag": 414.8,
    }  # fmt: skip


@pytest.mark.parametrize(
    "take, years, stock, total",
    [
        (10, 10, 50, 500),  # 100 - 50 doubles to 100: for ever
        (9, 10, 55, 450),  # more than there is room for: 2 * 55 is 100
        (12, 3, 0, 160),  # 100 - 60 = 40, 80 - 60 = 20, and the last 40
        (15, 2, 0, 125),  # 100 - 75 = 25, and the last 50
        (20, 1, 0, 100),
    ],
)
def test_commons(take: int, years: int, stock: int, total: int, tmp_path: Path) -> None:
    outcomes = run("commons", tmp_path, agents__Fisher__state__take=take).outcomes
    assert (outcomes["years"], outcomes["stock"], outcomes["total"]) == (years, stock, total)


def test_commons_the_last_fish_go_to_those_who_come_first(tmp_path: Path) -> None:
    result = run("commons", tmp_path)
    assert list(result.outcomes["caught"].values()) == [36, 36, 36, 28, 24]
    last = [event.payload for event in result.events if event.kind == "ruling"][-5:]
    assert [ruling["decision"] for ruling in last] == ["granted"] * 3 + ["partly granted", "refused"]
    assert last[3]["rationale"] == "Fisher-4 finds the last 4 tons"


@pytest.mark.parametrize("name", ["prisoners-dilemma", "public-goods", "commons"])
@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_game(name: str, tmp_path: Path) -> None:
    check_resume(FOLDER / f"{name}.yaml", tmp_path)


@pytest.mark.parametrize(
    "name, agent, kind",
    [
        ("prisoners-dilemma", "B", {"cooperate", "defect"}),
        ("public-goods", "Dag", {"contribute"}),
        ("commons", "Fisher-2", {"catch"}),
    ],
)
@pytest.mark.slow
def test_a_model_takes_somebodys_place(name: str, agent: str, kind: set[str], tmp_path: Path) -> None:
    sets = {f"agents__{agent}__engine": ACTOR, "providers__default": MODEL, "schedule__rounds": 2}
    result = run(name, tmp_path, **sets)
    chosen = [event for event in result.events if event.source == agent]
    assert len(chosen) == result.calls > 0
    assert {event.kind for event in chosen} <= kind


def test_a_plain_actor_may_also_talk_and_let_a_round_pass(tmp_path: Path) -> None:
    replies = [{"say": "Trust me.", "action": None}, {"say": "", "action": "cooperate"}]
    provider = {"use": "scripted", "replies": replies}
    sets = {"agents__B__engine": "actor", "providers__default": provider, "schedule__rounds": 4}
    result = run("prisoners-dilemma", tmp_path, **sets)
    # Rounds without B's choice do not count.
    assert result.outcomes["score"] == {"A": 6, "B": 6}
    assert result.outcomes["rounds"] == 2
