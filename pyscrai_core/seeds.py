"""Seeds by position: every random stream of a run follows from the run's seed and a place in it."""

from __future__ import annotations

import hashlib
import random


def derive(seed: int, *place: object) -> int:
    """A seed of 31 bits (what every vendor accepts) for `place`, from the run's `seed`."""
    text = "\x1f".join((str(seed), *map(str, place)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) & 0x7FFFFFFF


def stream(seed: int, *place: object) -> random.Random:
    """A random stream of its own for `place`."""
    text = "\x1f".join((str(seed), "random", *map(str, place)))
    return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest()))
