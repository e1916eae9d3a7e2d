"""The probabilities of options from those of tokens, compared with the enumeration of all sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import pytest

from pyscrai_answers import options as walks
from pyscrai_answers.options import Option, OptionScores, Told, score_options

#: The end of the answer is the empty text.
VOCABULARY = [b"1", b"2", b"12", b" ", b'"', b",", b"}", b"x", b""]


class Model:
    """A model of random probabilities, whose answers have at most `longest` tokens."""

    def __init__(self, seed: int, vocabulary: Sequence[bytes] = VOCABULARY, longest: int = 99) -> None:
        self.seed, self.vocabulary, self.longest = seed, vocabulary, longest
        self.asked: list[tuple[object, ...]] = []

    def next(self, path: tuple[int, ...]) -> list[float]:
        if len(path) >= self.longest:
            return [float(not text) for text in self.vocabulary]
        random = Random(f"{self.seed} {path}")
        weights = [random.random() ** 3 + 1e-4 for _ in self.vocabulary]
        return [weight / sum(weights) for weight in weights]

    def tokens(self, text: str) -> tuple[int, ...]:
        rest, found = text.encode(), []
        while rest:
            token = max((one for one in self.vocabulary if one and rest.startswith(one)), key=len)
            found.append(self.vocabulary.index(token))
            rest = rest[len(token) :]
        return tuple(found)

    def score(
        self, options: Sequence[Option], most: int = 99, tokens: bool = True, nodes: int | None = None
    ) -> OptionScores:
        walk = score_options(options, self.tokens if tokens else None, at_end=True, nodes=nodes)
        ask = next(walk)
        while True:
            self.asked.append((ask.path, ask.wanted))
            shares = enumerate(self.next(ask.path))
            likely = sorted(shares, key=lambda one: -one[1])[:most]
            if ask.wanted is not None:
                likely = [(ask.wanted, self.next(ask.path)[ask.wanted])]
            told = [Told(n, self.vocabulary[n], math.log(share)) for n, share in likely if share > 0]
            try:
                ask = walk.send(told)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]


def enumerated(model: Model, texts: Sequence[str]) -> list[float]:
    """The mass of all whole answers that are one of `texts`, alone or with something behind it."""
    masses = [0.0] * len(texts)

    def visit(path: tuple[int, ...], text: bytes, mass: float) -> None:
        for token, share in enumerate(model.next(path)):
            piece = model.vocabulary[token]
            if share and piece:
                visit((*path, token), text + piece, mass * share)
            elif share:
                value = text.decode().lstrip()
                quoted = value.startswith('"')
                if quoted and '"' not in value[1:]:
                    continue
                ends = [n for n, sign in enumerate(value) if sign in ('"' if quoted else ", ") and n]
                value = value[int(quoted) : ends[0] if ends else None]
                value = value.strip()
                if value in texts:
                    masses[texts.index(value)] += mass * share

    visit((), b"", 1.0)
    return masses


@pytest.mark.parametrize("seed", range(5))
def test_the_sum_over_all_sequences_is_that_of_the_whole_tree(seed: int) -> None:
    vocabulary = [b"1", b"2", b"12", b" ", b'"', b",", b""]
    model = Model(seed, vocabulary, longest=4)
    scores = model.score([Option("1"), Option("12"), Option("2")], nodes=100_000)
    found = [math.exp(one) for one in scores.logprobs]
    assert found == pytest.approx(enumerated(model, ["1", "12", "2"]), abs=1e-12)
    assert sum(found) + scores.off + scores.missing == pytest.approx(1)
    assert scores.missing == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("most", [99, 5, 3, 1])
@pytest.mark.parametrize("tokens", [True, False])
def test_what_is_left_out_is_missing_and_bounds_the_error(most: int, tokens: bool) -> None:
    options = [Option("1"), Option("12"), Option("2")]
    for seed in range(10):
        exact = Model(seed, longest=5)
        whole = exact.score(options, nodes=100_000)
        scores = Model(seed, longest=5).score(options, most, tokens)
        for one, other in zip(scores.logprobs, whole.logprobs, strict=True):
            assert abs(math.exp(one) - math.exp(other)) <= scores.missing + 1e-12
        total = sum(map(math.exp, scores.logprobs))
        assert total + scores.off <= 1 + 1e-12 <= total + scores.off + scores.missing + 2e-12


@pytest.mark.parametrize("least", [0, 2, 4])
def test_forms_that_are_not_followed_count_as_those_that_are(least: int) -> None:
    class Forms(Model):
        """Whatever stands before an option, and however it is written, it is as probable, and ends so."""

        def next(self, path: tuple[int, ...]) -> list[float]:
            text = b"".join(self.vocabulary[token] for token in path)
            shares = {b"": {b'"': 0.5, b' "': 0.3, b'\n"': 0.1, b"x": 0.1}}.get(
                text, {b"yes": 0.4, b"Yes": 0.2, b"no": 0.2, b"No": 0.1, b"x": 0.1}
            )
            if text.lower().endswith((b"yes", b"no")):
                shares = {b'",': 0.9, b"x": 0.1}
            return [shares.get(piece, 0.0) for piece in self.vocabulary]

    vocabulary = [b'"', b' "', b'\n"', b"yes", b"Yes", b"no", b"No", b'",', b"x", b""]
    scores = Forms(0, vocabulary).score([Option('"yes"'), Option('"no"')], nodes=least)
    assert scores.missing > 0.05
    found = [math.exp(one) for one in scores.logprobs]
    assert found[0] / sum(found) == pytest.approx(2 / 3)


def test_more_nodes_are_followed_while_those_left_are_unlike_all_others() -> None:
    """One option begins with one of many tokens, of which none tells how probable it is behind another."""
    letters = b"abcdefghijklmnopqrstuvwxyz"
    begun = [letters[:length] for length in range(1, 26)]

    class Many(Model):
        def next(self, path: tuple[int, ...]) -> list[float]:
            text = b"".join(self.vocabulary[token] for token in path)
            shares = dict.fromkeys([*begun, b"1"], 1 / 26)
            if text:
                shares = {letters[len(text) :]: len(text) / 26, b"!": 1 - len(text) / 26}
            if text in (b"1", letters):
                shares = {b"": 1.0}
            return [shares.get(piece, 0.0) for piece in self.vocabulary]

    model = Many(0, [*begun, b"1", *(letters[length:] for length in range(1, 26)), b"!", b""])
    found = model.score([Option(letters.decode()), Option("1")], tokens=False)
    shares = [math.exp(one) for one in found.logprobs]
    assert shares == pytest.approx([sum(range(1, 26)) / 26 / 26, 1 / 26])


def test_an_improbable_option_is_followed_to_its_end_where_its_tokens_are_known() -> None:
    class Rare(Model):
        def next(self, path: tuple[int, ...]) -> list[float]:
            if not path:
                return [0.999, 1e-6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.001 - 1e-6, 0.0]
            return [0.0] * 5 + [0.25, 0.75, 0.0, 0.0]

    scores = Rare(0).score([Option("1"), Option("2")], most=1)
    assert [math.exp(one) for one in scores.logprobs] == pytest.approx([0.999 * 0.75, 1e-6 * 0.75])
    unknown = Rare(0).score([Option("1"), Option("2")], most=1, tokens=False)
    assert unknown.logprobs[1] == -math.inf
    assert unknown.missing >= 1e-6


def test_each_node_is_asked_for_once() -> None:
    model = Model(3)
    model.score([Option("1"), Option("12"), Option("2"), Option("21")], most=4)
    assert len(model.asked) == len(set(model.asked))


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ('"red"', 0), (' "red"}', 0), ('"Red"', 0), ('\n"RED",', 0), ("red}", 0), ('" red "', 0),
        ('"reddish"', 1), ('"red', "more"), (" ", "more"), ('"blue"', None), ("12,", 2), ('"12"', 2),
        ("12", "more"), ("123,", None), ('{"offer"', 3), ('{ "Offer": {', 3), ('{"off', "more"), ("null}", 4),
        (" " * 9, None), ('"a, b"', 5), ("a, b}", 5), ("a,", "more"), ("é}", 6), ("é", "more"),
    ],
)  # fmt: skip
def test_surface_forms(text: str, index: int | str | None) -> None:
    options = [
        *map(Option, ('"red"', '"reddish"', "12")),
        Option('{"offer"', opening=True),
        *map(Option, ("null", '"a, b"', '"é"')),
    ]
    found, may = walks._Match(options, at_end=False).of(text.encode(), ended=False)
    assert (found, may) == ((None, True) if index == "more" else (index, False))


def test_a_character_that_is_not_complete_may_become_an_option() -> None:
    match = walks._Match([Option('"é"')], at_end=False)
    assert match.of("é".encode()[:1], ended=False) == (None, True)
    assert match.of(b"\xffx", ended=False) == (None, False)


def test_an_option_without_tokens_is_refused() -> None:
    walk = score_options([Option('"x"')], lambda text: ())
    next(walk)
    with pytest.raises(ValueError, match="has no tokens"):
        walk.send([Told(0, b"y", 0.0)])
