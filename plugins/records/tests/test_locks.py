"""Locks of runs: who looks at one disturbs nobody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyscrai_records.errors import StoreError
from pyscrai_records.store.locks import Locks
from pyscrai_records.store.store import Store


def test_a_lock_is_held_until_it_is_released(tmp_path: Path) -> None:
    locks = Locks(tmp_path / "runs.db")
    assert not locks.held("r1")
    lock = locks.acquire("r1")
    assert lock is not None
    assert locks.held("r1")
    assert Locks(tmp_path / "runs.db").held("r1")
    assert locks.acquire("r1") is None
    lock.release()
    assert not locks.held("r1")


def test_many_who_look_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    locks = Locks(tmp_path / "runs.db")
    lock = locks.acquire("r1")
    assert lock is not None
    lock.release()
    (tmp_path / "runs.db-owners" / "r1").touch()

    def look(_: int) -> int:
        return sum(locks.held("r1") for _ in range(2000))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(look, range(4))) == [0, 0, 0, 0]
        looking = [pool.submit(look, number) for number in range(3)]
        taken = locks.acquire("r1")
        assert taken is not None
        taken.release()
        for one in looking:
            one.result()


def test_nothing_stays_of_a_lock_that_was_released(tmp_path: Path) -> None:
    """As of a resume that is refused."""
    folder = tmp_path / "runs.db-owners"
    with Store.open(tmp_path / "runs.db") as store, Store.open(tmp_path / "runs.db") as other:
        store.own("a1")
        assert [file.name for file in folder.iterdir()] == ["a1"]
        with pytest.raises(StoreError, match="executed by another process"):
            other.own("a1")
        store.release("a1")
        assert list(folder.iterdir()) == []
        other.own("a1")
        store.release("a1")  # which is not its any more
        assert store.locks.held("a1")


def test_who_waits_for_a_lock_gets_it_alone(tmp_path: Path) -> None:
    locks, owning = Locks(tmp_path / "runs.db"), list[int]()

    def take(number: int) -> None:
        for _ in range(50):
            lock = locks.acquire("a1")
            if lock is None:  # others had it all the time
                continue
            owning.append(number)
            assert len(owning) == 1
            owning.remove(number)
            locks.remove("a1")
            lock.release()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(take, number) for number in range(4)]:
            done.result()
