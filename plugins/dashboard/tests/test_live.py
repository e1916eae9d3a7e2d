"""Streams: what another process commits is there at once, once, and in order."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyscrai_records.records import RunResult, Usage
from pyscrai_records.store.store import Store

MANIFEST = {
    "format": 3, "kernel": "0", "scenario": {"scenario": "made", "seed": 0, "agents": {"Mara": {}}},
    "folder": ".", "files": {}, "plugins": [], "extensions": [], "prompts": {},
}  # fmt: skip


class Writer:
    """Writes the events of a run as the kernel does, at the moments that a test chooses."""

    def __init__(self, folder: Path, count: int = 0) -> None:
        self.store = Store.open(folder / ".pyscrai/runs.db")
        self.run = self.store.create_run("made", 0, MANIFEST)
        self.last = 0
        if count:
            self.add(count)

    def add(self, count: int = 1, text: str = "Hello.") -> None:
        rows = [
            (self.run, seq, seq // 10, "say", "Mara", '["*"]', f'{{"text":"{text}"}}', None)
            for seq in range(self.last + 1, self.last + count + 1)
        ]
        with self.store.transaction():
            self.store.connection.executemany("INSERT INTO events VALUES (?,?,?,?,?,?,?,?)", rows)
        self.last += count

    def end(self) -> None:
        self.store.end_run(
            RunResult(self.run, "made", 0, "completed", "", self.last // 10, (), 0, 0, Usage(), {})
        )
        self.store.close()


@pytest.fixture
def writer(folder: Path) -> Any:
    made = Writer(folder)
    yield made
    made.store.close()


def test_a_commit_is_seen_within_half_a_second(server: Any, follow: Any, until: Any, writer: Writer) -> None:
    stream = follow(server, f"/runs/{writer.run}/stream")
    until(lambda: stream.named("summary"), "summary")
    delays = []
    for number in range(1, 11):
        time.sleep(0.05 * (number % 3))
        began = time.time()
        writer.add()
        until(lambda: len(stream.seqs()) == number, "event")  # noqa: B023 - called at once
        delays.append(max(0.0, stream.times[-1] - began))
    assert stream.seqs() == list(range(1, 11))
    assert sorted(delays)[5] < 0.5
    writer.end()
    until(lambda: stream.named("summary")[-1]["status"] == "completed", "end")
    assert stream.named("summary")[-1]["events"] == 10


def test_a_reconnect_goes_on_after_the_last_event(
    server: Any, follow: Any, until: Any, writer: Writer
) -> None:
    writer.add(1200)
    first = follow(server, f"/runs/{writer.run}/stream?after=100")
    until(lambda: len(first.seqs()) == 1100, "events")
    assert first.seqs() == list(range(101, 1201))
    last = [number for name, _, number in first.events if name == "events"][-1]
    assert last == "1200"
    first.close()
    writer.add(700)
    second = follow(server, f"/runs/{writer.run}/stream?after=100", headers={"Last-Event-ID": last})
    until(lambda: len(second.seqs()) == 700, "events")
    assert second.seqs() == list(range(1201, 1901))


def test_a_run_of_another_process_is_followed_to_its_end(
    server: Any, follow: Any, until: Any, live: Any, execute: Any, folder: Path
) -> None:
    overview = follow(server, "/stream")
    process = execute("long.yaml", "--set", "schedule.rounds=60")
    run = live(server)["id"]
    stream = follow(server, f"/runs/{run}/stream")
    assert process.wait(60) == 0
    until(lambda: any(one["status"] == "completed" for one in stream.named("summary")), "end")
    with Store.open(folder / ".pyscrai/runs.db", create=False) as store:
        count = store.run(run).count_events()
    until(lambda: len(stream.seqs()) == count, "events")
    assert stream.seqs() == list(range(1, count + 1))
    statuses = [one["status"] for one in stream.named("summary")]
    assert statuses[0] == "running"
    assert overview.named("runs")[0] == {"changed": [], "removed": [], "reset": True}
    changed = [one for data in overview.named("runs") for one in data["changed"]]
    until(
        lambda: any(
            one["status"] == "completed" for data in overview.named("runs") for one in data["changed"]
        ),
        "end",
    )
    assert {one["id"] for one in changed} == {run}


def test_the_measures_of_a_run_that_goes_on_are_those_that_it_ends_with(
    server: Any, execute: Any, live: Any, until: Any, folder: Path
) -> None:
    text = (folder / "talk.yaml").read_text().replace("    replies:", "    latency: 0.1\n    replies:")
    (folder / "talk.yaml").write_text(text)
    process = execute("talk.yaml", "--set", "schedule.rounds=12")
    run = live(server)["id"]
    early = until(lambda: server.get(f"/runs/{run}/measures")["price"]["series"][4:], "values")
    assert server.get(f"/runs/{run}")["status"] == "running"
    assert process.wait(60) == 0
    series = server.get(f"/runs/{run}/measures")["price"]["series"]
    assert series[4 : 4 + len(early)] == early
    assert len(series) == 25


def test_a_process_that_was_killed_leaves_an_interrupted_run(
    server: Any, follow: Any, until: Any, live: Any, execute: Any
) -> None:
    process = execute("long.yaml")
    run = live(server)["id"]
    overview, stream = follow(server, "/stream"), follow(server, f"/runs/{run}/stream")
    until(lambda: stream.named("summary"), "summary")
    process.kill()
    process.wait()
    until(lambda: stream.named("summary")[-1]["status"] == "interrupted", "interruption")

    def told() -> bool:
        changed = [one for data in overview.named("runs") for one in data["changed"]]
        return bool(changed) and changed[-1]["status"] == "interrupted"

    until(told, "interruption in the overview")
    assert server.get("/runs?status=interrupted")["total"] == 1
    assert server.get("/runs?status=running")["total"] == 0


def test_a_run_that_is_removed_while_it_is_watched(
    server: Any, follow: Any, until: Any, talk: str, pyscrai: Callable[..., Any]
) -> None:
    overview, stream = follow(server, "/stream"), follow(server, f"/runs/{talk}/stream")
    until(lambda: len(stream.seqs()) == 9 and overview.events, "events")
    time.sleep(0.5)  # the overview has seen the run
    assert pyscrai("runs", "rm", talk, "--yes").returncode == 0
    until(lambda: stream.named("gone"), "end")
    assert "no such run" in stream.named("gone")[0]["reason"]
    stream.wait_for_end()
    until(lambda: overview.named("runs")[-1]["removed"] == [talk], "removal")
    assert server.get(f"/runs/{talk}/stream", 404)["error"]


def test_a_store_that_vanishes_while_it_is_watched(
    server: Any, follow: Any, until: Any, talk: str, folder: Path, pyscrai: Callable[..., Any]
) -> None:
    overview, stream = follow(server, "/stream"), follow(server, f"/runs/{talk}/stream")
    until(lambda: stream.seqs() and overview.events, "events")
    time.sleep(0.5)
    for file in (folder / ".pyscrai").glob("runs.db*"):
        if file.is_file():
            file.unlink()
    until(lambda: stream.named("gone"), "end")
    assert "store" in stream.named("gone")[0]["reason"]
    until(lambda: overview.named("runs")[-1]["removed"] == [talk], "removal")
    for path in ("/runs", f"/runs/{talk}"):
        assert "it was removed or moved while it was shown" in server.get(path, 404)["error"]
    # And one that comes in its place is shown.
    assert pyscrai("run", "talk.yaml", "-q").returncode == 0
    until(lambda: overview.named("runs")[-1]["changed"], "new run")
    (run,) = server.get("/runs")["runs"]
    assert run["id"] != talk
    assert server.get(f"/runs/{run['id']}/events")["events"]


def test_a_damaged_store_is_told(server: Any, talk: str, folder: Path) -> None:
    database = sqlite3.connect(folder / ".pyscrai/runs.db")
    with database:
        database.execute("UPDATE manifests SET body='{}' ")
    database.close()
    assert "damaged" in server.get(f"/runs/{talk}", 400)["error"]
    assert server.get("/runs")["total"] == 1


def test_ctrl_c_ends_the_server_and_its_streams(serve: Any, follow: Any, until: Any, writer: Writer) -> None:
    server = serve()
    streams = [follow(server, f"/runs/{writer.run}/stream") for _ in range(5)]
    streams += [follow(server, "/stream") for _ in range(5)]
    until(lambda: all(stream.events for stream in streams), "events")
    server.process.send_signal(signal.SIGINT)
    for stream in streams:
        stream.wait_for_end()
    assert server.process.wait(10) == 0
    assert server.process.returncode == 0
    assert not [line for line in server.lines if "Traceback" in line]


def crowd(
    server: Any, follow: Any, until: Any, writer: Writer, clients: int, seconds: float, rate: int
) -> list[float]:
    """Watch a run that has `rate` events a second with many clients, some of which reconnect. The delays."""
    streams = [follow(server, f"/runs/{writer.run}/stream") for _ in range(clients)]
    until(lambda: all(stream.named("summary") for stream in streams), "summaries", 60)
    committed: dict[int, float] = {}
    parts: dict[int, list[Any]] = {number: [stream] for number, stream in enumerate(streams)}

    def write() -> None:
        began = time.monotonic()
        for number in range(int(seconds * rate)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            writer.add()
            committed[writer.last] = time.time()

    writing = threading.Thread(target=write)
    writing.start()
    while writing.is_alive():
        time.sleep(seconds / 5)
        for number in range(0, clients, 4):  # every fourth loses its connection
            old = parts[number][-1]
            old.close()
            ids = [one for name, _, one in old.events if name == "events"]
            headers = {"Last-Event-ID": ids[-1]} if ids else {}
            place = ids[-1] if ids else parts[number][0].seqs()[-1:] or [0]
            if not ids:
                headers = {"Last-Event-ID": str(place[0] if isinstance(place, list) else place)}
            parts[number].append(follow(server, f"/runs/{writer.run}/stream", headers=headers))
    writing.join()
    for several in parts.values():
        until(lambda: sum(len(one.seqs()) for one in several) >= writer.last, "all events", 60)  # noqa: B023
    for several in parts.values():
        assert [seq for one in several for seq in one.seqs()] == list(range(1, writer.last + 1))
    return [
        moment - committed[event["seq"]]
        for (name, data, _), moment in zip(streams[1].events, streams[1].times, strict=True)
        if name == "events"
        for event in data["events"]
    ]


def test_a_few_clients_lose_and_double_nothing(server: Any, follow: Any, until: Any, writer: Writer) -> None:
    delays = crowd(server, follow, until, writer, clients=6, seconds=3, rate=100)
    assert len(delays) > 250


@pytest.mark.slow
def test_20_clients_watch_100_events_a_second_for_a_minute(
    server: Any, follow: Any, until: Any, writer: Writer
) -> None:
    delays = sorted(crowd(server, follow, until, writer, clients=20, seconds=60, rate=100))
    print(f"median {delays[len(delays) // 2]:.3f} s, 99 % {delays[int(len(delays) * 0.99)]:.3f} s")
    assert delays[len(delays) // 2] < 0.5


@pytest.mark.slow
def test_a_run_of_20000_events_opens(server: Any, folder: Path, until: Any) -> None:
    writer = Writer(folder, 20_000)
    writer.end()
    run = server.get(f"/runs/{writer.run}")
    index = server.get(f"/runs/{writer.run}/index")
    events = server.get(f"/runs/{writer.run}/events?from=1&to=100")["events"]
    assert run["events"] == 20_000
    assert len(index["rows"]) == 20_000
    assert len(events) == 100
    until(lambda: server.get("/runs")["runs"][0]["counted"], "sums")
    assert server.get("/runs")["runs"][0]["kinds"] == {"say": 20_000}


def test_a_run_tells_how_far_it_is(
    server: Any, execute: Callable[..., Any], live: Callable[..., Any], until: Callable[..., Any]
) -> None:
    execute("long.yaml", "--set", "schedule.rounds=100")  # two agents: 200 steps
    run = live(server)["id"]

    def halfway() -> Any:
        found = server.get(f"/runs/{run}")
        return found["steps"] >= 100 and found

    found = until(halfway, "half of the steps")
    assert found["status"] != "running" or found["progress"] == found["steps"] / 200

    execute("long.yaml", "--set", "limits.calls=5")
    ended = lambda: next((one for one in server.get("/runs")["runs"] if one["status"] == "stopped"), None)  # noqa: E731
    assert until(ended, "the end of the budget")["progress"] == 1
