"""`pyscrai watch` and `log --follow`: real runs in other processes, followed through the store."""

from __future__ import annotations

import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from pyscrai_testing.terminal import PATIENCE, PYSCRAI, Terminal

Write = Callable[..., str]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Begin = Callable[..., "subprocess.Popen[str]"]


def first_line(process: subprocess.Popen[str]) -> str:
    """Wait until a process has printed a line."""
    assert process.stdout is not None
    return process.stdout.readline()


def rest(process: subprocess.Popen[str]) -> tuple[str, str, int]:
    # Not `communicate`, which loses what was read ahead for the first line.
    assert process.stdout is not None
    assert process.stderr is not None
    return process.stdout.read(), process.stderr.read(), process.wait(PATIENCE)


def log(pyscrai: Run) -> list[str]:
    return pyscrai("log", "--text").stdout.splitlines()


@pytest.fixture
def live(gate: Any, scenario: Write, begin: Begin) -> subprocess.Popen[str]:
    """A run in another process that has made two of its six turns, and waits for the third answer."""
    run = begin("run", scenario(providers={"default": gate.provider}, limits={"calls": 20}))
    gate.release(2)
    while "Jon: " not in first_line(run):
        pass
    return run


TALK = ["Mara: Good day.", "Jon: Good day."] * 3


def test_a_run_of_another_process_is_watched_to_its_end(live: Any, gate: Any, pyscrai: Run) -> None:
    terminal = Terminal(*PYSCRAI, "watch", columns=100, lines=24)
    terminal.until(r"last: Jon, \d\.\d s ago")
    gate.release(1)
    terminal.until("last: Mara, ")
    gate.release(3)
    assert terminal.end() == 0
    assert rest(live)[2] == 0
    lines = terminal.last_lines()
    # Each event once, those from before the watching too.
    assert lines[:6] == log(pyscrai) == TALK
    assert lines[7].startswith("run ")
    assert lines[7].endswith("completed")
    texts = ["\n".join(shown) for _, shown in terminal.frames()]
    assert any(
        re.search(r"━━━─────── step 2/6 · 2/20 calls · 48 tokens · .* · 1 retry", text) for text in texts
    ), texts[-1]
    assert any("tried again: Mara: RateLimited: " in text for text in texts)


def test_a_run_that_has_ended_shows_its_end(scenario: Write, pyscrai: Run) -> None:
    pyscrai("run", scenario())
    shown = pyscrai("watch", "--lines", "2")
    assert shown.returncode == 0
    assert shown.stdout.splitlines()[:3] == ["Mara: Hello.", "Jon: Hello.", ""]
    assert re.search(r"^run +\w{8}  completed$", shown.stdout, re.MULTILINE)
    pyscrai("run", "talk.yaml", "--set", "limits.calls=2")
    stopped = pyscrai("watch", "--lines", "0")
    assert stopped.returncode == 3
    assert stopped.stderr.startswith("stopped: ")
    assert "continue  pyscrai resume" in stopped.stdout
    assert pyscrai("watch", "zzz").returncode == 2


def test_a_process_that_is_killed_is_noticed(live: Any, begin: Begin) -> None:
    watch, follow = begin("watch"), begin("log", "--follow")
    assert first_line(watch) == "Mara: Good day.\n"
    assert first_line(follow).startswith('{"audience"')
    live.kill()
    out, err, status = rest(watch)
    assert status == 130
    assert re.match(r"interrupted: the process that executed \w{8} has ended\n", err)
    assert "continue  pyscrai resume" in out
    _, err, status = rest(follow)
    assert (status, err.endswith(" interrupted\n")) == (0, True)


def test_ctrl_c_leaves_the_run_alone(live: Any, gate: Any, pyscrai: Run) -> None:
    terminal = Terminal(*PYSCRAI, "watch", columns=80, lines=24)
    terminal.until("last: ")
    terminal.press("\x03")
    terminal.until("is not watched any more; it goes on")
    assert terminal.end() == 130
    assert terminal.screen.count("\x1b[?25h") == 1
    gate.release(4)
    assert rest(live)[2] == 0
    assert log(pyscrai) == TALK


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("run", r"run \w{8}: it was removed from the store while it was followed\n"),
        ("store", r"store .*runs\.db: it was removed or moved while run \w{8} was followed; put it back"),
    ],
)
@pytest.mark.parametrize("command", [["watch"], ["log", "--follow"]])
def test_what_is_removed_ends_the_watching(
    live: Any, begin: Begin, command: list[str], what: str, told: str
) -> None:
    watch = begin(*command)
    first_line(watch)
    if what == "run":
        with sqlite3.connect(".pyscrai/runs.db", timeout=30) as database:
            database.execute("DELETE FROM runs")
        database.close()
    else:
        shutil.rmtree(".pyscrai")
    _, err, status = rest(watch)
    assert status == 1
    assert re.search(told, err)
    assert "Traceback" not in err


def test_the_log_is_followed_as_it_is_written(live: Any, gate: Any, begin: Begin, pyscrai: Run) -> None:
    lines, text = begin("log", "--follow"), begin("log", "--follow", "--text")
    seen = [first_line(text), first_line(text)]
    gate.release(1)
    seen.append(first_line(text))
    assert live.poll() is None  # it is printed while the run waits for the next answer
    gate.release(3)
    out, err, status = rest(lines)
    assert (err, status) == ("", 0)
    assert rest(live)[2] == 0
    assert out == pyscrai("log").stdout
    assert "".join(seen) + rest(text)[0] == pyscrai("log", "--text").stdout
    # Of a run that has ended, it is the whole log.
    assert pyscrai("log", "--follow").stdout == out


def test_a_paused_run_is_shown_as_paused(live: Any, gate: Any, pyscrai: Run) -> None:
    terminal = Terminal(*PYSCRAI, "watch", columns=80, lines=24)
    terminal.until("last: ")
    assert pyscrai("pause").returncode == 0
    gate.release(1)
    terminal.until("paused; continue: pyscrai resume")
    live.send_signal(signal.SIGINT)
    assert terminal.end() == 130
    assert rest(live)[2] == 130
