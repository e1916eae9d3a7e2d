"""Random draws, resamples, and quantiles of what was drawn.

A function's generator is derived from the seed and the function's name: `PCG64(SeedSequence([seed,
crc32(name)]))`. So equal arguments give equal bytes (with the same version of numpy), and two functions never
share a stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import numpy as np

from .checks import Numbers, count

#: Draws of bootstraps and of Monte Carlo tests. With the observed one they make 10,000.
RESAMPLES = 9_999
#: Up to so many assignments a test counts all of them, and draws at random beyond: of sign flips, which are
#: counted by halves, and of permutations, which are listed.
EXACT, LISTED = 2**20, 20_000
#: Cells of a matrix of draws that are held at once (8 bytes each).
_CELLS = 4_000_000


def generator(seed: int, name: str) -> np.random.Generator:
    """The random generator of the function `name` for a seed (a whole number from 0)."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence([count("seed", seed, 0), crc32(name.encode())]))
    )


def chunks(draws: int, width: int) -> Iterator[int]:
    """Sizes of chunks that add up to `draws`, such that a chunk of rows of `width` stays small."""
    size = max(1, _CELLS // max(1, width))
    while draws > 0:
        yield min(size, draws)
        draws -= size


def bootstrap_moments(values: Numbers, draws: int, random: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Mean and variance (n - 1) of `draws` resamples of the values, with replacement (Efron 1979)."""
    size = len(values)
    different, counts = np.unique(values, return_counts=True)
    means, variances = [], []
    if len(different) * 4 <= size:  # to draw how often each value occurs is the same, and faster
        deviations = different - values.mean()
        for rows in chunks(draws, len(different)):
            times = random.multinomial(size, counts / size, rows)
            shifts = times @ deviations / size
            means.append(values.mean() + shifts)
            squares = (times @ deviations**2 - size * shifts**2).clip(0)
            squares[times.max(axis=1) == size] = 0  # not what is left of rounding
            variances.append(squares / (size - 1))
    else:
        for rows in chunks(draws, size):
            drawn = values[random.integers(0, size, (rows, size))]
            means.append(drawn.mean(axis=1))
            variances.append(drawn.var(axis=1, ddof=1))
    return np.concatenate(means), np.concatenate(variances)


def middle_quantile(draws: Numbers, where: float) -> float:
    """The quantile `where` of draws, by their mid-distribution function (Ma, Genton & Parzen 2011).

    Equal draws count half below and half above themselves. For draws without ties this is an ordinary
    quantile. For the draws of an inverted test, it gives the interval that belongs to the mid-p value.
    """
    ordered = np.sort(draws)
    slack = 1e-9 * max(float(np.abs(ordered[[0, -1]]).max()), 1e-300)
    first = np.flatnonzero(np.concatenate(([True], np.diff(ordered) > slack)))
    ends = np.append(first[1:], len(ordered))
    return float(np.interp(where, (first + ends) / (2 * len(ordered)), ordered[first]))


def share_below(draws: Numbers, value: float) -> float:
    """The share of draws below a value; equal ones count half."""
    slack = 1e-9 * max(float(np.abs(draws).max()), abs(value), 1e-300)
    return float(np.mean(draws < value - slack) + np.mean(np.abs(draws - value) <= slack) / 2)
