"""The kernel draws: closed choices in answers, from the probabilities that a provider tells.

An answer is written from left to right. Behind what stands there so far, the provider scores the options of a
closed choice (see `closed`), and one is drawn. Free text is the provider's: it writes an answer in which all
that was drawn before is fixed, and its text is taken over. So what follows a draw fits what was drawn.

The draw is a Gumbel-max draw: the option with the largest `log(probability) + noise`. Each option's noise is
derived from the run's seed, the position of the call, the field, and the option's text. So it does not depend
on the order or number of the options, and two runs under the same seed have the same noise, even if an arm of
an experiment, a fork or another persona changes the probabilities: their draws differ only as much as these
do. (Coupled draws: Gumbel-max with common random numbers, as in arXiv 2502.01754.)

`top_p` and `temperature` are those of llama.cpp, for options instead of tokens, in its order: first only the
most probable options stay that have `top_p` together; then the logarithms are divided by `temperature`; 0
takes the most probable one. If they are not set, they are 1.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

from attrs import evolve

from pyscrai_language.parsing import parse_json
from pyscrai_language.schemas import check_value
from pyscrai_records.base.log import logger
from pyscrai_records.base.suggest import quote
from pyscrai_records.errors import AnswerRejected, CallFailed, RequestRejected
from pyscrai_records.records import Completion, Position, Request, Sampling

from .closed import Alternative, Choice, Members, indistinct, part_of, plain_copy, write
from .options import Option, OptionScores
from .textual_calls import SHOWN

#: The mass outside of all options above which a warning is given, and the unknown share of the rest.
MOST_OFF = 0.9
MOST_MISSING = 0.5
#: How much more than 1 probabilities may sum up to, for rounding.
ROUNDING = 1e-3
#: The digits of a probability that are kept.
DIGITS = 9

Score: TypeAlias = Callable[[Request, str, Sequence[Option]], Awaitable[OptionScores]]
#: Gives the index of the option that is taken at a position, for a field: of these labels with these
#: probabilities.
Choose: TypeAlias = Callable[[Position, str, Sequence[str], Sequence[float]], int]
Complete: TypeAlias = Callable[[Request], Awaitable[Completion]]


class Oracle(Protocol):
    """Decides in place of the noise, as an exact computation does; then no provider writes free text."""

    def answer(self) -> AbstractAsyncContextManager[None]:
        """Entered for each answer, so that answers can be kept in their order."""

    async def scores(
        self, request: Request, prefix: str, options: Sequence[Option], ask: Score
    ) -> OptionScores:
        """The scores of options, which `ask` asks the provider for."""

    def choose(
        self, position: Position, field: str, labels: Sequence[str], probabilities: Sequence[float]
    ) -> int:
        """The index of the option that is taken."""


async def draw_answer(
    request: Request, score: Score, complete: Complete, choose: Choose | None = None
) -> Completion:
    """The answer to a request with a schema that has closed choices.

    `score` asks the provider for the scores of options, `complete` for an answer. Raises what they raise, and
    `RequestRejected` for options that cannot be told apart. `choose` decides in place of the draw.
    """
    assert request.schema is not None
    return await _Answer(request, score, complete, choose).write()


class _Answer:
    """An answer that is being written: its text so far, and a schema that admits only what begins so."""

    def __init__(self, request: Request, score: Score, complete: Complete, choose: Choose | None) -> None:
        assert request.schema is not None
        self._request, self._score, self._complete = request, score, complete
        self._decide = choose
        self._schema = request.schema
        self._root = plain_copy(request.schema)
        self._text = ""
        self._draws: list[dict[str, Any]] = []
        #: The provider's last answer, its value, and whether all of the text so far is as it stands there.
        self._answer: Completion | None = None
        self._value: Any = None
        self._current = False
        self._model = ""

    async def write(self) -> Completion:
        holder: dict[str, Any] = {"": self._root}
        whole = await self._part(holder, "", ())
        if not whole:  # the provider's answer does not fit, and is checked as any other
            assert self._answer is not None
            return evolve(self._answer, draws=tuple(self._draws))
        answer = self._answer or Completion("", model=self._model)
        raw = answer.raw if self._current else ""
        return evolve(answer, text=self._text, raw=raw, finish_reason="stop", draws=tuple(self._draws))

    async def _part(self, holder: dict[str, Any], key: str, path: tuple[str, ...]) -> bool:
        """Write what stands at `path`, by the schema `holder[key]`, and fix it there.

        False: the provider's answer does not fit the schema.
        """
        part = part_of(holder[key], self._root)
        if isinstance(part, Choice):
            chosen = await self._choose(part, path)
            self._fix(holder, key, chosen.schema)
            if not chosen.option.opening:
                self._add(chosen.option.text)
                return True
            part = part_of(chosen.schema, self._root)
        if isinstance(part, Members):
            schemas = dict(part.schemas)
            fixed = {
                "type": "object",
                "properties": schemas,
                "required": list(schemas),
                "additionalProperties": False,
            }
            self._fix(holder, key, fixed)
            begin = "{"
            for name in part.schemas:
                self._add(begin) if begin == "{" else self._append(begin)
                self._append(f"{write(name)}:")
                if not await self._part(schemas, name, (*path, name)):
                    return False
                begin = ", "
            self._append("}")
            return True
        return await self._free(holder, key, path)

    def _add(self, text: str) -> None:
        self._text += f" {text}" if self._text else text

    def _append(self, text: str) -> None:
        self._text += text

    def _fix(self, holder: dict[str, Any], key: str, schema: Any) -> None:
        holder[key] = schema
        if key == "":
            definitions: dict[str, Any] = {
                name: self._root[name] for name in ("$defs", "definitions") if name in self._root
            }
            self._root = {**schema, **definitions}
            holder[key] = self._root

    # -- closed --

    async def _choose(self, choice: Choice, path: tuple[str, ...]) -> Alternative:
        alternatives = choice.alternatives
        if len(alternatives) == 1:
            return alternatives[0]
        request, options = self._request, [one.option for one in alternatives]
        field = ".".join(path)
        check_distinct(options, _named(field))
        scores = await self._score(request, self._text, options)
        self._model = scores.model
        keys = [one.key for one in options]
        drawn = probabilities_drawn(scores.logprobs, keys, request.sampling)
        labels = _labels(alternatives)
        if self._decide is None:
            index = draw(drawn, keys, request.seed, request.position, field)
        else:
            index = self._decide(request.position, field, labels, drawn)
        chosen = alternatives[index]
        self._note(field, index, labels, scores, drawn)
        if self._current and not _begins_with(self._value, path, chosen):
            self._current = False
        return chosen

    def _note(
        self, field: str, index: int, labels: Sequence[str], scores: OptionScores, drawn: Sequence[float]
    ) -> None:
        own = normalized(scores.logprobs)
        noted: dict[str, Any] = {
            "field": field,
            "value": labels[index],
            "probabilities": _rounded(labels, own),
        }
        if any(abs(one - other) > 1e-12 for one, other in zip(own, drawn, strict=True)):
            noted["drawn_from"] = _rounded(labels, drawn)
        noted |= {"off": _round(scores.off), "missing": _round(scores.missing)}
        self._draws.append(noted)

    # -- free --

    async def _free(self, holder: dict[str, Any], key: str, path: tuple[str, ...]) -> bool:
        """Take over what the provider writes at `path`."""
        if not self._current:
            narrowed = self._request.but(schema=self._root)
            self._answer = await self._complete(narrowed)
            value, wrong = parse_json(self._answer.text)
            # By the whole schema: one for each answer would have to be compiled.
            if wrong or self._answer.tool_calls or check_value(self._schema, value) is not None:
                return False
            if self._draws and not write(value).startswith(self._text):
                raise AnswerRejected(f"it does not begin with what was chosen: {self._text[:SHOWN]!r}")
            self._value, self._current = value, True
        value = self._value
        for name in path:
            value = value[name]
        self._add(write(value))
        self._fix(holder, key, {"const": value})
        return True


def _begins_with(value: Any, path: tuple[str, ...], chosen: Alternative) -> bool:
    """Whether a value has at `path` what was chosen."""
    for name in path:
        value = value[name]
    text = write(value)
    if chosen.option.opening:
        return Option(text, opening=True).key.startswith(chosen.option.key)
    return text == chosen.option.text


def _labels(alternatives: Sequence[Alternative]) -> list[str]:
    """What to call the options."""
    labels = [one.label for one in alternatives]
    unclear = len(set(labels)) < len(labels)  # `1` and `"1"`, or two objects
    return [one.option.text for one in alternatives] if unclear else labels


def _named(field: str) -> str:
    return f"the field {field!r}" if field else "the answer"


def check_distinct(options: Sequence[Option], where: str) -> None:
    """Raise `RequestRejected` for options that are the same after normalisation, or empty."""
    if what := indistinct(options):
        raise RequestRejected(f"{where}: {what}")


def check_scores(scores: Any, options: Sequence[Option]) -> OptionScores:
    """What a provider told of options. Raises `CallFailed` if these are no log-probabilities."""

    def wrong(what: str) -> CallFailed:
        return CallFailed(f"score returned {what}; tell its author, or set `draw: provider` for the provider")

    if not isinstance(scores, OptionScores):
        raise wrong(f"{type(scores).__name__}, expected OptionScores")
    if len(scores.logprobs) != len(options):
        raise wrong(f"{len(scores.logprobs)} scores for {len(options)} options, expected one for each")
    for option, score in zip(options, scores.logprobs, strict=True):
        if not isinstance(score, int | float) or math.isnan(score) or score > ROUNDING:
            raise wrong(f"{score!r} for the option {option.text}, expected a log-probability, 0 at most")
    for name in ("off", "missing"):
        mass = getattr(scores, name)
        if not isinstance(mass, int | float) or not -ROUNDING <= mass <= 1 + ROUNDING:
            raise wrong(f"{mass!r} for `{name}`, expected a probability")
    total = math.fsum(math.exp(min(score, 0.0)) for score in scores.logprobs)
    if total > 1 + ROUNDING:
        raise wrong(f"probabilities with the sum {total:.6g}, expected 1 at most")
    if total == 0 and scores.missing > MOST_MISSING:
        raise RequestRejected(
            f"the provider tells the probability of none of the options {quote(options[0].text)}, … "
            f"({scores.missing:.0%} is not told), expected at least one; let the server tell more tokens "
            "(`top_logprobs`), say in the prompt what can be answered, or set `draw: provider`"
        )
    if total == 0:
        raise RequestRejected(
            f"the model gives none of the options {quote(options[0].text)}, … any probability; say "
            "in the prompt what can be answered, or set `draw: provider` for the provider"
        )
    return scores


class Bounds:
    """Warns, once for each provider, of much mass outside of the options, or unknown."""

    def __init__(self) -> None:
        self._warned: set[tuple[str, str]] = set()

    def check(self, scores: OptionScores, provider: str, position: Position) -> None:
        off = "of its answers would be none of the options; say in the prompt what can be answered (`off`"
        missing = "of what may be options is not known, as the provider tells little (`missing`"
        rest = max(1 - scores.off, scores.missing)
        unknown = scores.missing / rest if rest else 0.0
        for what, share, bound in ((off, scores.off, MOST_OFF), (missing, unknown, MOST_MISSING)):
            if share > bound and (provider, what) not in self._warned:
                self._warned.add((provider, what))
                logger.warning(
                    "provider {!r}: {}: {:.0%} {} of a draw, above {:.0%}; this is said once)",
                    provider, position, share, what, bound,
                )  # fmt: skip

    def too_many(self, provider: str, position: Position, count: int, most: int) -> None:
        """Say that a choice has too many options."""
        if (provider, "count") not in self._warned:
            self._warned.add((provider, "count"))
            logger.warning(
                "provider {!r}: {}: a choice has {:,} options, and at most {} are scored, so the provider "
                "draws by itself; use fewer, or set `draw: provider` (this is said once)",
                provider, position, count, most,
            )  # fmt: skip


# -- the draw --


def normalized(logprobs: Sequence[float]) -> list[float]:
    """The probabilities of options among themselves."""
    top = max(logprobs)
    shares = [math.exp(one - top) for one in logprobs]
    total = math.fsum(shares)
    return [share / total for share in shares]


def probabilities_drawn(logprobs: Sequence[float], keys: Sequence[str], sampling: Sampling) -> list[float]:
    """The probabilities that are drawn from: after `top_p` and `temperature`."""
    own = normalized(logprobs)
    order = sorted(range(len(own)), key=lambda index: (-own[index], keys[index]))
    kept, total = set[int](), 0.0
    for index in order:
        kept.add(index)
        total += own[index]
        if sampling.top_p is not None and total >= sampling.top_p:
            break
    temperature = 1.0 if sampling.temperature is None else sampling.temperature
    if temperature == 0:
        best = own[order[0]]
        ties = [one == best for one in own]
        return [tie / sum(ties) for tie in ties]
    return normalized(
        [one / temperature if index in kept else -math.inf for index, one in enumerate(logprobs)]
    )


def draw(
    probabilities: Sequence[float], keys: Sequence[str], seed: int, position: Position, field: str
) -> int:
    """The index of the option that is drawn; `keys` are the options' normalised texts, `seed` the call's."""
    return max(
        (math.log(probability) + gumbel(seed, position, field, key), key, index)
        for index, (probability, key) in enumerate(zip(probabilities, keys, strict=True))
        if probability > 0
    )[2]


def gumbel(seed: int, position: Position, field: str, key: str) -> float:
    """The noise of an option, from a standard Gumbel distribution."""
    place = (str(seed), position.agent, str(position.step), position.path, field, key)
    words = hashlib.sha256("\x1f".join(("draw", *place)).encode(errors="surrogatepass")).digest()
    uniform = ((int.from_bytes(words[:8]) >> 11) + 0.5) / 2**53
    return -math.log(-math.log(uniform))


def _rounded(labels: Sequence[str], probabilities: Sequence[float]) -> dict[str, float]:
    return {label: _round(one) for label, one in zip(labels, probabilities, strict=True)}


def _round(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
