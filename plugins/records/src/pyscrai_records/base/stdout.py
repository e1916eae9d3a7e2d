"""Stdout for results alone: what plugins, tools and libraries print goes to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


@contextmanager
def results_alone(wanted: bool = True) -> Iterator[TextIO]:
    """Where a command writes its results, while all else goes to stderr, what C code prints too.

    If that is not `wanted`, it is stdout as it is.
    """
    ours = sys.stdout
    if not wanted:
        yield ours
        return
    try:
        redirected = ours.fileno() == 1
    except (OSError, ValueError):  # not a file, as in a test
        redirected = False
    results = ours
    if redirected:
        ours.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
        results = open(kept, "w", encoding=ours.encoding, errors="replace", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stderr
    try:
        yield results
        results.flush()
    finally:
        sys.stdout = ours
        if redirected:
            with suppress(OSError):  # what could not be written was told where it was tried first
                results.close()
            os.dup2(kept, 1)
            os.close(kept)
