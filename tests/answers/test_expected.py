"""Expected values: means over what the kernel could have drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_core import RunResult, ScenarioError, api


def scenario(provider: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"scenario": "expected", "providers": {"default": {"use": "scripted", **provider}}, **more}


def run(folder: Path, what: dict[str, Any]) -> RunResult:
    return pyscrai_core.run(what, store=folder / "runs.db")


SURVEY = {
    "seed": 7,
    "agents": {
        "R": {
            "count": 20,
            "persona": "p",
            "speak": False,
            "actions": {
                "answer": {
                    "safe": {"type": "boolean"},
                    "level": {"enum": [1, 2, 3]},
                    "way": {"enum": ["bus", "car"]},
                }
            },
        }
    },
    "schedule": {"use": "simultaneous", "rounds": 1},
    "outcomes": {
        "level": {
            "value": "mean([e.payload.level for e in events if 'level' in e.payload])",
            "expected": True,
        },
        "answered": {"value": "len(events)", "expected": True},
    },
    "tables": {
        "t": {
            "rows": "events.answer",
            "columns": {
                "safe": {"value": "event.payload.safe", "expected": True, "kind": "proportion"},
                "bus": {"value": "event.payload.way == 'bus'", "expected": True},
            },
        }
    },
}  # fmt: skip
CHANCES = {
    "true": 0.3, "false": 0.1, "1": 0.1, "2": 0.2, "3": 0.3, "bus": 0.5, "car": 0.2, "answer": 0.6,
    "null": 0.2,
}  # fmt: skip


def test_expected_values_are_those_of_the_probabilities(tmp_path: Path) -> None:
    result = run(tmp_path, scenario({"odds": CHANCES}, **SURVEY))
    assert result.status == "completed", result.error
    assert 0 < len(result.events) < 20
    assert result.outcomes["level"] == pytest.approx((0.1 + 0.4 + 0.9) / 0.6)
    assert result.outcomes["answered"] == pytest.approx(20 * 0.75)
    assert {(round(row["safe"], 6), round(row["bus"], 6)) for row in result.tables["t"]} == {
        (0.75, round(5 / 7, 6))
    }
    assert api.replay(result.run, store=tmp_path / "runs.db").outcomes == result.outcomes


def test_of_draws_of_an_event_that_matter_together_the_last_is_varied(tmp_path: Path) -> None:
    """It holds behind the others as they were drawn; draws whose effects add up are each varied."""
    values = {
        "both": "event.payload.safe and event.payload.way == 'bus'",
        "whole": "event.payload.safe and len([k for k in event.payload if event.payload[k] == 'bus']) == 1",
        "sum": "2 * event.payload.level + (event.payload.way == 'bus')",
        "product": "event.payload.level * (event.payload.way == 'bus')",
    }
    columns = {key: {"value": value, "expected": True} for key, value in values.items()}
    columns |= {"safe": {"value": "event.payload.safe"}, "level": {"value": "event.payload.level"}}
    outcomes = {"both": {"value": f"len([e for e in events if {values['both'].replace('event', 'e')}])",
                         "expected": True}}  # fmt: skip
    tables = {"t": {"rows": "events.answer", "columns": columns}}
    result = run(tmp_path, scenario({"odds": CHANCES}, **{**SURVEY, "tables": tables, "outcomes": outcomes}))
    assert result.status == "completed", result.error
    rows, bus = result.tables["t"], 5 / 7
    assert {row["safe"] for row in rows} == {True, False}
    for row in rows:
        assert row["both"] == row["whole"] == pytest.approx(row["safe"] * bus)
        assert row["sum"] == pytest.approx(2 * (0.1 + 0.4 + 0.9) / 0.6 + bus)
        assert row["product"] == pytest.approx(row["level"] * bus)


def test_expected_values_go_by_the_temperature(tmp_path: Path) -> None:
    result = run(tmp_path, scenario({"odds": CHANCES, "temperature": 0}, **SURVEY))
    assert result.outcomes == {"level": 3, "answered": 20}


def test_a_value_without_a_mean_shows_when_it_is_computed(tmp_path: Path) -> None:
    value = "[e.payload.way for e in events][0]"
    outcomes = {"x": {"value": value, "expected": True}}
    result = run(tmp_path, scenario({"odds": CHANCES}, **{**SURVEY, "tables": {}, "outcomes": outcomes}))
    assert result.status == "failed"
    assert re.search('its value is "(bus|car)", expected a number, true or false', result.error)
    assert "--set outcomes.x=" in result.error
    resumed = api.resume(result.run, store=tmp_path / "runs.db", set={"outcomes.x": value})
    assert resumed.status == "completed"
    assert resumed.asked == 0


def test_a_value_that_no_draw_has_to_do_with_shows_when_it_is_computed(tmp_path: Path) -> None:
    bid = {"bid": {"price": {"type": "integer", "minimum": 1, "maximum": 1_000_000}}}
    agent = {"persona": "p", "speak": False, "must_act": True, "actions": bid}
    what = scenario({"odds": CHANCES, "generate": True}, agents={"R": agent})
    what["outcomes"] = {"x": {"value": "max(e.payload.price for e in events)", "expected": True}}
    result = run(tmp_path, what)
    assert result.status == "failed"
    assert "no event that it could use has a value that the kernel drew" in result.error


@pytest.mark.parametrize(
    ("value", "provider", "what"),
    [
        (
            "event.payload.why",
            {"odds": CHANCES},
            "'why' is a free text, which has no mean, expected",
        ),
        ("event.payload['way']", {"odds": CHANCES}, "'way' is one of several texts, .* compare with one"),
        (
            "event.payload.safe",
            {"generate": True},
            "no provider draws by the kernel, expected one",
        ),
        ("event.payload.safe", {"odds": CHANCES, "draw": "provider"}, "no provider draws by the kernel"),
    ],
)
def test_what_has_no_mean_is_a_mistake_in_the_scenario(
    tmp_path: Path, value: str, provider: dict[str, Any], what: str
) -> None:
    survey = json.loads(json.dumps(SURVEY))
    survey["agents"]["R"]["actions"]["answer"]["why"] = {"type": "string"}
    survey["outcomes"] = {}
    survey["tables"]["t"]["columns"] = {"x": {"value": value, "expected": True}}
    with pytest.raises(ScenarioError) as caught:
        run(tmp_path, scenario(provider, **survey))
    (mistake,) = caught.value.mistakes
    assert mistake.path == "tables.t.columns.x.expected"
    assert re.search(what, mistake.what)
    assert not (tmp_path / "runs.db").exists()


@pytest.mark.parametrize("price", [{"minimum": 1, "maximum": 1_000_000}, {"minimum": 1}, {}])
def test_a_number_that_nobody_draws_is_a_mistake_in_the_scenario(
    tmp_path: Path, price: dict[str, int]
) -> None:
    bid = {"bid": {"price": {"type": "integer", **price}}}
    what = scenario({"odds": CHANCES}, agents={"R": {"persona": "p", "must_act": True, "actions": bid}})
    what["outcomes"] = {"x": {"value": "events[0].payload.price", "expected": True}}
    with pytest.raises(ScenarioError, match="the kernel draws no value of 'price', expected a closed"):
        run(tmp_path, what)
    assert not (tmp_path / "runs.db").exists()


def test_a_measure_is_as_it_is_before_the_first_draw(tmp_path: Path) -> None:
    measures = {"level": {"value": "sum([e.payload.level for e in events])", "expected": True}}
    what = scenario({"odds": CHANCES}, **{**SURVEY, "tables": {}, "outcomes": {}, "measures": measures})
    result = run(tmp_path, what)
    assert result.status == "completed", result.error
    assert [step for step, _ in result.measures["level"]] == [0, 1]
    assert result.measures["level"][0][1] == 0
    assert result.measures["level"][1][1] > 0


def test_arguments_that_nobody_chose_are_not_made_up(tmp_path: Path) -> None:
    survey = json.loads(json.dumps(SURVEY))
    agent = {**survey["agents"]["R"], "must_act": True, "count": 300}
    agent["actions"] = {"answer": {"safe": {"type": "boolean"}}, "wait": {}}
    given = "e.kind == 'answer' and e.payload.safe"
    survey |= {
        "agents": {"R": agent},
        "outcomes": {
            "safe": {"value": f"len([e for e in events if {given}])", "expected": True},
            "answered": {"value": "len([e for e in events if e.kind == 'answer'])", "expected": True},
            "drawn": "len([e for e in events if e.kind == 'answer'])",
        },
    }
    survey["tables"]["t"]["columns"] = {"safe": {"value": "event.payload.safe", "expected": True}}
    result = run(tmp_path, scenario({"odds": {**CHANCES, "wait": 0.2}}, **survey))
    assert result.status == "completed", result.error
    # How many answer is known; whether they are safe, of those alone that were drawn to answer.
    assert result.outcomes["answered"] == pytest.approx(300 * 0.75)
    assert 150 < result.outcomes["drawn"] < 300
    assert result.outcomes["safe"] == pytest.approx(0.75 * result.outcomes["drawn"])
    assert {round(row["safe"], 6) for row in result.tables["t"]} == {0.75}


def test_an_expected_text_is_a_mistake_in_the_scenario(tmp_path: Path) -> None:
    outcomes = {"x": {"value": "events[0].kind", "kind": "text", "expected": True}}
    with pytest.raises(ScenarioError, match="a mean is a number, and the kind is text"):
        run(tmp_path, scenario({"odds": CHANCES}, **{**SURVEY, "outcomes": outcomes}))
