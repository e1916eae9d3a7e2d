"""The short form of `nox -s chaos`: runs that are killed, out of room, or locked out, lose nothing.

And the harness would notice if they did: it is shown a store and a witness that were tampered with.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))

import faults
import harness
from harness import Moment, Place, Whole, judge

Grounds = tuple[Path, str]


@pytest.fixture(scope="module")
def grounds() -> Iterator[Grounds]:
    with harness.grounds() as made:
        yield made


@pytest.fixture(scope="module")
def whole(grounds: Grounds) -> Whole:
    """The undisturbed run of `sequential`."""
    return Whole.of(Place(grounds[0] / "whole", "sequential", grounds[1]))


@pytest.fixture
def place(grounds: Grounds, tmp_path: Path) -> Place:
    return Place(tmp_path / "place", "sequential", grounds[1])


def counted(tally: harness.Tally) -> tuple[int, ...]:
    """What must be 0."""
    return tuple(tally[column] for column in harness.COLUMNS[-3:])


def changed(store: Path, statement: str) -> None:
    with sqlite3.connect(store) as database:
        assert database.execute(statement).rowcount == 1


@pytest.mark.parametrize(
    "case",
    [
        "simultaneous",
        "outside",
        pytest.param("reactive", marks=pytest.mark.slow),
        pytest.param("priced", marks=pytest.mark.slow),
    ],
)
def test_killed_at_random_moments_nothing_is_lost(case: str, grounds: Grounds) -> None:
    told: list[str] = []
    tally, failures = harness.torture(case, 2, 1, *grounds, told.append)
    assert not failures, "\n".join(failures)
    assert len(told) == tally["runs"]
    assert tally["kills"] == tally["starting"] + tally["amid calls"] + tally["ending"] >= 2
    assert tally["asked again"] <= tally["in flight"]
    assert (tally["paid late"], *counted(tally)) == (0, 0, 0, 0)


@pytest.mark.slow
def test_the_harness_notices_a_call_that_is_made_again_though_journaled(whole: Whole, place: Place) -> None:
    process = place.start(Random(1))
    assert Moment("answered", 0).kill(process, place, whole.keys[len(whole.keys) // 2])
    place.ended("killed in its middle")
    assert 1 < len(place.seen[0].journal) < len(whole.keys)
    changed(place.store, "DELETE FROM calls WHERE number = (SELECT max(number) FROM calls)")
    place.finish(place.start(Random(2)))
    tally, wrong = judge(whole, place)
    assert (tally["kills"], tally["amid calls"], *counted(tally)) == (1, 1, 1, 0, 0)
    assert ["made again though journaled" in one for one in wrong] == [True]


def doubled(place: Place) -> None:
    with (place.folder / "witness").open("r+") as file:
        last = [line for line in file if line.startswith("start")][-1]
        file.write(last)


def forgotten(place: Place) -> None:
    changed(place.store, "DELETE FROM events WHERE seq = 7")


def renumbered(place: Place) -> None:
    changed(place.store, "UPDATE events SET seq = 1000 WHERE seq = 7")


def reworded(place: Place) -> None:
    changed(place.store, "UPDATE calls SET answer = replace(answer, 'a', 'o') WHERE number = 9")


def forged(place: Place) -> None:
    changed(place.store, "UPDATE runs SET fingerprint = 'another'")


@pytest.mark.parametrize(
    ("tamper", "found", "said"),
    [
        (doubled, (1, 0, 0), "though journaled, or doubled"),
        (forgotten, (0, 1, 0), "event 7 differs"),
        (renumbered, (0, 1, 1), "event 7 differs"),
        (reworded, (0, 0, 0), "answers are of another run"),
        (forged, (0, 0, 0), "another"),
    ],
)
@pytest.mark.slow
def test_the_harness_notices_what_was_tampered_with(
    tamper: Callable[[Place], None], found: tuple[int, int, int], said: str, place: Place
) -> None:
    whole = Whole.of(place)
    assert judge(whole, place)[1] == []
    tamper(place)
    del place.ends[-1], place.seen[-1]
    place.ended("")
    tally, wrong = judge(whole, place)
    assert counted(tally) == found
    assert said in "\n".join(wrong)


@pytest.mark.slow
def test_where_there_is_no_room_the_run_ends_clearly_and_goes_on_later(whole: Whole, place: Place) -> None:
    disk = faults.can_mount()
    assert faults.disk_full(whole, place, size=500_000, disk=disk) == []
    assert 0 < len(place.seen[0].journal) < len(whole.keys)


@pytest.mark.parametrize("when", ["middle", "resume"])
@pytest.mark.slow
def test_a_run_waits_for_a_store_that_is_locked(when: str, whole: Whole, place: Place) -> None:
    assert faults.locked(whole, place, seconds=2, when=when) == []
