"""A real server on a free port, real stores, and runs that other processes execute."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

TALK = """\
scenario: talk
seed: 3
providers:
  default:
    use: scripted
    replies:
      Mara:
        - {say: "Good morning, Jörg.", action: {lower: {by: 1}}}
        - {say: Fresh apples., action: {lower: {by: 2}}}
      Jon: [Hello., 'Too "dear".']
world: {premise: A market., state: {price: 20}}
agents:
  Mara:
    persona: You sell apples.
    state: {mood: good}
    actions: {lower: {description: lower the price, by: {type: integer}}}
  Jon: {persona: You buy apples.}
groups: {sellers: {members: [Mara], state: {stock: 5}}}
rules:
  - {on: lower, add: {price: -event.payload.by}, set: {groups.sellers.stock: groups.sellers.stock - 1}}
schedule: {use: round-robin, rounds: 3}
limits: {steps: 50}
outcomes: {price: state.price}
measures: {price: {value: state.price, unit: coins}}
"""
LONG = """\
scenario: long
seed: 3
providers:
  default: {use: scripted, replies: [One., Two., Three.], latency: 0.01}
agents:
  Mara: {persona: You sell apples.}
  Jon: {persona: You buy apples.}
schedule: {use: round-robin, rounds: 5000}
"""
PERSON = """\
scenario: person
seed: 3
providers: {default: {use: scripted, replies: [Hello.]}}
agents:
  Ann: {persona: You are a guest., engine: human}
  Jon: {persona: You sell apples.}
schedule: {use: round-robin, rounds: 1}
"""


class Server:
    """`pyscrai dashboard` in a process of its own."""

    def __init__(self, folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pyscrai_cli.main", "dashboard", "--port", "0", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment_of(folder), "PYTHONUNBUFFERED": "1", **(environment or {})},
        )
        self.lines: list[str] = []
        for stream in (self.process.stdout, self.process.stderr):
            threading.Thread(target=self._keep, args=(stream,), daemon=True).start()
        found = wait_for(lambda: re.search(r"http://(\S+):(\d+)/(\S*)", "\n".join(self.lines)), "an address")
        self.port, self.query = int(found[2]), found[3]
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=30)
        wait_for(self._answers, "an answer")

    def _keep(self, stream: Any) -> None:
        self.lines.extend(line.rstrip("\n") for line in stream)

    def _answers(self) -> bool:
        try:
            self.client.get("/static/index.html")
        except httpx.TransportError:
            return False
        return True

    def get(self, path: str, status: int = 200, **options: Any) -> Any:
        answer = self.client.get(f"/api{path}", **options)
        assert answer.status_code == status, answer.text
        return answer.json()

    def post(self, path: str, status: int = 200, **body: Any) -> Any:
        answer = self.client.post(f"/api{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def stop(self) -> float:
        """Ctrl-C; the seconds until it has ended."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(10)
        self.client.close()
        return time.monotonic() - began


class Stream:
    """A client of a stream, in a thread of its own. `events` has all that came: name, data, id."""

    def __init__(self, server: Server, path: str, headers: dict[str, str] | None = None) -> None:
        self.events: list[tuple[str, Any, str]] = []
        self.times: list[float] = []
        self.error: Exception | None = None
        self.status = 0
        #: Nothing is taken in once it is closed, which its thread may hear of later.
        self._closing, self._closed = threading.Lock(), False
        self._client = httpx.Client(base_url=server.url, timeout=httpx.Timeout(30, read=60), headers=headers)
        self._context = self._client.stream("GET", f"/api{path}")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            with self._context as answer:
                self.status = answer.status_code
                name, data, number = "message", "", ""
                for line in answer.iter_lines():
                    key, _, value = line.partition(": ")
                    if key == "event":
                        name = value
                    elif key == "data":
                        data = value
                    elif key == "id":
                        number = value
                    elif not line and data:
                        with self._closing:
                            if self._closed:
                                return
                            self.times.append(time.time())
                            self.events.append((name, json.loads(data), number))
                        name, data, number = "message", "", ""
        except Exception as error:  # it is looked at by the test
            self.error = error

    def named(self, name: str) -> list[Any]:
        return [data for one, data, _ in self.events if one == name]

    def seqs(self) -> list[int]:
        return [event["seq"] for data in self.named("events") for event in data["events"]]

    def close(self) -> None:
        with self._closing:
            self._closed = True
        self._client.close()

    def wait_for_end(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """What `condition` gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"no {what} within {seconds} seconds"
        time.sleep(0.02)
    return found


def environment_of(folder: Path) -> dict[str, str]:
    """The environment, with the user's approvals in a place of the test's own."""
    return {**os.environ, "XDG_STATE_HOME": str(folder / ".state")}


def run_pyscrai(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyscrai_cli.main", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, env=environment_of(folder)
    )


def write_scenarios(place: Path) -> Path:
    for name, text in (("talk", TALK), ("long", LONG), ("person", PERSON)):
        (place / f"{name}.yaml").write_text(text, encoding="utf-8")
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with scenarios, for a test that changes something."""
    return write_scenarios(tmp_path)


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scenarios and a finished run, which stays as it is."""
    place = write_scenarios(tmp_path_factory.mktemp("kept"))
    run_talk(place)
    return place


@pytest.fixture(scope="session")
def reading(kept: Path) -> Iterator[Server]:
    """A server that shows what is in `kept`."""
    started = Server(kept)
    yield started
    started.stop()


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers, which are stopped at the end."""
    started: list[Server] = []

    def start(*arguments: str, **options: Any) -> Server:
        started.append(Server(folder, *arguments, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    return serve()


@pytest.fixture
def execute(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts runs in processes of their own, which are stopped at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pyscrai_cli.main", "run", *arguments, "-q"]
        started.append(
            subprocess.Popen(
                command,
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment_of(folder),
            )
        )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def run_talk(place: Path) -> str:
    done = run_pyscrai(place, "run", "talk.yaml", "--json", "--label", "study=pilot")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["run"])


@pytest.fixture
def talk(folder: Path) -> str:
    """The id of a finished run."""
    return run_talk(folder)


@pytest.fixture
def follow() -> Iterator[Callable[..., Stream]]:
    """Opens streams, which are closed at the end."""
    opened: list[Stream] = []

    def open_it(server: Server, path: str, **options: Any) -> Stream:
        opened.append(Stream(server, path, **options))
        return opened[-1]

    yield open_it
    for stream in opened:
        stream.close()


@pytest.fixture
def pyscrai(folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `pyscrai` with arguments in the folder."""
    return lambda *arguments: run_pyscrai(folder, *arguments)


@pytest.fixture
def until() -> Callable[..., Any]:
    """Waits for a condition."""
    return wait_for


@pytest.fixture
def live() -> Callable[[Server], dict[str, Any]]:
    """Waits for the run that some process executes."""

    def find(server: Server) -> dict[str, Any]:
        def look() -> Any:
            return next((run for run in server.get("/runs")["runs"] if run["live"] and run["events"]), None)

        found: dict[str, Any] = wait_for(look, "live run")
        return found

    return find


@pytest.fixture(scope="session")
def server_class() -> type[Server]:
    """For tests that share a server."""
    return Server
