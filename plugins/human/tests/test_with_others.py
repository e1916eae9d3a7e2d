"""With the plugins that a scenario usually has beside this one: skipped where those are not installed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from pyscrai_human.human import TEMPLATE_NAMES, HumanConfig

for _name in ("rules", "schedules"):
    pytest.importorskip(f"pyscrai_{_name}.plugin", reason=f"needs pyscrai-{_name}")

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
#: Run or resume `s.yaml`, with those who answer as `answers` says; may be killed at a question.
PROGRAM = """\
import asyncio, json, os, signal, sys
from pyscrai_core import api
from pyscrai_core.config import load_settings
from pyscrai_core.runtime import execution
from pyscrai_core.runtime.session import Session
from pyscrai_records.store.store import Store

mode, store, kill, answers = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
asked = []

async def ask(agent, question):
    asked.append([agent, question])
    if len(asked) == kill:
        os.kill(os.getpid(), signal.SIGKILL)
    return answers[agent].pop(0)

async def main():
    settings = load_settings(store=store)
    with Store.open(settings.store) as opened:
        session = Session(opened, settings.host(), ask=ask)
        if mode == "run":
            result = await execution.start(session, api.prepare("s.yaml", settings=settings), "s.yaml")
        else:
            for call in opened.run("last").calls():
                answers[call["agent"]].pop(0)
            result = await execution.resume(session, "last")
        log = [event.line().decode() for event in result.events]
        print(json.dumps({"result": result.to_dict(), "log": log, "asked": asked}))

asyncio.run(main())
"""


def execute(mode: str, store: str, answers: dict[str, list[str]], kill: int = 0) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode, store, str(kill), json.dumps(answers)],
        env={**os.environ, "PYTHONHASHSEED": str(kill)},
        capture_output=True,
        text=True,
    )
    if kill and mode == "run":
        assert done.returncode == -signal.SIGKILL, done.stderr
        return None
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_killed_at_any_question_and_resumed_it_is_the_same_run_and_nobody_is_asked_twice(
    tmp_path: Path,
) -> None:
    human = {
        "engine": "human",
        "memory": None,
        "actions": {"bid": {"coins": {"type": "integer", "maximum": 9}}},
    }
    scenario = {
        "scenario": "bids",
        "agents": {"Ann": human, "Ben": human},
        "schedule": {"use": "simultaneous", "rounds": 2},
    }
    (tmp_path / "s.yaml").write_text(json.dumps(scenario))
    answers = {"Ann": ["/bid 12", "/bid", "/bid 7", "hello"], "Ben": ["/help", "/to Ann: no", "/bid 8"]}
    whole = execute("run", "whole.db", answers)
    assert whole["result"]["status"] == "completed"
    assert whole["result"]["calls"] == len(whole["asked"]) == 7
    assert len(whole["log"]) == 4
    for kill in range(1, 8):
        store = f"kill-{kill}.db"
        execute("run", store, answers, kill)
        resumed = execute("resume", store, answers)
        assert resumed["log"] == whole["log"]
        assert resumed["result"]["fingerprint"] == whole["result"]["fingerprint"]
        assert resumed["result"]["calls"] == 7
        # What was answered before is not asked again; what was asked is asked in the same words.
        assert 8 - kill <= len(resumed["asked"]) <= 9 - kill
        assert all(one in whole["asked"] for one in resumed["asked"])


def test_the_readmes_example_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(scenario:.*?)```", README, re.DOTALL)
    (tmp_path / "s.yaml").write_text(example)
    played = execute("run", "runs.db", {"Mara": ["/offer 9", "Eight, then.", "/offer price=8"]})
    assert played["result"]["status"] == "completed"
    assert played["result"]["outcomes"] == {"price": 8, "sold": 1}
    shown = re.search(r"```\n(You are Mara.*?)…\nMara, what do you say or do\?", README, re.DOTALL)
    assert shown
    assert played["asked"][0][1].startswith(shown[1].strip())


OPTIONS = [option.name for option in attrs.fields(HumanConfig)]


@pytest.mark.parametrize("name", [*OPTIONS, *TEMPLATE_NAMES])
def test_each_option_and_variable_is_in_the_readme(name: str) -> None:
    assert re.search(rf"^\|[^|]*`{name}`[^|]*\|", README, re.MULTILINE)
