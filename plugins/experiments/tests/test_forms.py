"""Forms of a report, estimates, power, robustness, and Python."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import Result

import pyscrai_experiments
from pyscrai_core import InputError

Invoke = Callable[..., Result]


class Page(HTMLParser):
    """Checks that elements are closed, and collects tags and attributes."""

    VOID = {"meta", "path", "use", "br"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_needs_nothing_else_and_is_the_same_each_time(files: Path, experiment: Invoke) -> None:
    text = Path("exp.yaml").read_text()
    Path("exp.yaml").write_text(text.replace("experiment: markup", "experiment: <script>alert(1)</script>"))
    experiment("run", "exp.yaml", "-q")
    assert experiment("report", "exp.yaml", "--format", "html", "--out", "a.html").exit_code == 0
    assert experiment("report", "exp.yaml", "--format", "html", "--out", "b.html").exit_code == 0
    html = Path("a.html").read_text()
    assert html == Path("b.html").read_text()
    page = Page()
    page.feed(html)
    assert page.open == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == 3  # two outcomes, and the planned differences
    assert all(link.startswith("#") for link in page.links)
    assert len(html) < 1_000_000
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert not re.search(r"stroke: #000000|fill: #000000", html)  # black could not be read on a dark page
    assert "A seed pairs what the simulation draws" in html


def test_the_export_holds_all_forms_and_the_registered_plan(ran: Path, experiment: Invoke) -> None:
    assert experiment("export", "exp.yaml", "--out", "out").exit_code == 0
    assert {path.name for path in Path("out").iterdir()} == {
        "trials.csv", "report.json", "report.md", "report.html", "plan.json",
    }  # fmt: skip
    (plan,) = json.loads(Path("out/plan.json").read_text())
    assert plan["hash"] == json.loads(Path("out/report.json").read_text())["registration"]["hash"]
    assert plan["plan"]["analysis"]["comparisons"][0]["smallest"] == 0.5
    assert len(Path("out/trials.csv").read_text().splitlines()) == 31


def test_a_plan_tells_what_a_pilot_needed_and_is_part_of_the_experiment(
    files: Path, experiment: Invoke
) -> None:
    before = experiment("plan", "exp.yaml")
    assert "3 arms with 10 replicates: 30 trials, 0 completed" in before.stdout
    assert not Path(".pyscrai").exists()
    found = json.loads(experiment("plan", "exp.yaml", "--pilot", "2", "--json", "-q").stdout)
    assert (found["completed"], found["pilot"]) == (6, 2)
    done = json.loads(experiment("run", "exp.yaml", "--json", "-q").stdout)
    assert done["ran"] == 24
    # Each trial makes as many calls, so that the estimate is exact.
    assert found["expected"]["calls"]["estimate"] == done["calls"]


def test_the_power_of_planned_comparisons(files: Path, experiment: Invoke) -> None:
    text = Path("exp.yaml").read_text()
    Path("exp.yaml").write_text(text.replace("poor: plain", "poor: {against: marked, smallest: 1}"))
    experiment("run", "exp.yaml", "-q")
    found = json.loads(experiment("power", "exp.yaml", "--json").stdout)
    assert "differences that vary" in found[0]["note"]  # the markup is added to every price
    text = Path("exp.yaml").read_text().replace("experiment: markup", "experiment: noisy")
    # Mara acts in every second step alone, so that differences vary.
    Path("noisy.yaml").write_text(
        text.replace("agents.Jon.persona: You are poor.", "agents.Mara.acts: {every: 2}")
    )
    done = experiment("run", "noisy.yaml", "-q")
    assert done.exit_code == 0, done.output
    found = json.loads(experiment("power", "noisy.yaml", "--json", "--power", "0.9").stdout)
    assert 0 <= found[1]["power"]["estimate"] <= 1
    assert found[1]["replicates"]["estimate"] >= 2


def test_variants_that_should_not_matter(files: Path, experiment: Invoke) -> None:
    text = Path("exp.yaml").read_text()
    words = "  other-words: {agents.Mara.persona: You grow apples.}\n"
    Path("exp.yaml").write_text(f"{text}robustness:\n{words}  longer: {{schedule.rounds: 3}}\n")
    done = json.loads(experiment("run", "exp.yaml", "--json", "-q").stdout)
    assert done["done"] == 3 * 3 * 10
    content = json.loads(experiment("report", "exp.yaml", "--format", "json").stdout)
    first = content["robustness"][0]
    assert [row["variant"] for row in first["rows"]] == ["as planned", "other-words", "longer"]
    assert [row["difference"]["estimate"] for row in first["rows"]] == [2.0, 2.0, 2.0]
    assert (first["variants"], first["same_sign"]) == (2, 2)
    assert [arm["arm"] for arm in content["arms"]] == ["plain", "marked", "poor"]
    Path("exp.yaml").write_text(text + "robustness:\n  nothing: {world.state.price: 0}\n")
    refused = experiment("run", "exp.yaml", "--store", "other.db")
    assert "the variant 'nothing' changes nothing in the arm 'plain'" in refused.output


def test_from_python(files: Path) -> None:
    result = pyscrai_experiments.run("exp.yaml", replicates=4, store="python.db")
    assert result.status == "completed"
    frame = result.to_pandas()
    assert len(frame) == 12
    assert list(frame.columns) == [
        "arm", "replicate", "seed", "status", "run", "error", "high", "price", "total",
    ]  # fmt: skip
    means = frame.groupby("arm")["price"].mean()
    assert means["marked"] - means["plain"] == pytest.approx(2)
    assert result.content["outcomes"][0]["name"] == "price"
    shown = result._repr_html_()
    assert shown is not None
    assert '<iframe sandbox srcdoc="&lt;!doctype html&gt;' in shown
    assert "&lt;script" not in shown
    more = pyscrai_experiments.run("exp.yaml", replicates=5, extend=True, store="python.db")
    assert more.summary.ran == 3
    assert "# markup" in pyscrai_experiments.report("exp.yaml", form="markdown", store="python.db")
    with pytest.raises(InputError, match="pyscrai experiment extend"):
        pyscrai_experiments.run("exp.yaml", replicates=6, store="python.db")


def test_a_variant_whose_trials_failed_stays_in_the_report(files: Path, experiment: Invoke) -> None:
    text = Path("exp.yaml").read_text()
    broken = 'robustness:\n  broken: {outcomes.total: "[1][state.total]"}\n'
    Path("exp.yaml").write_text(text + broken)
    assert experiment("run", "exp.yaml", "-q").exit_code == 1
    content = json.loads(experiment("report", "exp.yaml", "--format", "json").stdout)
    robust = content["robustness"][0]
    assert [row["verdict"] for row in robust["rows"]][1:] == ["not compared"]
    assert (robust["variants"], robust["same_verdict"], content["claim"]["robust"]) == (1, 0, False)
    assert "30 trials failed" in content["methods"]
    assert any("could not be compared under broken" in one for one in content["warnings"])
    assert not any("unequally" in one for one in content["warnings"])
    shown = experiment("report", "exp.yaml").stdout
    assert "not compared" in shown
    assert "<svg" in experiment("report", "exp.yaml", "--format", "html").stdout


def test_measures_and_tables_can_be_outcomes(files: Path, experiment: Invoke) -> None:
    scenario = Path("market.yaml")
    scenario.write_text(
        scenario.read_text()
        + "measures: {now: state.price}\n"
        + "tables: {offers: {rows: events.offer, columns: {price: event.payload.price, who: event.source}}}\n"
    )
    Path("exp.yaml").write_text(
        "experiment: series\nscenario: market.yaml\nreplicates: 3\noutcomes:\n"
        "  last: {value: measure.now.last}\n  most: {value: table.offers.price.max}\n"
        "  first: {value: table.offers.who.first}\n  count: {value: table.offers.price.count}\n"
        "  none: {value: table.offers.who.mean}\n  price: {}\n"
    )
    assert experiment("run", "exp.yaml", "-q").exit_code == 0
    content = json.loads(experiment("report", "exp.yaml", "--format", "json").stdout)
    found = {one["name"]: one for one in content["outcomes"]}
    assert found["last"]["arms"][0]["mean"]["estimate"] == found["price"]["arms"][0]["mean"]["estimate"]
    assert found["count"]["arms"][0]["mean"]["estimate"] == 4
    assert found["first"]["arms"][0]["proportions"]["Mara"]["estimate"] == 1
    assert found["none"]["arms"][0]["n"] == 0
    assert 5 <= found["most"]["arms"][0]["mean"]["estimate"] <= 10


def test_cells_are_no_formulas_and_absent_categories_have_a_share(files: Path, experiment: Invoke) -> None:
    scenario = Path("market.yaml")
    kind = "{value: \"'=1+1' if state.markup else '-2'\", kind: category}"
    scenario.write_text(scenario.read_text().replace("high: state.price > 6", f"high: {kind}"))
    text = Path("exp.yaml").read_text().replace("  high: {kind: proportion}\n", "  high: {}\n")
    Path("exp.yaml").write_text(text)
    assert experiment("run", "exp.yaml", "-q").exit_code == 0
    rows = experiment("report", "exp.yaml", "--format", "csv").stdout
    assert "'=1+1" in rows
    assert "'-2" in rows
    assert ",=1+1" not in rows
    content = json.loads(experiment("report", "exp.yaml", "--format", "json").stdout)
    shares = next(one for one in content["outcomes"] if one["name"] == "high")["arms"][0]["proportions"]
    assert shares["=1+1"]["estimate"] == 0
    assert shares["=1+1"]["interval"]["high"] > 0.1


def test_a_form_that_is_not_there(ran: Path, experiment: Invoke) -> None:
    with pytest.raises(InputError, match="expected one of terminal, csv"):
        pyscrai_experiments.report("exp.yaml", form="pdf")
