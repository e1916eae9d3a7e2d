"""Claims: which planned comparisons they are about, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen

from pyscrai_records.base.suggest import there_is_no

from .spec import ClaimSpec


@frozen
class Comparison:
    """A planned comparison of an outcome in two arms."""

    outcome: str
    arm: str
    against: str
    direction: str
    smallest: float | tuple[float, float] | None

    @property
    def label(self) -> str:
        """Its name in texts."""
        return f"{self.outcome}: {self.arm} - {self.against}"

    def to_dict(self) -> dict[str, Any]:
        smallest = list(self.smallest) if isinstance(self.smallest, tuple) else self.smallest
        return {
            "outcome": self.outcome, "arm": self.arm, "against": self.against, "direction": self.direction,
            "smallest": smallest,
        }  # fmt: skip


def _named(claim: ClaimSpec) -> dict[str, list[str]]:
    """By outcome, the arms that a claim names; an empty list: all of them."""
    if isinstance(claim.about, list):
        return {outcome: [] for outcome in claim.about}
    return {
        outcome: [arms] if isinstance(arms, str) else list(arms)
        for outcome, arms in (claim.about or {}).items()
    }


def comparisons_of(claim: ClaimSpec, planned: Sequence[Comparison]) -> list[Comparison]:
    """The planned comparisons that a claim is about: those that it names, or else all."""
    if claim.about is None:
        return list(planned)
    named = _named(claim)
    return [
        one
        for one in planned
        if one.outcome in named and (not named[one.outcome] or _names_of(one) & set(named[one.outcome]))
    ]


def _names_of(one: Comparison) -> set[str]:
    return {one.arm, f"{one.arm} - {one.against}"}


def claim_problems(
    claim: ClaimSpec | None, planned: Sequence[Comparison]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with what a claim names, with its place."""
    if claim is None or claim.about is None:
        return
    if not claim.about:
        yield ("claim", "about"), "it names nothing; name outcomes with planned comparisons, or leave it out"
    outcomes = list(dict.fromkeys(one.outcome for one in planned))
    for index, (outcome, arms) in enumerate(_named(claim).items()):
        place: tuple[str | int, ...] = ("claim", "about", index if isinstance(claim.about, list) else outcome)
        if outcome not in outcomes:
            yield place, there_is_no("compared outcome", outcome, outcomes)
            continue
        several = [one for one in planned if one.outcome == outcome]
        known = list(dict.fromkeys(name for one in several for name in sorted(_names_of(one))))
        if not arms and isinstance(claim.about, dict):
            yield place, "it names no arm; name arms that are compared, or list the outcome alone"
        for arm in arms:
            if arm not in known:
                yield place, there_is_no("planned comparison", arm, known)


def judge(
    claim: ClaimSpec,
    planned: Sequence[Comparison],
    registered: dict[str, Any] | None,
    content: dict[str, Any],
) -> dict[str, Any]:
    """What becomes of a claim, and by which comparisons.

    It says that all of them hold (an intersection-union test, Berger 1982): it is supported if all are, not
    supported if one of them was shown to be contrary, and undecided else, as when one could not be made.
    """
    chosen = comparisons_of(claim, planned)
    found = []
    for outcome in content["outcomes"]:
        for one in outcome["comparisons"]:
            made = (outcome["name"], one["first"], one["second"], one["direction"])
            if one["planned"] and made in [(c.outcome, c.arm, c.against, c.direction) for c in chosen]:
                found.append(one)
    verdicts = {one["verdict"] for one in found}
    verdict = "undecided"
    if "not supported" in verdicts:
        verdict = "not supported"
    elif verdicts == {"supported"} and len(found) == len(chosen):
        verdict = "supported"
    why = {one["exploratory"] for one in found if one["exploratory"]}
    about = dict(claim.about) if isinstance(claim.about, dict) else claim.about
    if registered is not None and registered.get("about") != about:
        why.add("what the claim is about was changed after the first trial")
    return {
        "verdict": verdict, "exploratory": sorted(why), "named": claim.about is not None,
        "about": [one.label for one in chosen],
    }  # fmt: skip


def judged_by(claim: dict[str, Any]) -> str:
    """By which comparisons a claim was judged, and how, in one sentence."""
    names = claim["about"]
    which = "the planned comparisons that it names"
    if not claim["named"]:
        which = "all planned comparisons, as `about` names none"
    rule = ""
    if len(names) > 1:
        rule = "; supported if all are, not supported if one was shown to be contrary, and undecided else"
    some = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return f"The claim was judged by {which}: {some}{rule}."
