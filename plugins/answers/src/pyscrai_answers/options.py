"""The probabilities of a choice's options, computed from those of a model's tokens.

An option is a text, such as `12` or `"red"`, behind an answer's text so far. Its probability is that of the
model continuing with this text and then ending it:

    P(option) = sum over its surface forms, over all sequences of tokens that spell a form and its end, of
                P(token 1) * P(token 2 | token 1) * … * P(last token | those before it)

where the last token is the first one that ends the form: it holds the closing quote, or the character behind
a number. Surface forms differ in case, in blanks, and in quotes around the value. Sequences that begin alike
are a tree, whose nodes are each computed once. What no option covers is `off`. What the model has not told,
or what was too small to follow, is `missing`: the options found, `off` and `missing` add up to 1. (The sum
over all sequences that cover a text is that of Vieira et al. 2024, "From language models over tokens to
language models over characters", arXiv 2412.03719.)

A node that was not followed goes on, by estimate, as those did that were followed and whose texts differ from
its own in case and blanks alone: their shares of each option are added to it. So a form that is rarer than
others still counts, and `missing` stays a bound on what is not known.
"""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Callable, Generator, Hashable, Sequence
from typing import NamedTuple, TypeAlias

from attrs import field, frozen

from pyscrai_records.records import Request, Usage

#: The number of this way to compute scores. Scores that are kept are only used by the same one.
METHOD = 4
#: A node of the tree is followed while it holds more than this share of what the options have so far.
SHARE = 1e-2
#: So many nodes are followed, or, with many options, so many more than there are options. Those on an
#: option's usual path do not count.
NODES = 16
NODES_MORE = 6
#: More are followed, up to so many, while those that are left and unlike all that were followed hold more
#: than this share of what the options have so far. For them, there is no estimate.
MOST_NODES = 100
UNLIKE = 0.15
#: The most blanks before an option.
MOST_BLANKS = 8
#: What may follow a value in JSON.
ENDS = ",}] \t\r\n"
BLANKS = " \t\r\n"
#: A text up to the quote that ends it: one behind a backslash does not, but behind an escaped backslash.
_QUOTED = re.compile(r'((?:[^"\\]|\\.)*)"', re.DOTALL)

Token: TypeAlias = Hashable
Path: TypeAlias = tuple[Token, ...]


@frozen
class Option:
    """A text that an answer may continue with.

    `text` is JSON: a value, or the beginning of an object up to where it differs from the other options
    (`opening`). The latter ends by itself.
    """

    text: str
    opening: bool = False

    @property
    def key(self) -> str:
        """The normalised text: options with the same key are the same."""
        text = "".join(self.text.split()) if self.opening else self.text.strip()
        if not self.opening and len(text) > 1 and text[0] == text[-1] == '"':
            text = text[1:-1].strip()
        return text.casefold()


@frozen
class OptionScores:
    """What a provider tells of options: their log-probabilities (natural), in the order of the options.

    `off` is the probability of all other texts, `missing` the one that is not known, or only by estimate.
    `model` and `usage` are as in a completion.
    """

    logprobs: tuple[float, ...]
    off: float = 0.0
    missing: float = 0.0
    usage: Usage = field(factory=Usage)
    model: str = ""


class NoTokens(ValueError):
    """A model has no tokens for an option, so that it can never write it."""


class Scorer:
    """The part of a provider that tells the probabilities of options, for the capability `options`."""

    async def score(self, request: Request, prefix: str, options: Sequence[Option]) -> OptionScores:
        """The log-probabilities of `options` behind the messages and the answer so far, `prefix`. Optional.

        `score_options` computes them from the probabilities of tokens. Raise the errors of `complete`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no probabilities of options")


class Told(NamedTuple):
    """A token that may come next: its text and its log-probability. An empty text ends the answer."""

    token: Token
    text: bytes
    logprob: float


class TokenQuery(NamedTuple):
    """What the walk wants to know: the next tokens behind `path`, or the token `wanted` alone if it is set.

    `mass` is the probability of the path: what is not told of it is missing.
    """

    path: Path
    mass: float
    wanted: Token | None = None


class _Match:
    """What a text that was generated is: an option, the beginning of some, or neither."""

    def __init__(self, options: Sequence[Option], at_end: bool) -> None:
        self._at_end = at_end
        self._openings = {option.key: n for n, option in enumerate(options) if option.opening}
        self._values = {option.key: n for n, option in enumerate(options) if not option.opening}
        self._begun = {key[:length] for key in self._values for length in range(len(key) + 1)}

    def of(self, text: bytes, ended: bool) -> tuple[int | None, bool]:
        """The option that `text` is, if it is one, and whether it may still become one."""
        try:
            said = text.decode()
        except UnicodeDecodeError as error:
            if error.end < len(text):
                return None, False
            said, ended = text[: error.start].decode(), False  # a character that is not complete yet
        body = said.lstrip(BLANKS)
        if len(said) - len(body) > MOST_BLANKS:
            return None, False
        body = body.casefold()
        bare = "".join(body.split())
        for key, opening in self._openings.items():
            if bare.startswith(key):
                return opening, False
        may = any(key.startswith(bare) for key in self._openings)
        index: int | None
        index, may_be_value = self._quoted(body[1:]) if body[:1] == '"' else self._plain(body, ended)
        return index, index is None and not ended and (may or may_be_value)

    def _quoted(self, inner: str) -> tuple[int | None, bool]:
        inner = inner.lstrip(BLANKS)
        whole = _QUOTED.match(inner)
        if whole is None:
            return None, inner in self._begun or inner.rstrip(BLANKS) in self._values
        return self._values.get(whole[1].rstrip(BLANKS)), False

    def _plain(self, inner: str, ended: bool) -> tuple[int | None, bool]:
        if ended:
            return (self._values.get(inner) if self._at_end else None), False
        if inner in self._begun:
            return None, True
        for place in range(len(inner) - 1, 0, -1):  # an option may have such a character in itself
            if inner[place] in ENDS and inner[:place] in self._values:
                return self._values[inner[:place]], False
        return None, False


def score_options(
    options: Sequence[Option],
    tokens_of: Callable[[str], Path] | None = None,
    at_end: bool = False,
    nodes: int | None = None,
    most: int = MOST_NODES,
) -> Generator[TokenQuery, Sequence[Told], OptionScores]:
    """Compute the scores: yields what it wants to know of the model, and is sent the tokens that may follow.

    `tokens_of` gives the tokens of a text; then even the least probable option is followed to its end. With
    `at_end`, the end of the answer ends a value as well. With `nodes`, up to so many are followed, also small
    ones; without, as many as it takes, up to `most`. Raises `NoTokens` for an option without any.
    """
    return (yield from _Walk(options, tokens_of, at_end, nodes, most).run())


class _Walk:
    def __init__(
        self,
        options: Sequence[Option],
        tokens_of: Callable[[str], Path] | None,
        at_end: bool,
        nodes: int | None,
        most: int,
    ) -> None:
        self._options = options
        self._tokens_of = tokens_of
        self._usual, self._share = max(NODES, NODES_MORE + len(options)), SHARE
        self._most = max(most, self._usual)
        if nodes is not None:
            self._usual, self._share, self._most = nodes, 0.0, nodes
        self._match = _Match(options, at_end)
        self._mass = [0.0] * len(options)
        self._off = 0.0
        self._untold = 0.0
        #: The texts and masses of the nodes that were not followed yet.
        self._open: dict[Path, tuple[bytes, float]] = {(): (b"", 1.0)}
        #: Those that were followed, and what was told of the next tokens.
        self._followed: dict[Path, tuple[bytes, float]] = {}
        self._told: dict[Path, dict[Token, float]] = {}
        #: What each option got from below the nodes that were followed.
        self._below: dict[Path, list[float]] = {}
        #: The texts of those, without what forms differ in, and the masses of the nodes with other texts.
        self._known: set[str] = set()
        self._unlike: dict[str, float] = {"": 1.0}
        self._heap: list[tuple[float, int, Path]] = [(-1.0, 0, ())]
        self._count = 0

    def run(self) -> Generator[TokenQuery, Sequence[Told], OptionScores]:
        for nodes in range(self._most):
            found = sum(self._mass)
            usual = nodes >= self._usual or (self._heap and -self._heap[0][0] <= self._share * found)
            if not self._heap or (usual and sum(self._unlike.values()) <= UNLIKE * found):
                break
            yield from self._follow(heapq.heappop(self._heap)[2])
        if self._tokens_of is not None:
            blank = max("", " ", key=self._begun_with)
            for option in self._options:
                yield from self._follow_option(blank + option.text)
        unfollowed = sum(mass for _, mass in self._open.values())
        masses = [mass + more for mass, more in zip(self._mass, self._estimated(), strict=True)]
        return OptionScores(
            tuple(math.log(mass) if mass > 0 else -math.inf for mass in masses),
            max(0.0, self._off),
            max(0.0, self._untold) + unfollowed,
        )

    def _estimated(self) -> list[float]:
        """What each option likely gets from the nodes that were not followed."""
        found: dict[str, list[float]] = {}
        for path, (text, mass) in self._followed.items():
            alike = found.setdefault(_plain(text), [0.0] * (len(self._options) + 1))
            for n, share in enumerate((*self._below[path], mass)):
                alike[n] += share
        more = [0.0] * len(self._options)
        for text, mass in self._open.values():
            *shares, whole = found.get(_plain(text), [0.0])
            for n, share in enumerate(shares):
                more[n] += mass * share / whole
        return more

    def _follow(self, path: Path) -> Generator[TokenQuery, Sequence[Told], None]:
        """Ask for what follows a node."""
        text, mass = self._followed[path] = self._open.pop(path)
        self._known.add(_plain(text))
        self._unlike.pop(_plain(text), None)
        self._below[path] = [0.0] * len(self._options)
        told = yield TokenQuery(path, mass)
        self._told[path] = {}
        self._untold += mass * max(0.0, 1.0 - math.fsum(math.exp(one.logprob) for one in told))
        for one in told:
            self._take(path, text, mass, one)

    def _take(self, path: Path, text: bytes, mass: float, one: Told) -> None:
        """Count a token behind a node with this text and mass."""
        self._told[path][one.token] = one.logprob
        share, longer = mass * math.exp(one.logprob), text + one.text
        index, may = self._match.of(longer, ended=not one.text)
        if index is not None:
            self._mass[index] += share
            for length in range(len(path) + 1):
                self._below[path[:length]][index] += share
        elif may:
            self._count += 1
            self._open[*path, one.token] = longer, share
            if (plain := _plain(longer)) not in self._known:
                self._unlike[plain] = self._unlike.get(plain, 0.0) + share
            heapq.heappush(self._heap, (-share, self._count, (*path, one.token)))
        else:
            self._off += share

    def _follow_option(self, text: str) -> Generator[TokenQuery, Sequence[Told], None]:
        """Follow the usual tokens of an option to its end, if they were not."""
        assert self._tokens_of is not None
        tokens = self._tokens_of(text)
        if not tokens:
            raise NoTokens(
                f"the option {text.strip()} has no tokens, expected a text that the model can write; rename "
                "it, or set `draw: provider` for the provider"
            )
        path: Path = ()
        for token in (*tokens, None):
            if path in self._open:
                yield from self._follow(path)
            if token is None or path not in self._told:
                return  # this is no beginning of an option any more: it ended
            if token not in self._told[path]:
                text_here, mass = self._followed[path]
                for one in (yield TokenQuery(path, mass, token)):
                    self._untold -= mass * math.exp(one.logprob)
                    self._take(path, text_here, mass, one)
            path = (*path, token)

    def _begun_with(self, blank: str) -> float:
        """The probability of the first tokens of the options with this before them, as far as it was told."""
        assert self._tokens_of is not None
        first = {self._tokens_of(blank + option.text)[:1] for option in self._options}
        told = self._told.get((), {})
        return sum(math.exp(told[token]) for tokens in first for token in tokens if token in told)


def _plain(text: bytes) -> str:
    """A text without what surface forms differ in, but for quotes: it decides how the text can end."""
    return "".join(text.decode(errors="ignore").split()).casefold()
