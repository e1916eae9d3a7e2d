"""What the server gives of runs: summaries, events, calls, the state, usage, comparisons."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_dashboard.experiments import _trials as trials_of
from pyscrai_dashboard.summaries import rows_of
from pyscrai_records.store.store import Store


@pytest.fixture
def server(reading: Any) -> Any:
    return reading


@pytest.fixture
def folder(kept: Path) -> Path:
    return kept


@pytest.fixture
def talk(reading: Any) -> str:
    return str(reading.get("/runs")["runs"][0]["id"])


def test_a_summary_says_what_a_run_came_to(server: Any, talk: str) -> None:
    (run,) = server.get("/runs")["runs"]
    assert run["id"] == talk
    assert (run["scenario"], run["seed"], run["status"], run["steps"]) == ("talk", 3, "completed", 6)
    assert run["events"] == sum(run["kinds"].values())
    assert run["kinds"]["lower"] == 3
    assert run["calls"] == 6
    assert run["usage"]["input"] > 100
    assert run["usage"]["output"] > 10
    assert run["labels"] == {"study": "pilot"}
    assert run["counted"]
    assert run["progress"] == 1
    assert run["limits"] == {"steps": 50}
    assert run["draws"] == {"default": "provider"}
    assert run["live"] is False
    assert run["ended"] > run["created"] > time.time() - 600


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("status=completed", 1), ("status=failed", 0), ("scenario=talk", 1), ("scenario=tal", 0),
        ("label=study=pilot", 1), ("label=study=other", 0), ("search=alk", 1), ("search=pil", 1),
        ("search=%25", 0), ("search=zzz", 0), ("status=interrupted", 0),
    ],
)  # fmt: skip
def test_runs_are_filtered(server: Any, talk: str, query: str, count: int) -> None:
    found = server.get(f"/runs?{query}")
    assert (len(found["runs"]), found["total"]) == (count, count)


def test_a_run_in_detail(server: Any, talk: str, folder: Path) -> None:
    run = server.get(f"/runs/{talk}")
    assert run["premise"] == "A market."
    assert [(agent["name"], agent["groups"], agent["human"]) for agent in run["agents"]] == [
        ("Mara", ["sellers"], False), ("Jon", [], False),
    ]  # fmt: skip
    assert run["groups"] == {"sellers": ["Mara"]}
    with Store.open(folder / ".pyscrai/runs.db", create=False) as store:
        stored = store.run(talk)
        assert run["outcomes"] == stored.outcomes
        assert run["measures"]["price"] == {
            "unit": "coins", "kind": "", "series": [list(one) for one in stored.measures["price"]],
        }  # fmt: skip
    assert run["versions"]["pyscrai-scripted"] == "0.1.0"
    assert run["forks"] == []


def test_events_are_those_of_the_log(server: Any, talk: str, folder: Path) -> None:
    with Store.open(folder / ".pyscrai/runs.db", create=False) as store:
        log = [event.to_dict() for event in store.run(talk).events()]
    index = server.get(f"/runs/{talk}/index")
    assert [
        {"seq": seq, "step": step, "kind": index["kinds"][kind], "source": index["sources"][source]}
        for seq, step, kind, source in index["rows"]
    ] == [{key: event[key] for key in ("seq", "step", "kind", "source")} for event in log]
    events = server.get(f"/runs/{talk}/events")["events"]
    assert all(event.pop("truncated") is False for event in events)
    assert events == json.loads(json.dumps(log))
    assert [event["seq"] for event in server.get(f"/runs/{talk}/events?from=2&to=4")["events"]] == [2, 3, 4]
    assert [event["seq"] for event in server.get(f"/runs/{talk}/events?seqs=5,1,99")["events"]] == [1, 5]
    rest = server.get(f"/runs/{talk}/index?after=3&limit=2")
    assert [row[0] for row in rest["rows"]] == [4, 5]
    assert rest["next"] == 5


@pytest.mark.parametrize(
    ("text", "found"),
    [("APPLES", True), ("jörg", True), ("JÖRG", True), ('too "DEAR"', True), ("100%", False)],
)
def test_events_are_searched(server: Any, talk: str, text: str, found: bool) -> None:
    seqs = server.get(f"/runs/{talk}/search", params={"q": text})["seqs"]
    events = server.get(f"/runs/{talk}/events")["events"]
    wanted = [one["seq"] for one in events if text.lower() in one["payload"].get("text", "").lower()]
    assert seqs == wanted
    assert bool(seqs) is found


def test_the_prompt_and_the_answer_behind_an_event(server: Any, talk: str, folder: Path) -> None:
    events = server.get(f"/runs/{talk}/events")["events"]
    event = next(one for one in events if one["kind"] == "lower" and one["step"] == 3)
    (call,) = server.get(f"/runs/{talk}/events/{event['seq']}/calls")["calls"]
    assert (call["agent"], call["step"], call["kind"], call["status"]) == ("Mara", 3, "complete", "answered")
    whole = server.get(f"/runs/{talk}/calls/{call['number']}")
    with Store.open(folder / ".pyscrai/runs.db", create=False) as store:
        sent = [message.to_dict() for message in store.run(talk).messages(call["number"])]
    assert [{key: one[key] for key in ("role", "parts")} for one in whole["messages"]] == sent
    assert "You sell apples." in whole["messages"][0]["parts"][0]["text"]
    assert json.loads(whole["raw"]["text"])["action"]["lower"]["by"] == event["payload"]["by"]
    assert whole["sampling"] == {"temperature": None, "top_p": None, "max_tokens": None, "stop": []}


def test_calls_are_listed_newest_first_and_filtered(server: Any, talk: str) -> None:
    calls = server.get(f"/runs/{talk}/calls?limit=4")
    assert [call["number"] for call in calls["calls"]] == [6, 5, 4, 3]
    assert [call["number"] for call in server.get(f"/runs/{talk}/calls?before={calls['next']}")["calls"]] == [
        2,
        1,
    ]
    mara = server.get(f"/runs/{talk}/calls?agent=Mara&status=answered&provider=default")["calls"]
    assert {call["agent"] for call in mara} == {"Mara"}
    assert len(mara) == 3
    assert server.get(f"/runs/{talk}/calls?step=2")["calls"][0]["step"] == 2


def test_the_state_at_each_step_is_that_of_the_run(server: Any, talk: str) -> None:
    run = server.get(f"/runs/{talk}")
    series = dict(map(tuple, run["measures"]["price"]["series"]))
    for step in range(7):
        state = server.get(f"/runs/{talk}/state?step={step}")
        assert state["state"]["price"] == series[step]
        assert state["step"] == step
        assert state["last"] == 6
    changed = server.get(f"/runs/{talk}/state?step=3")["changes"]
    lower = next(
        one
        for one in server.get(f"/runs/{talk}/events")["events"]
        if one["step"] == 3 and one["kind"] == "lower"
    )
    assert changed == [
        {"path": "price", "before": series[2], "after": series[3], "seq": lower["seq"]},
        {"path": "groups.sellers.stock", "before": 4, "after": 3, "seq": lower["seq"]},
    ]


def test_an_agent_sees_its_own_state_and_that_of_its_groups(server: Any, talk: str) -> None:
    jon = server.get(f"/runs/{talk}/state?step=3&agent=Jon")
    assert jon["groups"] == {}
    assert jon["agents"] == {"Jon": {}}
    assert {change["path"] for change in jon["changes"]} == {"price"}
    mara = server.get(f"/runs/{talk}/state?step=3&agent=Mara")
    assert mara["agents"] == {"Mara": {"mood": "good"}}
    assert mara["groups"] == {"sellers": {"stock": 3}}
    assert "there are" not in server.get(f"/runs/{talk}/state?step=3&agent=Mia", 404)["error"]


def test_usage_by_step_agent_and_provider(server: Any, talk: str) -> None:
    usage = server.get(f"/runs/{talk}/usage")
    assert usage["steps"] == [1, 2, 3, 4, 5, 6]
    assert usage["agents"]["Mara"]["calls"] == [1, None, 1, None, 1, None]
    total = sum(sum(filter(None, one["input"])) for one in usage["agents"].values())
    assert total == server.get(f"/runs/{talk}")["usage"]["input"]
    assert usage["providers"]["default"][0]["calls"] == 6
    assert usage["width"] == 1
    assert usage["sums"]["Mara"]["input"] == sum(filter(None, usage["agents"]["Mara"]["input"]))


def test_the_graph_says_who_answered_whom(server: Any, talk: str) -> None:
    graph = server.get(f"/runs/{talk}/graph")
    assert {(one["name"], one["group"]) for one in graph["nodes"]} == {("Mara", "sellers"), ("Jon", "")}
    edges = {(one["from"], one["to"]): one["weight"] for one in graph["edges"]}
    events = server.get(f"/runs/{talk}/events")["events"]
    answered = [one for one in events if one["source"] == "Jon" and one["cause"]]
    assert edges["Jon", "Mara"] == len(answered) > 0


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/runs/nothere", "no such run"), ("/runs/nothere/index", "no such run"),
        ("/runs/nothere/events", "no such run"), ("/runs/nothere/calls", "no such run"),
        ("/runs/nothere/stream", "no such run"), ("/runs/nothere/state", "no such run"),
        ("/runs/nothere/usage", "no such run"), ("/runs/nothere/graph", "no such run"),
        ("/runs/nothere/search?q=a", "no such run"), ("/runs/{run}/events/999", "no such event"),
        ("/runs/{run}/calls/999", "no such call"), ("/compare?left={run}&right=x", "no such run"),
        ("/experiments/none", "no run with the label"), ("/panels/none?run=x", "there is no such panel"),
        ("/nothing", "Not Found"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told(server: Any, talk: str, path: str, part: str) -> None:
    assert part in server.get(path.format(run=talk), 404)["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/runs?limit=x", "/runs?limit=-1", "/runs?before=x", "/runs?label=x", "/runs/{run}/index?after=1e9",
        "/runs/{run}/events?seqs=1,x", "/runs/{run}/search", "/runs/{run}/state?step=99999999999999999999",
        "/runs/{run}/calls?step=one", "/panels/none",
    ],
)  # fmt: skip
def test_bad_queries_are_refused_with_what_was_expected(server: Any, talk: str, path: str) -> None:
    error = server.get(path.format(run=talk), 400)["error"]
    assert "expected" in error or "give" in error or "take" in error


def test_measures_come_with_their_units(server: Any, talk: str) -> None:
    measures = server.get(f"/runs/{talk}/measures")
    assert measures == server.get(f"/runs/{talk}")["measures"]
    assert [one[0] for one in measures["price"]["series"]] == [0, 1, 2, 3, 4, 5, 6]


def test_a_run_that_ends_while_it_is_looked_at_was_not_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = {"scenario": "s", "agents": {"A": {}}, "schedule": {"use": "round-robin", "rounds": 1}}
    provider = {"providers": {"default": {"use": "scripted", "replies": ["Hm."]}}}
    run = pyscrai_core.run(
        {**scenario, **provider}, store=tmp_path / "runs.db", labels={"experiment": "e"}
    ).run
    with Store.open(tmp_path / "runs.db") as store, sqlite3.connect(tmp_path / "runs.db") as other:

        def held(key: str) -> bool:
            """Its process ends after its row was read, and before its lock is looked at."""
            other.execute("UPDATE runs SET status = 'completed' WHERE id = ?", (run,))
            other.commit()
            return False

        def statuses() -> list[str]:
            other.execute("UPDATE runs SET status = 'running'")
            other.commit()
            (row,) = rows_of(store, [run])
            other.execute("UPDATE runs SET status = 'running'")
            other.commit()
            (trial,) = trials_of(store, "e")
            return [row["status"], trial[4]]

        assert statuses() == ["interrupted", "interrupted"]
        monkeypatch.setattr(store.locks, "held", held)
        assert statuses() == ["completed", "completed"]
