"""Every view in light and dark: axe-core finds nothing, and a phone needs no horizontal scrolling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("playwright")
from playwright.sync_api import expect

expect.set_options(timeout=30_000)
#: The address of each view, and what is there when it is complete.
VIEWS = {
    "overview": ("/", "[data-run]"),
    "start": ("/start", "form"),
    "transcript": ("/runs/{run}", "article .text"),
    "event": ("/runs/{run}?event=2", "[data-raw]"),
    "results": ("/runs/{run}?tab=results", ".uplot"),
    "usage": ("/runs/{run}?tab=usage", ".uplot"),
    "network": ("/runs/{run}?tab=network", ".node"),
    "calls": ("/runs/{run}?tab=calls", "tbody tr"),
    "compare": ("/compare?left={run}&right={fork}", ".aligned-row.parts .text"),
    "experiment": ("/experiments/prices", ".part-factors .estimate"),
}


@pytest.fixture(scope="module")
def seen(study: Any) -> dict[str, str]:
    """What the addresses name."""
    study.pyscrai("experiment", "run", "prices.yaml", "-q")
    study.pyscrai("fork", study.haggle, "--at", "3", "--set", "world.state.price=30", "-q")
    forks = study.server.get(f"/runs/{study.haggle}")["forks"]
    return {"run": study.haggle, "fork": forks[0]}


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_accessible(
    view: str, seen: dict[str, str], open_page: Any, check_accessible: Callable[[Any], None]
) -> None:
    path, complete = VIEWS[view]
    page = open_page(path.format(**seen))
    expect(page.locator(complete).first).to_be_visible()
    check_accessible(page)
    page.set_viewport_size({"width": 360, "height": 740})
    page.reload()
    expect(page.locator(complete).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_theme_is_switched_and_kept(open_page: Any) -> None:
    page = open_page("/")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Theme: auto").click()
    page.get_by_role("button", name="Theme: light").click()
    assert page.evaluate(ground) != light
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate(ground) != light
    # What is drawn on a canvas has the same colours.
    drawn = page.evaluate("import('/static/theme.js').then(theme => theme.colour('--ground'))")
    assert drawn == page.evaluate(ground)


def test_the_skip_link_leads_to_the_content(open_page: Any) -> None:
    page = open_page("/")
    expect(page.locator("[data-run]").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("main :focus")).to_have_count(1)
