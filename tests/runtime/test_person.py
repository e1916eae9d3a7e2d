"""A person at a terminal who is asked by a run: real processes on real terminals."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyscrai_core import Event
from pyscrai_records.store.store import Store
from pyscrai_testing.terminal import PYSCRAI, Terminal

Played = Callable[..., Terminal]


@pytest.fixture
def played(tmp_path: Path) -> Played:
    """Run a scenario with people on a terminal, as part of a `shell` command; without one, resume the run."""

    def run(
        agents: dict[str, Any] | None = None, *options: str, shell: str = "exec {}", **more: Any
    ) -> Terminal:
        if agents is None:
            options = ("resume",)
        else:
            scenario = {
                "scenario": "talk",
                "agents": {name: {"memory": None, **agent} for name, agent in agents.items()},
                "schedule": {"use": "round-robin", "rounds": 1},
                **more,
            }
            (tmp_path / "s.json").write_text(json.dumps(scenario))
        what = options if options[:1] == ("resume",) else ("run", "s.json", *options)
        command = [*PYSCRAI, *what, "--store", "runs.db"]
        return Terminal("sh", "-c", shell.format(shlex.join(command)))

    return run


def log() -> list[Event]:
    with Store.open("runs.db", create=False) as store:
        return list(store.run("last").events())


def said() -> list[tuple[str, Any]]:
    return [(event.source, event.payload.get("text", event.payload)) for event in log()]


HUMAN: dict[str, Any] = {"engine": "human"}


def test_a_person_sees_what_happened_answers_with_line_editing_and_the_run_goes_on(played: Played) -> None:
    slow = {"use": "scripted", "replies": ["one \x1b[2J\x1b]0;title\x07 two", "fine"], "latency": 1}
    terminal = played(
        {"Jon": {"engine": "actor", "provider": "default"}, "Mara": HUMAN},
        providers={"default": slow},
        schedule={"use": "round-robin", "rounds": 2},
    )
    terminal.until("Jon is thinking")
    terminal.press("typed too early\r")
    asked = terminal.until("Mara> ")
    assert "\x1b[2J" not in asked
    assert "title" not in asked
    # First the transcript, then the question with the same news; the cursor is there again.
    assert re.search(
        r"Jon:.*one  two.*You are Mara.*Jon: one  two.*Mara, what do you say\?", asked, re.DOTALL
    )
    assert "\x1b[?25h" in asked
    terminal.wait(0.35)  # several periods of the status line
    terminal.press("Held\x1b[D\x1b[D\x7fello, W\x7fwé\x05!\r")  # arrows, backspaces, Ctrl-E
    typed = terminal.until("\n")
    assert "step" not in typed
    assert "\x1b[?25l" not in typed
    terminal.until("Jon is thinking")  # the status line moves again
    terminal.until("Mara> ")
    terminal.press("\x1b[200~bye\nbye\x1b[201~\r")  # pasted
    assert terminal.end() == 0
    assert [text for source, text in said() if source == "Mara"] == ["Hello, wéld!", "bye\nbye"]


def test_an_answer_can_be_had_again_and_corrected(played: Played) -> None:
    offer = {"offer": {"price": {"type": "integer", "maximum": 20}}}
    terminal = played({"Mara": {**HUMAN, "actions": offer}})
    terminal.until("Mara> ")
    terminal.press("/offer 21\r")
    assert "expected at most 20, got 21" in terminal.until("Mara> .*Mara> |Mara> ")
    terminal.press("\x1b[A\x7f0\r")  # the arrow up
    assert terminal.end() == 0
    assert said() == [("Mara", {"price": 20})]


@pytest.mark.parametrize("how", ["Ctrl-C", "Ctrl-D", "SIGTERM", "half a line, then Ctrl-C"])
def test_a_person_may_leave_at_any_moment_and_is_asked_again(played: Played, how: str) -> None:
    terminal = played({"Mara": HUMAN, "Jon": HUMAN})
    terminal.until("Mara> ")
    terminal.press("first\r")
    question = terminal.until("Jon> ")
    if how == "SIGTERM":
        os.kill(terminal.process, signal.SIGTERM)
    elif how == "Ctrl-D":
        terminal.press("\x04")
    else:
        terminal.press("\x03" if how == "Ctrl-C" else "half a li\x03")
    terminal.until("continue.*pyscrai resume")
    assert terminal.end() == 130
    assert "left at once" not in terminal.screen
    again = played()
    assert "Mara>" not in (asked := again.until("Jon> "))
    assert asked.endswith(question[question.index("You are Jon") :])
    again.press("second\r")
    assert again.end() == 0
    assert said() == [("Mara", "first"), ("Jon", "second")]


def test_what_is_typed_too_late_is_nobodys_answer_and_the_next_line_is_not_lost(played: Played) -> None:
    terminal = played({"Mara": {**HUMAN, "timeout": 3}, "Jon": HUMAN})
    terminal.until("Mara> ")
    terminal.press("I was about t")
    terminal.until("no answer within 3 s.*Jon> ")
    terminal.press("all of it\r")
    assert terminal.end() == 0
    assert said() == [("Mara", {"reason": "no answer within 3 s"}), ("Jon", "all of it")]


def test_two_people_are_asked_one_after_the_other(played: Played) -> None:
    terminal = played({"Mara": HUMAN, "Jon": HUMAN}, "--quiet", schedule={"use": "simultaneous", "rounds": 2})
    for line in ("a", "b", "c", "d"):
        name = re.findall(r"(Mara|Jon)> ", terminal.until("(Mara|Jon)> "))
        terminal.wait(0.3)  # for another prompt
        assert len(name) == 1
        assert "> " not in terminal.screen[terminal.seen :]
        terminal.press(f"{name[0]} {line}\r")
    assert terminal.end() == 0
    assert [text for _, text in said()] == ["Mara a", "Jon b", "Mara c", "Jon d"]


def test_the_terminal_is_left_as_it_was(played: Played, tmp_path: Path) -> None:
    terminal = played({"Mara": HUMAN}, shell="trap : INT; stty -a > before; {}; stty -a > after")
    terminal.until("Mara> ")
    terminal.press("half")
    terminal.until("half")
    terminal.press("\x03")
    assert terminal.end() == 0
    assert (tmp_path / "after").read_text() == (tmp_path / "before").read_text() != ""
    assert terminal.screen.rfind("\x1b[?2004l") > terminal.screen.rfind("\x1b[?2004h")
    assert terminal.screen.rindex("\x1b[?25h") > terminal.screen.rindex("\x1b[?25l")


def test_without_a_terminal_there_is_nobody_until_there_is_one(played: Played, tmp_path: Path) -> None:
    terminal = played({"Mara": HUMAN}, shell="{} < /dev/null > out 2>&1; echo status $?")
    terminal.until("status 1")
    assert terminal.end() == 0
    assert "Mara> " not in (told := (tmp_path / "out").read_text())
    assert "pyscrai resume" in told
    terminal = played()
    terminal.until("Mara> ")
    terminal.press("here I am\r")
    assert terminal.end() == 0
    assert said() == [("Mara", "here I am")]
