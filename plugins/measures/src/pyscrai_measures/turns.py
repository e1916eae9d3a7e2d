"""Measures of turn-taking: how utterances are shared, and who speaks after whom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, pairwise

from .talk import Utterance


def gini(amounts: Sequence[float]) -> float | None:
    """The Gini coefficient: 0 if all have the same; None for fewer than two, or nothing to share."""
    n, total = len(amounts), sum(amounts)
    if n < 2 or not total:
        return None
    ranked = sum(rank * amount for rank, amount in enumerate(sorted(amounts), 1))
    return 2 * ranked / (n * total) - (n + 1) / n


def entropy(amounts: Sequence[float]) -> float | None:
    """Shannon's entropy of the shares, divided by its maximum: 1 if all have the same."""
    n, total = len(amounts), sum(amounts)
    if n < 2 or not total:
        return None
    shares = [amount / total for amount in amounts if amount]
    return max(0.0, -sum(share * math.log(share) for share in shares) / math.log(n))


def longest_monologue(utterances: Sequence[Utterance], agent: str | None = None) -> int:
    """The largest number of utterances that one agent made in a row."""
    runs = groupby(utterances, key=lambda one: one.agent)
    return max((len(list(several)) for name, several in runs if agent in (None, name)), default=0)


def transitions(utterances: Sequence[Utterance], participants: Sequence[str]) -> dict[str, dict[str, int]]:
    """How often each participant (the first key) was followed by each (the second)."""
    counts = {one: dict.fromkeys(participants, 0) for one in participants}
    for before, after in pairwise(utterances):
        counts[before.agent][after.agent] += 1
    return counts


def latency(utterances: Sequence[Utterance], agent: str | None = None) -> float | None:
    """The mean number of steps from an utterance to the next one of somebody else, by who answers."""
    waits = [
        after.step - before.step
        for before, after in pairwise(utterances)
        if before.agent != after.agent and agent in (None, after.agent)
    ]
    return sum(waits) / len(waits) if waits else None
