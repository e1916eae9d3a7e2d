"""Manifests: what is stored, and what becomes of it when a run is resumed or forked."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from pyscrai_core.scenario.manifest import Fork, Manifest
from pyscrai_core.scenario.overrides import Override
from pyscrai_records.errors import ConfigError, ScenarioError

PLUGINS = [{"name": "cast", "distribution": "pyscrai-cast", "version": "1"}]
SCENARIO = {
    "scenario": "talk",
    "seed": 7,
    "providers": {"default": "scripted"},
    "agents": {"A": {}},
    "outcomes": {"last.price": "state.price"},
}


def manifest(**more: Any) -> Manifest:
    given = {"scenario": SCENARIO, "folder": "/s", "files": {"a": "1", "b": "2"}, "plugins": PLUGINS}
    return Manifest(**{**given, "extensions": [], "prompts": {}, "kernel": "1", **more})


def forked(after: int, **more: Any) -> Fork:
    return Fork("p", after, at=9, **more)


def test_it_is_stored_with_these_keys_in_this_order() -> None:
    whole = manifest(
        reuse="all",
        forks=(
            forked(2, set={"seed": "8"}, seed=8, scenario={**SCENARIO, "seed": 8}, files={"b": "3"}),
            forked(3, accepted="it differs"),
        ),
        changes={"limits.calls": 3},
        resumes=({"kernel": "2", "plugins": []},),
    )
    stored = whole.to_dict()
    assert list(stored) == [
        *("format", "kernel", "estimator", "scenario", "folder", "files", "plugins", "extensions"),
        *("prompts", "modules", "reuse", "forks", "changes", "resumes"),
    ]
    assert [list(fork) for fork in stored["forks"]] == [
        ["parent", "after", "at", "set", "seed", "scenario", "files"],
        ["parent", "after", "at", "accepted", "scenario"],
    ]
    assert Manifest.from_dict(stored) == whole
    assert not {"reuse", "forks", "changes", "resumes"} & manifest().to_dict().keys()
    assert whole.last_scenario["seed"] == 8
    assert whole.known_files == {"a": "1", "b": "3"}
    assert (whole.last_plugins, manifest().last_plugins) == ([], PLUGINS)


def test_changes_are_in_each_scenario_of_what_is_settled() -> None:
    whole = manifest(forks=(forked(2, scenario={**SCENARIO, "limits": {"calls": 1}}),))
    changes = {"limits.calls": 5, "outcomes.last.price": "1", "providers.default.retry.tries": 2}
    settled = whole.settled(changes)
    for scenario in (settled.scenario, settled.last_scenario):
        assert scenario["limits"] == {"calls": 5}
        assert scenario["outcomes"] == {"last.price": "1"}
        assert scenario["providers"] == {"default": {"use": "scripted", "retry": {"tries": 2}}}
    assert "limits" not in whole.scenario
    assert settled.without_limits().last_scenario["limits"] == {}
    assert settled.last_scenario["limits"] == {"calls": 5}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("seed", "a resume cannot change that; expected limits.NAME"),
        ("agents.A.persona", "a resume cannot change that"),
        (
            "providers.default.model",
            "providers.NAME.KEY with one of concurrency, draw, fallback, max_answer_",
        ),
        ("providers.other.timeout", "there is no provider 'other'; the run's: default"),
        ("agents.B.limits.calls", "there is no agent 'B'; the run's: A"),
        ("outcomes.price", "there is no outcome 'price'"),
    ],
)
def test_what_a_resume_cannot_change(path: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        manifest().settled({path: 1})
    assert str(caught.value).startswith(f"--set {path}: ")
    assert said in str(caught.value)


def test_a_resume_notes_its_changes_and_other_versions() -> None:
    old, new = manifest(), manifest(kernel="2")
    assert old.resumed({}, old) == old
    once = old.resumed({"limits.calls": 3}, new)
    assert once.changes == {"limits.calls": 3}
    assert once.resumes == ({"kernel": "2", "plugins": PLUGINS},)
    assert once.resumed(once.changes, new) == once
    assert len(once.resumed({}, old).resumes) == 2


def test_a_fork_goes_on_with_the_versions_of_its_plan() -> None:
    parent = manifest(resumes=({"kernel": "2", "plugins": []},))
    same = parent.forked(forked(1), None, "none")
    assert same == evolve(parent, forks=(forked(1),), reuse="none", resumes=())
    other = parent.forked(forked(1, scenario=SCENARIO), manifest(kernel="3", prompts={"p": "x"}), "parent")
    assert (other.kernel, other.prompts, other.folder) == ("3", {"p": "x"}, "/s")


def test_values_from_python_are_taken_as_they_are() -> None:
    assert Override.of("a.b", "3").value == "3"
    assert Override.parse("a.b", "3").value == 3
    assert Override.of("a.b", ("x", 1)) == Override.parse("a.b", '["x",1]')
    assert Override.of("a[0].b", None).keys == ("a", "0", "b")
    for wrong in ({1, 2}, float("nan"), [float("inf")], 2**53, "\ud800", {"x": b"y"}, {1: "x"}):
        with pytest.raises(ScenarioError, match=r"--set: a\.b.*: .*give plain data, as JSON is"):
            Override.of("a.b", wrong)
