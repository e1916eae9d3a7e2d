"""A document and the places of its parts: what becomes of them when its value is changed."""

from __future__ import annotations

import pytest

from pyscrai_language.document import Document, Mark, Mistakes
from pyscrai_language.misfit import Misfit, Misfits
from pyscrai_language.yaml import loads
from pyscrai_records.errors import ScenarioError

TEXT = """\
agents:
  Mara:
    goals: [sell, win]
groups:
  all: [Mara, Jon]
"""
FLAG = Mark("--set")


@pytest.fixture
def document() -> Document:
    return loads(TEXT, "f.yaml")


def test_the_nearest_part_with_a_mark_gives_the_place(document: Document) -> None:
    assert document.place(("agents", "Mara", "goals", 1)) == "f.yaml:3:19"
    assert document.place(("agents", "Mara", "goals"), on_key=True) == "f.yaml:3:5"
    assert document.place(("agents", "Mara", "goals", 7, "x")) == "f.yaml:3:12"
    assert document.place(("agents", "Mara", "memory"), on_key=True) == "f.yaml:3:5"
    assert document.place(("limits",)) == "f.yaml:1:1"
    assert Document.at({}, Mark("the run's scenario")).place(("x", 0)) == "the run's scenario"


def test_a_value_that_is_put_replaces_the_marks_of_its_parts(document: Document) -> None:
    document.put(("agents", "Mara", "goals"), ["rest"], FLAG)
    assert document.value["agents"]["Mara"] == {"goals": ["rest"]}
    assert document.place(("agents", "Mara", "goals", 0)) == "--set"
    assert not document.has_mark(("agents", "Mara", "goals", 0))
    document.mark_if_new(("agents", "Mara", "goals"), Mark("another"))
    assert document.place(("agents", "Mara", "goals")) == "--set"


def test_marks_of_another_document_are_grafted(document: Document) -> None:
    template = loads("persona: calm\ngoals: [x]\n", "t.yaml")
    document.graft(("agents", "Mara"), template, ["persona"])
    assert document.place(("agents", "Mara", "persona")) == "t.yaml:1:10"
    assert document.place(("agents", "Mara", "goals")) == "f.yaml:3:12"


def test_values_share_marks_until_they_are_separated(document: Document) -> None:
    agents = document.value["agents"]
    agents["Mara-1"] = agents["Mara-2"] = agents["Mara"]
    document.share(("agents", "Mara"), ["Mara-1", "Mara-2"])
    assert document.place(("agents", "Mara-2", "goals", 1)) == "f.yaml:3:19"
    document.separate(("agents", "Mara-1"))
    document.put(("agents", "Mara-1", "goals", 1), "rest", FLAG)
    places = [document.place(("agents", name, "goals", 1)) for name in ("Mara-1", "Mara-2")]
    assert places == ["--set", "f.yaml:3:19"]
    assert [agents[name]["goals"][1] for name in ("Mara-1", "Mara-2")] == ["rest", "win"]


def test_several_values_take_the_place_of_one(document: Document) -> None:
    document.spread(("groups", "all"), [["Mara-1", "Mara-2"], ["Jon"]])
    assert document.value["groups"]["all"] == ["Mara-1", "Mara-2", "Jon"]
    places = [document.place(("groups", "all", index)) for index in range(3)]
    assert places == ["f.yaml:5:9", "f.yaml:5:9", "f.yaml:5:15"]


def test_mistakes_are_sorted_and_told_once(document: Document) -> None:
    mistakes = Mistakes(document)
    with mistakes.at("groups", "all"):
        raise Misfits([Misfit("wrong", (1,)), Misfit("odd", (0,)).under(())])
    with mistakes.at("agents"):
        raise Misfit("late", ("Mara",), on_key=True)
    with mistakes.at("agents"):
        raise ValueError("plain")
    document.put(("seed",), 1, FLAG)
    mistakes.add(("seed",), "from the command line")
    mistakes.add(("groups", "all", 1), "wrong")
    with pytest.raises(ScenarioError) as caught:
        mistakes.check()
    assert str(caught.value).splitlines() == [
        "f.yaml:2:3: agents.Mara: late",
        "f.yaml:2:3: agents: plain",
        "f.yaml:5:9: groups.all[0]: odd",
        "f.yaml:5:15: groups.all[1]: wrong",
        "--set: seed: from the command line",
    ]
