"""What is measured: every test and every interval, on which data, at which sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .. import (
    asymptotic_sequence,
    betting_sequence,
    categories_test,
    cliffs_delta,
    cohens_dav,
    cohens_dz,
    compare_to_reference,
    cramers_v,
    entropy,
    equivalence_test,
    factor_effects,
    fisher_test,
    hedges_g,
    krippendorff_alpha,
    mcnemar_test,
    mean,
    median,
    ordered_test,
    paired_difference,
    permutation_test,
    proportion,
    proportion_difference,
    sign_flip_test,
    unpaired_difference,
    variance_components,
    variance_ratio,
)
from ..differences import PAIRED_METHODS
from ..results import Interval
from . import data
from .data import DATA, Draw

SIZES = (12, 20, 40)
DRAWS = 999
Measure = Callable[[Any, Any, int], Any]


def interval_holds(result: Any, truth: float) -> bool | None:
    """Whether a result's interval holds the truth; None without an interval."""
    interval: Interval | None = result.interval
    return None if interval is None else interval.low - 1e-9 <= truth <= interval.high + 1e-9


def sequence_holds(result: Any, truth: float) -> bool:
    """Whether all of a sequence's intervals hold the truth."""
    return bool(
        np.all(np.array(result.low) <= truth + 1e-9) and np.all(truth - 1e-9 <= np.array(result.high))
    )


@dataclass(frozen=True)
class Case:
    """A function on data. `measure` gets both arms and a seed; `recommended` is the smallest calibrated n."""

    name: str
    data: str
    draw: Draw
    measure: Measure
    sizes: Sequence[int] = SIZES
    holds: Callable[[Any, float], bool | None] = interval_holds
    recommended: int = 12


def seeded(function: Any, **options: Any) -> Measure:
    return lambda one, other, seed: function(one, other, seed=seed, resamples=DRAWS, **options)


def plain(function: Any, **options: Any) -> Measure:
    return lambda one, other, seed: function(one, other, **options)


def single(function: Any, **options: Any) -> Measure:
    return lambda one, other, seed: function(one, **options)


def single_seeded(function: Any, **options: Any) -> Measure:
    return lambda one, other, seed: function(one, seed=seed, resamples=DRAWS, **options)


def component(name: str) -> Measure:
    return lambda one, other, seed: getattr(variance_components(one, other), name)


def total_variation(one: Any, other: Any, seed: int) -> Any:
    return compare_to_reference(one, other, seed=seed, resamples=DRAWS).total_variation


def main_effect(one: Any, other: Any, seed: int) -> Any:
    return factor_effects(one, outcome="y", factors=["a", "b"]).main[0]


def without_effect(*factors: str) -> Measure:
    """The effect of c, which has none, or its interaction with another factor."""

    def measured(one: Any, other: Any, seed: int) -> Any:
        found = factor_effects(one, outcome="y", factors=["a", "b", "c"], block="block")
        wanted = list(factors) if len(factors) > 1 else factors[0]
        return next(
            each for each in (*found.main, *found.interactions)
            if wanted in (each.details.get("factor"), each.details.get("factors"))
        )  # fmt: skip

    return measured


def level_cases() -> Iterator[Case]:
    """A/A experiments for every test, and equivalence at its bound."""
    for name, draw in DATA.items():
        apart = data.unpaired(draw)
        yield Case("sign_flip_test", name, draw, seeded(sign_flip_test))
        yield Case("permutation_test", name, apart, seeded(permutation_test))
        for label, arms in (("paired", draw), ("unpaired", apart)):
            paired = label == "paired"
            # The true difference is the upper bound; the lower one is far away.
            equivalence = seeded(equivalence_test, smallest=(-20.0, 4.0), paired=paired)
            yield Case(f"equivalence_test, {label}", name, data.shifted(arms, 4.0), equivalence)
            if name in ("normal", "5 points"):
                yield Case(f"ordered_test, {label}", name, arms, seeded(ordered_test, paired=paired))
            if name == "5 points":
                yield Case(f"categories_test, {label}", name, arms, seeded(categories_test, paired=paired))
    yield Case("mcnemar_test", "binary", data.binary, plain(mcnemar_test))
    yield Case("fisher_test", "binary", data.unpaired(data.binary), plain(fisher_test))


def _means() -> Iterator[Case]:
    truths = {"normal": 0.0, "exponential": 2.0, "lognormal": float(np.exp(0.5))}
    for name, truth in truths.items():
        sizes = (*SIZES, 100, 400) if name == "lognormal" else SIZES
        yield Case(
            "mean", name, data.with_truth(DATA[name], truth), single_seeded(mean), sizes, recommended=20
        )
    yield Case("mean", "5 points", data.five_with_mean, single_seeded(mean), recommended=20)
    for name, middle in (("normal", 0.0), ("exponential", 1.6783470), ("lognormal", 1.0)):
        yield Case("median", name, data.with_truth(DATA[name], middle), single(median))
    yield Case("proportion", "binary", data.one_share, single(proportion))


def _differences() -> Iterator[Case]:
    for name, draw in DATA.items():
        apart = data.unpaired(draw)
        yield Case("paired_difference", name, draw, seeded(paired_difference))
        yield Case("unpaired_difference", name, apart, seeded(unpaired_difference))
        yield Case(
            "unpaired_difference, n and 2 n", name, data.twice_as_many(apart), seeded(unpaired_difference)
        )
    yield Case("paired_difference", "scaled exponential", data.scaled, seeded(paired_difference))
    yield Case("unpaired_difference", "scaled exponential", data.scaled_unpaired, seeded(unpaired_difference))
    for paired in (True, False):
        name = f"proportion_difference, {'paired' if paired else 'unpaired'}"
        yield Case(name, "binary", data.two_shares(paired), plain(proportion_difference, paired=paired))
    for truth, names in ((0.5, ("normal", "exponential")), (0.75, ("5 points",))):
        for name in names:
            draw = data.with_truth(DATA[name], truth)
            yield Case("variance_ratio", name, draw, plain(variance_ratio), recommended=20)


def _effects() -> Iterator[Case]:
    for size in (0.0, 0.5, 1.0):
        yield Case("cohens_dz", f"normal, {size:g}", data.standardized(size, True), plain(cohens_dz))
        yield Case("cohens_dav", f"normal, {size:g}", data.beside_spread(size), plain(cohens_dav))
        yield Case("hedges_g", f"normal, {size:g}", data.standardized(size, False), plain(hedges_g))
    for other in data.OTHERS:
        for paired in (True, False):
            name = f"cliffs_delta, {'paired' if paired else 'unpaired'}"
            yield Case(name, f"5 points, {other}", data.dominating(other), plain(cliffs_delta, paired=paired))
        draw = data.associated(other)
        yield Case("cramers_v", f"5 points, {other}", draw, seeded(cramers_v), recommended=40)


def _spread() -> Iterator[Case]:
    for name, shares in (("5 points", data.SHARES), ("rare categories", data.OTHERS["different"])):
        yield Case(
            "entropy", name, data.with_entropy(shares), single(entropy), (50, 100, 200, 400), recommended=200
        )
    in_runs = Case(
        "entropy, in runs of 6", "5 points", data.entropy_in_runs,
        lambda one, runs, seed: entropy(one, runs=runs),
        (12, 20, 40), recommended=20,
    )  # fmt: skip
    yield in_runs
    for between in (0.25, 1.0):
        for kind in ("between", "within"):
            name, draw = f"variance_components, {kind}", data.agents(between, kind)
            yield Case(name, f"normal, {between:g}", draw, component(f"{kind}_agents"))
    alpha = single_seeded(krippendorff_alpha)
    yield Case(
        "krippendorff_alpha", "nominal, 3 raters", data.raters, alpha, (12, 20, 40, 80), recommended=20
    )
    for reference in data.REFERENCES:
        name, draw = "compare_to_reference, total variation", data.against(reference)
        yield Case(name, reference, draw, total_variation, (40, 100, 400), recommended=100)
    yield Case(
        "factor_effects, main", "normal, 3 x 2 grid", data.grid, main_effect, (3, 5, 10), recommended=5
    )
    for latin in (True, False):
        label = f"curved, {'Latin hypercube' if latin else 'random points'}"
        for replicates in (2, 10):
            draw = partial(data.sampled, replicates=replicates, latin=latin)
            for factors in (("c",), ("a", "c"), ("b", "c")):
                name = f"factor_effects, {' x '.join(factors)} without effect"
                yield Case(
                    name, f"{label}, {replicates} replicates", draw, without_effect(*factors), (20, 30, 60),
                    recommended=27,
                )  # fmt: skip


def coverage_cases() -> Iterator[Case]:
    """95 % intervals, for data with and without a difference."""
    yield from _means()
    yield from _differences()
    yield from _effects()
    yield from _spread()


def method_cases() -> Iterator[Case]:
    """The methods among which the default intervals were chosen."""
    truths = {"normal": 0.0, "exponential": 2.0, "lognormal": float(np.exp(0.5))}
    for name, draw in DATA.items():
        for method in PAIRED_METHODS[1:]:
            if name != "binary" and method != "sign-flip":
                one = data.with_truth(draw, truths[name]) if name in truths else data.five_with_mean
                yield Case(f"mean, {method}", name, one, single_seeded(mean, method=method))
            yield Case(f"paired_difference, {method}", name, draw, seeded(paired_difference, method=method))


def sequence_cases() -> Iterator[Case]:
    """95 % confidence sequences, looked at after every value up to 1,000."""
    for name, low, high in (("binary, 0.1", 0, 0), ("uniform", 1, 1), ("beta(1, 5)", 1, 5)):
        draw = data.bounded(low, high)
        yield Case(
            "betting_sequence", name, draw, single(betting_sequence, grid=400), (1000,), sequence_holds
        )
    truths = {"normal": 0.0, "exponential": 2.0, "lognormal": float(np.exp(0.5))}
    for name, truth in truths.items():
        draw = data.with_truth(DATA[name], truth)
        yield Case("asymptotic_sequence", name, draw, single(asymptotic_sequence), (1000,), sequence_holds)
    draw = data.bounded(0, 0)
    yield Case(
        "asymptotic_sequence", "binary, 0.1", draw, single(asymptotic_sequence), (1000,), sequence_holds
    )
