"""Watching: runs and experiments that other processes execute, transcripts, prompts, comparisons."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright")
from playwright.sync_api import expect

expect.set_options(timeout=30_000)


def number(locator: Any) -> int:
    return int(locator.inner_text().replace(",", ""))


def test_a_run_of_another_process_appears_and_moves(study: Any, open_page: Any) -> None:
    page = open_page("/")
    expect(page.locator(f"[data-run='{study.haggle}']")).to_be_visible()
    process = study.begin("run", "slow.yaml", "-q")
    row = page.locator("[data-run].row-running")
    expect(row).to_contain_text("slow")
    events = row.locator("td.num").nth(1)
    before = number(events)
    page.wait_for_timeout(100)
    expect(events).not_to_have_text(f"{before:,}")
    row.get_by_role("link").click()
    expect(page).to_have_title(re.compile("slow .*, running"))
    articles = page.locator(".transcript article")
    expect(articles.first).to_contain_text("Mara")
    last = articles.last.get_attribute("data-seq")
    expect(page.locator(f"article[data-seq='{int(last or 0) + 3}'] .text")).to_be_visible()
    process.kill()
    expect(page.locator(".facts .badge")).to_have_text("interrupted")
    assert "interrupted" in page.locator("#announce").inner_text()


def test_runs_are_filtered(study: Any, open_page: Any) -> None:
    page = open_page("/")
    rows = page.locator("[data-run]")
    expect(page.locator(f"[data-run='{study.hostile}']")).to_be_visible()
    page.get_by_label("Label", exact=True).fill("study=pilot")
    expect(page.locator(f"[data-run='{study.hostile}']")).to_have_count(0)
    expect(rows).to_have_count(1)
    assert "label=study" in page.url
    page.reload()
    expect(rows).to_have_count(1)
    page.get_by_label("Status").select_option("failed")
    expect(page.get_by_text("No run matches these filters.")).to_be_visible()


def test_the_transcript_is_filtered_and_searched(study: Any, open_page: Any) -> None:
    page = open_page(f"/runs/{study.haggle}")
    total = page.locator(".total")
    expect(total).to_have_text(re.compile(r"^\d+ events$"))
    expect(page.locator("article.is-rejected").first).to_contain_text("not possible")
    thought = page.locator("article.is-thought").first
    expect(thought).not_to_contain_text("A cook needs apples")
    thought.get_by_role("button", name="unfold").click()
    expect(page.locator("article.is-thought").first).to_contain_text("A cook needs apples today.")
    page.get_by_label("From").select_option("Jon")
    expect(page.locator("article", has_text="Twelve coins.")).to_have_count(0)
    page.get_by_label("From").select_option("")
    page.get_by_text("Kinds").click()
    page.get_by_label(re.compile(r"^say \(")).uncheck()
    expect(page.locator("article", has_text="Twelve coins.")).to_have_count(0)
    page.get_by_label(re.compile(r"^say \(")).check()
    page.locator("body").press("/")
    page.keyboard.type("nine then")
    expect(total).to_have_text(re.compile(r"^[24] of \d+ events$"))
    expect(page.locator("article .text").first).to_contain_text("Nine then.")


def test_thoughts_are_unfolded_by_mouse_and_by_keys(study: Any, open_page: Any) -> None:
    page = open_page(f"/runs/{study.haggle}")
    thought = page.get_by_text("A cook needs apples today.")
    folds = page.locator("button.fold")
    expect(folds).to_have_text(["unfold"] * 4)
    expect(thought).to_have_count(0)
    folds.nth(1).click()
    expect(folds).to_have_text(["unfold", "fold", "unfold", "unfold"])
    expect(folds.nth(1)).to_have_attribute("aria-expanded", "true")
    expect(thought).to_have_count(1)
    expect(page.locator("[data-raw]")).to_have_count(0)  # the event is not opened by it
    folds.nth(1).click()
    expect(thought).to_have_count(0)

    page.get_by_role("feed").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    expect(folds).to_have_text(["fold", "unfold", "unfold", "unfold"])
    expect(page.locator("article:focus")).to_contain_text("A cook needs apples today.")
    page.keyboard.press("Space")
    expect(thought).to_have_count(0)
    page.get_by_label("Unfold thoughts").check()
    expect(thought).to_have_count(4)
    page.reload()
    expect(thought).to_have_count(4)  # it is kept


def test_the_slider_shows_the_world_and_the_keys_the_prompt(study: Any, open_page: Any) -> None:
    page = open_page(f"/runs/{study.haggle}")
    world = page.locator(".world")
    expect(world).to_contain_text("Changed in step 1")
    page.get_by_label("Step", exact=True).fill("3")
    expect(world.locator(".changes")).to_contain_text("price")
    expect(world.locator("del")).to_have_text("12")
    expect(world.locator("ins")).to_have_text("9")
    world.get_by_label("As seen by").select_option("Jon")
    expect(world).to_contain_text("Jon could see")
    expect(world).not_to_contain_text("least")
    page.get_by_label("Events").focus()
    page.keyboard.press("Home")
    page.keyboard.press("j")
    expect(page.locator("article.chosen")).to_contain_text("Twelve coins.")
    page.keyboard.press("Enter")
    panel = page.locator(".panel")
    expect(panel.locator(".message").first).to_contain_text("You are Mara. You are a farmer.")
    expect(panel.locator("[data-raw]")).to_contain_text('"offer"')
    expect(panel).to_contain_text("Tokens")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page.locator("article.chosen")).to_be_focused()


def test_charts_network_and_calls(study: Any, open_page: Any) -> None:
    page = open_page(f"/runs/{study.haggle}?tab=results")
    expect(page.locator(".outcomes")).to_contain_text("sold")
    expect(page.get_by_role("img", name=re.compile("^Line chart of price in coins"))).to_be_visible()
    assert page.locator(".chart canvas").count() == 2
    page.get_by_role("link", name="Usage").click()
    expect(page.get_by_role("cell", name=re.compile("Mara"))).to_have_count(0)
    expect(page.get_by_role("rowheader", name="Mara")).to_be_visible()
    page.get_by_role("link", name="Network").click()
    node = page.get_by_role("link", name=re.compile("^Jon, "))
    expect(node).to_be_visible()
    page.get_by_role("link", name="Calls").click()
    page.get_by_role("button", name=re.compile("^1. Mara")).click()
    expect(page.get_by_role("dialog")).to_contain_text("Prompt, exactly as sent")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


RING = """\
scenario: ring
providers: {default: {use: scripted, replies: [One., Two.]}}
agents: {Mara: {persona: You sell apples.}, Jon: {persona: You cook.}, Ada: {persona: You grind corn.}}
schedule: {use: round-robin, rounds: 4}
"""
#: Whether each line of the page's drawings lies in its drawing.
INSIDE = """() => [...document.querySelectorAll("svg.network path.edge")].map((edge) => {
  const [box, drawn] = [edge.ownerSVGElement.viewBox.baseVal, edge.getBBox()];
  const [right, bottom] = [drawn.x + drawn.width, drawn.y + drawn.height];
  return drawn.x >= 0 && drawn.y >= 0 && right <= box.width && bottom <= box.height;
})"""
#: Where the marks of a run's problems begin, in a place that has room for one in a line.
MARKS = """async () => {
  const { troubles } = await import("/static/status.js");
  const place = document.body.appendChild(document.createElement("div"));
  place.setAttribute("id", "place");
  place.append(...troubles({ truncated: 1, rejected: 2, failed_calls: 3 }));
  place.style.setProperty("inline-size", "5.5rem");
  return [...place.querySelectorAll(".trouble")].map((mark) => mark.getBoundingClientRect().left);
}"""


def test_no_line_of_a_network_leaves_the_drawing(study: Any, open_page: Any) -> None:
    (study.folder / "ring.yaml").write_text(RING, encoding="utf-8")
    run = study.run("ring.yaml")
    for width in (1280, 360):
        page = open_page(f"/runs/{run}?tab=network", width=width)
        expect(page.locator("path.edge").first).to_be_visible()
        inside = page.evaluate(INSIDE)
        assert len(inside) >= 3
        assert all(inside)


def test_marks_below_each_other_begin_at_one_edge(study: Any, open_page: Any) -> None:
    left = open_page("/").evaluate(MARKS)
    assert len(left) == 3
    assert len(set(left)) == 1


def test_the_list_of_calls_marks_what_was_cut_off(study: Any, open_page: Any) -> None:
    run = study.run("haggle.yaml")
    with closing(sqlite3.connect(study.folder / ".pyscrai" / "runs.db", timeout=30)) as store, store:
        store.execute("UPDATE calls SET finish_reason='length' WHERE run=? AND number=1", (run,))
    page = open_page(f"/runs/{run}?tab=calls")
    cell = page.locator("td", has=page.get_by_text("cut off", exact=True))
    expect(cell).to_have_text("answered cut off")


def test_a_map_and_a_network_of_the_scenario_move_with_the_steps(study: Any, open_page: Any) -> None:
    page = open_page(f"/runs/{study.run('town.yaml')}?tab=network")
    places = page.locator(".place")
    expect(places).to_have_count(1)
    expect(places.locator("title").first).to_have_text("Market: Ann, Ben")
    page.get_by_label("Step of the map").fill("1")
    expect(places).to_have_count(2)
    expect(page.get_by_role("heading", name="Network of the scenario")).to_be_visible()
    page.get_by_text("Numbers (1 pair)").first.click()
    expect(page.get_by_role("cell", name="sister")).to_be_visible()


def test_a_draw_is_shown_with_its_probabilities(study: Any, open_page: Any) -> None:
    page = open_page(f"/runs/{study.run('choice.yaml')}?tab=calls")
    page.get_by_role("button", name=re.compile("^1. Ann")).click()
    panel = page.get_by_role("dialog")
    expect(panel.get_by_role("heading", name="Drawn by PyScrAI: action.go.by")).to_be_visible()
    expect(panel).to_contain_text("75.0 %  bus")
    expect(panel).to_contain_text("25.0 %  <b>car</b>")
    expect(panel).to_contain_text("20.0 %  (of all answers: none of these)")


def test_an_experiment_is_followed(study: Any, open_page: Any) -> None:
    study.begin("experiment", "run", "prices.yaml", "-q")
    page = open_page("/")
    row = page.locator("[data-experiment='prices']")
    expect(row).to_be_visible()
    row.get_by_role("link").click()
    expect(page.locator(".facts .badge")).to_have_text("completed")
    expect(page.locator(".fact-list")).to_contain_text("16 / 16")
    expect(page.locator(".part-arms table tbody tr")).to_have_count(4)
    expect(page.locator(".part-arms .interval .range")).to_have_count(4)
    expect(page.locator(".part-factors figure")).to_have_count(2)
    page.locator(".trial").first.press("Enter")
    expect(page).to_have_title(re.compile("^priced"))
    expect(page.locator(".crumbs")).to_contain_text("prices")


def test_a_long_run_opens_at_once_and_scrolls(study: Any, open_page: Any) -> None:
    run = study.run("crowd.yaml")
    page = open_page(f"/runs/{run}")
    expect(page.locator(".total")).to_have_text("20,000 events")
    page.get_by_label("Events").focus()
    page.keyboard.press("End")
    expect(page.locator("article[data-seq='20000'] .kind")).to_have_text("step")
    began = time.monotonic()
    page.reload()
    expect(page.locator("article .text").first).to_be_visible()
    assert time.monotonic() - began < 10  # well under one second on a machine that is not busy
    assert page.locator("article").count() < 100
    page.get_by_label("Step", exact=True).fill("50")
    expect(page.locator("article.first", has_text="step 50")).to_be_visible()


def test_text_of_others_stays_text(study: Any, open_page: Any) -> None:
    page = open_page(f"/runs/{study.hostile}")
    said = page.locator("article .text").first
    expect(said).to_contain_text("<script>window.hurt = 1</script>")
    expect(said).to_contain_text("⟨ESC⟩[31mred⟨BEL⟩ ⟨U+202E⟩back")
    expect(page.locator(".premise")).to_have_text("<b>bold</b><script>window.hurt = 3</script>")
    page.locator("article").first.click()
    expect(page.locator("[data-raw]")).to_contain_text("<script>")
    complete = {"Results": ".outcomes", "Usage": ".uplot", "Network": ".node", "Calls": "tbody tr"}
    for tab, there in complete.items():
        page.get_by_role("link", name=tab, exact=True).click()
        expect(page.locator(there).first).to_be_visible()
        assert page.locator("main script, main img, main b, main svg[onload]").count() == 0
    page.get_by_role("link", name="Overview").click()
    expect(page.locator(f"[data-run='{study.hostile}'] .label")).to_have_text("note=<i>x</i>")
    assert page.evaluate("window.hurt") is None


def test_a_text_of_10_mb_is_shown_in_parts(
    study: Any, open_page: Any, check_accessible: Callable[[Any], None]
) -> None:
    run = study.run("hostile.yaml")
    with sqlite3.connect(study.folder / ".pyscrai" / "runs.db") as store:
        payload = json.dumps({"text": "012345678" + "<b>x</b> \u001b🌍" * 1_000_000})
        store.execute("UPDATE events SET payload=? WHERE run=? AND seq=1", (payload, run))
    page = open_page(f"/runs/{run}?event=1")
    whole = page.locator(".event-whole")
    more = whole.get_by_role("button", name="show more (49,999 of 12,000,009 characters)")
    expect(more).to_be_visible()
    check_accessible(page)
    more.click()
    expect(whole.get_by_role("button", name="show more (99,999 of")).to_be_visible()
    assert "\ufffd" not in whole.inner_text()


def test_what_is_gone_says_so(study: Any, open_page: Any) -> None:
    run = study.run("haggle.yaml")
    page = open_page(f"/runs/{run}")
    expect(page.locator("#connection")).to_have_text("Live")
    study.pyscrai("runs", "rm", run, "--yes")
    told = f"run {run}: the store has no such run; it may have been removed. What you see is what was read"
    expect(page.get_by_role("alert")).to_contain_text(told)
    page.goto(f"{study.url}/runs/{run}")
    expect(page.locator("h1")).to_have_text("Not found")
    page.close()  # the browser tells of more than one answer with 404
    open_page.errors[:] = [text for text in open_page.errors if "404" not in text]


def test_a_store_that_is_moved_away_and_back_is_told(
    study: Any, open_page: Any, server_class: Any, tmp_path: Path
) -> None:
    folder = tmp_path / ".pyscrai"
    folder.mkdir()
    with (
        closing(sqlite3.connect(study.folder / ".pyscrai" / "runs.db")) as all_runs,
        closing(sqlite3.connect(folder / "runs.db")) as copy,
    ):
        all_runs.backup(copy)
    server = server_class(tmp_path)
    try:
        page = open_page(f"/runs/{study.haggle}", base=server.url)
        expect(page.locator("#connection")).to_have_text("Live")
        folder.rename(tmp_path / "away")
        expect(page.get_by_role("alert")).to_contain_text(re.compile(r"store .*runs\.db: it was removed or"))
        (tmp_path / "away").rename(folder)
        expect(page.get_by_role("alert")).to_have_count(0)
        page.close()
    finally:
        server.stop()
    open_page.errors[:] = [text for text in open_page.errors if "404" not in text]


def test_a_lost_server_is_shown_and_found_again(study: Any, open_page: Any, server_class: Any) -> None:
    server = server_class(study.folder)
    page = open_page("/", base=server.url)
    expect(page.locator("#connection")).to_have_text("Live")
    server.stop()
    expect(page.locator("#connection")).to_have_text("Reconnecting…")
    again = server_class(study.folder, "--port", str(server.port))
    try:
        expect(page.locator("#connection")).to_have_text("Live")
        page.close()  # it would tell of the second end as well, and of answers that this cuts short
    finally:
        again.stop()
    # Nobody answers for a while, and answers that the end cut short have the status 500.
    open_page.errors[:] = [text for text in open_page.errors if not re.search("ERR_| 500 ", text)]
