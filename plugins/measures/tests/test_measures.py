"""Measures, against values computed by hand or by networkx."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import networkx as nx
import pytest
from click.testing import Result

from pyscrai_core import RunResult
from pyscrai_measures import MEASURES, network, text, turns
from pyscrai_measures.talk import Talk, Utterance, words_of

Run = Callable[..., RunResult]
Invoke = Callable[..., Result]


def utterance(agent: str, step: int, words: str, heard_by: tuple[str, ...] = ()) -> Utterance:
    return Utterance(agent, step, words, tuple(words_of(words)), heard_by)


def test_words() -> None:
    assert words_of("It’s the 2nd well-known Ärger, isn't it?!") == [
        "it's", "the", "2nd", "well-known", "ärger", "isn't", "it",
    ]  # fmt: skip
    assert words_of("… — ?") == []


def test_texts_by_hand() -> None:
    texts = [["a", "b", "a", "b"], ["a", "b"]]
    assert text.distinct(texts, 1) == 2 / 6
    assert text.distinct(texts, 2) == 2 / 4  # ab ba ab | ab; none goes over the end of a text
    assert text.distinct([["a"]], 2) is None
    first, second = [["x", "y", "z", "x", "y", "z"]], [["x", "y", "z"]]
    # xyz yzx zxy xyz: one of four was used before; what another speaker used does not count.
    assert text.repetition([first]) == pytest.approx(1 / 4)
    assert text.repetition([first, second]) == pytest.approx(1 / 5)
    assert text.repeated([[["hi"], ["no"], ["hi"], []], [["hi"]]]) == pytest.approx(1 / 4)
    said, other = (text.content_words(words.split()) for words in ("the fresh bread", "a bread and a knife"))
    assert text.overlap(said, other) == 1 / 3
    assert text.overlap(said, text.content_words(["the"])) is None


def test_sentiment_by_hand() -> None:
    # VADER: good 1.9, terrible -2.1, bad -2.5
    assert text.sentiment([["good", "bread"]]) == 1.9 / 4
    assert text.sentiment([["good"], ["terrible"]]) == pytest.approx((1.9 - 2.1) / 2 / 4)
    assert text.sentiment([["this", "is", "not", "so", "bad"]]) == pytest.approx(-0.74 * -2.5 / 4)
    assert text.sentiment([["not", "it", "is", "really", "so", "bad"]]) == -2.5 / 4  # too far away
    assert text.sentiment([["bread"]]) is None


def test_shares_by_hand() -> None:
    assert turns.gini([2, 2, 2]) == pytest.approx(0)
    assert turns.gini([0, 0, 6]) == pytest.approx(2 / 3)
    assert turns.gini([1, 3]) == pytest.approx(1 / 4)
    assert turns.entropy([2, 2]) == pytest.approx(1)
    assert turns.entropy([0, 5]) == 0
    assert turns.entropy([1, 3]) == pytest.approx(-(math.log2(1 / 4) / 4 + math.log2(3 / 4) * 3 / 4))
    assert turns.gini([3]) is turns.gini([0, 0]) is turns.entropy([]) is None


def test_turns_by_hand() -> None:
    said = [utterance(agent, step, "x") for agent, step in zip("AABBBA", (1, 2, 3, 4, 6, 9), strict=True)]
    assert turns.longest_monologue(said) == 3
    assert turns.longest_monologue(said, "A") == 2
    assert turns.longest_monologue([]) == 0
    assert turns.latency(said) == (1 + 3) / 2
    assert turns.latency(said, "A") == 3
    assert turns.latency(said[:2]) is None
    assert turns.transitions(said, "AB") == {"A": {"A": 1, "B": 1}, "B": {"A": 1, "B": 2}}


def test_networks_as_networkx_has_them() -> None:
    people = ("A", "B", "C", "D")
    said = [
        utterance("A", 1, "x", ("B", "C")),
        utterance("B", 2, "x", ("A",)),
        utterance("A", 3, "x", ("B",)),
        utterance("C", 4, "x", ("B",)),
    ]
    talk = Talk("run", people, tuple(said))
    graph = nx.DiGraph([("A", "B"), ("A", "C"), ("B", "A"), ("C", "B")])
    graph.add_node("D")
    found = network.whole(network.hearing(talk))
    assert found["density"] == nx.density(graph) == 4 / 12
    assert found["reciprocity"] == nx.reciprocity(graph) == 2 / 4
    assert found["components"] == 2
    assert found["centralisation"] == (0 + 1 + 1 + 2) / 9
    plain = nx.Graph()
    plain.add_weighted_edges_from([("A", "B", 3), ("A", "C", 1), ("B", "C", 1)])
    plain.add_node("D")
    best = nx.community.greedy_modularity_communities(plain, weight="weight")
    assert found["modularity"] == pytest.approx(nx.community.modularity(plain, best))
    between = nx.betweenness_centrality(graph)
    assert {
        one: given["betweenness"] for one, given in network.of_nodes(network.hearing(talk)).items()
    } == between
    assert network.of_nodes(network.hearing(talk))["A"]["out_degree"] == 2
    assert set(network.replies(talk).edges) == {("B", "A"), ("A", "B"), ("C", "A")}
    pair = Talk("run", ("A", "B"), tuple(utterance(one, 1, "x", ("A", "B")) for one in "ABABABAB"))
    assert str(network.whole(network.replies(pair))["modularity"]) == "0.0"
    star = Talk("run", people, (utterance("A", 1, "x", ("B", "C", "D")),))
    assert network.whole(network.hearing(star))["centralisation"] == 1
    alone = network.whole(network.hearing(Talk("run", ("A",), ())))
    assert alone == {
        "density": None, "reciprocity": None, "centralisation": None, "components": 1, "modularity": None,
    }  # fmt: skip


def test_a_run_is_measured(talk: Run, pyscrai: Invoke) -> None:
    talk({"Mara": ["Good bread!", "Good bread!"], "Jon": ["That is not good.", "Two coins."]})
    done = pyscrai("measure", "--json")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    values: dict[Any, Any] = {(row["measure"], row["agent"], row["to"]): row["value"] for row in rows}
    assert len(values) == len(rows)
    assert values["words", "", ""] == 2 + 4 + 2 + 2
    assert values["distinct_1", "Mara", ""] == 2 / 4
    assert values["overlap", "", ""] == values["overlap", "Jon", ""] == 1 / 4  # good bread | good two coins
    assert values["repeated", "", ""] == 1 / 4
    assert values["word_share", "Jon", ""] == 6 / 10
    assert values["transitions", "Mara", "Jon"] == 2
    assert values["heard_density", "", ""] == 1
    assert values["sentiment", "Jon", ""] == pytest.approx(-0.74 * 1.9 / 4)
    for name, known in MEASURES.items():
        assert ((name, "", "") in values) == known.whole, name
        assert ((name, "Jon", "") in values) == known.each, name
    shown = pyscrai("measure", "--measure", "words", "--measure", "turn_share").stdout.splitlines()
    assert [line.split() for line in shown[1:]] == [["words", "10", "4", "6"], ["turn_share", "0.5", "0.5"]]


def test_who_takes_part_and_who_hears_it(talk: Run, pyscrai: Invoke) -> None:
    talk(
        {"Mara": ["Hi."], "Jon": ["Hi."], "Voice": ["Fog."]},
        agents={"Mara": {}, "Jon": {"acts": "start"}, "Voice": {"engine": "narrator", "acts": "end"}},
    )
    head = pyscrai("measure").stdout.splitlines()[0].split()
    assert head[2:] == ["all", "Mara", "Jon"]  # the narrator says nothing, and is not scheduled
    head = pyscrai("measure", "--agent", "Voice", "--kind", "narration").stdout.splitlines()
    assert head[0].split()[2:] == ["all", "Voice"]
    assert head[1].split() == ["utterances", "1", "1"]


def test_a_large_group_is_measured_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is common to several measures and agents is computed once: each network twice, for a check."""
    made = []
    build = network._empty
    monkeypatch.setattr(network, "_empty", lambda talk: made.append(talk) or build(talk))
    people = tuple(f"P{number}" for number in range(40))
    said = [utterance(one, step, "x y", people) for step, one in enumerate(people * 5)]
    talk = Talk("run", people, tuple(said))
    for known in MEASURES.values():
        for agent in (None, *people):
            if known.whole if agent is None else known.each:
                known.measure(talk, agent)
    assert len(made) == 2


def test_only_who_hears_it_is_linked(talk: Run, pyscrai: Invoke) -> None:
    talk(
        {"Mara": [{"say": "", "action": {"whisper": {"text": "Psst."}}}], "Jon": ["Hi."], "Ann": ["Hi."]},
        groups={"friends": {"members": ["Mara", "Ann"]}},
        agents={
            "Mara": {"actions": {"whisper": {"audience": ["friends"], "text": {"const": "Psst."}}}},
            "Jon": {"acts": "end"},
            "Ann": {},
        },
    )
    arguments = ("--kind", "whisper", "--measure", "heard_in_degree", "--agent")
    shown = pyscrai("measure", *arguments, "Mara", "--agent", "Jon", "--agent", "Ann").stdout.splitlines()
    assert shown[1].split() == ["heard_in_degree", "0", "0", "1"], shown


def test_runs_are_chosen_by_label(talk: Run, pyscrai: Invoke) -> None:
    runs = [talk({"A": [word], "B": ["No."]}, labels={"arm": word}).run for word in ("Yes.", "Perhaps.")]
    done = pyscrai("measure", *runs, "--measure", "characters", "--format", "csv", "--out", "out.csv")
    assert done.exit_code == 0, done.output
    lines = open("out.csv").read().splitlines()  # noqa: SIM115
    assert lines[0] == "run,measure,agent,to,value,scenario,label.arm"
    assert lines[1] == f"{runs[0]},characters,,,7,talk,Yes."
    rows = json.loads(pyscrai("measure", "--label", "arm=Perhaps.", "--json").stdout)
    assert {row["run"] for row in rows} == {runs[1]}
    shown = pyscrai("measure", *runs, "--measure", "characters").stdout.splitlines()
    assert [line for line in shown if "=" in line] == ["arm=Yes.", "arm=Perhaps."]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "run 'nope': the store"),
        (
            ["--measure", "distnct_2"],
            "--measure: there is no measure 'distnct_2' (did you mean 'distinct_2'?)",
        ),
        (["--agent", "Mira"], "there is no agent 'Mira' (did you mean 'Mara'?)"),
        (["--label", "arm=x"], "/.pyscrai/runs.db has arm=x; list"),
        (["--label", "arm"], "expected NAME=TEXT"),
        (["--out", "."], "--out .: "),
    ],
)
def test_bad_input(arguments: list[str], message: str, talk: Run, pyscrai: Invoke) -> None:
    talk({"Mara": ["Hi."]})
    done = pyscrai("measure", *arguments)
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.stderr.split())


def test_runs_that_cannot_be_measured(talk: Run, pyscrai: Invoke) -> None:
    silent = talk(
        {"Mara": ["Hi."]}, agents={"Mara": {"acts": "start", "engine": "narrator"}}, labels={"a": "b"}
    )
    done = pyscrai("measure", silent.run, "--json")
    assert done.exit_code == 0
    assert "has no event say: there is nothing to measure" in done.stderr
    stopped = talk({"Mara": ["Hi."] * 3}, limits={"calls": 1}, labels={"a": "b"})
    done = pyscrai("measure", stopped.run)
    assert done.exit_code == 2
    assert f"run {stopped.run}: it is stopped, and only completed runs are measured" in done.stderr
    done = pyscrai("measure", "--label", "a=b", "--json")
    assert f"left out: {stopped.run} (stopped)" in done.stderr
    assert {row["run"] for row in json.loads(done.stdout)} <= {silent.run}
