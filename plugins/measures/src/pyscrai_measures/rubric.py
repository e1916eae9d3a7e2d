"""A rubric file: what models are asked about runs, which models, and what they must not see."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from attrs import Attribute, asdict, field, frozen

from pyscrai_core import ContractError
from pyscrai_core.agent import positive
from pyscrai_core.scenario.resolve import NAME
from pyscrai_core.scenario.spec import SPEC_HOOKS
from pyscrai_core.scenario.structure import Structurer
from pyscrai_language import yaml
from pyscrai_language.document import Document, Mistakes
from pyscrai_language.misfit import Misfit
from pyscrai_records.base.suggest import TYPO, closest, expected
from pyscrai_records.canonical import canonical, digest

#: What may be judged, beside events of a kind.
WHOLE = ("transcript", "agent")
#: The characters that a reason may have.
REASON = 400


@frozen
class Question:
    """What is asked: the text, the kind of the answer, and what some answers mean (`anchors`)."""

    ask: str
    kind: Literal["number", "category", "ordered", "yes-no"] = "number"
    range: tuple[float, float] | None = None
    integer: bool = True
    labels: tuple[str, ...] = ()
    anchors: dict[str, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if not self.ask.strip():
            raise ValueError("ask: expected a question, got an empty text")
        if (self.kind == "number") != (self.range is not None):
            what = "is missing; expected [LOWEST, HIGHEST]" if self.range is None else f"{self.kind} has none"
            raise ValueError(f"range: {what}")
        if self.range is not None:
            low, high = self.range
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"range: expected a number and a larger one, got [{low:g}, {high:g}]")
            if self.integer and not (low.is_integer() and high.is_integer()):
                raise ValueError("range: expected whole numbers, or `integer: false`")
        if self.kind in ("category", "ordered"):
            if len(set(self.labels)) < max(2, len(self.labels)):
                raise ValueError("labels: expected two or more different ones (ordered: the lowest first)")
        elif self.labels:
            raise ValueError(f"labels: {self.kind} has none; use the kind category or ordered")
        for anchor in self.anchors:
            if not self._has(anchor):
                raise ValueError(f"anchors: {anchor!r} is none of the answers; {self.describe()}")

    def _has(self, answer: str) -> bool:
        if self.range is None:
            return answer in (self.labels or ("yes", "no"))
        try:
            return self.range[0] <= float(answer) <= self.range[1]
        except ValueError:
            return False

    def describe(self) -> str:
        """What an answer must be, in words."""
        if self.range is not None:
            number = "a whole number" if self.integer else "a number"
            return f"{number} from {self.range[0]:g} to {self.range[1]:g}"
        return f"one of: {', '.join(self.labels or ('yes', 'no'))}"

    def value(self, answer: Any) -> Any:
        """What an answer is as a value: for yes and no, true and false."""
        return answer == "yes" if self.kind == "yes-no" else answer


@frozen
class Blind:
    """What judges do not see: the names of agents, the texts of labels, and further words."""

    agents: bool = False
    labels: bool = True
    words: tuple[str, ...] = ()


def _known(instance: object, option: Attribute[Any], value: str) -> None:
    match = closest(value, WHOLE, TYPO)
    if value not in WHOLE and match:
        raise ValueError(
            f"expected transcript, agent, or a kind of events, got {value!r}; did you mean {match}?"
        )


@frozen
class RubricSpec:
    """The keys of a rubric file."""

    judge: str
    questions: dict[str, Question]
    providers: dict[str, Any] = field(factory=dict)
    description: str = ""
    instructions: str = ""
    of: str = field(default="transcript", validator=_known)
    events: tuple[str, ...] = ()
    context: int = 5
    blind: Blind = field(factory=Blind)
    repeats: int = field(default=1, validator=positive)
    reasons: bool = True
    separately: bool = False
    seed: int = 0
    limits: dict[str, Any] = field(factory=dict)
    concurrency: int = field(default=4, validator=positive)


@frozen
class Rubric:
    """A rubric with the file that it is from."""

    path: Path
    document: Document
    spec: RubricSpec

    @property
    def name(self) -> str:
        return self.spec.judge

    @property
    def hash(self) -> str:
        """What tells this rubric from others: all that shapes a judgement."""
        shown = {**asdict(self.spec), "description": "", "limits": {}, "concurrency": 0}
        return digest(canonical(shown))[:16]

    def raters(self) -> dict[str, str]:
        """The raters, with the provider of each: every provider, as often as it is repeated."""
        return {
            name if number == 1 else f"{name} {number}": name
            for name in self.spec.providers or ("default",)
            for number in range(1, self.spec.repeats + 1)
        }


def read_rubric(path: Path) -> Rubric:
    """The rubric at `path`. Raises `ScenarioError` with all mistakes found."""
    document = yaml.load(path)
    if not isinstance(document.value, dict):
        raise document.error((), expected("a mapping with `judge` and `questions`", document.value))
    mistakes = Mistakes(document)

    def build(kind: str, value: Any) -> Any:
        raise ContractError(f"a rubric names no {kind}")

    try:
        spec = Structurer(SPEC_HOOKS, build).structure(document.value, RubricSpec)
    except Misfit as error:
        mistakes.note((), error.found)
        mistakes.check()
        raise AssertionError from error  # `check` has raised
    for place, what, on_key in _problems(spec):
        mistakes.add(place, what, on_key)
    mistakes.check()
    return Rubric(path, document, spec)


def _problems(spec: RubricSpec) -> Iterator[tuple[tuple[str | int, ...], str, bool]]:
    """What is wrong beyond the types, with its place."""
    if not re.fullmatch(r"[\w-]{1,100}", spec.judge):
        yield ("judge",), expected("a name of letters, digits, `_` and `-`", spec.judge), False
    if not spec.questions:
        yield ("questions",), "expected a question or more, got none", False
    for name in spec.questions:
        if not re.fullmatch(r"[A-Za-z]\w{0,63}", name, re.ASCII):
            yield ("questions", name), f"expected a name of letters, digits and `_`, got {name!r}", True
    for name in spec.providers:
        if not NAME.fullmatch(name):
            what = f"{name!r} is not a valid name for a judge; expected one without . @ * {{ }} [ ] / # : ,"
            yield ("providers", name), what, True
        if spec.repeats > 1 and re.search(r" \d+$", name):
            what = f"{name!r} is what a repetition is called; expected a name without a number behind a blank"
            yield ("providers", name), what, True
    if spec.context < 0:
        yield ("context",), expected("a number of lines, 0 or more", spec.context), False
    for index, word in enumerate(spec.blind.words):
        if not word.strip():
            yield ("blind", "words", index), "expected a word, got an empty text", False
