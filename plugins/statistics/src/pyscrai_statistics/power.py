"""Power: what an experiment of n replicates will show, and how many replicates it needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy import special

from .checks import Numbers, count, direction_of, fraction, is_constant, number_list
from .intervals import wilson_bounds
from .permutation import exact_flips
from .proportions import exact_binomial, exact_hypergeometric
from .resampling import EXACT, generator
from .results import Estimate, Interval, StatisticsError

#: Random assignments of each simulated test; as many simulated experiments share them.
_FLIPS, _BATCH = 999, 50
#: No search goes beyond this number of replicates.
_MOST = 100_000


def power_paired(
    differences: Iterable[Any],
    *,
    difference: float,
    n: int,
    alpha: float = 0.05,
    direction: str = "two-sided",
    seed: int = 0,
    simulations: int = 2000,
) -> Estimate:
    """The power of `sign_flip_test` with n pairs, from a pilot's differences.

    Experiments are simulated by resampling the pilot's differences, centered and shifted to the difference of
    interest (Efron & Tibshirani 1993, section 25.4). The interval is that of the t formula at the ends of the
    95 % interval of the pilot's standard deviation (for normal differences): with a small pilot, hardly
    anything is known of the power. `details` has the power of the paired t test for normal
    differences, to check: the noncentral t distribution (Cohen 1988).

    Args:
        differences: a pilot's paired differences, at least 5. A pilot of 20 or more is better: the power
            depends on its standard deviation.
        difference: the true mean difference for which the power is asked, in the same unit.
        n: the pairs of the planned experiment.
        alpha, direction: of the test.
        seed: of the simulation, a whole number from 0.
        simulations: experiments. `details` has the interval of the simulation alone (Wilson 1927).

    Raises:
        StatisticsError: differences that are missing, no numbers, not finite, too few or all equal; a
            difference of 0 or against the direction; n below 2.
    """
    where = "power_paired"
    centered = _pilot(where, differences, difference, alpha, direction)
    count(f"{where}, n", n, 2)
    count(f"{where}, simulations", simulations, 1)
    rejected = _simulated(centered, difference, n, alpha, direction, generator(seed, where), simulations)
    low, high = wilson_bounds(rejected, simulations, 0.95)
    spread = float(centered.std(ddof=1))
    details = {
        "analytic": t_power(difference / spread, n, alpha, direction), "difference": difference, "sd": spread,
        "alpha": alpha, "direction": direction, "pilot": len(centered), "simulated": [low, high],
    }  # fmt: skip
    ends = [t_power(difference / each, n, alpha, direction) for each in _spreads(centered)]
    method = "t formula at the interval of the pilot's standard deviation"
    interval = Interval(min(*ends, low), max(*ends, high), 0.95, method)
    return Estimate("power", rejected, interval, n, _small(centered), details)


def replicates_paired(
    differences: Iterable[Any],
    *,
    difference: float,
    power: float = 0.8,
    alpha: float = 0.05,
    direction: str = "two-sided",
    seed: int = 0,
    simulations: int = 2000,
) -> Estimate:
    """The pairs that `sign_flip_test` needs for a difference at a power, from a pilot's differences.

    The number is found by simulation, as in `power_paired`. The interval is that of the t formula at the ends
    of the 95 % interval of the pilot's standard deviation (for normal differences): plan for its upper end to
    be safe (Browne 1995).

    Args:
        differences, difference, alpha, direction, seed, simulations: as in `power_paired`.
        power: the probability with which the difference is to be found.

    Raises:
        StatisticsError: as `power_paired`; a power outside of (0, 1), or more than 100,000 pairs.
    """
    where = "replicates_paired"
    centered = _pilot(where, differences, difference, alpha, direction)
    fraction(f"{where}, power", power)
    spread = float(centered.std(ddof=1))

    def formula(sd: float) -> int:
        return _smallest(where, lambda n: t_power(difference / sd, n, alpha, direction) >= power)

    def enough(n: int) -> bool:
        random = generator(seed, where)
        return _simulated(centered, difference, n, alpha, direction, random, simulations) >= power

    analytic = formula(spread)
    n = _smallest(where, enough, max(2, analytic * 3 // 4))
    low, high = (formula(each) for each in _spreads(centered))
    details = {
        "analytic": analytic, "power": power, "difference": difference, "sd": spread, "alpha": alpha,
        "direction": direction, "pilot": len(centered),
    }  # fmt: skip
    interval = Interval(
        float(low), float(high), 0.95, "t formula at the interval of the pilot's standard deviation"
    )
    return Estimate("replicates", float(n), interval, n, _small(centered), details)


def _spreads(centered: Numbers) -> list[float]:
    """The ends of the 95 % interval of a pilot's standard deviation, by the chi-squared distribution."""
    spread, freedom = float(centered.std(ddof=1)), len(centered) - 1
    return [spread * math.sqrt(freedom / float(special.chdtri(freedom, tail))) for tail in (0.025, 0.975)]


def power_proportions(
    first: float,
    second: float,
    *,
    n: int,
    both: float | None = None,
    alpha: float = 0.05,
    direction: str = "two-sided",
) -> Estimate:
    """The power of the exact tests of two proportions, summed over all outcomes.

    Args:
        first, second: the true proportions, such as those of a pilot.
        n: replicates per arm (pairs, if paired).
        both: paired: the proportion of pairs in which both succeed (McNemar's test). Without it, the arms are
            not paired (Fisher's test).
        alpha, direction: of the test.

    Raises:
        StatisticsError: proportions outside of [0, 1] or that do not fit together; n below 2 or above 2,000.
    """
    where = "power_proportions"
    cells = _cells(where, first, second, both, alpha, direction)
    count(f"{where}, n", n, 2)
    if n > 2000:
        raise StatisticsError(
            where, f"n is {n}", "at most 2000", "use power_paired with differences 0, 1 and -1"
        )
    found = _exact_power(cells, n, alpha, direction)
    details = {"first": first, "second": second, "both": both, "alpha": alpha, "direction": direction}
    details["analytic"] = _normal_power(cells, n, alpha, direction)
    return Estimate("power", found, None, n, (), details)


def replicates_proportions(
    first: float,
    second: float,
    *,
    power: float = 0.8,
    both: float | None = None,
    alpha: float = 0.05,
    direction: str = "two-sided",
) -> Estimate:
    """The replicates per arm (pairs, if paired) that the exact tests of two proportions need at a power.

    The power of exact tests does not rise with every n; it reaches the wanted one at the number returned, and
    may be slightly below it at the next ones.

    Args:
        first, second, both, alpha, direction: as in `power_proportions`.
        power: the probability with which the difference is to be found.

    Raises:
        StatisticsError: as `power_proportions`; a power outside of (0, 1), or more than 2,000 replicates.
    """
    where = "replicates_proportions"
    cells = _cells(where, first, second, both, alpha, direction)
    fraction(f"{where}, power", power)
    start = _smallest(where, lambda n: _normal_power(cells, n, alpha, direction) >= power)
    if start > 1800:
        raise StatisticsError(
            where, f"about {start} replicates are needed", "at most 1800", "plan for a larger difference"
        )
    n = _smallest(where, lambda n: _exact_power(cells, n, alpha, direction) >= power, start, 2000)
    details = {"first": first, "second": second, "both": both, "alpha": alpha, "direction": direction}
    details |= {"analytic": start, "power": _exact_power(cells, n, alpha, direction)}
    return Estimate("replicates", float(n), None, n, (), details)


def t_power(effect: float, n: int, alpha: float, direction: str) -> float:
    """The power of the one-sample t test for normal values of mean `effect` and standard deviation 1."""
    freedom, shift = n - 1, effect * math.sqrt(n)
    if direction == "less":
        direction, shift = "greater", -shift
    critical = float(special.stdtrit(freedom, 1 - alpha / (2 if direction == "two-sided" else 1)))
    found = 1 - _nct(freedom, shift, critical)
    if direction == "two-sided":
        found += 1 - _nct(freedom, -shift, critical)
    return min(1.0, max(0.0, found))


def _nct(freedom: int, shift: float, value: float) -> float:
    if shift > 37:  # beyond the range of the function, and far beyond any critical value
        return 0.0
    found = float(special.nctdtr(freedom, shift, value))
    return found if math.isfinite(found) else 1.0


def _pilot(
    where: str, differences: Iterable[Any], difference: float, alpha: float, direction: str
) -> Numbers:
    values = number_list(f"{where}, differences", differences, 5)
    fraction(f"{where}, alpha", alpha)
    direction_of(where, direction)
    number_list(f"{where}, difference", [difference])
    if (
        difference == 0
        or (direction == "greater" and difference < 0)
        or (direction == "less" and difference > 0)
    ):
        raise StatisticsError(
            f"{where}, difference",
            f"it is {difference:g}",
            f"one that is not 0 and fits {direction!r}",
            "mend it",
        )
    centered: Numbers = values - values.mean()
    if is_constant(values):
        raise StatisticsError(
            where, "all differences are equal", "differences that vary", "make a larger pilot"
        )
    return centered


def _small(pilot: Numbers) -> tuple[str, ...]:
    if len(pilot) >= 20:
        return ()
    return (
        f"a pilot of {len(pilot)} pairs tells the standard deviation only roughly: plan for more replicates",
    )


def _simulated(
    centered: Numbers,
    difference: float,
    n: int,
    alpha: float,
    direction: str,
    random: np.random.Generator,
    times: int,
) -> float:
    """The share of simulated experiments that reject."""
    rejected = 0
    for start in range(0, times, _BATCH):
        drawn = centered[random.integers(0, len(centered), (min(_BATCH, times - start), n))] + difference
        if 2**n <= EXACT:
            rejected += sum(exact_flips(each, direction)[0] <= alpha for each in drawn)
            continue
        observed, null = drawn.sum(axis=1), drawn @ np.where(random.random((n, _FLIPS)) < 0.5, 1.0, -1.0)
        if direction == "two-sided":
            observed, null = np.abs(observed), np.abs(null)
        elif direction == "less":
            observed, null = -observed, -null
        slack = 1e-9 * np.abs(drawn).sum(axis=1)
        p_values = ((null >= (observed - slack)[:, None]).sum(axis=1) + 1) / (_FLIPS + 1)
        rejected += int((p_values <= alpha).sum())
    return rejected / times


def _smallest(where: str, enough: Callable[[int], bool], start: int = 2, most: int = _MOST) -> int:
    """The smallest n that is enough, by doubling and halving."""
    low, high = 1, start
    while not enough(high):
        low, high = high, min(2 * high, most)
        if low == most:
            raise StatisticsError(
                where, f"more than {most} replicates are needed", "fewer", "plan for a larger difference"
            )
    while high - low > 1:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle
    return high


def _cells(
    where: str, first: float, second: float, both: float | None, alpha: float, direction: str
) -> tuple[float, float, bool]:
    """Paired: the shares of pairs in which only the first or only the second succeeds; else proportions."""
    values = number_list(where, [first, second] if both is None else [first, second, both])
    fraction(f"{where}, alpha", alpha)
    direction_of(where, direction)
    if values.min() < 0 or values.max() > 1 or first == second:
        raise StatisticsError(
            where, f"the proportions are {first:g} and {second:g}", "different ones from 0 to 1", "mend them"
        )
    if both is None:
        return float(first), float(second), False
    if not max(0.0, first + second - 1) - 1e-9 <= both <= min(first, second) + 1e-9:
        raise StatisticsError(
            f"{where}, both",
            f"it is {both:g}",
            "a share that the two proportions allow",
            "count it in the pilot",
        )
    return float(first) - float(both), float(second) - float(both), True


def _exact_power(cells: tuple[float, float, bool], n: int, alpha: float, direction: str) -> float:
    first, second, paired = cells
    found = 0.0
    if paired:
        share = first + second
        for differ in range(1, n + 1):
            weight = float(special.bdtr(differ, n, share) - special.bdtr(differ - 1, n, share))
            up = np.arange(differ + 1)
            chances = _binomial(up, differ, first / share)
            found += weight * float(chances[exact_binomial(up, differ - up, direction)[0] <= alpha].sum())
        return found
    one, other = _binomial(np.arange(n + 1), n, first), _binomial(np.arange(n + 1), n, second)
    for ones in range(1, 2 * n):
        possible = np.arange(max(0, ones - n), min(n, ones) + 1)
        p_values = exact_hypergeometric(n, n, ones, direction)
        chances = one[possible] * other[ones - possible]
        found += float(chances[p_values <= alpha].sum())
    return found


def _binomial(successes: Any, n: int, share: float) -> Any:
    logs = special.gammaln(n + 1) - special.gammaln(successes + 1) - special.gammaln(n - successes + 1)
    return np.exp(logs + special.xlogy(successes, share) + special.xlog1py(n - successes, -share))


def _normal_power(cells: tuple[float, float, bool], n: int, alpha: float, direction: str) -> float:
    """The usual approximation (Fleiss 1981; paired: Connor 1987)."""
    first, second, paired = cells
    shift = first - second
    if paired:
        null, true = first + second, first + second - shift**2
    else:
        middle = (first + second) / 2
        null, true = 2 * middle * (1 - middle), first * (1 - first) + second * (1 - second)
    shift = {"two-sided": abs(shift), "greater": shift, "less": -shift}[direction]
    critical = float(special.ndtri(1 - alpha / (2 if direction == "two-sided" else 1)))
    if true <= 0:
        return 1.0
    return float(special.ndtr((shift * math.sqrt(n) - critical * math.sqrt(null)) / math.sqrt(true)))
