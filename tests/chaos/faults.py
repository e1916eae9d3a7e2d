"""A disk that is full in the midst of a run, and a store that another program has locked."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

from harness import CASES, HANGS, Place, Tell, Whole, judge

from pyscrai_records.store.store import Store


def can_mount() -> bool:
    """Whether this process may make file systems: only root may, and not in every container."""
    with tempfile.TemporaryDirectory() as folder, suppress(FileNotFoundError):
        tried = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False)
        return tried.returncode == 0 and subprocess.run(["umount", folder], check=True).returncode == 0
    return False


def disk_full(whole: Whole, place: Place, *, size: int, disk: bool) -> list[str]:
    """Run and resume where there is no room, then resume where there is: what is wrong.

    The room is a file system of `size` bytes, or without `disk` a bound for the size of a file.
    """
    random, wrong = Random(size), []
    room = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place.store.parent)]
    if disk:
        subprocess.run(room, check=True)
    try:
        for _ in range(2):
            said = place.wait(place.start(random) if disk else place.start(random, size))
            errors = [line for line in said.splitlines() if line.startswith("error: ")]
            clear = len(errors) == 1 and "Traceback" not in said and (not disk or "disk is full" in said)
            if not (place.ends[-1] and clear):
                wrong.append(f"{place.ends[-1] or 'it ended well'}, and no single clear error: {said!r}")
        if disk:
            subprocess.run([*room[:4], "remount,size=64m", *room[5:]], check=True)
        place.finish(place.start(random))
    finally:
        if disk:
            subprocess.run(["umount", "-l", str(place.store.parent)], check=True)
    return wrong + judge(whole, place)[1]


def locked(whole: Whole, place: Place, *, seconds: float, when: str) -> list[str]:
    """Lock the store at the `start` of a run, in its `middle`, or at its `resume`: what is wrong."""
    random = Random(when)
    if when == "start":
        Store.open(place.store).close()
    else:
        process = place.start(random)
        began = time.monotonic()
        while len(list(place.marks("end"))) < len(whole.keys) // 2 and time.monotonic() - began < HANGS:
            time.sleep(0.005)
    if when == "resume":
        place.kill(process)
        place.ended("killed in its middle")
    other = sqlite3.connect(place.store, timeout=HANGS, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.time()
    if when != "middle":
        process = place.start(random)
    time.sleep(seconds)
    ended, waits = time.time(), process.poll() is None
    other.execute("ROLLBACK")
    other.close()
    place.finish(process)
    wrong = judge(whole, place)[1]
    held = {what: sum(began < at < ended for _, at, _ in place.marks(what)) for what in ("start", "tick")}
    if not waits:
        wrong.append(f"{when}: it did not wait for the store")
    if held["start"] > CASES[place.case][1]:
        wrong.append(f"{when}: {held['start']} calls were made while nothing could be journaled")
    # 20 a second if the loop is free; none if it waits for the store.
    if when == "middle" and held["tick"] < 5:
        wrong.append(f"{when}: the event loop was blocked: it ticked {held['tick']} times in {seconds:g} s")
    return wrong


def all_of(root: Path, server: str, tell: Tell, disk: bool, seconds: float | None) -> list[str]:
    """The disk filled at several sizes, and a store locked for so many seconds, in two scenarios."""
    failures: list[str] = []

    def trial(what: str, attempt: Callable[[Place], list[str]]) -> None:
        place = Place(root / f"{case}-{len(list(root.iterdir()))}", case, server)
        try:
            wrong = attempt(place)
        except AssertionError as error:
            wrong = [str(error)]
        kept = ", ".join(f"{len(seen.journal)} calls" for seen in place.seen)
        tell(f"{case}, {what}: {'FAILED' if wrong else 'the same'}; kept {kept}")
        if wrong:
            failures.append("\n  ".join([f"{case}, {what}, kept in {place.folder}", *wrong]))
        else:
            shutil.rmtree(place.folder)

    for case in ("sequential", "simultaneous"):
        whole = Whole.of(first := Place(root / f"{case}-whole", case, server))
        for share in (0.1, 0.4, 0.8, 1.4) if disk else ():
            size = int(share * first.store.stat().st_size)
            if can_mount():
                trial(f"a disk of {size} bytes", partial(disk_full, whole, size=size, disk=True))
            trial(f"files of {size} bytes at most", partial(disk_full, whole, size=size, disk=False))
        for when in ("start", "middle", "resume") if seconds is not None else ():
            trial(f"locked at its {when}", partial(locked, whole, seconds=seconds or 0, when=when))
    return failures
