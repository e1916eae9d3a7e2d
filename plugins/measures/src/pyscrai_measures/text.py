"""Measures of texts, as functions of words. None: not defined, since there are too few words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files

Words = Sequence[str]

#: English words that say little of what a text is about.
_FUNCTION_WORDS = """
a about after all also am an and any are as at be because been before being but by can could did do does
doing down for from had has have having he her here hers him his how i if in into is it its just me more
most my no nor not now of off on once only or other our ours out over own same she should so some such
than that the their theirs them then there these they this those through to too under until up very was
we were what when where which while who whom why will with would you your yours i'm it's that's don't
doesn't didn't can't won't i'll we'll you'll i've we've you've we're you're they're let's
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
_NEGATIONS = """
not no never none nobody nothing neither nor nowhere cannot without hardly rarely seldom ain't aren't
can't couldn't didn't doesn't don't hadn't hasn't haven't isn't shouldn't wasn't weren't won't wouldn't
"""
NEGATIONS = frozenset(_NEGATIONS.split())
#: What a negation makes of a word's valence, and how many words it reaches over (Hutto and Gilbert 2014).
NEGATED, REACH = -0.74, 3
#: The largest valence of the lexicon.
LARGEST = 4


def ngrams(texts: Iterable[Words], n: int) -> Iterator[tuple[str, ...]]:
    """The sequences of `n` words in texts; none of them goes from one text into the next."""
    for words in texts:
        yield from zip(*(words[start:] for start in range(n)), strict=False)


def distinct(texts: Iterable[Words], n: int) -> float | None:
    """Distinct-n: the number of different n-grams, divided by the number of n-grams.

    Li et al. (2016, "A diversity-promoting objective function for neural conversation models").
    """
    found = Counter(ngrams(texts, n))
    return len(found) / found.total() if found else None


def repetition(speakers: Iterable[Iterable[Words]], n: int = 3) -> float | None:
    """The share of n-grams that their speaker had used before."""
    counts = [Counter(ngrams(texts, n)) for texts in speakers]
    total = sum(found.total() for found in counts)
    return 1 - sum(map(len, counts)) / total if total else None


def repeated(speakers: Iterable[Sequence[Words]]) -> float | None:
    """The share of texts that their speaker had said before, word for word."""
    several = [[tuple(words) for words in texts if words] for texts in speakers]
    total = sum(map(len, several))
    return 1 - sum(len(set(texts)) for texts in several) / total if total else None


def content_words(words: Iterable[str]) -> frozenset[str]:
    """The different words that are no function words."""
    return frozenset(words) - FUNCTION_WORDS


def overlap(first: frozenset[str], second: frozenset[str]) -> float | None:
    """Jaccard's index of the content words that two speakers use."""
    return len(first & second) / len(first | second) if first and second else None


def sentiment(texts: Iterable[Words]) -> float | None:
    """The mean valence of the words of the lexicon, from -1 to 1.

    A negation among the three words before a word reverses it. The lexicon is VADER's, for English.
    """
    lexicon = valences()
    found = []
    for words in texts:
        for place, word in enumerate(words):
            if word in lexicon:
                before = words[max(0, place - REACH) : place]
                found.append(lexicon[word] * (NEGATED if NEGATIONS.intersection(before) else 1))
    return sum(found) / len(found) / LARGEST if found else None


@cache
def valences() -> dict[str, float]:
    """The lexicon: words with valences from -4 to 4."""
    lines = files(__package__).joinpath("vader.tsv").read_text(encoding="utf-8").splitlines()
    return {word: float(value) for word, value in (line.split("\t") for line in lines)}


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are there; None if none is."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None
