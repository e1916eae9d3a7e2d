"""A process that is killed while the model writes: resumed, it is the same run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pyscrai_core
from pyscrai_core.api import resume

#: Kills its own process at the third piece of the answer to the call that is given by its number.
KILLED = """
import os, signal, sys
import pyscrai_core
from pyscrai_core import NoConfig, Observer

class Watch(Observer):
    calls = pieces = 0

    def on_call(self, call):
        self.calls += call.status == "started"
        self.pieces = 0

    def on_words(self, position, text):
        self.pieces += 1
        if (self.calls, self.pieces) == (int(sys.argv[3]), 3):
            print(position.agent, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

pyscrai_core.run(sys.argv[1], store=sys.argv[2], observers=[Watch(NoConfig())])
"""


@pytest.mark.slow
def test_killed_amid_an_answer_it_is_the_same_run(tmp_path: Path) -> None:
    for name in ("cast", "schedules"):
        pytest.importorskip(f"pyscrai_{name}.plugin", reason=f"needs pyscrai-{name}")
    provider = {"use": "llamacpp", "model": "smollm2", "exact": True, "temperature": 0.9, "max_tokens": 16}
    scenario = tmp_path / "scenario.json"
    scenario.write_text(
        json.dumps(
            {
                "scenario": "trade",
                "seed": 5,
                "providers": {"default": provider},
                "agents": {name: {"persona": f"{name}, who trades in apples."} for name in ("Mara", "Jon")},
                "schedule": {"use": "round-robin", "rounds": 2},
            }
        )
    )
    whole = pyscrai_core.run(scenario, store=tmp_path / "whole.db")
    assert (whole.status, whole.calls) == ("completed", 4), whole.error
    for call, agent in ((2, "Jon"), (3, "Mara")):
        store = tmp_path / f"killed-{call}.db"
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(scenario), str(store), str(call)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, f"{agent}\n"), killed.stderr
        again = resume(store=store)
        assert (again.status, again.calls, again.asked) == ("completed", 4, 5 - call), again.error
        assert again.fingerprint == whole.fingerprint
