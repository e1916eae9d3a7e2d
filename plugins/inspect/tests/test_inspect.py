"""Logs of real runs: their parts, and what Inspect's own reader makes of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

import pyscrai_inspect.plugin
from pyscrai_core import (
    Completion,
    Engine,
    Event,
    Message,
    Provider,
    Request,
    ScenarioError,
    StoredRun,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
    Usage,
)
from pyscrai_core.plugins import Host
from pyscrai_core.runtime.exporting import make_exporter
from pyscrai_core.scenario.trust import Gate
from pyscrai_inspect.convert import messages
from pyscrai_records.store.store import Store
from pyscrai_testing.fixtures import Solo, store_events

#: The version of Inspect that reads the logs in the slow test.
INSPECT = "inspect-ai==0.3.285"
WORDS = ["Good morning.", "<b>No</b>.", "Äpfel \u2028\x07"]


class Talker(Engine):
    async def run(self, turn: Turn) -> None:
        answer = await turn.think([*await turn.recall(), Message.user("Say something.")])
        turn.say(answer.text)
        turn.emit("offer", {"price": 1.5}, audience=["Jon"])


class Words(Provider):
    capabilities = frozenset({"tools"})

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        return Completion(
            WORDS[request.turn],
            thinking=(Thinking("Hm."),),
            finish_reason="length" if request.turn == 2 else "stop",
            usage=Usage(90, 2, 40, 10),
            model="words-1",
        )

    def cost(self, usage: Usage, model: str = "") -> float | None:
        return 0.25


HOST = Host(extra=[pyscrai_inspect.plugin])
SCENARIO: dict[str, Any] = {
    "scenario": "two words",
    "description": "A talk.",
    "providers": {"default": "words"},
    "agents": {"Mara": {"engine": "talker", "memory": None}, "Jon": {"engine": "talker", "memory": None}},
    "schedule": {"use": "solo", "agent": "Mara", "steps": len(WORDS)},
    "outcomes": {"count": "len(events)", "won": "True", "none": "None", "deep": "[{'a': [1]}]"},
}


@pytest.fixture
def runs(recorded: Callable[..., list[StoredRun]]) -> list[StoredRun]:
    """Two runs of one arm, one of another, and one that failed."""
    fails = {"outcomes": {"count": "1 / (len(events) - 6)"}}
    given = [
        {"seed": seed, "labels": {"arm": arm}, "set": fails if arm == "bad" else {}}
        for seed, arm in enumerate(("plain", "plain", "rich", "bad"), 1)
    ]
    found = recorded(SCENARIO, *given, engine__talker=Talker, provider__words=Words, schedule__solo=Solo)
    assert [run.status for run in found] == ["completed"] * 3 + ["failed"]
    return found


def exported(runs: list[StoredRun], out: Path, **options: Any) -> list[Path]:
    return make_exporter("inspect", options, HOST, Gate()).export(runs, out)


def test_there_is_a_log_for_each_arm_and_a_sample_for_each_run(runs: list[StoredRun], out: Path) -> None:
    paths = exported(runs, out)
    assert [path.name for path in paths] == [
        "two-words-plain.eval", "two-words-rich.eval", "two-words-bad.eval"
    ]  # fmt: skip
    assert sorted(out.iterdir()) == sorted(paths)
    with ZipFile(paths[0]) as archive:
        header = json.loads(archive.read("header.json"))
        samples = [json.loads(archive.read(f"samples/{run.id}_epoch_1.json")) for run in runs[:2]]
        summaries = json.loads(archive.read("summaries.json"))
    assert header["status"] == "success"
    assert header["eval"]["task"] == "two words (plain)"
    assert header["eval"]["dataset"]["sample_ids"] == [run.id for run in runs[:2]]
    assert header["results"]["scores"][0]["metrics"]["mean"]["value"] == 6
    assert [one["scores"]["won"]["value"] for one in summaries] == [True, True]
    assert set(samples[0]["scores"]) == {"count", "won"}
    assert [one["content"] for one in samples[0]["messages"]] == [
        event.describe() for event in runs[0].events()
    ]
    events = samples[0]["events"]
    infos = [one for one in events if one["event"] == "info"]
    assert [(one["metadata"]["seq"], one["data"]) for one in infos] == [
        (event.seq, event.payload) for event in runs[0].events()
    ]
    models = [one for one in events if one["event"] == "model"]
    assert [one["output"]["completion"] for one in models] == WORDS
    first, _, third = models
    assert first["output"]["usage"] == {
        "input_tokens": 40, "output_tokens": 2, "total_tokens": 92, "input_tokens_cache_read": 40,
        "input_tokens_cache_write": 10, "total_cost": 0.25,
    }  # fmt: skip
    assert first["input"][-1] == {"role": "user", "content": "Say something."}
    assert third["output"]["choices"][0]["stop_reason"] == "max_tokens"
    spans = [one for one in events if one["event"].startswith("span")]
    assert [(one["event"], one["id"]) for one in spans] == [
        (f"span_{kind}", f"step-{step}{inner}")
        for step in (1, 2, 3)
        for kind, inner in (("begin", ""), ("begin", "-0"), ("end", "-0"), ("end", ""))
    ]
    turns = [one for one in spans if one.get("type") == "agent"]
    assert [(one["name"], one["parent_id"]) for one in turns] == [("Mara", f"step-{n}") for n in (1, 2, 3)]
    assert [one["span_id"] for one in models] == ["step-1-0", "step-2-0", "step-3-0"]
    with ZipFile(paths[2]) as archive:
        header = json.loads(archive.read("header.json"))
        (summary,) = json.loads(archive.read("summaries.json"))
    assert (header["status"], header["results"]["completed_samples"]) == ("error", 0)
    assert "division by zero" in summary["error"]


def test_messages_with_tools() -> None:
    asked = Message("assistant", (Text("I look."), ToolCall("1", "look", {"at": "it"})))
    answered = Message("tool", (ToolResult("1", "seen"), ToolResult("2", "gone", failed=True)))
    assert list(messages([Message.system("You are Mara."), asked, answered])) == [
        {"role": "system", "content": "You are Mara."},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [{"id": "1", "function": "look", "arguments": {"at": "it"}, "type": "function"}],
        },
        {"role": "tool", "content": "seen", "tool_call_id": "1"},
        {
            "role": "tool",
            "content": "gone",
            "tool_call_id": "2",
            "error": {"type": "unknown", "message": "gone"},
        },
    ]


def test_options(runs: list[StoredRun], out: Path) -> None:
    (path,) = exported(runs[:3], out, arm="none", messages=0)
    with ZipFile(path) as archive:
        sample = json.loads(archive.read(f"samples/{runs[0].id}_epoch_1.json"))
    assert {len(one["input"]) for one in sample["events"] if one["event"] == "model"} == {0}
    with pytest.raises(ScenarioError, match="--format inspect: message: .*did you mean 'messages'"):
        exported(runs, out, message=3)


def test_a_long_run_takes_no_more_memory(tmp_path: Path, out: Path) -> None:
    with Store.open(tmp_path / "long.db") as store:
        events = (
            Event(seq, seq // 10, "say", "Mara", ("*",), {"text": "one two " * 480})
            for seq in range(1, 5_001)
        )
        run = store_events(store, events, "long")
        tracemalloc.start()
        (path,) = exported([run], out)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    with ZipFile(path) as archive:
        assert archive.getinfo(f"samples/{run.id}_epoch_1.json").file_size > 40_000_000
    assert peak < 10_000_000


READ = """
import json, sys
from inspect_ai.log import read_eval_log, read_eval_log_sample_summaries
from inspect_ai.analysis import samples_df
from inspect_ai.event import timeline_build
path = sys.argv[1]
log = read_eval_log(path, resolve_attachments=True)
header = read_eval_log(path, header_only=True)
frame = samples_df(path)
print(json.dumps({
    "status": log.status, "task": header.eval.task, "model": header.eval.model, "version": log.version,
    "scores": {score.name: score.metrics["mean"].value for score in log.results.scores},
    "samples": [{
        "id": sample.id, "count": sample.scores["count"].value, "metadata": sample.metadata,
        "messages": [message.text for message in sample.messages],
        "events": [event.event for event in sample.events],
        "completions": [event.output.completion for event in sample.events if event.event == "model"],
        "agents": [
            (span.name, span.utility, [one.event.event for one in span.content if one.type == "event"])
            for span in timeline_build(sample.events).root.content if span.type == "span"
        ],
        "thoughts": [event.output.choices[0].message.content[0].reasoning
                     for event in sample.events if event.event == "model"],
        "cost": sum(event.output.usage.total_cost for event in sample.events if event.event == "model"),
    } for sample in log.samples],
    "summaries": [summary.id for summary in read_eval_log_sample_summaries(path)],
    "rows": len(frame),
    "columns": [name for name in frame.columns if name.startswith("score_")],
}))
"""


@pytest.fixture(scope="session")
def inspect_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python with Inspect, in an environment of its own: it needs other versions than the rest.

    The variable `INSPECT_PYTHON` names one that is there.
    """
    if known := os.environ.get("INSPECT_PYTHON"):
        return known
    folder = tmp_path_factory.mktemp("inspect")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    free = {name: value for name, value in os.environ.items() if not name.endswith("CONSTRAINT")}
    ended = subprocess.run(
        [python, "-m", "pip", "install", "-q", INSPECT, "pandas", "pyarrow"],
        capture_output=True, text=True, env=free, check=False,
    )  # fmt: skip
    if ended.returncode:
        pytest.skip(f"{INSPECT} could not be installed: {ended.stderr[-300:]}")
    return python


@pytest.mark.slow
def test_inspects_own_reader_opens_it(runs: list[StoredRun], out: Path, inspect_python: str) -> None:
    path = exported(runs, out)[0]
    ended = subprocess.run(
        [inspect_python, "-c", READ, str(path)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    read = json.loads(ended.stdout.splitlines()[-1])
    assert (read["status"], read["task"], read["model"], read["version"]) == (
        "success", "two words (plain)", "words", 2
    )  # fmt: skip
    assert read["scores"] == {"count": 6.0, "won": 1.0}
    assert read["summaries"] == [run.id for run in runs[:2]]
    assert read["rows"] == 2
    assert set(read["columns"]) == {"score_count", "score_won"}
    samples = {sample["id"]: sample for sample in read["samples"]}
    for run in runs[:2]:
        sample = samples[run.id]
        assert sample["count"] == 6
        assert sample["metadata"]["fingerprint"] == run.fingerprint
        assert sample["metadata"]["draws"] == run.manifest["draws"] != {}
        assert sample["messages"] == [event.describe() for event in run.events()]
        assert sample["completions"] == WORDS
        # Inspect takes each turn as an agent's, and hides none as a helper's.
        assert sample["agents"] == [["mara", False, ["model", "info", "info"]]] * 3
        assert sample["thoughts"] == ["Hm."] * 3
        assert sample["cost"] == 0.75
        assert sample["events"].count("info") == 6
