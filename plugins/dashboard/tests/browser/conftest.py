"""A real browser, and what it looks at: one server and one store for all tests of the page."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
#: Milliseconds that the browser waits for something; the machine may be busy.
PATIENCE = 30_000
AXE = Path(__file__).parent / "axe" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

HAGGLE = """\
scenario: haggle
seed: 3
providers:
  default:
    use: scripted
    patterns: [{match: First think, reply: A cook needs apples today.}]
    replies:
      - {say: Twelve coins., action: {offer: {price: 12}}}
      - {say: Nine then., action: {offer: {price: 9}}}
world:
  premise: It is dawn at the market.
  state: {price: null, sold: 0}
agents:
  Mara:
    persona: You are a farmer.
    reasoning: chain-of-thought
    state: {least: 8}
    actions: {offer: {price: {type: integer}}}
  Jon:
    memory: null
    engine:
      use: rules
      policy: [{when: state.price == 9, do: accept, say: I take it.}, {do: refuse, say: Too much for me.}]
    actions: {accept: {}, refuse: {when: step < 0 or event.source != 'Jon'}}
rules:
  - {on: offer, set: {price: event.payload.price}}
  - {on: accept, add: {sold: 1}}
schedule: {use: round-robin, rounds: 4}
measures: {price: {value: state.price, unit: coins}, sold: {value: state.sold}}
outcomes: {price: state.price, sold: state.sold}
tables: {people: {rows: agents, columns: {name: name}}}
"""
SLOW = """\
scenario: slow
seed: 3
providers: {default: {use: scripted, replies: [One., Two., Three.], latency: 0.3}}
world: {state: {weather: dry}}
agents:
  Mara: {persona: You sell apples.}
  Jon: {persona: You buy apples.}
events: {news: {type: object, properties: {text: {type: string}}, required: [text]}}
schedule: {use: round-robin, rounds: 500}
"""
HOSTILE = """\
scenario: hostile
seed: 3
providers:
  default:
    use: scripted
    replies:
      - "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 2'> \\e[31mred\\a \\u202Eback"
world:
  premise: "<b>bold</b><script>window.hurt = 3</script>"
  state: {note: "<img src=x onerror='window.hurt = 4'>"}
agents:
  Mara: {persona: "<svg onload='window.hurt = 5'>"}
schedule: {use: round-robin, rounds: 2}
measures: {"note": {value: state.note}}
outcomes: {note: state.note}
tables: {notes: {rows: agents, columns: {note: state.note}}}
"""
CROWD = """\
scenario: crowd
seed: 1
world: {state: {n: 0}}
agents:
  A:
    count: 100
    memory: null
    engine: {use: rules, policy: [{do: step, say: I take a step.}]}
    actions: {step: {}}
rules: [{on: step, add: {n: 1}}]
schedule: {use: simultaneous, rounds: 100}
"""
CHOICE = """\
scenario: choice
providers: {default: {use: scripted, odds: {bus: 0.6, "<b>car</b>": 0.2}}}
agents:
  Ann:
    persona: You travel.
    speak: false
    must_act: true
    actions: {go: {by: {enum: [bus, <b>car</b>]}}}
schedule: {use: round-robin, rounds: 1}
"""
TOWN = """\
scenario: town
seed: 2
world:
  state:
    day: 1
    map:
      places:
        - {name: Market, agents: [Ann], links: [Church]}
        - {name: Church, agents: [Ben], links: []}
    network: {nodes: [Ann, Ben], edges: [{from: Ann, to: Ben, label: sister}]}
agents:
  Ann: {memory: null, engine: {use: rules, policy: [{say: Good day.}]}}
  Ben: {memory: null, engine: {use: rules, policy: [{do: sleep}]}, actions: {sleep: {}}}
rules: [{on: sleep, add: {day: 1}, set: {map.places: "[{'name': 'Market', 'agents': ['Ann', 'Ben']}]"}}]
schedule: {use: round-robin, rounds: 1}
"""
PERSON = """\
scenario: person
seed: 3
providers: {default: {use: scripted, replies: [Hello.]}}
agents:
  Ann: {persona: You are a guest., engine: human}
  Jon: {persona: You sell apples.}
schedule: {use: round-robin, rounds: 1}
"""
CODE = """\
scenario: own-code
seed: 3
providers: {default: {use: scripted, replies: [Hello.]}}
agents: {Ann: {persona: You are a guest., tools: ["./tools.py:weather"]}}
schedule: {use: round-robin, rounds: 1}
"""
TOOLS = '''\
def weather() -> str:
    """What the weather is like."""
    return "fine"
'''
PRICES = """\
experiment: prices
scenario: priced.yaml
factors:
  markup: {path: world.state.markup, values: [0, 2]}
  mood: {path: world.state.mood, values: [calm, tense]}
replicates: 4
outcomes: {price: {unit: coins}}
"""
PRICED = """\
scenario: priced
seed: 1
providers:
  default:
    use: scripted
    latency: 0.05
    choice: [{action: {offer: {price: 8}}}, {action: {offer: {price: 9}}}]
world: {state: {price: 0, markup: 0, mood: calm}}
agents:
  Mara: {persona: You are a farmer., speak: false, must_act: true, actions: {offer: {price: {type: integer}}}}
rules: [{on: offer, set: {price: event.payload.price + state.markup}}]
schedule: {use: round-robin, rounds: 2}
outcomes: {price: state.price}
"""
FILES = {
    "haggle.yaml": HAGGLE, "slow.yaml": SLOW, "hostile.yaml": HOSTILE, "crowd.yaml": CROWD,
    "town.yaml": TOWN, "choice.yaml": CHOICE,
    "person.yaml": PERSON, "code.yaml": CODE, "tools.py": TOOLS, "prices.yaml": PRICES,
    "priced.yaml": PRICED,
}  # fmt: skip


class Study:
    """A folder with scenarios, its store, and the dashboard that shows it."""

    def __init__(self, folder: Path, server_class: Any) -> None:
        self.folder = folder
        for name, text in FILES.items():
            (folder / name).write_text(text, encoding="utf-8")
        self.haggle = self.run("haggle.yaml", "--label", "study=pilot")
        self.hostile = self.run("hostile.yaml", "--label", "note=<i>x</i>")
        self.server = server_class(folder)
        self.url: str = self.server.url
        self.processes: list[subprocess.Popen[str]] = []

    def pyscrai(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "pyscrai_cli.main", *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, *arguments: str) -> str:
        """Run a scenario to its end; the run's id."""
        return str(json.loads(self.pyscrai("run", *arguments, "--json"))["run"])

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `pyscrai` in a process of its own."""
        command = [sys.executable, "-m", "pyscrai_cli.main", *arguments]
        process = subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.server.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser. Without one, or without Playwright, the tests are skipped.

    While it is open, an event loop runs in this thread: no test of another module could run one.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def study(chromium: Any, server_class: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    made = Study(tmp_path_factory.mktemp("study"), server_class)
    yield made
    made.close()


@pytest.fixture
def open_page(chromium: Any, study: Study) -> Iterator[Callable[..., Any]]:
    """Opens a path in a page of its own. At the end, no page may have had an error."""
    contexts, errors = [], []

    def open_it(path: str, *, width: int = 1280, theme: str = "light", base: str = "") -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 860}, color_scheme=theme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: said.type == "error" and errors.append(said.text))
        page.goto((base or study.url) + path)
        return page

    open_it.errors = errors  # type: ignore[attr-defined]
    yield open_it
    for context in contexts:
        context.close()
    assert not errors


@pytest.fixture
def check_accessible() -> Callable[[Any], None]:
    """Checks that axe-core finds nothing on a page, in light and dark."""

    def check(page: Any) -> None:
        page.evaluate(AXE.read_text(encoding="utf-8"))
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
            problems = [
                f"{theme}, {one['id']}: {one['help']}: {node['html'][:200]} {node['failureSummary'][:300]}"
                for one in found["violations"]
                for node in one["nodes"]
            ]
            assert not problems, "\n".join(problems)

    return check
