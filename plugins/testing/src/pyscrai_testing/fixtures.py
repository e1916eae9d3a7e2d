"""Fixtures that run a scenario given as a mapping, with components made in the test."""

from __future__ import annotations

import asyncio
import json
import selectors
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

import pyscrai_core
from pyscrai_core import Event, Extension, RunResult, Schedule, Stage, StoredRun, hookimpl
from pyscrai_core.plugins import Host
from pyscrai_records.store.store import Store

#: Kinds of extensions that a test can bring, by the hook that offers them.
HOOKS = {
    "provider": "pyscrai_providers",
    "engine": "pyscrai_engines",
    "reasoning": "pyscrai_reasoning",
    "tool": "pyscrai_tools",
    "memory": "pyscrai_memories",
    "schedule": "pyscrai_schedules",
    "observer": "pyscrai_observers",
    "scenario loader": "pyscrai_scenario_loaders",
}


def _host(monkeypatch: pytest.MonkeyPatch, **components: Any) -> Host:
    """A host of the installed plugins and of `components`: kind__name=class (dashes as underscores)."""
    module = types.ModuleType("components_of_a_test")
    offered: dict[str, list[Extension]] = {}
    for key, component in components.items():
        kind, _, name = key.partition("__")
        setattr(module, key, component)
        extension = Extension(name.replace("_", "-"), f"{module.__name__}:{key}", "made in a test")
        offered.setdefault(HOOKS[kind.replace("_", " ")], []).append(extension)
    monkeypatch.setitem(__import__("sys").modules, module.__name__, module)

    def implement(hook: str, extensions: list[Extension]) -> Callable[[], list[Extension]]:
        def offer() -> list[Extension]:
            return extensions

        offer.__name__ = hook
        return hookimpl(offer)

    for hook, extensions in offered.items():
        setattr(module, hook, implement(hook, extensions))
    module.pyscrai_api = 1  # type: ignore[attr-defined]
    return Host(extra=[module])


@pytest.fixture
def host_with(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Host]:
    """A host of the installed plugins and of the test's components: `host_with(engine__mine=Mine)`."""
    return lambda **components: _host(monkeypatch, **components)


@pytest.fixture
def play(tmp_path: Path, host_with: Callable[..., Host]) -> Callable[..., RunResult]:
    """Run a scenario: `play({...}, engine__mine=Mine, seed=3)`."""

    def run(scenario: dict[str, Any], **given: Any) -> RunResult:
        components = {key: given.pop(key) for key in list(given) if "__" in key}
        path = tmp_path / "scenario.json"
        path.write_text(json.dumps({"scenario": "test", **scenario}))
        given.setdefault("store", tmp_path / "runs.db")
        return pyscrai_core.run(path, host=host_with(**components), **given)

    return run


@pytest.fixture
def recorded(tmp_path: Path, play: Callable[..., RunResult]) -> Iterator[Callable[..., list[StoredRun]]]:
    """Run a scenario several times, and open the store: `recorded({...}, {"seed": 1}, {"seed": 2})`.

    Each mapping has what `play` takes for one run; components of the test are for all. It returns the runs
    as they are stored, in this order.
    """
    with ExitStack() as opened:

        def run(scenario: dict[str, Any], *runs: Mapping[str, Any], **components: Any) -> list[StoredRun]:
            ids = [play(scenario, **components, **given).run for given in runs]
            store = opened.enter_context(Store.open(tmp_path / "runs.db", create=False))
            return [store.run(one) for one in ids]

        yield run


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty folder, for what is exported."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def store_events(store: Store, events: Iterable[Event], scenario: str = "made", **given: Any) -> StoredRun:
    """A run in `store` that consists of these events; `given` are options of `Store.create_run`."""
    run = store.create_run(scenario, 1, {}, **given)

    async def write() -> None:
        for event in events:
            store.put_event(run, event)
        await store.writer.committed()

    asyncio.run(write())
    return store.run(run)


class Solo(Schedule):
    """One agent acts, alone, in so many steps."""

    @frozen
    class Config:
        agent: str
        steps: int

    async def next(self, stage: Stage) -> tuple[str, ...]:
        return (self.config.agent,) if stage.step <= self.config.steps else ()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that does not wait: its clock jumps to the next callback that is scheduled.

    What other threads do, such as writing the store, takes none of its time.
    """

    def __init__(self) -> None:
        self._now = 1000.0
        selector = selectors.DefaultSelector()
        select = selector.select

        def jump(timeout: float | None = None) -> Any:
            ready = select(None if timeout is None else 0)
            self._now += 0 if ready or not timeout else timeout
            return ready

        selector.select = jump  # type: ignore[method-assign]
        super().__init__(selector)

    def time(self) -> float:
        return self._now


@pytest.fixture
def virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `asyncio.run` and `asyncio.Runner`, and with them runs of scenarios, take no time to wait."""
    monkeypatch.setattr(asyncio.events, "new_event_loop", VirtualLoop)
