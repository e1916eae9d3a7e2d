"""An experiment that another process runs is paused, continued, and given other limits from its page."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("playwright")
from playwright.sync_api import expect

expect.set_options(timeout=30_000)

HAGGLES = """\
experiment: haggles
scenario: haggling.yaml
arms: {plain: {}, marked: {world.state.markup: 2}}
replicates: 1000
concurrency: 1
outcomes: {price: {unit: coins}}
"""
#: A rule that fails for one answer of three.
HAGGLING = """\
scenario: haggling
providers:
  default:
    use: scripted
    latency: 0.1
    choice: [{action: {offer: {price: 7}}}, {action: {offer: {price: 8}}}, {action: {offer: {price: 9}}}]
world: {state: {price: 0, markup: 0, share: 0}}
agents:
  Mara: {persona: You sell., speak: false, must_act: true, actions: {offer: {price: {type: integer}}}}
rules:
  - {on: offer, set: {price: event.payload.price + state.markup, share: 1 / (event.payload.price - 7)}}
schedule: {use: round-robin, rounds: 2}
outcomes: {price: state.price}
"""


@pytest.fixture(scope="module")
def haggles(study: Any) -> Any:
    """The process that runs it, for longer than the tests take."""
    (study.folder / "haggles.yaml").write_text(HAGGLES, encoding="utf-8")
    (study.folder / "haggling.yaml").write_text(HAGGLING, encoding="utf-8")
    return study.begin("experiment", "run", "haggles.yaml", "-q")


def status(study: Any) -> Any:
    return json.loads(study.pyscrai("experiment", "control", "haggles.yaml", "status"))


def test_an_experiment_is_paused_changed_and_continued(
    study: Any, haggles: Any, open_page: Any, check_accessible: Callable[[Any], None]
) -> None:
    overview = open_page("/")
    row = overview.locator("[data-experiment='haggles']")
    expect(row.locator(".badge")).to_have_text("running")
    page = open_page("/experiments/haggles")
    expect(page.get_by_role("button", name="Retry failed trials")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    badge = page.locator(".facts .badge")
    expect(badge).to_have_text("paused")
    expect(row.locator(".badge")).to_have_text("paused")
    paused = status(study)
    assert (paused["running"], paused["paused"]) == (True, True)

    page.get_by_role("button", name="Change limits").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Change").click()
    expect(dialog.get_by_role("alert")).to_contain_text("nothing is set")
    check_accessible(page)
    dialog.get_by_label("Replicates at the same time").fill("3")
    dialog.get_by_label("Requests per minute").fill("6000")
    dialog.get_by_role("button", name="Change").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_text("New limit: 3 replicates at the same time")).to_be_visible()
    expect(page.get_by_text("New limits of default: 6,000 requests per minute")).to_be_visible()
    limits = {"concurrency": 3, "providers": {"default": {"requests_per_minute": 6000}}}
    assert status(study)["limits"] == limits
    check_accessible(page)

    page.get_by_role("button", name="Retry failed trials").click()
    expect(page.get_by_text("Failed trials are tried again when the others are over.")).to_be_visible()
    assert status(study)["retrying"]
    page.get_by_role("button", name="Continue").click()
    expect(badge).to_have_text("running")
    expect(row.locator(".badge")).to_have_text("running")
    before = page.locator(".trial").count()
    expect(page.locator(".trial").nth(before)).to_be_visible()  # what ends is drawn as it ends


def test_only_a_dashboard_that_may_change_something_controls(
    study: Any, haggles: Any, open_page: Any, server_class: Any
) -> None:
    server = server_class(study.folder, "--read-only")
    try:
        page = open_page("/experiments/haggles", base=server.url)
        expect(page.locator(".facts .badge")).to_have_text("running")
        expect(page.get_by_role("button", name="Pause")).to_have_count(0)
        order = {"action": "pause"}
        told = server.client.post("/api/panels/experiments?experiment=haggles", json=order)
        assert (told.status_code, status(study)["paused"]) == (403, False)
        page.close()
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({"action": "halt"}, "action: expected one of pause"),
        ({"action": "limits"}, "expected LIMITS"),
        ({"action": "limits", "limits": {"concurrency": 0}}, "concurrency"),
        ({"action": "limits", "limits": {"providers": {"defualt": {"concurrency": 2}}}}, "did you mean"),
        ({"action": "continue"}, "it is not paused"),
    ],
)
def test_an_order_that_cannot_be_carried_out_is_told(
    study: Any, haggles: Any, order: dict[str, Any], told: str
) -> None:
    answer = study.server.client.post("/api/panels/experiments?experiment=haggles", json=order)
    assert answer.status_code == 400
    assert told in answer.json()["error"]


def test_an_experiment_whose_process_was_killed_is_interrupted_at_once(
    study: Any, haggles: Any, open_page: Any
) -> None:
    page = open_page("/experiments/haggles")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".facts .badge")).to_have_text("paused")
    haggles.kill()
    haggles.wait()
    expect(page.locator(".facts .badge")).to_have_text("interrupted")
    expect(page.get_by_role("button", name="Continue")).to_have_count(0)
    answer = study.server.client.post(
        "/api/panels/experiments?experiment=haggles", json={"action": "continue"}
    )
    assert "no process runs it" in answer.json()["error"]


def test_an_experiment_on_a_dask_cluster_is_controlled(study: Any, open_page: Any) -> None:
    pytest.importorskip("pyscrai_dask", reason="needs pyscrai-dask")
    executor = "experiment: spread\nexecutor: {use: dask, workers: 1, chunk: 0.5}\n"
    (study.folder / "spread.yaml").write_text(HAGGLES.replace("experiment: haggles\n", executor))
    (study.folder / "haggling.yaml").write_text(HAGGLING)
    process = study.begin("experiment", "run", "spread.yaml", "-q")
    page = open_page("/")
    page.locator("[data-experiment='spread']").get_by_role("link").first.click()
    expect(page.locator(".trial").first).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".facts .badge")).to_have_text("paused")
    page.get_by_role("button", name="Change limits").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Replicates at the same time").fill("3")
    dialog.get_by_role("button", name="Change").click()
    expect(page.get_by_text("New limit: 3 replicates at the same time")).to_be_visible()
    page.get_by_role("button", name="Retry failed trials").click()
    expect(page.get_by_text("Failed trials are tried again when the others are over.")).to_be_visible()
    told = json.loads(study.pyscrai("experiment", "control", "spread.yaml", "status"))
    assert (told["paused"], told["retrying"], told["limits"]["concurrency"]) == (True, True, 3)
    before = page.locator(".trial").count()
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".facts .badge")).to_have_text("running")
    expect(page.locator(".trial").nth(before)).to_be_visible()
    process.terminate()
    process.wait()
