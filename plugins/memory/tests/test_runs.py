"""The memories in whole runs: what models are asked with, and that it is the same again."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
import pyscrai_memory.plugin
from pyscrai_core import Completion, Engine, Extension, Message, Provider, Request, RunResult, Turn, hookimpl
from pyscrai_core.api import replay, resume
from pyscrai_core.plugins import Host
from pyscrai_records.store.store import Store


class Talker(Engine):
    """Shows the model what is remembered, and says what it answers."""

    async def run(self, turn: Turn) -> None:
        answer = await turn.think([*await turn.recall(), Message.user("It is your turn.")])
        turn.say(answer.text)


class Counting(Provider):
    """Answers with the agent's name and the number of its turn."""

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        return Completion(f"{request.position.agent.lower()} {request.turn + 1}", model="counting")


class TalkPlugin:
    pyscrai_api = 1
    __name__ = "talk"

    @hookimpl
    def pyscrai_engines(self) -> list[Extension]:
        return [Extension("talker", f"{__name__}:Talker")]

    @hookimpl
    def pyscrai_providers(self) -> list[Extension]:
        return [Extension("counting", f"{__name__}:Counting")]

    @hookimpl
    def pyscrai_schedules(self) -> list[Extension]:
        return [Extension("four-steps", f"{__name__}:FourSteps")]


class FourSteps(pyscrai_core.Schedule):
    """All agents at once, four times."""

    async def next(self, stage: pyscrai_core.Stage) -> tuple[str, ...]:
        return stage.agents if stage.step <= 4 else ()


HOST = Host(extra=[TalkPlugin(), pyscrai_memory.plugin])


def run(folder: Path, memory: Any, **limits: int) -> RunResult:
    scenario = {
        "scenario": "talk",
        "providers": {"default": "counting"},
        "agents": {name: {"engine": "talker", "memory": memory} for name in ("Ann", "Ben", "Cem")},
        "schedule": "four-steps",
        "limits": limits,
    }
    file = folder / "scenario.yaml"
    file.write_text(json.dumps(scenario))
    return pyscrai_core.run(file, seed=1, store=folder / "runs.db", host=HOST)


def asked(folder: Path, agent: str) -> list[list[tuple[str, str]]]:
    """What the agent's calls of the last run were asked with."""
    with Store.open(folder / "runs.db") as store:
        stored = store.run("last")
        return [
            [(message.role, message.text) for message in stored.messages(call["number"])]
            for call in stored.calls()
            if call["agent"] == agent
        ]


def test_full_shows_the_whole_conversation(tmp_path: Path) -> None:
    run(tmp_path, "full")
    last = asked(tmp_path, "Ben")[-1]
    assert last == [
        ("user", "Ann: ann 1"),
        ("assistant", "ben 1"),
        ("user", "Cem: cem 1"),
        ("user", "Ann: ann 2"),
        ("assistant", "ben 2"),
        ("user", "Cem: cem 2"),
        ("user", "Ann: ann 3"),
        ("assistant", "ben 3"),
        ("user", "Cem: cem 3"),
        ("user", "It is your turn."),
    ]


def test_each_request_goes_on_from_the_one_before(tmp_path: Path) -> None:
    run(tmp_path, "full")
    histories = [request[:-1] for request in asked(tmp_path, "Ben")]
    for before, after in pairwise(histories):
        assert after[: len(before)] == before
        assert len(after) > len(before)


def test_window_shows_the_end_of_it(tmp_path: Path) -> None:
    run(tmp_path, {"use": "window", "tokens": 50})
    requests = asked(tmp_path, "Ben")
    # Seven tokens for a message of another, six for one of its own, twelve for the notice: 25 are kept.
    assert requests[1][:-1] == [("user", "Ann: ann 1"), ("assistant", "ben 1"), ("user", "Cem: cem 1")]
    assert requests[2][:-1] == [
        ("user", "(Earlier events are not shown.)"),
        ("assistant", "ben 2"),
        ("user", "Cem: cem 2"),
    ]


@pytest.mark.parametrize("memory", ["full", {"use": "window", "tokens": 50, "keep": 0.8}])
def test_a_run_that_was_stopped_goes_on_with_the_same_memory(tmp_path: Path, memory: Any) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = run(tmp_path / "whole", memory)
    assert run(tmp_path / "parts", memory, calls=8).status == "stopped"
    rest = resume(store=tmp_path / "parts" / "runs.db", set={"limits.calls": 100}, host=HOST)
    assert (rest.status, rest.asked) == ("completed", 4)
    assert rest.fingerprint == whole.fingerprint
    assert asked(tmp_path / "parts", "Cem") == asked(tmp_path / "whole", "Cem")
    assert replay(store=tmp_path / "parts" / "runs.db", host=HOST).fingerprint == whole.fingerprint


def test_a_wrong_option_is_shown_where_it_stands(tmp_path: Path) -> None:
    with pytest.raises(pyscrai_core.ScenarioError, match=r"scenario\.yaml:1:\d+: agents\.Ann\.memory.*keep"):
        run(tmp_path, {"use": "window", "keep": 2})
    with pytest.raises(pyscrai_core.ScenarioError, match="tokens: expected an integer, got '9'"):
        run(tmp_path, {"use": "window", "tokens": "9"})
    with pytest.raises(pyscrai_core.ScenarioError, match="unknown key 'token'; did you mean 'tokens'"):
        run(tmp_path, {"use": "window", "token": 9})


@pytest.mark.parametrize("use", ["summary", "recall"])
def test_a_provider_that_does_not_exist_is_found_before_the_run(use: str, tmp_path: Path) -> None:
    with pytest.raises(pyscrai_core.ScenarioError, match="memory.provider: there is no provider 'cheep'"):
        run(tmp_path, {"use": use, "provider": "cheep"})


@pytest.mark.parametrize(
    "group, says",
    [
        ({"members": ["Ben"], "state": {"notes": []}}, "Ann is not in the group 'team', but in none"),
        (["Ann"], "groups.team.state has no list 'notes'; declare it: state: {notes: []}"),
        ({"members": ["Ann"], "state": {"note": []}}, "groups.team.state has no list 'notes'"),
    ],
)
@pytest.mark.parametrize("key", ["memory", "tools"])
def test_a_group_without_its_notes_is_found_before_the_run(
    key: str, group: Any, says: str, tmp_path: Path
) -> None:
    use = {"memory": {"use": "shared", "group": "team"}, "tools": [{"use": "note", "group": "team"}]}
    scenario = {
        "scenario": "talk",
        "agents": {"Ann": {"engine": "talker", key: use[key]}, "Ben": {"engine": "talker"}},
        "groups": {"team": group},
        "schedule": "four-steps",
    }
    with pytest.raises(pyscrai_core.ScenarioError, match=re.escape(says)):
        pyscrai_core.run(scenario, store=tmp_path / "runs.db", host=HOST)
