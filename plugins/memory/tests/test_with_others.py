"""With the plugins that a scenario usually has beside this one: skipped where those are not installed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

import pyscrai_core
from pyscrai_memory.full import FullConfig
from pyscrai_memory.recall import RecallConfig
from pyscrai_memory.shared import NoteConfig, SharedConfig
from pyscrai_memory.summary import SummaryConfig
from pyscrai_memory.window import WindowConfig
from pyscrai_records.store.store import Store
from pyscrai_testing.resume import check_resume

for _name in ("cast", "memory", "schedules", "scripted"):
    pytest.importorskip(f"pyscrai_{_name}.plugin", reason=f"needs pyscrai-{_name}")

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(scenario:.*?)```", README, re.DOTALL)

SUMMARY = {"use": "summary", "tokens": 120, "words": 10, "keep": 0.8}
RECALL = {"use": "recall", "tokens": 100, "recalled": 40, "keep": 0.6}
MEMORIES: dict[str, Any] = {
    "none": "none",
    "full": "full",
    "window": {"use": "window", "tokens": 50},
    "summary": SUMMARY,
    "recall": RECALL,
    "rated": {**RECALL, "importance": "model"},
    "embedded": {**RECALL, "embeddings": "vectors"},
    "shared": {"use": "shared", "group": "team", "inner": {**RECALL, "importance": "model"}, "note": ["say"]},
}
#: A provider that embeds: texts of the same length are alike.
VECTORS = """
from pyscrai_core import Provider, RequestRejected

class Vectors(Provider):
    async def complete(self, request, sink=None):
        raise RequestRejected("it only embeds")

    async def embed(self, texts):
        return [[len(text) + 0.1, 1 / (1 + sum(map(ord, text))), 1.0] for text in texts]
"""


def scenario(memory: Any, **more: Any) -> dict[str, Any]:
    scripted = {"use": "scripted", "choice": ["One by one.", "Two by two.", "Three.", "Four."]}
    rated: dict[str, Any] = {"use": "scripted", "replies": ["In short, they count."]}
    rated["rule"] = "{name: 1 + (seed + len(name)) % 9 for name in schema.required} if schema else None"
    return {
        "scenario": "talk",
        "providers": {"default": scripted, "judge": rated},
        "agents": {name: {"persona": "A person.", "memory": memory} for name in ("Ann", "Ben", "Cem")},
        "groups": {"team": {"members": ["Ann", "Ben", "Cem"], "state": {"notes": []}}},
        "schedule": {"use": "simultaneous", "rounds": 5},
        **more,
    }


def asking(name: str, memory: Any) -> Any:
    """`memory` with a provider of its own for what it asks."""
    if name == "shared":
        return {**memory, "inner": {**memory["inner"], "provider": "judge"}}
    return {**memory, "provider": "judge"} if name in ("summary", "rated") else memory


def asked(store: Path) -> list[tuple[dict[str, Any], list[str]]]:
    """The completions of the last run, and the messages that they were asked with."""
    with Store.open(store) as opened:
        run = opened.run("last")
        calls = [call for call in run.calls() if call["kind"] == "complete"]
        return [(call, [message.text for message in run.messages(call["number"])]) for call in calls]


def begins(messages: list[str], text: str) -> bool:
    return any(message.startswith(text) for message in messages)


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_readmes_example_runs(text: str, tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    result = pyscrai_core.run(file, store=tmp_path / "runs.db")
    assert result.status == "completed", result.error
    assert sum(event.kind == "say" for event in result.events) == len(result.events) - (
        sum(event.kind in ("change", "tool") for event in result.events)
    )


@pytest.mark.parametrize(
    "config", [FullConfig, WindowConfig, SummaryConfig, RecallConfig, SharedConfig, NoteConfig]
)
def test_the_readme_names_every_option(config: Any) -> None:
    for option in attrs.fields(config):
        assert re.search(rf"^\|[^|]*`{option.name}`", README, re.MULTILINE), option.name


@pytest.mark.parametrize("name", MEMORIES)
@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "vectors.py").write_text(VECTORS)
    made = scenario(asking(name, MEMORIES[name]))
    if name == "embedded":
        made["providers"]["vectors"] = "./vectors.py:Vectors"
    check_resume(made, tmp_path, kills=[11])
    with Store.open(tmp_path / "whole.db") as store:
        calls = store.run("last").calls()
        others = sum(call["kind"] == "embed" or call["provider"] == "judge" for call in calls)
    assert (others > 0) == (name in ("summary", "rated", "embedded", "shared"))


def test_members_see_what_others_noted(tmp_path: Path) -> None:
    call = {
        "tool_calls": [{"name": "note_for_team", "arguments": {"text": "The key is here."}}],
        "then": "So.",
    }
    made = scenario({"use": "shared", "group": "team", "inner": "none"})
    made["providers"]["default"] = {"use": "scripted", "replies": {"Ann": [call, "Yes."], "*": ["Hm."]}}
    made["agents"]["Ann"]["tools"] = [{"use": "note", "group": "team"}]
    made["agents"]["Out"] = {"persona": "A stranger."}
    file = tmp_path / "scenario.json"
    file.write_text(json.dumps(made))
    assert pyscrai_core.run(file, store=tmp_path / "runs.db").status == "completed"
    note = "Shared notes of team:\n- Ann: The key is here."
    for call, words in asked(tmp_path / "runs.db"):
        assert begins(words, note) == (call["step"] > 1 and call["agent"] != "Out")


@pytest.mark.slow
def test_a_real_model_lives_with_each(tmp_path: Path) -> None:
    pytest.importorskip("pyscrai_llamacpp.plugin", reason="needs pyscrai-llamacpp")
    pytest.importorskip("xllamacpp", reason="needs xllamacpp")
    models = pytest.importorskip("pyscrai_llamacpp.models")
    try:
        models.find_weights("smollm2")
    except pyscrai_core.ConfigError as error:
        pytest.skip(str(error))
    local = {"use": "llamacpp", "model": "smollm2", "exact": True}
    agents = {
        name: {"persona": "A person.", "memory": asking(name, MEMORIES[name])}
        for name in MEMORIES
        if name != "embedded"
    }
    made = scenario(
        "full",
        providers={"default": {**local, "max_tokens": 12}, "judge": {**local, "max_tokens": 256}},
        agents=agents,
        groups={"team": {"members": ["shared"], "state": {"notes": []}}},
        schedule={"use": "round-robin", "rounds": 3},
    )
    file = tmp_path / "scenario.json"
    file.write_text(json.dumps(made))
    result = pyscrai_core.run(file, store=tmp_path / "runs.db")
    assert result.status == "completed", result.error
    calls = asked(tmp_path / "runs.db")
    last = {call["agent"]: words for call, words in calls if call["provider"] == "default"}
    for name, words in last.items():
        assert begins(words, "You remember:") == (name in ("recall", "rated", "shared"))
        assert begins(words, "Shared notes of team:\n- shared: ") == (name == "shared")
        assert begins(words, "(Earlier events are not shown.)") == (name == "window")
    head = "(Summary of earlier events:)\n"
    (summary,) = [words.removeprefix(head) for words in last["summary"] if words.startswith(head)]
    answers = [call["answer"]["text"].strip() for call, _ in calls if call["agent"] == "summary"]
    assert any(answer[:20] and summary.startswith(answer[:20]) for answer in answers)
