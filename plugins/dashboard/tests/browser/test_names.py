"""Names and texts as people write them: long ones, and from right to left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

LONG = "The-Third-Assistant-Deputy-Water-Commissioner-For-The-Eastern-And-The-Western-District-Of-The-County"
ARABIC = "محمد بن عبد الله بن أحمد"
VILLAGE = f"""\
scenario: village
seed: 1
providers:
  default:
    use: scripted
    replies: {{"{ARABIC}": ["السعر 12 دينار فقط."], "*": [Good morning.]}}
agents:
  "{ARABIC}": {{persona: A farmer}}
  {LONG}: {{persona: An official}}
schedule: {{use: round-robin, rounds: 2}}
outcomes: {{water: {{value: "20", unit: litres}}}}
"""


@pytest.fixture(scope="module")
def village(study: Any) -> str:
    (study.folder / "village.yaml").write_text(VILLAGE, encoding="utf-8")
    return str(study.run("village.yaml", "--label", "نوع=تجربة"))


def test_a_name_from_right_to_left_is_cut_at_its_end(open_page: Callable[..., Any], village: str) -> None:
    page = open_page(f"/runs/{village}")
    # In one piece, since the page may draw its rows anew at any time.
    look = """() => {
        const name = document.querySelector(".event .name");
        const text = document.querySelector(".event .text")?.firstChild;
        const labels = [...document.querySelectorAll(".fact-status .label bdi")];
        if (!name || !text || labels.length < 2) return null;
        const range = document.createRange();
        const left = (begin) => {
            range.setStart(text, begin); range.setEnd(text, begin + 1);
            return range.getBoundingClientRect().left;
        };
        return {
            name: name.innerText, direction: getComputedStyle(name).direction,
            text: [left(0), left(text.length - 1)],
            labels: labels.map((one) => one.innerText),
            places: labels.map((one) => one.getBoundingClientRect().x),
        };
    }"""
    seen = page.wait_for_function(look).json_value()
    assert (seen["name"], seen["direction"]) == (ARABIC, "rtl")
    # A full stop at the end of the sentence stands at its left.
    assert seen["text"][1] < seen["text"][0]
    assert seen["labels"] == ["نوع", "تجربة"]
    assert seen["places"][0] < seen["places"][1]


@pytest.mark.parametrize("width", [1280, 390])
def test_a_long_name_takes_no_room_of_others(
    open_page: Callable[..., Any], study: Any, village: str, width: int
) -> None:
    page = open_page(f"/runs/{village}", width=width)
    choice = page.get_by_label("From").bounding_box()
    assert choice["width"] < 0.95 * width / (1 if width < 500 else 4)
    page = open_page(f"/compare?left={village}&right={village}", width=width)
    page.locator(".aligned-row").nth(1).wait_for()
    over = """() => [...document.querySelectorAll(".aligned-row .event-who")].filter((who) =>
        who.getBoundingClientRect().right > who.closest(".cell").getBoundingClientRect().right + 1).length"""
    assert page.evaluate(over) == 0
    # Where nothing parts, nothing leads there.
    assert page.get_by_role("button", name="To where they part").count() == 0


def test_an_outcome_has_its_unit(open_page: Callable[..., Any], village: str) -> None:
    page = open_page(f"/runs/{village}?tab=results")
    assert page.locator(".outcomes dd").inner_text() == "20 litres"


def test_a_status_is_not_broken_within_its_word(open_page: Callable[..., Any], village: str) -> None:
    page = open_page(f"/runs/{village}?tab=calls", width=390)
    cell = page.locator("td.whole").first
    cell.wait_for()
    lines = "node => { const range = document.createRange(); range.selectNodeContents(node); "
    assert cell.evaluate(lines + "return range.getClientRects().length }") == 1


def test_an_unknown_address_is_told_with_a_way_back(study: Any, chromium: Any) -> None:
    page = chromium.new_page()
    answer = page.goto(study.url + "/nothing")
    assert answer.status == 404
    page.get_by_role("link", name="Go to the overview").wait_for()
    page.close()
