"""What the garbage collector passes over, and that it does not do so for ever."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEGIN = """
import gc, weakref
from pyscrai_records.base.collector import passed_over

class Node:  # an object in a circle, which only the garbage collector can remove
    def __init__(self):
        self.me = self
"""
NESTED = """
with passed_over():
    frozen = gc.get_freeze_count()
    assert frozen > 1000
    with passed_over():
        assert gc.get_freeze_count() == frozen
    assert gc.get_freeze_count() == frozen
assert gc.get_freeze_count() == 0
"""
#: The collector was at work meanwhile, so that it looks at what was passed over in the end.
OLD = """
left = weakref.ref(Node())
with passed_over():
    gc.collect()
    assert left() is not None
assert left() is None
"""
NEW = """
with passed_over():
    left = weakref.ref(Node())
    gc.collect()
    assert left() is None
"""


@pytest.mark.parametrize("code", [NESTED, OLD, NEW])
def test_what_is_there_is_passed_over_and_goes_in_the_end(code: str) -> None:
    """In a process of its own, in which no other run goes on."""
    done = subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
