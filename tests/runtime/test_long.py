"""Runs of ten thousand turns: they are replayed, in about the memory that a short one needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pyscrai_core

#: Turns of the two runs.
SHORT, LONG = 1_000, 10_000
AGENTS = [f"Agent-{number}" for number in range(10)]
#: Replays the run in a store and tells what came of it, and the most memory that this process had.
REPLAY = """
import json, resource, sys
from pyscrai_core import api

result = api.replay(store=sys.argv[1])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([result.status, len(result.events), result.fingerprint, peak]))
"""


def made(turns: int) -> str:
    """Make a run with so many turns, each of them a call and an event; its fingerprint."""
    given = {
        "scenario": "long",
        "seed": 8,
        "providers": {"default": {"use": "scripted", "choice": ["wait", "not yet", "now"], "usage": False}},
        "agents": {
            name: {"persona": "A sailor.", "memory": {"use": "window", "tokens": 60}} for name in AGENTS
        },
        "schedule": {"use": "simultaneous", "rounds": turns // len(AGENTS)},
    }
    Path("long.json").write_text(json.dumps(given))
    result = pyscrai_core.run("long.json", store=f"{turns}.db")
    assert (result.status, len(result.events)) == ("completed", turns)
    return result.fingerprint


@pytest.mark.slow
def test_ten_thousand_turns_are_replayed_in_little_memory() -> None:
    peaks = []
    for turns in (SHORT, LONG):
        fingerprint = made(turns)
        command = [sys.executable, "-c", REPLAY, f"{turns}.db"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        *found, peak = json.loads(done.stdout)
        assert found == ["completed", turns, fingerprint]
        peaks.append(peak)
    assert peaks[1] < 1.5 * peaks[0], f"{peaks[0]:,} for {SHORT:,} turns and {peaks[1]:,} for {LONG:,}"
