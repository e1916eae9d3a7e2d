"""Measures of interaction networks: who hears whom, and who speaks after whom."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import networkx as nx

from .talk import Talk

Values = dict[str, float | int | None]


def hearing(talk: Talk) -> Any:
    """A directed graph: from who speaks to who hears it, weighted by the number of utterances."""
    graph = _empty(talk)
    for one in talk.utterances:
        for other in one.heard_by:
            _add(graph, one.agent, other)
    return graph


def replies(talk: Talk) -> Any:
    """A directed graph: from who speaks to who spoke just before, if that is somebody else."""
    graph = _empty(talk)
    for before, after in pairwise(talk.utterances):
        if before.agent != after.agent:
            _add(graph, after.agent, before.agent)
    return graph


def whole(graph: Any) -> Values:
    """What is measured of a network. None: not defined."""
    n, edges = graph.number_of_nodes(), graph.number_of_edges()
    return {
        "density": nx.density(graph) if n > 1 else None,
        "reciprocity": nx.overall_reciprocity(graph) if edges else None,
        "centralisation": centralisation(graph),
        "components": float(nx.number_weakly_connected_components(graph)) if n else None,
        "modularity": _modularity(graph) if edges else None,
    }


def of_nodes(graph: Any) -> dict[str, Values]:
    """What is measured of each node: its degrees, and how often it is between others."""
    between = nx.betweenness_centrality(graph)
    return {
        name: {
            "out_degree": float(graph.out_degree(name)),
            "in_degree": float(graph.in_degree(name)),
            "betweenness": float(between[name]) if graph.number_of_nodes() > 2 else None,
        }
        for name in graph
    }


def centralisation(graph: Any) -> float | None:
    """Freeman's centralisation of the out-degrees: 1 if one node alone reaches all others.

    Freeman (1978, "Centrality in social networks: conceptual clarification").
    """
    degrees = [degree for _, degree in graph.out_degree()]
    n = len(degrees)
    return sum(max(degrees) - degree for degree in degrees) / (n - 1) ** 2 if n > 1 else None


def _modularity(graph: Any) -> float:
    """The modularity of the communities that are found greedily, in the network without directions."""
    plain = nx.Graph()
    plain.add_nodes_from(graph)
    for one, other, weight in graph.edges(data="weight"):
        _add(plain, one, other, weight)
    communities = nx.community.greedy_modularity_communities(plain, weight="weight")
    # Rounded, or a network of one community would have 1e-16 instead of 0.
    return round(float(nx.community.modularity(plain, communities, weight="weight")), 12) + 0.0


def _empty(talk: Talk) -> Any:
    graph = nx.DiGraph()
    graph.add_nodes_from(talk.participants)
    return graph


def _add(graph: Any, one: str, other: str, weight: int = 1) -> None:
    before = graph.get_edge_data(one, other, {"weight": 0})["weight"]
    graph.add_edge(one, other, weight=before + weight)
