"""The exporters, on runs in real stores."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyscrai_tables.plugin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyscrai_tables.csv_export import FORMULA, Csv
from pyscrai_tables.jsonl_export import JsonLines

import pyscrai_core
from pyscrai_core import (
    Completion,
    Engine,
    Event,
    Exporter,
    Extension,
    Message,
    NoConfig,
    Provider,
    Request,
    Schedule,
    Stage,
    StoredRun,
    Turn,
    Usage,
    hookimpl,
)
from pyscrai_core.plugins import Host
from pyscrai_core.store.store import Store

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


class OneByOne(Schedule):
    async def next(self, stage: Stage) -> tuple[str, ...]:
        return ("Mara",) if stage.step <= len(WORDS) else ()


class TestPlugin:
    __test__ = False
    pyscrai_api = 1
    __name__ = "words"

    @hookimpl
    def pyscrai_engines(self) -> list[Extension]:
        return [Extension("reader", f"{__name__}:Reader")]

    @hookimpl
    def pyscrai_providers(self) -> list[Extension]:
        return [Extension("words", f"{__name__}:Words")]

    @hookimpl
    def pyscrai_schedules(self) -> list[Extension]:
        return [Extension("one-by-one", f"{__name__}:OneByOne")]


HOST = Host(extra=[TestPlugin(), pyscrai_tables.plugin])

SCENARIO: dict[str, Any] = {
    "scenario": "words",
    "providers": {"default": "words"},
    "agents": {"Mara": {"engine": "reader", "memory": None}, "Jon": {"engine": "reader", "memory": None}},
    "schedule": "one-by-one",
    "outcomes": {"count": "len(events)", "loss": "-3", "first": "events[0].payload.text", "none": "None"},
}


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[StoredRun]:
    """A run that completed."""
    file = tmp_path / "scenario.yaml"
    file.write_text(json.dumps(SCENARIO))
    result = pyscrai_core.run(file, seed=1, store=tmp_path / "runs.db", host=HOST)
    assert result.status == "completed", result.error
    with Store.open(tmp_path / "runs.db") as store:
        yield store.run("last")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def exported(name: str, run: StoredRun, out: Path) -> list[Path]:
    exporter: Exporter = HOST.load("exporter", name)(NoConfig())
    return exporter.export(run, out)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_three_files_are_written_and_nothing_else(stored: StoredRun, out: Path, name: str) -> None:
    paths = exported(name, stored, out)
    assert [path.name for path in paths] == [f"events.{name}", f"calls.{name}", f"outcomes.{name}"]
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
    events, _, _ = exported("csv", stored, out)
    found = rows(events)
    assert list(found[0]) == ["seq", "step", "kind", "source", "audience", "text", "payload", "cause"]
    assert len(found) == 8
    for row, event in zip(found, stored.events(), strict=True):
        assert (int(row["seq"]), int(row["step"])) == (event.seq, event.step)
        assert (row["kind"], row["source"]) == (event.kind, event.source)
        assert json.loads(row["audience"]) == list(event.audience)
        assert json.loads(row["payload"]) == event.payload
    assert [row["text"] for row in found if row["kind"] == "say"] == [
        "Good morning.",
        '\'=HYPERLINK("http://x","y")',
        WORDS[2],
        "'-3",
    ]


def test_calls_and_outcomes_as_csv(stored: StoredRun, out: Path) -> None:
    _, calls, outcomes = exported("csv", stored, out)
    found = rows(calls)
    assert [json.loads(row["answer"])["text"] for row in found] == WORDS
    assert {row["model"] for row in found} == {"words"}
    assert [(row["name"], row["value"]) for row in rows(outcomes)] == [
        ("count", "8"),
        ("first", '"Good morning."'),
        ("loss", "-3"),
        ("none", ""),
    ]
    # A number is no text, and no apostrophe makes it one.
    assert b'"loss",-3\n' in outcomes.read_bytes()


def test_no_cell_begins_like_a_formula(stored: StoredRun, out: Path) -> None:
    for path in exported("csv", stored, out):
        for row in rows(path):
            for cell in row.values():
                assert not cell.startswith(FORMULA) or float(cell) < 0


def test_files_that_are_there_are_replaced(stored: StoredRun, out: Path) -> None:
    (out / "events.jsonl").write_text("old\n" * 10_000)
    events, _, _ = exported("jsonl", stored, out)
    assert len(lines(events)) == 8


@pytest.mark.parametrize("kind", [JsonLines, Csv])
def test_a_failure_in_between_leaves_the_old_files(
    stored: StoredRun, out: Path, kind: type[Exporter], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {path.name: path.read_bytes() for path in kind(NoConfig()).export(stored, out)}

    def break_off(self: StoredRun) -> Iterator[dict[str, Any]]:
        raise OSError("the disk is gone")

    monkeypatch.setattr(type(stored), "calls", break_off)
    with pytest.raises(OSError, match="the disk is gone"):
        kind(NoConfig()).export(stored, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == kept


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_a_run_without_events_has_its_files_too(tmp_path: Path, out: Path, name: str) -> None:
    with Store.open(tmp_path / "runs.db") as store:
        store.create_run("nothing", 1, {})
        paths = exported(name, store.run("last"), out)
    heads = [path.read_text().count("\n") for path in paths]
    assert heads == ([0, 0, 0] if name == "jsonl" else [1, 1, 1])


def stored_events(store: Store, events: Iterable[Event]) -> StoredRun:
    """A run in `store` that consists of these events."""
    run = store.create_run("made", 1, {})

    async def write() -> None:
        for event in events:
            store.put_event(run, event)
        await store.writer.committed()

    asyncio.run(write())
    return store.run(run)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@settings(deadline=None, derandomize=True, database=None, max_examples=25)
@given(st.lists(texts, min_size=1, max_size=20))
@pytest.mark.slow
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, said: list[str]) -> None:
    folder = tmp_path_factory.mktemp("any")
    events = [Event(seq, 1, "say", "Mara", ("*",), {"text": text}) for seq, text in enumerate(said, 1)]
    with Store.open(folder / "runs.db") as store:
        run = stored_events(store, events)
        as_lines, _, _ = JsonLines(NoConfig()).export(run, folder)
        as_csv, _, _ = Csv(NoConfig()).export(run, folder)
    assert as_lines.read_bytes() == b"".join(event.line() + b"\n" for event in events)
    for row, text in zip(rows(as_csv), said, strict=True):
        assert row["text"] == (f"'{text}" if text.startswith(FORMULA) else text)
        assert json.loads(row["payload"]) == {"text": text}


@pytest.mark.parametrize("kind", [JsonLines, Csv])
@pytest.mark.slow
def test_a_long_run_takes_no_more_memory(tmp_path: Path, out: Path, kind: type[Exporter]) -> None:
    words = "All of them, at three coins each. " * 30  # a kilobyte
    with Store.open(tmp_path / "runs.db") as store:
        run = stored_events(
            store, (Event(seq, 1, "say", "Mara", ("*",), {"text": words}) for seq in range(1, 8_001))
        )
        tracemalloc.start()
        events, _, _ = kind(NoConfig()).export(run, out)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert events.stat().st_size > 8_000_000
    assert peak < 5_000_000
