"""Networks, read back with networkx."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import networkx
import pytest

import pyscrai_tables.plugin
from pyscrai_core import Event, ScenarioError
from pyscrai_core.plugins import Host
from pyscrai_core.runtime.exporting import make_exporter
from pyscrai_core.scenario.trust import Gate
from pyscrai_records.store.store import Store

HOST = Host(extra=[pyscrai_tables.plugin])
ODD = "Jo<&\"'>\x07ñ"
SCENARIO: dict[str, Any] = {
    "scenario": ODD,
    "agents": {"Ann": {"persona": ODD}, "Bob": {}, ODD: {}, "Mute": {}},
    "groups": {"pair": ["Ann", "Bob"], "odd": {"members": [ODD]}},
}
MANIFEST = {
    "format": 3, "kernel": "0", "scenario": SCENARIO, "files": {}, "plugins": [], "extensions": [],
    "prompts": {}, "folder": ".",
}  # fmt: skip
EVENTS = [
    Event(1, 1, "say", "Ann", ("*",), {"text": "Hello."}),
    Event(2, 2, "say", "Bob", ("Ann",), {"text": "Psst."}),
    Event(3, 3, "say", "Bob", ("pair",), {"text": "Psst."}),
    Event(4, 4, "say", ODD, ("odd", "Ann"), {"text": "Hm."}),
    Event(5, 4, "offer", "Bob", (ODD,), {"price": 3}),
    Event(6, 5, "say", "Ann", (), {"text": "To nobody."}),
    Event(7, 5, "say", "@outside", ("*",), {"text": "Rain."}),
]


def network(tmp_path: Path, **options: Any) -> Any:
    with Store.open(tmp_path / "runs.db") as store:
        run = store.create_run(ODD, 1, MANIFEST)

        async def write() -> None:
            for event in EVENTS:
                store.put_event(run, event)
            await store.writer.committed()

        asyncio.run(write())
        exporter = make_exporter("graphml", options, HOST, Gate())
        (path,) = exporter.export([store.run(run)], tmp_path)
    assert path.name == f"{run}.graphml"
    return networkx.read_graphml(path)


def weights(graph: Any) -> dict[tuple[str, str], int]:
    return {(source, target): weight for source, target, weight in graph.edges(data="weight")}


SHOWN = ODD.replace("\x07", "\ufffd")


def test_who_hears_whom(tmp_path: Path) -> None:
    graph = network(tmp_path)
    assert list(graph) == ["Ann", "Bob", SHOWN, "Mute"]
    assert weights(graph) == {
        ("Ann", "Bob"): 1, ("Ann", SHOWN): 1, ("Ann", "Mute"): 1, ("Bob", "Ann"): 2, (SHOWN, "Ann"): 1,
    }  # fmt: skip
    assert graph.edges["Bob", "Ann"] == {"weight": 2, "first_step": 2, "last_step": 3}
    assert graph.nodes["Ann"]["persona"] == SHOWN
    assert (graph.nodes["Ann"]["events"], graph.nodes["Mute"]["events"]) == (2, 0)
    assert graph.nodes["Ann"]["groups"] == "pair"
    assert graph.graph["scenario"] == SHOWN


def test_other_networks_and_kinds(tmp_path: Path) -> None:
    assert weights(network(tmp_path, network="addressed")) == {("Bob", "Ann"): 2, (SHOWN, "Ann"): 1}
    assert weights(network(tmp_path, network="reply")) == {
        ("Bob", "Ann"): 1, (SHOWN, "Bob"): 1, ("Ann", SHOWN): 1
    }  # fmt: skip
    assert weights(network(tmp_path, kinds=["offer"])) == {("Bob", SHOWN): 1}
    assert weights(network(tmp_path, network="addressed", kinds=[])) == {
        ("Bob", "Ann"): 2, (SHOWN, "Ann"): 1, ("Bob", SHOWN): 1
    }  # fmt: skip
    with pytest.raises(ScenarioError, match="--format graphml: network: expected one of heard, addressed"):
        network(tmp_path, network="hear")
