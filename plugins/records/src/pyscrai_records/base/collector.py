"""Python's garbage collector, which looks at all objects that live, again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_inside = _full = 0


@contextmanager
def passed_over() -> Iterator[None]:
    """Let the garbage collector pass over the objects that are there now, until this ends.

    For long work beside many objects that stay: without it, looking at the modules, the scenario and the
    components of a run with a thousand agents takes a fifth of its time. It may be entered several times:
    objects are passed over from the first beginning to the last end. If the collector would have looked at
    all of them meanwhile, it does so then.
    """
    global _inside, _full
    with _lock:
        _inside += 1
        if _inside == 1:
            _full = _full_collections()
            gc.freeze()
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                gc.unfreeze()
                if gc.isenabled() and _full_collections() > _full:
                    gc.collect()


def _full_collections() -> int:
    count: int = gc.get_stats()[-1]["collections"]
    return count
