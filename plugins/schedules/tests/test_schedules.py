"""The schedules by themselves: whom they choose, step by step."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from pyscrai_core import ScenarioError, Schedule
from pyscrai_schedules.random_choice import RandomChoice
from pyscrai_schedules.reactive import Reactive
from pyscrai_schedules.rounds import RoundRobin, Simultaneous

ALL = ("Ann", "Ben", "Cem")


def play(
    schedule: Schedule, agents: Sequence[str] = ALL, pending: Sequence[Sequence[str]] = (), seed: int = 0
) -> list[tuple[str, ...]]:
    """The groups of all steps. `pending` are those with something to react to, at each call of `next`."""
    groups: list[tuple[str, ...]] = []
    for step in range(1, 1000):
        stage: Any = SimpleNamespace(
            everyone=ALL,
            step=step,
            agents=tuple(agents),
            pending=list(pending[step - 1]) if step <= len(pending) else [],
            random=Random(f"{seed} {step}"),
        )
        group = asyncio.run(schedule.next(stage))
        if not group:
            return groups
        groups.append(tuple(group))
    raise AssertionError("the schedule does not end")


def make(kind: type[Schedule], **options: Any) -> Schedule:
    return kind(kind.Config(**options))


def test_round_robin_lets_everyone_act_once_a_round() -> None:
    assert play(make(RoundRobin, rounds=2)) == [("Ann",), ("Ben",), ("Cem",)] * 2


@pytest.mark.parametrize(
    "schedule",
    [
        make(RoundRobin, rounds=4),
        make(RoundRobin, rounds=2, order=["Cem", "Ann", "Cem", "Ben"]),
        make(Simultaneous, rounds=3),
        make(RandomChoice, steps=7, group=2),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_a_schedule_tells_beforehand_how_many_steps_it_makes(schedule: Schedule) -> None:
    assert schedule.most_steps(schedule.config, ALL) == len(play(schedule))


def test_a_schedule_that_may_end_earlier_tells_its_maximum() -> None:
    assert Reactive.most_steps(Reactive.Config(max_steps=6), ALL) == 6


def test_round_robin_has_ten_rounds_unless_it_is_told() -> None:
    assert len(play(make(RoundRobin))) == 30


def test_round_robin_in_an_order_of_its_own() -> None:
    order = ["Cem", "Ann", "Cem"]
    assert play(make(RoundRobin, rounds=2, order=order)) == [("Cem",), ("Ann",), ("Cem",)] * 2


def test_round_robin_goes_on_in_its_round_when_its_options_change() -> None:
    schedule = make(RoundRobin, rounds=1)
    stage: Any = SimpleNamespace(agents=ALL)
    assert asyncio.run(schedule.next(stage)) == ("Ann",)
    schedule.config = RoundRobin.Config(rounds=2)
    assert play(schedule) == [("Ben",), ("Cem",), ("Ann",), ("Ben",), ("Cem",)]


def test_unknown_names_in_the_order_are_all_reported_with_a_guess() -> None:
    with pytest.raises(ScenarioError) as caught:
        play(make(RoundRobin, order=["Ann", "Bne", "Zoe"]))
    first, second = caught.value.mistakes
    assert (first.where, first.path) == ("schedule", "schedule.order[1]")
    assert "did you mean 'Ben'?" in first.what
    assert second.path == "schedule.order[2]"
    assert "known: Ann, Ben, Cem" in second.what


def test_simultaneous_lets_all_act_at_once() -> None:
    assert play(make(Simultaneous, rounds=3)) == [ALL] * 3


@pytest.mark.parametrize("kind", [RoundRobin, Simultaneous, RandomChoice, Reactive])
def test_without_agents_it_is_over_at_once(kind: type[Schedule]) -> None:
    assert play(make(kind), agents=()) == []


def test_random_draws_groups_of_different_agents() -> None:
    groups = play(make(RandomChoice, steps=200, group=2))
    assert len(groups) == 200
    assert all(len(set(group)) == 2 for group in groups)
    # Each pair in each order is one of six.
    assert len(set(groups)) == 6


def test_random_gives_everyone_the_same_chance() -> None:
    counts = Counter(name for (name,) in play(make(RandomChoice, steps=900)))
    # 300 are expected; 240 is four standard deviations below.
    assert min(counts[name] for name in ALL) > 240


def test_random_without_repeats() -> None:
    groups = play(make(RandomChoice, steps=300, group=2, repeat=False), agents=[*ALL, "Dag", "Eva"])
    assert all(not set(one) & set(other) for one, other in pairwise(groups))
    assert len({name for group in groups for name in group}) == 5


def test_random_repeats_unless_it_is_told_not_to() -> None:
    groups = play(make(RandomChoice, steps=100))
    assert any(one == other for one, other in pairwise(groups))


def test_random_follows_from_the_seed() -> None:
    assert play(make(RandomChoice, steps=50), seed=1) == play(make(RandomChoice, steps=50), seed=1)
    assert play(make(RandomChoice, steps=50), seed=1) != play(make(RandomChoice, steps=50), seed=2)


@pytest.mark.parametrize(
    "options, path, says",
    [
        ({"group": 4}, "schedule.group", "4 agents should act at a time, but only 3 act by schedule"),
        ({"group": 2, "repeat": False}, "schedule.repeat", "need 4 agents"),
    ],
)
def test_random_says_when_there_are_too_few_agents(options: dict[str, Any], path: str, says: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        play(make(RandomChoice, **options))
    (mistake,) = caught.value.mistakes
    assert mistake.path == path
    assert says in mistake.what


def test_reactive_begins_with_the_opening_and_then_follows_the_events() -> None:
    schedule = make(Reactive, opening=["Ann"])
    assert play(schedule, pending=[["Cem"], ["Ben", "Cem"], ["Ann"]]) == [("Ann",), ("Ben", "Cem"), ("Ann",)]


def test_reactive_opens_with_all_that_act_by_schedule() -> None:
    assert play(make(Reactive), agents=["Ann", "Ben"], pending=[[], ["Cem"]]) == [("Ann", "Ben"), ("Cem",)]


def test_reactive_with_an_empty_opening_waits_for_events_alone() -> None:
    assert play(make(Reactive, opening=[]), pending=[["Cem"]]) == [("Cem",)]


def test_reactive_bounds_the_steps() -> None:
    assert len(play(make(Reactive, max_steps=7), pending=[["Ann"]] * 50)) == 7
    assert len(play(make(Reactive), pending=[["Ann"]] * 500)) == 100


def test_reactive_bounds_the_turns_of_an_agent() -> None:
    pending = [[], ["Ann", "Ben"], ["Ann", "Ben"], ["Ann", "Ben"], ["Ben"]]
    groups = play(make(Reactive, opening=["Ann"], per_agent=2), pending=pending)
    assert groups == [("Ann",), ("Ann", "Ben"), ("Ben",)]


@pytest.mark.parametrize(
    "kind, options, says",
    [
        (RoundRobin, {"rounds": 0}, "rounds: expected 1 or more, got 0"),
        (RoundRobin, {"order": []}, "order: the list is empty"),
        (Simultaneous, {"rounds": -1}, "rounds: expected 1 or more, got -1"),
        (RandomChoice, {"steps": 0}, "steps: expected"),
        (RandomChoice, {"group": 0}, "group: expected"),
        (Reactive, {"max_steps": 0}, "max_steps: expected"),
        (Reactive, {"per_agent": 0}, "per_agent: expected"),
        (Reactive, {"opening": ["Ann", "Ann"]}, "opening: 'Ann' is named twice"),
    ],
)
def test_wrong_options_are_refused(kind: type[Schedule], options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make(kind, **options)
