"""The demo, as a user runs it: a real model, real differences, and a replay without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def pyscrai(*arguments: str, store: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyscrai_cli.main", *arguments, "--store", str(store)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Two demos in one store, with the seeds 6 and 7."""
    store = tmp_path_factory.mktemp("demo") / "runs.db"
    results = []
    for seed in (6, 7):
        done = pyscrai("demo", "--seed", str(seed), "--json", store=store)
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout))
    return store, results


def test_another_seed_gives_another_fingerprint(demos: Any) -> None:
    first, other = demos[1]
    assert first["fingerprint"] != other["fingerprint"]


def test_the_transcript_is_real(demos: Any) -> None:
    store, (first, *_) = demos
    done = pyscrai("log", first["run"], store=store)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(events) == first["events"]
    spoken = [event["payload"]["text"] for event in events if event["kind"] == "say"]
    assert len(set(spoken)) == len(spoken) > 2
    kinds = {event["kind"] for event in events}
    assert {"narration", "finding", "offer"} <= kinds
    assert {event["source"] for event in events if event["kind"] == "say"} == {"Mara", "Jon"}
    prices = [event["payload"]["price"] for event in events if event["kind"] == "offer"]
    assert first["outcomes"]["price"] == prices[-1]


def test_the_record_names_the_model(demos: Any) -> None:
    store, (first, *_) = demos
    shown = json.loads(pyscrai("show", first["run"], "--json", store=store).stdout)
    assert "SmolLM2-135M-Instruct" in json.dumps(shown)


def test_replay_without_the_models_plugin(demos: Any) -> None:
    store, results = demos
    for result in results:
        done = pyscrai("replay", result["run"], store=store, PYSCRAI_DISABLE="llamacpp")
        assert done.returncode == 0, done.stderr
    refused = pyscrai("demo", store=store, PYSCRAI_DISABLE="llamacpp")
    assert refused.returncode == 2
    assert "llamacpp" in refused.stderr


def test_the_same_seed_gives_the_same_fingerprint_and_the_end_says_what_to_try_next(demos: Any) -> None:
    store, (first, *_) = demos
    done = pyscrai("demo", "--seed", "6", store=store)
    assert done.returncode == 0
    assert first["fingerprint"][:12] in done.stdout
    assert first["run"] not in done.stdout
    assert "price" in done.stdout
    assert "pyscrai replay" in done.stdout or "pyscrai show" in done.stdout
    assert "\x1b" not in done.stdout
