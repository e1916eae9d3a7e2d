"""The test that every extension passes: run, kill the process at call k, resume, same log.

::

    from pyscrai_testing import check_resume

    def test_resume(tmp_path):
        check_resume("scenario.yaml", tmp_path)

Each execution is a process of its own. The undisturbed run, the killed one and the resumed one have
different hash seeds and different concurrencies, and answers take different times, so what depends on any of
these shows. One process has made the same run before: what it kept outside of its components, such as in an
attribute of a class, shows too.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen


@frozen
class Executed:
    """What a process reported.

    That is its result, the canonical log, the positions asked and journaled, and what was asked at each
    position of its store, as a hash.
    """

    result: dict[str, Any]
    log: list[str]
    requests: dict[str, str]
    started: list[str]
    answered: list[str]


def check_resume(
    scenario: str | Path | Mapping[str, Any],
    folder: Path,
    *,
    kills: Sequence[int] | None = None,
    seed: int = 1,
    timeout: float = 300,
) -> Executed:
    """Kill and resume `scenario` at several calls and compare; returns the undisturbed execution.

    `scenario` is a file, or the scenario as a mapping; `folder` takes the stores; `kills` are the calls
    (counted from 1) at whose start and after whose answer the process is killed (default: the first, one
    in the middle, the last). Raises `AssertionError` that says what differs.
    """
    path = _written(scenario, folder)
    whole = _execute(path, folder / "whole.db", seed, hash_seed=1, concurrency=64, timeout=timeout)
    assert whole.result["status"] == "completed", f"the undisturbed run failed: {whole.result['error']}"
    again = _execute(
        path, folder / "again.db", seed, hash_seed=2, concurrency=1, mode="second", timeout=timeout
    )
    _same(whole, again, "a second run in one process, under another hash seed and concurrency 1")
    mixed = _execute(path, folder / "mixed.db", seed, hash_seed=6, concurrency=64, timeout=timeout)
    _same(whole, mixed, "a run whose answers come in another order")
    replayed = _execute(None, folder / "whole.db", seed, hash_seed=3, mode="replay", timeout=timeout)
    _same(whole, replayed, "the replay")
    assert not replayed.started, f"the replay asked: {replayed.started}"

    total = len(whole.started)
    if not total:
        warnings.warn(
            "the scenario makes no call, so that no kill and no resume was tested; let an agent think, or "
            "use a tool",
            stacklevel=2,
        )
    if kills is None:
        kills = sorted({1, (total + 1) // 2, total}) if total else []
    for kill in kills:
        for moment in ("started", "answered"):
            name = f"the run killed when call {kill} was {moment}"
            store = folder / f"kill-{kill}-{moment}.db"
            dead = _spawn(
                ["run", str(path), str(store), str(seed), "8"],
                hash_seed=4,
                extra={"PYSCRAI_TEST_KILL": f"{moment}:{kill}"},
                timeout=timeout,
            )
            assert dead.returncode == -signal.SIGKILL, f"{name}: it was not killed: {dead.stderr[-2000:]}"
            journaled = _journaled(store)
            resumed = _execute(None, store, seed, hash_seed=5, concurrency=2, mode="resume", timeout=timeout)
            _same(whole, resumed, name)
            twice = journaled & set(resumed.started)
            assert not twice, f"{name}: asked again although journaled: {sorted(twice)}"
            lost = set(whole.started) - journaled - set(resumed.started)
            assert not lost, f"{name}: never asked: {sorted(lost)}"
    return whole


def _written(scenario: str | Path | Mapping[str, Any], folder: Path) -> Path:
    if isinstance(scenario, Mapping):
        path = folder / "scenario.json"
        path.write_text(json.dumps(scenario))
        return path
    return Path(scenario)


def _same(whole: Executed, other: Executed, name: str) -> None:
    assert other.result["status"] == "completed", f"{name}: {other.result['status']}: {other.result['error']}"
    for number, (left, right) in enumerate(zip(whole.log, other.log, strict=False), 1):
        assert left == right, f"{name}: event {number} differs:\n  {left}\n  {right}"
    assert len(whole.log) == len(other.log), f"{name}: {len(other.log)} events instead of {len(whole.log)}"
    for position, request in whole.requests.items():
        # The log need not show it: the replies of a test often stay the same whatever they are asked.
        assert other.requests.get(position) == request, f"{name}: what was asked at {position} differs"
    assert whole.result["fingerprint"] == other.result["fingerprint"], f"{name}: another fingerprint"
    assert whole.result["outcomes"] == other.result["outcomes"], f"{name}: other outcomes"


def _execute(
    path: Path | None,
    store: Path,
    seed: int,
    *,
    hash_seed: int,
    concurrency: int = 8,
    mode: str = "run",
    timeout: float,
) -> Executed:
    done = _spawn([mode, str(path), str(store), str(seed), str(concurrency)], hash_seed, {}, timeout)
    assert done.returncode == 0, f"{mode} of {path}: {done.stderr[-4000:]}"
    return Executed(**json.loads(done.stdout))


def _spawn(
    arguments: list[str], hash_seed: int, extra: dict[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyscrai_testing.resume", *arguments],
        env={**os.environ, **extra, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def _journaled(store: Path) -> set[str]:
    return set(_requests(store))


def _requests(store: Path) -> dict[str, str]:
    """The hash of what was asked at each position."""
    from pyscrai_records.store.store import Store

    with Store.open(store, create=False) as opened:
        return {
            f"{call['agent']}|{call['step']}|{call['path']}": call["request"]
            for call in opened.run("last").calls()
            if call["status"] != "open"  # which ended the run, and is asked again
        }


# -- the process --


def _vary_times(draw: random.Random) -> None:
    """Let each request to a provider take another time, so that answers come in another order."""
    from pyscrai_core.calls import providers

    send = providers._send

    async def slowly(*arguments: Any) -> Any:
        await asyncio.sleep(draw.random() / 50)
        return await send(*arguments)

    providers._send = slowly  # type: ignore[assignment]


def _main(mode: str, path: str, store: str, seed: str, concurrency: str) -> None:
    from pyscrai_core import CallRecord, api
    from pyscrai_core.contracts import NoConfig, Observer

    moment, _, count = os.environ.get("PYSCRAI_TEST_KILL", ":0").partition(":")

    class Watch(Observer):
        def __init__(self) -> None:
            super().__init__(NoConfig())
            self.started: list[str] = []
            self.answered: list[str] = []

        def on_call(self, call: CallRecord) -> None:
            if call.journaled or call.status not in ("started", "answered", "failed"):
                return  # `waiting` and `retrying` come any number of times
            begins = call.status == "started"
            seen = self.started if begins else self.answered
            seen.append(f"{call.position.agent}|{call.position.step}|{call.position.path}")
            if begins == (moment == "started") and len(seen) == int(count):
                os.kill(os.getpid(), signal.SIGKILL)

    _vary_times(random.Random(os.environ["PYTHONHASHSEED"]))
    if mode == "second":
        api.run(path, seed=int(seed), store=f"{store}.first", trust=True)
    watch = Watch()
    if mode in ("run", "second"):
        result = api.run(
            path,
            seed=int(seed),
            store=store,
            set={"limits.concurrency": int(concurrency)},
            observers=[watch],
            trust=True,
        )
    elif mode == "resume":
        result = api.resume(store=store, set={"limits.concurrency": int(concurrency)}, observers=[watch])
    else:
        result = api.replay(store=store, observers=[watch])
    print(
        json.dumps(
            {
                "result": result.to_dict(),
                "log": [event.line().decode() for event in result.events],
                "requests": _requests(Path(store)),
                "started": watch.started,
                "answered": watch.answered,
            }
        )
    )


if __name__ == "__main__":
    _main(*sys.argv[1:])
