"""An experiment file: read with the place of everything in it, and checked by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from pyscrai_core import ConfigError, ContractError, ScenarioError
from pyscrai_core.agent import Use
from pyscrai_core.scenario.spec import SPEC_HOOKS
from pyscrai_core.scenario.structure import Structurer
from pyscrai_language import yaml
from pyscrai_language.document import Document, Mistakes
from pyscrai_language.misfit import Misfit
from pyscrai_records.base.files import read_bytes
from pyscrai_records.base.suggest import expected, there_is_no
from pyscrai_records.store.runs import as_labels

from .arms import VARIANT, Arm, count_arms, make_arms
from .claims import Comparison, claim_problems
from .spec import ClaimSpec, CompareSpec, DesignSpec, ExperimentSpec, OutcomeSpec

#: So many trials, or more, are only made after a question.
MANY = 10_000
#: The most arms that are made at all.
MOST_ARMS = 100_000

Confirm = Callable[[str], bool]


@frozen
class Experiment:
    """An experiment as its file has it. `arms` are in the file's order."""

    path: Path
    document: Document
    spec: ExperimentSpec
    arms: tuple[Arm, ...]
    outcomes: dict[str, OutcomeSpec]
    comparisons: tuple[Comparison, ...]
    claim: ClaimSpec | None
    _seeds: list[int] | int | None = field(default=None, alias="seeds")

    @property
    def name(self) -> str:
        return self.spec.experiment

    @property
    def scenario(self) -> Path:
        return self.path.parent / self.spec.scenario

    @property
    def design(self) -> DesignSpec:
        """The design of its factors."""
        return _design(self.spec)

    @property
    def executor(self) -> Use:
        return self.spec.executor

    def seeds(self, first: int) -> list[int]:
        """The seed of each replicate; `first` is the scenario's own."""
        if isinstance(self._seeds, list):
            return self._seeds[: self.spec.replicates]
        return list(islice(count(first if self._seeds is None else self._seeds), self.spec.replicates))

    def error(self, place: tuple[str | int, ...], what: str, on_key: bool = False) -> ScenarioError:
        """An error at a place of the file."""
        return self.document.error(place, what, on_key)


def read_experiment(
    path: Path, *, replicates: int | None = None, confirm: Confirm | None = None
) -> Experiment:
    """The experiment at `path`.

    `replicates` overrules the file's. `confirm` is asked before very many arms are made; without it, they are
    refused. Raises `ScenarioError` with all mistakes found.
    """
    document = yaml.load(path)
    if not isinstance(document.value, dict):
        what = "a mapping with at least `experiment` and `scenario`"
        raise document.error((), expected(what, document.value))
    mistakes = Mistakes(document)
    try:
        spec = _structurer().structure(document.value, ExperimentSpec)
    except Misfit as error:
        mistakes.note((), error.found)
        mistakes.check()
        raise AssertionError from error  # `check` has raised
    if replicates is not None:
        spec = evolve(spec, replicates=replicates)
    elif isinstance(spec.seeds, list) and "replicates" not in document.value:
        spec = evolve(spec, replicates=len(spec.seeds))
    design = _design(spec)
    for place, what in _problems(spec, design, path):
        mistakes.add(place, what)
    mistakes.check()

    arms = count_arms(spec, design)
    trials = arms * spec.replicates
    if arms > MOST_ARMS or trials >= MANY:
        what = f"{arms:,} arms with {spec.replicates:,} replicates are {trials:,} trials"
        if arms > MOST_ARMS:
            raise document.error(
                _origin(spec), f"{what}; expected at most {MOST_ARMS:,} arms; sample points with `design`"
            )
        if confirm is None or not confirm(f"{what}. Continue?"):
            raise document.error(_origin(spec), f"{what}; nothing was run; if you mean it, add --yes")
    try:
        made = make_arms(spec, design)
    except ValueError as error:  # of pyscrai-statistics, which is only imported for designs that it makes
        raise document.error(("design",), str(error)) from error
    for arm in made:
        try:
            as_labels({"arm": arm.name, "experiment": spec.experiment})
        except ConfigError as error:
            mistakes.add(arm.place, f"{str(error).partition(': ')[2]}; choose another name", on_key=True)
    outcomes, comparisons = _outcomes(spec, made, mistakes)
    claim = ClaimSpec(spec.claim) if isinstance(spec.claim, str) else spec.claim
    for place, what in claim_problems(claim, comparisons):
        mistakes.add(place, what)
    mistakes.check()
    return Experiment(path, document, spec, tuple(made), outcomes, tuple(comparisons), claim, spec.seeds)


def _design(spec: ExperimentSpec) -> DesignSpec:
    return spec.design if isinstance(spec.design, DesignSpec) else DesignSpec(spec.design)


def _structurer() -> Structurer:
    def build(kind: str, value: Any) -> Any:
        raise ContractError(f"an experiment names no {kind}")

    return Structurer(SPEC_HOOKS, build)


def _origin(spec: ExperimentSpec) -> tuple[str, ...]:
    return ("pairings",) if spec.pairings else ("factors",) if spec.factors else ("arms",)


def _problems(
    spec: ExperimentSpec, design: DesignSpec, path: Path
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong by itself, with its place."""
    if not spec.experiment.strip():
        yield ("experiment",), "expected a name, got an empty one; name the experiment"
    try:
        read_bytes(path.parent / spec.scenario, spec.scenario)
    except ValueError as error:
        yield ("scenario",), str(error)
    given = [name for name in ("arms", "factors", "pairings") if getattr(spec, name)]
    if len(given) > 1:
        what = f"expected one of arms, factors and pairings, got {' and '.join(given)}; keep one of them"
        yield (given[1],), what
    if spec.replicates < 1:
        yield ("replicates",), f"expected a number of replicates, 1 or more, got {spec.replicates}"
    if isinstance(spec.seeds, list):
        if len(set(spec.seeds)) < len(spec.seeds):
            yield ("seeds",), "a seed stands twice; replicates under one seed are no replicates"
        if len(spec.seeds) < spec.replicates:
            what = f"{len(spec.seeds)} seeds for {spec.replicates} replicates"
            yield ("seeds",), f"{what}; expected one for each; add seeds, or give the first one alone"
    for name in ("alpha", "level"):
        if not 0 < getattr(spec, name) < 1:
            yield (name,), f"expected a number between 0 and 1, got {getattr(spec, name):g}"
    if design.use == "grid" and design.points is not None:
        yield ("design", "points"), "a grid has the points of its factors' values; leave `points` out"
    if design != DesignSpec() and not spec.factors:
        yield ("design",), "a design says which points of `factors` are tried, and there are none; add some"
    if spec.factors and design.use != "grid" and design.points is None:
        yield ("design",), f"`points` is missing; expected {{use: {design.use}, points: N}}"
    if design.use in ("sobol", "saltelli") and design.points and design.points & (design.points - 1):
        near = 1 << design.points.bit_length()
        yield ("design", "points"), f"Sobol points are balanced by powers of 2; use {near // 2} or {near}"
    if design.use in ("saltelli", "morris") and design.points == 1:
        yield ("design", "points"), "indices need 2 points or more"
    for name, factor in spec.factors.items():
        ranged = factor.low is not None and factor.high is not None
        if bool(factor.values) == ranged or (not ranged and (factor.low, factor.high) != (None, None)):
            yield ("factors", name), "expected either `values`, or `low` and `high`"
        elif factor.values and design.use == "morris":
            yield ("factors", name), "a Morris design needs `low` and `high`; or choose another `design`"
        elif ranged and design.use == "grid":
            yield ("factors", name), "a grid needs `values`; or choose another `design`"
        elif factor.low is not None and factor.high is not None and factor.low >= factor.high:
            yield ("factors", name, "high"), f"expected a number above {factor.low:g}, got {factor.high:g}"
    for name in spec.arms:
        if VARIANT in name:
            what = f"{name!r} holds {VARIANT!r}, as the names of arms under a variant do; choose another name"
            yield ("arms", name), what
    if spec.pairings and len(spec.pairings.strategies) < 2:
        yield ("pairings", "strategies"), "expected two strategies or more"


def misfits_of(
    kind: str | None, direction: str, smallest: float | tuple[float, float] | None
) -> Iterator[str]:
    """What cannot be asked of a comparison of outcomes of a kind (None: not known)."""
    if kind == "text":
        yield "a text cannot be compared; make a number or a category of it"
    if kind == "category" and (direction != "two-sided" or smallest is not None):
        what = "categories have no order: neither `direction` nor `smallest` can be asked of them"
        yield f"{what}; leave it out, or use the kind ordered with `levels`"
    if kind == "ordered" and smallest is not None:
        yield "an ordered outcome has no unit for `smallest`; leave it out"
    if smallest is not None:
        low, high = smallest if isinstance(smallest, tuple) else (-smallest, smallest)
        if not (math.isfinite(low) and math.isfinite(high) and low < 0 < high):
            given = list(smallest) if isinstance(smallest, tuple) else smallest
            what = "a number above 0, or the lowest and the highest difference that is too small, around 0"
            yield f"`smallest`: {expected(what, given)}"


def _outcomes(
    spec: ExperimentSpec, arms: list[Arm], mistakes: Mistakes
) -> tuple[dict[str, OutcomeSpec], list[Comparison]]:
    listed = dict.fromkeys(spec.outcomes) if isinstance(spec.outcomes, list) else spec.outcomes
    outcomes = {name: given or OutcomeSpec() for name, given in listed.items()}
    names = [arm.name for arm in arms if not arm.variant]
    comparisons: list[Comparison] = []
    for outcome, given in outcomes.items():
        at = ("outcomes", outcome)
        if given.kind == "ordered" and len(given.levels) < 2:
            mistakes.add((*at, "levels"), "expected the levels from the lowest to the highest, two or more")
        if len(set(given.levels)) < len(given.levels):
            mistakes.add((*at, "levels"), "a level stands twice; take one of them out")
        if given.levels and given.kind not in (None, "ordered", "category"):
            mistakes.add((*at, "levels"), "only outcomes of the kinds ordered and category have levels")
        for arm, several in given.compare.items():
            if arm not in names:
                mistakes.add((*at, "compare", arm), there_is_no("arm", arm, names), on_key=True)
            for one in several if isinstance(several, list) else [several]:
                one = CompareSpec(one) if isinstance(one, str) else one
                place = (*at, "compare", arm)
                if one.against not in names:
                    mistakes.add(place, there_is_no("arm", one.against, names))
                elif one.against == arm:
                    mistakes.add(place, f"{arm!r} is compared with itself; name another arm")
                for what in misfits_of(given.kind, one.direction, one.smallest):
                    mistakes.add(place, what)
                if spec.replicates < 2:
                    what = f"a comparison needs two replicates or more, and there is {spec.replicates}"
                    mistakes.add(place, f"{what}; raise `replicates`, or take the comparison out")
                comparisons.append(Comparison(outcome, arm, one.against, one.direction, one.smallest))
    if rule := spec.stopping:
        for key, name, known in (
            ("outcome", rule.outcome, list(outcomes)), ("arm", rule.arm, names),
            ("against", rule.against, names),
        ):  # fmt: skip
            if name not in known:
                kind = "outcome" if key == "outcome" else "arm"
                mistakes.add(("stopping", key), there_is_no(kind, name, known))
        if not rule.bounds[0] < 0 < rule.bounds[1]:
            what = "the lowest and the highest difference that is possible, with 0 between them"
            mistakes.add(("stopping", "bounds"), expected(what, list(rule.bounds)))
    return outcomes, comparisons
