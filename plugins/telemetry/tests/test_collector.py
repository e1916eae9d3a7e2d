"""A collector that is down, that hangs, or that answers with errors costs a run nothing; and the command."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from pyscrai_core import ConfigError
from pyscrai_telemetry import otlp
from pyscrai_telemetry.observer import Telemetry

SCENARIO: dict[str, Any] = {
    "scenario": "talk",
    "providers": {"default": {"use": "scripted", "replies": ["yes", "no"]}},
    "agents": {"Mara": {"persona": "You are a farmer."}, "Jon": {"persona": "You are a cook."}},
    "schedule": {"use": "round-robin", "rounds": 5},
}
#: A run, 5 steps of 2 agents one after the other: 10 steps, 10 turns, 10 calls.
SPANS = 31
YAML = """\
scenario: talk
providers: {default: {use: scripted, replies: ["yes", "no"]}}
agents: {Mara: {persona: You are a farmer.}, Jon: {persona: You are a cook.}}
schedule: {use: round-robin, rounds: 5}
"""


@pytest.fixture
def warnings() -> Any:
    said: list[str] = []
    number = logger.add(lambda message: said.append(message.record["message"]), level="WARNING")
    yield said
    logger.remove(number)


def unused_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_collector_that_is_down(play: Any, telemetry: Any, warnings: list[str]) -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    observer = telemetry(endpoint=url)
    assert play(SCENARIO, observers=[observer]).status == "completed"
    assert play(SCENARIO, observers=[observer]).status == "completed"
    began = time.monotonic()
    observer.close()
    assert time.monotonic() - began < 20  # `patience` is 30: nobody waits for who is not there
    assert observer.lost == 2 * SPANS
    (said,) = warnings
    assert f"telemetry: {2 * SPANS} spans did not reach {url}" in said
    assert "runs are not affected" in said


def test_a_collector_that_answers_with_errors(
    play: Any, telemetry: Any, collector: Any, warnings: list[str]
) -> None:
    collector.answer = 500
    observer = telemetry()
    assert play(SCENARIO, observers=[observer]).status == "completed"
    assert not observer.flush()
    assert observer.lost == SPANS
    asked = len(collector.headers)
    # It is left alone for a while: the next batch is dropped without a request.
    assert play(SCENARIO, observers=[observer]).status == "completed"
    assert not observer.flush()
    assert observer.lost == 2 * SPANS
    traces = [one for one in collector.headers[asked:] if one["content-length"] == "0"]
    assert traces == []
    observer.close()
    (said,) = warnings
    assert "500" in said


def test_a_collector_that_comes_back(
    play: Any, telemetry: Any, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "PAUSE", 0.0)
    collector.answer = 400
    observer = telemetry()
    play(SCENARIO, observers=[observer])
    assert not observer.flush()
    collector.answer = 200
    play(SCENARIO, observers=[observer])
    observer.flush()
    assert (len(collector.spans), observer.lost) == (SPANS, SPANS)


def test_a_collector_that_hangs(play: Any, telemetry: Any, collector: Any, warnings: list[str]) -> None:
    collector.hold = threading.Event()
    observer = telemetry(patience=0.5, queue=20)
    assert play(SCENARIO, observers=[observer]).status == "completed"
    # More than may wait is dropped at once.
    assert observer.lost >= SPANS - 20 - otlp.BATCH
    began = time.monotonic()
    observer.close()
    assert time.monotonic() - began < 20
    assert observer.lost == SPANS
    assert len(warnings) == 1


def test_the_queue_is_bounded(collector: Any, telemetry: Any, play: Any) -> None:
    collector.hold = threading.Event()
    observer = telemetry(queue=5, patience=60.0)
    play(SCENARIO, observers=[observer])
    output = observer._output._otlp
    assert output.waiting <= 5
    assert observer.lost >= SPANS - 2 * 5 - 5
    held, collector.hold = collector.hold, None
    held.set()


def test_keys_come_from_the_environment_and_go_nowhere_else(
    play: Any, telemetry: Any, collector: Any, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=very-secret-value")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.replace("//", "//user:pass-word@"))
    monkeypatch.setenv("OTEL_SERVICE_NAME", "study")
    collector.answer = 403
    observer = telemetry(endpoint=None)
    play(SCENARIO, observers=[observer])
    observer.flush()
    assert collector.headers[0]["x-key"] == "very-secret-value"
    observer.close()
    assert warnings
    assert "very-secret" not in repr(warnings)
    assert "pass-word" not in repr(warnings)
    with pytest.raises(ValueError, match="^endpoint: expected an address without a user and a password"):
        Telemetry.Config(endpoint="http://me:key@collector:4318")


def test_a_port_in_use_is_an_error_before_anything_runs(play: Any, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"prometheus: 127\.0\.0\.1:{port} cannot be used \(Address already"
        ):
            Telemetry(Telemetry.Config(prometheus=port))
        (tmp_path / "talk.yaml").write_text(YAML)
        done = pyscrai(tmp_path, "run", "talk.yaml", "--observe", f"telemetry:prometheus={port}")
    assert done.returncode == 2
    assert f"error: observers.telemetry.prometheus: 127.0.0.1:{port} cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
    assert "no runs yet" in pyscrai(tmp_path, "runs").stdout


def pyscrai(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyscrai_cli.main", *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        command, cwd=folder, env={**kept, **environment}, capture_output=True, text=True, timeout=300
    )


def test_the_command_sends_all_of_a_run(tmp_path: Path, collector: Any) -> None:
    (tmp_path / "talk.yaml").write_text(YAML)
    (tmp_path / "pyscrai.toml").write_text('observers = [{use = "telemetry", patience = 30}]')
    done = pyscrai(tmp_path, "run", "talk.yaml", "-q", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert done.returncode == 0
    assert done.stderr == "warning: settings are taken from pyscrai.toml, for the first time\n"
    assert len(collector.spans) == SPANS
    assert collector.total("pyscrai.runs") == 1


def test_the_command_warns_once_if_the_collector_is_down(tmp_path: Path) -> None:
    (tmp_path / "talk.yaml").write_text(YAML)
    done = pyscrai(
        tmp_path,
        "run",
        "talk.yaml",
        "-q",
        "--observe",
        f"telemetry:endpoint=http://127.0.0.1:{unused_port()}",
    )
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"warning: telemetry: {SPANS} spans did not reach http://127.0.0.1:")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("telemetry:promethus=1", "unknown key 'promethus'; did you mean 'prometheus'?"),
        ("telemetry:prometheus=here", "prometheus: expected a port, or HOST:PORT such as 127.0.0.1:9464"),
        ("telemetry:queue=0", "expected more than 0"),
        ("telemetry:endpoint=ftp://x", "expected an address that begins with http://"),
        ("telemetry:9464", "expected NAME or NAME:KEY=VALUE,KEY=VALUE, such as telemetry:prometheus=9464"),
        ("telemetri", "did you mean 'telemetry'"),
    ],
)
def test_bad_options(tmp_path: Path, given: str, message: str) -> None:
    (tmp_path / "talk.yaml").write_text(YAML)
    done = pyscrai(tmp_path, "run", "talk.yaml", "--observe", given)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_nobody_who_does_not_use_it_pays_for_it(tmp_path: Path) -> None:
    (tmp_path / "talk.yaml").write_text(YAML)
    for command in (["-c", "import pyscrai_core"], ["-m", "pyscrai_cli.main", "run", "talk.yaml", "-q"]):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "pyscrai_core" in loaded
        heavy = ("opentelemetry", "prometheus_client", "google.protobuf", "pyscrai_telemetry.o", "requests")
        assert not [name for name in loaded if name.startswith(heavy)]
