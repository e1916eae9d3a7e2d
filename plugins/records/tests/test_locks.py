"""Locks of runs: who looks at one disturbs nobody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyscrai_records.store.locks import Locks


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
