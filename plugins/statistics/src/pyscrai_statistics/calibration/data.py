"""Synthetic experiments: two arms, and what is true of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..checks import Numbers

Random = np.random.Generator
#: The first arm, the second one, and the truth that an interval must hold (of A/A experiments: 0).
Sample = tuple[Any, Any, float]
Draw = Callable[[Random, int], Sample]


def normal(random: Random, n: int) -> Sample:
    """Pairs share half of their variance, as in the next two."""
    shared = random.normal(size=n)
    return shared + random.normal(size=n), shared + random.normal(size=n), 0.0


def exponential(random: Random, n: int) -> Sample:
    shared = random.exponential(size=n)
    return shared + random.exponential(size=n), shared + random.exponential(size=n), 0.0


def lognormal(random: Random, n: int) -> Sample:
    one, other, _ = normal(random, n)
    return np.exp(one / np.sqrt(2)), np.exp(other / np.sqrt(2)), 0.0


def _discrete(random: Random, n: int, shares: Numbers) -> Sample:
    """Two arms with the same shares of 0, 1, …; in a quarter of the pairs, the values are equal."""
    one = random.choice(len(shares), n, p=shares).astype(float)
    other = random.choice(len(shares), n, p=shares).astype(float)
    return one, np.where(random.random(n) < 0.25, one, other), 0.0


def _five_shares(random: Random) -> Numbers:
    return random.dirichlet(np.ones(5))


def _binary_shares(random: Random) -> Numbers:
    share = random.uniform(0.2, 0.8)
    return np.array([1 - share, share])


def five(random: Random, n: int) -> Sample:
    """5-point answers, whose distribution is another one in each experiment."""
    return _discrete(random, n, _five_shares(random))


def binary(random: Random, n: int) -> Sample:
    """Successes with a probability between 0.2 and 0.8, another one in each experiment."""
    return _discrete(random, n, _binary_shares(random))


DATA: dict[str, Draw] = {
    "normal": normal,
    "exponential": exponential,
    "lognormal": lognormal,
    "5 points": five,
    "binary": binary,
}


def unpaired(draw: Draw) -> Draw:
    """Arms without pairs, with the same distribution of values."""

    def drawn(random: Random, n: int) -> Sample:
        if draw is five or draw is binary:
            shares = _five_shares(random) if draw is five else _binary_shares(random)
            return _discrete(random, n, shares)[0], _discrete(random, n, shares)[0], 0.0
        return draw(random, n)[0], draw(random, n)[0], 0.0

    return drawn


def shifted(draw: Draw, shift: float) -> Draw:
    """The first arm shifted; the truth is the shift."""

    def drawn(random: Random, n: int) -> Sample:
        one, other, _ = draw(random, n)
        return one + shift, other, shift

    return drawn


def twice_as_many(draw: Draw) -> Draw:
    """The second arm has twice the values of the first."""

    def drawn(random: Random, n: int) -> Sample:
        one, other, truth = draw(random, 2 * n)
        return one[:n], other, truth

    return drawn


def scaled(random: Random, n: int) -> Sample:
    """An effect that also spreads: exponential arms, of which the first has twice the values."""
    one, other, _ = exponential(random, n)
    return 2 * one, other, 2.0


def scaled_unpaired(random: Random, n: int) -> Sample:
    return scaled(random, n)[0], scaled(random, n)[1], 2.0


def with_truth(draw: Draw, truth: float) -> Draw:
    return lambda random, n: (*draw(random, n)[:2], truth)


def five_with_mean(random: Random, n: int) -> Sample:
    shares = _five_shares(random)
    return random.choice(5, n, p=shares).astype(float), None, float(shares @ np.arange(5))


def one_share(random: Random, n: int) -> Sample:
    share = random.uniform(0.05, 0.95)
    return (random.random(n) < share).astype(float), None, share


def two_shares(paired: bool) -> Draw:
    """Proportions between 0.1 and 0.9; paired: in half of the pairs, both come from the same number."""

    def drawn(random: Random, n: int) -> Sample:
        share, more = random.uniform(0.1, 0.9, 2)
        one, other = random.random(n), random.random(n)
        if paired:
            other = np.where(random.random(n) < 0.5, one, other)
        return (one < share).astype(float), (other < more).astype(float), share - more

    return drawn


def standardized(size: float, paired: bool) -> Draw:
    """Normal arms with a standardized difference of `size`."""
    scale = np.sqrt(0.5) if paired else 1.0  # the standard deviation of differences is 1
    return lambda random, n: (random.normal(size, scale, n), random.normal(0, scale, n), size)


def beside_spread(size: float) -> Draw:
    """Normal pairs that share half of their variance, which is 2; the truth is in units of their spread."""

    def drawn(random: Random, n: int) -> Sample:
        one, other, _ = normal(random, n)
        return one + size * np.sqrt(2), other, size

    return drawn


SHARES = np.array([0.1, 0.2, 0.3, 0.25, 0.15])
#: Shares of the second arm, without a difference and with one.
OTHERS = {"same": SHARES, "different": np.array([0.4, 0.3, 0.15, 0.1, 0.05])}


def dominating(other: str) -> Draw:
    """5-point answers; the truth is Cliff's delta."""
    points, others = np.arange(5), OTHERS[other]
    truth = float(SHARES @ np.sign(points[:, None] - points[None]) @ others)
    return lambda random, n: (random.choice(5, n, p=SHARES), random.choice(5, n, p=others), truth)


def associated(other: str) -> Draw:
    """Categories; the truth is Cramér's V."""
    others = OTHERS[other]
    middle = (SHARES + others) / 2
    truth = float(np.sqrt((((SHARES - middle) ** 2 + (others - middle) ** 2) / middle).sum() / 2))
    return lambda random, n: (random.choice(5, n, p=SHARES), random.choice(5, n, p=others), truth)


def with_entropy(shares: Numbers) -> Draw:
    truth = -float(shares @ np.log2(shares))
    return lambda random, n: (random.choice(len(shares), n, p=shares), None, truth)


def entropy_in_runs(random: Random, n: int) -> Sample:
    """n runs with 6 answers each, which are more alike than those of two runs; the truth is their entropy."""
    answers = [random.choice(5, 6, p=random.dirichlet(5 * SHARES)) for _ in range(n)]
    truth = -float(SHARES @ np.log2(SHARES))
    return np.concatenate(answers), np.repeat(np.arange(n), 6).tolist(), truth


def agents(between: float, kind: str) -> Draw:
    """n agents with 5 values each; the truth is the variance `between` agents, or `within` them (1)."""

    def drawn(random: Random, n: int) -> Sample:
        values = np.repeat(random.normal(0, np.sqrt(between), n), 5) + random.normal(size=5 * n)
        return values, np.repeat(np.arange(n), 5).tolist(), between if kind == "between" else 1.0

    return drawn


def raters(random: Random, n: int) -> Sample:
    """3 raters who see the true one of 4 categories with a probability of 0.8, else say any of them.

    Two raters agree beyond chance with a probability of 0.64, which is alpha for equally frequent categories.
    """
    truths = random.integers(0, 4, n)
    ratings = np.where(random.random((3, n)) < 0.8, truths, random.integers(0, 4, (3, n)))
    return ratings.tolist(), None, 0.64


#: Total variation between `SHARES` and each of the references.
REFERENCES = {"same": SHARES, "different": np.full(5, 0.2)}


def against(reference: str) -> Draw:
    """Answers and a reference; the truth is the total variation between them."""
    weights = REFERENCES[reference]
    truth = float(np.abs(SHARES - weights).sum() / 2)
    return lambda random, n: (
        random.choice(5, n, p=SHARES).tolist(),
        dict(enumerate(weights.tolist())),
        truth,
    )


def grid(random: Random, n: int) -> Sample:
    """A grid of 3 x 2 levels with n runs in each cell; the truth is the effect of the second level of a."""
    rows = [(a, b) for a in "abc" for b in "de" for _ in range(n)]
    rise = {"a": 0.0, "b": 0.5, "c": 1.0}
    values = [rise[a] + (0.4 if a == "b" and b == "e" else 0.0) + random.normal() for a, b in rows]
    table = {"a": [a for a, _ in rows], "b": [b for _, b in rows], "y": values}
    return table, None, 0.7


def sampled(random: Random, n: int, *, replicates: int = 10, latin: bool = True) -> Sample:
    """Replicates of n points sampled from ranges; c has no effect, and that of b is no straight line."""
    points = random.random((n, 3))
    if latin:  # one point in each of n slices of every range
        points = (np.array([random.permutation(n) for _ in range(3)]).T + points) / n
    rows = np.repeat(points * [1, 2, 1], replicates, axis=0)
    a, b, c = rows.T
    values = 3 * a + 2 * b**2 + a * b + random.normal(0, 0.5, len(rows))
    blocks = np.tile(np.arange(replicates), n).astype(str)
    table = {"a": a.tolist(), "b": b.tolist(), "c": c.tolist(), "block": blocks.tolist(), "y": values}
    return table, None, 0.0


def bounded(low: float, high: float) -> Draw:
    """Beta values; with low = high = 0: successes with a probability of 0.1."""

    def drawn(random: Random, n: int) -> Sample:
        if low == 0:
            return (random.random(n) < 0.1).astype(float), None, 0.1
        return random.beta(low, high, n), None, low / (low + high)

    return drawn
