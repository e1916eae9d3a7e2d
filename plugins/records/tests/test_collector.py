"""What the garbage collector passes over, and that it does not do so for ever."""

from __future__ import annotations

import gc
import weakref

from pyscrai_records.base.collector import passed_over


class Node:
    """An object in a circle, which only the garbage collector can remove."""

    def __init__(self) -> None:
        self.me = self


def test_what_is_there_is_passed_over_until_the_last_one_ends() -> None:
    with passed_over():
        frozen = gc.get_freeze_count()
        assert frozen > 1000
        with passed_over():
            assert gc.get_freeze_count() == frozen
        assert gc.get_freeze_count() == frozen
    assert gc.get_freeze_count() == 0


def test_garbage_goes_that_was_passed_over_while_the_collector_was_at_work() -> None:
    left = weakref.ref(Node())
    with passed_over():
        gc.collect()
        assert left() is not None
    assert left() is None


def test_new_garbage_goes_meanwhile() -> None:
    with passed_over():
        left = weakref.ref(Node())
        gc.collect()
        assert left() is None
