"""What an agent can recall: its older events, found again by recency, importance and relevance.

Park et al., Generative Agents (2023, arXiv:2304.03442), section 4.1: the score of a memory is the weighted
sum of the three, each brought to the span from 0 to 1 over all memories. Relevance of words is BM25
(Robertson & Zaragoza, The Probabilistic Relevance Framework, 2009).
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from heapq import nlargest
from itertools import islice
from operator import mul
from sys import intern
from weakref import WeakValueDictionary

from attrs import field, frozen

from pyscrai_core import EVERYONE, Event

#: The constants of BM25: how soon repeating a word counts no more, and how much long texts are held back.
K1, B = 1.2, 0.75
#: Events of a chunk; their numbers inside it have to fit into a byte.
CHUNK = 128
#: So many matches of words are looked at, those of the rarest words first: common ones say little.
MATCHES = 2_000
#: A word; scripts that put no blanks between words give a word for each character.
_WORD = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff]|[^\W\u2e80-\u9fff\uf900-\ufaff]+")


def words_of(text: str) -> list[str]:
    """The words of a text, as they are compared."""
    return _WORD.findall(text.casefold())


def _not_negative(instance: object, attribute: object, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"weights: expected numbers of 0 or more, got {value}")


@frozen
class Weights:
    """How much each of the three counts. The defaults are those of the code that came with the paper."""

    recency: float = field(default=0.5, validator=_not_negative)
    importance: float = field(default=2.0, validator=_not_negative)
    relevance: float = field(default=3.0, validator=_not_negative)


class Chunk:
    """Some events in a row, and where their words are."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = tuple(events)
        self.lengths: list[int] = []
        found: dict[str, bytearray] = {}
        for number, event in enumerate(events):
            words = words_of(event.describe())
            self.lengths.append(len(words))
            for word, count in Counter(words).items():
                found.setdefault(intern(word), bytearray()).extend((number, min(count, 255)))
        self.length = sum(self.lengths)
        #: For each word the numbers of the events, each followed by how often it has the word.
        self.matches = {word: bytes(pairs) for word, pairs in found.items()}


#: Agents that heard the same events, the very same objects, share what was worked out from them, and it goes
#: with the last of them. What is in it depends on these events alone, and only who has them asks for it.
_CHUNKS: WeakValueDictionary[tuple[int, ...], Chunk] = WeakValueDictionary()


def chunk_of(events: Sequence[Event]) -> Chunk:
    key = tuple(map(id, events))  # a chunk keeps its events, so no other object can have one of these numbers
    chunk = _CHUNKS.get(key)
    if chunk is None:
        chunk = _CHUNKS[key] = Chunk(events)
    return chunk


class Shelf:
    """A row of events in chunks, and for each of them what one agent knows of it, as plain numbers."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.steps = array("I")
        self.importance = array("B")
        self.vectors = array("f")

    def add(self, events: list[Event], importance: Iterable[int], vectors: Iterable[list[float]]) -> None:
        self.steps.extend(event.step for event in events)
        self.importance.extend(importance)
        self.embed(vectors)
        if self.chunks and len(self.chunks[-1].events) < CHUNK:
            events = [*self.chunks.pop().events, *events]
        self.chunks += [chunk_of(events[start : start + CHUNK]) for start in range(0, len(events), CHUNK)]

    def embed(self, vectors: Iterable[list[float]]) -> None:
        for vector in vectors:
            self.vectors.extend(_unit(vector))


class Archive:
    """The older events of one agent."""

    def __init__(self) -> None:
        # What everybody hears is the same row for everybody, and so its chunks are shared.
        self._public, self._other = Shelf(), Shelf()
        self._shelves = (self._public, self._other)

    def __len__(self) -> int:
        return sum(len(shelf.steps) for shelf in self._shelves)

    @property
    def events(self) -> list[Event]:
        """All of them, shelf by shelf."""
        return [event for shelf in self._shelves for chunk in shelf.chunks for event in chunk.events]

    def embed(self, vectors: list[list[float]]) -> None:
        """Take these vectors, one for each of `events` or none, in the place of those that there are."""
        left = iter(vectors)
        for shelf in self._shelves:
            shelf.vectors = array("f")
            shelf.embed(islice(left, len(shelf.steps)))

    def add(self, events: Sequence[Event], importance: Sequence[int], vectors: list[list[float]]) -> None:
        """Take over events in their order, with the importance of each (1 to 10), and its vector or none."""
        public = [EVERYONE in event.audience for event in events]
        for shelf, here in ((self._public, True), (self._other, False)):
            which = [number for number, one in enumerate(public) if one is here]
            if which:
                told = (vectors[number] for number in which if vectors)
                shelf.add([events[number] for number in which], (importance[n] for n in which), told)

    def best(
        self, query: str, vector: list[float], step: int, decay: float, weights: Weights, count: int
    ) -> list[Event]:
        """The `count` memories with the highest scores, the best first, the newer of two equal ones first.

        They count as recalled in this `step`: what is recent is what was recalled lately.
        """
        relevance = self._near(vector) if vector else self._matching(query)
        steps = {at for shelf in self._shelves for at in set(shelf.steps)}
        recent = _weighed({at: decay ** (step - at) for at in steps}, weights.recency)
        levels = {level for shelf in self._shelves for level in set(shelf.importance)}
        important = _weighed({level: float(level) for level in levels}, weights.importance)
        low = min(min(part, default=math.inf) for part in relevance)
        span = max(max(part, default=-math.inf) for part in relevance) - low
        factor = weights.relevance / span if span else 0.0
        found: list[tuple[float, int, Shelf, int]] = []
        for shelf, part in zip(self._shelves, relevance, strict=True):
            scores = [
                recent[at] + important[level] + factor * (value - low)
                for at, level, value in zip(shelf.steps, shelf.importance, part, strict=True)
            ]
            for score, place in nlargest(count, zip(scores, range(len(scores)), strict=True)):
                found.append((score, shelf.chunks[place // CHUNK].events[place % CHUNK].seq, shelf, place))
        best = nlargest(count, found, key=lambda one: one[:2])
        for _, _, shelf, place in best:
            shelf.steps[place] = step
        return [shelf.chunks[place // CHUNK].events[place % CHUNK] for _, _, shelf, place in best]

    def _matching(self, query: str) -> list[list[float]]:
        """BM25 of each memory, by shelf."""
        scores = [[0.0] * len(shelf.steps) for shelf in self._shelves]
        wanted = dict.fromkeys(words_of(query)).keys()
        total = length = 0
        found: dict[str, list[tuple[bytes, list[int], list[float], int]]] = {}
        for shelf, part in zip(self._shelves, scores, strict=True):
            for number, chunk in enumerate(shelf.chunks):
                total += len(chunk.events)
                length += chunk.length
                for word in wanted & chunk.matches.keys():
                    hit = (chunk.matches[word], chunk.lengths, part, number * CHUNK)
                    if word in found:
                        found[word].append(hit)
                    else:
                        found[word] = [hit]
        # What all lengths have in common, worked out once.
        short, slope = K1 * (1 - B), K1 * B * total / (length or 1)
        having = {word: sum([len(hit[0]) for hit in hits]) // 2 for word, hits in found.items()}
        left = MATCHES
        for word in sorted(found, key=lambda word: (having[word], word)):
            if left <= 0:
                break
            left -= having[word]
            rarity = math.log(1 + (total - having[word] + 0.5) / (having[word] + 0.5)) * (K1 + 1)
            for pairs, lengths, part, start in found[word]:
                for number, times in zip(pairs[::2], pairs[1::2], strict=True):
                    part[start + number] += rarity * times / (times + short + slope * lengths[number])
        return scores

    def _near(self, vector: list[float]) -> list[list[float]]:
        """The cosine between `vector` and that of each memory, by shelf."""
        unit = _unit(vector)
        size = len(unit)
        if any(len(shelf.vectors) != size * len(shelf.steps) for shelf in self._shelves):
            raise ValueError(
                f"the embeddings have different lengths, expected {size} numbers in each; "
                "behind a fork, give another model a provider of another name"
            )
        return [
            [
                sum(map(mul, unit, shelf.vectors[place : place + size]))
                for place in range(0, len(shelf.vectors), size)
            ]
            for shelf in self._shelves
        ]


def _weighed(values: dict[int, float], weight: float) -> dict[int, float]:
    """`values` brought to the span from 0 to `weight`; all 0 if they are the same."""
    low = min(values.values())
    span = max(values.values()) - low
    return {key: weight * (value - low) / span if span else 0.0 for key, value in values.items()}


def _unit(vector: Collection[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length else [0.0] * len(vector)
