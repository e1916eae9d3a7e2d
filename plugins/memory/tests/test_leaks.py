"""No memory ever shows an agent the words of an event that it may not see, in whatever run."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import pyscrai_core
import pyscrai_memory.plugin
from pyscrai_core import Completion, Engine, Event, Extension, Message, Provider, Request, Turn, hookimpl
from pyscrai_core.plugins import Host
from pyscrai_records.store.store import Store

AGENTS = ("Ann", "Ben", "Cem", "Dan")
GROUPS = ("red", "blue")
TOKEN = re.compile(r"tok-\w+-\d+")
RECALL = {"use": "recall", "tokens": 120, "recalled": 50, "keep": 0.6, "count": 4}
SUMMARY = {"use": "summary", "tokens": 150, "words": 10, "keep": 0.6}
MEMORIES: list[Any] = [
    "none",
    "full",
    {"use": "window", "tokens": 60},
    SUMMARY,
    RECALL,
    {**RECALL, "importance": "model", "weights": {"relevance": 0}},
    {**RECALL, "embeddings": "default"},
    *({"use": "shared", "inner": inner, "note": ["say", "hint"]} for inner in ("none", SUMMARY, RECALL)),
]
shown: list[tuple[str, str]] = []


class Gossip(Engine):
    """Says something unique to somebody or other, once it has looked at what it remembers."""

    emits = {"hint": {"type": "object"}}

    async def run(self, turn: Turn) -> None:
        shown.extend((turn.agent.name, message.text) for message in await turn.recall())
        for number in range(2):
            audience = turn.random.choice([(), "*", *AGENTS, *GROUPS, ("Ann", "red")])
            kind = turn.random.choice(["say", "hint", "thought"])
            text = f"tok-{turn.agent.name}-{2 * turn.number + number} and so on"
            turn.emit(kind, {"text": text}, audience=audience)


class Echo(Provider):
    """Gives back what it is told: whatever a summary is made from shows in it."""

    capabilities = frozenset({"schema", "embed"})

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        text = request.messages[-1].text
        if request.schema is None:
            return Completion(" ".join(TOKEN.findall(text)) or "nothing", model="echo")
        return Completion(json.dumps({name: len(text) % 10 + 1 for name in request.schema["required"]}))

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [[float(len(text)), 1.0] for text in texts]


class GossipPlugin:
    pyscrai_api = 1
    __name__ = "gossip"

    @hookimpl
    def pyscrai_engines(self) -> list[Extension]:
        return [Extension("gossip", f"{__name__}:Gossip")]

    @hookimpl
    def pyscrai_providers(self) -> list[Extension]:
        return [Extension("echo", f"{__name__}:Echo")]

    @hookimpl
    def pyscrai_schedules(self) -> list[Extension]:
        return [Extension("random-groups", f"{__name__}:RandomGroups")]


class RandomGroups(pyscrai_core.Schedule):
    async def next(self, stage: pyscrai_core.Stage) -> Sequence[str]:
        return stage.random.sample(stage.agents, 2) if stage.step <= 12 else ()


HOST = Host(extra=[GossipPlugin(), pyscrai_memory.plugin])
members = st.lists(st.sampled_from(AGENTS), unique=True)


def may_see(event: Event, agent: str, groups: dict[str, list[str]]) -> bool:
    """The rule of visibility once more, in other words than the kernel's."""
    heard_by = {event.source}
    for name in event.audience:
        heard_by |= set(AGENTS) if name == "*" else set(groups.get(name, [name]))
    return agent in heard_by


@settings(deadline=None, derandomize=True, database=None, max_examples=30)
@given(
    st.fixed_dictionaries(dict.fromkeys(GROUPS, members)),
    st.lists(st.sampled_from(MEMORIES), min_size=4, max_size=4),
    st.integers(0, 1000),
)
def test_nothing_leaks(groups: dict[str, list[str]], memories: list[Any], seed: int) -> None:
    agents = {}
    for name, memory in zip(AGENTS, memories, strict=True):
        if isinstance(memory, dict) and memory["use"] == "shared":
            mine = [group for group in GROUPS if name in groups[group]]
            memory = {**memory, "group": mine[0]} if mine else "full"
        agents[name] = {"engine": "gossip", "memory": memory}
    scenario = {
        "scenario": "gossip",
        "providers": {"default": "echo"},
        "agents": agents,
        "groups": {name: {"members": listed, "state": {"notes": []}} for name, listed in groups.items()},
        "schedule": "random-groups",
    }
    shown.clear()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scenario.json"
        file.write_text(json.dumps(scenario))
        result = pyscrai_core.run(file, seed=seed, store=Path(folder) / "runs.db", host=HOST)
        assert result.status == "completed", result.error
        with Store.open(Path(folder) / "runs.db") as store:
            run = store.run("last")
            asked: list[tuple[str, Message]] = [
                (call["agent"], message)
                for call in run.calls()
                if call["kind"] == "complete"
                for message in run.messages(call["number"])
            ]
    events = {TOKEN.findall(e.payload["text"])[0]: e for e in result.events if "text" in e.payload}
    found = {(agent, token) for agent, text in shown for token in TOKEN.findall(text)}
    found |= {(agent, token) for agent, message in asked for token in TOKEN.findall(message.text)}
    leaked = [(agent, events[token]) for agent, token in found if not may_see(events[token], agent, groups)]
    assert not leaked
    if memories.count("none") < 4:
        assert found
