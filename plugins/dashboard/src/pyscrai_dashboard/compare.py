"""Two runs side by side: what they share, where they part, and what was different about them."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from pyscrai_records.store.store import Store

from .reading import find
from .summaries import Summaries
from .worlds import differences

#: Events that are looked at in each run, and those that are aligned one by one where the runs differ.
MOST, ALIGNED = 200_000, 5_000
Line = tuple[str, ...]


def compare(store: Store, left: str, right: str, summaries: Summaries) -> dict[str, Any]:
    """How two runs differ. Their events are aligned: what both have, then what only one has."""
    first, second = _lines(store, left), _lines(store, right)
    common = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        common += 1
    runs = find(store, left), find(store, right)
    mine, theirs = (run.outcomes for run in runs)
    before, after = (_manifest(run.manifest) for run in runs)
    return {
        "left": summaries.of(store, left),
        "right": summaries.of(store, right),
        "common": common,
        "aligned": [[seq, seq] for seq in range(1, common + 1)]
        + [[a and a + common, b and b + common] for a, b in _aligned(first[common:], second[common:])],
        "outcomes": [
            {"name": name, "left": mine.get(name), "right": theirs.get(name)} for name in {**mine, **theirs}
        ],
        "differences": [
            {"path": ".".join(path), "left": here, "right": there}
            for path, here, there in differences(before, after)
        ],
        "cut": len(first) == MOST or len(second) == MOST,
    }


def _lines(store: Store, run: str) -> list[Line]:
    """The events as texts to be compared, without their numbers."""
    find(store, run)
    query = """SELECT "step", "kind", "source", "audience", "payload" FROM "events" WHERE "run"=?
        ORDER BY "seq" LIMIT ?"""
    return [(str(step), *rest) for step, *rest in store.connection.execute(query, (run, MOST))]


def _aligned(first: list[Line], second: list[Line]) -> Iterator[tuple[int | None, int | None]]:
    """Pairs of numbers from 1; None: the other run has nothing there.

    Events stand beside each other if they are the same, else if they have the same step, kind and source.
    """
    if len(first) + len(second) > ALIGNED:
        yield from _by_step(first, second)
        return
    matcher = SequenceMatcher(a=[line[:3] for line in first], b=[line[:3] for line in second], autojunk=False)
    for _, start, end, begin, stop in matcher.get_opcodes():
        yield from zip_longest(range(start + 1, end + 1), range(begin + 1, stop + 1))


def _by_step(first: list[Line], second: list[Line]) -> Iterator[tuple[int | None, int | None]]:
    """The same for long logs, in linear time: the events of a step stand beside those of the same step."""
    one, other = _steps(first), _steps(second)
    for step in sorted({*one, *other}):
        yield from zip_longest(one.get(step, ()), other.get(step, ()))


def _steps(lines: list[Line]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for number, line in enumerate(lines, 1):
        found.setdefault(int(line[0]), []).append(number)
    return found


def _manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """What of a manifest can tell two runs apart, as it is at their ends."""
    forks = manifest.get("forks") or []
    scenarios = [fork["scenario"] for fork in forks if fork.get("scenario")]
    keys = ("kernel", "extensions", "prompts", "modules", "changes")
    shown: dict[str, Any] = {key: manifest.get(key) for key in keys}
    shown["scenario"] = scenarios[-1] if scenarios else manifest["scenario"]
    shown["plugins"] = {plugin["distribution"]: plugin["version"] for plugin in manifest["plugins"]}
    shown["forks"] = [{key: fork.get(key) for key in ("parent", "after", "set", "seed")} for fork in forks]
    return shown
