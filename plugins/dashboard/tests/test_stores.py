"""What the server gives of stores that change, or are out of the ordinary."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_without_a_store_there_are_no_runs(server: Any, folder: Path) -> None:
    assert server.get("/runs") == {"runs": [], "total": 0, "next": None}
    assert server.get("/experiments") == []
    assert "it does not exist" in server.get("/runs/abc", 404)["error"]
    info = server.get("/info")
    assert info["scenarios"] == ["long.yaml", "person.yaml", "talk.yaml"]
    assert info["can_start"]
    assert not (folder / ".pyscrai").exists()


def test_runs_come_in_pages_without_gaps(server: Any, talk: str, pyscrai: Callable[..., Any]) -> None:
    for seed in range(4):
        assert pyscrai("run", "talk.yaml", "-q", "--seed", str(seed)).returncode == 0
    seen, cursor = [], ""
    while cursor is not None:
        page = server.get("/runs", params={"limit": 2, "before": cursor})
        assert page["total"] == 5
        seen += [run["id"] for run in page["runs"]]
        cursor = page["next"]
    assert len(seen) == len(set(seen)) == 5
    assert seen == [run["id"] for run in server.get("/runs")["runs"]]
    assert seen[-1] == talk


def test_private_events_are_not_seen_by_others(
    server: Any, folder: Path, pyscrai: Callable[..., Any]
) -> None:
    text = (folder / "talk.yaml").read_text()
    (folder / "talk.yaml").write_text(
        text.replace("lower: {description", "lower: {audience: [sellers], description")
    )
    assert pyscrai("run", "talk.yaml", "-q").returncode == 0
    run = server.get("/runs")["runs"][0]["id"]
    lower = next(one for one in server.get(f"/runs/{run}/events")["events"] if one["kind"] == "lower")
    seen = {
        agent: server.get(f"/runs/{run}/state?step={lower['step']}&agent={agent}")["seen"]
        for agent in ("Jon", "Mara")
    }
    assert lower["seq"] in seen["Mara"]
    assert lower["seq"] not in seen["Jon"]
    assert seen["Jon"]


def test_two_runs_are_compared(server: Any, talk: str, pyscrai: Callable[..., Any]) -> None:
    done = pyscrai("fork", talk, "--at", "3", "--set", "world.state.price=50", "-q")
    assert done.returncode == 0, done.stderr
    fork = server.get("/runs")["runs"][0]
    assert fork["parent"] == talk
    assert server.get(f"/runs/{talk}")["forks"] == [fork["id"]]
    found = server.get(f"/compare?left={talk}&right={fork['id']}")
    events = server.get(f"/runs/{talk}/events")["events"]
    step = events[2]["step"]
    assert found["common"] == max(one["seq"] for one in events if one["step"] <= step)
    assert [None, found["common"] + 1] in found["aligned"]  # the change of the fork
    for side in (0, 1):
        numbers = [pair[side] for pair in found["aligned"] if pair[side]]
        assert numbers == list(range(1, len(numbers) + 1))
    assert found["outcomes"] == [{"name": "price", "left": 16, "right": 47}]
    assert {"path": "scenario.world.state.price", "left": 20, "right": 50} in found["differences"]
    # After the fork, the state is that of the fork.
    changes = server.get(f"/runs/{fork['id']}/state?step={step + 1}")["changes"]
    assert [(one["path"], one["before"], one["after"]) for one in changes][:2] == [
        ("price", 19, 50), ("price", 50, 48),
    ]  # fmt: skip


def test_a_text_of_10_mb_is_cut_in_lists_and_given_whole(server: Any, folder: Path, talk: str) -> None:
    text = "apple " * (10_000_000 // 6)
    database = sqlite3.connect(folder / ".pyscrai/runs.db")
    with database:
        database.execute("UPDATE events SET payload=? WHERE seq=2", (json.dumps({"text": text}),))
    database.close()
    events = server.get(f"/runs/{talk}/events")["events"]
    assert events[1]["cut"] > 9_900_000
    assert len(events[1]["payload"]["text"]) == 20_001
    assert "cut" not in events[0]
    assert server.get(f"/runs/{talk}/events/2")["payload"]["text"] == text


def test_no_secret_leaves(serve: Any, folder: Path, talk: str) -> None:
    secret = "sk-live-0123456789abcdef"
    server = serve(environment={"SOME_API_KEY": secret})
    database = sqlite3.connect(folder / ".pyscrai/runs.db")
    with database:
        database.execute(
            "UPDATE events SET payload=? WHERE seq=1", (json.dumps({"text": f"my key: {secret}"}),)
        )
        database.execute("UPDATE runs SET error=?", (f"wrong key {secret}",))
    database.close()
    for path in (f"/runs/{talk}/events", f"/runs/{talk}/events/1", "/runs", f"/runs/{talk}"):
        answer = server.client.get(f"/api{path}").text
        assert "sk-live" not in answer
        assert "[SOME_API_KEY]" in answer


def test_a_store_that_vanishes_is_missed_until_it_is_back(server: Any, folder: Path, talk: str) -> None:
    assert server.get("/runs")["total"] == 1
    (folder / ".pyscrai").rename(folder / "elsewhere")
    assert "it was removed or moved while it was shown" in server.get("/runs", 404)["error"]
    (folder / "elsewhere").rename(folder / ".pyscrai")
    assert server.get("/runs")["total"] == 1


def test_an_unknown_address_is_told_by_the_page(server: Any) -> None:
    page = server.client.get("/nothing", headers={"accept": "text/html,*/*"})
    assert (page.status_code, "<main" in page.text) == (404, True)
    assert server.client.get("/nothing").json() == {"error": "/nothing: Not Found"}
    assert server.client.get("/api/nothing", headers={"accept": "text/html"}).json()["error"]
