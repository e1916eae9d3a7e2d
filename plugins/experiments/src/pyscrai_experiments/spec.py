"""The keys of an experiment file, as attrs classes: what is written, before anything is made of it."""

from __future__ import annotations

from typing import Any, Literal

from attrs import field, frozen

from pyscrai_core.agent import Use, positive

Kind = Literal["number", "proportion", "category", "ordered", "text"]
Direction = Literal["two-sided", "greater", "less"]


@frozen
class CompareSpec:
    """A planned comparison: with which arm, what is claimed, the smallest difference of interest."""

    against: str
    direction: Direction = "two-sided"
    smallest: float | tuple[float, float] | None = None


@frozen
class OutcomeSpec:
    """An outcome that is looked at: `value` is its path in the scenario's outcomes (default: its name)."""

    value: str = ""
    kind: Kind | None = None
    unit: str = ""
    levels: tuple[str, ...] = ()
    compare: dict[str, str | CompareSpec | list[CompareSpec]] = field(factory=dict)


@frozen
class FactorSpec:
    """What is varied: the value at `path` (or at several), by `values` or from `low` to `high`."""

    path: str | tuple[str, ...]
    values: list[Any] | dict[str, Any] | None = None
    low: float | None = None
    high: float | None = None
    integer: bool = False


DesignName = Literal["grid", "random", "latin-hypercube", "sobol", "saltelli", "morris"]


@frozen
class DesignSpec:
    """Which points of the factors are tried. `saltelli` and `morris` have several times `points`."""

    use: DesignName = "grid"
    points: int | None = field(default=None, validator=positive)
    seed: int = 0


@frozen
class PairingsSpec:
    """A tournament: each strategy against each, at two places of the scenario."""

    strategies: dict[str, Any]
    places: tuple[str, str]
    scores: tuple[str, str]
    self_play: bool = True
    both_sides: bool = False


@frozen
class ClaimSpec:
    """What is expected.

    `about` lists the outcomes, or maps outcomes to arms, whose planned comparisons judge it; without it, all
    do. An arm stands for all its comparisons, `ARM - AGAINST` for one.
    """

    text: str
    because: str = ""
    status: Literal["confirmatory", "exploratory"] = "confirmatory"
    about: list[str] | dict[str, str | list[str]] | None = None


@frozen
class BudgetSpec:
    """What the whole experiment may use. `money` is in US dollars, `seconds` are those of one execution."""

    money: float | None = field(default=None, validator=positive)
    calls: int | None = field(default=None, validator=positive)
    seconds: float | None = field(default=None, validator=positive)


@frozen
class StoppingSpec:
    """Stop early, as soon as a confidence sequence for a difference excludes zero.

    `bounds` are the lowest and the highest difference that is possible.
    """

    outcome: str
    arm: str
    against: str
    bounds: tuple[float, float]
    minimum: int = field(default=10, validator=positive)


@frozen
class ExperimentSpec:
    experiment: str
    scenario: str
    description: str = ""
    arms: dict[str, dict[str, Any] | None] = field(factory=dict)
    factors: dict[str, FactorSpec] = field(factory=dict)
    design: DesignName | DesignSpec = "grid"
    pairings: PairingsSpec | None = None
    set: dict[str, Any] = field(factory=dict)
    replicates: int = 10
    seeds: int | list[int] | None = None
    share_answers: bool = True
    outcomes: dict[str, OutcomeSpec | None] | list[str] = field(factory=dict)
    alpha: float = 0.05
    level: float = 0.95
    claim: str | ClaimSpec | None = None
    robustness: dict[str, dict[str, Any]] = field(factory=dict)
    references: dict[str, str | dict[Any, Any]] = field(factory=dict)
    mixed: tuple[str, ...] = ()
    stopping: StoppingSpec | None = None
    budget: BudgetSpec = field(factory=BudgetSpec)
    concurrency: int = field(default=16, validator=positive)
    executor: Use = field(factory=lambda: Use("local"))
