"""A panel of another plugin: a real distribution in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright")
from playwright.sync_api import expect

expect.set_options(timeout=30_000)

PLUGIN = """\
from pathlib import Path

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


def data(store, run):
    return {"run": run, "said": sum(event.kind == "say" for event in store.run(run).events())}


def act(store, run, order):
    return {"answer": f"{order['do']}: {store.run(run).scenario}"}


PANEL = {"for": "run", "data": data, "act": act, "files": Path(__file__).parent / "files"}
BROKEN = {"for": "run", "data": data, "files": Path(__file__).parent / "broken"}


@hookimpl
def pyscrai_panels():
    return [
        Extension("said", "said_panel:PANEL", "What was said"),
        Extension("sad", "said_panel:BROKEN", "Broken"),
    ]
"""
BROKEN = "export function render() { throw new Error('no!'); }"
MODULE = """\
export async function render(element, { run, api }) {
  const { said } = await api.data();
  const { answer } = await api.act({ do: "look" });
  element.textContent = `${run.scenario}: said ${said} times, ${answer}`;
}
"""


def test_a_panel_of_another_plugin_is_shown(
    study: Any, open_page: Any, server_class: Any, tmp_path: Path
) -> None:
    package = tmp_path / "said_panel"
    for folder, text in (
        ("files", MODULE),
        ("broken", BROKEN),
    ):
        (package / folder).mkdir(parents=True)
        (package / folder / "panel.js").write_text(text, encoding="utf-8")
    (package / "__init__.py").write_text(PLUGIN, encoding="utf-8")
    info = tmp_path / "said_panel-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: said-panel\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pyscrai]\nsaid = said_panel\n")
    server = server_class(study.folder, environment={"PYTHONPATH": str(tmp_path)})
    try:
        page = open_page(f"/runs/{study.haggle}", base=server.url)
        page.get_by_role("link", name="What was said").click()
        expect(page.locator("[data-panel-id='said']")).to_have_text("haggle: said 8 times, look: haggle")
        refused = server.client.post(f"/api/panels/sad?run={study.haggle}", json={})
        assert (refused.status_code, "takes no orders" in refused.json()["error"]) == (404, True)
        page.get_by_role("link", name="Broken").click()
        expect(page.get_by_role("alert")).to_contain_text("The panel sad failed: no!")
        page.close()
    finally:
        server.stop()
