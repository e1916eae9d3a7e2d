"""What the tests of the terminal share: a scenario, and the command."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pyscrai_cli.main import cli
from pyscrai_testing.servers import FaultServer, Reply, chat_answer
from pyscrai_testing.terminal import PATIENCE, PYSCRAI


@pytest.fixture
def scenario(tmp_path: Path) -> Callable[..., str]:
    """Write a talk of two into the current folder; its name. `replies` and `latency` are the provider's."""

    def write(name: str = "talk.yaml", replies: Any = ("Hello.",), latency: Any = 0, **more: Any) -> str:
        provider = {"use": "scripted", "replies": replies, "latency": latency, **more.pop("provider", {})}
        whole = {
            "scenario": "talk",
            "seed": 3,
            "providers": {"default": provider},
            "agents": {"Mara": {"persona": "A farmer"}, "Jon": {"persona": "A buyer"}},
            "schedule": {"use": "round-robin", "rounds": 3},
            "outcomes": {"n": "len(events)"},
            **more,
        }
        (tmp_path / name).write_text(json.dumps(whole))
        return name

    return write


@pytest.fixture
def pyscrai() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command, piped. Keywords are variables of its environment: then it has a process of its own."""

    def execute(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        if not environment:  # most of what a process takes is to start
            done = CliRunner().invoke(cli, arguments, prog_name="pyscrai")
            return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)
        return subprocess.run(
            [*PYSCRAI, *arguments], capture_output=True, encoding="utf-8", timeout=PATIENCE, check=False,
            env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return execute


@pytest.fixture
def begin() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """The command in a process of its own that goes on; it is ended with the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*PYSCRAI, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


class Gate:
    """A model's server, each of whose answers has to be let through; the first request is refused once.

    `provider` are the options of the provider that asks it.
    """

    def __init__(self, server: FaultServer, answers: threading.Semaphore) -> None:
        self.provider = {"use": "openai", "model": "x", "base_url": f"{server.url}/v1"}
        self._answers = answers

    def release(self, answers: int) -> None:
        self._answers.release(answers)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A run that asks this server goes on as far as the test lets it, however fast the machine is."""
    answers = threading.Semaphore(0)

    def answer(path: str, body: dict[str, Any]) -> Any:
        answers.acquire(timeout=PATIENCE)
        return chat_answer(path, body)

    monkeypatch.setenv("OPENAI_API_KEY", "key")
    busy = Reply(429, b'{"error": {"message": "busy"}}', {"Retry-After": "0"})
    with FaultServer(busy, answer=answer) as server:
        yield Gate(server, answers)
        answers.release(1000)
