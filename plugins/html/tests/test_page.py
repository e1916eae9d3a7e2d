"""Pages of runs in real stores: their form, what is escaped, and what a browser makes of them."""

from __future__ import annotations

import re
import shutil
import subprocess
import tracemalloc
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
import pyscrai_html.plugin
from pyscrai_core import Event, ScenarioError, StoredRun
from pyscrai_core.plugins import Host
from pyscrai_core.runtime.exporting import make_exporter
from pyscrai_core.scenario.trust import Gate
from pyscrai_records.store.store import Store
from pyscrai_testing.fixtures import store_events

HOST = Host(extra=[pyscrai_html.plugin])
EVIL = '</script><script>document.title="evil"</script><img src=x onerror=alert(1)> "\'& \x07\u202e'
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
VOID = {"meta", "input", "img", "br"}


class Reader(HTMLParser):
    """Checks that tags are closed in order; collects the texts of items of the log, and all tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.items: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "li" and dict(attrs).get("class") != "step":
            self.items.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.items and "li" in self.open:
            self.items[-1] += data


def stored(store: Store, events: Iterable[Event], scenario: str = "made") -> StoredRun:
    return store_events(store, events, scenario, labels={"study": EVIL.replace("\x07\u202e", "")})


def exported(runs: list[StoredRun], out: Path, **options: Any) -> list[Path]:
    return make_exporter("html", options, HOST, Gate()).export(runs, out)


def test_what_models_write_is_text(tmp_path: Path) -> None:
    events = [
        Event(1, 1, "say", "Mara", ("*",), {"text": EVIL}),
        Event(2, 1, "offer", EVIL[:30], ("Jon",), {EVIL: EVIL}),
        Event(3, 2, "rejected", "Jon", (), {"kind": "x", "payload": {}, "reason": EVIL}),
    ]
    with Store.open(tmp_path / "runs.db") as store:
        (path,) = exported([stored(store, events, EVIL)], tmp_path)
    page = path.read_text(encoding="utf-8")
    read = Reader(page)
    assert [tag for tag, _ in read.tags].count("script") == 1
    assert not [tag for tag, _ in read.tags if tag == "img"]
    assert not [given for _, given in read.tags if any(name.startswith("on") for name in given)]
    assert len(read.items) == 3
    shown = EVIL.replace("\x07", "\ufffd").replace("\u202e", "\ufffd")
    assert read.items[0] == f"1 Mara say{shown}"
    assert shown in read.items[1]
    assert "to Jon" in read.items[1]
    assert shown in read.items[2]
    assert "to nobody" in read.items[2]
    if CHROMIUM:
        assert "<title>evil</title>" not in browse(path)


def test_a_page_of_500_events_is_small_and_whole(tmp_path: Path) -> None:
    words = "All of them, at three coins each, and not one of them more. " * 6
    events = [
        Event(seq, seq // 4, ("say", "offer")[seq % 2], f"Agent-{seq % 9}", ("*",), {"text": words, "n": seq})
        for seq in range(1, 501)
    ]
    with Store.open(tmp_path / "runs.db") as store:
        (path,) = exported([stored(store, events)], tmp_path)
    assert path.stat().st_size < 1_000_000
    page = path.read_text(encoding="utf-8")
    assert len(Reader(page).items) == 500
    assert "http" not in re.sub(r"http-equiv", "", page)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    events = [Event(seq, 1, "say", "Mara", ("*",), {"text": "a" * 300}) for seq in range(1, 31)]
    with Store.open(tmp_path / "runs.db") as store:
        run = stored(store, events)
        (path,) = exported([run], tmp_path, events=20, text=100)
    page = path.read_text(encoding="utf-8")
    assert len(Reader(page).items) == 20
    assert f"10 more events are not on this page; for all of them: <code>pyscrai log {run.id} --text" in page
    assert page.count("a" * 100 + " … (200 more characters)") == 20
    with pytest.raises(ScenarioError, match="--format html: event: .*did you mean 'events'"):
        exported([run], tmp_path, event=20)


def test_several_runs_have_an_index(tmp_path: Path) -> None:
    with Store.open(tmp_path / "runs.db") as store:
        runs = [stored(store, []), stored(store, [])]
        paths = exported(runs, tmp_path)
    assert [path.name for path in paths] == [f"{run.id}.html" for run in runs] + ["index.html"]
    links = [given["href"] for tag, given in Reader(paths[-1].read_text()).tags if tag == "a"]
    assert links == [path.name for path in paths[:-1]]


def test_a_long_run_takes_no_more_memory(tmp_path: Path) -> None:
    words = "All of them, at three coins each. " * 120
    events = (Event(seq, 1, "say", "Mara", ("*",), {"text": words}) for seq in range(1, 5_001))
    with Store.open(tmp_path / "runs.db") as store:
        run = stored(store, events)
        tracemalloc.start()
        (path,) = exported([run], tmp_path, events=5_000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert path.stat().st_size > 20_000_000
    assert peak < 10_000_000


def test_a_run_with_all_that_a_run_can_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cast", "memory", "schedules", "scripted"):
        pytest.importorskip(f"pyscrai_{name}.plugin", reason=f"needs pyscrai-{name}")
    monkeypatch.chdir(tmp_path)
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    Path("orchard.yaml").write_text(example)
    table = {"rows": "events", "columns": {"who": "event.source"}}
    result = pyscrai_core.run("orchard.yaml", set={"tables": {"talk": table}})
    (path,) = pyscrai_core.export(format="html", out="pages")
    page = path.read_text(encoding="utf-8")
    read = Reader(page)
    assert len(read.items) == len(result.events) == 6
    for part in ("Outcomes", "Measures", "Table talk", "Agents", "Log"):
        assert f"<h2>{part}</h2>" in page
    assert "<polyline" in page
    assert result.fingerprint in page
    shown = result._repr_html_()
    assert shown is not None
    assert len(Reader(shown).items) == 6
    assert "&lt;b&gt;Three&lt;/b&gt;" in shown


def browse(path: Path, fragment: str = "") -> str:
    """The page as a browser has it after the script."""
    assert CHROMIUM
    ended = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"{path.as_uri()}{fragment}"],
        capture_output=True, encoding="utf-8", timeout=120, check=True,
    )  # fmt: skip
    return ended.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: chromium or google-chrome")
def test_a_browser_filters_the_log(tmp_path: Path) -> None:
    events = [
        Event(1, 1, "say", "Mara", ("*",), {"text": "Good morning."}),
        Event(2, 1, "offer", "Jon", ("*",), {"price": 3}),
        Event(3, 2, "say", "Jon", ("*",), {"text": "Good evening."}),
    ]
    with Store.open(tmp_path / "runs.db") as store:
        (path,) = exported([stored(store, events)], tmp_path)

    def visible(fragment: str) -> list[str]:
        page = browse(path, fragment)
        found = re.findall(r"<li([^>]*) id=\"e(\d+)\"([^>]*)>", page)
        return [seq for before, seq, after in found if "hidden" not in before + after]

    assert visible("") == ["1", "2", "3"]
    assert visible("#agent=Jon") == ["2", "3"]
    assert visible("#agent=Jon&kind=say") == ["3"]
    assert visible("#words=GOOD") == ["1", "3"]
    assert visible("#words=nothing") == []


def test_a_page_says_who_drew_closed_choices(tmp_path: Path) -> None:
    agent = {"persona": "p", "speak": False, "must_act": True, "actions": {"go": {}, "stay": {}}}
    what: dict[str, Any] = {
        "scenario": "s",
        "providers": {"default": {"use": "scripted", "odds": {"go": 0.5, "stay": 0.4}}},
        "agents": {"Ann": agent},
        "schedule": {"use": "round-robin", "rounds": 1},
    }
    for draw in ("kernel", "provider"):
        what["providers"]["default"] |= {"draw": draw, "generate": True}
        result = pyscrai_core.run(what, store=tmp_path / "runs.db")
        with Store.open(tmp_path / "runs.db") as store:
            exporter = make_exporter("html", {}, HOST, Gate())
            (page,) = exporter.export([store.run(result.run)], tmp_path / draw)
        assert f"drawn by the {draw} (default)" in page.read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: chromium or google-chrome")
def test_long_names_fit_on_a_phone_and_texts_have_their_direction(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    name = "The-Third-Assistant-Deputy-Water-Commissioner-For-The-Eastern-And-The-Western-District"
    events = [
        Event(1, 1, "say", name, ("*",), {"text": "a" * 300}),
        Event(2, 1, "say", "محمد", ("*",), {"text": "السعر 12 دينار فقط."}),
    ]
    with Store.open(tmp_path / "runs.db") as store:
        (path,) = exported([stored(store, events)], tmp_path)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(path.as_uri())
        over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        text = page.locator("#e2 .text")
        place = """(node, at) => { const range = document.createRange();
            range.setStart(node.firstChild, at); range.setEnd(node.firstChild, at + 1);
            return range.getBoundingClientRect().left; }"""
        first, last = (text.evaluate(place, at) for at in (0, len(text.inner_text()) - 1))
        browser.close()
    assert over <= 0
    assert last < first  # the full stop stands at the left
