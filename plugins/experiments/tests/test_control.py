"""Control of an experiment from another process, while it runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Invoke = Callable[..., Result]
#: Long enough for any machine: nothing waits for it if all is well.
PATIENCE = 120


@contextmanager
def running(*options: str) -> Iterator[subprocess.Popen[str]]:
    """The experiment of `exp.yaml`, run by another process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pyscrai_cli.main", "experiment", "run", "exp.yaml", "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(look: Callable[[], Any]) -> Any:
    """What `look` gives, once it is true."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come about")


@pytest.fixture
def slow(files: Path) -> None:
    """An experiment whose answers take a while, so that it runs for about a minute."""
    market = Path("market.yaml").read_text()
    Path("market.yaml").write_text(
        market.replace("    use: scripted\n", "    use: scripted\n    latency: 0.2\n")
    )
    text = Path("exp.yaml").read_text()
    Path("exp.yaml").write_text(f"{text}concurrency: 1\n")


def control(experiment: Invoke, *arguments: str) -> Any:
    done = experiment("control", "exp.yaml", *arguments)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize("executor", ["local", "{use: processes, processes: 2}"])
def test_pause_change_limits_and_continue(slow: None, experiment: Invoke, executor: str) -> None:
    Path("exp.yaml").write_text(Path("exp.yaml").read_text() + f"executor: {executor}\n")
    with running() as process:
        until(lambda: Path(".pyscrai/runs.db").exists())
        until(lambda: experiment("control", "exp.yaml", "status").exit_code == 0)
        until(lambda: control(experiment, "status")["completed"] > 0)
        paused = control(experiment, "pause")
        assert (paused["running"], paused["paused"]) == (True, True)
        assert experiment("control", "exp.yaml", "pause").exit_code == 2
        # Runs under way come to a stop before their next step, and no other begins.
        until(lambda: _calls(experiment) == (time.sleep(1.5) or _calls(experiment)))
        before = control(experiment, "status")
        assert before["left"] > 0
        limits = control(experiment, "limits", '{"concurrency": 40}')
        assert limits["limits"] == {"concurrency": 40}
        assert control(experiment, "status")["completed"] == before["completed"]
        control(experiment, "continue")
        out, err = process.communicate(timeout=PATIENCE)
    done = json.loads(out)
    assert (done["status"], done["done"]) == ("completed", 30), err
    status = control(experiment, "status")
    assert (status["running"], status["paused"], status["limits"], status["left"]) == (False, False, {}, 0)
    # What was told is no part of the plan.
    assert (
        json.loads(experiment("report", "exp.yaml", "--format", "json").stdout)["registration"]["changes"]
        == []
    )


def _calls(experiment: Invoke) -> int:
    found = json.loads(experiment("plan", "exp.yaml", "--json", "-q").stdout)
    return int(found["completed"])


def test_limits_of_a_provider_hold_for_runs_under_way(slow: None, experiment: Invoke) -> None:
    market = Path("market.yaml").read_text()
    Path("market.yaml").write_text(market.replace("    latency: 0.2\n", "    requests_per_minute: 2\n"))
    with running() as process:  # a run has four calls, so that each would take a minute
        until(lambda: Path(".pyscrai/runs.db").exists())
        until(lambda: experiment("control", "exp.yaml", "status").exit_code == 0)
        until(lambda: control(experiment, "status")["under_way"] > 0)
        control(experiment, "limits", '{"providers": {"default": {"requests_per_minute": 100000}}}')
        out, err = process.communicate(timeout=PATIENCE)
    assert json.loads(out)["status"] == "completed", err


def test_failed_trials_are_run_again_when_the_others_are_over(slow: None, experiment: Invoke) -> None:
    market = Path("market.yaml").read_text()
    set_price = "{price: event.payload.price + state.markup}"
    assert set_price in market
    # A rule that fails for one answer of three, and so in most runs.
    market = market.replace(set_price, "{price: 7 + 0 / (event.payload.price - 7)}").replace(
        "latency: 0.2", "latency: 0.1"
    )
    Path("market.yaml").write_text(market)
    Path("exp.yaml").write_text(Path("exp.yaml").read_text().replace("concurrency: 1\n", "concurrency: 2\n"))
    with running() as process:
        until(lambda: Path(".pyscrai/runs.db").exists())
        until(lambda: experiment("control", "exp.yaml", "status").exit_code == 0)
        until(lambda: control(experiment, "status")["failed"] > 0)
        assert control(experiment, "retry")["retrying"]
        out, err = process.communicate(timeout=PATIENCE)
    done = json.loads(out)
    assert done["status"] == "failed", err
    assert done["done"] + done["failed"] == 30
    assert done["ran"] == 30 + done["failed"]  # they failed again


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pause",), "no process runs it in the store"),
        (("limits",), "expected LIMITS, a JSON object"),
        (("pause", "{}"), "only the action limits has LIMITS"),
        (("limits", "{"), "expected a JSON object, such as"),
        (("limits", "[]"), "expected a JSON object, such as"),
        (("limits", '{"concurency": 3}'), "concurency"),
        (("limits", '{"concurrency": 0}'), "concurrency"),
        (("limits", '{"providers": {"defualt": {}}}'), "no provider 'defualt' (did you mean 'default'?)"),
        (("limits", '{"providers": {"default": {"requests": 1}}}'), "requests"),
    ],
)
def test_what_cannot_be_done_is_told(
    files: Path, experiment: Invoke, arguments: tuple[str, ...], told: str
) -> None:
    assert experiment("run", "exp.yaml", "-q").exit_code == 0
    done = experiment("control", "exp.yaml", *arguments)
    assert done.exit_code == 2
    assert told in done.output
    assert "Traceback" not in done.output
