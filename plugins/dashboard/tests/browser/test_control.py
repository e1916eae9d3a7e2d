"""Control: start, approve, pause, inject, continue, stop, answer, fork, compare."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("playwright")
from playwright.sync_api import expect

expect.set_options(timeout=30_000)


FAR = """\
scenario: far
providers: {default: {use: openai, model: x, base_url: "http://models.invalid/v1", api_key: STUDY_KEY}}
agents: {Ann: {persona: You are a guest.}}
schedule: {use: round-robin, rounds: 1}
"""


def start(page: Any, file: str) -> None:
    page.get_by_role("button", name=file).click()
    expect(page.get_by_label("Scenario file")).to_have_value(file)
    page.get_by_role("button", name="Start", exact=True).click()


def test_a_run_is_started_paused_changed_and_stopped(open_page: Any) -> None:
    page = open_page("/start")
    page.get_by_label("Labels").fill("by = page")
    page.get_by_label("Overrides").fill("world.state.weather = wet")
    start(page, "slow.yaml")
    badge = page.locator(".facts .badge")
    expect(badge).to_have_text("running")
    expect(page.locator(".label")).to_have_text("by=page")
    expect(page.locator(".world")).to_contain_text("wet")
    page.get_by_role("button", name="Pause").click()
    expect(badge).to_have_text("paused")

    page.get_by_role("button", name="Inject an event").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Kind").fill("news")
    dialog.get_by_label("Payload (JSON)").fill('{"text": 3}')
    dialog.get_by_role("button", name="Inject").click()
    expect(dialog.get_by_role("alert")).to_contain_text("text")
    dialog.get_by_label("Payload (JSON)").fill('{"text": ')
    dialog.get_by_role("button", name="Inject").click()
    expect(dialog.get_by_role("alert")).to_contain_text("no JSON")
    dialog.get_by_label("Payload (JSON)").fill('{"text": "A storm!"}')
    dialog.get_by_role("button", name="Inject").click()
    expect(dialog).to_have_count(0)

    page.get_by_role("button", name="Continue").click()
    expect(badge).to_have_text("running")
    expect(page.locator(".control-result")).to_have_text("")  # what was asked for is done
    expect(page.locator("article", has_text="A storm!")).to_contain_text("from outside")
    page.get_by_role("button", name="Stop").click()
    expect(badge).not_to_have_text("running")
    open_page.errors[:] = [text for text in open_page.errors if " 4" not in text]


def test_a_person_answers(open_page: Any) -> None:
    page = open_page("/start")
    start(page, "person.yaml")
    question = page.get_by_role("region", name="Ann: it is your turn")
    expect(question).to_contain_text("You are a guest.")
    expect(page).to_have_title(re.compile(r"^\(\?\) person"))
    answer = question.get_by_role("textbox")
    answer.fill("/nonsense")
    question.get_by_role("button", name="Answer").click()
    expect(page.get_by_role("region", name="Ann: it is your turn")).to_contain_text("nonsense")
    answer = page.get_by_role("region", name="Ann: it is your turn").get_by_role("textbox")
    answer.fill("Good <b>morning</b>.")
    answer.press("Control+Enter")
    expect(page.locator(".facts .badge")).to_have_text("completed")
    expect(question).to_have_count(0)
    expect(page.locator("article", has_text="Good <b>morning</b>.")).to_contain_text("Ann")


def test_a_scenario_with_own_code_needs_approval(open_page: Any) -> None:
    page = open_page("/start")
    start(page, "code.yaml")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("tools.py")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Approve and start").click()
    expect(page.locator(".facts .badge")).to_have_text("completed")
    open_page.errors[:] = [text for text in open_page.errors if "409" not in text]


def test_hosts_and_secrets_need_approval(study: Any, open_page: Any) -> None:
    pytest.importorskip("pyscrai_openai", reason="needs pyscrai-openai")
    (study.folder / "far.yaml").write_text(FAR, encoding="utf-8")
    page = open_page("/start")
    start(page, "far.yaml")
    dialog = page.get_by_role("dialog")
    demands = ["connect to: http://models.invalid", "read the secret in the environment variable: STUDY_KEY"]
    expect(dialog.get_by_role("listitem")).to_have_text(demands)
    dialog.get_by_role("button", name="Approve and start").click()
    # It was asked for only now, and is not there.
    expect(dialog.get_by_role("alert")).to_contain_text("STUDY_KEY: the environment variable is not set")
    open_page.errors[:] = [text for text in open_page.errors if " 4" not in text]


def test_a_mistake_is_explained(open_page: Any) -> None:
    page = open_page("/start")
    page.get_by_label("Overrides").fill("agents.Nobody.goals = [1]")
    start(page, "slow.yaml")
    expect(page.get_by_role("alert")).to_contain_text("Nobody")
    open_page.errors[:] = [text for text in open_page.errors if " 4" not in text]


def test_a_fork_is_made_and_compared(study: Any, open_page: Any) -> None:
    page = open_page(f"/runs/{study.haggle}")
    page.locator("article", has_text="Nine then.").first.click()
    page.get_by_role("button", name="Fork from here").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Changes from then on").fill("world.state.price = 30")
    dialog.get_by_role("button", name="Fork and go on").click()
    expect(page.locator(".crumbs")).to_contain_text("fork of")
    expect(page.locator(".facts .badge")).to_have_text("completed")
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("dialog").get_by_role("button", name="Compare").click()
    expect(page.locator(".parting")).to_contain_text(re.compile(r"They share the first \d+ events"))
    expect(page.get_by_role("rowheader", name="sold")).to_be_visible()
    expect(page.locator("summary")).to_contain_text("What was different")
    expect(page.locator(".aligned-row.parts")).to_contain_text("price = 30")
    page.get_by_label("Only from there on").check()
    expect(page.locator(".aligned-row").first).to_have_class(re.compile("parts"))


def test_a_read_only_dashboard_offers_no_control(study: Any, open_page: Any, server_class: Any) -> None:
    server = server_class(study.folder, "--read-only")
    try:
        page = open_page(f"/runs/{study.haggle}", base=server.url)
        expect(page.get_by_role("button", name="Fork")).to_have_count(0)
        expect(page.get_by_role("button", name="Compare")).to_be_visible()
        page.get_by_role("link", name="Start a run").click()
        expect(page.get_by_text("it shows runs, and starts none")).to_be_visible()
        page.close()
    finally:
        server.stop()


def test_a_run_that_a_budget_stopped_is_continued_with_a_larger_one(study: Any, open_page: Any) -> None:
    study.begin("run", "slow.yaml", "-q", "--set", "limits.calls=2", "--label", "kind=budget").wait()
    run = study.server.get("/runs?label=kind=budget")["runs"][0]["id"]
    page = open_page(f"/runs/{run}")
    expect(page.locator(".facts .badge")).to_have_text("stopped")
    page.get_by_role("button", name="Continue").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("limits.calls = 2")
    dialog.get_by_label("Changes").fill("limits.calls = 4")
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".total")).to_have_text("4 events")
    expect(page.locator(".facts .badge")).to_have_text("stopped")
