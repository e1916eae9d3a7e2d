"""Looking at what was recorded: `diff`, `show --stats`, paging, structured logs, and completion."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyscrai_cli.stats import latency
from pyscrai_testing.terminal import PYSCRAI, Terminal

Write = Callable[..., str]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def ids(pyscrai: Run) -> list[str]:
    """The runs, the oldest first."""
    return [run["run"] for run in reversed(json.loads(pyscrai("runs", "--json").stdout))]


# -- diff --


def test_runs_that_are_the_same(scenario: Write, pyscrai: Run) -> None:
    for label in ("a", "b"):
        pyscrai("run", scenario(), "--label", f"arm={label}")
    one, other = ids(pyscrai)
    done = pyscrai("diff", one, other)
    assert done.returncode == 0
    assert done.stdout.endswith("all of it is the same: 6 events\nthe runs are the same\n")
    found = json.loads(pyscrai("diff", one, other, "--json").stdout)
    assert (found["same"], found["log"]["common"], found["counts"]) == (True, 6, {})


def test_runs_that_part(scenario: Write, pyscrai: Run) -> None:
    pyscrai("run", scenario(replies={"Mara": ["one", "two \x1b[2J"], "Jon": ["yes"]}))
    pyscrai(
        "run", scenario(replies={"Mara": ["one", "drei"], "Jon": ["yes"]}, outcomes={"n": "len(events) + 1"})
    )
    one, other = ids(pyscrai)
    found = json.loads((done := pyscrai("diff", one, other, "--json")).stdout)
    assert done.returncode == 1
    assert (found["same"], found["log"]["common"]) == (False, 2)
    assert [side[0]["payload"]["text"] for side in (found["log"]["left"], found["log"]["right"])] == [
        "two \x1b[2J", "drei",
    ]  # fmt: skip
    assert found["scenario"] == {
        "providers.default.replies.Mara": {"left": ["one", "two \x1b[2J"], "right": ["one", "drei"]},
        "outcomes.n": {"left": "len(events)", "right": "len(events) + 1"},
    }
    assert found["outcomes"] == {"n": {"left": 6, "right": 7}}
    shown = pyscrai("diff", one, other)
    assert shown.returncode == 1
    assert re.search(r"^  3, step 3: Mara: two +\| 3, step 3: Mara: drei$", shown.stdout, re.MULTILINE)
    assert "\x1b" not in shown.stdout
    # On a narrow terminal one is below the other.
    narrow = Terminal(*PYSCRAI, "diff", one, other, "--no-pager", columns=60, lines=60)
    assert narrow.end() == 1
    assert "  < 3, step 3: Mara: two" in narrow.last_lines()
    assert "  > 3, step 3: Mara: drei" in narrow.last_lines()


def test_a_log_that_ends_earlier_and_a_seed_are_differences(scenario: Write, pyscrai: Run) -> None:
    pyscrai("run", scenario())
    pyscrai("run", "talk.yaml", "--set", "limits.steps=2")
    pyscrai("run", "talk.yaml", "--seed", "4")
    one, short, seeded = ids(pyscrai)
    found = json.loads(pyscrai("diff", one, short, "--json").stdout)
    assert (found["log"]["common"], found["log"]["right"], len(found["log"]["left"])) == (2, [], 3)
    assert "(the log ends here)" in pyscrai("diff", one, short).stdout
    assert [run["status"] for run in found["runs"]] == ["completed", "stopped"]
    same_log = pyscrai("diff", one, seeded)
    assert same_log.returncode == 1
    assert "seed 4" in same_log.stdout
    wrong = pyscrai("diff", one, "zzz")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "no such run" in wrong.stderr


# -- show --stats --


def test_percentiles_are_interpolated() -> None:
    values = [0.1 * number for number in range(1, 12)]  # 0.1 to 1.1
    assert latency(values) == {"mean": 0.6, "p50": 0.6, "p90": 1.0, "p99": 1.09, "max": 1.1}
    assert latency([2.0]) == dict.fromkeys(["mean", "p50", "p90", "p99", "max"], 2.0)
    assert set(latency([]).values()) == {None}


def test_statistics_agree_with_the_record(scenario: Write, pyscrai: Run) -> None:
    faults = [
        {"kind": "overload", "at": [{"agent": "Jon", "turn": 0}]},
        {"kind": "timeout", "at": [{"agent": "Jon", "turn": 1}], "times": 2},
    ]
    actions = {"take": {"when": "not state.taken"}}
    taker = {"persona": "x", "speak": False, "must_act": True, "actions": actions}
    name = scenario(
        replies={"Mara": [{"action": "take"}], "Jon": [{"action": "take"}]}, latency=0.05,
        provider={"faults": faults, "retry": {"tries": 4}}, agents={"Mara": taker, "Jon": taker},
        world={"state": {"taken": False}}, rules=[{"on": "take", "set": {"taken": "true"}}],
        schedule={"use": "simultaneous", "rounds": 1},
    )  # fmt: skip
    done = pyscrai("run", name, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(pyscrai("show", "--stats", "--json").stdout)
    assert found["all"]["rejected"] == sum(agent["rejected"] for agent in found["agents"].values()) == 1
    with sqlite3.connect(".pyscrai/runs.db") as database:
        rows = database.execute("SELECT agent, seconds, attempts FROM calls WHERE kind='complete'").fetchall()
    database.close()
    for agent, group in found["agents"].items():
        seconds = [one for who, one, _ in rows if who == agent]
        attempts = [attempt["error"] for who, _, text in rows if who == agent for attempt in json.loads(text)]
        assert group["calls"] == len(seconds)
        assert group["latency"]["max"] == pytest.approx(max(seconds), abs=1e-6)
        assert sum(group["failed_attempts"].values()) == len(attempts)
    assert found["agents"]["Jon"]["failed_attempts"] == {"Overloaded": 1}
    assert found["agents"]["Jon"]["retried"] == 1
    assert found["providers"]["default"]["calls"] == found["all"]["calls"] == len(rows)
    shown = pyscrai("show", "--stats").stdout
    assert re.search(r"^ +calls +mean +p50 +p90 +p99 +max +queued$", shown, re.MULTILINE)
    assert re.search(r"^  Overloaded +1$", shown, re.MULTILINE)


# -- paging --


@pytest.mark.parametrize(
    ("command", "paged"),
    [
        ("log --text", True),
        ("log --text --no-pager", False),
        ("runs", False),
        ("show --scenario", True),
    ],
)
def test_what_is_longer_than_the_screen_is_paged(
    scenario: Write, pyscrai: Run, command: str, paged: bool
) -> None:
    pyscrai("run", scenario(schedule={"use": "round-robin", "rounds": 20}))
    pager = {"PAGER": "sed s/^/paged:/"}
    terminal = Terminal(*PYSCRAI, *command.split(), lines=12, environment=pager)
    assert terminal.end() == 0
    assert ("paged:" in terminal.screen) == paged
    # In a pipe, nothing is paged.
    piped = pyscrai(*command.split(), **pager).stdout
    assert "paged:" not in piped
    if paged:
        assert terminal.screen.count("paged:") >= len(piped.splitlines())


def test_less_can_be_left_before_the_end(scenario: Write, pyscrai: Run) -> None:
    said = "Hello" * 400  # of all of it, a pipe holds a part
    pyscrai("run", scenario(replies=[said], schedule={"use": "round-robin", "rounds": 100}), "--quiet")
    terminal = Terminal(*PYSCRAI, "log", "--text", lines=12, environment={"PAGER": "head -n 3"})
    assert terminal.end() == 0
    assert terminal.screen.split() == ["Mara:", said, "Jon:", said, "Mara:", said]


# -- logs --


WARNS = """
from loguru import logger
from pyscrai_core import Engine
class Warns(Engine):
    async def run(self, turn):
        logger.warning("careful with {}", turn.agent.name)
        turn.say((await turn.think("?")).text)
"""


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_log_of_json_has_run_step_and_agent(scenario: Write, pyscrai: Run, how: str) -> None:
    Path("warns.py").write_text(WARNS)
    agents = {name: {"engine": "./warns.py:Warns"} for name in ("Mara", "Jon")}
    faults = [{"kind": "overload", "at": [{"agent": "Jon", "turn": 0}]}]
    name = scenario(agents=agents, provider={"faults": faults})
    options = ["--log-format", "json"] if how == "option" else []
    variables = {} if options else {"PYSCRAI_LOG_FORMAT": "json"}
    done = pyscrai("run", name, "--trust", "--quiet", *options, **variables)
    assert done.returncode == 0
    records: list[dict[str, Any]] = [json.loads(line) for line in done.stderr.splitlines()]
    (run,) = ids(pyscrai)
    warned = [record for record in records if record["level"] == "WARNING"]
    assert [(one["run"], one["step"], one["agent"], one["message"]) for one in warned] == [
        (run, step, agent, f"careful with {agent}") for step, agent in enumerate(["Mara", "Jon"] * 3, 1)
    ]
    (retried,) = [record for record in records if record["message"] == "call retrying"]
    assert (retried["run"], retried["step"], retried["agent"]) == (run, 2, "Jon")
    assert "Overloaded" in retried["error"]
    assert [record["message"] for record in records if record["message"].startswith("run ")] == [
        "run running", "run completed",
    ]  # fmt: skip


def test_an_error_is_a_record_and_a_wrong_format_is_bad_input(scenario: Write, pyscrai: Run) -> None:
    wrong = pyscrai("show", "zzz", PYSCRAI_LOG_FORMAT="json")
    assert wrong.returncode == 2
    assert [json.loads(line)["level"] for line in wrong.stderr.splitlines()] == ["ERROR"]
    assert pyscrai("runs", PYSCRAI_LOG_FORMAT="xml").returncode == 2
    assert pyscrai("run", scenario(), "--log-format", "xml").returncode == 2
    pyscrai("run", "talk.yaml", "--log-format", "text", "--log-file", "run.log", "--quiet")
    (run,) = ids(pyscrai)
    lines = Path("run.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ (INFO|DEBUG) ", line) for line in lines)
    assert f"run={run} step=1 agent=Mara" in "\n".join(lines)


# -- tables --


def test_a_row_that_is_too_wide_is_a_paragraph(scenario: Write, pyscrai: Run) -> None:
    outcomes = {"price_of_apples": "12.5", "mood": "'tired of the haggling'"}
    for arm in ("poor", "rich"):
        pyscrai("run", scenario(outcomes=outcomes), "--label", f"arm={arm}", "--label", "study=pilot")
    for columns in (40, 60, 80):
        listing = [*PYSCRAI, "runs", "--outcomes", "--no-pager"]
        terminal = Terminal(*listing, columns=columns, lines=60, environment={"NO_COLOR": "1"})
        assert terminal.end() == 0
        lines = terminal.screen.splitlines()
        assert max(map(len, lines)) <= columns
        # Nothing is broken but between two cells, and a run begins at the margin.
        assert [line.split()[0] for line in lines if line[0] != " "] == list(reversed(ids(pyscrai)))
        for cell in ("status completed", "price_of_apples 12.5", "mood tired of the haggling", "arm rich"):
            assert sum(cell in line for line in lines) == 1 + (cell != "arm rich")
    wide = Terminal(*PYSCRAI, "runs", "--outcomes", "--no-pager", columns=200, lines=60)
    assert wide.end() == 0
    assert len(wide.last_lines()) == 3


# -- completion --


def complete(pyscrai: Run, words: str, **variables: str) -> list[list[str]]:
    """What zsh is offered behind these words: the kind, the value and its help."""
    given = {
        "_PYSCRAI_COMPLETE": "zsh_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = pyscrai(**given, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.strip().splitlines()
    return [lines[index : index + 3] for index in range(0, len(lines), 3)]


def test_runs_labels_and_exporters_are_completed(scenario: Write, pyscrai: Run) -> None:
    for store, label in (([], "poor"), (["--store", "other.db"], "rich")):
        pyscrai("run", scenario(), "--label", f"arm={label}", *store)
    (run,) = ids(pyscrai)
    described = ["plain", run, "talk, completed arm=poor"]
    assert complete(pyscrai, "pyscrai show ") == [["plain", "last", "the newest run"], described]
    assert complete(pyscrai, f"pyscrai diff last {run[:3]}") == [described]
    assert complete(pyscrai, "pyscrai resume poo") == [described]
    assert complete(pyscrai, "pyscrai runs --label a") == [["plain", "arm=poor", "_"]]
    assert complete(pyscrai, "pyscrai runs --scenario ") == [["plain", "talk", "_"]]
    assert [one[1] for one in complete(pyscrai, "pyscrai export --format js")] == ["jsonl"]
    (other,) = [one for one in complete(pyscrai, "pyscrai show --store other.db ") if one[1] != "last"]
    assert other[2] == "talk, completed arm=rich"


def test_a_completion_never_fails(tmp_path: Path, pyscrai: Run) -> None:
    assert complete(pyscrai, "pyscrai show x") == []
    assert not (tmp_path / ".pyscrai").exists()
    (tmp_path / "broken.db").write_text("no database")
    assert complete(pyscrai, "pyscrai show --store broken.db x") == []
    (tmp_path / "pyscrai.toml").write_text("store = 3")
    assert complete(pyscrai, "pyscrai runs --label x") == []
    assert complete(pyscrai, "pyscrai export --format x") == []


#: Where each shell looks for the lines of the README, and these lines.
SHELLS = {
    "bash": (".bashrc", 'eval "$(_PYSCRAI_COMPLETE=bash_source pyscrai)"'),
    "zsh": (".zshrc", 'autoload -Uz compinit && compinit\neval "$(_PYSCRAI_COMPLETE=zsh_source pyscrai)"'),
    "fish": (".config/fish/completions/pyscrai.fish", "_PYSCRAI_COMPLETE=fish_source pyscrai | source"),
}
#: A program that keeps the words that it was given.
KEEP = "import json, sys; json.dump(sys.argv[1:], open('words', 'w'))"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(shell: str, scenario: Write, pyscrai: Run, tmp_path: Path) -> None:
    """In a shell of a person's: bash breaks words itself, and zsh and fish replace whole words."""
    if shutil.which(shell) is None:
        pytest.skip(f"needs a shell: apt-get install {shell}")
    labels = ("study=pilot", "experiment=markup", "at=12:30", "note=two words")
    pyscrai("run", scenario(), *(part for label in labels for part in ("--label", label)))
    (run,) = ids(pyscrai)
    (tmp_path / "results").mkdir()
    home, programs = tmp_path / "home", tmp_path / "bin"
    programs.mkdir()
    for name, command in (("pyscrai", PYSCRAI), ("keep", (sys.executable, "-c", KEEP))):
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        (programs / name).chmod(0o755)
    file, lines = SHELLS[shell]
    assert all(f"`{line}`" in README.replace("\\|", "|") for line in [f"~/{file}", *lines.splitlines()])
    (home / file).parent.mkdir(parents=True)
    (home / file).write_text(f"{lines}\n")
    other = dict.fromkeys(("ZDOTDIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), "")
    path = f"{programs}:{os.environ['PATH']}"
    terminal = Terminal(shell, "-i", environment={**other, "PATH": path, "HOME": str(home)})
    terminal.press('echo rea""dy\r')
    terminal.until("ready")
    for begun, completed in (
        ("sho", ["show"]),
        ("runs g", ["runs", "gc"]),
        ("run talk.yaml --see", ["run", "talk.yaml", "--seed"]),
        (f"show {run[:3]}", ["show", run]),
        ("show pil", ["show", run]),
        ("runs --label st", ["runs", "--label", "study=pilot"]),
        ("runs --label study=p", ["runs", "--label", "study=pilot"]),
        ("runs --label at=12:3", ["runs", "--label", "at=12:30"]),
        ("runs --label note=two", ["runs", "--label", "note=two words"]),
        ('runs --label "no', ["runs", "--label", "note=two words"]),
        ("export --label=study=p", ["export", "--label=study=pilot"]),
        ("export --label=no", ["export", "--label=note=two words"]),
        ("export --format gr", ["export", "--format", "graphml"]),
        ("export ma", ["export", "markup"]),
        ("runs --store=other.db --label stu", ["runs", "--store=other.db", "--label", "stu"]),
    ):
        terminal.press(f'pyscrai {begun}\t\x01keep \x05\recho do""ne\r')  # as the arguments of a program
        terminal.until("done")
        assert (begun, json.loads((tmp_path / "words").read_text())) == (begun, ["pyscrai", *completed])
    terminal.press('pyscrai export --out=resu\t\x01keep \x05\recho do""ne\r')
    terminal.until("done")
    assert json.loads((tmp_path / "words").read_text())[2].rstrip("/") == "--out=results"
    terminal.press("exit\r")
    assert terminal.end() == 0
