"""The arms of an experiment: named ones, the points of factors, or the pairs of a tournament."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from .spec import DesignSpec, ExperimentSpec, FactorSpec, PairingsSpec

#: What stands between the name of an arm and that of a variant.
VARIANT = " ~ "
#: A place in the experiment file.
Place = tuple[str | int, ...]


@frozen
class Setting:
    """One override of an arm, and where the experiment file has it."""

    path: str
    value: Any
    place: Place


@frozen
class Arm:
    """A variant of the scenario.

    `levels` are the factors' levels, `pair` the strategies of a pairing. `variant` is the variant that should
    not matter, of the arm `of`.
    """

    name: str
    settings: tuple[Setting, ...]
    place: Place
    levels: Mapping[str, Any] = field(factory=dict)
    pair: tuple[str, str] | None = None
    variant: str = ""
    of: str = ""


def count_arms(spec: ExperimentSpec, design: DesignSpec) -> int:
    """How many arms there will be, without making them."""
    if spec.pairings:
        several = len(spec.pairings.strategies)
        pairs = several * (several - 1) // (1 if spec.pairings.both_sides else 2)
        made = pairs + several * spec.pairings.self_play
    elif spec.factors and design.use == "grid":
        made = math.prod(len(factor.values or ()) for factor in spec.factors.values())
    elif spec.factors:
        # Of a design for indices, each point stands for a few, in which one factor changes.
        per_point = {"saltelli": len(spec.factors) + 2, "morris": len(spec.factors) + 1}
        made = (design.points or 0) * per_point.get(design.use, 1)
    else:
        made = max(1, len(spec.arms))
    return made * (1 + len(spec.robustness))


def make_arms(spec: ExperimentSpec, design: DesignSpec) -> list[Arm]:
    """All arms, in the order of the file; those of a variant after all others."""
    if spec.pairings:
        arms = list(_pairs(spec.pairings))
    elif spec.factors:
        arms = list(_points(spec.factors, design))
    else:
        named = spec.arms or {"all": {}}
        arms = [
            Arm(name, tuple(Setting(*pair, ("arms", name, pair[0])) for pair in (given or {}).items()),
                ("arms", name))
            for name, given in named.items()
        ]  # fmt: skip
    common = tuple(Setting(path, value, ("set", path)) for path, value in spec.set.items())
    arms = [evolve(arm, settings=(*common, *arm.settings), of=arm.name) for arm in arms]
    variants = [
        evolve(
            arm,
            name=f"{arm.name}{VARIANT}{variant}",
            settings=(
                *arm.settings,
                *(Setting(path, value, ("robustness", variant, path)) for path, value in given.items()),
            ),
            place=("robustness", variant),
            variant=variant,
        )
        for variant, given in spec.robustness.items()
        for arm in arms
    ]
    return [*arms, *variants]


# -- factors --


def _points(factors: Mapping[str, FactorSpec], design: DesignSpec) -> Iterator[Arm]:
    seen = set()
    for point in _tried(factors, design):
        name = _name_of(factors, point)
        if name in seen:  # of few levels, a point may be drawn twice
            continue
        seen.add(name)
        settings = tuple(
            Setting(path, value, ("factors", factor))
            for (factor, given), (_, value) in zip(factors.items(), point, strict=True)
            for path in ((given.path,) if isinstance(given.path, str) else given.path)
        )
        chosen = {
            factor: value if isinstance(value, int | float) and not isinstance(value, bool) else shown
            for factor, (shown, value) in zip(factors, point, strict=True)
        }
        yield Arm(name, settings, ("factors",), chosen)


def _tried(factors: Mapping[str, FactorSpec], design: DesignSpec) -> Iterator[Sequence[tuple[str, Any]]]:
    """All points of a design: what is shown of each factor's level, and its value."""
    levels = [_levels(factor) for factor in factors.values()]
    if design.use == "grid":
        yield from itertools.product(*levels)
        return
    for row in sample(design, len(factors)):
        yield [_at(*of) for of in zip(row, factors.values(), levels, strict=True)]


def _name_of(factors: Mapping[str, FactorSpec], point: Sequence[tuple[str, Any]]) -> str:
    return ", ".join(f"{factor}={shown}" for factor, (shown, _) in zip(factors, point, strict=True))


def names_of_points(factors: Mapping[str, FactorSpec], design: DesignSpec) -> list[str]:
    """The names of the arms at all points of a design, in its order. A name may stand several times."""
    return [_name_of(factors, point) for point in _tried(factors, design)]


def _levels(factor: FactorSpec) -> list[tuple[str, Any]]:
    """The levels that a factor names, with their values."""
    if isinstance(factor.values, dict):
        return list(factor.values.items())
    return [(_shown(value, index), value) for index, value in enumerate(factor.values or (), 1)]


def _shown(value: Any, index: int) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return value if isinstance(value, str) and len(value) <= 40 else f"#{index}"


def unit_bounds(dimensions: int) -> dict[str, tuple[float, float]]:
    """The unit cube, in which designs are sampled. The names of its sides are numbers."""
    return {str(number): (0.0, 1.0) for number in range(dimensions)}


def sample(design: DesignSpec, dimensions: int) -> list[list[float]]:
    """Points of the unit cube. Raises `pyscrai_statistics.StatisticsError` if SALib is needed and missing."""
    import numpy as np
    from scipy.stats import qmc

    points = design.points or 0
    if design.use in ("saltelli", "morris"):
        import pyscrai_statistics as st

        make = st.sobol_design if design.use == "saltelli" else st.morris_design
        return [list(row.values()) for row in make(unit_bounds(dimensions), n=points, seed=design.seed)]
    generator = np.random.default_rng(design.seed)
    if design.use == "random":
        found = generator.random((points, dimensions))
    elif design.use == "latin-hypercube":  # `seed` became `rng` in later versions, which accept both
        found = qmc.LatinHypercube(dimensions, seed=generator).random(points)
    else:
        found = qmc.Sobol(dimensions, seed=generator).random(points)
    listed: list[list[float]] = found.tolist()
    return listed


def _at(share: float, factor: FactorSpec, levels: list[tuple[str, Any]]) -> tuple[str, Any]:
    """The level of a factor at a share of its range, from 0 to 1."""
    if levels:
        return levels[min(int(share * len(levels)), len(levels) - 1)]
    assert factor.low is not None
    assert factor.high is not None
    if factor.integer:
        low, high = math.ceil(factor.low), math.floor(factor.high)
        number: float = min(low + int(share * (high - low + 1)), high)
    else:
        number = float(f"{factor.low + share * (factor.high - factor.low):.6g}")
    return _shown(number, 0), number


# -- pairings --


def _pairs(pairings: PairingsSpec) -> Iterator[Arm]:
    names = list(pairings.strategies)
    for index, first in enumerate(names):
        for second in names if pairings.both_sides else names[index:]:
            if first == second and not pairings.self_play:
                continue
            settings = tuple(
                Setting(path, pairings.strategies[name], ("pairings", "strategies", name))
                for path, name in zip(pairings.places, (first, second), strict=True)
            )
            yield Arm(f"{first} / {second}", settings, ("pairings",), pair=(first, second))
