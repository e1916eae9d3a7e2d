"""Forks with the first-party components: the prefix stays, new options show, whatever an object keeps."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_core import Provider, RequestRejected, api
from pyscrai_core.plugins import Host
from pyscrai_records.store.store import Store

#: The event behind which the forks begin: Ann had her turn of the second round.
AT = 4


class Vectors(Provider):
    """It only embeds: texts of the same length are alike."""

    size = 2

    async def complete(self, request: Any, sink: Any = None) -> Any:
        raise RequestRejected("it only embeds")

    async def embed(self, texts: Any) -> list[list[float]]:
        return [[len(text) + 0.1] * (self.size - 1) + [1 / (1 + sum(map(ord, text)))] for text in texts]


class Longer(Vectors):
    size = 3


# What is said is said once, so that a memory shows by its words.
SAYS = "None if schema else f\"{agent}-{turn} {choice(['yes', 'no', 'perhaps'])}.\""
GIVEN: dict[str, Any] = {
    "scenario": "talk",
    "seed": 5,
    "providers": {
        "default": {"use": "scripted", "rule": SAYS, "generate": True},
        "tools": {"use": "scripted", "replies": ["Hm."]},
        "vectors": "vectors",
        "longer": "longer",
    },
    "world": {"premise": "A market at dawn.", "state": {"price": 3}},
    "groups": {
        "team": {"members": ["Ann", "Ben"], "state": {"notes": ["they met" + " by the well" * 15]}},
        "rest": {"members": ["Ann", "Cem"], "state": {"notes": ["they left"]}},
    },
    "agents": {name: {"persona": f"{name} is a trader."} for name in ("Ann", "Ben", "Cem")},
    "schedule": {"use": "round-robin", "rounds": 4},
}


@pytest.fixture
def host(host_with: Callable[..., Host]) -> Host:
    return host_with(provider__vectors=Vectors, provider__longer=Longer)


def of(part: str, use: Any, **options: Any) -> dict[str, Any]:
    """Ann's `part` as it is before the fork."""
    return {f"agents.Ann.{part}": {"use": use, **options}}


def ann(**options: Any) -> dict[str, Any]:
    """What is other behind the fork, of Ann; a double underscore is a dot."""
    return {f"agents.Ann.{key.replace('__', '.')}": value for key, value in options.items()}


def using(tool: Any, **arguments: Any) -> dict[str, Any]:
    """Ann calls her one tool in each turn."""
    name, tools = arguments.pop("name"), [tool] if tool else []
    calls = {"tool_calls": [{"name": name, "arguments": arguments}], "then": "So."}
    return {"agents.Ann.tools": tools, "agents.Ann.provider": "tools", "providers.tools.replies": [calls]}


def schedule(use: str, **options: Any) -> dict[str, Any]:
    return {"schedule": {"use": use, **options}}


def acting(*groups: str) -> str:
    """The pattern for those that act in the steps behind the fork, to the end."""
    return "acts: " + " ".join(f"{step}:{group}" for step, group in enumerate(groups, AT + 1)) + "$"


SUMMARY = {"use": "summary", "tokens": 70, "words": 12, "keep": 0.9, "provider": "tools"}
RECALL = {"use": "recall", "tokens": 36, "recalled": 20, "keep": 0.6}
VECTORS = {**RECALL, "embeddings": "vectors"}
THOUGHTS = of("reasoning", "chain-of-thought")
ACTIONS = {"agents.Ann.actions": {"wait": {}, "offer": {"price": {"type": "integer", "minimum": 1}}}}
CLAIM = {**ann(engine="rules", policy=[{"do": "claim"}]), "agents.Ann.actions": {"claim": {}}}
WORLD = {"use": "world", "decides": ["say"], "ask": True}
NOT_EMBEDDED = r"\A(?s:(?!.*: embed).*You remember:)"
DICE = using("dice", name="dice", dice="d6")
MODERATED = schedule("moderated", rule="names[0]")
INTERRUPT = schedule("interrupt", claim="claim", in_a_row=1)
WORLD_TOOL = using("world", name="world", path="")
FORGOT = "Earlier events are not shown"

#: Of each case: what the run has beside GIVEN, what its fork changes, what shows then, and not in the run.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    # memories
    "none to full": (of("memory", "none"), ann(memory="full"), r"asked Ann.*Ben-0 \w+\."),
    "full to window": ({}, ann(memory={"use": "window", "tokens": 40}), FORGOT),
    "window, smaller": (of("memory", "window"), ann(memory__tokens=40), FORGOT),
    "window, notice": (of("memory", "window", tokens=30, notice=False), ann(memory__notice=True), FORGOT),
    "window to recall": (of("memory", "window"), ann(memory=RECALL), "You remember:"),
    "recall, less": (of("memory", **RECALL), ann(memory__count=1), r"You remember:\\n- [^-]*-[^-]*\""),
    "recall, rated": (of("memory", **RECALL), ann(memory__importance="model"), r'"1": \{"maximum": 10'),
    "recall, embedded": (of("memory", **RECALL), ann(memory__embeddings="vectors"), "embed vectors"),
    "recall, otherwise": (of("memory", **VECTORS), ann(memory__embeddings="longer"), "embed longer.*Ann-0"),
    "recall, by words": (of("memory", **VECTORS), ann(memory__embeddings=""), NOT_EMBEDDED),
    "summary, shorter": (
        {**of("memory", **SUMMARY), "providers.tools.replies": ["One two three four five."]},
        ann(memory__words=1), r"earlier events:\)\\nOne two …",
    ),
    "summary, prompt": (of("memory", **SUMMARY), ann(memory__prompt="./new.j2"), "Ann sums up"),
    "shared, another group": (
        of("memory", "shared", group="team", note=["say"]), ann(memory__group="rest"),
        r"\A(?s:(?!.*rest.notes[^\n]*Ann-0).*Shared notes of rest:)",
    ),
    "shared, fewer": (of("memory", "shared", group="team"), ann(memory__tokens=50), "longer notes are not"),
    "shared, noted": (of("memory", "shared", group="rest"), ann(memory__note=["say"]), r"they left\\n- Ann"),
    "shared, all": (
        of("memory", "shared", group="team", inner={"use": "window", "tokens": 20, "notice": False}),
        ann(memory={"use": "shared", "group": "team"}), r"asked Ann.*Ben-0 \w+\.",
    ),
    # reasoning
    "thoughts, shorter": (THOUGHTS, ann(reasoning__words=7), "7 words"),
    "thoughts, native": (THOUGHTS, ann(reasoning__native="always"), "answered without thinking"),
    "plan, steps": (of("reasoning", "plan"), ann(reasoning__steps=2), '"maxItems": 2'),
    "plan, words": (of("reasoning", "plan"), ann(reasoning__words=7), '"maxLength": 70'),
    "reflection": (of("reasoning", "reflection"), ann(reasoning__words=7), '"maxLength": 70'),
    "react": (of("reasoning", "react"), ann(reasoning__words=7), '"maxLength": 70'),
    "samples": (of("reasoning", "self-consistency", samples=2), ann(reasoning__samples=3), r"\(\d of 3\)"),
    "plan to react": (of("reasoning", "plan"), ann(reasoning="react"), '"by":"react"'),
    "inner": (of("reasoning", "reflection", inner="plan"), ann(reasoning__inner="react"), '"by":"react"'),
    # engines
    "actor, style": ({}, ann(words=7, style="in rhymes"), "7 words.*in rhymes"),
    "actor, persona": ({}, ann(persona="A thief.", goals=["Steal"]), "A thief.*Steal"),
    "actor, speech": (ACTIONS, ann(words=3), '"maxLength": 30'),
    "actor, mute": (ACTIONS, ann(speak=False), r'"required": \["action"\]'),
    "actor, actions": (ACTIONS, ann(actions={"wait": {}, "steal": {"what": {"type": "string"}}}), '"steal"'),
    "actor, template": ({}, ann(system="./new.j2"), "Ann sums up"),
    "the premise": ({}, {"world.premise": "A market at night."}, "asked Ann.*at night"),
    "actor to narrator": ({}, ann(engine="narrator"), '"kind":"narration"'),
    "narrator": (of("engine", "narrator"), ann(engine__perspective="first"), "somebody who is there"),
    "analyst, scores": (of("engine", "analyst"), ann(engine__scores={"trust": {}}), r'"scores":\{"trust"'),
    "analyst, heard": (of("engine", "analyst"), ann(engine__audience=["Ben"]), r'"audience":\["Ben"\]'),
    "rules": (ann(engine="rules", policy=[{"say": "1"}]), ann(policy=[{"say": "Now {turn}"}]), "Now 2"),
    "world": (of("engine", **WORLD), ann(engine__decisions=["no"]), r'"enum": \["no"\]'),
    "human": (ann(engine="human"), ann(speak=False, timeout=30), "30 s"),
    # who acts
    "round-robin, order": ({}, {"schedule.order": ["Cem", "Ann"]}, acting("Cem", "Cem", "Ann", "Cem", "Ann")),
    "round-robin, one gone": ({}, ann(acts="end"), acting("Ben", "Cem", "Ben", "Cem", "Ben", "Cem", "Ann")),
    "to simultaneous": ({}, schedule("simultaneous", rounds=1), acting("Ann 5:Ben 5:Cem")),
    "to random": ({}, schedule("random", steps=2, group=3), r"6:\w+ 6:\w+ 6:\w+$"),
    "random": (schedule("random", steps=9), {"schedule.group": 2}, r"5:\w+ 5:\w+ 6:"),
    "reactive": (
        {**schedule("reactive", opening=["Ann"], max_steps=9),
         **{f"agents.{name}.acts": {"on": "say"} for name in GIVEN["agents"]}},
        {"schedule.per_agent": 4}, acting("Ann 5:Ben 5:Cem"),
    ),
    "moderated, rule": (MODERATED, {"schedule.rule": "names[-1]"}, "acts: 5:Cem 6:Ben"),
    "moderated, asked": (schedule("moderated"), {"schedule.instructions": "Be fair."}, "Be fair"),
    "to moderated": ({}, schedule("moderated", turns=3), "asked @schedule"),
    "to interrupt": (
        {**CLAIM, **ann(policy=[{"when": "turn == 0", "do": "claim"}, {"say": "Hm."}])},
        schedule("interrupt", claim="claim", inner={"use": "round-robin", "rounds": 1}),
        acting("Ann", "Ben", "Cem"),
    ),
    "interrupt": ({**INTERRUPT, **CLAIM}, {"schedule.in_a_row": 2}, r"(\d+:Ann ){3}"),
    # tools
    "notes": (
        using("notes", name="write_note", title="one", text="two three"),
        ann(tools=[{"use": "notes", "characters": 5}]), "at most 5",
    ),
    "world tool": (WORLD_TOOL, ann(tools=[{"use": "world", "characters": 4}]), "47 more characters"),
    "note": (
        using({"use": "note", "group": "team"}, name="note_for_team", text="Less."),
        using({"use": "note", "group": "rest"}, name="note_for_rest", text="Less."), "groups.rest.notes",
    ),
    "another tool": (DICE, using("sample", name="sample", items=["red"]), '"red"'),
    "no tool": (DICE, {**ann(tools=[]), "providers.tools.replies": ["None left."]}, "None left"),
    "calculator": (DICE, using("calculator", name="calculator", expression="40+2"), "42"),
    "files": (
        using({"use": "files", "folder": "one"}, name="read_file", path="it.txt"),
        ann(tools=[{"use": "files", "folder": "two"}]), "the second",
    ),
    "another provider": ({}, ann(provider="tools"), '"text":"Hm."'),
}  # fmt: skip


async def passes(agent: str, question: str) -> str:
    return "/pass"


def story(store: Path, run: str, at: int) -> str:
    """What was asked behind the step of the event `at`, what happened, and who acted."""
    lines = []
    with Store.open(store) as opened:
        recorded = opened.run(run)
        events = list(recorded.events(after=at))
        for call in recorded.calls():
            if call["step"] < events[0].step or call["agent"] not in ("Ann", "@schedule"):
                continue
            if call["kind"] == "complete":
                asked: list[Any] = [message.text for message in recorded.messages(call["number"])]
                asked.append(recorded.frame(call["number"]))
            else:
                asked = [recorded.body(call["number"])]
            what = json.dumps(asked, ensure_ascii=False)
            lines.append(f"asked {call['agent']}: {call['kind']} {call['target']} {what}")
    lines += [event.line().decode() for event in events]
    spoke = (event for event in events if event.kind not in ("thought", "change", "tool", "rejected"))
    return "\n".join([*lines, "acts: " + " ".join(f"{event.step}:{event.source}" for event in spoke)])


@pytest.mark.parametrize("name", CASES)
def test_new_options_show_behind_the_fork(name: str, host: Host, tmp_path: Path) -> None:
    before, after, sign = CASES[name]
    file, store = tmp_path / "scenario.json", tmp_path / "runs.db"
    file.write_text(json.dumps(GIVEN))
    (tmp_path / "new.j2").write_text("{{ name }} sums up.")
    for folder, text in (("one", "the first"), ("two", "the second")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "it.txt").write_text(text)
    more: dict[str, Any] = {"store": store, "host": host}
    parent = pyscrai_core.run(file, set=before, ask=passes, **more)
    assert parent.status == "completed", parent.error
    at = max(event.seq for event in parent.events if event.step <= AT)

    same = api.fork(parent.run, at=at, ask=passes, reuse="none", **more)
    assert (same.status, same.fingerprint) == ("completed", parent.fingerprint), same.error

    changed = api.fork(parent.run, at=at, set=after, ask=passes, **more)
    assert changed.status == "completed", changed.error
    assert changed.events[:at] == parent.events[:at]
    assert re.search(sign, story(store, changed.run, at)), story(store, changed.run, at)
    assert not re.search(sign, story(store, parent.run, at)), sign
    assert api.replay(changed.run, **more).fingerprint == changed.fingerprint

    # Stopped behind its first call, and gone on with.
    limits = {"limits.calls": 1}
    stopped = api.fork(parent.run, at=at, set={**after, **limits}, ask=passes, reuse="none", **more)
    assert stopped.status == "stopped", stopped.error
    resumed = api.resume(stopped.run, set={"limits.calls": 999}, ask=passes, **more)
    assert (resumed.status, resumed.fingerprint) == ("completed", changed.fingerprint), resumed.error


SCORES = {"engine": "analyst", "memory": {"use": "summary", "tokens": 90, "words": 5}}
ALL: dict[str, Any] = {
    **GIVEN,
    "agents": {
        "Ann": {
            "actions": {"offer": {"price": {"type": "integer", "minimum": 1, "maximum": 9}}, "buy": {}},
            "memory": {"use": "shared", "group": "team", "note": ["say"]},
            "reasoning": "plan",
            "state": {"purse": 10},
            "tools": ["notes"],
        },
        "Ben": {"reasoning": "chain-of-thought", "memory": RECALL},
        "Cem": {
            "engine": "rules",
            "policy": [{"when": "turn % 3 == 1", "do": "claim"}, {"chance": 0.5, "say": "{turn}"}],
            "actions": {"claim": {}},
        },
        "Dan": {"acts": {"on": ["offer", "claim"]}, "memory": {"use": "window", "tokens": 50}},
        "Eve": {"engine": "narrator", "acts": ["start", {"every": 2}]},
        "Fay": {**SCORES, "acts": "after-group"},
        "Gus": {"engine": {**WORLD, "decides": ["offer"]}, "acts": {"on": "offer"}},
        "Zoe": {**SCORES, "acts": "end"},
    },
    "rules": [{"on": "offer", "set": {"price": "event.payload.price"}}],
    "schedule": {"use": "interrupt", "claim": "claim", "in_a_row": 1,
                 "inner": {"use": "simultaneous", "rounds": 3}},
}  # fmt: skip
#: Changes that follow on one another, each in a fork of the fork before.
CHAIN: list[dict[str, Any]] = [
    {"agents.Ann.memory": {"use": "window", "tokens": 60}, "agents.Fay.memory.words": 3, "seed": 9},
    {"groups.team.members": ["Ben", "Cem"], "agents.Ben.memory.tokens": 90, "agents.Gus.ask": False,
     "agents.Gus.rulings": [{"set": {"price": 1}}], "world.state.price": 8},
    {"schedule": "random", "agents.Eve.engine": "actor", "agents.Dan.acts": ["scheduled", "after-group"]},
]  # fmt: skip


@pytest.mark.slow
def test_each_moment_of_a_run_with_everything_can_be_forked(host: Host, tmp_path: Path) -> None:
    file, store = tmp_path / "scenario.json", tmp_path / "runs.db"
    file.write_text(json.dumps(ALL))
    more: dict[str, Any] = {"store": store, "host": host}
    parent = pyscrai_core.run(file, **more)
    assert parent.status == "completed", parent.error
    for at in range(1, sum(event.step <= parent.steps for event in parent.events) + 1):
        same = api.fork(parent.run, at=at, **more)
        assert (same.fingerprint, same.asked) == (parent.fingerprint, 0)
        now = parent
        for number, changes in enumerate(CHAIN):
            # One step further each time.
            step = parent.events[at - 1].step + number
            kept = [event for event in now.events if event.step <= min(step, now.steps)]
            before, now = now, api.fork(now.run, at=len(kept), set=changes, **more)
            assert now.status == "completed", now.error
            assert list(now.events[: len(kept)]) == kept
            assert api.replay(now.run, **more).fingerprint == now.fingerprint
        assert now.fingerprint != before.fingerprint


def command(*arguments: str) -> Any:
    line = [sys.executable, "-m", "pyscrai_cli.main", *arguments, "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_command_forks_as_the_function_does(tmp_path: Path) -> None:
    file, store = tmp_path / "scenario.json", str(tmp_path / "runs.db")
    given = {**ALL, "providers": {"default": GIVEN["providers"]["default"]}}
    file.write_text(json.dumps(given))
    parent = pyscrai_core.run(file, store=store)
    changes = {"agents.Ann.memory.tokens": 60, "agents.Ben.reasoning.words": 7, "schedule": "round-robin"}
    forked = api.fork(parent.run, at=9, set=changes, store=store)
    options = [f"--set={path}={value}" for path, value in changes.items()]
    asked = ["fork", parent.run, "--at", "9", *options, "--reuse", "none", "--store", store]
    assert command(*asked)["fingerprint"] == forked.fingerprint
    stopped = command(*asked, "--set", "limits.calls=3")
    assert stopped["status"] == "stopped"
    resumed = command("resume", stopped["run"], "--set", "limits.calls=999", "--store", store)
    assert (resumed["status"], resumed["fingerprint"]) == ("completed", forked.fingerprint)


def test_a_component_inside_an_option_goes_on_too(host: Host, tmp_path: Path) -> None:
    file, store = tmp_path / "scenario.json", tmp_path / "runs.db"
    inner = {"use": "summary", "tokens": 40, "words": 3, "keep": 0.9}
    given = {**GIVEN, **schedule("interrupt", inner={"use": "round-robin", "rounds": 4})}
    file.write_text(json.dumps(given))
    before = of("memory", "shared", group="team", inner=inner)
    more: dict[str, Any] = {"store": store, "host": host}
    parent = pyscrai_core.run(file, set=before, **more)
    changes = {"schedule.in_a_row": 2, "schedule.inner.rounds": 5, "agents.Ann.memory.tokens": 400}
    longer = api.fork(parent.run, at=9, set=changes, **more)
    # The rounds are counted on, and nothing is summarised twice.
    assert len(longer.events) == len(parent.events) + 3
    assert longer.events[:12] == parent.events
    assert longer.asked < 9
