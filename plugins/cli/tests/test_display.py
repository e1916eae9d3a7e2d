"""The live display of a run: real processes on real terminals, whose screens are emulated."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from pyscrai_cli.progress import Progress
from pyscrai_cli.wrapping import head_of, tail_of, wrapped
from pyscrai_core import CallRecord, Cost, Event, Usage
from pyscrai_records.records import Position
from pyscrai_testing.servers import FaultServer, Reply, chat_answer
from pyscrai_testing.terminal import BEGIN, PYSCRAI, Terminal

Write = Callable[..., str]

#: A long word, and words in characters of two columns.
LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
WIDE = "りんごは三枚です🍎とても美味しいですよどうぞ食べてみてください本当に美味しいですから是非"
STATUS = re.compile(r"step \d+")


def test_nothing_is_erased_but_what_is_drawn_again(scenario: Write) -> None:
    terminal = Terminal(*PYSCRAI, "run", scenario(latency=0.5), columns=80, lines=24)
    assert terminal.end() == 0
    assert "\x1b[2J" not in terminal.screen
    assert "\x1b[H" not in terminal.screen
    shown = list(terminal.frames())
    assert len(shown) > 20
    # The rest of the screen is erased where something was printed above, and at the first update.
    erased = [written for written, _ in shown if written.startswith("\r\x1b[J")]
    assert len(erased) <= 6 + 2
    # Between those, only lines that changed are written, in place.
    small = [written for written, _ in shown if written not in erased]
    assert max(map(len, small)) < 400
    for _, lines in shown:
        assert len([line for line in lines if STATUS.search(line)]) == 1, lines
    end = terminal.last_lines()
    assert end[:6] == ["Mara: Hello.", "Jon: Hello."] * 3
    assert not any("thinking" in line for line in end)
    assert end[7].startswith("run ")
    assert terminal.screen.count("\x1b[?25l") == terminal.screen.count("\x1b[?25h") == 1


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_any_width_has_room_for_long_words_and_wide_characters(scenario: Write, columns: int) -> None:
    replies = {"Mara": [LONG, "a plain word " * 12, WIDE], "Jon": [WIDE, LONG, "short"]}
    agents = {"Mara": {"persona": "A farmer"}, "Jon": {"persona": "A buyer"}}
    terminal = Terminal(
        *PYSCRAI, "run", scenario(replies=replies, latency=0.3, agents=agents), columns=columns, lines=60
    )
    assert terminal.end() == 0
    for _, lines in terminal.frames():
        # One status line, in the line behind the one with who thinks: nothing of earlier ones is left.
        assert len([line for line in lines if STATUS.search(line)]) == 1, lines
    end = terminal.last_lines()
    said = "".join(line.replace(" ", "") for line in end)
    # The emulator shows a character of two columns as itself and nothing.
    for text in (LONG, WIDE, "aplainword" * 12):
        assert text in said, end
    transcript = end[: end.index("")]
    # What follows the first line of an event is set in.
    assert {line.split(":")[0] for line in transcript if not line.startswith("  ")} == {"Mara", "Jon"}


def test_a_resize_leaves_nothing_behind(scenario: Write) -> None:
    terminal = Terminal(*PYSCRAI, "run", scenario(latency=0.6), columns=100, lines=30)
    terminal.until("Jon is thinking")
    before = len(terminal.screen)
    terminal.resize(50, 20)
    terminal.until("Mara is thinking")
    assert terminal.end() == 0
    after = terminal.screen[before:]
    # The first update behind it draws all lines again, from the cursor on.
    redrawn = next(part for part in after.split(BEGIN)[1:] if "run " in part or "step" in part)
    assert any(part.startswith("\r\x1b[J") for part in after.split(BEGIN)[1:3]), redrawn
    widths = [cell_len(re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", line)) for line in after.splitlines()]
    assert max(widths[5:-8]) <= 50


def test_twelve_agents_have_room(scenario: Write) -> None:
    names = [f"Citizen{number}" for number in range(12)]
    terminal = Terminal(
        *PYSCRAI, "run",
        scenario(
            latency={"min": 0.2, "max": 1.5}, agents={name: {"persona": "x"} for name in names},
            schedule={"use": "simultaneous", "rounds": 2}, limits={"calls": 30, "money": 1.5},
        ),
        columns=80, lines=24,
    )  # fmt: skip
    assert terminal.end() == 0
    shown = [lines for _, lines in terminal.frames()]
    texts = ["\n".join(lines) for lines in shown]
    assert any("Citizen0, Citizen1, Citizen2 and 9 more are thinking" in text for text in texts)
    # The share of the steps and limits that is used, and each number beside its limit.
    assert any(
        re.search(r"━+─+ step 1/2 · \d+/30 calls · [\d,]+ tokens · \$0/\$1.5 · ", text) for text in texts
    )


def test_two_who_speak_at_once_have_a_line_each_and_what_is_retried_is_forgotten() -> None:
    progress = Progress()
    one, two = Position("Mara", 1, "a"), Position("Jon", 1, "b")
    for position in (one, two):
        progress.on_call(CallRecord(position, "complete", "started"))
    progress.on_words(one, "Good ")
    progress.on_words(two, "Hm")
    progress.on_words(one, "day")
    assert [(place.agent, call.words) for place, call in progress.pending.items()] == [
        ("Mara", "Good day"), ("Jon", "Hm"),
    ]  # fmt: skip
    progress.on_call(CallRecord(one, "complete", "retrying", error="Overloaded: busy", wait=2.0))
    assert progress.pending[one].words == ""
    assert [agent for agent, _ in progress.in_state("retrying")] == ["Mara"]
    progress.on_call(CallRecord(one, "complete", "sent"))
    assert [agent for agent, _ in progress.in_state("busy")] == ["Mara", "Jon"]
    progress.on_call(CallRecord(one, "complete", "answered", usage=Usage(10, 2), cost=0.5))
    progress.on_call(CallRecord(two, "complete", "failed", usage=Usage(3, 1)))
    progress.on_event(Event(1, 1, "say", "Mara", ("*",), {"text": "Good day"}))
    assert (progress.calls, progress.failed, progress.retries) == (2, 1, 1)
    assert (progress.usage.total, progress.cost) == (16, Cost(0.5, 1))
    assert progress.pending == {}


def _serve(faults: list[Any], latency: float) -> FaultServer:
    def answer(path: str, body: dict[str, Any]) -> Any:
        time.sleep(latency)
        return chat_answer(path, body)

    return FaultServer(*faults, answer=answer)


def test_the_limits_and_tries_of_a_real_server_are_shown(
    scenario: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    slow = Reply(429, b'{"error": {"message": "slow \\u001b[2J down"}}', {"Retry-After": "3"})
    with _serve([slow], 0.2) as server:
        provider = {"use": "openai", "model": "x", "base_url": f"{server.url}/v1", "concurrency": 1}
        name = scenario(providers={"default": provider}, schedule={"use": "simultaneous", "rounds": 1})
        terminal = Terminal(*PYSCRAI, "run", name, columns=120, lines=24)
        assert terminal.end() == 0
    assert "\x1b[2J" not in terminal.screen
    texts = ["\n".join(lines) for _, lines in terminal.frames()]
    assert any(
        re.search(r"(Mara|Jon) is trying again, next in \d\.\d s; RateLimited: .*", text) for text in texts
    )
    assert any(re.search(r"(Mara|Jon) is waiting for the limits of provider 'default', \d", t) for t in texts)
    assert any("1 retry" in text for text in texts)
    assert terminal.last_lines()[:2] == ["Mara: Good day.", "Jon: Good day."]


def test_what_others_print_is_above(scenario: Write) -> None:
    Path("loud.py").write_text(
        "import sys, threading\nfrom pyscrai_core import Engine\n"
        "class Loud(Engine):\n"
        "    async def run(self, turn):\n"
        "        sys.stderr.write('half ')\n"
        "        one = threading.Thread(target=print, args=('from a thread',))\n"
        "        one.start(); one.join()\n"
        "        sys.stderr.write('a line\\n')\n"
        "        turn.say((await turn.think('?')).text)\n"
    )
    agents = {"Mara": {"engine": "./loud.py:Loud"}}
    name = scenario(agents=agents, schedule={"use": "round-robin", "rounds": 1}, latency=0.5)
    terminal = Terminal(*PYSCRAI, "run", name, "--trust", columns=80, lines=24)
    assert terminal.end() == 0
    assert terminal.last_lines()[:3] == ["from a thread", "half a line", "Mara: Hello."]


@pytest.mark.parametrize(
    ("given", "live", "coloured"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, False, True),
    ],
)
def test_colours_are_as_the_environment_says(
    scenario: Write, given: dict[str, str], live: bool, coloured: bool
) -> None:
    terminal = Terminal(*PYSCRAI, "run", scenario(), environment={"TERM": "xterm", **given})
    assert terminal.end() == 0
    assert (BEGIN in terminal.screen) == live
    assert bool(re.search(r"\x1b\[[\d;]+m", terminal.screen)) == coloured
    assert "completed" in terminal.screen


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 8, ["one two ", "three"]),
        ("a abcdefghijkl", 8, ["a abcdef", "ghijkl"]),
        ("日本語日本語", 5, ["日本", "語日", "本語"]),
        ("ab👩‍🌾c", 3, ["ab", "👩‍🌾", "c"]),
        ("日本", 1, ["日", "本"]),
        ("", 5, [""]),
    ],
)
def test_wrapping(text: str, width: int, lines: list[str]) -> None:
    assert wrapped(text, width) == lines
    assert "".join(wrapped(text, width)) == text


def test_ends_of_texts_have_room() -> None:
    assert tail_of("日本語", 6) == "日本語"
    assert tail_of("日本語", 5) == "…本語"
    assert tail_of("abcdef", 4) == "…def"
    assert head_of("日本語", 5) == "日本…"
    assert head_of("abc", 3) == "abc"


def test_the_end_of_a_display_gives_the_streams_back(scenario: Write) -> None:
    """The JSON result is alone on stdout while the display is on stderr."""
    name = scenario(latency=0.3)
    command = f"{' '.join(PYSCRAI)} run {name} --json > result.json"
    terminal = Terminal("sh", "-c", command, columns=80, lines=24)
    assert terminal.end() == 0
    assert json.loads(Path("result.json").read_text())["status"] == "completed"
    assert "Mara: Hello." in terminal.last_lines()
