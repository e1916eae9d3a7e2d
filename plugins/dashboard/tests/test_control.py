"""Starting runs and reaching into them: those of this dashboard, and those of other processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyscrai_records.store.store import Store

#: A tool, as a Python function.
TOOL = '''def shout(text: str) -> str:
    """Shout."""
    return text.upper()
'''


def ended(server: Any, until: Any, run: str) -> dict[str, Any]:
    found: dict[str, Any] = until(
        lambda: (one := server.get(f"/runs/{run}"))["status"] not in ("running", "paused") and one, "end", 60
    )
    return found


def test_a_scenario_is_started_with_overrides(server: Any, until: Any, folder: Path) -> None:
    run = server.post(
        "/start", 201, file="talk.yaml", overrides={"world.state.price": 30}, set={"schedule.rounds": "1"},
        seed=9, labels={"arm": "dear"},
    )["run"]  # fmt: skip
    found = ended(server, until, run)
    assert (found["status"], found["seed"], found["labels"]) == ("completed", 9, {"arm": "dear"})
    assert found["outcomes"] == {"price": 29}
    assert found["steps"] == 2


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        ({"file": "talk.yaml", "overrides": {"agents.Mia.persona": "x"}}, 400, "there is no agent 'Mia'"),
        ({"file": "talk.yaml", "set": {"limits.calls": "many"}}, 400, "limits.calls"),
        ({"file": "talk.yaml", "overrides": [1]}, 400, "overrides: expected an object"),
        ({"file": "talk.yaml", "seed": "x"}, 400, "seed: expected a whole number"),
        ({"file": "talk.yaml", "labels": {"a b": "x"}}, 400, "label"),
        ({"file": "none.yaml"}, 404, "there is no such file"),
        ({"file": "../../../etc/passwd"}, 403, "it is not below"),
        ({"file": "/etc/passwd"}, 403, "it is not below"),
        ({"file": "a\x00b"}, 404, "there is no such file"),
        ({}, 404, "there is no such file"),
        ({"file": "talk.yaml", "files": 1}, 400, "the key 'files' is not known"),
        ({"file": 1}, 400, "file: expected the path of a scenario"),
    ],
)  # fmt: skip
def test_what_cannot_be_started_is_told(
    reading: Any, body: dict[str, Any], status: int, part: str, until: Any
) -> None:
    before = reading.get("/runs")["total"]
    assert part in reading.post("/start", status, **body)["error"]
    assert reading.get("/runs")["total"] == before


def test_a_scenario_with_code_runs_only_after_approval(server: Any, until: Any, folder: Path) -> None:
    (folder / "own.py").write_text(f"open('was-here', 'w').write('x')\n{TOOL}")
    text = (folder / "talk.yaml").read_text()
    (folder / "talk.yaml").write_text(
        text.replace("persona: You buy", 'tools: ["./own.py:shout"], persona: You buy')
    )
    refused = server.post("/start", 409, file="talk.yaml")
    assert any("own.py" in one for one in refused["demands"])
    assert "approval" in refused["error"]
    assert server.post("/start", 409, file="talk.yaml", approve="0" * 64)["demands"] == refused["demands"]
    assert not (folder / "was-here").exists()
    assert server.get("/runs")["total"] == 0
    # An approval is for what was shown: not for code that was changed since.
    (folder / "own.py").write_text(TOOL)
    changed = server.post("/start", 409, file="talk.yaml", approve=refused["content"])
    assert changed["content"] != refused["content"]
    run = server.post("/start", 201, file="talk.yaml", approve=changed["content"])["run"]
    assert ended(server, until, run)["status"] == "completed"
    assert server.post("/start", 201, file="talk.yaml")["run"] != run  # it is remembered


def test_a_person_answers_in_the_page(server: Any, until: Any, follow: Any) -> None:
    overview = follow(server, "/stream")
    run = server.post("/start", 201, file="person.yaml")["run"]
    (question,) = until(lambda: server.get(f"/runs/{run}")["waiting"], "question")
    assert (question["agent"], question["question"]) == ("Ann", "1")
    assert "You are a guest." in question["prompt"]
    assert server.get("/runs")["runs"][0]["waiting"] == [question]
    until(
        lambda: any(one["waiting"] for data in overview.named("runs") for one in data["changed"]), "question"
    )
    for wrong in ("7", 2):
        assert "does not ask it" in server.post(f"/runs/{run}/answer", 409, question=wrong, text="x")["error"]
    for body in ({"question": "1"}, {"question": "x", "text": "x"}, {"question": "1", "text": 5}):
        server.post(f"/runs/{run}/answer", 400, **body)
    server.post(f"/runs/{run}/answer", question=question["question"], text="Good evening, Jörg.")
    found = ended(server, until, run)
    assert found["status"] == "completed"
    assert found["waiting"] is None
    events = server.get(f"/runs/{run}/events")["events"]
    assert [one["payload"]["text"] for one in events] == ["Good evening, Jörg.", "Hello."]
    (asked,) = server.get(f"/runs/{run}/calls?kind=ask")["calls"]
    assert asked["answer"] == "Good evening, Jörg."


def test_a_dashboard_that_ends_leaves_a_run_that_can_be_resumed(
    serve: Any, until: Any, pyscrai: Callable[..., Any], folder: Path
) -> None:
    server = serve()
    asking = server.post("/start", 201, file="person.yaml")["run"]
    until(lambda: server.get(f"/runs/{asking}")["waiting"], "question")
    going = server.post("/start", 201, file="long.yaml")["run"]
    until(lambda: server.get(f"/runs/{going}")["events"] > 5, "events")
    server.stop()
    assert any(f"run {going} goes on in process" in line for line in server.lines)
    with Store.open(folder / ".pyscrai/runs.db", create=False) as store:
        until(lambda: store.run(asking).status == "failed", "end")
        assert "the dashboard that asked the person has ended" in store.run(asking).error
        owner = store.run(going).owner
        count = store.run(going).count_events()
        assert owner is not None
        until(lambda: store.run(going).count_events() > count, "further events")
        # Another dashboard continues what asks, and stops what goes on.
        other = serve()
        assert other.post(f"/runs/{asking}/continue")["run"] == asking
        (question,) = until(lambda: other.get(f"/runs/{asking}")["waiting"], "question")
        other.post(f"/runs/{asking}/answer", question=question["question"], text="Hello?")
        assert ended(other, until, asking)["status"] == "completed"
        assert str(owner.pid) in other.post(f"/runs/{going}/stop")["told"]
        assert ended(other, until, going)["status"] == "interrupted"


def test_a_run_of_another_process_is_paused_changed_and_stopped(
    server: Any, execute: Any, until: Any, live: Any
) -> None:
    process = execute("long.yaml")
    run = live(server)["id"]
    server.post(f"/runs/{run}/pause")
    until(lambda: server.get(f"/runs/{run}")["status"] == "paused", "pause")
    server.post(f"/runs/{run}/inject", kind="news", payload={"text": "A storm."}, source="Eva")
    assert server.get(f"/runs/{run}")["pending"] == [
        {"kind": "news", "payload": {"text": "A storm."}, "audience": ["*"], "author": "Eva"}
    ]
    assert server.post(f"/runs/{run}/continue")["run"] == run
    until(lambda: server.get(f"/runs/{run}/search?q=A%20storm")["seqs"], "event")
    assert "not paused" in server.post(f"/runs/{run}/continue", 400)["error"]
    server.post(f"/runs/{run}/stop")
    assert process.wait(20) == 130
    found = ended(server, until, run)
    assert found["status"] == "interrupted"
    assert "no process executes it" in server.post(f"/runs/{run}/stop", 409)["error"]
    assert "no process executes it" in server.post(f"/runs/{run}/pause", 400)["error"]


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({}, "kind: it is missing"), ({"kind": "say", "payload": {"word": 1}}, "payload"),
        ({"kind": "say", "payload": {"text": "x"}, "audience": ["Mia"]}, "audience 'Mia' does not exist"),
        ({"kind": "change", "payload": {"path": "none", "op": "set", "value": 1}}, "the state has no 'none'"),
        ({"kind": "say", "payload": 5}, "object"),
        ({"kind": "say", "audience": [1]}, "audience: expected names"),
        ({"kind": "say", "payload": {"text": "x"}}, "it is completed"),
    ],
)  # fmt: skip
def test_an_event_that_cannot_be_added_is_told(reading: Any, body: dict[str, Any], part: str) -> None:
    run = reading.get("/runs?scenario=talk")["runs"][-1]["id"]
    error = reading.post(f"/runs/{run}/inject", 400, **body)["error"]
    assert part in error or "it is completed" in error


def test_a_run_is_forked_from_an_event(server: Any, until: Any, talk: str) -> None:
    fork = server.post(f"/runs/{talk}/fork", 201, at=3, overrides={"world.state.price": 50}, seed=4)["run"]
    found = ended(server, until, fork)
    assert (found["status"], found["parent"], found["outcomes"]) == ("completed", talk, {"price": 47})
    assert "it has no event 99" in server.post(f"/runs/{talk}/fork", 400, at=99)["error"]
    assert "at: it is missing" in server.post(f"/runs/{talk}/fork", 400)["error"]
    assert (
        "there is no agent"
        in server.post(f"/runs/{talk}/fork", 400, at=3, set={"agents.X.persona": "x"})["error"]
    )
    assert "no such run" in server.post("/runs/none/fork", 404, at=3)["error"]


def test_an_interrupted_run_continues_here(server: Any, execute: Any, until: Any, live: Any) -> None:
    process = execute("long.yaml", "--set", "schedule.rounds=100")
    run = live(server)["id"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: server.get(f"/runs/{run}")["status"] == "interrupted", "interruption")
    assert server.post(f"/runs/{run}/continue")["run"] == run
    until(lambda: server.get(f"/runs/{run}")["live"], "continuation")
    assert server.get("/info")["own"].keys() == {run}
    server.post(f"/runs/{run}/stop")
    assert ended(server, until, run)["status"] == "interrupted"
    server.post(f"/runs/{run}/continue")
    assert ended(server, until, run)["status"] == "completed"
    assert "it is completed" in server.post(f"/runs/{run}/continue", 409)["error"]


def test_several_runs_of_one_process_are_not_stopped_together(server: Any, folder: Path) -> None:
    with Store.open(folder / ".pyscrai/runs.db") as store:
        runs = [
            store.create_run("made", 0, {"scenario": {"scenario": "made", "agents": {}}}) for _ in range(2)
        ]
        assert "executes 2 runs" in server.post(f"/runs/{runs[0]}/stop", 409)["error"]
        os.kill(os.getpid(), 0)
        for run in runs:
            store.release(run)


def test_a_read_only_dashboard_changes_nothing(serve: Any, talk: str) -> None:
    server = serve("--read-only")
    assert server.get("/info")["can_start"] is False
    assert server.get("/runs")["total"] == 1
    for path in ("/start", f"/runs/{talk}/pause", f"/runs/{talk}/fork", f"/runs/{talk}/stop"):
        assert "read-only" in server.post(path, 403)["error"]
