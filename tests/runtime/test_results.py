"""Outcomes, measures and tables: what a run comes to, the same in each execution of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyscrai_core import RunResult, ScenarioError, api
from pyscrai_records.store.store import Store

SURVEY: dict[str, Any] = {
    "providers": {"default": {"use": "scripted", "choice": ["One.", "Two.", "Three words here."]}},
    "world": {"state": {"said": 0, "mood": "low"}},
    "agents": {
        "Pop": {
            "count": 3,
            "vary": {"age": [20, 30], "job": ["cook", "nurse"]},
            "persona": "You are a {{ job }}.",
            "state": {"purse": 3},
        }
    },
    "rules": [
        {"on": "say", "set": {"said": "state.said + 1", "mood": "'high' if state.said > 2 else 'low'"}}
    ],
    "schedule": {"use": "round-robin", "rounds": 2},
    "outcomes": {
        "said": {"value": "state.said", "kind": "number", "unit": "texts"},
        "mood": {"value": "state.mood", "kind": "ordered", "levels": ["low", "middle", "high"]},
        "none": {"value": "null", "kind": "number"},
    },
    "measures": {
        "said": "state.said",
        "share": {"value": "state.said / 6", "kind": "proportion", "every": 3},
    },
    "tables": {
        "people": {
            "rows": "agents",
            "columns": {"name": "name", "age": "variables.age", "purse": "self.purse"},
        },
        "talk": {
            "rows": "events.say",
            "when": "event.source != 'Pop-2'",
            "columns": {"who": "event.source", "text": "event.payload.text", "job": "variables.job"},
        },
        "steps": {"rows": "steps", "when": "step > 4", "columns": {"step": "step", "said": "state.said"}},
        "groups": {"rows": "groups", "columns": {"name": "name"}},
        "all": {"rows": "events", "columns": {"seq": "event.seq"}},
    },
}


def test_measures_and_tables(play: Any) -> None:
    result: RunResult = play(SURVEY)
    assert result.outcomes == {"said": 6, "mood": "high", "none": None}
    assert result.measures == {
        "said": [[step, step] for step in range(7)],
        "share": [[0, 0], [3, 0.5], [6, 1]],
    }
    tables = result.tables
    assert [row["name"] for row in tables["people"]] == ["Pop-1", "Pop-2", "Pop-3"]
    assert {row["age"] for row in tables["people"]} <= {20, 30}
    assert {row["purse"] for row in tables["people"]} == {3}
    said = [(event.source, event.payload["text"]) for event in result.events if event.source != "Pop-2"]
    assert [(row["who"], row["text"]) for row in tables["talk"]] == said
    assert {row["job"] for row in tables["talk"]} <= {"cook", "nurse"}
    assert tables["steps"] == [{"step": 5, "said": 5}, {"step": 6, "said": 6}]
    assert (tables["groups"], len(tables["all"])) == ([{"name": "Pop"}], 6)


def test_names_may_have_slashes_where_no_file_is_named_after_them(play: Any) -> None:
    result: RunResult = play({**SURVEY, "outcomes": {"a/b": "1"}, "measures": {"said/step": "2"}})
    assert result.outcomes == {"a/b": 1}
    assert set(result.measures) == {"said/step"}


def test_a_resumed_run_and_a_fork_have_what_the_whole_run_has(play: Any, tmp_path: Path) -> None:
    whole = play(SURVEY, seed=3, store=tmp_path / "whole.db")
    short = play({**SURVEY, "limits": {"calls": 4}}, seed=3, store=tmp_path / "runs.db")
    assert (short.status, short.measures, short.tables) == ("stopped", {}, {})
    resumed = api.resume(store=tmp_path / "runs.db", set={"limits.calls": 50})
    assert (resumed.measures, resumed.tables) == (whole.measures, whole.tables)
    with Store.open(tmp_path / "runs.db") as store:
        stored = store.run(resumed.run)
        assert (stored.outcomes, stored.measures) == (whole.outcomes, whole.measures)
        assert stored.tables == whole.tables
    forked = api.fork(store=tmp_path / "runs.db", at=3, set={"measures.double": "state.said * 2"})
    assert forked.measures["said"] == whole.measures["said"]
    assert forked.measures["double"] == [[step, 2 * step] for step in range(4, 7)]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"outcomes": {"n": 3}}, "outcomes.n: expected an expression, as text, or a mapping"),
        ({"outcomes": {"n": {"value": "len(events)", "kind": "nomber"}}}, "outcomes.n.kind: expected one of"),
        ({"outcomes": {"n": {"value": "len(events)", "every": 2}}}, "only a measure has `every`"),
        ({"outcomes": {"measures.n": "1"}}, "its name begins as those of measures"),
        ({"outcomes": {"n": {"value": "1", "levels": [1, 2]}}}, "they belong to `kind: ordered`"),
        ({"outcomes": {"n": {"value": "1", "kind": "ordered", "levels": [1, 1]}}}, "two or more different"),
        ({"measures": {"n": "state.sad"}}, "measures.n: 'state.sad': 'state' has no"),
        ({"measures": {"n": {"value": "1", "every": 0}}}, "more than 0"),
        ({"tables": {"t": {"rows": "agent", "columns": {}}}}, "expected agents, groups, steps, events or"),
        (
            {"tables": {"t": {"rows": "events.sya", "columns": {}}}},
            "no kind of events 'sya' (did you mean 'say'",
        ),
        ({"tables": {"t": {"rows": "steps", "columns": {"a": "self.purse"}}}}, "self"),
        ({"tables": {"t": {"rows": "agents", "columns": {"a": "self.pruse"}}}}, "'pruse'"),
        ({"tables": {"t": {"rows": "agents", "columns": {"a": "variables.aeg"}}}}, "'aeg'"),
        ({"tables": {"t": {"rows": "events.say", "columns": {"a": "event.payload.txt"}}}}, "'txt'"),
        ({"tables": {"../t": {"rows": "agents", "columns": {"a": "name"}}}}, "not a valid name for a table"),
        ({"tables": {"t": {"columns": {"a": "name"}}}}, "the key 'rows' is missing"),
    ],
)
def test_mistakes_are_found_before_the_run(part: dict[str, Any], said: str, play: Any) -> None:
    with pytest.raises(ScenarioError) as caught:
        play({**SURVEY, **part})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (
            "outcomes.n",
            {"value": "[state.mood, 1][0]", "kind": "number"},
            "its kind is number: expected a number",
        ),
        ("outcomes.n", {"value": "state.said", "kind": "proportion"}, "a number from 0 to 1"),
        ("outcomes.n", {"value": "[state.said > 1, 1][0]", "kind": "number"}, "expected a number, got true"),
        (
            "outcomes.n",
            {"value": "[[1], 1][0]", "kind": "category"},
            "expected text, an integer, true or false",
        ),
        ("outcomes.n", {"value": "'lo'", "kind": "ordered", "levels": ["lo", "hi"]}, ""),
        (
            "outcomes.n",
            {"value": "['mid', 'lo'][0]", "kind": "ordered", "levels": ["lo", "hi"]},
            "one of lo, hi",
        ),
        ("measures.n", {"value": "1 / (state.said - 2)", "kind": "number"}, "measures.n: "),
    ],
)
def test_a_value_of_another_kind_ends_the_run(
    place: str, value: Any, said: str, play: Any, tmp_path: Path
) -> None:
    part, name = place.split(".")
    result = play({**SURVEY, part: {name: value}})
    assert result.status == ("failed" if said else "completed")
    if said:
        assert said in result.error
        assert f"pyscrai resume RUN --set {place}=" in result.error
        again = api.resume(result.run, set={place: "1"}, store=tmp_path / "runs.db")
        assert again.status == "completed"
