"""The exporters, on runs in real stores."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyscrai_tables.plugin
from pyscrai_core import (
    Completion,
    Engine,
    Event,
    Message,
    Provider,
    Request,
    ScenarioError,
    StoredRun,
    Turn,
    Usage,
)
from pyscrai_core.plugins import Host
from pyscrai_core.runtime.exporting import make_exporter
from pyscrai_core.scenario.trust import Gate
from pyscrai_records.store.store import Store
from pyscrai_tables.csv_export import FORMULA
from pyscrai_tables.dictionary import as_markdown
from pyscrai_tabular.schema import CALLS, EVENTS, Type
from pyscrai_testing.fixtures import Solo, store_events

#: What the agents of the test run say, one after the other; a text and a payload that spreadsheets misread.
WORDS = ["Good morning.", '=HYPERLINK("http://x","y")', 'Äpfel,\nzwei "Körbe"; 3\r\nor 4\x00', "-3"]


class Reader(Engine):
    """Says the next of the words, and offers."""

    async def run(self, turn: Turn) -> None:
        answer = await turn.think([Message.user("Say something.")])
        turn.say(answer.text)
        turn.emit("offer", {"price": 1.5, "to": ["Jon"], "note": "=1+1"}, audience=["Jon"])


class Words(Provider):
    async def complete(self, request: Request, sink: Any = None) -> Completion:
        return Completion(WORDS[request.turn], usage=Usage(5, 2, 1), model="words")


HOST = Host(extra=[pyscrai_tables.plugin])

SCENARIO: dict[str, Any] = {
    "scenario": "words",
    "providers": {"default": "words"},
    "agents": {"Mara": {"engine": "reader", "memory": None}, "Jon": {"engine": "reader", "memory": None}},
    "schedule": {"use": "solo", "agent": "Mara", "steps": len(WORDS)},
    "outcomes": {"count": "len(events)", "loss": "-3", "first": "events[0].payload.text", "none": "None"},
}


Record = Callable[..., StoredRun]


@pytest.fixture
def record(recorded: Callable[..., list[StoredRun]]) -> Record:
    """Run the scenario; the run as it is stored."""

    def run(**given: Any) -> StoredRun:
        (one,) = recorded(SCENARIO, given, engine__reader=Reader, provider__words=Words, schedule__solo=Solo)
        assert one.status == "completed", one.error
        return one

    return run


@pytest.fixture
def stored(record: Record) -> StoredRun:
    """A run that completed."""
    return record(seed=1, labels={"study": "pilot"})


def exported(name: str, runs: StoredRun | list[StoredRun], out: Path, **options: Any) -> list[Path]:
    made = make_exporter(name, options, HOST, Gate())
    return made.export(runs if isinstance(runs, list) else [runs], out)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def header(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


FILES = {
    "jsonl": ["events", "calls", "outcomes"],
    "csv": ["runs", "agents", "events", "calls", "measures", "outcomes", "dictionary"],
}


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_these_files_are_written_and_nothing_else(stored: StoredRun, out: Path, name: str) -> None:
    paths = exported(name, stored, out)
    assert [path.name for path in paths] == [f"{file}.{name}" for file in FILES[name]]
    assert sorted(out.iterdir()) == sorted(paths)


def test_the_events_are_the_log_that_the_fingerprint_is_of(stored: StoredRun, out: Path) -> None:
    events, _, _ = exported("jsonl", stored, out)
    assert hashlib.sha256(b"pyscrai log 3\n" + events.read_bytes()).hexdigest() == stored.fingerprint
    assert [Event.from_dict(line) for line in lines(events)] == list(stored.events())


def test_calls_and_outcomes_as_json_lines(stored: StoredRun, out: Path) -> None:
    _, calls, outcomes = exported("jsonl", stored, out)
    told = lines(calls)
    assert [(call["agent"], call["kind"], call["status"]) for call in told] == [
        (call["agent"], call["kind"], call["status"]) for call in stored.calls()
    ]
    assert [call["answer"]["text"] for call in told] == WORDS
    assert (told[0]["model"], told[0]["input_tokens"], told[0]["cached_tokens"]) == ("words", 5, 1)
    assert lines(outcomes) == [
        {"name": "count", "value": 8},
        {"name": "first", "value": "Good morning."},
        {"name": "loss", "value": -3},
        {"name": "none", "value": None},
    ]


def test_events_as_csv(stored: StoredRun, out: Path) -> None:
    exported("csv", stored, out)
    found = rows(out / "events.csv")
    assert list(found[0]) == [*EVENTS.names, "offer.note", "offer.price", "offer.to"]
    assert len(found) == 8
    for row, event in zip(found, stored.events(), strict=True):
        assert (row["run"], int(row["seq"]), int(row["step"])) == (stored.id, event.seq, event.step)
        assert (row["kind"], row["source"]) == (event.kind, event.source)
        assert json.loads(row["audience"]) == list(event.audience)
        assert json.loads(row["payload"]) == event.payload
        offered = event.kind == "offer"
        assert row["offer.price"] == ("1.5" if offered else "")
        assert row["offer.to"] == ('["Jon"]' if offered else "")
        assert row["offer.note"] == ("'=1+1" if offered else "")
    assert [row["text"] for row in found if row["kind"] == "say"] == [
        "Good morning.",
        '\'=HYPERLINK("http://x","y")',
        WORDS[2],
        "'-3",
    ]


def test_runs_agents_calls_and_outcomes_as_csv(stored: StoredRun, out: Path) -> None:
    exported("csv", stored, out)
    found = rows(out / "calls.csv")
    assert list(found[0]) == list(CALLS.names)
    assert [json.loads(row["answer"])["text"] for row in found] == WORDS
    assert {row["model"] for row in found} == {"words"}
    for row, call in zip(found, stored.calls(), strict=True):
        assert datetime.fromisoformat(row["started"]).timestamp() == pytest.approx(call["started"], abs=1e-5)
        assert row["estimated"] == ("true" if call["estimated"] else "false")
    assert [(row["name"], row["number"], row["value"]) for row in rows(out / "outcomes.csv")] == [
        ("count", "8", "8"),
        ("first", "", '"Good morning."'),
        ("loss", "-3", "-3"),
        ("none", "", ""),
    ]
    # A number is no text, and no apostrophe makes it one.
    assert b',"loss",-3,-3,' in (out / "outcomes.csv").read_bytes()
    (run,) = rows(out / "runs.csv")
    assert (run["run"], run["status"], run["fingerprint"]) == (stored.id, "completed", stored.fingerprint)
    assert (run["seed"], run["input_tokens"], run["labels"]) == ("1", "20", '{"study":"pilot"}')
    agents = rows(out / "agents.csv")
    assert [(row["agent"], row["engine"], row["memory"]) for row in agents] == [
        ("Mara", "reader", ""), ("Jon", "reader", "")
    ]  # fmt: skip


def test_each_column_is_in_the_dictionary(stored: StoredRun, out: Path) -> None:
    paths = exported("csv", stored, out)
    found = [(row["table"], row["column"]) for row in rows(out / "dictionary.csv")]
    there = [(path.stem, name) for path in paths for name in header(path)]
    assert found == there
    for row in rows(out / "dictionary.csv"):
        assert row["meaning"]
        assert row["type"] in get_args(Type)


def test_the_readme_has_the_dictionary() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (written,) = re.findall(r"<!-- dictionary -->\n(.*?)<!-- /dictionary -->", readme, re.DOTALL)
    assert written == as_markdown()


def test_several_runs_are_in_the_same_tables(stored: StoredRun, record: Record, out: Path) -> None:
    both = [stored, record(seed=2, set={"outcomes": {"other": "2.5"}})]
    exported("csv", both, out)
    assert [row["run"] for row in rows(out / "runs.csv")] == [run.id for run in both]
    assert [(row["run"], row["seq"]) for row in rows(out / "events.csv")] == [
        (run.id, str(event.seq)) for run in both for event in run.events()
    ]
    files = exported("jsonl", both, out)
    assert [file.relative_to(out).parts[0] for file in files[::3]] == [run.id for run in both]
    assert [Event.from_dict(line) for line in lines(files[3])] == list(both[1].events())


def test_options_of_csv(stored: StoredRun, out: Path) -> None:
    exported("csv", stored, out, separator="tab", formulas="keep", byte_order_mark=True, payload_columns=1)
    text = (out / "events.csv").read_text(encoding="utf-8")
    assert text.startswith('\ufeff"run"\t"seq"')
    assert text.splitlines()[0].endswith('"payload"\t"offer.note"')
    assert '\t"=HYPERLINK(""http://x"",""y"")"\t' in text
    for options, said in [
        ({"separater": "tab"}, "separater.*did you mean 'separator'"),
        ({"separator": "dash"}, "separator: expected one of comma, semicolon, tab"),
        ({"payload_columns": -1}, "payload_columns"),
        ({"payload_columns": "all"}, "payload_columns: expected an integer"),
    ]:
        with pytest.raises(ScenarioError, match=f"--format csv: {said}|--format csv.*{said}"):
            exported("csv", stored, out, **options)
    with pytest.raises(ScenarioError, match="exporter 'cvs': not installed .did you mean 'csv'"):
        exported("cvs", stored, out)


def test_types_of_payloads_and_names_that_clash(tmp_path: Path, out: Path) -> None:
    payloads: list[dict[str, Any]] = [
        {"a": 1, "b": True, "c": None, "d": "x", "text": 3, "A": 1},
        {"a": 2.5, "b": False, "c": None, "d": 4, "text": "words", "A": None},
    ]
    with Store.open(tmp_path / "runs.db") as store:
        run = store_events(
            store, (Event(seq, 1, "odd", "Mara", (), one) for seq, one in enumerate(payloads, 1))
        )
        exported("csv", run, out)
    found = {row["column"]: row["type"] for row in rows(out / "dictionary.csv") if row["table"] == "events"}
    assert list(found.items())[len(EVENTS.columns) :] == [
        ("odd.A", "integer"), ("odd.a_2", "number"), ("odd.b", "boolean"), ("odd.c", "json"),
        ("odd.d", "json"), ("odd.text", "integer"),
    ]  # fmt: skip
    first, second = rows(out / "events.csv")
    assert [first[name] for name in ("odd.a_2", "odd.b", "odd.d", "odd.text", "text")] == [
        "1", "true", '"x"', "3", ""
    ]  # fmt: skip
    assert [second[name] for name in ("odd.a_2", "odd.b", "odd.d", "odd.text", "text")] == [
        "2.5", "false", "4", "", "words"
    ]  # fmt: skip


def test_a_full_disk_leaves_the_old_files(tmp_path: Path, stored: StoredRun, out: Path) -> None:
    exported("csv", stored, out)
    kept = {path.name: path.read_bytes() for path in out.iterdir()}
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from pyscrai_records.store.store import Store\n"
        "from pyscrai_core.runtime import exporting\n"
        "from pyscrai_tables.csv_export import Csv\n"
        f"with Store.open({str(tmp_path / 'runs.db')!r}, create=False) as store:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "    try:\n"
        f"        exporting.write(Csv(Csv.Config()), [store.run('last')], Path({str(out)!r}))\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, error)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert re.match(r"ConfigError --out .*File too large; make room", ended.stdout), ended
    assert {path.name: path.read_bytes() for path in out.iterdir()} == kept


def test_a_text_of_ten_megabytes(tmp_path: Path, out: Path) -> None:
    words = "=öh\n" * 2_500_000
    with Store.open(tmp_path / "runs.db") as store:
        run = store_events(store, [Event(1, 1, "say", "Mara", ("*",), {"text": words})])
        exported("csv", run, out)
    csv.field_size_limit(50_000_000)
    (row,) = rows(out / "events.csv")
    assert row["text"] == f"'{words}"
    assert json.loads(row["payload"]) == {"text": words}


def test_no_cell_begins_like_a_formula(stored: StoredRun, out: Path) -> None:
    for path in exported("csv", stored, out):
        for row in rows(path):
            for cell in row.values():
                assert not cell.startswith(FORMULA) or float(cell) < 0, (path, cell)


def test_files_that_are_there_are_replaced(stored: StoredRun, out: Path) -> None:
    (out / "events.jsonl").write_text("old\n" * 10_000)
    events, _, _ = exported("jsonl", stored, out)
    assert len(lines(events)) == 8


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_a_failure_in_between_leaves_the_old_files(
    stored: StoredRun, out: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {path.name: path.read_bytes() for path in exported(name, stored, out)}

    def break_off(self: StoredRun) -> Iterator[dict[str, Any]]:
        raise OSError("the disk is gone")

    monkeypatch.setattr(type(stored), "calls", break_off)
    with pytest.raises(OSError, match="the disk is gone"):
        exported(name, stored, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == kept


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_a_run_without_events_has_its_files_too(tmp_path: Path, out: Path, name: str) -> None:
    with Store.open(tmp_path / "runs.db") as store:
        store.create_run("nothing", 1, {})
        paths = exported(name, store.run("last"), out)
    heads = [path.read_text().count("\n") for path in paths]
    assert heads[:-1] == ([0, 0] if name == "jsonl" else [2, 1, 1, 1, 1, 1])


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@settings(deadline=None, derandomize=True, database=None, max_examples=25)
@given(st.lists(texts, min_size=1, max_size=20))
@pytest.mark.slow
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, said: list[str]) -> None:
    folder = tmp_path_factory.mktemp("any")
    events = [Event(seq, 1, "say", "Mara", ("*",), {"text": text}) for seq, text in enumerate(said, 1)]
    with Store.open(folder / "runs.db") as store:
        run = store_events(store, events)
        as_lines = exported("jsonl", run, folder)[0]
        as_csv = exported("csv", run, folder)[2]
    assert as_lines.read_bytes() == b"".join(event.line() + b"\n" for event in events)
    for row, text in zip(rows(as_csv), said, strict=True):
        assert row["text"] == (f"'{text}" if text.startswith(FORMULA) else text)
        assert json.loads(row["payload"]) == {"text": text}


@pytest.mark.parametrize("name", ["jsonl", "csv"])
@pytest.mark.slow
def test_a_long_run_takes_no_more_memory(tmp_path: Path, out: Path, name: str) -> None:
    words = "All of them, at three coins each. " * 30  # a kilobyte
    with Store.open(tmp_path / "runs.db") as store:
        run = store_events(
            store, (Event(seq, 1, "say", "Mara", ("*",), {"text": words}) for seq in range(1, 16_001))
        )
        tracemalloc.start()
        exported(name, run, out)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (out / f"events.{name}").stat().st_size > 16_000_000
    assert peak < 7_000_000
