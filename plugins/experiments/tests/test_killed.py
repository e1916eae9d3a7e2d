"""An experiment that is killed again and again comes to the same report, and no answer is paid for twice.

`PYSCRAI_EXPERIMENT_KILLS=20` kills one of 201 trials so often, in place of one of 30 trials five times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from pyscrai_records.store.store import Store

KILLS = int(os.environ.get("PYSCRAI_EXPERIMENT_KILLS", "5"))
REPLICATES = max(10, KILLS * 10 // 3 + 1)
#: A model that says which request it answers, and notes each request that it gets.
COUNTING = """
import asyncio, hashlib, json
from pyscrai_core import Completion, Provider, Usage

class Counting(Provider):
    async def complete(self, request, sink=None):
        text = json.dumps([message.to_dict() for message in request.messages])
        key = hashlib.sha256(f"{request.seed} {text}".encode()).hexdigest()
        with open("requests.txt", "a") as file:
            file.write(key + "\\n")
        await asyncio.sleep(0.01)
        return Completion(key, usage=Usage(100, 20), model="counting-1")
"""
SCENARIO = """\
scenario: talk
seed: 3
providers:
  default: counting.py:Counting
agents:
  A: {persona: One., memory: none}
  B: {persona: Two.}
schedule: {use: round-robin, rounds: 2}
outcomes:
  digits: "len([e for e in events if e.payload.text[0] in '0123456'])"
  vowel: events[-1].payload.text[0] in 'abcdef'
"""
EXPERIMENT = f"""\
experiment: killed
scenario: talk.yaml
arms:
  plain: {{}}
  other: {{agents.B.persona: Three.}}
  short: {{schedule.rounds: 1}}
replicates: {REPLICATES}
outcomes:
  digits: {{compare: {{other: plain, short: {{against: plain, direction: less}}}}}}
  vowel: {{kind: proportion}}
concurrency: 4
"""


def start(store: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pyscrai_cli.main", "experiment", "run", "exp.yaml", "--trust", "-q"]
    return subprocess.Popen([*command, "--store", store], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def report(store: str) -> str:
    from click.testing import CliRunner

    from pyscrai_cli.main import cli

    arguments = ["experiment", "report", "exp.yaml", "--store", store, "--format", "json"]
    done = CliRunner().invoke(cli, arguments, prog_name="pyscrai")
    assert done.exit_code == 0, done.output
    return done.stdout


def requests() -> list[str]:
    file = Path("requests.txt")
    return file.read_text().split() if file.exists() else []


def answered(store: str) -> set[str]:
    """The requests whose answers are in the store."""
    if not Path(store).exists():
        return set()
    with closing(sqlite3.connect(store)) as database:
        try:
            rows = database.execute("SELECT answer FROM calls WHERE status='answered'").fetchall()
        except sqlite3.OperationalError:
            return set()  # it was killed before the tables were made
    return {json.loads(answer)["text"] for (answer,) in rows}


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["local", "{use: processes, processes: 2}"])
def test_kills_change_nothing_and_no_answer_is_paid_twice(executor: str, tmp_path: Path) -> None:
    Path("counting.py").write_text(COUNTING)
    Path("talk.yaml").write_text(SCENARIO)
    Path("exp.yaml").write_text(EXPERIMENT)
    whole = start("whole.db")
    _, errors = whole.communicate(timeout=600)
    assert whole.returncode == 0, errors.decode()
    wanted = len(requests())
    assert wanted == len(set(requests()))
    assert wanted < 3 * REPLICATES * 4  # equal requests of several arms were sent once

    Path("requests.txt").unlink()
    Path("exp.yaml").write_text(f"{EXPERIMENT}executor: {executor}\n")
    chance = random.Random(1)
    kills = made = 0
    while True:
        before = answered("killed.db")
        process = start("killed.db")
        # Killed after some more requests, so that each time something is done, whatever the machine's speed.
        target = made + chance.randint(5, 25)
        while process.poll() is None and len(requests()) < target:
            time.sleep(0.002)
        if process.poll() is None and kills < KILLS:
            os.kill(process.pid, signal.SIGINT if kills == 2 else signal.SIGKILL)
            kills += 1
        process.communicate(timeout=600)  # its workers have stderr too, so that they have ended as well
        now = requests()[made:]
        assert not before.intersection(now), "an answer that was there was asked for again"
        made += len(now)
        if process.returncode == 0:
            break
        assert process.returncode in (-signal.SIGKILL, 130)
    assert kills >= KILLS * 3 // 5
    assert set(requests()) == answered("killed.db")
    with Store.open("killed.db", create=False) as store:
        assert len(store.runs(labels={"experiment": "killed"}, status="completed")) == 3 * REPLICATES
    assert report("killed.db") == report("whole.db")


BLOCKING = """
import time
from pyscrai_core import Provider

class Blocks(Provider):
    async def complete(self, request, sink=None):
        print("blocked", flush=True)
        while True:
            try:
                time.sleep(3600)
            except Exception:
                pass
"""


@pytest.mark.parametrize("executor", ["local", "{use: processes, processes: 2}"])
@pytest.mark.parametrize(("number", "times"), [(signal.SIGINT, 2), (signal.SIGTERM, 1)])
def test_code_that_blocks_the_loop_does_not_keep_the_experiment(
    executor: str, number: signal.Signals, times: int, tmp_path: Path
) -> None:
    Path("blocking.py").write_text(BLOCKING)
    Path("talk.yaml").write_text(SCENARIO.replace("counting.py:Counting", "blocking.py:Blocks"))
    Path("exp.yaml").write_text(
        f"experiment: blocked\nscenario: talk.yaml\nreplicates: 3\nexecutor: {executor}\n"
    )
    code = (
        "import pyscrai_experiments.shown as s; s.PATIENCE = s.DRAIN = s.LEAVE = 1; "
        "from pyscrai_cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "experiment", "run", "exp.yaml", "--trust", "--yes"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
    assert process.stdout is not None
    while process.stdout.readline() != b"blocked\n":
        assert process.poll() is None
    for _ in range(times):
        process.send_signal(number)
        time.sleep(1)
    process.communicate(timeout=300)  # its workers have its stderr too, so that they have ended as well
    assert process.returncode == 130
