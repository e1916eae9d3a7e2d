"""All measures of a run, by name: of the whole, and of each participant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

from attrs import asdict, frozen

from pyscrai_core import ConfigError, StoredRun
from pyscrai_records.base.suggest import there_is_no

from . import text, turns
from .talk import Talk, talk_of

Value = float | int | None
#: For so many runs, what several measures have in common is kept.
KEPT = 4
#: A measure: of the whole (no agent) or of one participant.
Measure = Callable[[Talk, str | None], Value]


def _spoken(talk: Talk, agent: str | None) -> list[tuple[str, ...]]:
    return [one.words for one in talk.utterances if agent in (None, one.agent)]


def _by_speaker(talk: Talk, agent: str | None) -> list[list[tuple[str, ...]]]:
    return [_spoken(talk, name) for name in talk.participants if agent in (None, name)]


@lru_cache(maxsize=KEPT)
def _overlaps(talk: Talk) -> dict[tuple[str, str], float | None]:
    """The overlap of each pair of participants."""
    said = {
        name: text.content_words(word for one in talk.of(name) for word in one.words)
        for name in talk.participants
    }
    return {
        (one, other): text.overlap(said[one], said[other])
        for one, other in combinations(talk.participants, 2)
    }


def _overlap(talk: Talk, agent: str | None) -> Value:
    return text.mean(value for pair, value in _overlaps(talk).items() if agent is None or agent in pair)


@lru_cache(maxsize=2 * KEPT)
def _amounts(talk: Talk, of: Callable[[Any], int]) -> dict[str, int]:
    amounts = dict.fromkeys(talk.participants, 0)
    for one in talk.utterances:
        amounts[one.agent] += of(one)
    return amounts


def _share(of: Callable[[Any], int]) -> Measure:
    def share(talk: Talk, agent: str | None) -> Value:
        amounts = _amounts(talk, of)
        total = sum(amounts.values())
        return amounts[agent] / total if agent is not None and total else None

    return share


def _inequality(measure: Callable[[Sequence[float]], Value], of: Callable[[Any], int]) -> Measure:
    return lambda talk, agent: measure(list(_amounts(talk, of).values())) if agent is None else None


@lru_cache(maxsize=2 * KEPT)
def _networks(talk: Talk, graph: str) -> tuple[dict[str, Value], dict[str, dict[str, Value]]]:
    """What is measured of a network, and of its nodes."""
    from . import network  # networkx takes a while to import

    made = getattr(network, graph)(talk)
    return network.whole(made), network.of_nodes(made)


def _network(graph: str, name: str) -> Measure:
    def value(talk: Talk, agent: str | None) -> Value:
        whole, nodes = _networks(talk, graph)
        return whole[name] if agent is None else nodes[agent][name]

    return value


def _count_words(one: Any) -> int:
    return len(one.words)


def _count_one(one: Any) -> int:
    return 1


@frozen
class Known:
    """A measure with what it means. `whole` and `each`: whether runs have it, and participants."""

    measure: Measure
    meaning: str
    whole: bool = True
    each: bool = True


#: What is measured of a network, and of its nodes.
_WHOLE = {
    "density": "share of the possible links that there are",
    "reciprocity": "share of the links that go both ways",
    "centralisation": "Freeman's centralisation of out-degrees",
    "components": "number of weakly connected components",
    "modularity": "modularity of the greedily found communities",
}
_NODES = {
    "out_degree": "number of links from the participant",
    "in_degree": "number of links to the participant",
    "betweenness": "betweenness centrality",
}
#: What is measured, by name.
MEASURES: dict[str, Known] = {
    "utterances": Known(lambda talk, agent: len(_spoken(talk, agent)), "number of utterances"),
    "words": Known(lambda talk, agent: sum(map(len, _spoken(talk, agent))), "number of words"),
    "characters": Known(
        lambda talk, agent: sum(len(one.text) for one in talk.utterances if agent in (None, one.agent)),
        "number of characters",
    ),
    "length": Known(
        lambda talk, agent: text.mean(len(words) for words in _spoken(talk, agent)),
        "words for each utterance, mean",
    ),
    "distinct_1": Known(lambda talk, agent: text.distinct(_spoken(talk, agent), 1), "distinct words / words"),
    "distinct_2": Known(
        lambda talk, agent: text.distinct(_spoken(talk, agent), 2), "distinct bigrams / bigrams"
    ),
    "repetition": Known(
        lambda talk, agent: text.repetition(_by_speaker(talk, agent)),
        "share of trigrams that the speaker used before",
    ),
    "repeated": Known(
        lambda talk, agent: text.repeated(_by_speaker(talk, agent)),
        "share of utterances that the speaker made before, word for word",
    ),
    "overlap": Known(_overlap, "Jaccard's index of content words, mean over pairs"),
    "sentiment": Known(
        lambda talk, agent: text.sentiment(_spoken(talk, agent)), "mean valence of words, -1 to 1"
    ),
    "turn_share": Known(_share(_count_one), "share of the utterances", whole=False),
    "word_share": Known(_share(_count_words), "share of the words", whole=False),
    "turn_gini": Known(_inequality(turns.gini, _count_one), "Gini coefficient of utterances", each=False),
    "word_gini": Known(_inequality(turns.gini, _count_words), "Gini coefficient of words", each=False),
    "turn_entropy": Known(
        _inequality(turns.entropy, _count_one), "entropy of the shares of utterances, 0 to 1", each=False
    ),
    "word_entropy": Known(
        _inequality(turns.entropy, _count_words), "entropy of the shares of words, 0 to 1", each=False
    ),
    "monologue": Known(
        lambda talk, agent: turns.longest_monologue(talk.utterances, agent),
        "largest number of utterances in a row",
    ),
    "latency": Known(
        lambda talk, agent: turns.latency(talk.utterances, agent), "steps until somebody else answers, mean"
    ),
    **{
        f"{prefix}_{name}": Known(
            _network(graph, name), f"{meaning}, of the network of {graph}", name in _WHOLE, name not in _WHOLE
        )
        for prefix, graph in (("heard", "hearing"), ("reply", "replies"))
        for name, meaning in {**_WHOLE, **_NODES}.items()
    },
}


@frozen
class Row:
    """One value. `agent` is empty for the whole run; of `transitions`, `to` is who speaks next.

    None: the measure is not defined for the run, such as the density of a network of one agent.
    """

    run: str
    measure: str
    agent: str
    to: str
    value: Value

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_measures(names: Iterable[str], where: str) -> None:
    """Raise `ConfigError` for a name that is no measure."""
    for name in names:
        if name not in MEASURES and name != "transitions":
            raise ConfigError(f"{where}: {there_is_no('measure', name, [*MEASURES, 'transitions'])}")


def measure(
    run: StoredRun,
    *,
    names: Sequence[str] = (),
    kinds: Sequence[str] = ("say",),
    agents: Sequence[str] = (),
) -> list[Row]:
    """Measure a run of a store: a row for each value.

    ::

        with Store.open(".pyscrai/runs.db") as store:
            rows = pyscrai_measures.measure(store.run("last"), names=["distinct_2"])

    names
        of measures (default: all of `MEASURES`, and `transitions`)
    kinds, agents
        as for `pyscrai measure`

    Raises `ConfigError` for names that do not exist.
    """
    check_measures(names, "names")
    talk = talk_of(run, kinds=kinds, agents=agents)
    rows = [
        Row(run.id, name, agent or "", "", known.measure(talk, agent))
        for name, known in MEASURES.items()
        if name in (names or MEASURES)
        for agent in (None, *talk.participants)
        if (known.whole if agent is None else known.each)
    ]
    if not names or "transitions" in names:
        for agent, counts in turns.transitions(talk.utterances, talk.participants).items():
            rows += [Row(run.id, "transitions", agent, other, count) for other, count in counts.items()]
    return rows
