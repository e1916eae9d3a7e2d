"""An agent's older events, ranked by recency, importance and relevance.

Park et al., Generative Agents (2023, arXiv:2304.03442), section 4.1: the score of a memory is the weighted
sum of the three, each scaled to the range from 0 to 1 over all memories. Without embeddings, relevance is
BM25 (Robertson & Zaragoza, The Probabilistic Relevance Framework, 2009).
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

#: The constants of BM25: the saturation of repeated words, and the penalty for long texts.
K1, B = 1.2, 0.75
#: Events per chunk. An event's index in its chunk must fit into a byte.
CHUNK = 128
#: The maximum number of matches that a query considers. The rarest words come first, because common words
#: tell little about relevance.
MAX_MATCHES = 2_000
#: A word. In scripts without spaces, each character is a word.
_WORD = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff]|[^\W\u2e80-\u9fff\uf900-\ufaff]+")


def words_of(text: str) -> list[str]:
    """The words of a text, in the form in which they are compared."""
    return _WORD.findall(text.casefold())


def _not_negative(instance: object, attribute: object, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"weights: expected numbers of 0 or more, got {value}")


@frozen
class Weights:
    """The weight of each part of the score. The defaults are those in the paper's code."""

    recency: float = field(default=0.5, validator=_not_negative)
    importance: float = field(default=2.0, validator=_not_negative)
    relevance: float = field(default=3.0, validator=_not_negative)


class Chunk:
    """Consecutive events, and an index of their words."""

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
        #: For each word, pairs of bytes: an event's index, and how often the word occurs in it.
        self.matches = {word: bytes(pairs) for word, pairs in found.items()}


#: Agents that observed the same event objects share a chunk. It is freed with the last agent that uses it. A
#: chunk only depends on its events, and only agents that have these events can look it up.
_CHUNKS: WeakValueDictionary[tuple[int, ...], Chunk] = WeakValueDictionary()


def chunk_of(events: Sequence[Event]) -> Chunk:
    key = tuple(map(id, events))  # unique, because a chunk keeps its events alive
    chunk = _CHUNKS.get(key)
    if chunk is None:
        chunk = _CHUNKS[key] = Chunk(events)
    return chunk


class Section:
    """A sequence of events in chunks, with the numbers that one agent has for each event."""

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
        # Public events are the same for all agents, so their chunks are shared.
        self._public, self._other = Section(), Section()
        self._sections = (self._public, self._other)

    def __len__(self) -> int:
        return sum(len(section.steps) for section in self._sections)

    @property
    def events(self) -> list[Event]:
        """All events, section by section."""
        return [event for section in self._sections for chunk in section.chunks for event in chunk.events]

    def embed(self, vectors: list[list[float]]) -> None:
        """Replace all vectors by these: one for each of `events`, or none."""
        left = iter(vectors)
        for section in self._sections:
            section.vectors = array("f")
            section.embed(islice(left, len(section.steps)))

    def add(self, events: Sequence[Event], importance: Sequence[int], vectors: list[list[float]]) -> None:
        """Add events in order, each with its importance (1 to 10) and, if used, its vector."""
        public = [EVERYONE in event.audience for event in events]
        for section, here in ((self._public, True), (self._other, False)):
            which = [number for number, one in enumerate(public) if one is here]
            if which:
                chosen = (vectors[number] for number in which if vectors)
                section.add([events[number] for number in which], (importance[n] for n in which), chosen)

    def best(
        self, query: str, vector: list[float], step: int, decay: float, weights: Weights, count: int
    ) -> list[Event]:
        """The `count` memories with the highest scores, best first. Of equal scores, the newer comes first.

        Sets their time of last recall to `step`, which their recency depends on.
        """
        relevance = self._cosines(vector) if vector else self._bm25(query)
        steps = {at for section in self._sections for at in set(section.steps)}
        recent = _scaled({at: decay ** (step - at) for at in steps}, weights.recency)
        levels = {level for section in self._sections for level in set(section.importance)}
        important = _scaled({level: float(level) for level in levels}, weights.importance)
        low = min(min(part, default=math.inf) for part in relevance)
        span = max(max(part, default=-math.inf) for part in relevance) - low
        factor = weights.relevance / span if span else 0.0
        found: list[tuple[float, int, Section, int]] = []
        for section, part in zip(self._sections, relevance, strict=True):
            scores = [
                recent[at] + important[level] + factor * (value - low)
                for at, level, value in zip(section.steps, section.importance, part, strict=True)
            ]
            for score, place in nlargest(count, zip(scores, range(len(scores)), strict=True)):
                found.append(
                    (score, section.chunks[place // CHUNK].events[place % CHUNK].seq, section, place)
                )
        best = nlargest(count, found, key=lambda one: one[:2])
        for _, _, section, place in best:
            section.steps[place] = step
        return [section.chunks[place // CHUNK].events[place % CHUNK] for _, _, section, place in best]

    def _bm25(self, query: str) -> list[list[float]]:
        """The BM25 score of each memory, by section."""
        scores = [[0.0] * len(section.steps) for section in self._sections]
        wanted = dict.fromkeys(words_of(query)).keys()
        total = length = 0
        found: dict[str, list[tuple[bytes, list[int], list[float], int]]] = {}
        for section, part in zip(self._sections, scores, strict=True):
            for number, chunk in enumerate(section.chunks):
                total += len(chunk.events)
                length += chunk.length
                for word in wanted & chunk.matches.keys():
                    hit = (chunk.matches[word], chunk.lengths, part, number * CHUNK)
                    if word in found:
                        found[word].append(hit)
                    else:
                        found[word] = [hit]
        # The constant parts of the denominator.
        short, slope = K1 * (1 - B), K1 * B * total / (length or 1)
        having = {word: sum([len(hit[0]) for hit in hits]) // 2 for word, hits in found.items()}
        left = MAX_MATCHES
        for word in sorted(found, key=lambda word: (having[word], word)):
            if left <= 0:
                break
            left -= having[word]
            rarity = math.log(1 + (total - having[word] + 0.5) / (having[word] + 0.5)) * (K1 + 1)
            for pairs, lengths, part, start in found[word]:
                for number, times in zip(pairs[::2], pairs[1::2], strict=True):
                    part[start + number] += rarity * times / (times + short + slope * lengths[number])
        return scores

    def _cosines(self, vector: list[float]) -> list[list[float]]:
        """The cosine similarity of each memory to `vector`, by section."""
        unit = _unit(vector)
        size = len(unit)
        if any(len(section.vectors) != size * len(section.steps) for section in self._sections):
            raise ValueError(
                f"the embeddings have different lengths, expected {size} numbers in each; "
                "after a fork, use a provider of another name for another model"
            )
        return [
            [
                sum(map(mul, unit, section.vectors[place : place + size]))
                for place in range(0, len(section.vectors), size)
            ]
            for section in self._sections
        ]


def _scaled(values: dict[int, float], weight: float) -> dict[int, float]:
    """`values` scaled to the range from 0 to `weight`. All 0 if they are equal."""
    low = min(values.values())
    span = max(values.values()) - low
    return {key: weight * (value - low) / span if span else 0.0 for key, value in values.items()}


def _unit(vector: Collection[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length else [0.0] * len(vector)
